//! `vipbench run`: from how a run ended to what is printed.

use std::process::ExitCode;

use super::conclude::conclude;
use crate::cli::RunArgs;
use crate::console;
use crate::run::{Ended, Interrupt, how_to_resume};

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    match crate::run::run(args, &*Interrupt::catch()?)? {
        Ended::Planned { cells, setting } => {
            console::line(format_args!(
                "{} cells on the {} clock, in this order:",
                cells.len(),
                setting.clock
            ))?;
            for cell in cells {
                console::line(format_args!("  {}", cell.id()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Ended::Interrupted { folder, left } => {
            let how = how_to_resume(&folder);
            console::note(format_args!("interrupted: {left} cells left; {how}"));
            Ok(ExitCode::from(1))
        }
        Ended::Complete(folder) => conclude(&folder, args.json, args.keep_going),
    }
}
