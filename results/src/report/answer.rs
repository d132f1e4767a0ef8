//! Which proxies a run recommends: a rule over its cells. What a proxy is called or does is not
//! known here.
//!
//! Both costs of the rule are held against a connection without a proxy, so that it is the same on
//! either clock. How it is worded is in `first`.

use std::collections::BTreeSet;

use itertools::Itertools as _;

use crate::findings::{Connections, contradicted};
use crate::metrics::{CONNECT, SYNC_ENDPOINT_CHANGE, SYNC_FULL, TOTAL};
use crate::proxies::CONTROL;
use crate::stats::Spread;
use crate::view::{Group, Timing};

/// A new connection may take so many times what it takes without a proxy.
pub(super) const CONNECT_TIMES_MAX: f64 = 2.0;
/// One replaced endpoint may take as much as so many connections without a proxy.
pub(super) const CHANGE_CONNECTIONS_MAX: f64 = 10_000.0;

/// Groups of metrics that the rule needs.
const MEASURES: [&str; 2] = [CONNECT.name, "sync"];

/// What the rule says of a proxy; the best first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// Within both limits in every seed.
    Good,
    /// A limit lies between the seeds, or within the noise.
    Close,
    /// Over a limit in every seed, or cut off; with what is over it.
    Over(Vec<&'static str>),
    /// It answers connections itself: another question.
    AnswersItself,
    /// The cells that would tell have no numbers; with how they ended.
    Unknown(String),
}

/// One proxy at the size of the answer.
#[derive(Debug, Clone)]
pub(super) struct Line<'g> {
    pub proxy: &'g str,
    pub fit: Fit,
    /// A new connection.
    pub connect: Option<Spread>,
    /// The size that it was measured at, which may be a smaller one, and a full sync there.
    pub full: Option<(u64, Spread)>,
    /// The same of one replaced endpoint.
    pub change: Option<(u64, Spread)>,
    /// The largest measured size up to which it is good at every one.
    pub good_to: Option<u64>,
}

/// What one group says.
#[derive(Debug)]
pub(super) struct Answer<'g> {
    pub group: &'g Group<'g>,
    /// The largest size at which there is a choice.
    pub services: u64,
    /// Position of the dialled Service.
    pub position: &'g str,
    /// A connection without a proxy.
    pub floor: Option<Spread>,
    /// Why nothing is recommended, in words.
    pub refusal: Option<String>,
    /// The best first.
    pub lines: Vec<Line<'g>>,
    /// Proxies that were measured with fewer Services only.
    pub smaller: Vec<&'g str>,
}

/// The timings that the rule looks at.
struct Rule<'g> {
    group: &'g Group<'g>,
    connect: Connections<'g>,
    full: Timing<'g>,
    change: Timing<'g>,
}

/// The answer of a group; nothing where no proxy has a new connection.
pub(super) fn of<'g>(group: &'g Group<'_>) -> Option<Answer<'g>> {
    let connect = Connections::worst(group)?;
    let rivals = |services: &u64| connect.of_rivals(*services).len();
    let sizes = connect.timing.sizes().into_iter().filter(|size| rivals(size) > 0);
    let services = sizes.max_by_key(|size| (rivals(size).min(2), *size))?;
    let rule = Rule {
        group,
        connect,
        full: group.timing(SYNC_FULL.name, TOTAL),
        change: group.timing(SYNC_ENDPOINT_CHANGE.name, TOTAL),
    };
    let (here, smaller) = rule.proxies(services);
    let lines = here.into_iter().map(|proxy| rule.line(proxy, services));
    let cost = |line: &Line<'_>| line.connect.map_or(f64::INFINITY, |connect| connect.median);
    let lines = lines.sorted_by(|a, b| {
        rank(&a.fit).cmp(&rank(&b.fit)).then_with(|| cost(a).total_cmp(&cost(b)))
    });
    Some(Answer {
        group,
        services,
        position: connect.timing.label,
        floor: connect.at(CONTROL, services),
        refusal: refusal(group, connect, services),
        lines: lines.collect(),
        smaller,
    })
}

