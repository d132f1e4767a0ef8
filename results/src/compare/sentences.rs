//! A comparison in sentences and phrases. Every one is computed from its numbers.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::change::{Certainty, Change};
use super::comparison::{Comparison, Described, Effect, Statistic};
use crate::format::{self, list, quantity, signed_percent, thousands};
use crate::metrics;
use crate::record::{Clock, Unit};
use crate::stats::{STILL_BELOW, Spread};

/// Stands for a ratio that says nothing.
pub(crate) const NO_RATIO: &str = "-";

impl Described {
    /// `kernel 6.1.0 of runs/a`.
    pub fn in_words(&self) -> String {
        format!("kernel {} of {}", list(&self.kernels), list(&self.runs))
    }
}

/// The warning that comes before everything.
pub(super) fn warning(comparison: &Comparison) -> Option<String> {
    let facts: Vec<&str> = comparison.surroundings.iter().map(|one| one.fact.as_str()).collect();
    (!facts.is_empty()).then(|| {
        format!(
            "WARNING: more differs than what is compared ({}): an effect below may come from that.",
            list(&facts)
        )
    })
}

/// What the control says, and what can be said of the whole.
pub(super) fn sentences(comparison: &Comparison) -> (String, Vec<String>) {
    let mut others = vec![tally(comparison)];
    others.extend(certainty(&comparison.effects));
    (control(&comparison.effects), others)
}

/// How far the control moved, `+1.7% to +2.1%`, and whether that counts as still: the `connect` of
/// none over all positions and sizes. `None` when it is not on both sides.
pub(crate) fn control_change(effects: &[Effect]) -> Option<(String, bool)> {
    let shares = effects
        .iter()
        .filter(|effect| effect.is_control() && effect.subject.metric == metrics::CONNECT.name)
        .filter(|effect| effect.subject.statistic != Statistic::P99)
        .filter_map(|effect| effect.gross.share());
    let Spread { min, max, .. } = Spread::of(shares)?;
    let (low, high) = (signed_percent(min), signed_percent(max));
    let change = if low == high { high } else { format!("{low} to {high}") };
    Some((change, min.abs().max(max.abs()) < STILL_BELOW))
}

/// What the control says about the comparison.
fn control(effects: &[Effect]) -> String {
    let Some((change, still)) = control_change(effects) else {
        return "Control: a new connection without a proxy (none) is not on both sides, so it is unknown what changed below the proxies; measure none too.".to_owned();
    };
    let verdict = if still {
        "it is still, so an effect is the proxy's own"
    } else {
        "the kernel without a proxy changed too, so judge a proxy by its change net of none"
    };
    format!(
        "Control: a new connection without a proxy (none) changes by {change} over all sizes and positions: {verdict}."
    )
}

fn tally(comparison: &Comparison) -> String {
    let Comparison { effects, unmatched, matched_cells, .. } = comparison;
    let number = |count: usize| thousands(count as u64);
    let direction = |effect: &Effect| match effect.gross.difference.median {
        _ if effect.gross.is_equal() => Ordering::Equal,
        more if more > 0.0 => Ordering::Greater,
        _ => Ordering::Less,
    };
    let count = |wanted: Ordering| {
        number(effects.iter().filter(|effect| direction(effect) == wanted).count())
    };
    let mut text = format!(
        "{} pairs of cells give {} numbers: {} are equal, {} larger, {} smaller.",
        thousands(*matched_cells),
        number(effects.len()),
        count(Ordering::Equal),
        count(Ordering::Greater),
        count(Ordering::Less)
    );
    if !unmatched.is_empty() {
        let metrics = unmatched.iter().filter(|one| one.metric.is_some()).count();
        let _ = write!(
            text,
            " {} cells and {} metrics could not be compared; the reasons are listed below.",
            number(unmatched.len() - metrics),
            number(metrics)
        );
    }
    text
}

