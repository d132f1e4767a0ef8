//! `vipbench guest`: runs a program of this machine inside a guest kernel and passes on what it
//! prints.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use lab::guest::{Limit, Task};

use crate::cli::GuestArgs;
use crate::place::{GuestOptions, GuestPlace, WorkDir, ended_well};
use crate::run::progress::during;
use crate::scenario::Limits;

/// Where the program is found inside the guest.
const PROGRAM_DIR: &str = "/opt/vipbench";

pub(super) fn run(args: &GuestArgs) -> anyhow::Result<ExitCode> {
    let [program, arguments @ ..] = args.program.as_slice() else {
        bail!("name a program after `--`")
    };
    let here = PathBuf::from(program)
        .canonicalize()
        .with_context(|| format!("program {program}: name an existing file of this machine"))?;
    let there =
        PathBuf::from(PROGRAM_DIR).join(here.file_name().context("a program has a file name")?);
    let limit = Limit::Processor(Duration::from_secs(args.limit_s));
    let options = GuestOptions {
        kernel_cmdline: args.kernel_cmdline.clone(),
        boot_limit: limit,
        files: vec![(here, there.clone())],
        ..GuestOptions::emulated(&Limits::default())
    };
    let work = WorkDir::new()?;
    let kernel = args.kernel.parse().with_context(|| format!("kernel {:?}", args.kernel))?;
    let place = during(|progress| GuestPlace::open(&kernel, &options, progress))?;
    let mut line = vec![there.display().to_string()];
    line.extend(arguments.iter().cloned());
    let task = Task::Exec { argv: line };
    let report = place.ask(task, args.seed, work.path(), limit, &mut |text| {
        // A reader who has enough of the program's output does not end the program.
        let _ = write!(io::stdout(), "{text}");
    })?;
    ended_well(report).with_context(|| format!("in the guest ({})", place.release()))?;
    Ok(ExitCode::SUCCESS)
}
