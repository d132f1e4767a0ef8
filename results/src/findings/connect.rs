//! Sentences about new connections: what they cost, what one more Service adds, who is first, what
//! the position does.

use std::collections::BTreeSet;

use super::phrases::{of_position, ranked, said, services, times, two_digits};
use crate::format::{fixed, list, quantity, signed_percent, thousands, three_digits};
use crate::metrics;
use crate::proxies::CONTROL;
use crate::record::{Clock, Unit};
use crate::stats::{self, Crossing, Spread, StraightLine};
use crate::view::{Group, Timing};

const METRIC: &str = metrics::CONNECT.name;

/// A line is called one when it explains this share of the variance.
const R2_MIN: f64 = 0.9;
/// A connection stands out that takes so many times the median and the slowest without a proxy.
const STANDS_OUT: u64 = 3;
/// A change over the whole range of sizes below this share of the cost is called flat.
const FLAT_BELOW: f64 = 0.02;

/// New connections at one position, with how far the control moves on its own.
#[derive(Clone, Copy)]
pub(crate) struct Connections<'g> {
    /// What each takes.
    pub timing: Timing<'g>,
    /// By how much a connection without a proxy differs over sizes and seeds, although neither
    /// reaches it: no smaller difference of times is told from noise. 0 where it was not measured.
    noise: f64,
    clock: Clock,
}

impl<'g> Connections<'g> {
    fn of(group: &'g Group<'_>, position: &'g str) -> Self {
        let timing = group.timing(METRIC, position);
        let floors = timing.series(CONTROL).into_iter();
        let ends = floors.flat_map(|(_, floor)| [floor.min, floor.max]);
        let ends = Spread::of(ends).filter(|_| group.key.clock == Clock::Wall);
        let noise = ends.map_or(0.0, |all| all.max - all.min);
        Self { timing, noise, clock: group.key.clock }
    }

    /// At the position that stands for the worst case.
    pub fn worst(group: &'g Group<'_>) -> Option<Self> {
        Some(Self::of(group, group.worst_position(METRIC)?))
    }

    /// What one costs, as wide as the noise at least.
    pub fn at(self, proxy: &str, services: u64) -> Option<Spread> {
        Some(self.timing.at(proxy, services)?.at_least(self.noise))
    }

    /// Proxies whose connections end at an Endpoint.
    fn rivals(self) -> Vec<&'g str> {
        let mut rivals = self.timing.rivals();
        rivals.retain(|proxy| !self.ends_early(proxy));
        rivals
    }

    /// What a connection costs with each of them.
    pub fn of_rivals(self, services: u64) -> Vec<(&'g str, Spread)> {
        self.costs(self.rivals(), services)
    }

    /// The same of those that answer a connection themselves.
    pub fn of_early(self, services: u64) -> Vec<(&'g str, Spread)> {
        let mut early = self.timing.rivals();
        early.retain(|proxy| self.ends_early(proxy));
        self.costs(early, services)
    }

    fn costs(self, proxies: Vec<&'g str>, services: u64) -> Vec<(&'g str, Spread)> {
        let costs = proxies.into_iter();
        costs.filter_map(|proxy| Some((proxy, self.at(proxy, services)?))).collect()
    }

    /// Whether a proxy answers connections itself, before an Endpoint has them: they take fewer
    /// instructions than dialling the Endpoint does, at every size. Times are no proof of that.
    fn ends_early(self, proxy: &str) -> bool {
        let both = |(services, cost): (u64, Spread)| Some((cost, self.at(CONTROL, services)?));
        let mut compared = self.timing.series(proxy).into_iter().filter_map(both).peekable();
        self.clock == Clock::Instructions
            && compared.peek().is_some()
            && compared.all(|(cost, floor)| cost.clearly(&floor).is_lt())
    }
}

