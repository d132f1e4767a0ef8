//! Sentences about what should not move, and about what is missing: they say how far the other
//! sentences can be trusted.

use std::collections::BTreeMap;

use super::{of_position, ranked, services};
use crate::format::{list, percent, quantity, thousands};
use crate::metrics;
use crate::stats::Spread;
use crate::view::{Group, View};

/// A control that moves by less than this is called still.
const STILL_BELOW: f64 = 0.02;

/// The second request on an open connection: the number of Services should not show in it. A proxy
/// does, a little, since each packet is translated.
pub(super) fn keepalive(group: &Group<'_>) -> Option<String> {
    let metric = metrics::KEEPALIVE_REQUEST.name;
    let label = group.worst_position(metric)?;
    let mut costs = Vec::new();
    let mut widest: Option<(&str, f64)> = None;
    for proxy in group.proxies(metric, label) {
        let medians: Vec<f64> = group
            .series(metric, label, proxy, 0.5)
            .iter()
            .map(|(_, spread)| spread.median)
            .collect();
        let spread = Spread::of(medians)?;
        costs.push((proxy, spread));
        if let Some(width) = spread.relative_width().filter(|_| spread.count > 1)
            && widest.is_none_or(|(_, most)| width > most)
        {
            widest = Some((proxy, width));
        }
    }
    let (proxy, width) = widest?;
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

/// Dialling the endpoint without a proxy: the number of Services should not show in it.
pub(super) fn floor_across_sizes(group: &Group<'_>) -> Option<String> {
    let position = group.worst_position(metrics::CONNECT.name)?;
    let series = group.series(metrics::CONNECT.name, position, "none", 0.5);
    let spread = Spread::of(series.iter().map(|(_, spread)| spread.median))?;
    let width = spread.relative_width()?;
    if spread.count < 2 {
        return None;
    }
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

/// The floor of each kernel, where several were measured on one clock: it must not move, or kernels
/// cannot be compared.
pub(super) fn floor_across_kernels(view: &View<'_>) -> Vec<String> {
    let mut sentences = Vec::new();
    for (at, first) in view.groups.iter().enumerate() {
        let same = |group: &&Group<'_>| {
            (group.key.clock, group.key.place) == (first.key.clock, first.key.place)
        };
        if view.groups.iter().take(at).any(|group| same(&group)) {
            continue;
        }
        let floors: Vec<(&str, Spread)> = view
            .groups
            .iter()
            .filter(same)
            .filter_map(|group| {
                let position = group.worst_position(metrics::CONNECT.name)?;
                let size = *group.sizes(metrics::CONNECT.name, position).last()?;
                Some((
                    group.key.kernel.as_str(),
                    group.stat(metrics::CONNECT.name, position, "none", size, 0.5)?,
                ))
            })
            .collect();
        let Some(width) = Spread::of(floors.iter().map(|(_, floor)| floor.median))
            .filter(|spread| spread.count > 1)
            .and_then(|spread| spread.relative_width())
        else {
            continue;
        };
        let phrases: Vec<String> = floors
            .iter()
            .map(|(kernel, floor)| format!("{} on {kernel}", quantity(first.unit(), floor.median)))
            .collect();
        let verdict = if width < STILL_BELOW {
            "so proxies can be compared across these kernels"
        } else {
            "so compare kernels only by what a proxy adds to it"
        };
        sentences.push(format!(
            "Without a proxy a new connection ({}, {} clock) takes {}, a spread of {}, {verdict}.",
            first.key.place,
            first.key.clock,
            list(&phrases),
            percent(width)
        ));
    }
    sentences
}

/// How far seeds differ, or that there is only one.
pub(super) fn seeds(group: &Group<'_>) -> Option<String> {
    let seeds = group.seeds();
    if seeds.len() == 1 {
        return Some(
            "All numbers come from one seed: one draw of addresses and hash seeds, whose spread is not known; several seeds in the scenario would show it.".to_owned(),
        );
    }
    let position = group.worst_position(metrics::CONNECT.name)?;
    let mut widest: Option<(f64, &str, u64)> = None;
    for proxy in group.proxies(metrics::CONNECT.name, position) {
        for (size, spread) in group.series(metrics::CONNECT.name, position, proxy, 0.5) {
            let Some(width) = spread.relative_width().filter(|_| spread.count > 1) else {
                continue;
            };
            if widest.is_none_or(|(most, _, _)| width > most) {
                widest = Some((width, proxy, size));
            }
        }
    }
    let (width, proxy, size) = widest?;
    Some(format!(
        "Figures are medians over {} seeds. The p50 of a connection to {} differs between seeds by at most {} ({proxy}, {}).",
        seeds.len(),
        of_position(position),
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
