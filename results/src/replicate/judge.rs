//! From a stored run to verdicts on the claims of its scenario. Finds numbers and compares; says
//! nothing of layout.

use std::collections::{BTreeMap, BTreeSet};

use super::claim::{Claim, ClaimError, Measured, Term, Test};
use super::verdict::{ClaimPoint, ClaimVerdict, JudgedClaim};
use crate::format::{list, thousands};
use crate::proxies::CONTROL;
use crate::record::{Outcome, Unit};
use crate::stats::Spread;
use crate::store::Run;
use crate::view::{Group, Replicate, View};

/// The verdicts on all claims that the scenario of `run` makes.
///
/// # Errors
/// [`ClaimError`] when the claims or the numbers of the run cannot be read.
pub fn judge(run: &Run) -> Result<Vec<JudgedClaim>, ClaimError> {
    let view = View::new(std::slice::from_ref(run))?;
    let claims = claims_of(run)?;
    Ok(claims.into_iter().map(|claim| judged(claim, run, &view)).collect())
}

fn claims_of(run: &Run) -> Result<Vec<Claim>, ClaimError> {
    let Some(stored) = run.record.scenario.get("claims") else { return Ok(Vec::new()) };
    let claims: Vec<Claim> = serde_json::from_value(stored.clone()).map_err(|error| {
        ClaimError::Stored { run: run.dir.display().to_string(), problem: error.to_string() }
    })?;
    claims.iter().try_for_each(Claim::check)?;
    Ok(claims)
}

fn judged(claim: Claim, run: &Run, view: &View<'_>) -> JudgedClaim {
    let (points, verdict) = match &claim.test {
        Test::Cannot { because } => {
            (Vec::new(), ClaimVerdict::CannotBeTestedHere { reason: because.clone() })
        }
        Test::Measured(test) => {
            let points: Vec<ClaimPoint> =
                view.groups.iter().flat_map(|group| points(test, group)).collect();
            let verdict = verdict(&points, || why_nothing(test, view));
            (points, verdict)
        }
    };
    JudgedClaim { claim, scenario: run.record.scenario_name.clone(), points, verdict }
}

fn points(test: &Measured, group: &Group<'_>) -> Vec<ClaimPoint> {
    let is_other_clock = test.clock.is_some_and(|clock| clock != group.key.clock);
    if is_other_clock || !group.key.path.is_usual() {
        return Vec::new();
    }
    let amounts = group.amounts(&test.of.metric, &test.of.label).into_iter();
    let sizes: BTreeSet<u64> = amounts.map(|(_, _, services)| services).collect();
    let wanted = |size: &u64| test.services.is_empty() || test.services.contains(size);
    sizes.into_iter().filter(wanted).filter_map(|services| point(test, group, services)).collect()
}

fn point(test: &Measured, group: &Group<'_>, services: u64) -> Option<ClaimPoint> {
    let of = values(&test.of, group, services)?;
    // What stands against the value of the same seed.
    let against = |term: &Term, result: &dyn Fn(f64, f64) -> f64| -> Option<Vec<f64>> {
        let other = values(term, group, services)?;
        let pairs = of.iter().filter_map(|(seed, value)| Some((*value, *other.get(seed)?)));
        Some(pairs.map(|(value, other)| result(value, other)).collect())
    };
    let results: Vec<f64> = if let Some(term) = &test.ratio_to {
        let series = |term: &Term| [&term.proxy, &term.metric, &term.label].map(String::clone);
        if term.services == Some(services) && series(term) == series(&test.of) {
            return None;
        }
        against(term, &|value, other| value / other)?
    } else if let Some(term) = &test.per_service_from {
        let more = services.checked_sub(term.services?).filter(|more| *more > 0)? as f64;
        against(term, &|value, other| (value - other) / more)?
    } else if let Some(term) = &test.exponent_from {
        let times = services as f64 / term.services.filter(|start| *start < services)? as f64;
        against(term, &|value, other| (value / other).ln() / times.ln())?
    } else {
        of.into_values().collect()
    };
    let factor = test.times.unwrap_or(1.0);
    let value = Spread::of(results.into_iter().map(|result| result * factor))?;
    let unit = test.has_unit().then(|| unit_of(&test.of, group));
    let (kernel, clock) = (group.key.kernel.clone(), group.key.clock);
    Some(ClaimPoint { kernel, clock, services, value, unit, met: met(test, value) })
}

/// A timing has the unit of its clock; a count has its own.
fn unit_of(term: &Term, group: &Group<'_>) -> Unit {
    let amounts = group.amounts(&term.metric, &term.label).into_iter();
    let units: Vec<Unit> = amounts.map(|(unit, ..)| unit).collect();
    match units.first() {
        Some(first) if !units.contains(&group.unit()) => *first,
        _ => group.unit(),
    }
}

