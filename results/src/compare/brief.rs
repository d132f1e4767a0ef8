//! A comparison in brief: the finding in a sentence, a line a proxy, and the command that explains
//! the worst of it.

use std::path::Path;

use itertools::Itertools as _;

use super::change::{Certainty, Change};
use super::comparison::{CellRef, Comparison, Effect, Statistic, Subject};
use super::sentences::in_percent;
use crate::explain::main_part;
use crate::format::{compact, percent, plain, position, quantity, shell, thousands};
use crate::kernel::short_names;
use crate::metrics::{self, CONNECT, MetricKind, SYNC_ENDPOINT_CHANGE, SYNC_FULL, TOTAL, Use};
use crate::proxies::CONTROL;
use crate::record::Clock;
use crate::tables::{Columns, Table};

/// What a line a proxy is about: a new connection, a full sync, one Change.
const KINDS: [(&MetricKind, &str); 3] =
    [(&CONNECT, "connect"), (&SYNC_FULL, "full sync"), (&SYNC_ENDPOINT_CHANGE, "one Change")];
/// A change of a median below this share is no finding.
const LEAST_SHARE: f64 = 0.01;

/// Whether a number is one that a line a proxy shows.
pub(crate) fn is_main(subject: &Subject) -> bool {
    let is_kind = KINDS.iter().any(|(kind, _)| kind.name == subject.metric);
    let is_part = metrics::is_sync(&subject.metric) && subject.label != TOTAL;
    is_kind && !is_part && subject.statistic != Statistic::P99
}

/// A line for each proxy, those that come first in `items` first and the control at the end: of
/// each kind the first of its items, in words, with its size.
pub(crate) fn by_proxy<'i, T: 'i>(
    items: impl Iterator<Item = &'i T> + Clone,
    subject: fn(&T) -> &Subject,
    words: impl Fn(&T) -> String,
    note: &str,
) -> Option<Table> {
    let main = items.filter(|item| is_main(subject(item)));
    let proxies = main.clone().map(|item| subject(item).proxy.as_str()).unique();
    let (controls, others): (Vec<&str>, Vec<&str>) = proxies.partition(|one| *one == CONTROL);
    let mut columns =
        Columns::of(others.into_iter().chain(controls)).text("proxy", |proxy| (*proxy).to_owned());
    for (kind, head) in KINDS {
        let main = main.clone();
        columns = columns.number(head, |proxy| {
            let mut mine = main.clone().map(|item| (item, subject(item)));
            let found = mine.find(|(_, one)| one.proxy == *proxy && one.metric == kind.name);
            found.map_or_else(
                || "-".to_owned(),
                |(item, one)| {
                    let place = if metrics::is_sync(&one.metric) {
                        String::new()
                    } else {
                        format!("{} of ", position(&one.label))
                    };
                    format!("{} ({place}{})", words(item), thousands(one.services))
                },
            )
        });
    }
    columns.titled("A line a proxy", note).unless_empty()
}

/// Of each proxy and kind the number that stands for it: at the largest size and the usual label;
/// the largest change first.
pub(super) fn main(comparison: &Comparison) -> Vec<&Effect> {
    let place = |effect: &Effect| {
        let Subject { metric, label, services, .. } = &effect.subject;
        let usual = metrics::kind(metric).is_some_and(|kind| kind.usual_label == label);
        (usual, *services)
    };
    let effects = comparison.effects.iter().enumerate().filter(|(_, one)| is_main(&one.subject));
    let of_each = effects.into_group_map_by(|(_, one)| (&one.subject.proxy, &one.subject.metric));
    let chosen = of_each.into_values().filter_map(|all| {
        // Of equal ones the first: they stand in order.
        all.into_iter().rev().max_by_key(|(_, effect)| place(effect))
    });
    chosen.sorted_by_key(|(at, _)| *at).map(|(_, effect)| effect).collect()
}

