//! Our own programming against the tool that an administrator would use, with the same content from
//! the same state.
//!
//! `vipbench` is the backend's `submit`; `tool` is a plain `iptables-restore`, `ipvsadm -R` or `nft
//! -f` reading a file.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use proxies::{Admin, Backend, Options, Staged, SyncRequest};
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, audit};
use super::spec::CellSpec;

/// The measure `baseline`.
pub(super) const BASELINE: Kind = Kind {
    applies: |proxy| proxy.admin.is_some(),
    takes_paths: false,
    cost: |cell| 2 * cell.sync() + cell.changes(),
    emits: &[metrics::BASELINE],
    emits_of_programs: &[],
    run,
};

/// Both sides, each in a lab of its own.
fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let name = lab.backend.name;
    let admin = lab.backend.admin.with_context(|| format!("no tool does what {name} does"))?;
    let mut options = lab.options.clone();
    (admin.reduce)(&mut options);
    let (ours, text) = submit(lab, &admin, &options)?;
    let other = BenchLab::build(spec)?;
    let tool = other.topology.node().enter(|| {
        let mut backend = other.open_with(&options)?;
        stages(backend.as_mut())?.prepare(&SyncRequest::Full(&other.cluster))?;
        (admin.beside)(&other.cluster, &options)?;
        let taken = run_tool(&other, &admin, &text)?;
        audit(backend.as_mut(), &other.cluster)?;
        anyhow::Ok(taken)
    })??;
    let sides = [("vipbench", ours), ("tool", tool)];
    let metrics = sides
        .map(|(label, taken)| metrics::BASELINE.of(label, lab.clock.kind(), vec![taken]))
        .into();
    Ok(Measured { verified: 0, metrics })
}

fn stages(backend: &mut dyn Backend) -> anyhow::Result<&mut dyn Staged> {
    backend.staged().context("its syncs have no stages, so nothing can be set against a tool")
}

/// What our `submit` takes, and the same content as the tool's input.
fn submit(lab: &BenchLab, admin: &Admin, options: &Options) -> anyhow::Result<(u64, Vec<u8>)> {
    let mut backend = lab.open_with(options)?;
    let staged = stages(backend.as_mut())?;
    let request = SyncRequest::Full(&lab.cluster);
    staged.prepare(&request)?;
    let program = staged.render(&request)?;
    let started = lab.clock.now();
    staged.submit(&program)?;
    let taken = lab.clock.now() - started;
    audit(backend.as_mut(), &lab.cluster)?;
    let text = match program.text() {
        Some(text) => text.to_vec(),
        None => (admin.text)(&lab.cluster, options),
    };
    Ok((taken, text))
}

/// What the tool takes, from its start to its end.
fn run_tool(lab: &BenchLab, admin: &Admin, text: &[u8]) -> anyhow::Result<u64> {
    let mut file = tempfile::NamedTempFile::new().context("a file for the tool's input")?;
    file.write_all(text)?;
    let input = File::open(file.path())?;
    let program = admin.program;
    let mut command = Command::new(program);
    command.args(admin.args).stdin(input).stdout(Stdio::null());
    let started = lab.clock.now();
    let status = command.status().with_context(|| format!("starting {program}"))?;
    let taken = lab.clock.now() - started;
    ensure!(status.success(), "{program}: {status}");
    Ok(taken)
}
