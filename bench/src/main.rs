//! The binary `vipbench`: the command line on a host, PID 1 in a guest. Both are decided here, and nothing else is.

use std::process::ExitCode;

use clap::Parser;
use vipbench::cli::Cli;

fn main() -> ExitCode {
    if lab::guest::is_pid1() {
        lab::guest::run_pid1(&vipbench::cell::handle);
    }
    match vipbench::command::dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error:{red:#} {}", vipbench::in_words(&error));
            ExitCode::from(1)
        }
    }
}
