//! A verdict as workflow commands of a CI engine, one a line: `::error title=...::...`.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>; other engines
//! print them as they are.

use std::fmt::Write as _;

use super::result::Gate;
use super::text::{headline, named};
use super::verdict::Verdict;

/// Most lines that are annotated: engines show no more than ten of a kind.
const MOST: usize = 10;

/// One command a line that matters, and the verdict.
pub fn annotations(gate: &Gate) -> String {
    let mut out = String::new();
    let title = format!("vipbench gate: {}", gate.verdict);
    command(&mut out, level(gate.verdict), &title, &headline(gate));
    for problem in gate.problems.iter().skip(1).take(MOST) {
        command(&mut out, "error", "vipbench gate: invalid", problem);
    }
    for lost in gate.lost.iter().take(MOST) {
        let title = format!("{}: cell lost", lost.verdict);
        command(&mut out, "error", &title, &format!("{}: {}", lost.cell.cell, lost.cell.reason));
    }
    for verdict in [Verdict::Invalid, Verdict::Regression, Verdict::Inconclusive] {
        for line in gate.lines.iter().filter(|line| line.verdict == verdict).take(MOST) {
            let message = format!("{}: {}", line.effect_in_words(), line.reason);
            let title = format!("{verdict}: {}", named(gate, line));
            command(&mut out, level(verdict), &title, &message);
        }
    }
    for line in gate.lines.iter().filter(|line| line.improvement).take(MOST) {
        let title = format!("better: {}", named(gate, line));
        command(&mut out, "notice", &title, &line.effect_in_words());
    }
    out
}

fn level(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "notice",
        Verdict::Inconclusive => "warning",
        Verdict::Regression | Verdict::Invalid => "error",
    }
}

fn command(out: &mut String, level: &str, title: &str, message: &str) {
    let title = escaped(title).replace(':', "%3A").replace(',', "%2C");
    let _ = writeln!(out, "::{level} title={title}::{}", escaped(message));
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
