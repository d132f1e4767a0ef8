//! A check as a page: the matrix of subjects and proxies, the same by path, every unexpected probe
//! with its addresses, known deviations with their reasons, and what was not tried.

use itertools::Itertools as _;

use super::record::{Check, CheckedProxy, Probe, Verdict};
use crate::document::{Block, Document};
use crate::format::{counted, list, thousands};
use crate::tables::{Columns, Table};

/// The page.
pub fn document(check: &Check) -> Document {
    let mut document = Document::new(headline(check), summary(check));
    document.blocks = vec![Block::List(failures(check)), matrix(check).into()];
    let more = [
        unexpected(check),
        programmed(check),
        Some(paths(check)),
        trials(check),
        known(check),
        skipped(check),
    ];
    document.blocks.extend(more.into_iter().flatten().map(Block::from));
    document.blocks.extend(not_covered(check));
    document
}

/// `As expected: ...` or `UNEXPECTED: 3 of 1,200 probes, ...`.
fn headline(check: &Check) -> String {
    let all = check.probes().count();
    let probes = counted(all as u64, "probe");
    let known = match check.count(Verdict::Known) {
        0 => String::new(),
        known => format!("; {} known to differ, with a reason", thousands(known as u64)),
    };
    match check.count(Verdict::Unexpected) {
        _ if all == 0 => "NOTHING CHECKED".to_owned(),
        0 if check.differing().next().is_some() => {
            let differing: Vec<&str> = check.differing().collect();
            format!("UNEXPECTED: {} programmed something else; {probes}{known}", list(&differing))
        }
        0 => format!("AS EXPECTED: {probes}{known}"),
        wrong => format!("UNEXPECTED: {} of {probes}{known}", thousands(wrong as u64)),
    }
}

fn summary(check: &Check) -> String {
    let Check { kernel, place, topology, tool_version, .. } = check;
    format!("kernel {kernel} ({place}), topology {topology}, vipbench {tool_version}")
}

fn failures(check: &Check) -> Vec<String> {
    let failed = |proxy: &CheckedProxy| {
        let reason = proxy.failed.as_ref()?;
        Some(format!("The check of {} broke off: {reason}", proxy.name))
    };
    check.proxies.iter().filter_map(failed).collect()
}

/// Subjects by proxies.
fn matrix(check: &Check) -> Table {
    let mut columns = Columns::of(&check.subjects).text("", |subject| subject.says.clone());
    for proxy in &check.proxies {
        columns =
            columns.text(&proxy.name, |subject| mark(proxy, |one| one.subject == subject.name));
    }
    columns.titled(
        "What must hold, by proxy",
        "`ok 8`: eight probes, each as it must be. `ok 6, known 2`: two differ as is known of this \
         proxy. `WRONG 1/8`: one of eight is unexpected. `-`: not tried.",
    )
}

/// Sources and frontends by proxies.
fn paths(check: &Check) -> Table {
    let path = |probe: &Probe| (probe.source.clone(), probe.frontend.clone());
    let paths = check.probes().map(|(_, probe)| path(probe)).unique();
    let mut columns = Columns::of(paths.sorted())
        .text("from", |(source, _)| source.clone())
        .text("to", |(_, frontend)| frontend.clone());
    for proxy in &check.proxies {
        columns = columns.text(&proxy.name, |wanted| mark(proxy, |one| path(one) == *wanted));
    }
    columns.titled("The same probes by path", "")
}

/// How the probes of a proxy ended, in a word or two.
fn mark(proxy: &CheckedProxy, is_wanted: impl Fn(&Probe) -> bool) -> String {
    let probes = proxy.probes.iter().filter(|one| is_wanted(one));
    let counts = probes.counts_by(|one| one.verdict.to_string());
    let count = |verdict: Verdict| counts.get(&verdict.to_string()).copied().unwrap_or_default();
    let all: usize = counts.values().sum();
    match (count(Verdict::Unexpected), count(Verdict::Known)) {
        _ if all == 0 => "-".to_owned(),
        (0, 0) => format!("ok {all}"),
        (0, known) if known == all => format!("known {known}"),
        (0, known) => format!("ok {}, known {known}", all - known),
        (wrong, _) => format!("WRONG {wrong}/{all}"),
    }
}

fn path_of(probe: &Probe) -> String {
    let Probe { source, frontend, protocol, family, .. } = probe;
    format!("{source} to {frontend}, {protocol}, {family}")
}

