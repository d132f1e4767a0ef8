//! `vipbench calibrate`: the gate measured with recorded runs, printed, and written as a page with plots.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use results::Run;
use results::calibration::{self, Calibration, Options, render};

use crate::cli::CalibrateArgs;

pub(super) fn run(args: &CalibrateArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let options = Options {
        gates: args.gates as usize,
        replicates: args.replicates.iter().map(|count| *count as usize).collect(),
        seed: args.random_seed,
    };
    let calibration = calibration::calibrate(&runs, &options)?;
    if let Some(dir) = &args.output {
        write(&calibration, dir)?;
    }
    crate::out::end_with_reader();
    if args.json {
        print!("{}", calibration::json(&calibration)?);
    } else {
        print!("{}", render::terminal_text(&calibration));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(calibration: &Calibration, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let put = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    put("calibration.json", &calibration::json(calibration)?)?;
    put("calibration.md", &render::markdown_page(calibration, &command()))?;
    for (name, svg) in calibration::plots(calibration)? {
        put(&name, &svg)?;
    }
    Ok(())
}

/// The command as it is repeated by others: without the path of this file.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    format!("vipbench {}", results::format::shell(&words))
}
