//! Where one series changes, and whether its newest run is the worse for it.

use itertools::Itertools as _;

use super::data::{Evidence, Point, Series, Step};
use super::divisive;
use super::series::is_exact;
use crate::metrics;
use crate::stats::Spread;

/// Most points of a noisy series that are looked at, the newest: the work grows with their square.
pub(super) const POINTS_MAX: usize = 400;

/// A place where a level ends.
struct Split {
    /// The first point of the new level.
    at: usize,
    evidence: Evidence,
}

/// All steps of a series; `control` is that of `none`, where it is a floor, and `newest` the newest
/// of all runs.
pub(super) fn of(series: &Series, control: Option<&Series>, newest: usize) -> Vec<Step> {
    let exact =
        metrics::kind(&series.subject.metric).is_some_and(|kind| is_exact(&series.subject, kind));
    let splits = if exact { exact_splits(series) } else { noisy_splits(series) };
    let levels = levels(&series.points, &splits, exact);
    let is_newest = series.points.last().is_some_and(|point| point.run == newest);
    let last = levels.last().map_or(0.0, |level| level.latest);
    let step = |(split, (old, new)): (&Split, (&Level, &Level))| Step {
        from: series.points[split.at - 1].run,
        to: series.points[split.at].run,
        before: old.value,
        after: new.value,
        share: (old.judged > 0.0).then(|| new.judged / old.judged - 1.0),
        control: control.filter(|_| exact).and_then(|control| {
            change(control, series.points[split.at - 1].run, series.points[split.at].run)
        }),
        worse: new.judged > old.judged,
        stands: is_newest
            && new.judged > old.judged
            && is_beyond(old.judged, last, series.threshold)
            && last > old.judged,
        evidence: split.evidence,
    };
    splits.iter().zip(levels.iter().tuple_windows()).map(step).collect()
}

/// The values between two steps.
struct Level {
    /// As measured.
    value: f64,
    /// As judged.
    judged: f64,
    /// As judged at its end.
    latest: f64,
}

/// The levels between splits. Digits are exact, so the first value is the level; time is noisy, so
/// it is the median.
fn levels(points: &[Point], splits: &[Split], exact: bool) -> Vec<Level> {
    let starts = std::iter::once(0).chain(splits.iter().map(|split| split.at));
    let ends = splits.iter().map(|split| split.at).chain([points.len()]);
    let level = |(start, end): (usize, usize)| {
        let points = &points[start..end];
        let (first, last) = (points.first()?, points.last()?);
        if exact {
            return Some(Level { value: first.value, judged: first.judged, latest: last.judged });
        }
        let median =
            |of: fn(&Point) -> f64| Spread::of(points.iter().map(of)).map(|one| one.median);
        let (value, judged) = (median(|point| point.value)?, median(|point| point.judged)?);
        Some(Level { value, judged, latest: judged })
    };
    starts.zip(ends).filter_map(level).collect()
}

/// Each value that is further than the threshold from the first of its level begins another: a slow
/// drift adds up to a step.
fn exact_splits(series: &Series) -> Vec<Split> {
    let mut splits = Vec::new();
    let mut level = series.points.first().map_or(0.0, |point| point.judged);
    for (at, point) in series.points.iter().enumerate() {
        if is_beyond(level, point.judged, series.threshold) {
            splits.push(Split { at, evidence: Evidence::Exact });
            level = point.judged;
        }
    }
    splits
}

/// What permutation proves, as far as it matters.
fn noisy_splits(series: &Series) -> Vec<Split> {
    let looked_at = series.points.len().saturating_sub(POINTS_MAX);
    let values = series.points[looked_at..].iter().map(|point| point.judged).collect_vec();
    let mut splits = divisive::splits(&values)
        .into_iter()
        .map(|split| Split {
            at: looked_at + split.at,
            evidence: Evidence::Permuted { probability: split.probability },
        })
        .collect_vec();
    // A split that does not matter goes, the smallest first: then the levels beside it are one.
    loop {
        let levels = levels(&series.points, &splits, false);
        let apart = |(old, new): (&Level, &Level)| (new.judged / old.judged).ln().abs();
        let smallest = levels.iter().tuple_windows().map(apart).enumerate();
        let smallest = smallest.min_by(|a, b| a.1.total_cmp(&b.1));
        match smallest {
            Some((at, apart)) if apart <= series.threshold.ln_1p() => {
                splits.remove(at);
            }
            _ => return splits,
        }
    }
}

/// Whether a value is further from a level than the threshold, either way.
fn is_beyond(level: f64, value: f64, threshold: f64) -> bool {
    (value - level).abs() > level * threshold
}

/// The change of a series between two runs, if it has both.
fn change(series: &Series, from: usize, to: usize) -> Option<f64> {
    let at = |run: usize| series.points.iter().find(|point| point.run == run);
    let (from, to) = (at(from)?.value, at(to)?.value);
    (from > 0.0).then(|| to / from - 1.0)
}
