//! Sentences about what should not move, and about what is missing: they say how far the other
//! sentences can be trusted.

use std::collections::BTreeMap;

use super::phrases::{of_position, ranked, services};
use crate::format::{list, percent, quantity, thousands};
use crate::metrics::{CONNECT, KEEPALIVE_REQUEST};
use crate::proxies::CONTROL;
use crate::stats::{STILL_BELOW, Spread};
use crate::view::{Group, Timing};

/// The second request on an open connection: the number of Services should not show in it. A proxy
/// does, a little, since each packet is translated.
pub(super) fn keepalive(group: &Group<'_>) -> Option<String> {
    let request = group.worst_timing(KEEPALIVE_REQUEST.name)?;
    let proxies = request.proxies().into_iter();
    let costs: Vec<(&str, Spread)> =
        proxies.map(|proxy| Some((proxy, over_sizes(request, proxy)?))).collect::<Option<_>>()?;
    let widths = costs.iter().filter_map(|(proxy, cost)| Some((cost.relative_width()?, *proxy)));
    let (width, proxy) = widest(widths)?;
    let verdict = if width < STILL_BELOW {
        "as it should: only the first packet of a connection meets the rules"
    } else {
        "although only the first packet of a connection meets the rules: look for the cause before trusting small differences"
    };
    Some(format!(
        "A second request on an open connection takes {}; over the sizes that varies by {} at most ({proxy}), {verdict}.",
        ranked(group.unit(), costs),
        percent(width)
    ))
}

/// Medians over all sizes.
fn over_sizes(timing: Timing<'_>, proxy: &str) -> Option<Spread> {
    Spread::of(timing.points(proxy).into_iter().map(|(_, median)| median))
}

/// The first of those with the largest width.
fn widest<T>(widths: impl Iterator<Item = (f64, T)>) -> Option<(f64, T)> {
    widths.reduce(|most, other| if other.0 > most.0 { other } else { most })
}

/// Dialling the endpoint without a proxy: the number of Services should not show in it.
pub(super) fn floor_across_sizes(group: &Group<'_>) -> Option<String> {
    let width = over_sizes(group.worst_timing(CONNECT.name)?, CONTROL)?.relative_width()?;
    let verdict = if width < STILL_BELOW {
        "so sizes can be compared"
    } else {
        "so differences of that order between sizes say nothing"
    };
    Some(format!(
        "Without a proxy a new connection varies by {} over the sizes, {verdict}.",
        percent(width)
    ))
}

/// The floor of each kernel, where several were measured at one place on one clock: it must not
/// move, or kernels cannot be compared.
pub(super) fn floor_across_kernels(groups: &[Group<'_>]) -> Option<String> {
    let floor = |group: &Group<'_>| {
        let connect = group.worst_timing(CONNECT.name)?;
        let median = connect.at(CONTROL, *connect.sizes().last()?)?.median;
        Some((format!("{} on {}", quantity(group.unit(), median), group.key.kernel), median))
    };
    let (phrases, floors): (Vec<String>, Vec<f64>) = groups.iter().filter_map(floor).unzip();
    let width = Spread::of(floors)?.relative_width()?;
    let verdict = if width < STILL_BELOW {
        "so proxies can be compared across these kernels"
    } else {
        "so compare kernels only by what a proxy adds to it"
    };
    Some(format!(
        "Without a proxy a new connection ({}) takes {}, a spread of {}, {verdict}.",
        groups[0].key.place_and_clock(),
        list(&phrases),
        percent(width)
    ))
}

/// How far seeds differ, or that there is only one.
pub(super) fn seeds(group: &Group<'_>) -> Option<String> {
    let seeds = group.seeds();
    if seeds.len() == 1 {
        return Some(
            "All numbers come from one seed: one draw of addresses and hash seeds, whose spread is not known; several seeds in the scenario would show it.".to_owned(),
        );
    }
    let connect = group.worst_timing(CONNECT.name)?;
    let of_proxy = |proxy| connect.series(proxy).into_iter().map(move |one| (proxy, one));
    let all = connect.proxies().into_iter().flat_map(of_proxy);
    let widths =
        all.filter_map(|(proxy, (size, spread))| Some((spread.relative_width()?, (proxy, size))));
    let (width, (proxy, size)) = widest(widths)?;
    Some(format!(
        "Figures are medians over {} seeds. The p50 of a connection to {} differs between seeds by at most {} ({proxy}, {}).",
        seeds.len(),
        of_position(connect.label),
        percent(width),
        services(size)
    ))
}

/// How many cells have no numbers, by kind.
pub(super) fn gaps(group: &Group<'_>) -> Option<String> {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in group.gaps() {
        *kinds.entry(cell.outcome.kind()).or_default() += 1;
    }
    let total: u64 = kinds.values().sum();
    if total == 0 {
        return None;
    }
    let phrases: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{} {kind}", thousands(*count))).collect();
    Some(format!(
        "{} of {} cells could not give numbers ({}); the reasons are listed below.",
        thousands(total),
        thousands(group.cells.len() as u64),
        list(&phrases)
    ))
}
