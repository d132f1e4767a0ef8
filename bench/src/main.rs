//! The binary `vipbench`: the command line on a host, PID 1 in a guest. Both are decided here, and
//! nothing else is.

use std::process::ExitCode;

use clap::Parser;
use vipbench::cli::Cli;
use vipbench::console;

fn main() -> ExitCode {
    if lab::guest::is_pid1() {
        lab::guest::run_pid1(&vipbench::place::handle);
    }
    let done = match Cli::try_parse() {
        Ok(cli) => vipbench::command::dispatch(cli),
        // The parser's own exit code would mean a regression.
        Err(said) if said.use_stderr() => {
            console::note(said.render().ansi().to_string().trim_end());
            return ExitCode::from(1);
        }
        Err(said) => console::print(said.render().ansi()).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        console::error(vipbench::in_words(&error));
        ExitCode::from(1)
    })
}