/// Why nothing is recommended; nothing where something may be.
fn refusal(group: &Group<'_>, connect: Connections<'_>, services: u64) -> Option<String> {
    let costs = connect.of_rivals(services);
    if let [(only, _)] = costs.as_slice() {
        return Some(format!("{only} alone was measured, so there is no choice."));
    }
    let Some(floor) = connect.at(CONTROL, services) else {
        return Some(
            "there is no connection without a proxy to hold them against; measure `none` too."
                .to_owned(),
        );
    };
    contradicted(group, connect, &costs, floor)
}

/// The place of a verdict among others, whatever its reason.
fn rank(fit: &Fit) -> u8 {
    match fit {
        Fit::Good => 0,
        Fit::Close => 1,
        Fit::Over(_) => 2,
        Fit::AnswersItself => 3,
        Fit::Unknown(_) => 4,
    }
}

impl<'g> Answer<'g> {
    /// The proxies with which it is good.
    pub fn good(&self) -> Vec<&'g str> {
        self.of_fit(|fit| *fit == Fit::Good).map(|line| line.proxy).collect()
    }

    /// Lines of some verdict, in their order.
    pub fn of_fit(&self, wanted: fn(&Fit) -> bool) -> impl Iterator<Item = &Line<'g>> {
        self.lines.iter().filter(move |line| wanted(&line.fit))
    }
}

impl<'g> Rule<'g> {
    /// Proxies that were measured, or should have been, with so many Services; and the others.
    fn proxies(&self, services: u64) -> (Vec<&'g str>, Vec<&'g str>) {
        let planned = self.group.cells.iter().filter(|cell| cell.labels.measure == MEASURES[0]);
        let here: BTreeSet<&str> = planned
            .filter(|cell| cell.labels.services == services)
            .map(|cell| cell.labels.proxy.as_str())
            .collect();
        let all = self.group.cells.iter().map(|cell| cell.labels.proxy.as_str());
        let all = self.group.known.sorted(all.filter(|proxy| *proxy != CONTROL));
        all.into_iter().partition(|proxy| here.contains(proxy))
    }

