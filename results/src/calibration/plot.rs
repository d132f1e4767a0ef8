//! The plot of a calibration: how often the gate finds a slowdown, against its size; one line a
//! number of replicates.

use itertools::Itertools as _;

use super::data::{Point, Slowdown};
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series, Stroke};
use crate::plots::theme;

/// Slowdowns that are labelled, shares.
const TICKS: [f64; 8] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
/// The colours of the lines, by their place: they can be told apart in print and by everybody.
const COLOURS: [&str; 5] = ["grey", "pink", "blue", "orange", "green"];
/// Room above and below 0% and 100%.
const MARGIN: f64 = 0.03;

/// The curves of one clock; nothing without a slowdown there.
pub(super) fn chart(points: &[&Point], title: String) -> Option<Chart> {
    let counts = points.iter().map(|point| point.replicates).sorted().dedup();
    let counts = counts.zip(COLOURS.into_iter().cycle());
    let series = counts.flat_map(|(count, colour)| of_count(points, count, colour)).collect_vec();
    let percent = |share: f64| format!("{}%", (share * 1000.0).round() / 10.0);
    let ticks = |shares: &[f64]| shares.iter().map(|share| (*share, percent(*share))).collect();
    (!series.is_empty()).then(|| Chart {
        title,
        subtitle: "share of gates; lines: scaled, rings: real".to_owned(),
        x_title: "slowdown",
        x: Axis::log(TICKS[0] * 0.9, TICKS[TICKS.len() - 1] * 1.1, ticks(&TICKS)),
        y: Axis::linear(-MARGIN, 1.0 + MARGIN, ticks(&[0.0, 0.2, 0.4, 0.6, 0.8, 1.0])),
        series,
    })
}

/// With so many replicates: the line of scaled slowdowns, and rings for those that were really put
/// in.
fn of_count(points: &[&Point], count: usize, colour: &str) -> Vec<Series> {
    let (mut scaled, mut real) = (Vec::new(), Vec::new());
    for point in points.iter().filter(|point| point.replicates == count) {
        let (series, slower) = match point.slowdown {
            Slowdown::Same => continue,
            Slowdown::Scaled { share } => (&mut scaled, Some(share)),
            // Half-way between the line that is slowed down least and the one that is most.
            _ => (&mut real, point.effect.map(|(low, high)| f64::midpoint(low, high))),
        };
        let slower = slower.filter(|share| *share > 0.0);
        let (least, most) = (TICKS[0], TICKS[TICKS.len() - 1]);
        series.extend(slower.map(|share| (share.clamp(least, most), point.share())));
    }
    let name = if count == 1 { "1 seed".to_owned() } else { format!("{count} a side") };
    let (group, mut label) = (name.clone(), Some(name));
    let both = [(scaled, Stroke::Thick), (real, Stroke::Rings)].into_iter();
    let drawn = both.filter(|(points, _)| !points.is_empty()).map(|(mut points, stroke)| {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let what = if stroke == Stroke::Rings { "real" } else { "scaled" };
        let about = About { group: group.clone(), what: what.to_owned(), points: Vec::new() };
        Series { paint: theme::named(colour), stroke, label: label.take(), points, about }
    });
    drawn.collect()
}
