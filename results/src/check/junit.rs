//! A check as `JUnit` XML: a suite a proxy, a test case a probe; a failure for what is unexpected,
//! an error for a check that broke off, a skip for what was not tried.

use std::path::{Path, PathBuf};

use askama::Template;

use super::record::{Check, CheckedProxy, Probe, Programmed, Verdict};
use crate::files::write_file;
use crate::print::PrintError;

#[derive(Template)]
#[template(path = "check.xml")]
struct Suites {
    suites: Vec<Suite>,
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

struct Case {
    class: String,
    name: String,
    end: End,
}

enum End {
    Good,
    Known(String),
    Unexpected(String),
    Broken(String),
    Skipped(String),
}

impl Suite {
    fn of(proxy: &CheckedProxy) -> Self {
        let trials = proxy.trials.iter().map(|trial| {
            let case = Case::of(&trial.probe);
            Case { name: format!("{}: {}", trial.setting, case.name), ..case }
        });
        let probes = proxy.probes.iter().map(Case::of).chain(trials);
        let skipped = proxy.skipped.iter().map(|skip| Case {
            class: "skipped".into(),
            name: skip.what.clone(),
            end: End::Skipped(skip.reason.clone()),
        });
        let broken = proxy.failed.iter().map(|reason| Case {
            class: "check".into(),
            name: "the check runs to its end".into(),
            end: End::Broken(reason.clone()),
        });
        let programmed = proxy.programmed.iter().map(Case::programmed);
        let cases = probes.chain(programmed).chain(skipped).chain(broken).collect();
        Self { name: proxy.name.clone(), cases }
    }

    fn count(&self, is_so: fn(&End) -> bool) -> usize {
        self.cases.iter().filter(|case| is_so(&case.end)).count()
    }

    fn failures(&self) -> usize {
        self.count(|end| matches!(end, End::Unexpected(_)))
    }

    fn errors(&self) -> usize {
        self.count(|end| matches!(end, End::Broken(_)))
    }

    fn skips(&self) -> usize {
        self.count(|end| matches!(end, End::Skipped(_)))
    }
}

impl Case {
    fn programmed(programmed: &Programmed) -> Self {
        let end = match programmed.different {
            0 => End::Good,
            different => End::Unexpected(format!(
                "{different} things differ: {}",
                programmed.first.join("; ")
            )),
        };
        let name = format!("what is programmed is as {} programs it", programmed.as_by);
        Self { class: "programmed".into(), name, end }
    }

    fn of(probe: &Probe) -> Self {
        let words = format!("expected: {}; came: {}", probe.expected, probe.came);
        let end = match (probe.verdict, &probe.reason) {
            (Verdict::Good, _) => End::Good,
            (Verdict::Known, Some(reason)) => End::Known(format!("{words}; known: {reason}")),
            (Verdict::Known, None) => End::Known(words),
            (Verdict::Unexpected, _) => End::Unexpected(words),
        };
        let Probe { source, frontend, protocol, family, addresses, .. } = probe;
        let name = format!("{source} to {frontend}, {protocol}, {family}: {addresses}");
        Self { class: probe.subject.clone(), name, end }
    }
}

/// The file's text.
///
/// # Errors
/// None that a check could cause.
pub fn junit(check: &Check) -> Result<String, PrintError> {
    Ok(Suites { suites: check.proxies.iter().map(Suite::of).collect() }.render()?)
}

/// Writes `check.xml` into `dir`, which is made when it is not there.
///
/// # Errors
/// A file that cannot be written.
pub fn write_junit(check: &Check, dir: &Path) -> Result<PathBuf, PrintError> {
    Ok(write_file(dir, "check.xml", &junit(check)?)?)
}
