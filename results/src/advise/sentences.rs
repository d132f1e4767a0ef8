//! Advice in sentences. Every one is computed from its numbers.

use itertools::Itertools as _;

use super::advice::{Advice, Choice, GroupAdvice, LeftOut, Standing, Usage};
use crate::capacity::Size;
use crate::format::{fixed, list, plain, thousands};
use crate::record::Clock;

/// Proxies of one standing that are told of in a sentence; the table has all.
const NAMED_MAX: usize = 6;

/// The answer on one kernel: what to use, what else would do, what to avoid.
pub(super) fn answer(advice: &Advice, group: &GroupAdvice) -> String {
    let of = |standing| group.choices.iter().filter(move |one| one.standing == standing);
    let services = thousands(advice.services);
    let head = match group.choices.first() {
        None => {
            return format!("At {services} Services: nothing can be said, no proxy was measured.");
        }
        Some(best) if best.standing == Standing::Use => {
            format!("At {services} Services use {}, because {}.", best.proxy, because(best))
        }
        Some(best) if best.standing == Standing::AtLimit => format!(
            "At {services} Services nothing is within every budget beyond doubt. {} is closest: {}.",
            best.proxy,
            because(best)
        ),
        Some(best) if best.standing == Standing::Unknown => format!(
            "At {services} Services nothing that is known of every budget is within all of them."
        ),
        Some(best) => format!(
            "At {services} Services everything is over a budget. {} is closest: {}.",
            best.proxy,
            because(best)
        ),
    };
    let would_do = phrases(of(Standing::WouldDo), |one| format!("{}{}", one.proxy, until(one)));
    let at_limit = phrases(of(Standing::AtLimit), |one| format!("{} ({})", one.proxy, most(one)));
    let avoid = phrases(of(Standing::Avoid), |one| format!("{} ({})", one.proxy, because(one)));
    let unknown = phrases(of(Standing::Unknown), |one| one.proxy.clone());
    let rest = [
        would_do.map(|words| format!("{words} would do.")),
        at_limit.map(|words| format!("At the limit: {words}.")),
        avoid.map(|words| format!("Avoid {words}.")),
        unknown.map(|words| format!("Not known: {words}.")),
    ];
    std::iter::once(head).chain(rest.into_iter().flatten()).join(" ")
}

/// Some proxies in a row; nothing without any.
fn phrases<'c>(
    choices: impl Iterator<Item = &'c Choice>,
    phrase: impl Fn(&Choice) -> String,
) -> Option<String> {
    let mut phrases = choices.map(phrase).collect_vec();
    let more = phrases.len().saturating_sub(NAMED_MAX);
    phrases.truncate(NAMED_MAX);
    if more > 0 {
        phrases.push(format!("{more} more"));
    }
    (!phrases.is_empty()).then(|| list(&phrases))
}

/// What a proxy takes of the budget that is tightest.
fn because(choice: &Choice) -> String {
    choice.tightest().map_or_else(|| "nothing is known of it".to_owned(), tightest)
}

fn tightest(usage: &Usage) -> String {
    let takes = format!("{} takes {}", usage.budget, usage.unit.quantity(usage.value));
    if usage.share < 1.0 {
        format!("it uses at most {} of any budget ({takes})", number(usage.share))
    } else {
        format!("{takes}, {}", share(usage.share))
    }
}

/// What a proxy may take of the budget that it is closest to the end of.
fn most(choice: &Choice) -> String {
    let closest = choice.usages.iter().max_by(|a, b| a.most().total_cmp(&b.most()));
    let Some(usage) = closest else { return because(choice) };
    match usage.share_range {
        Some((low, high)) => {
            format!("{} takes {} to {} of its budget", usage.budget, number(low), number(high))
        }
        None => format!("{}: {}, and how much more is not known", usage.budget, share(usage.share)),
    }
}

/// ` until 8,572 Services`.
fn until(choice: &Choice) -> String {
    choice.until.map_or(String::new(), |size| format!(" until {} Services", until_size(size)))
}

/// A number of Services up to which all is well.
pub(super) fn until_size(size: Size) -> String {
    let more = if size.or_more { " or more" } else { "" };
    format!("{}{more}", thousands(size.services))
}

/// `uses 0.04% of the budget`, `5.4 times over the budget`.
pub(super) fn share(share: f64) -> String {
    match share {
        share if share < 1.0 => format!("uses {} of the budget", number(share)),
        share if share < 2.0 => format!("{} over the budget", number(share - 1.0)),
        share => format!("{} times over the budget", fixed(share, usize::from(share < 99.95))),
    }
}

/// A share in per cent with two digits at least: `0.04%`, `12%`.
pub(super) fn number(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        percent if percent <= 0.0 => "0%".to_owned(),
        percent if percent < 0.01 => "under 0.01%".to_owned(),
        percent if percent < 0.995 => format!("{}%", fixed(percent, 2)),
        percent if percent < 9.95 => format!("{}%", fixed(percent, 1)),
        percent => format!("{}%", fixed(percent, 0)),
    }
}

/// `use`, `would do`, `at its limit`, `not known`, `avoid`.
pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Use => "use",
        Standing::WouldDo => "would do",
        Standing::AtLimit => "at its limit",
        Standing::Unknown => "not known",
        Standing::Avoid => "avoid",
    }
}

/// What was asked and for whom the answer holds.
pub(super) fn budgets(advice: &Advice) -> Vec<String> {
    let budget = |one: &super::Budget| {
        let origin = if one.is_default { "the default" } else { "as asked" };
        format!("Budget {}: {} ({}; {origin}).", one.name, one.words, one.condition)
    };
    advice.budgets.iter().map(budget).collect()
}

/// What the answer does not rest on.
pub(super) fn not_looked_at(advice: &Advice, left_out: &[LeftOut]) -> Vec<String> {
    let mut lines = Vec::new();
    let counted = advice.groups.iter().any(|group| group.clock == Clock::Instructions);
    if let Some(words) = advice.calibration.as_deref().filter(|_| counted) {
        lines.push(format!(
            "Time: only instructions were measured. Budgets in time became instructions, {words}. So each share is an estimate, and `at its limit` means that the rate decides; state yours with --instructions-per-ns, or measure on the wall clock."
        ));
    }
    lines.extend(
        advice
            .groups
            .iter()
            .map(|group| format!("Services of another shape: measured were {}.", group.shape))
            .unique(),
    );
    let real = advice
        .plan
        .groups
        .iter()
        .any(|group| group.proxies.iter().any(|one| group.known.ours(&one.proxy).is_some()));
    if !real {
        lines.push("kube-proxy itself: the proxies here program the same rules, and leave out what its own process takes. Name yours with --kube-proxy PATH.".to_owned());
    }
    lines.push("Many connections at a time, other processors, and what an idle node spends: one client dialled one connection after the other. Each dialled the Service that is worst placed.".to_owned());
    let reasons = left_out.iter().map(|one| format!("{}: {}", plain(&one.proxy), one.reason));
    let reasons = reasons.collect_vec();
    if !reasons.is_empty() {
        lines.push(format!("Proxies: {}.", reasons.join("; ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_people_say_them() {
        let words = [0.0004, 0.052, 0.999, 1.3, 5.38, 250.0].map(share);
        assert_eq!(
            words,
            [
                "uses 0.04% of the budget",
                "uses 5.2% of the budget",
                "uses 100% of the budget",
                "30% over the budget",
                "5.4 times over the budget",
                "250 times over the budget",
            ]
        );
        assert_eq!([0.0, 0.000_01].map(number), ["0%", "under 0.01%"]);
    }
}
