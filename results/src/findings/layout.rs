//! Sentences about the layout of VIPs: what a connection costs under another than the consecutive
//! one.

use super::{rivals, services};
use crate::format::{list, quantity, quantity_again};
use crate::metrics;
use crate::record::Unit;
use crate::view::Group;

const METRIC: &str = metrics::LAYOUT_CONNECT.name;
const CONSECUTIVE: &str = "consecutive";

/// The first of the Services at the largest size, under each layout: the first added is the last of
/// its bucket.
pub(super) fn vip_layout(group: &Group<'_>) -> Option<String> {
    let base = format!("{CONSECUTIVE}.first");
    let size = *group.sizes(METRIC, &base).last()?;
    let labels = group.labels(METRIC);
    let mut sentences = Vec::new();
    for layout in labels.iter().filter_map(|label| label.strip_suffix(".first")) {
        if layout == CONSECUTIVE {
            continue;
        }
        let phrases: Vec<String> = rivals(group, METRIC, &base)
            .into_iter()
            .filter_map(|proxy| {
                let at = |label: &str| group.stat(METRIC, label, proxy, size, 0.5);
                let (apart, together) = (at(&format!("{layout}.first"))?, at(&base)?);
                let occupancy = match (
                    fullest(group, layout, proxy, size),
                    fullest(group, CONSECUTIVE, proxy, size),
                ) {
                    (Some(apart), Some(together)) => {
                        format!("; its fullest bucket holds {apart} services against {together}")
                    }
                    _ => String::new(),
                };
                Some(format!(
                    "{} with {proxy} (consecutive: {}{occupancy})",
                    quantity(group.unit(), apart.median),
                    quantity_again(group.unit(), together.median)
                ))
            })
            .collect();
        if !phrases.is_empty() {
            sentences.push(format!(
                "With VIPs {layout}, a new connection to the first of {} takes {}.",
                services(size),
                list(&phrases)
            ));
        }
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Services in the fullest bucket.
fn fullest(group: &Group<'_>, layout: &str, proxy: &str, size: u64) -> Option<String> {
    let samples =
        group.pooled_in(Unit::Count, metrics::LAYOUT_BUCKET_SERVICES.name, layout, proxy, size);
    samples.max().map(crate::format::thousands)
}