/// The largest of these changes, if it is one.
pub(super) fn worst(comparison: &Comparison) -> Option<&Effect> {
    let mut found = main(comparison).into_iter().filter(|one| !one.is_control());
    found.find(|one| {
        one.gross.share().is_some_and(|share| share.abs() >= LEAST_SHARE) && is_told(&one.gross)
    })
}

/// Whether a change is more than noise.
fn is_told(change: &Change) -> bool {
    match change.certainty {
        Certainty::Exact => true,
        Certainty::Interval { low, high, .. } => low > 1.0 || high < 1.0,
        Certainty::TooFewReplicates { .. } | Certainty::NoRatio => false,
    }
}

/// The finding in one sentence.
pub(crate) fn finding(comparison: &Comparison) -> String {
    let Some(effect) = worst(comparison) else {
        let percent = percent(LEAST_SHARE);
        return format!(
            "No new connection, full sync or Change of a proxy is told to have changed by {percent} or more."
        );
    };
    let Effect { subject, gross, net, .. } = effect;
    let share = gross.share().unwrap_or_default();
    let net =
        net.as_ref().map(in_percent).map_or(String::new(), |net| format!(", net of none {net}"));
    format!(
        "{} got {} {} {}: {} takes {}, {} before{net}.{}",
        subject.proxy,
        percent(share.abs()),
        if share > 0.0 { "dearer" } else { "cheaper" },
        between(comparison, subject),
        what(subject),
        quantity(subject.unit, gross.new.median),
        compact(subject.unit, gross.base.median),
        explained(effect)
    )
}

/// `from 5.10 to 7.3`, or from one run to the other.
fn between(comparison: &Comparison, subject: &Subject) -> String {
    let kernels = [subject.base_kernel.as_str(), subject.new_kernel.as_str()];
    if kernels[0] == kernels[1] {
        let [base, new] = [&comparison.base, &comparison.new].map(|side| side.runs.join(", "));
        return format!("from {base} to {new}");
    }
    format!("from {}", short_names(&kernels).join(" to "))
}

/// `a new connection to the last of 10,000 Services`.
fn what(subject: &Subject) -> String {
    let services = thousands(subject.services);
    match subject.metric.as_str() {
        name if name == CONNECT.name => {
            let place = match subject.label.as_str() {
                "random" => "a random one".to_owned(),
                label => format!("the {}", position(label)),
            };
            format!("a new connection to {place} of {services} Services{}", subject.path.in_title())
        }
        name if name == SYNC_FULL.name => format!("a full sync of {services} Services"),
        _ => format!("one Change among {services} Services"),
    }
}

/// Where most of it comes from, as far as somebody has asked.
fn explained(effect: &Effect) -> String {
    let (base, new) = (&effect.base_cell, &effect.new_cell);
    let same = base.run == new.run
        && metrics::is_explained_first(&effect.subject.metric, &effect.subject.label);
    let part = same.then(|| main_part(Path::new(&new.run), &base.id, &new.id)).flatten();
    part.map_or(String::new(), |(function, share)| {
        format!(" {} of that is in `{}`.", percent(share), plain(&function))
    })
}

/// `vipbench explain RUN --cell ID --against ID` for the difference between two cells of one run;
/// of two runs, what tells of the new one. Only on the instructions clock.
pub(crate) fn explain(subject: &Subject, base: &CellRef, new: &CellRef) -> Option<String> {
    let (metric, label) = (subject.metric.as_str(), subject.label.as_str());
    let known = metrics::kind(metric).is_some_and(|kind| kind.uses.contains(&Use::Explain));
    if subject.clock != Clock::Instructions || !known {
        return None;
    }
    let mut words = vec!["vipbench", "explain", &new.run, "--cell"];
    if base.run == new.run {
        words.extend([&base.id, "--against", &new.id]);
    } else {
        words.push(&new.id);
    }
    if !metrics::is_explained_first(metric, label) {
        words.extend(["--metric", metric, "--label", label]);
    }
    Some(shell(&words.into_iter().map(str::to_owned).collect_vec()))
}
