//! From stored runs and a budget to the plan: for each kernel and proxy every condition, and what
//! they allow together.
//!
//! Reads cells, fits and inverts with the files beside it; says nothing in sentences.

use std::collections::BTreeSet;

use itertools::Itertools as _;

use super::clock_rate::ClockRate;
use super::cost::{Cost, SIZES_MIN};
use super::error::CapacityError;
use super::limit::Largest;
use super::measured::Subject;
use super::plan::{
    Answer, Asked, CAPACITY_SCHEMA, CapacityPlan, ConditionPlan, FitPlan, Forecast, Gap, GroupPlan,
    Outlook, ProxyPlan, ValueUnit, Verdict,
};
use super::slo::{Condition, Slo};
use super::{budget, moves};
use crate::format::{list, plain, thousands, three_digits};
use crate::proxies::CONTROL;
use crate::record::Unit;
use crate::store::Run;
use crate::view::{Group, View};

/// What a reader may choose.
#[derive(Debug, Default)]
pub struct PlanOptions {
    /// The reader's own size.
    pub asked: Option<Asked>,
    /// How instructions become time, if at all.
    pub clock_rate: Option<ClockRate>,
}

/// What every part of a plan needs.
struct Planner<'a> {
    view: &'a View<'a>,
    conditions: &'a [Condition],
    options: &'a PlanOptions,
    runs: String,
}

/// What `slo`, written as `text`, allows each proxy on each kernel of `runs`.
///
/// # Errors
/// [`CapacityError`]: a budget that does not suit the runs' clock or that nothing was measured for,
/// and stored values that cannot be trusted.
pub fn plan(
    runs: &[Run],
    text: &str,
    options: &PlanOptions,
) -> Result<CapacityPlan, CapacityError> {
    let slo: Slo = text.parse()?;
    let view = View::new(runs)?;
    let folders: Vec<String> = runs.iter().map(Run::folder).collect();
    let conditions = &slo.conditions;
    let planner = Planner { view: &view, conditions, options, runs: list(&folders) };
    planner.check_measured()?;
    let groups = view.groups.iter().map(|group| planner.group(group)).collect::<Result<_, _>>()?;
    Ok(CapacityPlan {
        schema: CAPACITY_SCHEMA.to_owned(),
        tool_versions: runs.iter().map(|run| plain(&run.record.tool_version)).dedup().collect(),
        runs: folders,
        slo: plain(text),
        asked: options.asked.clone(),
        calibration: options.clock_rate.as_ref().map(ClockRate::words),
        groups,
    })
}

