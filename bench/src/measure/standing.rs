//! What a node does with the Cluster programmed while nobody asks anything of it: how much, and for
//! how long at a time, since a connection that comes just then waits.

use std::time::Duration;

use generators::Position;
use proxies::ProxyError;
use results::metrics;

use super::kind::{Kind, Measured};
use super::lab::BenchLab;
use crate::load::Watch;

/// The measure `standing`.
pub(super) const STANDING: Kind = Kind {
    applies: |_| true,
    takes_paths: false,
    cost: |cell| cell.sync() + 10_000,
    emits: &[metrics::PAUSE, metrics::STANDING],
    emits_of_programs: &[],
    run: |lab, _| run(lab),
};

/// How long the look takes: IPVS' estimators go round once in it (`net/netfilter/ipvs/ip_vs_est.c`,
/// `estimation_timer`, Linux 6.1).
const WINDOW: Duration = Duration::from_secs(2);
/// Room for what disturbs meanwhile, so that recording allocates nothing.
const DISTURBANCES_MAX: usize = 1 << 18;

fn run(lab: &BenchLab) -> anyhow::Result<Measured> {
    let watch = Watch::open(lab.clock).ok_or_else(|| ProxyError::Unsupported {
        what: "what an idle node does".into(),
        reason: "nanoseconds do not tell work from waiting".into(),
        remedy: "run it with --place guest --clock instructions".into(),
    })?;
    let _proxy = lab.load()?;
    let verified = dial_both_ends(lab)?;
    watch.until_quiet()?;
    let mut disturbances: Vec<u64> = Vec::with_capacity(DISTURBANCES_MAX);
    watch.disturbances(WINDOW, |one| {
        if disturbances.len() < DISTURBANCES_MAX {
            disturbances.push(one);
        }
    })?;
    let a_second = disturbances.iter().sum::<u64>() / WINDOW.as_secs();
    let clock = lab.clock.kind();
    Ok(Measured {
        verified,
        metrics: vec![
            metrics::PAUSE.of(metrics::IDLE, clock, disturbances),
            metrics::STANDING.of(metrics::IDLE, clock, vec![a_second]),
        ],
    })
}

/// What stands idle must be what works: dials the first Service and the last.
fn dial_both_ends(lab: &BenchLab) -> anyhow::Result<u64> {
    let _servers = lab.bare_servers()?;
    let mut sources = lab.sources()?;
    for position in [Position::First, Position::Last] {
        lab.dial(&lab.dialled(position, 0)?, &mut sources)?;
    }
    Ok(2)
}
