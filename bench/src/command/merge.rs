//! `vipbench merge`: shards that ran apart become one run, with its report.

use std::process::ExitCode;

use results::format::counted;
use results::{Run, RunWriter};

use crate::cli::MergeArgs;
use crate::console;

pub(super) fn run(args: &MergeArgs) -> anyhow::Result<ExitCode> {
    let runs = args.runs.iter().map(|dir| Run::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let merged = results::merge::merge(runs, std::env::args().collect())?;
    let mut writer = RunWriter::create(&args.output, &merged.record)?;
    for cell in &merged.cells {
        writer.append(cell)?;
    }
    drop(writer);
    let code = super::conclude::conclude(&args.output, args.json, false)?;
    let missing = merged.record.cells.len() - merged.cells.len();
    if missing > 0 {
        console::note(format_args!(
            "missing: {}. Add their shards, or run them here: `vipbench run SCENARIO --resume -o {}`, with the \
             options of the shards",
            counted(missing as u64, "cell"),
            args.output.display()
        ));
        return Ok(ExitCode::from(1));
    }
    Ok(code)
}