impl Planner<'_> {
    /// At least one condition has to have been measured somewhere.
    fn check_measured(&self) -> Result<(), CapacityError> {
        let has =
            |group| self.conditions.iter().any(|one| Subject::of(group, one).unit().is_some());
        if self.view.groups.iter().any(has) {
            return Ok(());
        }
        let names = self.view.groups.iter().flat_map(Group::metrics);
        let names = names.map(|name| name.split('.').next().unwrap_or(name));
        let measured = names.sorted_unstable().dedup().join(", ");
        let name =
            |condition: &Condition| condition.subject(condition.label.as_deref().unwrap_or("last"));
        Err(CapacityError::NothingMeasured {
            run: self.runs.clone(),
            measured: if measured.is_empty() { "nothing".to_owned() } else { measured },
            wanted: list(&self.conditions.iter().map(name).collect_vec()),
        })
    }

    fn group(&self, group: &Group<'_>) -> Result<GroupPlan, CapacityError> {
        let proxies = group.cells.iter().map(|cell| cell.labels.proxy.as_str());
        let proxies = group.known.sorted(proxies.filter(|proxy| *proxy != CONTROL)).into_iter();
        let proxies: Vec<ProxyPlan> =
            proxies.map(|proxy| self.proxy(group, proxy)).collect::<Result<_, _>>()?;
        let asked = self.options.asked.as_ref().map(|asked| asked.services);
        Ok(GroupPlan {
            kernel: plain(&group.key.kernel),
            place: group.key.place,
            clock: group.key.clock,
            path: group.key.path.clone(),
            endpoints_per_service: group.shape.endpoints_per_service,
            shape: group.shape.in_words(),
            moves: moves::moves(&proxies, &group.known, asked),
            known: group.known.clone(),
            proxies,
        })
    }

    fn proxy(&self, group: &Group<'_>, proxy: &str) -> Result<ProxyPlan, CapacityError> {
        let (mut conditions, mut gaps) = (Vec::new(), Vec::new());
        for condition in self.conditions {
            let subject = Subject::of(group, condition);
            gaps.extend(subject.gaps(self.view, proxy));
            conditions.push(self.condition(subject, proxy)?);
        }
        gaps.sort();
        gaps.dedup();
        let blocked = blocked_at(&conditions, &gaps);
        let verdict = verdict(&conditions, &gaps, blocked);
        let (measured_within, measured_over) = self.bracket(&conditions);
        let outlook = self.sizes(&verdict).into_iter();
        let outlook = outlook.map(|size| self.outlook(size, &conditions, blocked)).collect();
        let proxy = plain(proxy);
        Ok(ProxyPlan { proxy, verdict, measured_within, measured_over, conditions, gaps, outlook })
    }

    fn condition(&self, subject: Subject<'_>, proxy: &str) -> Result<ConditionPlan, CapacityError> {
        let Subject { group, condition, label } = subject;
        let mut plan = ConditionPlan {
            subject: subject.name(),
            metric: condition.metric.clone(),
            label: plain(label),
            unit: ValueUnit::Stored(group.unit()),
            limit: 0.0,
            limit_range: None,
            points: Vec::new(),
            fit: None,
            reason: None,
        };
        match subject.points(proxy) {
            Ok(measured) => (plan.unit, plan.points) = measured,
            Err(reason) => return Ok(ConditionPlan { reason: Some(reason), ..plan }),
        }
        let rate = self.options.clock_rate.as_ref();
        let limit = budget::limit(&subject, plan.unit, proxy, rate, &self.runs)?;
        plan.limit = limit.value;
        plan.limit_range = (limit.low < limit.high).then_some((limit.low, limit.high));
        let Some(cost) = Cost::of(plan.points.clone()) else {
            return Ok(ConditionPlan { reason: Some(too_few(plan.points.len())), ..plan });
        };
        for point in &mut plan.points {
            point.residual = Some(point.median / cost.at(point.services).value - 1.0);
        }
        let number = |value: f64| match plan.unit {
            ValueUnit::Stored(Unit::Instructions) => three_digits(value),
            unit => unit.quantity(value),
        };
        plan.fit = Some(FitPlan {
            model: cost.fit.model,
            words: cost.fit.words(&number),
            largest: Largest::of(&cost, limit, &|value, limit| condition.admits(value, limit)),
            cost,
        });
        Ok(plan)
    }

    /// What a ladder alone says: the largest size where all held in every seed, and the smallest
    /// above it where one did not.
    fn bracket(&self, conditions: &[ConditionPlan]) -> (Option<u64>, Option<u64>) {
        let points = conditions.iter().flat_map(|one| &one.points);
        let sizes: BTreeSet<u64> = points.map(|point| point.services).collect();
        let good = |size: u64| -> Option<bool> {
            let held = |(plan, condition): (&ConditionPlan, &Condition)| {
                let point = plan.points.iter().find(|point| point.services == size)?;
                Some(condition.admits(point.max, plan.limit))
            };
            let held: Vec<_> = conditions.iter().zip(self.conditions).map(held).collect();
            if held.contains(&Some(false)) { Some(false) } else { held.into_iter().min()? }
        };
        let over = sizes.iter().copied().find(|size| good(*size) == Some(false));
        let below = sizes.range(..over.unwrap_or(u64::MAX)).copied();
        (below.rev().find(|size| good(*size) == Some(true)), over)
    }

    /// Sizes that the outlook is given for.
    fn sizes(&self, verdict: &Verdict) -> Vec<u64> {
        let size = match (&self.options.asked, verdict) {
            (Some(asked), _) => asked.services,
            (None, Verdict::Largest { largest, .. }) => largest.estimate.services,
            (None, Verdict::Unknown { .. }) => 0,
        };
        if size == 0 { Vec::new() } else { vec![size, size.saturating_mul(2)] }
    }

    fn outlook(
        &self,
        services: u64,
        conditions: &[ConditionPlan],
        blocked: Option<u64>,
    ) -> Outlook {
        let forecast = |(plan, condition)| forecast(plan, condition, services);
        let forecasts: Vec<Forecast> =
            conditions.iter().zip(self.conditions).filter_map(forecast).collect();
        let has = |answer| forecasts.iter().any(|forecast| forecast.answer == answer);
        // One condition that is broken breaks the budget, whatever is unknown about the others.
        let answer = if has(Answer::Over) || blocked.is_some_and(|size| services >= size) {
            Answer::Over
        } else if forecasts.len() < conditions.len() {
            Answer::Unknown
        } else if has(Answer::Unclear) {
            Answer::Unclear
        } else {
            Answer::Within
        };
        Outlook { services, extrapolated: extrapolated(conditions, services), forecasts, answer }
    }
}

