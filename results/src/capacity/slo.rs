//! The language of budgets: `connect.p99 < 500us and sync.endpoint_change.total < 1s`, from text to
//! conditions.
//!
//! Knows names, units and numbers. Whether a unit suits a run's clock is decided in `budget`.

use std::str::FromStr;

use winnow::ascii::{alphanumeric1, float, multispace0, multispace1};
use winnow::combinator::{alt, cut_err, eof, opt, preceded, separated, terminated};
use winnow::error::{ContextError, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::token::take_while;

use crate::distribution::{Samples, values_needed};
use crate::metrics::{self, MetricKind, Use};

/// Units of one kind of limit, and what they stand for.
type Units = (fn(f64) -> Limit, &'static [(&'static str, f64)]);
/// What a limit may be given in.
const UNITS: [Units; 5] = [
    (Limit::Ns, &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)]),
    (Limit::Plain, &[("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9)]),
    (Limit::Bytes, &[("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]),
    (
        Limit::Instructions,
        &[
            ("instructions", 1.0),
            ("kinstructions", 1e3),
            ("Minstructions", 1e6),
            ("Ginstructions", 1e9),
        ],
    ),
    (Limit::TimesNone, &[("xnone", 1.0)]),
];
/// Longest text of a budget, bytes.
const TEXT_MAX_BYTES: usize = 4_096;
/// Most conditions of a budget.
const CONDITIONS_MAX: usize = 16;

/// A budget: all of its conditions have to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// At least one.
    pub(super) conditions: Vec<Condition>,
}

impl Slo {
    /// Names of the metrics that it limits.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.conditions.iter().map(|condition| condition.metric.as_str())
    }

    /// Whether a limit is a multiple of what a connection without a proxy takes.
    pub fn is_relative(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition.limit, Limit::TimesNone(_)))
    }
}

/// One upper limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub metric: String,
    /// Position, part or detail; without one it is the worst position that was measured.
    pub label: Option<String>,
    pub statistic: Statistic,
    /// Whether the limit itself is still good.
    pub inclusive: bool,
    pub limit: Limit,
}

/// Which number of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Statistic {
    /// A percentile, as a share of 1.
    Percentile(f64),
    Mean,
    Max,
}

/// An upper limit as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Limit {
    /// Time, nanoseconds.
    Ns(f64),
    Instructions(f64),
    Bytes(f64),
    /// A number without a unit: instructions of a timing on that clock, or how many of an amount.
    Plain(f64),
    /// So many times what a connection without a proxy takes.
    TimesNone(f64),
}

/// Why a text is no budget.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SloError {
    /// The grammar does not fit.
    #[error(
        "--slo: {found:?} (character {at}): expected {expected}; write for example 'connect.p99 < 500us and sync.endpoint_change.total < 1s'"
    )]
    Syntax {
        /// Where, counted from 1.
        at: usize,
        /// What stands there.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// No such metric.
    #[error("--slo: there is no metric {name:?}; choose among {known}")]
    UnknownMetric {
        /// As written.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A metric with many values needs a statistic.
    #[error("--slo: {0} has many values: say which, {0}.p50, {0}.p99, {0}.mean or {0}.max")]
    NoStatistic(String),
    /// Position or part twice, or a statistic twice.
    #[error(
        "--slo: {name:?} is one word too many after `{known}`; write METRIC.STATISTIC@POSITION, such as connect.p99@last, or METRIC.PART, such as sync.full.submit"
    )]
    Name {
        /// The word too many.
        name: String,
        /// What was understood.
        known: String,
    },
    /// `x none` of something that `none` does not have.
    #[error(
        "--slo: {0} cannot be relative to none, which programs nothing; give it in time, instructions or bytes"
    )]
    NotRelative(String),
    /// Limits that cannot be.
    #[error("--slo: a limit has to be a number above 0, not {0}")]
    Number(f64),
    /// Longer than any budget.
    #[error("--slo: {what}; the limit is {limit}")]
    TooLong {
        /// What is too long.
        what: String,
        /// The limit.
        limit: usize,
    },
}

