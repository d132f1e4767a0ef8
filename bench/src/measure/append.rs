//! One rule added by one call of a tool, to tables that hold the whole Cluster: how rules were
//! added before there were transactions of many.
//!
//! The call is timed from its start to its end: the tool reads the whole table, adds the rule and
//! writes the table back (iptables-legacy), or sends what changes (iptables-nft).

use std::process::Command;

use anyhow::{Context, ensure};
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::BenchLab;

/// The measure `append`.
pub(super) const APPEND: Kind = Kind {
    applies: |proxy| proxy.append.is_some(),
    takes_paths: false,
    // Each of ten calls reads and writes the tables.
    cost: |cell| 10 * cell.sync(),
    emits: &[metrics::APPEND],
    emits_of_programs: &[],
    run: |lab, _| run(lab),
};

/// Calls; the rules they add hardly change the size of the tables.
const CALLS: u16 = 10;

/// Adds [`CALLS`] rules, one call each.
fn run(lab: &BenchLab) -> anyhow::Result<Measured> {
    let name = lab.backend.name;
    let append = lab.backend.append.with_context(|| format!("{name} has no rules to append"))?;
    lab.load()?;
    let program = append.program;
    let mut taken = Vec::new();
    for call in 1..=CALLS {
        let mut command = Command::new(program);
        command.args((append.args)(call));
        let started = lab.clock.now();
        let status = command.status().with_context(|| format!("starting {program}"))?;
        taken.push(lab.clock.now() - started);
        ensure!(status.success(), "{program}: {status}");
    }
    let added = (append.count)()?;
    ensure!(added == usize::from(CALLS), "{program}: {added} of {CALLS} added rules are there");
    let metrics = vec![metrics::APPEND.of("rule", lab.clock.kind(), taken)];
    Ok(Measured { verified: 0, metrics })
}