fn too_few(sizes: usize) -> String {
    format!(
        "{sizes} {} measured, at least {SIZES_MIN} are needed to fit and to test a model: run a scenario with more sizes",
        if sizes == 1 { "size was" } else { "sizes were" }
    )
}

/// A size as a multiple of the largest that every condition was measured at, when it is beyond it.
fn extrapolated(conditions: &[ConditionPlan], services: u64) -> Option<f64> {
    let measured = conditions.iter().filter_map(ConditionPlan::cost).map(Cost::largest).min()?;
    (services > measured).then(|| services as f64 / measured as f64)
}

/// Nothing without a fit.
fn forecast(plan: &ConditionPlan, condition: &Condition, services: u64) -> Option<Forecast> {
    let estimate = plan.cost()?.at(services);
    let (low, high) = plan.limit_range.unwrap_or((plan.limit, plan.limit));
    let answer = if condition.admits(estimate.high, low) {
        Answer::Within
    } else if condition.admits(estimate.low, high) {
        Answer::Unclear
    } else {
        Answer::Over
    };
    Some(Forecast {
        subject: plan.subject.clone(),
        unit: plan.unit,
        value: estimate.value,
        low: estimate.low,
        high: estimate.high.is_finite().then_some(estimate.high),
        headroom: 1.0 - estimate.value / plan.limit,
        answer,
    })
}

/// The smallest size beyond everything measured that was tried in vain: evidence that the limit is
/// not above it.
fn blocked_at(conditions: &[ConditionPlan], gaps: &[Gap]) -> Option<u64> {
    let largest = |plan: &ConditionPlan| plan.points.last().map(|point| point.services);
    // The condition whose measurements end first is the one that the missing cells belong to.
    let largest = conditions.iter().filter_map(largest).min()?;
    gaps.iter().map(|gap| gap.services).find(|services| *services > largest)
}

fn verdict(conditions: &[ConditionPlan], gaps: &[Gap], blocked: Option<u64>) -> Verdict {
    let missing = |gap: &Gap| format!("at {} Services: {}", thousands(gap.services), gap.reason);
    if let Some(plan) = conditions.iter().find(|plan| plan.fit.is_none()) {
        let why = plan.reason.as_deref().unwrap_or_default();
        let gap = gaps.first().map(|gap| format!("; {}", missing(gap))).unwrap_or_default();
        return Verdict::Unknown { reason: format!("{}: {why}{gap}", plan.subject) };
    }
    let fits = || conditions.iter().filter_map(|plan| Some((plan, plan.fit.as_ref()?.largest)));
    let tightest = fits().min_by_key(|(_, largest)| largest.estimate);
    let together = fits().map(|(_, largest)| largest).reduce(Largest::and);
    let (Some((plan, tightest)), Some(mut largest)) = (tightest, together) else {
        return Verdict::Unknown { reason: "the budget has no condition".to_owned() };
    };
    let mut binding = (!tightest.estimate.or_more).then(|| plan.subject.clone());
    if let Some(size) = blocked {
        if largest.estimate.services >= size {
            let gap = gaps.iter().find(|gap| gap.services == size);
            binding = gap.map(|gap| format!("{} {}", gap.measure, missing(gap)));
        }
        largest = largest.below(size);
    }
    let extrapolated = extrapolated(conditions, largest.estimate.services);
    Verdict::Largest { largest, binding, extrapolated }
}
