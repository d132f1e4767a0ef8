//! The tables of a plan: the answer, the sizes asked for, and the evidence.

use super::words::{self, answer_word, size};
use super::{Answer, CapacityPlan, ConditionPlan, GroupPlan, ProxyPlan, Size, ValueUnit, Verdict};
use crate::format::{fixed, percent, short, signed_percent, thousands, three_digits};
use crate::tables::{Table, number, text};

/// The answer, one line a proxy.
pub(super) fn answer(plan: &CapacityPlan, group: &GroupPlan) -> Table {
    let columns = vec![
        text("proxy"),
        number("largest"),
        number("from"),
        number("to"),
        text("limited by"),
        number("measured within"),
        number("measured over"),
    ];
    let title = format!("Largest number of Services within {}", plan.slo);
    let mut table = Table::new(title, "from and to: 95% interval", columns);
    for proxy in &group.proxies {
        let ladder = [proxy.measured_within, proxy.measured_over]
            .map(|size| size.map_or(String::new(), thousands));
        let mut row = vec![proxy.proxy.clone()];
        match &proxy.verdict {
            Verdict::Largest { largest, binding, .. } => {
                row.extend([largest.estimate, largest.low, largest.high].map(size));
                row.push(binding.clone().unwrap_or_else(|| "nothing up to there".to_owned()));
            }
            Verdict::Unknown { reason } => {
                row.extend([String::new(), String::new(), String::new(), reason.clone()]);
            }
        }
        row.extend(ladder);
        table.rows.push(row);
    }
    table
}

/// What the sizes asked for cost.
pub(super) fn outlook(group: &GroupPlan) -> Option<Table> {
    let columns = vec![
        number("Services"),
        text("proxy"),
        text("condition"),
        number("takes"),
        number("from"),
        number("to"),
        number("headroom"),
        text("budget"),
    ];
    let mut table = Table::new(
        "At your size, or else the largest, and at twice that",
        "headroom: share of the limit that is left",
        columns,
    );
    for at in 0..2 {
        for proxy in &group.proxies {
            let Some(outlook) = proxy.outlook.get(at) else { continue };
            for forecast in &outlook.forecasts {
                let show = |value: f64| value_in_cell(forecast.unit, value);
                table.rows.push(vec![
                    thousands(outlook.services),
                    proxy.proxy.clone(),
                    forecast.subject.clone(),
                    show(forecast.value),
                    show(forecast.low),
                    forecast.high.map_or("not known".to_owned(), show),
                    signed_percent(forecast.headroom),
                    match (outlook.extrapolated, forecast.answer) {
                        (Some(times), answer) => {
                            format!("{}, extrapolated {}x", answer_short(answer), fixed(times, 1))
                        }
                        (None, answer) => answer_short(answer).to_owned(),
                    },
                ]);
            }
        }
    }
    table.unless_empty()
}

/// What moving to an nftables proxy changes, a line a condition.
pub(super) fn moves(group: &GroupPlan) -> Option<Table> {
    let columns = vec![
        text("from"),
        text("to"),
        number("Services"),
        text("condition"),
        number("before"),
        number("after"),
        number("change"),
        text(""),
        number("largest before"),
        number("largest after"),
    ];
    let mut table = Table::new(
        "What moving to nftables changes",
        "change: after over before, less 1, or after as a multiple of before; largest: number of Services within the whole budget",
        columns,
    );
    for one in &group.moves {
        let largest = |size: Option<Size>| size.map_or("not known".to_owned(), words::size);
        for change in &one.changes {
            table.rows.push(vec![
                one.from.clone(),
                one.to.clone(),
                thousands(one.services),
                change.subject.clone(),
                value_in_cell(change.unit, change.before),
                value_in_cell(change.unit, change.after),
                factor(change.after / change.before),
                if change.measured { "measured" } else { "fitted" }.to_owned(),
                largest(one.largest_before),
                largest(one.largest_after),
            ]);
        }
    }
    table.unless_empty()
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

fn value_in_cell(unit: ValueUnit, value: f64) -> String {
    match unit {
        ValueUnit::Stored(unit) => short(unit, value),
        ValueUnit::TimesNone => fixed(value, 2),
    }
}

/// What was measured and fitted of one condition.
pub(crate) fn evidence(group: &GroupPlan, at: usize) -> Option<Table> {
    let columns = vec![
        number("Services"),
        text("proxy"),
        number("measured"),
        number("least seed"),
        number("most seed"),
        number("seeds"),
        number("residual"),
    ];
    let first = group.proxies.iter().find_map(|proxy| proxy.conditions.get(at))?;
    let mut table =
        Table::new(first.subject.clone(), "residual: measured over fitted, less 1", columns);
    let of = |proxy: &ProxyPlan| -> Option<Vec<(u64, Vec<String>)>> {
        let plan = proxy.conditions.get(at)?;
        Some(plan.points.iter().map(|point| (point.services, row(proxy, plan, point))).collect())
    };
    let mut rows: Vec<(u64, Vec<String>)> = group.proxies.iter().filter_map(of).flatten().collect();
    rows.sort_by_key(|(services, _)| *services);
    table.rows = rows.into_iter().map(|(_, row)| row).collect();
    table.cut().unless_empty()
}

fn row(proxy: &ProxyPlan, plan: &ConditionPlan, point: &super::MeasuredPoint) -> Vec<String> {
    let show = |value: f64| value_in_cell(plan.unit, value);
    vec![
        thousands(point.services),
        proxy.proxy.clone(),
        show(point.median),
        show(point.min),
        show(point.max),
        point.seeds.to_string(),
        point.residual.map_or(String::new(), signed_percent),
    ]
}

/// The models that were tried, one line a proxy and condition.
pub(super) fn models(group: &GroupPlan) -> Option<Table> {
    let columns = vec![
        text("proxy"),
        text("condition"),
        text("model"),
        text("with its parameters"),
        number("deviation"),
        number("of that seeds"),
        text("error on unseen sizes"),
    ];
    let mut table = Table::new("Models", "", columns);
    for proxy in &group.proxies {
        for (plan, fit) in
            proxy.conditions.iter().filter_map(|plan| Some((plan, plan.fit.as_ref()?)))
        {
            let trials: Vec<String> = fit
                .trials
                .iter()
                .map(|(model, error)| format!("{} {}", model.name(), percent(*error)))
                .collect();
            table.rows.push(vec![
                proxy.proxy.clone(),
                plan.subject.clone(),
                fit.deviation.map_or("none is believed", |_| fit.model.name()).to_owned(),
                fit.words.clone(),
                fit.deviation.map_or(String::new(), percent),
                percent(fit.seed_deviation),
                trials.join(", "),
            ]);
        }
    }
    table.unless_empty()
}

/// Cells without numbers.
pub(super) fn gaps(group: &GroupPlan) -> Option<Table> {
    let columns = vec![
        text("proxy"),
        number("Services"),
        number("seed"),
        text("measure"),
        text("why there is no number"),
    ];
    let mut table = Table::new("What could not be measured", "", columns);
    for proxy in &group.proxies {
        for gap in &proxy.gaps {
            table.rows.push(vec![
                proxy.proxy.clone(),
                thousands(gap.services),
                gap.seed.to_string(),
                gap.measure.clone(),
                gap.reason.clone(),
            ]);
        }
    }
    table.cut().unless_empty()
}
