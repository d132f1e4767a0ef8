//! A verdict as `JUnit` XML: one test case a line, a failure for a regression, an error for what is
//! invalid, a skip for what is inconclusive.

use askama::Template;

use super::{Gate, GateError, Line, Verdict};

#[derive(Template)]
#[template(path = "gate.xml")]
struct Suite {
    name: String,
    cases: Vec<Case>,
    failures: usize,
    errors: usize,
    skipped: usize,
}

struct Case {
    class: String,
    name: String,
    verdict: Verdict,
    message: String,
}

impl Case {
    fn of(line: &Line) -> Self {
        Self {
            class: format!("{}.{}", line.new_kernel, line.subject.proxy),
            name: line.name(),
            verdict: line.verdict,
            message: format!("{}: {}", line.effect_in_words(), line.reason),
        }
    }
}

/// The file's text.
///
/// # Errors
/// [`GateError::Write`].
pub fn junit(gate: &Gate) -> Result<String, GateError> {
    let mut cases: Vec<Case> = Vec::new();
    for problem in &gate.problems {
        cases.push(Case {
            class: "comparison".into(),
            name: "the two sides can be held against each other".into(),
            verdict: Verdict::Invalid,
            message: problem.clone(),
        });
    }
    cases.extend(gate.lost.iter().map(|lost| Case {
        class: format!("{}.{}", lost.cell.kernel, lost.cell.proxy),
        name: format!("cell {}", lost.cell.cell),
        verdict: lost.verdict,
        message: lost.cell.reason.clone(),
    }));
    cases.extend(gate.lines.iter().map(Case::of));
    let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
    let suite = Suite {
        name: format!("vipbench gate: {}", gate.verdict.as_str()),
        failures: count(Verdict::Regression),
        errors: count(Verdict::Invalid),
        skipped: count(Verdict::Inconclusive),
        cases,
    };
    let rendered = suite.render();
    rendered.map_err(|error| GateError::Write { format: "JUnit", detail: error.to_string() })
}
