//! Sentences about programming the kernel: full syncs, small changes, binding VIPs.

use super::phrases::{ranked, said, services, times};
use crate::format::{fixed, list, quantity, thousands};
use crate::metrics::{SYNC_ENDPOINT_CHANGE, SYNC_FULL, TOTAL, VIP_BIND};
use crate::stats;
use crate::view::Group;

/// The full sync at the largest size, and how it grows.
pub(super) fn full(group: &Group<'_>) -> Option<String> {
    let sync = group.timing(SYNC_FULL.name, TOTAL);
    let size = *sync.sizes().last()?;
    let costs = sync.of_rivals(size);
    if costs.is_empty() {
        return None;
    }
    let growth = |proxy: &str| {
        // Two points have an exponent too, but nothing that would tell a power law from any other
        // curve.
        let points = Some(sync.points(proxy)).filter(|points| points.len() > 2)?;
        Some(format!("N^{:.2} with {proxy}", stats::growth_exponent(&points)?))
    };
    let growth: Vec<String> = sync.rivals().into_iter().filter_map(growth).collect();
    let growth = if growth.is_empty() {
        String::new()
    } else {
        format!(
            " Over all measured sizes a full sync of N Services grows as {} (a fixed cost at small N lowers the exponent).",
            list(&growth)
        )
    };
    Some(format!(
        "Programming {} into an empty namespace takes {}.{growth}",
        services(size),
        ranked(group.unit(), costs)
    ))
}

/// One endpoint replaced, at the largest size: against the full sync, and against the smallest
/// size.
pub(super) fn incremental(group: &Group<'_>) -> Option<String> {
    let replaced = group.timing(SYNC_ENDPOINT_CHANGE.name, TOTAL);
    let full = group.timing(SYNC_FULL.name, TOTAL);
    let sizes = replaced.sizes();
    let (smallest, size) = (*sizes.first()?, *sizes.last()?);
    let phrase = |proxy: &str| {
        let change = replaced.at(proxy, size)?.median;
        let mut notes = Vec::new();
        if let Some(full) = full.at(proxy, size).filter(|_| change > 0.0) {
            notes.push(match full.median / change {
                ratio if ratio >= 1.5 => format!("a full sync takes {} that", times(ratio)),
                ratio => format!("{} % of a full sync", fixed(100.0 / ratio, 0)),
            });
        }
        let small = replaced.at(proxy, smallest).filter(|small| small.median > 0.0);
        if let Some(small) = small.filter(|_| smallest < size) {
            let at = services(smallest);
            notes.push(match change / small.median {
                ratio if (0.95..=1.05).contains(&ratio) => format!("the same as with {at}"),
                ratio => format!("{} as much as with {at}", times(ratio)),
            });
        }
        let note =
            if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        Some(format!("{} with {proxy}{note}", quantity(group.unit(), change)))
    };
    let among = thousands(size);
    let what = match group.shape.changes_per_sync {
        0 | 1 => "Replacing one endpoint of one Service".to_owned(),
        many => format!("Replacing {many} endpoints by one sync,"),
    };
    let phrases = replaced.rivals().into_iter().filter_map(phrase).collect();
    said([(format!("{what} among {among} takes"), phrases)])
}

/// The two ways of making all VIPs local, at the largest size.
pub(super) fn vip_bind(group: &Group<'_>) -> Option<String> {
    let dummy = group.timing(VIP_BIND.name, "dummy");
    let route = group.timing(VIP_BIND.name, "local-route");
    let proxy = *dummy.rivals().first()?;
    let size = *dummy.sizes().last()?;
    Some(format!(
        "Making the VIPs of {} local takes {} as addresses of a dummy device and {} as a local route.",
        services(size),
        quantity(group.unit(), dummy.at(proxy, size)?.median),
        quantity(group.unit(), route.at(proxy, size)?.median)
    ))
}
