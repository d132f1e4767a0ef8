//! Sentences about new connections: what they cost, what one more Service adds, who is first, what
//! the position does.

use std::fmt::Write as _;

use super::{of_position, ranked, rivals, services, times};
use crate::format::{self, list, quantity, signed_percent, three_digits};
use crate::metrics;
use crate::record::Clock;
use crate::stats::{self, Crossing, Line, Spread};
use crate::view::Group;

const METRIC: &str = metrics::CONNECT.name;
/// A line is called one when it explains this share of the variance.
const R2_MIN: f64 = 0.9;
/// A change over the whole range of sizes below this share of the cost is called flat.
const FLAT_BELOW: f64 = 0.02;

/// The largest size, the worst position, every proxy.
pub(super) fn headline(group: &Group<'_>) -> Option<String> {
    let position = group.worst_position(METRIC)?;
    let sizes = group.sizes(METRIC, position);
    let size = *sizes.iter().rev().find(|size| !costs_at(group, position, **size).is_empty())?;
    let costs = costs_at(group, position, size);
    let floor = group.stat(METRIC, position, "none", size, 0.5);
    let seeds = costs.iter().map(|(_, spread)| spread.count).max().unwrap_or(1);
    let over = if seeds > 1 { format!(", median of {seeds} seeds") } else { String::new() };
    let mut text = format!(
        "With {}, a new connection to {} takes {} (p50{over}).",
        services(size),
        of_position(position),
        ranked(group.unit(), costs),
    );
    if let Some(floor) = floor {
        let direct = quantity(group.unit(), floor.median);
        let _ = write!(text, " Dialling the endpoint itself, without any proxy, takes {direct}.");
    }
    if let Some(missing) = missing_at(group, size) {
        let _ = write!(text, " Without a figure at this size: {missing}.");
    }
    Some(text)
}

/// Proxies whose connections could not be measured at one size, each with the kind of outcome.
fn missing_at(group: &Group<'_>, size: u64) -> Option<String> {
    let mut missing: Vec<String> = group
        .gaps()
        .filter(|cell| cell.labels.measure == METRIC && cell.labels.services == size)
        .map(|cell| format!("{} ({})", cell.labels.proxy, cell.outcome.kind()))
        .collect();
    missing.sort();
    missing.dedup();
    (!missing.is_empty()).then(|| list(&missing))
}

/// What one more Service adds to a connection to the last one, where a line says so.
pub(super) fn cost_of_one_more(group: &Group<'_>) -> Option<String> {
    let position = group.worst_position(METRIC)?;
    let (mut sloped, mut flat, mut shapeless) = (Vec::new(), Vec::new(), Vec::new());
    for proxy in rivals(group, METRIC, position) {
        let series = group.series(METRIC, position, proxy, 0.5);
        let points: Vec<(f64, f64)> =
            series.iter().map(|(size, spread)| (*size as f64, spread.median)).collect();
        let (Some(first), Some(last), Some(line)) =
            (points.first(), points.last(), stats::fit_line(&points))
        else {
            continue;
        };
        if first.1 <= 0.0 {
            continue;
        }
        let change = (last.1 - first.1) / first.1;
        let varies = points.iter().map(|(_, y)| (y - first.1).abs() / first.1).fold(0.0, f64::max);
        if varies < FLAT_BELOW {
            flat.push(format!(
                "{proxy} ({} from {} to {})",
                signed_percent(change),
                size(first.0),
                size(last.0)
            ));
        } else if line.r2.is_none_or(|r2| r2 >= R2_MIN) {
            sloped.push(slope_phrase(group, proxy, &line, &series));
        } else {
            let r2 = line.r2.map_or(String::new(), |r2| format!(", {}", r_squared(r2)));
            shapeless.push(format!(
                "{proxy} ({} from {} to {}{r2})",
                signed_percent(change),
                size(first.0),
                size(last.0)
            ));
        }
    }
    let mut sentences = Vec::new();
    if !sloped.is_empty() {
        sentences.push(format!(
            "One more Service adds to a connection to {}: {}.",
            of_position(position),
            list(&sloped)
        ));
    }
    if !flat.is_empty() {
        sentences.push(format!("The number of Services hardly matters to {}.", list(&flat)));
    }
    if !shapeless.is_empty() {
        sentences.push(format!(
            "The cost changes with the number of Services, but does not follow a line: {}.",
            list(&shapeless)
        ));
    }
    joined(&sentences)
}

fn slope_phrase(group: &Group<'_>, proxy: &str, line: &Line, series: &[(u64, Spread)]) -> String {
    let slope = format!("{} {}", three_digits(line.slope), group.unit());
    let (Some((low, _)), Some((high, _))) = (series.first(), series.last()) else { return slope };
    let range = format!("{} to {}", format::thousands(*low), format::thousands(*high));
    match line.r2 {
        Some(r2) => {
            let sizes = series.len();
            format!("{slope} with {proxy} (line through {sizes} sizes, {range}, {})", r_squared(r2))
        }
        None => {
            format!("{slope} with {proxy} (between {range}; two sizes, so no check of linearity)")
        }
    }
}

/// Rounded down, so that 1 is said only of a perfect line.
fn r_squared(r2: f64) -> String {
    let text = format!("R² {:.4}", (r2 * 1e4).floor() / 1e4);
    text.trim_end_matches("0000").trim_end_matches('.').to_owned()
}