/// The largest size, the worst position, every proxy. Where the control contradicts a figure it is
/// not said what proxies take, and why.
pub(super) fn headline(group: &Group<'_>) -> Option<String> {
    let connect = Connections::worst(group)?;
    let sizes = connect.timing.sizes().into_iter().rev();
    let (size, costs) =
        sizes.map(|size| (size, connect.of_rivals(size))).find(|(_, costs)| !costs.is_empty())?;
    let seeds = costs.iter().map(|(_, spread)| spread.count).max().unwrap_or(1);
    let over = if seeds > 1 { format!(", median of {seeds} seeds") } else { String::new() };
    let floor = connect.at(CONTROL, size);
    if let Some(refused) = floor.and_then(|floor| contradicted(group, connect, &costs, floor)) {
        return Some(format!("With {} ({}), {refused}", services(size), group.shape.in_words()));
    }
    let floor = floor.map_or(String::new(), |floor| {
        let direct = quantity(group.unit(), floor.median);
        format!(" Dialling the endpoint itself, without any proxy, takes {direct}.")
    });
    let early = connect.of_early(size);
    let early = (!early.is_empty()).then(|| {
        let costs = ranked(group.unit(), early);
        format!(" Fewer take those that answer a connection themselves, before an Endpoint has it: {costs}.")
    });
    let missing = missing_at(group, size);
    let missing = said([(" Without a figure at this size:".to_owned(), missing)]);
    Some(format!(
        "With {} ({}), a new connection to {} takes {} (p50{over}).{floor}{}{}",
        services(size),
        group.shape.in_words(),
        of_position(connect.timing.label),
        ranked(group.unit(), costs),
        early.unwrap_or_default(),
        missing.unwrap_or_default()
    ))
}

/// Why nothing is said of connections that are not clearly dearer than those without a proxy, which
/// they cannot be cheaper than.
pub(crate) fn contradicted(
    group: &Group<'_>,
    connect: Connections<'_>,
    costs: &[(&str, Spread)],
    floor: Spread,
) -> Option<String> {
    let drowned: Vec<(&str, Spread)> =
        costs.iter().copied().filter(|(_, cost)| cost.clearly(&floor).is_le()).collect();
    (!drowned.is_empty()).then(|| {
        format!(
            "it is not told what a proxy adds to a new connection to {}: {} is not clearly more than the {} without a proxy, which vary by {} in this run although no rule reaches them. Measure again on a quieter machine, with more connections and seeds.",
            of_position(connect.timing.label),
            ranked(group.unit(), drowned),
            quantity(group.unit(), floor.median),
            quantity(group.unit(), connect.noise)
        )
    })
}

/// Proxies whose connections could not be measured at one size, each with the kind of outcome.
fn missing_at(group: &Group<'_>, size: u64) -> Vec<String> {
    let here =
        group.gaps().filter(|cell| cell.labels.measure == METRIC && cell.labels.services == size);
    let missing: BTreeSet<String> =
        here.map(|cell| format!("{} ({})", cell.labels.proxy, cell.outcome.kind())).collect();
    missing.into_iter().collect()
}

/// What one more Service adds to a connection to the last one, where a line says so.
pub(super) fn cost_of_one_more(group: &Group<'_>) -> Option<String> {
    let Connections { timing: connect, noise, .. } = Connections::worst(group)?;
    let (mut sloped, mut flat, mut shapeless) = (Vec::new(), Vec::new(), Vec::new());
    for proxy in connect.rivals() {
        let points = connect.points(proxy);
        let Some(line) = stats::fit_line(&points) else { continue };
        let ((from, first), (to, last)) = (points[0], points[points.len() - 1]);
        if first <= 0.0 {
            continue;
        }
        let change = signed_percent((last - first) / first);
        let change = format!("{change} from {} to {}", fixed(from, 0), fixed(to, 0));
        let varies = points.iter().map(|(_, y)| (y - first).abs() / first).fold(0.0, f64::max);
        match line.r2 {
            _ if varies < FLAT_BELOW.max(noise / first) => flat.push(format!("{proxy} ({change})")),
            Some(r2) if r2 < R2_MIN => {
                shapeless.push(format!("{proxy} ({change}, {})", r_squared(r2)));
            }
            _ => sloped.push(slope_phrase(group.unit(), proxy, &line, &points)),
        }
    }
    let position = of_position(connect.label);
    said([
        (format!("One more Service adds to a connection to {position}:"), sloped),
        ("The number of Services hardly matters to".to_owned(), flat),
        (
            "The cost changes with the number of Services, but does not follow a line:".to_owned(),
            shapeless,
        ),
    ])
}

fn slope_phrase(unit: Unit, proxy: &str, line: &StraightLine, points: &[(f64, f64)]) -> String {
    let sizes = points.len();
    let range = format!("{} to {}", fixed(points[0].0, 0), fixed(points[sizes - 1].0, 0));
    let how = match line.r2 {
        Some(r2) => format!("line through {sizes} sizes, {range}, {}", r_squared(r2)),
        None => format!("between {range}; two sizes, so no check of linearity"),
    };
    format!("{} {unit} with {proxy} ({how})", three_digits(line.slope))
}