    fn line(&self, proxy: &'g str, services: u64) -> Line<'g> {
        let sizes = self.connect.timing.sizes().into_iter().filter(|size| *size <= services);
        let good = sizes.take_while(|size| self.fit(proxy, *size) == Fit::Good);
        Line {
            proxy,
            fit: self.fit(proxy, services),
            connect: self.connect.at(proxy, services),
            full: up_to(self.full, proxy, services),
            change: up_to(self.change, proxy, services),
            good_to: good.last(),
        }
    }

    /// What the rule says of a proxy with so many Services.
    fn fit(&self, proxy: &str, services: u64) -> Fit {
        let early = self.connect.of_early(services);
        if early.iter().any(|(one, _)| *one == proxy) {
            return Fit::AnswersItself;
        }
        let both = [self.connects(proxy, services), self.changes(proxy, services)];
        let over = both.iter().filter_map(|fit| match fit {
            Fit::Over(what) => Some(what.clone()),
            _ => None,
        });
        let over = over.concat();
        if over.is_empty() {
            both.into_iter().max_by_key(rank).unwrap_or(Fit::Good)
        } else {
            Fit::Over(over)
        }
    }

    fn connects(&self, proxy: &str, services: u64) -> Fit {
        let cost = self.connect.at(proxy, services);
        match (cost, self.connect.at(CONTROL, services)) {
            (Some(cost), Some(floor)) => held(cost, times(floor, CONNECT_TIMES_MAX), "connect"),
            _ => self.without(MEASURES[0], proxy, services, "connect"),
        }
    }

    /// Where no sync was planned at this size, that of a smaller one counts; without any, there is
    /// nothing to be over a limit.
    fn changes(&self, proxy: &str, services: u64) -> Fit {
        let planned = self
            .group
            .cells
            .iter()
            .filter(|cell| cell.labels.measure == MEASURES[1] && cell.labels.proxy == proxy);
        let planned = planned.map(|cell| cell.labels.services).filter(|size| *size <= services);
        let Some(size) = planned.max() else { return Fit::Good };
        match (self.change.at(proxy, size), self.connect.at(CONTROL, services)) {
            (Some(cost), Some(floor)) => held(cost, times(floor, CHANGE_CONNECTIONS_MAX), "Change"),
            (None, _) => self.without(MEASURES[1], proxy, size, "syncs"),
            (_, None) => Fit::Unknown("no control".to_owned()),
        }
    }

    /// What it means that there is no number: what took too long is over any limit.
    fn without(&self, measure: &str, proxy: &str, services: u64, what: &'static str) -> Fit {
        let cell = self.group.gaps().find(|cell| {
            let labels = &cell.labels;
            (&*labels.measure, &*labels.proxy, labels.services) == (measure, proxy, services)
        });
        match cell.map(|cell| cell.outcome.kind()) {
            Some("censored" | "skipped") => Fit::Over(vec![what]),
            Some(kind) => Fit::Unknown(format!("{what} {kind}")),
            None => Fit::Unknown(format!("{what} not measured")),
        }
    }
}

/// A timing at a size, or else at the largest below it.
fn up_to(timing: Timing<'_>, proxy: &str, services: u64) -> Option<(u64, Spread)> {
    timing.series(proxy).into_iter().rfind(|(size, _)| *size <= services)
}

fn times(floor: Spread, factor: f64) -> Spread {
    let Spread { median, min, max, count } = floor;
    Spread { median: median * factor, min: min * factor, max: max * factor, count }
}

/// Whether a cost is below a limit in every seed, above it in every seed, or neither.
fn held(cost: Spread, limit: Spread, what: &'static str) -> Fit {
    match cost.clearly(&limit) {
        std::cmp::Ordering::Less => Fit::Good,
        std::cmp::Ordering::Equal => Fit::Close,
        std::cmp::Ordering::Greater => Fit::Over(vec![what]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Outcome;
    use crate::store::Run;
    use crate::view::View;

    fn answered(run: Run, check: impl Fn(Answer<'_>)) {
        let runs = [run];
        let view = View::new(&runs).unwrap();
        check(of(&view.groups[0]).unwrap());
    }

    #[test]
    fn the_rule_tells_good_proxies_from_those_past_their_limit() {
        answered(fixture::stored(), |answer| {
            assert_eq!((answer.services, answer.good()), (10_000, vec!["ipvs"]));
            let legacy = answer.lines.iter().find(|line| line.proxy == "iptables-legacy").unwrap();
            assert_eq!(legacy.fit, Fit::Over(vec!["connect", "Change"]));
            assert_eq!(legacy.good_to, Some(1_000));
        });
    }

    #[test]
    fn one_proxy_is_no_choice_and_without_the_control_nothing_is_told() {
        answered(fixture::wall(), |answer| {
            assert!(answer.refusal.unwrap().contains("iptables-nft alone was measured"));
        });
        let mut run = fixture::stored();
        run.cells.retain(|cell| cell.labels.proxy != CONTROL);
        answered(run, |answer| assert!(answer.refusal.unwrap().contains("measure `none` too")));
    }

    #[test]
    fn a_control_that_contradicts_refuses_the_answer() {
        let mut run = fixture::stored();
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.proxy == CONTROL) {
            let values = crate::record::Distribution::Values { values: vec![59_520; 1_000] };
            cell.metrics.iter_mut().for_each(|metric| metric.data = values.clone());
        }
        answered(run, |answer| {
            let why = answer.refusal.unwrap();
            assert!(why.contains("is not clearly more than the 59,520 instructions"), "{why}");
        });
    }

    #[test]
    fn what_failed_is_not_told_and_what_was_cut_off_is_over() {
        let ended = |outcome: &Outcome| {
            let mut run = fixture::stored();
            for cell in run.cells.iter_mut().filter(|cell| {
                let labels = &cell.labels;
                (&*labels.proxy, &*labels.measure, labels.services) == ("ipvs", "sync", 10_000)
            }) {
                cell.outcome = outcome.clone();
                cell.metrics.clear();
            }
            let runs = [run];
            let view = View::new(&runs).unwrap();
            let answer = of(&view.groups[0]).unwrap();
            assert_eq!(answer.good(), [""; 0]);
            answer.lines.iter().find(|line| line.proxy == "ipvs").unwrap().fit.clone()
        };
        let failed = ended(&Outcome::Failed { reason: "x".into() });
        assert_eq!(failed, Fit::Unknown("syncs failed".to_owned()));
        let clock = crate::record::Clock::Instructions;
        assert_eq!(ended(&Outcome::Censored { limit_s: 1, clock }), Fit::Over(vec!["syncs"]));
    }
}