/// Who is first at each size, and where two proxies change places.
pub(super) fn order(group: &Group<'_>) -> Option<String> {
    let position = group.worst_position(METRIC)?;
    let proxies = rivals(group, METRIC, position);
    if proxies.len() < 2 {
        return None;
    }
    let mut sentences = Vec::new();
    let sizes = group.sizes(METRIC, position);
    let mut leaders: Vec<(String, Vec<u64>)> = Vec::new();
    for size in &sizes {
        let Some(leader) = leader(group.key.clock, &costs_at(group, position, *size)) else {
            continue;
        };
        match leaders.last_mut() {
            Some((name, at)) if *name == leader => at.push(*size),
            _ => leaders.push((leader, vec![*size])),
        }
    }
    let phrases: Vec<String> = leaders
        .iter()
        .map(|(leader, at)| {
            let at: Vec<String> = at.iter().map(|size| format::thousands(*size)).collect();
            format!("at {} {leader}", list(&at))
        })
        .collect();
    if !phrases.is_empty() {
        let over = if sizes.len() == 1 { "" } else { ", by number of Services" };
        sentences.push(format!(
            "For a new connection to {}{over}: {}.",
            of_position(position),
            phrases.join("; ")
        ));
    }
    sentences.extend(crossings(group, position, &proxies));
    joined(&sentences)
}

/// Who is first, or that the first cannot be told apart; `None` when fewer than two proxies were
/// measured. Instructions are not time, so there it is not called fast.
fn leader(clock: Clock, costs: &[(&str, Spread)]) -> Option<String> {
    if costs.len() < 2 {
        return None;
    }
    let (best, spread) = costs.iter().min_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let tied: Vec<String> = costs
        .iter()
        .filter(|(_, other)| spread.clearly(other).is_eq())
        .map(|(proxy, _)| (*proxy).to_owned())
        .collect();
    Some(if tied.len() > 1 {
        format!("{} cannot be told apart", list(&tied))
    } else {
        match clock {
            Clock::Wall => format!("{best} is the fastest"),
            Clock::Instructions => format!("{best} needs the fewest instructions"),
        }
    })
}

fn crossings(group: &Group<'_>, position: &str, proxies: &[&str]) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut steady = 0;
    for (at, a) in proxies.iter().enumerate() {
        for b in proxies.iter().skip(at + 1) {
            let points: Vec<(f64, Spread, Spread)> = group
                .series(METRIC, position, a, 0.5)
                .into_iter()
                .filter_map(|(size, cost)| {
                    Some((size as f64, cost, group.stat(METRIC, position, b, size, 0.5)?))
                })
                .collect();
            if points.len() < 2 {
                continue;
            }
            let found = stats::crossings(&points);
            steady += usize::from(found.is_empty());
            sentences.extend(found.iter().map(|crossing| match crossing {
                Crossing::At(x) => format!(
                    "{a} and {b} cross at about {} Services (interpolated between measured sizes).",
                    two_digits(*x)
                ),
                Crossing::Between(low, high) => format!(
                    "{a} and {b} cross between {} and {} Services; between those the seeds differ too much to say where.",
                    size(*low),
                    size(*high)
                ),
            }));
        }
    }
    if steady > 0 {
        let which = if sentences.is_empty() { "No two proxies" } else { "No other two proxies" };
        let range = group.sizes(METRIC, position);
        if let (Some(low), Some(high)) = (range.first(), range.last()) {
            sentences.push(format!(
                "{which} change places between {} and {} Services.",
                format::thousands(*low),
                format::thousands(*high)
            ));
        }
    }
    sentences
}

/// Last against first Service at the largest size.
pub(super) fn position(group: &Group<'_>) -> Option<String> {
    let size = *group.sizes(METRIC, "last").last()?;
    let (mut multiples, mut shares) = (Vec::new(), Vec::new());
    for proxy in rivals(group, METRIC, "last") {
        let at = |position| group.stat(METRIC, position, proxy, size, 0.5);
        let (Some(first), Some(last)) = (at("first"), at("last")) else { continue };
        let ratio = last.median / first.median;
        if ratio >= 1.5 && ratio.is_finite() {
            multiples.push(format!("{} as much with {proxy}", times(ratio)));
        } else if ratio.is_finite() {
            shares.push(format!("{} with {proxy}", signed_percent(ratio - 1.0)));
        }
    }
    let phrases: Vec<String> = [("it takes", multiples), ("it differs by", shares)]
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(verb, items)| format!("{verb} {}", list(&items)))
        .collect();
    if phrases.is_empty() {
        return None;
    }
    Some(format!(
        "With {}, a connection to the last of them against one to the first: {}.",
        services(size),
        phrases.join("; ")
    ))
}

/// Sentences as one text; `None` without any.
fn joined(sentences: &[String]) -> Option<String> {
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Cost of a connection with each proxy at one size, the control left out.
fn costs_at<'g>(group: &'g Group<'_>, position: &str, size: u64) -> Vec<(&'g str, Spread)> {
    rivals(group, METRIC, position)
        .into_iter()
        .filter_map(|proxy| Some((proxy, group.stat(METRIC, position, proxy, size, 0.5)?)))
        .collect()
}

/// A size that was a whole number before it became a coordinate.
fn size(value: f64) -> String {
    format::fixed(value, 0)
}

/// An interpolated size, no more exact than it is.
fn two_digits(value: f64) -> String {
    let unit = 10_f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    format::fixed((value / unit).round() * unit, 0)
}
