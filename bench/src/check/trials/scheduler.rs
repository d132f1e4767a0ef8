//! The law of each scheduler of IPVS: which Endpoint a connection gets.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use itertools::Itertools as _;
use lab::topology::Source;
use proxies::features::SCHEDULERS;
use proxies::ipvs::try_scheduler;
use results::check::{Skipped, Trial, Verdict};

use super::super::client::Came;
use super::super::paths::Path;
use super::{Bench, PORT, Question, Tried};

const SCHEDULER: Question =
    Question { name: "scheduler", says: "which Endpoint does each scheduler choose?" };
/// Connections of one client, one after the other.
const DIALS: usize = 60;

/// What holds for connections of one client, each closed before the next, to Endpoints of one
/// weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    /// The Endpoints in turn.
    InTurn,
    /// None is left out; how many each gets is left to load, chance or a hash.
    All,
    /// All to one.
    One,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InTurn => "each Endpoint in turn",
            Self::All => "some by each Endpoint",
            Self::One => "all by one Endpoint",
        })
    }
}

/// From `net/netfilter/ipvs/ip_vs_NAME.c`, Linux 6.1.
fn law(scheduler: &str) -> Law {
    match scheduler {
        "rr" | "wrr" => Law::InTurn,
        // Of the client's or the Service's address; the highest weight, or the first that is not
        // full; the one that a Service had before.
        "sh" | "dh" | "fo" | "ovf" | "lblc" | "lblcr" | "nq" | "sed" => Law::One,
        // Connections that have ended count a little; chance; the client's port is in the hash.
        _ => Law::All,
    }
}

/// Tries every scheduler that the kernel has.
pub(super) fn laws(bench: &Bench<'_>, tried: &mut Tried) -> anyhow::Result<()> {
    let service = bench.service((40, PORT), bench.endpoints())?;
    let path = bench.path(Source::Pod, &SCHEDULER, &service)?;
    for scheduler in SCHEDULERS {
        if let Err(error) = try_scheduler(scheduler) {
            let what = format!("scheduler {scheduler}");
            tried.skipped.push(Skipped { what, reason: error.to_string() });
            continue;
        }
        let mut options = bench.options.clone();
        scheduler.clone_into(&mut options.ipvs.scheduler);
        let came = bench.programmed(&service, &options, || bench.dialled(&path, DIALS))?;
        tried.trials.push(judged(bench, scheduler, &path, &came));
    }
    Ok(())
}

fn judged(bench: &Bench<'_>, scheduler: &str, path: &Path, came: &[Came]) -> Trial {
    let law = law(scheduler);
    let fault = came.iter().find(|one| !path.admits(bench.site, one));
    let answers: Vec<SocketAddr> = came.iter().filter_map(Came::answered_by).collect();
    let counts = answers.iter().counts();
    let is_lawful = match law {
        Law::InTurn => in_turn(&answers, endpoints(path)),
        Law::All => counts.len() == endpoints(path),
        Law::One => counts.len() == 1,
    };
    let verdict = if fault.is_none() && is_lawful { Verdict::Good } else { Verdict::Unexpected };
    let counted = || format!("{} answers", counts.values().sorted().rev().join(" + "));
    let mut probe = path.probe(verdict, fault.map_or_else(counted, ToString::to_string));
    probe.expected = law.to_string();
    SCHEDULER.answered(scheduler, probe)
}

fn endpoints(path: &Path) -> usize {
    path.expected.answering().len()
}

/// Whether each Endpoint comes once in every round.
fn in_turn(answers: &[SocketAddr], round: usize) -> bool {
    answers.chunks(round).all(|chunk| chunk.iter().collect::<BTreeSet<_>>().len() == chunk.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_rounds_that_hold_each_endpoint_once() {
        let [a, b] = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
        assert!(in_turn(&[a, b, a, b, a], 2));
        assert!(in_turn(&[a, b, b, a], 2));
        assert!(!in_turn(&[a, a, b, b], 2));
    }
}