/// Every unexpected probe.
fn unexpected(check: &Check) -> Option<Table> {
    let wrong = check.probes().filter(|(_, probe)| probe.verdict == Verdict::Unexpected);
    Columns::of(wrong)
        .text("proxy", |(proxy, _)| (*proxy).to_owned())
        .text("subject", |(_, probe)| probe.subject.clone())
        .text("path", |(_, probe)| path_of(probe))
        .text("addresses", |(_, probe)| probe.addresses.clone())
        .text("must be", |(_, probe)| probe.expected.clone())
        .text("came", |(_, probe)| probe.came.clone())
        .titled("Unexpected", "")
        .cut()
        .unless_empty()
}

/// What the kernel holds of each proxy.
fn programmed(check: &Check) -> Option<Table> {
    let programmed = |proxy: &'_ CheckedProxy| {
        let programmed = proxy.programmed.clone()?;
        Some((proxy.name.clone(), programmed))
    };
    Columns::of(check.proxies.iter().filter_map(programmed))
        .text("proxy", |(proxy, _)| proxy.clone())
        .text("should be as by", |(_, one)| one.as_by.clone())
        .number("the same", |(_, one)| thousands(one.same))
        .number("different", |(_, one)| thousands(one.different))
        .text("the first that differ", |(_, one)| one.first.join("; "))
        .titled(
            "What is programmed, read back",
            "Rules, elements, servers, entries of sets and addresses.",
        )
        .cut()
        .unless_empty()
}

/// What single settings do.
fn trials(check: &Check) -> Option<Table> {
    let proxies = check.proxies.iter();
    let trials =
        proxies.flat_map(|proxy| proxy.trials.iter().map(move |trial| (&proxy.name, trial)));
    let mark = |verdict| if verdict == Verdict::Good { "ok" } else { "WRONG" };
    Columns::of(trials)
        .text("question", |(_, trial)| trial.question.clone())
        .text("proxy", |(proxy, _)| (*proxy).clone())
        .text("setting", |(_, trial)| trial.setting.clone())
        .text("from", |(_, trial)| trial.probe.source.clone())
        .text("must be", |(_, trial)| trial.probe.expected.clone())
        .text("came", |(_, trial)| trial.probe.came.clone())
        .text("is", |(_, trial)| mark(trial.probe.verdict).to_owned())
        .titled(
            "Single settings, each programmed by itself",
            "What must be is what follows from the setting: one that cannot work must fail.",
        )
        .cut()
        .unless_empty()
}

/// Known deviations, those of one reason together.
fn known(check: &Check) -> Option<Table> {
    let known = check.probes().filter(|(_, probe)| probe.verdict == Verdict::Known);
    let reason = |probe: &Probe| probe.reason.clone().unwrap_or_default();
    let grouped = known.counts_by(|(proxy, probe)| {
        (proxy.to_owned(), probe.subject.clone(), probe.came.clone(), reason(probe))
    });
    Columns::of(grouped.into_iter().sorted())
        .text("proxy", |((proxy, ..), _)| proxy.clone())
        .text("subject", |((_, subject, ..), _)| subject.clone())
        .number("probes", |(_, count)| thousands(*count as u64))
        .text("came", |((_, _, came, _), _)| came.clone())
        .text("why this is known", |((.., reason), _)| reason.clone())
        .titled("Known deviations", "")
        .cut()
        .unless_empty()
}

fn skipped(check: &Check) -> Option<Table> {
    let of_proxy = |proxy: &CheckedProxy| {
        let name = proxy.name.clone();
        proxy.skipped.clone().into_iter().map(move |skip| (skip, name.clone()))
    };
    let all = check.proxies.iter().flat_map(of_proxy);
    let by_skip = all.into_group_map_by(|(skip, _)| (skip.what.clone(), skip.reason.clone()));
    Columns::of(by_skip.into_iter().sorted_by(|left, right| left.0.cmp(&right.0)))
        .text("not tried", |((what, _), _)| what.clone())
        .text("with", |(_, proxies)| proxies.iter().map(|(_, name)| name).join(", "))
        .text("reason", |((_, reason), _)| reason.clone())
        .titled("Skipped", "")
        .unless_empty()
}

fn not_covered(check: &Check) -> [Block; 2] {
    let topics = check.not_covered.iter();
    let topics = topics.map(|one| (one.behaviour.clone(), one.reason.clone())).collect();
    let count = counted(check.not_covered.len() as u64, "behaviour");
    let title = format!("{count} of Kubernetes' own tests that this check does not try");
    [Block::Heading(2, title), Block::Topics(topics)]
}
