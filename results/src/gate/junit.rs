//! A verdict as `JUnit` XML: one test case a line, a failure for a regression, an error for what is
//! invalid, a skip for what is inconclusive.

use askama::Template;

use super::result::{Gate, GateError};
use super::verdict::Verdict;

#[derive(Template)]
#[template(path = "gate.xml")]
struct Suite {
    name: String,
    cases: Vec<Case>,
}

impl Suite {
    /// Cases of a verdict.
    fn count(&self, verdict: Verdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }
}

struct Case {
    class: String,
    name: String,
    verdict: Verdict,
    message: String,
}

/// The file's text.
///
/// # Errors
/// [`GateError::Write`].
pub fn junit(gate: &Gate) -> Result<String, GateError> {
    let problems = gate.problems.iter().map(|problem| Case {
        class: "comparison".into(),
        name: "the two sides can be held against each other".into(),
        verdict: Verdict::Invalid,
        message: problem.clone(),
    });
    let lost = gate.lost.iter().map(|lost| Case {
        class: format!("{}.{}", lost.cell.kernel, lost.cell.proxy),
        name: format!("cell {}", lost.cell.cell),
        verdict: lost.verdict,
        message: lost.cell.reason.clone(),
    });
    let lines = gate.lines.iter().map(|line| Case {
        class: format!("{}.{}", line.subject.new_kernel, line.subject.proxy),
        name: line.name(),
        verdict: line.verdict,
        message: format!("{}: {}", line.effect_in_words(), line.reason),
    });
    let cases = problems.chain(lost).chain(lines).collect();
    Ok(Suite { name: format!("vipbench gate: {}", gate.verdict), cases }.render()?)
}
