//! The tables of a plan: the answer, the sizes asked for, and the evidence.

use itertools::{Itertools as _, iproduct};

use super::limit::{Largest, Size};
use super::models::Model;
use super::plan::{Answer, CapacityPlan, GroupPlan, ProxyPlan, Verdict};
use super::sentences::{answer_word, size, tightest, used_of_it};
use crate::format::{fixed, percent, signed_percent, thousands, three_digits};
use crate::tables::{Columns, Table};

/// For which Services the answer holds; without a Cluster of the reader's own nobody knows whether
/// they have another shape.
fn holds_for(plan: &CapacityPlan, group: &GroupPlan) -> String {
    let knows_theirs = plan.asked.as_ref().is_some_and(|asked| asked.endpoints.is_some());
    let others = if knows_theirs {
        ""
    } else {
        " Another number of Endpoints, another kind or layout gives another answer: name yours with --cluster, or measure it with `vipbench run SCENARIO --cluster FILE`."
    };
    format!("Holds for Services of this shape: {}.{others}", group.shape)
}

/// The answer, one line a proxy.
pub(super) fn answer(plan: &CapacityPlan, group: &GroupPlan) -> Table {
    let end = |which: fn(&Largest) -> Size| {
        move |proxy: &&ProxyPlan| match &proxy.verdict {
            Verdict::Largest { largest, .. } => size(which(largest)),
            Verdict::Unknown { .. } => String::new(),
        }
    };
    let limited_by = |proxy: &&ProxyPlan| match &proxy.verdict {
        Verdict::Largest { binding: Some(binding), .. } => binding.clone(),
        Verdict::Largest { .. } => "nothing up to there".to_owned(),
        Verdict::Unknown { reason } => reason.clone(),
    };
    let here = group.proxies.iter().find_map(tightest);
    let here =
        here.map_or("now".to_owned(), |(outlook, _)| format!("at {}", thousands(outlook.services)));
    let uses =
        |proxy: &&ProxyPlan| tightest(proxy).map_or("-".to_owned(), |(_, one)| used_of_it(one));
    Columns::of(&group.proxies)
        .text("proxy", |one| one.proxy.clone())
        .text(here, uses)
        .number("largest", end(|largest| largest.estimate))
        .number("from", end(|largest| largest.low))
        .number("to", end(|largest| largest.high))
        .text("limited by", limited_by)
        .titled(
            format!("Largest number of Services within {}", plan.slo),
            format!("from and to: 95% interval. {}", holds_for(plan, group)),
        )
}

/// Between which measured sizes the budget ends.
pub(super) fn measured(group: &GroupPlan) -> Table {
    let size = |size: Option<u64>| size.map_or(String::new(), thousands);
    Columns::of(&group.proxies)
        .text("proxy", |one| one.proxy.clone())
        .number("within at", |one| size(one.measured_within))
        .number("over at", |one| size(one.measured_over))
        .titled(
            "As measured, without any fit",
            "within at: the largest measured size; over at: the next.",
        )
}

/// What the sizes asked for cost.
pub(super) fn outlook(group: &GroupPlan) -> Option<Table> {
    let outlooks = iproduct!(0..2, &group.proxies)
        .filter_map(|(at, proxy)| Some((proxy, proxy.outlook.get(at)?)));
    let rows = outlooks.flat_map(|(proxy, outlook)| {
        outlook.forecasts.iter().map(move |forecast| (proxy, outlook, forecast))
    });
    let extrapolated = |times: f64| format!(", extrapolated {}x", fixed(times, 1));
    Columns::of(rows)
        .number("Services", |(_, outlook, _)| thousands(outlook.services))
        .text("proxy", |(proxy, ..)| proxy.proxy.clone())
        .text("condition", |(.., one)| one.subject.clone())
        .number("takes", |(.., one)| one.unit.short(one.value))
        .number("from", |(.., one)| one.unit.short(one.low))
        .number("to", |(.., one)| {
            one.high.map_or("not known".to_owned(), |high| one.unit.short(high))
        })
        .text("of the budget", |(.., one)| used_of_it(one).replace(" of it", ""))
        .text("budget", |(_, outlook, one)| {
            let far = outlook.extrapolated.map(extrapolated).unwrap_or_default();
            format!("{}{far}", answer_short(one.answer))
        })
        .titled("At your size, or else the largest, and at twice that", "")
        .unless_empty()
}

