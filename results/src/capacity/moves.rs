//! What moving a node to an nftables proxy changes: the budget's own conditions before and after,
//! at one size.
//!
//! A size that both proxies were measured at is told as measured, any other as fitted.

use std::collections::BTreeSet;

use itertools::iproduct;

use super::limit::Size;
use super::plan::{ConditionPlan, Move, MoveChange, ProxyPlan, Verdict};
use crate::proxies::Proxies;

/// The family of the proxies that one moves to.
const TO: &str = "nftables";

/// Whether one moves to this proxy.
pub(super) fn is_target(known: &Proxies, proxy: &str) -> bool {
    known.is_of(proxy, TO)
}

/// Every move from another kind of proxy to an nftables proxy.
pub(super) fn moves(proxies: &[ProxyPlan], known: &Proxies, asked: Option<u64>) -> Vec<Move> {
    let is_target = |proxy: &&ProxyPlan| is_target(known, &proxy.proxy);
    let (to, from): (Vec<_>, Vec<_>) = proxies.iter().partition(is_target);
    iproduct!(from, &to).filter_map(|(from, to)| one(from, to, asked)).collect()
}

/// At the reader's own size, or else at the largest that both were measured at.
fn one(from: &ProxyPlan, to: &ProxyPlan, asked: Option<u64>) -> Option<Move> {
    let services = asked.or_else(|| largest_of_both(from, to))?;
    let pairs = from.conditions.iter().zip(&to.conditions);
    let changes: Vec<MoveChange> =
        pairs.filter_map(|(before, after)| change(before, after, services)).collect();
    (!changes.is_empty()).then(|| Move {
        from: from.proxy.clone(),
        to: to.proxy.clone(),
        services,
        changes,
        largest_before: largest(from),
        largest_after: largest(to),
    })
}

fn largest(proxy: &ProxyPlan) -> Option<Size> {
    match &proxy.verdict {
        Verdict::Largest { largest, .. } => Some(largest.estimate),
        Verdict::Unknown { .. } => None,
    }
}

fn largest_of_both(from: &ProxyPlan, to: &ProxyPlan) -> Option<u64> {
    let sizes = |proxy: &ProxyPlan| -> BTreeSet<u64> {
        let points = proxy.conditions.iter().flat_map(|condition| &condition.points);
        points.map(|point| point.services).collect()
    };
    (&sizes(from) & &sizes(to)).last().copied()
}

fn change(before: &ConditionPlan, after: &ConditionPlan, services: u64) -> Option<MoveChange> {
    let (subject, unit) = (before.subject.clone(), before.unit);
    let ((before, is_measured), (after, too)) = (value(before, services)?, value(after, services)?);
    Some(MoveChange { subject, unit, before, after, measured: is_measured && too })
}

/// What a condition takes at a size, and whether that was measured. Nothing beyond what anything is
/// said about.
fn value(condition: &ConditionPlan, services: u64) -> Option<(f64, bool)> {
    if let Some(point) = condition.points.iter().find(|point| point.services == services) {
        return Some((point.median, true));
    }
    let cost = condition.cost().filter(|cost| services <= cost.reach())?;
    Some((cost.at(services).value, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Asked, PlanOptions, plan};
    use crate::fixture;
    use crate::store::Run;

    /// The fixture's IPVS under the name of an nftables proxy.
    fn run() -> Run {
        let mut run = fixture::stored();
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.proxy == "ipvs") {
            cell.labels.proxy = "nftables-1.37".to_owned();
        }
        run
    }

    fn planned(services: Option<u64>) -> Vec<Move> {
        let asked = services.map(|services| Asked { services, endpoints: None, source: None });
        let options = PlanOptions { asked, clock_rate: None };
        plan(&[run()], "connect.p50 < 200k", &options).unwrap().groups.remove(0).moves
    }

    #[test]
    fn every_other_proxy_is_set_against_every_nftables_proxy() {
        let moves = planned(None);
        let pairs: Vec<_> =
            moves.iter().map(|one| (one.from.as_str(), one.to.as_str(), one.services)).collect();
        assert_eq!(
            pairs,
            [
                ("iptables-legacy", "nftables-1.37", 10_000),
                ("iptables-nft", "nftables-1.37", 10_000)
            ]
        );
        let nft = &moves[1];
        assert!(nft.changes[0].measured && nft.changes[0].after < nft.changes[0].before / 10.0);
        assert!(nft.largest_after > nft.largest_before, "{nft:?}");
    }

    #[test]
    fn a_size_that_was_not_measured_is_fitted_and_one_too_far_is_left_out() {
        let moves = planned(Some(5_000));
        assert!(moves.iter().all(|one| one.services == 5_000 && !one.changes[0].measured));
        assert!(planned(Some(10_000_000)).is_empty());
    }

    #[test]
    fn nothing_is_said_without_an_nftables_proxy() {
        let plan =
            plan(&[fixture::stored()], "connect.p50 < 200k", &PlanOptions::default()).unwrap();
        assert!(plan.groups[0].moves.is_empty());
    }
}