/// Rounded down, so that 1 is said only of a perfect line.
fn r_squared(r2: f64) -> String {
    let text = format!("R² {:.4}", (r2 * 1e4).floor() / 1e4);
    text.trim_end_matches("0000").trim_end_matches('.').to_owned()
}

/// Who is first at each size, and where two proxies change places.
pub(super) fn order(group: &Group<'_>) -> Option<String> {
    let connect = Connections::worst(group)?;
    let sizes = connect.timing.sizes();
    let leader =
        |size: &u64| Some((leader(group.key.clock, &connect.of_rivals(*size))?, thousands(*size)));
    let leaders: Vec<(String, String)> = sizes.iter().filter_map(leader).collect();
    let phrases: Vec<String> = leaders
        .chunk_by(|a, b| a.0 == b.0)
        .map(|same| {
            let at: Vec<&str> = same.iter().map(|(_, size)| size.as_str()).collect();
            format!("at {} {}", list(&at), same[0].0)
        })
        .collect();
    let mut sentences = Vec::new();
    if !phrases.is_empty() {
        let over = if sizes.len() == 1 { "" } else { ", by number of Services" };
        sentences.push(format!(
            "For a new connection to {}{over}: {}.",
            of_position(connect.timing.label),
            phrases.join("; ")
        ));
    }
    sentences.extend(crossings(connect));
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Who is first, or that the first cannot be told apart; `None` when fewer than two proxies were
/// measured. Instructions are not time, so there it is not called fast.
fn leader(clock: Clock, costs: &[(&str, Spread)]) -> Option<String> {
    if costs.len() < 2 {
        return None;
    }
    let (best, spread) = costs.iter().min_by(|a, b| a.1.median.total_cmp(&b.1.median))?;
    let tied = costs.iter().filter(|(_, other)| spread.clearly(other).is_eq());
    let tied: Vec<&str> = tied.map(|(proxy, _)| *proxy).collect();
    Some(match clock {
        _ if tied.len() > 1 => format!("{} cannot be told apart", list(&tied)),
        Clock::Wall => format!("{best} is the fastest"),
        Clock::Instructions => format!("{best} needs the fewest instructions"),
    })
}

fn crossings(connect: Connections<'_>) -> Vec<String> {
    let proxies = connect.rivals();
    let pairs = proxies
        .iter()
        .enumerate()
        .flat_map(|(at, a)| proxies[at + 1..].iter().map(move |b| (a, b)));
    let (mut sentences, mut steady) = (Vec::new(), false);
    for (a, b) in pairs {
        let at = |size| Some((size as f64, connect.at(a, size)?, connect.at(b, size)?));
        let points: Vec<(f64, Spread, Spread)> =
            connect.timing.sizes().into_iter().filter_map(at).collect();
        let found = stats::crossings(&points);
        steady |= points.len() > 1 && found.is_empty();
        sentences.extend(found.iter().map(|crossing| match crossing {
            Crossing::At(x) => format!(
                "{a} and {b} cross at about {} Services (interpolated between measured sizes).",
                two_digits(*x)
            ),
            Crossing::Between(low, high) => format!(
                "{a} and {b} cross between {} and {} Services; between those the seeds differ too much to say where.",
                fixed(*low, 0),
                fixed(*high, 0)
            ),
        }));
    }
    if let (true, [low, .., high]) = (steady, connect.timing.sizes().as_slice()) {
        let which = if sentences.is_empty() { "No two proxies" } else { "No other two proxies" };
        sentences.push(format!(
            "{which} change places between {} and {} Services.",
            thousands(*low),
            thousands(*high)
        ));
    }
    sentences
}

/// Last against first Service at the largest size.
pub(super) fn position(group: &Group<'_>) -> Option<String> {
    let [first, last] = ["first", "last"].map(|position| group.timing(METRIC, position));
    let noise = Connections::of(group, "last").noise;
    let size = *last.sizes().last()?;
    let (mut multiples, mut shares) = (Vec::new(), Vec::new());
    for proxy in last.rivals() {
        let (Some(first), Some(last)) = (first.at(proxy, size), last.at(proxy, size)) else {
            continue;
        };
        match last.median / first.median {
            ratio if !ratio.is_finite() => {}
            ratio if (last.median - first.median).abs() < noise => {
                let change = signed_percent(ratio - 1.0);
                shares.push(format!("{change}, less than the noise, with {proxy}"));
            }
            ratio if ratio >= 1.5 => {
                multiples.push(format!("{} as much with {proxy}", times(ratio)));
            }
            ratio => shares.push(format!("{} with {proxy}", signed_percent(ratio - 1.0))),
        }
    }
    let phrases: Vec<String> = [("it takes", multiples), ("it differs by", shares)]
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(verb, items)| format!("{verb} {}", list(&items)))
        .collect();
    (!phrases.is_empty()).then(|| {
        format!(
            "With {}, a connection to the last of them against one to the first: {}.",
            services(size),
            phrases.join("; ")
        )
    })
}

