//! From stored runs and a budget to the plan: for each kernel and proxy every condition, and what
//! they allow together.
//!
//! Reads cells, fits and inverts with the files beside it; says nothing in sentences.

use super::cost::{Cost, Point, SIZES_MIN};
use super::slo::Condition;
use super::{
    Answer, CAPACITY_SCHEMA, CapacityError, CapacityPlan, ConditionPlan, FitPlan, Forecast, Gap,
    GroupPlan, Largest, MeasuredPoint, Options, Outlook, ProxyPlan, Slo, ValueUnit, Verdict,
    budget, moving, series,
};
use crate::format::{list, plain, thousands};
use crate::stats::Spread;
use crate::store::Run;
use crate::view::{Group, View};

/// What every part of a plan needs.
struct Planner<'a, 'b> {
    view: &'b View<'a>,
    slo: &'b Slo,
    options: &'b Options,
    runs: String,
}

/// What `slo`, written as `text`, allows each proxy on each kernel of `runs`.
///
/// # Errors
/// [`CapacityError`]: a budget that does not suit the runs' clock or that nothing was measured for,
/// and stored values that cannot be trusted.
pub fn plan(runs: &[Run], text: &str, options: &Options) -> Result<CapacityPlan, CapacityError> {
    let slo: Slo = text.parse()?;
    let view = View::new(runs)?;
    let folders: Vec<String> =
        runs.iter().map(|run| plain(&run.dir.display().to_string())).collect();
    let planner = Planner { view: &view, slo: &slo, options, runs: list(&folders) };
    planner.check_measured()?;
    let groups = view.groups.iter().map(|group| planner.group(group)).collect::<Result<_, _>>()?;
    let mut tool_versions: Vec<String> =
        runs.iter().map(|run| plain(&run.record.tool_version)).collect();
    tool_versions.dedup();
    Ok(CapacityPlan {
        schema: CAPACITY_SCHEMA.to_owned(),
        tool_versions,
        runs: folders,
        slo: plain(text),
        asked: options.asked.clone(),
        calibration: options.calibration.as_ref().map(super::Calibration::words),
        groups,
    })
}

