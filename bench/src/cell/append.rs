//! One rule added by one call of the `iptables` tool, to tables that hold the whole Cluster: how rules were added before there
//! were transactions of many.
//!
//! The call is timed from its start to its end: the tool reads the whole table, adds the rule and writes the table back
//! (legacy), or sends what changes (nft).

use std::process::Command;

use anyhow::{Context, bail, ensure};
use proxies::ProxyKind;
use results::metrics::{self, MetricKind};

use super::Measured;
use super::bench_lab::BenchLab;
use super::tool::printed;

/// What it measures.
pub(super) const EMITS: &[MetricKind] = &[metrics::APPEND];
/// Calls; the rules they add hardly change the size of the tables.
const CALLS: u16 = 10;
/// Chain that the rules go to: every Service has one there already (kube-proxy's iptables mode).
const CHAIN: &str = "KUBE-SERVICES";

/// Adds [`CALLS`] rules, one call each.
pub(super) fn measure(lab: &BenchLab) -> anyhow::Result<Measured> {
    let program = match lab.kind {
        ProxyKind::IptablesLegacy => "iptables-legacy",
        ProxyKind::IptablesNft => "iptables-nft",
        other => bail!("only iptables has rules to append, and {other} is another proxy"),
    };
    lab.load()?;
    let mut taken = Vec::new();
    for call in 1..=CALLS {
        let mut command = Command::new(program);
        command.args(["-w", "5", "-t", "nat", "-A", CHAIN, "-d", "192.0.2.1/32"]);
        command.args(["-p", "tcp", "-m", "tcp", "--dport", &call.to_string(), "-j", "RETURN"]);
        let started = lab.clock.now();
        let status = command.status().with_context(|| format!("starting {program}"))?;
        taken.push(lab.clock.now() - started);
        ensure!(status.success(), "{program}: {status}");
    }
    must_be_there(program)?;
    let metrics = vec![metrics::APPEND.of("rule", lab.clock.kind(), taken)];
    Ok(Measured { verified: 0, metrics })
}

/// The chain ends with the rules that were added.
fn must_be_there(program: &str) -> anyhow::Result<()> {
    let rules = printed(program, &["-w", "5", "-t", "nat", "-S", CHAIN])?;
    let added = rules.lines().filter(|rule| rule.contains("-d 192.0.2.1/32 ")).count();
    ensure!(added == usize::from(CALLS), "{program}: {added} of {CALLS} added rules are there");
    Ok(())
}