/// Where the slowest connection of a cell stands out: neither the median nor the p99 shows a pause
/// that hits one of thousands.
pub(super) fn slowest(group: &Group<'_>) -> Option<String> {
    let connect = group.worst_timing(METRIC)?;
    let unit = group.unit();
    let mut phrases = Vec::new();
    for size in connect.sizes() {
        let samples = |proxy: &str| group.pooled_in(unit, METRIC, connect.label, proxy, size);
        let floor = samples(CONTROL).max().unwrap_or(0);
        for proxy in connect.rivals() {
            let all = samples(proxy);
            // Not every proxy was measured at every size.
            let (Some(worst), Some(usual)) = (all.max(), all.percentile(0.5)) else { continue };
            if worst < usual.max(floor).saturating_mul(STANDS_OUT) {
                continue;
            }
            phrases.push(format!(
                "{} with {proxy} and {}, {} the median of {}",
                quantity(unit, worst as f64),
                services(size),
                times(worst as f64 / usual as f64),
                thousands(all.count())
            ));
        }
    }
    let beginning = "One connection can take far longer than any without a proxy:".to_owned();
    let said = said([(beginning, phrases)])?;
    let remedy = if unit == Unit::Instructions {
        " `vipbench explain RUN --cell CELL --between LEAST..` tells what such a one waited for; the measure `standing` has the longest pause."
    } else {
        ""
    };
    Some(said + remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{CellRecord, Distribution};
    use crate::view::View;

    /// The example on the wall clock with other connections, nanoseconds.
    fn said_of(costs: &[(&str, u64)]) -> String {
        let mut run = fixture::wall();
        for cell in &mut run.cells {
            let cost = costs.iter().find(|(proxy, _)| *proxy == cell.labels.proxy);
            for metric in cell.metrics.iter_mut().filter(|metric| metric.name == METRIC) {
                let values = vec![cost.unwrap().1; 1000];
                metric.data = Distribution::Values { values };
            }
        }
        headline(&View::new(&[run]).unwrap().groups[0]).unwrap()
    }

    #[test]
    fn a_connection_that_waited_for_something_is_told() {
        let mut run = fixture::stored();
        let ipvs = |cell: &&mut CellRecord| {
            (cell.labels.proxy.as_str(), cell.labels.services) == ("ipvs", 10_000)
        };
        for metric in run.cells.iter_mut().filter(ipvs).flat_map(|cell| &mut cell.metrics) {
            if metric.name == METRIC {
                let values = [vec![70_000; 999], vec![615_270]].concat();
                metric.data = Distribution::Values { values };
            }
        }
        let runs = [run];
        let view = View::new(&runs).unwrap();
        let told = slowest(&view.groups[0]).unwrap();
        let wanted =
            "615,270 instructions with ipvs and 10,000 Services, 8.8 times the median of 2,000";
        assert!(told.contains(wanted) && told.contains("--between LEAST.."), "{told}");
        let mut lacking = runs.clone();
        lacking[0].cells.retain(|cell| {
            (cell.labels.proxy.as_str(), cell.labels.services) != ("iptables-legacy", 100)
        });
        let without_one = slowest(&View::new(&lacking).unwrap().groups[0]);
        assert_eq!(without_one, Some(told), "a cell that was not measured hides no other");
        let quiet = [fixture::stored()];
        assert_eq!(slowest(&View::new(&quiet).unwrap().groups[0]), None);
    }

    #[test]
    fn what_the_control_contradicts_is_not_said() {
        let loaded = said_of(&[("none", 18_800), ("iptables-nft", 16_400)]);
        assert!(loaded.contains("it is not told what a proxy adds"), "{loaded}");
        assert!(loaded.contains("16.4 µs with iptables-nft is not clearly more"), "{loaded}");
        assert!(loaded.contains("the 18.8 µs without a proxy"), "{loaded}");
        let quiet = said_of(&[("none", 14_400), ("iptables-nft", 16_400)]);
        assert!(quiet.contains("takes 16.4 µs with iptables-nft (p50)"), "{quiet}");
    }
}