impl Planner<'_, '_> {
    /// At least one condition has to have been measured somewhere.
    fn check_measured(&self) -> Result<(), CapacityError> {
        let has = |group: &Group<'_>, condition: &Condition| {
            series::label(group, condition)
                .is_some_and(|label| series::unit(group, condition, &label).is_some())
        };
        let conditions = &self.slo.conditions;
        if self.view.groups.iter().any(|group| conditions.iter().any(|one| has(group, one))) {
            return Ok(());
        }
        let mut measured: Vec<&str> = self
            .view
            .groups
            .iter()
            .flat_map(Group::metrics)
            .map(|name| name.split('.').next().unwrap_or(name))
            .collect();
        measured.sort_unstable();
        measured.dedup();
        let name =
            |condition: &Condition| condition.subject(condition.label.as_deref().unwrap_or("last"));
        Err(CapacityError::NothingMeasured {
            run: self.runs.clone(),
            measured: if measured.is_empty() { "nothing".to_owned() } else { measured.join(", ") },
            wanted: list(&conditions.iter().map(name).collect::<Vec<_>>()),
        })
    }

    fn group(&self, group: &Group<'_>) -> Result<GroupPlan, CapacityError> {
        let mut proxies: Vec<&str> =
            group.cells.iter().map(|cell| cell.labels.proxy.as_str()).collect();
        group.known.sort(&mut proxies);
        proxies.dedup();
        let proxies = proxies.into_iter().filter(|proxy| *proxy != series::CONTROL);
        let ratio = |cell: &&crate::CellRecord| {
            let labels = &cell.labels;
            (labels.services > 0).then(|| labels.endpoints as f64 / labels.services as f64)
        };
        let ratios = Spread::of(group.cells.iter().filter_map(ratio));
        let proxies: Vec<ProxyPlan> =
            proxies.map(|proxy| self.proxy(group, proxy)).collect::<Result<_, _>>()?;
        Ok(GroupPlan {
            kernel: plain(&group.key.kernel),
            place: group.key.place,
            clock: group.key.clock,
            endpoints_per_service: ratios.map_or((0.0, 0.0), |ratios| (ratios.min, ratios.max)),
            moves: moving::moves(&proxies, &group.known, self.options),
            known: group.known.clone(),
            proxies,
        })
    }

    fn proxy(&self, group: &Group<'_>, proxy: &str) -> Result<ProxyPlan, CapacityError> {
        let (mut conditions, mut gaps) = (Vec::new(), Vec::new());
        for condition in &self.slo.conditions {
            let label = series::label(group, condition).unwrap_or_else(|| "last".to_owned());
            gaps.extend(series::gaps(
                group,
                proxy,
                &series::measures(self.view, condition, &label),
            ));
            conditions.push(self.condition(group, condition, &label, proxy)?);
        }
        gaps.sort();
        gaps.dedup();
        let blocked = blocked_at(&conditions, &gaps);
        let verdict = verdict(&conditions, &gaps, blocked);
        let (measured_within, measured_over) = self.bracket(&conditions);
        let outlook = self.sizes(&verdict).into_iter();
        let outlook = outlook.map(|size| self.outlook(size, &conditions, blocked)).collect();
        Ok(ProxyPlan {
            proxy: plain(proxy),
            verdict,
            measured_within,
            measured_over,
            conditions,
            gaps,
            outlook,
        })
    }

    fn condition(
        &self,
        group: &Group<'_>,
        condition: &Condition,
        label: &str,
        proxy: &str,
    ) -> Result<ConditionPlan, CapacityError> {
        let subject = condition.subject(label);
        let empty = |reason: String| ConditionPlan {
            subject: subject.clone(),
            metric: condition.metric.clone(),
            label: plain(label),
            unit: ValueUnit::Stored(group.unit()),
            limit: 0.0,
            limit_range: None,
            points: Vec::new(),
            fit: None,
            reason: Some(reason),
            cost: None,
        };
        let Some(stored) = series::unit(group, condition, label) else {
            return Ok(empty(format!("{subject} was not measured")));
        };
        let calibration = self.options.calibration.as_ref();
        let (unit, points) = match series::points(group, condition, label, proxy) {
            Ok(found) => found,
            Err(reason) => return Ok(empty(reason)),
        };
        let ceiling =
            budget::ceiling(group, condition, label, stored, proxy, calibration, &self.runs)?;
        let cost = Cost::of(points.clone());
        let admits = |value: f64, limit: f64| condition.admits(value, limit);
        let number = |value: f64| match unit {
            ValueUnit::Stored(crate::record::Unit::Instructions) => {
                crate::format::three_digits(value)
            }
            unit => unit.quantity(value),
        };
        let fit = cost.as_ref().map(|cost| FitPlan {
            model: cost.fit.model,
            words: cost.fit.words(&number),
            trials: cost.trials.iter().map(|trial| (trial.model, trial.error)).collect(),
            deviation: cost.deviation,
            seed_deviation: cost.seed_deviation,
            largest: Largest::of(cost, ceiling, &admits),
        });
        let reason = fit.is_none().then(|| too_few(points.len()));
        Ok(ConditionPlan {
            limit: ceiling.value,
            limit_range: (ceiling.low < ceiling.high).then_some((ceiling.low, ceiling.high)),
            unit,
            points: points.iter().map(|point| measured(point, cost.as_ref())).collect(),
            fit,
            reason,
            cost,
            ..empty(String::new())
        })
    }

    /// What a ladder alone says: the largest size where all held in every seed, and the smallest
    /// above it where one did not.
    fn bracket(&self, conditions: &[ConditionPlan]) -> (Option<u64>, Option<u64>) {
        let mut sizes: Vec<u64> = conditions
            .iter()
            .flat_map(|one| one.points.iter().map(|point| point.services))
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        let good = |size: u64| -> Option<bool> {
            let mut all_known = true;
            for (plan, condition) in conditions.iter().zip(&self.slo.conditions) {
                match plan.points.iter().find(|point| point.services == size) {
                    Some(point) if !condition.admits(point.max, plan.limit) => return Some(false),
                    Some(_) => {}
                    None => all_known = false,
                }
            }
            all_known.then_some(true)
        };
        let over = sizes.iter().copied().find(|size| good(*size) == Some(false));
        let below = |size: &u64| over.is_none_or(|over| *size < over);
        let within = sizes.iter().copied().filter(below).rfind(|size| good(*size) == Some(true));
        (within, over)
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
        let mut answer = Answer::Within;
        let (mut forecasts, mut largest) = (Vec::new(), u64::MAX);
        for (plan, condition) in conditions.iter().zip(&self.slo.conditions) {
            let Some(cost) = &plan.cost else {
                answer = Answer::Unknown;
                continue;
            };
            largest = largest.min(cost.largest());
            let forecast = forecast(plan, condition, cost, services);
            forecasts.push(forecast);
        }
        for forecast in &forecasts {
            // One condition that is broken breaks the budget, whatever is unknown about the others.
            answer = match (answer, forecast.answer) {
                (_, Answer::Over) | (Answer::Over, _) => Answer::Over,
                (known, other) => known.max(other),
            };
        }
        if blocked.is_some_and(|size| services >= size) {
            answer = Answer::Over;
        }
        let extrapolated =
            (!forecasts.is_empty() && services > largest).then(|| services as f64 / largest as f64);
        Outlook { services, extrapolated, forecasts, answer }
    }
}