/// The term's value by seed.
fn values(term: &Term, group: &Group<'_>, services: u64) -> Option<BTreeMap<u64, f64>> {
    let services = term.services.unwrap_or(services);
    let unit = unit_of(term, group);
    let value = |one: &Replicate| Some((one.seed, one.samples.percentile(term.quantile)? as f64));
    let of = |proxy: &str| -> BTreeMap<u64, f64> {
        let replicates = group.replicates_in(unit, &term.metric, &term.label, proxy, services);
        replicates.iter().filter_map(value).collect()
    };
    let mut all = of(&term.proxy);
    if term.net {
        let floor = of(CONTROL);
        all.retain(|seed, value| {
            let floor = floor.get(seed);
            *value -= floor.copied().unwrap_or_default();
            floor.is_some()
        });
    }
    (!all.is_empty()).then_some(all)
}

/// Whether all seeds are within the bounds, or none; `None` when they disagree.
fn met(test: &Measured, value: Spread) -> Option<bool> {
    let inside = |value: f64| {
        test.at_least.is_none_or(|least| value >= least)
            && test.at_most.is_none_or(|most| value <= most)
    };
    match [value.min, value.max].map(inside) {
        [true, true] => Some(true),
        // Else the ends are outside on different sides, and some seed may be inside.
        [false, false] if !inside(value.median) => Some(false),
        _ => None,
    }
}

fn verdict(points: &[ClaimPoint], why_nothing: impl FnOnce() -> String) -> ClaimVerdict {
    let count = |met: bool| points.iter().filter(|point| point.met == Some(met)).count();
    let disagree = "the seeds disagree; more of them may settle it";
    match (count(true), count(false)) {
        (0, 0) => {
            let reason = if points.is_empty() { why_nothing() } else { disagree.to_owned() };
            ClaimVerdict::CannotBeTestedHere { reason }
        }
        (0, _) => ClaimVerdict::DoesNotHold,
        (all, _) if all == points.len() => ClaimVerdict::Holds,
        _ => ClaimVerdict::HoldsOnlyWhen { condition: condition(points) },
    }
}

/// Where the claim is met: by sizes, by kernels, or point by point, whichever is enough.
fn condition(points: &[ClaimPoint]) -> String {
    let is_met = |point: &&ClaimPoint| point.met == Some(true);
    let met = || points.iter().filter(is_met);
    let sizes: BTreeSet<u64> = met().map(|point| point.services).collect();
    let kernels: BTreeSet<&str> = met().map(|point| point.kernel.as_str()).collect();
    let with = |sizes: BTreeSet<u64>| {
        format!("with {} Services", list(&sizes.into_iter().map(thousands).collect::<Vec<_>>()))
    };
    if points.iter().all(|point| sizes.contains(&point.services) == is_met(&point)) {
        return with(sizes);
    }
    if points.iter().all(|point| kernels.contains(&*point.kernel) == is_met(&point)) {
        return format!("on {}", list(&kernels.into_iter().collect::<Vec<_>>()));
    }
    let on = |kernel: &str| {
        let here = met().filter(|point| point.kernel == kernel);
        format!("on {kernel} {}", with(here.map(|point| point.services).collect()))
    };
    list(&kernels.into_iter().map(on).collect::<Vec<_>>())
}

