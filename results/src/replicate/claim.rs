//! A claim as a scenario writes it: who said what, and the measured number that decides.
//!
//! ```toml
//! [[claims]]
//! id = "ipvs-grows"
//! source = "Kubernetes blog, 2025-02-28"
//! says = "IPVS is not flat: its p50 rises by 23 % from 5,000 to 30,000 Services"
//! how = "a new connection to the last Service against the same with 5,000"
//! [claims.test.measured]
//! of = { proxy = "ipvs", metric = "connect", label = "last" }
//! ratio_to = { proxy = "ipvs", metric = "connect", label = "last", services = 5000 }
//! at_least = 1.1
//! ```

use serde::{Deserialize, Serialize};

use crate::metrics::{self, MetricKind};
use crate::record::Clock;
use crate::view::ViewError;

/// A published claim and its test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short name, unique among the claims of all scenarios.
    pub id: String,
    /// Who published it, where and when.
    pub source: String,
    /// What was claimed.
    pub says: String,
    /// What the test measures in its place, in words.
    pub how: String,
    /// The test.
    pub test: Test,
}

/// How a claim is decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// By a measured number.
    Measured(Box<Measured>),
    /// Not at all, here.
    Cannot {
        /// Why.
        because: String,
    },
}

/// A number and its bounds, judged on every kernel and at every size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The value.
    pub of: Term,
    /// Divide by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_to: Option<Term>,
    /// Take this off and divide by the difference of the numbers of Services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_service_from: Option<Term>,
    /// The exponent of the growth from this: 1 for a line through zero, 2 for a square.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exponent_from: Option<Term>,
    /// Multiply the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
    /// The claim is met from here on; in the clock's unit unless it is a ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The claim is met up to here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Sizes to judge at; all if none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<u64>,
    /// The clock that the bounds are for; a ratio and a count may do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

/// One measured value: a percentile of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Proxy.
    pub proxy: String,
    /// Metric, as the table of metrics names it.
    pub metric: String,
    /// Position, part or strategy.
    pub label: String,
    /// Percentile, 0 to 1.
    #[serde(default = "median")]
    pub quantile: f64,
    /// Number of Services, where it is not the one that is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<u64>,
    /// Take off what the same takes without a proxy.
    #[serde(default)]
    pub net: bool,
}

fn median() -> f64 {
    0.5
}

/// Why a claim cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Contradictory or missing keys.
    #[error("claim {id}: {problem}")]
    Nonsense {
        /// The claim's id.
        id: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
    /// A stored run whose claims cannot be read.
    #[error("claims of the run {run}: {problem}; they are part of the scenario in its run.json")]
    Stored {
        /// Its folder.
        run: String,
        /// What the parser says.
        problem: String,
    },
    /// Numbers that cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Claim {
    /// Finds contradictions before anything is measured.
    ///
    /// # Errors
    /// [`ClaimError::Nonsense`].
    pub fn check(&self) -> Result<(), ClaimError> {
        let Test::Measured(measured) = &self.test else { return Ok(()) };
        let problem = measured.contradiction();
        problem.map_or(Ok(()), |problem| Err(ClaimError::Nonsense { id: self.id.clone(), problem }))
    }
}

impl Measured {
    /// What the value may be set against: one of these at most.
    fn others(&self) -> impl Iterator<Item = &Term> {
        [&self.ratio_to, &self.per_service_from, &self.exponent_from].into_iter().flatten()
    }

    /// Every value that the test needs.
    pub(super) fn terms(&self) -> impl Iterator<Item = &Term> {
        std::iter::once(&self.of).chain(self.others())
    }

    /// Whether the result is a value in the unit of what is measured.
    pub(super) fn has_unit(&self) -> bool {
        self.ratio_to.is_none() && self.exponent_from.is_none()
    }

    fn contradiction(&self) -> Option<&'static str> {
        let bounds = [self.at_least, self.at_most];
        let mut starts = [&self.per_service_from, &self.exponent_from].into_iter().flatten();
        let is_amount = metrics::kind(&self.of.metric).is_some_and(MetricKind::is_amount);
        let without_clock = self.has_unit() && self.clock.is_none() && !is_amount;
        let quantiles_fit = self.terms().all(|term| (0.0..=1.0).contains(&term.quantile));
        let problems = [
            (bounds == [None, None], "it cannot fail; give `at_least`, `at_most` or both"),
            (
                self.others().count() > 1,
                "`ratio_to`, `per_service_from` and `exponent_from` exclude each other; keep one",
            ),
            (
                without_clock,
                "a bound on a value needs the `clock` it is for: `wall` or `instructions`",
            ),
            (
                starts.any(|term| term.services.is_none()),
                "growth needs the number of `services` that it starts from",
            ),
            (
                bounds.into_iter().chain([self.times]).flatten().any(|one| !one.is_finite()),
                "a bound or factor is not a finite number",
            ),
            (!quantiles_fit, "a `quantile` is not between 0 and 1"),
        ];
        problems.into_iter().find(|(wrong, _)| *wrong).map(|(_, problem)| problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipvs() -> Term {
        Term {
            proxy: "ipvs".into(),
            metric: "connect".into(),
            label: "last".into(),
            quantile: 0.5,
            services: None,
            net: false,
        }
    }

    fn ratio() -> Measured {
        Measured {
            of: ipvs(),
            ratio_to: Some(Term { services: Some(100), ..ipvs() }),
            per_service_from: None,
            exponent_from: None,
            times: None,
            at_least: Some(1.0),
            at_most: None,
            services: Vec::new(),
            clock: None,
        }
    }

    #[test]
    fn a_claim_that_cannot_fail_or_contradicts_itself_is_refused() {
        let slope = Term { services: Some(1), ..ipvs() };
        let nonsense = [
            Measured { at_least: None, ..ratio() },
            Measured { per_service_from: Some(slope), ..ratio() },
            Measured { ratio_to: None, ..ratio() },
            Measured {
                ratio_to: None,
                per_service_from: Some(ipvs()),
                clock: Some(Clock::Wall),
                ..ratio()
            },
            Measured { times: Some(f64::NAN), ..ratio() },
            Measured { of: Term { quantile: 50.0, ..ipvs() }, ..ratio() },
        ];
        assert_eq!(ratio().contradiction(), None);
        let problems: Vec<_> = nonsense.iter().map(Measured::contradiction).collect();
        assert!(problems.iter().all(Option::is_some), "{problems:?}");
        let different: std::collections::BTreeSet<_> = problems.iter().collect();
        assert_eq!(different.len(), nonsense.len(), "each has its own words: {problems:?}");
    }
}