/// A condition before names are looked up.
#[derive(Debug)]
struct Raw<'a> {
    name: &'a str,
    label: Option<&'a str>,
    inclusive: bool,
    number: f64,
    unit: Option<&'a str>,
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        if text.len() > TEXT_MAX_BYTES {
            let what = format!("{} bytes", text.len());
            return Err(SloError::TooLong { what, limit: TEXT_MAX_BYTES });
        }
        let raw =
            conditions.parse(text).map_err(|error| syntax(text, error.offset(), error.inner()))?;
        if raw.len() > CONDITIONS_MAX {
            let what = format!("{} conditions", raw.len());
            return Err(SloError::TooLong { what, limit: CONDITIONS_MAX });
        }
        let conditions =
            raw.iter().map(|raw| Condition::of(raw, text)).collect::<Result<_, _>>()?;
        Ok(Self { conditions })
    }
}

fn syntax(text: &str, at: usize, error: &ContextError) -> SloError {
    let described = |context: &StrContext| match context {
        StrContext::Expected(StrContextValue::Description(words)) => Some(*words),
        _ => None,
    };
    let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    SloError::Syntax {
        at: before.chars().count() + 1,
        found: rest.chars().take(24).collect(),
        expected: error.context().find_map(described).unwrap_or("METRIC < LIMIT").to_owned(),
    }
}

/// A description of what is expected where a parser fails.
fn wanted(words: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(words))
}

fn conditions<'a>(input: &mut &'a str) -> ModalResult<Vec<Raw<'a>>> {
    let and = (multispace1, alt(("and", "AND", "&&")), multispace1);
    let all = separated(1.., condition, and);
    let end = eof.context(wanted("`and` with another condition, or the end"));
    preceded(multispace0, terminated(all, (multispace0, cut_err(end)))).parse_next(input)
}

fn condition<'a>(input: &mut &'a str) -> ModalResult<Raw<'a>> {
    let name = take_while(1.., |symbol: char| {
        symbol.is_ascii_alphanumeric() || symbol == '_' || symbol == '.'
    })
    .context(wanted("a metric such as connect.p99"));
    let position =
        take_while(1.., |symbol: char| symbol.is_ascii_alphanumeric() || "_-.".contains(symbol))
            .context(wanted("a position or part after @, such as last"));
    let less = alt(("<=", "<")).context(wanted("`<` or `<=`: a budget is an upper limit"));
    let name = cut_err(name).parse_next(input)?;
    let label = opt(preceded('@', cut_err(position))).parse_next(input)?;
    let less = cut_err(preceded(multispace0, less)).parse_next(input)?;
    let number = cut_err(preceded(multispace0, float::<_, f64, _>))
        .context(wanted("a number with a unit, such as 500us, 1s, 150k, 100MB or 1.5x none"))
        .parse_next(input)?;
    let unit = opt(preceded(multispace0, unit)).parse_next(input)?;
    Ok(Raw { name, label, inclusive: less == "<=", number, unit })
}

/// A word that is not the `and` before the next condition; `x none` is one unit.
fn unit<'a>(input: &mut &'a str) -> ModalResult<&'a str> {
    let times = ('x', multispace0, "none").take();
    let scaled = (alt(('k', 'M', 'G')), multispace1, "instructions").take();
    let word = alt(("µs", alphanumeric1)).verify(|word: &str| !word.eq_ignore_ascii_case("and"));
    alt((times, scaled, word)).parse_next(input)
}