/// Why a test has no number: what the cells of its proxy say, or that nobody measured it.
fn why_nothing(test: &Measured, view: &View<'_>) -> String {
    let proxies: BTreeSet<&str> = test.terms().map(|term| term.proxy.as_str()).collect();
    let reason = view.cells().find_map(|cell| {
        let concerns = proxies.contains(cell.labels.proxy.as_str());
        let reason = (cell.outcome != Outcome::Measured).then(|| cell.outcome.reason()).flatten();
        reason.filter(|_| concerns).map(|reason| format!("{}: {reason}", cell.labels.proxy))
    });
    reason.unwrap_or_else(|| {
        format!("the run has no {} ({}) with {}", test.of.metric, test.of.label, test.of.proxy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::metrics;
    use serde_json::json;

    /// The verdict on a claim about the recorded run of three sizes.
    fn on(test: &serde_json::Value) -> JudgedClaim {
        let mut run = fixture::stored();
        run.record.scenario = json!({ "claims": [
            { "id": "x", "source": "s", "says": "s", "how": "h", "test": { "measured": test } }
        ]});
        judge(&run).unwrap().remove(0)
    }

    fn ratio(at_least: f64) -> serde_json::Value {
        let of = json!({ "proxy": "iptables-legacy", "metric": "connect", "label": "last" });
        let mut to = of.clone();
        to["proxy"] = json!("ipvs");
        json!({ "of": of, "ratio_to": to, "at_least": at_least })
    }

    #[test]
    fn a_ratio_holds_everywhere_somewhere_or_nowhere() {
        let all = on(&ratio(0.0));
        assert_eq!(all.verdict, ClaimVerdict::Holds);
        let ratios: Vec<f64> = all.points.iter().map(|point| point.value.median).collect();
        assert!(ratios.len() > 1 && ratios.is_sorted(), "the list grows with Services: {ratios:?}");
        let between = f64::midpoint(ratios[0], ratios[1]);
        let rest: Vec<String> =
            all.points.iter().skip(1).map(|point| thousands(point.services)).collect();
        let condition = format!("with {} Services", list(&rest));
        assert_eq!(on(&ratio(between)).verdict, ClaimVerdict::HoldsOnlyWhen { condition });
        assert_eq!(on(&ratio(1e9)).verdict, ClaimVerdict::DoesNotHold);
    }

    #[test]
    fn a_count_has_its_own_unit_and_needs_no_clock() {
        let mut run = fixture::stored();
        let ids: Vec<u64> = run.cells.iter().map(|cell| cell.labels.services).collect();
        for (cell, services) in run.cells.iter_mut().zip(ids) {
            let walked = metrics::RULES_WALKED.of("last", crate::Clock::Wall, vec![services + 7]);
            cell.metrics.push(walked);
        }
        let of = json!({ "proxy": "iptables-nft", "metric": "rules.walked", "label": "last" });
        run.record.scenario = json!({ "claims": [{ "id": "x", "source": "s", "says": "s", "how": "h",
            "test": { "measured": { "of": of, "at_least": 1000.0 } } }]});
        let judged = judge(&run).unwrap().remove(0);
        let last = judged.points.last().unwrap();
        assert_eq!((last.unit, last.value.median), (Some(Unit::Count), 10_007.0));
        assert_eq!(judged.points.iter().filter(|point| point.met == Some(true)).count(), 2);
    }

    #[test]
    fn a_slope_is_a_difference_over_a_difference_of_sizes_and_has_a_unit() {
        let of = json!({ "proxy": "iptables-legacy", "metric": "connect", "label": "last" });
        let sizes: Vec<u64> = on(&ratio(0.0)).points.iter().map(|point| point.services).collect();
        let (from, to) = (sizes[0], sizes[1]);
        let mut start = of.clone();
        start["services"] = json!(from);
        let judged = on(&json!({
            "of": of, "per_service_from": start, "at_least": 0.0, "clock": "instructions", "services": [from, to]
        }));
        assert_eq!(judged.points.len(), 1, "not at the size it starts from");
        let run = fixture::stored();
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        let cost = |size| {
            view.groups[0].stat("connect", "last", "iptables-legacy", size, 0.5).unwrap().median
        };
        let slope = (cost(to) - cost(from)) / (to - from) as f64;
        assert!((judged.points[0].value.median - slope).abs() < 1e-9);
        assert_eq!(judged.points[0].unit, Some(Unit::Instructions));
    }

    #[test]
    fn an_exponent_tells_a_line_from_a_square() {
        let of = json!({ "proxy": "iptables-legacy", "metric": "connect", "label": "last" });
        let mut start = of.clone();
        let first = on(&ratio(0.0)).points[0].services;
        start["services"] = json!(first);
        let judged = on(&json!({ "of": of, "exponent_from": start, "at_most": 1.0 }));
        assert_eq!(
            judged.verdict,
            ClaimVerdict::Holds,
            "a fixed cost and a line: {:?}",
            judged.points
        );
        assert!(
            judged.points.iter().all(|point| point.value.median > 0.0 && point.services > first)
        );
        assert_eq!(judged.points[0].unit, None);
    }

    #[test]
    fn without_numbers_there_is_a_reason_and_no_verdict() {
        let mut test = ratio(1.0);
        test["of"]["proxy"] = json!("ebpf");
        let ClaimVerdict::CannotBeTestedHere { reason } = on(&test).verdict else {
            panic!("nobody measured it")
        };
        assert_eq!(reason, "the run has no connect (last) with ebpf");
        test = ratio(1.0);
        test["clock"] = json!("wall");
        assert!(on(&test).points.is_empty(), "the recorded run has the other clock");
    }

    #[test]
    fn a_condition_is_as_short_as_it_can_be() {
        let point = |kernel: &str, services, met| ClaimPoint {
            kernel: kernel.into(),
            clock: crate::Clock::Instructions,
            services,
            value: Spread::of([1.0]).unwrap(),
            unit: None,
            met: Some(met),
        };
        let grid = |held: [bool; 4]| {
            let places = [("6.1", 100), ("6.1", 1000), ("7.2", 100), ("7.2", 1000)];
            let points: Vec<ClaimPoint> =
                places.iter().zip(held).map(|((k, n), met)| point(k, *n, met)).collect();
            condition(&points)
        };
        assert_eq!(grid([true, false, true, false]), "with 100 Services");
        assert_eq!(grid([true, true, false, false]), "on 6.1");
        assert_eq!(grid([true, false, false, false]), "on 6.1 with 100 Services");
    }

    #[test]
    fn seeds_that_disagree_decide_nothing() {
        let test: Measured = serde_json::from_value(ratio(1.0)).unwrap();
        assert_eq!(met(&test, Spread::of([0.9, 1.1]).unwrap()), None);
        assert_eq!(met(&test, Spread::of([1.0, 1.1]).unwrap()), Some(true));
        assert_eq!(met(&test, Spread::of([0.8, 0.9]).unwrap()), Some(false));
        let band = Measured { at_most: Some(1.2), ..test };
        assert_eq!(met(&band, Spread::of([0.9, 1.1, 1.3]).unwrap()), None);
    }
}
