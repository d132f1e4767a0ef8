//! The binary `vipbench`: the command line on a host, PID 1 in a guest. Both are decided here, and nothing else is.

use std::process::ExitCode;

use clap::Parser;
use vipbench::cli::Cli;

fn main() -> ExitCode {
    if lab::guest::is_pid1() {
        lab::guest::run_pid1(&vipbench::cell::handle);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            // A reader who has gone is no reason to fail. The parser's own exit code would mean a regression.
            let _ = said.print();
            return ExitCode::from(u8::from(said.use_stderr()));
        }
    };
    match vipbench::command::dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error:{red:#} {}", vipbench::in_words(&error));
            ExitCode::from(1)
        }
    }
}