impl Condition {
    fn of(raw: &Raw<'_>, text: &str) -> Result<Self, SloError> {
        let kind = kind_of(raw.name)?;
        let (metric, of_connection) = (kind.name.to_owned(), kind.is_of_a_connection());
        let (mut statistic, mut label) = (None, raw.label.map(str::to_owned));
        let rest = raw.name.strip_prefix(kind.name).unwrap_or_default();
        let unclear = |name: &str| SloError::Name { name: name.to_owned(), known: metric.clone() };
        for word in rest.split('.').filter(|word| !word.is_empty()) {
            match Statistic::named(word) {
                Some(found) if statistic.is_none() => statistic = Some(found),
                None if label.is_none() && !of_connection => label = Some(word.to_owned()),
                _ => return Err(unclear(word)),
            }
        }
        if rest.ends_with('.') {
            return Err(unclear(raw.name));
        }
        let has_many = of_connection || metric == metrics::PAUSE.name;
        if has_many && statistic.is_none() {
            return Err(SloError::NoStatistic(metric));
        }
        if !of_connection {
            label.get_or_insert_with(|| kind.usual_label.to_owned());
        }
        let limit = limit_of(raw.number, raw.unit, text)?;
        if !of_connection && matches!(limit, Limit::TimesNone(_)) {
            return Err(SloError::NotRelative(metric));
        }
        let statistic = statistic.unwrap_or(Statistic::MEDIAN);
        Ok(Self { metric, label, statistic, inclusive: raw.inclusive, limit })
    }

    /// Whether a value is good, given the limit in its unit.
    pub fn admits(&self, value: f64, limit: f64) -> bool {
        value < limit || (self.inclusive && value <= limit)
    }

    /// The metric as it was meant: `connect p99, last Service`, `sync.full total`.
    pub fn subject(&self, label: &str) -> String {
        let Self { metric, statistic, .. } = self;
        let name = statistic.name();
        if metrics::is_of_a_connection(metric) {
            return format!("{metric} {name}, {} Service", crate::format::position(label));
        }
        let name = if *statistic == Statistic::MEDIAN { String::new() } else { format!(" {name}") };
        format!("{metric} {label}{name}")
    }
}

/// The longest metric that the name begins with, up to a dot or its end.
fn kind_of(name: &str) -> Result<&'static MetricKind, SloError> {
    let known = || metrics::used_by(Use::Budget);
    let begins = |kind: &&MetricKind| {
        name.strip_prefix(kind.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    known().filter(begins).max_by_key(|kind| kind.name.len()).ok_or_else(|| {
        SloError::UnknownMetric {
            name: name.chars().take(64).collect(),
            known: known().map(|kind| kind.name).collect::<Vec<_>>().join(", "),
        }
    })
}

fn limit_of(number: f64, unit: Option<&str>, text: &str) -> Result<Limit, SloError> {
    if !(number > 0.0 && number < 1e18) {
        return Err(SloError::Number(number));
    }
    let word = unit.unwrap_or_default();
    let name: String = word.split_whitespace().collect();
    let unit = UNITS.iter().find_map(|(limit, units)| {
        let (_, factor) = units.iter().find(|(unit, _)| *unit == name)?;
        Some(limit(number * factor))
    });
    unit.ok_or_else(|| SloError::Syntax {
        at: text.split(word).next().unwrap_or_default().chars().count() + 1,
        found: word.to_owned(),
        expected: "a unit: ns, us, ms, s; k, M, G with or without `instructions`; B, kB, MB, GB; or `x none`".to_owned(),
    })
}

impl Statistic {
    const MEDIAN: Self = Self::Percentile(0.5);
    const ALL: [(&str, Self); 7] = [
        ("p50", Self::MEDIAN),
        ("median", Self::MEDIAN),
        ("p90", Self::Percentile(0.9)),
        ("p95", Self::Percentile(0.95)),
        ("p99", Self::Percentile(0.99)),
        ("mean", Self::Mean),
        ("max", Self::Max),
    ];

    fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, statistic)| *statistic)
    }

    /// `p99`, `mean`, `max`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, statistic)| *statistic == self).map_or("", |(name, _)| name)
    }

    /// Fewest values that it can be told from.
    pub fn values_needed(self) -> u64 {
        match self {
            Self::Percentile(share) => values_needed(share),
            Self::Mean | Self::Max => 1,
        }
    }

    /// The statistic of some values; nothing without any.
    pub fn of(self, samples: &Samples) -> Option<f64> {
        match self {
            Self::Percentile(share) => samples.percentile(share).map(|value| value as f64),
            Self::Mean => samples.mean(),
            Self::Max => samples.max().map(|value| value as f64),
        }
    }
}

#[cfg(test)]
mod tests;
