//! Sentences about programming the kernel: full syncs, small changes, binding VIPs.

use std::fmt::Write as _;

use super::{ranked, rivals, services, times};
use crate::format::{list, quantity};
use crate::metrics::{self, SYNC_FULL, TOTAL};
use crate::stats::{self, Spread};
use crate::view::Group;

/// The full sync at the largest size, and how it grows.
pub(super) fn full(group: &Group<'_>) -> Option<String> {
    let (metric, label) = (SYNC_FULL.name, TOTAL);
    let size = *group.sizes(metric, label).last()?;
    let proxies = rivals(group, metric, label);
    let costs: Vec<(&str, Spread)> = proxies
        .iter()
        .filter_map(|proxy| Some((*proxy, group.stat(metric, label, proxy, size, 0.5)?)))
        .collect();
    if costs.is_empty() {
        return None;
    }
    let mut text = format!(
        "Programming {} into an empty namespace takes {}.",
        services(size),
        ranked(group.unit(), costs)
    );
    let growth: Vec<String> = proxies
        .iter()
        .filter_map(|proxy| {
            let series = group.series(metric, label, proxy, 0.5);
            // Two points have an exponent too, but nothing that would tell a power law from any
            // other curve.
            if series.len() < 3 {
                return None;
            }
            let points: Vec<(f64, f64)> =
                series.iter().map(|(size, spread)| (*size as f64, spread.median)).collect();
            let exponent = stats::growth_exponent(&points)?;
            Some(format!("N^{exponent:.2} with {proxy}"))
        })
        .collect();
    if !growth.is_empty() {
        let _ = write!(
            text,
            " Over all measured sizes a full sync of N Services grows as {} (a fixed cost at small N lowers the exponent).",
            list(&growth)
        );
    }
    Some(text)
}

/// One endpoint replaced, at the largest size: against the full sync, and against the smallest
/// size.
pub(super) fn incremental(group: &Group<'_>) -> Option<String> {
    let (metric, label) = (metrics::SYNC_ENDPOINT_CHANGE.name, TOTAL);
    let sizes = group.sizes(metric, label);
    let (smallest, size) = (*sizes.first()?, *sizes.last()?);
    let phrases: Vec<String> = rivals(group, metric, label)
        .iter()
        .filter_map(|proxy| {
            let change = group.stat(metric, label, proxy, size, 0.5)?;
            let mut notes = Vec::new();
            if let Some(full) = group.stat(SYNC_FULL.name, TOTAL, proxy, size, 0.5)
                && change.median > 0.0
            {
                notes.push(match full.median / change.median {
                    ratio if ratio >= 1.5 => format!("a full sync takes {} that", times(ratio)),
                    ratio => format!("{} % of a full sync", crate::format::fixed(100.0 / ratio, 0)),
                });
            }
            if let Some(small) = group.stat(metric, label, proxy, smallest, 0.5)
                && smallest < size
                && small.median > 0.0
            {
                let ratio = change.median / small.median;
                let at = services(smallest);
                notes.push(if (0.95..=1.05).contains(&ratio) {
                    format!("the same as with {at}")
                } else {
                    format!("{} as much as with {at}", times(ratio))
                });
            }
            let note =
                if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
            Some(format!("{} with {proxy}{note}", quantity(group.unit(), change.median)))
        })
        .collect();
    if phrases.is_empty() {
        return None;
    }
    Some(format!(
        "Replacing one endpoint of one Service among {} takes {}.",
        crate::format::thousands(size),
        list(&phrases)
    ))
}

/// The two ways of making all VIPs local, at the largest size.
pub(super) fn vip_bind(group: &Group<'_>) -> Option<String> {
    let metric = metrics::VIP_BIND.name;
    let proxy = *rivals(group, metric, "dummy").first()?;
    let size = *group.sizes(metric, "dummy").last()?;
    let dummy = group.stat(metric, "dummy", proxy, size, 0.5)?;
    let route = group.stat(metric, "local-route", proxy, size, 0.5)?;
    let unit = group.unit();
    Some(format!(
        "Making the VIPs of {} local takes {} as addresses of a dummy device and {} as a local route.",
        services(size),
        quantity(unit, dummy.median),
        quantity(unit, route.median)
    ))
}