/// What moving to an nftables proxy changes, a line a condition.
pub(super) fn moves(group: &GroupPlan) -> Option<Table> {
    let rows =
        group.moves.iter().flat_map(|one| one.changes.iter().map(move |change| (one, change)));
    let largest = |services: Option<Size>| services.map_or("not known".to_owned(), size);
    Columns::of(rows)
        .text("from", |(one, _)| one.from.clone())
        .text("to", |(one, _)| one.to.clone())
        .number("Services", |(one, _)| thousands(one.services))
        .text("condition", |(_, change)| change.subject.clone())
        .number("before", |(_, change)| change.unit.short(change.before))
        .number("after", |(_, change)| change.unit.short(change.after))
        .number("change", |(_, change)| factor(change.after / change.before))
        .text("", |(_, change)| if change.measured { "measured" } else { "fitted" }.to_owned())
        .number("largest before", |(one, _)| largest(one.largest_before))
        .number("largest after", |(one, _)| largest(one.largest_after))
        .titled(
            "What moving to nftables changes",
            "change: after over before, less 1, or after as a multiple of before; largest: number of Services within the whole budget",
        )
        .unless_empty()
}

/// A change as its share, or from ten times on as a multiple.
fn factor(ratio: f64) -> String {
    if ratio < 10.0 {
        signed_percent(ratio - 1.0)
    } else {
        format!("{} times", three_digits(ratio))
    }
}

fn answer_short(answer: Answer) -> &'static str {
    answer_word(answer).split([',', ' ']).next().unwrap_or_default()
}

/// What was measured and fitted of one condition.
pub(super) fn evidence(group: &GroupPlan, at: usize) -> Option<Table> {
    let plans = group.proxies.iter().filter_map(|proxy| Some((proxy, proxy.conditions.get(at)?)));
    let rows = plans
        .flat_map(|(proxy, plan)| plan.points.iter().map(move |point| (proxy, plan, point)))
        .sorted_by_key(|(.., point)| point.services);
    let subject = rows.as_slice().first()?.1.subject.clone();
    Columns::of(rows)
        .number("Services", |(.., point)| thousands(point.services))
        .text("proxy", |(proxy, ..)| proxy.proxy.clone())
        .number("measured", |(_, plan, point)| plan.unit.short(point.median))
        .number("least seed", |(_, plan, point)| plan.unit.short(point.min))
        .number("most seed", |(_, plan, point)| plan.unit.short(point.max))
        .number("seeds", |(.., point)| point.seeds.to_string())
        .number("residual", |(.., point)| point.residual.map_or(String::new(), signed_percent))
        .titled(subject, "residual: measured over fitted, less 1")
        .cut()
        .unless_empty()
}

/// The models that were tried, one line a proxy and condition.
pub(super) fn models(group: &GroupPlan) -> Option<Table> {
    let rows = group.proxies.iter().flat_map(|proxy| {
        let plans = proxy.conditions.iter();
        plans.filter_map(move |plan| Some((proxy, plan, plan.fit.as_ref()?)))
    });
    let trial = |(model, error): &(Model, f64)| format!("{} {}", model.name(), percent(*error));
    Columns::of(rows)
        .text("proxy", |(proxy, ..)| proxy.proxy.clone())
        .text("condition", |(_, plan, _)| plan.subject.clone())
        .text("model", |(.., fit)| {
            fit.cost.deviation.map_or("none is believed", |_| fit.model.name()).to_owned()
        })
        .text("with its parameters", |(.., fit)| fit.words.clone())
        .number("deviation", |(.., fit)| fit.cost.deviation.map_or(String::new(), percent))
        .number("of that seeds", |(.., fit)| percent(fit.cost.seed_deviation))
        .text("error on unseen sizes", |(.., fit)| fit.cost.trials.iter().map(trial).join(", "))
        .titled("Models", "")
        .unless_empty()
}

/// Cells without numbers.
pub(super) fn gaps(group: &GroupPlan) -> Option<Table> {
    let rows =
        group.proxies.iter().flat_map(|proxy| proxy.gaps.iter().map(move |gap| (proxy, gap)));
    Columns::of(rows)
        .text("proxy", |(proxy, _)| proxy.proxy.clone())
        .number("Services", |(_, gap)| thousands(gap.services))
        .number("seed", |(_, gap)| gap.seed.to_string())
        .text("measure", |(_, gap)| gap.measure.clone())
        .text("why there is no number", |(_, gap)| gap.reason.clone())
        .titled("What could not be measured", "")
        .cut()
        .unless_empty()
}
