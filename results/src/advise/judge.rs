//! From stored runs and budgets to advice: a capacity plan, read at the reader's own size.

use super::advice::{ADVISE_SCHEMA, Advice, Choice, GroupAdvice, LeftOut, Standing, Usage};
use super::budget::{Budget, Budgets};
use super::sentences;
use crate::capacity::{
    Asked, CapacityError, ClockRate, ConditionPlan, GroupPlan, PlanOptions, ProxyPlan, Verdict,
    plan,
};
use crate::record::Clock;
use crate::store::Run;

/// What is asked.
#[derive(Debug)]
pub struct AdviseOptions {
    /// The reader's own size.
    pub asked: Asked,
    /// What may be spent.
    pub budgets: Budgets,
    /// How instructions become time, where only they were counted.
    pub clock_rate: ClockRate,
    /// Proxies that are not advised, even if runs hold them.
    pub left_out: Vec<LeftOut>,
}

/// What to use, by what `runs` hold.
///
/// # Errors
/// [`CapacityError`]: runs that hold none of the budgets' metrics, and values that cannot be
/// trusted.
pub fn advise(runs: &[Run], options: AdviseOptions) -> Result<Advice, CapacityError> {
    let AdviseOptions { asked, budgets, clock_rate, left_out } = options;
    let services = asked.services;
    let counts = |run: &Run| run.cells.iter().any(|cell| cell.labels.clock == Clock::Instructions);
    let clock_rate = runs.iter().any(counts).then_some(clock_rate);
    let plan_options = PlanOptions { asked: Some(asked), clock_rate };
    let plan = plan(runs, &budgets.slo(), &plan_options)?;
    let Budgets(budgets) = budgets;
    let groups = plan.groups.iter().map(|one| group(one, services, &budgets, &left_out)).collect();
    let mut advice = Advice {
        schema: ADVISE_SCHEMA.to_owned(),
        tool_versions: plan.tool_versions.clone(),
        runs: plan.runs.clone(),
        services,
        budgets,
        calibration: plan.calibration.clone(),
        groups,
        not_looked_at: Vec::new(),
        plan,
    };
    advice.not_looked_at = sentences::not_looked_at(&advice, &left_out);
    Ok(advice)
}

fn group(
    group: &GroupPlan,
    services: u64,
    budgets: &[Budget],
    left_out: &[LeftOut],
) -> GroupAdvice {
    let is_asked = |proxy: &&ProxyPlan| left_out.iter().all(|one| one.proxy != proxy.proxy);
    let proxies = group.proxies.iter().filter(is_asked);
    let mut choices: Vec<Choice> = proxies.map(|proxy| choice(proxy, services, budgets)).collect();
    choices.sort_by(|a, b| {
        let by_share = || a.tightest_share().total_cmp(&b.tightest_share());
        a.standing.cmp(&b.standing).then_with(by_share)
    });
    if let Some(best) = choices.first_mut().filter(|one| one.standing == Standing::WouldDo) {
        best.standing = Standing::Use;
    }
    GroupAdvice {
        kernel: group.kernel.clone(),
        place: group.place,
        clock: group.clock,
        path: group.path.clone(),
        shape: group.shape.clone(),
        choices,
    }
}

fn choice(proxy: &ProxyPlan, services: u64, budgets: &[Budget]) -> Choice {
    let conditions = proxy.conditions.iter().zip(budgets);
    let usages: Vec<Usage> =
        conditions.filter_map(|(plan, budget)| usage(plan, budget, proxy, services)).collect();
    // A cell of this size, or of a smaller one, that could not be measured.
    let gap = proxy.gaps.iter().find(|gap| gap.services <= services);
    let unknown = proxy.conditions.iter().find_map(|plan| plan.reason.clone());
    let standing = match &usages {
        usages if usages.iter().any(|usage| usage.least() >= 1.0) => Standing::Avoid,
        usages if usages.len() < budgets.len() => Standing::Unknown,
        usages if usages.iter().any(|usage| usage.most() >= 1.0) => Standing::AtLimit,
        _ => Standing::WouldDo,
    };
    let until = match &proxy.verdict {
        Verdict::Largest { largest, .. } => Some(largest.estimate),
        Verdict::Unknown { .. } => None,
    };
    let is_unclear = standing == Standing::Unknown;
    let reason = gap.map(|gap| gap.reason.clone()).or(unknown).filter(|_| is_unclear);
    Choice { proxy: proxy.proxy.clone(), standing, usages, until, reason }
}

/// What was measured at this size, or else what the fit gives.
fn usage(plan: &ConditionPlan, budget: &Budget, proxy: &ProxyPlan, services: u64) -> Option<Usage> {
    let measured = plan.points.iter().find(|point| point.services == services);
    let (value, low, high) = match measured {
        Some(point) => (point.median, point.min, Some(point.max)),
        None => {
            let outlook = proxy.outlook.iter().find(|outlook| outlook.services == services)?;
            let forecast = outlook.forecasts.iter().find(|one| one.subject == plan.subject)?;
            (forecast.value, forecast.low, forecast.high)
        }
    };
    let (least, most) = plan.limit_range.unwrap_or((plan.limit, plan.limit));
    Some(Usage {
        budget: budget.name.clone(),
        unit: plan.unit,
        value,
        limit: plan.limit,
        share: value / plan.limit,
        share_range: high.map(|high| (low / most, high / least)),
        measured: measured.is_some(),
    })
}