fn too_few(sizes: usize) -> String {
    format!(
        "{sizes} {} measured, at least {SIZES_MIN} are needed to fit and to test a model: run a scenario with more sizes",
        if sizes == 1 { "size was" } else { "sizes were" }
    )
}

fn measured(point: &Point, cost: Option<&Cost>) -> MeasuredPoint {
    let values = || point.values.iter().copied();
    let median = point.median();
    MeasuredPoint {
        services: point.size,
        median,
        min: values().fold(f64::INFINITY, f64::min),
        max: values().fold(0.0, f64::max),
        seeds: point.values.len(),
        residual: cost.map(|cost| median / cost.at(point.size).value - 1.0),
    }
}

fn forecast(plan: &ConditionPlan, condition: &Condition, cost: &Cost, services: u64) -> Forecast {
    let estimate = cost.at(services);
    let (low, high) = plan.limit_range.unwrap_or((plan.limit, plan.limit));
    let answer = if condition.admits(estimate.high, low) {
        Answer::Within
    } else if condition.admits(estimate.low, high) {
        Answer::Unclear
    } else {
        Answer::Over
    };
    Forecast {
        subject: plan.subject.clone(),
        unit: plan.unit,
        value: estimate.value,
        low: estimate.low,
        high: estimate.high.is_finite().then_some(estimate.high),
        headroom: 1.0 - estimate.value / plan.limit,
        answer,
    }
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
    let mut together: Option<(Largest, Option<String>)> = None;
    for plan in conditions {
        let Some(fit) = &plan.fit else {
            let why = plan.reason.clone().unwrap_or_default();
            let gap = gaps
                .first()
                .map(|gap| format!("; at {} Services: {}", thousands(gap.services), gap.reason));
            return Verdict::Unknown {
                reason: format!("{}: {why}{}", plan.subject, gap.unwrap_or_default()),
            };
        };
        let name = || (!fit.largest.estimate.or_more).then(|| plan.subject.clone());
        together = Some(match together.take() {
            None => (fit.largest, name()),
            Some((largest, binding)) => {
                let tighter = fit.largest.estimate < largest.estimate;
                (largest.and(fit.largest), if tighter { name() } else { binding })
            }
        });
    }
    let Some((mut largest, mut binding)) = together else {
        return Verdict::Unknown { reason: "the budget has no condition".to_owned() };
    };
    if let Some(size) = blocked.filter(|size| largest.estimate.services >= *size) {
        let gap = gaps.iter().find(|gap| gap.services == size);
        binding = gap
            .map(|gap| format!("{} at {} Services: {}", gap.measure, thousands(size), gap.reason));
    }
    if let Some(size) = blocked {
        largest = largest.below(size);
    }
    let measured = conditions.iter().filter_map(|plan| plan.cost.as_ref()).map(Cost::largest).min();
    let extrapolated = measured
        .filter(|measured| largest.estimate.services > *measured)
        .map(|measured| largest.estimate.services as f64 / measured as f64);
    Verdict::Largest { largest, binding, extrapolated }
}
