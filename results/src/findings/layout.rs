//! Sentences about the layout of VIPs: what a connection costs under another than the consecutive
//! one.

use super::phrases::{said, services};
use crate::format::{quantity, quantity_again, thousands};
use crate::metrics::{LAYOUT_BUCKET_SERVICES, LAYOUT_CONNECT};
use crate::record::Unit;
use crate::view::Group;

const CONSECUTIVE: &str = "consecutive";

/// The first of the Services at the largest size, under each layout: the first added is the last of
/// its bucket.
pub(super) fn vip_layout(group: &Group<'_>) -> Option<String> {
    let label = format!("{CONSECUTIVE}.first");
    let together = group.timing(LAYOUT_CONNECT.name, &label);
    let size = *together.sizes().last()?;
    let phrase = |layout: &str, apart: &str, proxy: &str| {
        let apart = group.timing(LAYOUT_CONNECT.name, apart).at(proxy, size)?;
        let fullest = |layout| fullest(group, layout, proxy, size);
        let occupancy = match (fullest(layout), fullest(CONSECUTIVE)) {
            (Some(apart), Some(together)) => {
                format!("; its fullest bucket holds {apart} services against {together}")
            }
            _ => String::new(),
        };
        Some(format!(
            "{} with {proxy} (consecutive: {}{occupancy})",
            quantity(group.unit(), apart.median),
            quantity_again(group.unit(), together.at(proxy, size)?.median)
        ))
    };
    let labels = group.labels(LAYOUT_CONNECT.name).into_iter();
    let layouts = labels.filter_map(|label| Some((label.strip_suffix(".first")?, label)));
    said(layouts.filter(|(layout, _)| *layout != CONSECUTIVE).map(|(layout, label)| {
        let rivals = together.rivals().into_iter();
        let phrases = rivals.filter_map(|proxy| phrase(layout, label, proxy)).collect();
        let of = services(size);
        (format!("With VIPs {layout}, a new connection to the first of {of} takes"), phrases)
    }))
}

/// Services in the fullest bucket.
fn fullest(group: &Group<'_>, layout: &str, proxy: &str, size: u64) -> Option<String> {
    let samples = group.pooled_in(Unit::Count, LAYOUT_BUCKET_SERVICES.name, layout, proxy, size);
    samples.max().map(thousands)
}
