//! Budgets in words that a person can read, each with a default, and the condition that it means.

use itertools::Itertools as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::capacity::Slo;
use crate::format::plain;

/// A budget before its limit is known.
struct Kind {
    name: &'static str,
    /// What is limited, in the language of `--slo`.
    subject: &'static str,
    default_limit: &'static str,
    /// What the default limit means to a person.
    default_words: &'static str,
    /// What comes before any other limit.
    words: &'static str,
}

/// Every budget that there is.
const KINDS: [Kind; 3] = [
    Kind {
        name: "connect",
        subject: "connect.mean",
        default_limit: "100us",
        default_words: "1,000 new connections a second take at most a tenth of a core (100us each)",
        words: "a new connection takes at most",
    },
    Kind {
        name: "change",
        subject: "sync.endpoint_change.total",
        default_limit: "1s",
        default_words: "a Change is effective within a second",
        words: "a Change is effective within",
    },
    Kind {
        name: "start",
        subject: "sync.full.total",
        default_limit: "30s",
        default_words: "all Services are programmed within half a minute of a start",
        words: "all Services are programmed after a start within",
    },
];

/// One upper limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Budget {
    /// Its name: `connect`, `change`, `start`.
    pub name: String,
    /// What it means.
    pub words: String,
    /// The same in the language of `vipbench capacity --slo`.
    pub condition: String,
    /// Whether nobody changed it.
    pub is_default: bool,
}

/// All budgets, in the order they are told in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets(pub(super) Vec<Budget>);

/// A budget that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "--budget {text:?}: {problem}; write for example change=2s, connect=150us or connect=1.5x none"
)]
pub struct BudgetError {
    text: String,
    problem: String,
}

impl Default for Budgets {
    fn default() -> Self {
        let budget = |kind: &Kind| kind.budget(kind.default_limit, kind.default_words.to_owned());
        Self(KINDS.iter().map(budget).collect())
    }
}

impl Kind {
    fn budget(&self, limit: &str, words: String) -> Budget {
        Budget {
            name: self.name.to_owned(),
            words,
            condition: format!("{} < {limit}", self.subject),
            is_default: limit == self.default_limit,
        }
    }
}

impl Budgets {
    /// The defaults with what is changed in them, such as `change=2s`; a later change of one
    /// replaces an earlier one.
    ///
    /// # Errors
    /// [`BudgetError`]: an unknown name, or a limit that is none.
    pub fn changed(changes: &[String]) -> Result<Self, BudgetError> {
        let mut budgets = Self::default();
        changes.iter().try_for_each(|text| budgets.change(text))?;
        Ok(budgets)
    }

    fn change(&mut self, text: &str) -> Result<(), BudgetError> {
        let wrong = |problem: String| BudgetError { text: plain(text), problem };
        let (name, limit) =
            text.split_once('=').ok_or_else(|| wrong("there is no `=`".to_owned()))?;
        let (name, limit) = (name.trim(), plain(limit));
        let at = KINDS.iter().position(|kind| kind.name == name).ok_or_else(|| {
            let known = KINDS.iter().map(|kind| kind.name).join(", ");
            wrong(format!("there is no budget {name:?}, but {known}"))
        })?;
        let kind = &KINDS[at];
        let budget = kind.budget(&limit, format!("{} {limit}", kind.words));
        let slo: Result<Slo, _> = budget.condition.parse();
        let is_one = slo.is_ok_and(|slo| slo.metrics().count() == 1);
        if !is_one {
            return Err(wrong("the limit is no time and no number of instructions".to_owned()));
        }
        self.0[at] = budget;
        Ok(())
    }

    /// All of them as `vipbench capacity --slo` has it.
    pub fn slo(&self) -> String {
        self.0.iter().map(|budget| budget.condition.as_str()).join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_condition_that_capacity_understands() {
        let slo: Slo = Budgets::default().slo().parse().unwrap();
        assert_eq!(
            slo.metrics().collect::<Vec<_>>(),
            ["connect", "sync.endpoint_change", "sync.full"]
        );
    }

    #[test]
    fn a_budget_is_changed_by_its_name_and_the_last_change_counts() {
        let changes = ["change = 2s", "connect=1.5x none", "change=600M"].map(str::to_owned);
        let budgets = Budgets::changed(&changes).unwrap();
        assert_eq!(
            budgets.slo(),
            "connect.mean < 1.5x none and sync.endpoint_change.total < 600M and sync.full.total < 30s"
        );
        assert_eq!(budgets.0[1].words, "a Change is effective within 600M");
        assert!(budgets.0[2].is_default && !budgets.0[1].is_default);
    }

    #[test]
    fn what_is_no_budget_is_refused_with_those_there_are() {
        for (text, wanted) in [
            ("1s", "there is no `=`"),
            ("pods=1s", "connect, change, start"),
            ("change=fast", "no time"),
            ("change=", "no time"),
            ("change=1s and connect.p50 < 1s", "no time"),
            ("start=-1s", "no time"),
        ] {
            let error = Budgets::changed(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("change=2s"), "{text}: {error}");
        }
    }
}