/// How sure the numbers are, said once for all of a clock.
fn certainty(effects: &[Effect]) -> Vec<String> {
    let pairs = effects.iter().flat_map(|effect| &effect.gross.pairs);
    let seeds: BTreeSet<u64> = pairs.map(|pair| pair.seed).collect();
    let over = match seeds.len() {
        1 => "One seed was compared: another would be another draw of addresses and hash seeds."
            .to_owned(),
        count => format!(
            "{count} seeds were compared, each with itself; shown are their median and, in brackets, their ends."
        ),
    };
    let on = |clock| effects.iter().any(|effect| effect.subject.clock == clock);
    let mut all = Vec::new();
    if on(Clock::Instructions) {
        all.push(format!(
            "Instructions of equal seeds are exact: a repetition gives the same digits, so there is no interval. {over}"
        ));
    }
    if on(Clock::Wall) {
        let few = effects.iter().find_map(|effect| match effect.gross.certainty {
            Certainty::TooFewReplicates { replicates, needed } => Some((replicates, needed)),
            _ => None,
        });
        all.push(match few {
            Some((replicates, needed)) => format!(
                "Wall time is noisy, and {replicates} of the {needed} seeds that an interval needs are there: no change below can be told from noise."
            ),
            None => format!(
                "Wall time is noisy: after 95% stands the interval of the median ratio, by bootstrap over the seeds, not corrected for the number of lines. {over}"
            ),
        });
    }
    all
}

/// `+27%`, over seeds `+27% (+25% to +29%)`, with an interval `+27% (95%: +20% to +33%)`.
pub(crate) fn in_percent(change: &Change) -> String {
    let Some(ratio) = change.ratio else { return NO_RATIO.to_owned() };
    let share = |value: f64| signed_percent(value - 1.0);
    let (middle, low, high) = (share(ratio.median), share(ratio.min), share(ratio.max));
    match change.certainty {
        Certainty::Interval { low, high, .. } => {
            format!("{middle} (95%: {} to {})", share(low), share(high))
        }
        _ if low == high => middle,
        _ => format!("{middle} ({low} to {high})"),
    }
}

/// A difference with its sign: `+1,234`, `-2.5 million`.
pub(super) fn signed(unit: Unit, value: f64) -> String {
    let size = format::compact(unit, value.abs());
    match value {
        value if value > 0.0 => format!("+{size}"),
        value if value < 0.0 => format!("-{size}"),
        _ => size,
    }
}

/// One effect in words: `from 7.2 to 7.3 iptables-nft connect at 10,000 Services, last: +27%, net
/// of none +28%`.
pub(crate) fn in_words(
    Effect { subject, gross, net, .. }: &Effect,
    from: &str,
    to: &str,
) -> String {
    let net = net.as_ref().map_or(String::new(), |net| match net.ratio {
        Some(_) => format!(", net of none {}", in_percent(net)),
        None => format!(", net of none {}", signed(subject.unit, net.difference.median)),
    });
    format!(
        "from {from} to {to} {} {} at {} Services, {}{}: {}{net} ({} to {})",
        subject.proxy,
        subject.metric,
        thousands(subject.services),
        format::position(&subject.label),
        if subject.statistic == Statistic::P99 { " p99" } else { "" },
        in_percent(gross),
        format::compact(subject.unit, gross.base.median),
        quantity(subject.unit, gross.new.median)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Side, compare};
    use crate::fixture;

    #[test]
    fn an_effect_in_words_names_kernels_proxy_size_and_both_changes() {
        let run = [fixture::kernels()];
        let (base, new) = Side::two(&run, None, Some("6.1"), Some("6.12")).unwrap();
        let comparison = compare(&base, &new).unwrap();
        let effect = comparison
            .effects
            .iter()
            .find(|effect| !effect.is_control() && effect.subject.statistic == Statistic::P50)
            .unwrap();
        let words = in_words(effect, "6.1", "6.12");
        assert!(words.starts_with("from 6.1 to 6.12 iptables-nft connect at "), "{words}");
        assert!(words.contains(": +27%, net of none +"), "{words}");
    }
}
