//! A check as a page: the matrix of subjects and proxies, the same by path, every unexpected probe
//! with its addresses, known deviations with their reasons, and what was not tried.
//!
//! A terminal shows what one looks at first: what is as it should be in a line, settings by what
//! comes of them.

use itertools::Itertools as _;

use super::record::{Check, CheckedProxy, Cost, Probe, Programmed, Trial, Verdict};
use crate::document::{Block, Document};
use crate::format::{Scale, counted, list, thousands};
use crate::tables::{Columns, Table};

/// Most unexpected probes that a terminal shows.
const UNEXPECTED_MAX: usize = 20;

/// The page.
pub fn document(check: &Check) -> Document {
    let mut document = Document::new(headline(check), summary(check));
    document.blocks = vec![Block::List(failures(check)), matrix(check).into()];
    document.blocks.extend(unexpected(check));
    document.blocks.extend(programmed(check));
    document.blocks.push(paths(check).into());
    document.blocks.extend(trials(check));
    let more = [costs(check), known(check), skipped(check)];
    document.blocks.extend(more.into_iter().flatten().map(Block::from));
    document.blocks.extend(not_covered(check));
    document
}

/// A table for pages, and another or a sentence for terminals.
fn apart(page: Table, terminal: impl Into<Block>) -> [Block; 2] {
    [Block::OnPage(vec![page.into()]), Block::OnTerminal(vec![terminal.into()])]
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

/// Every unexpected probe, on a terminal the first.
fn unexpected(check: &Check) -> Vec<Block> {
    let wrong = check.probes().filter(|(_, probe)| probe.verdict == Verdict::Unexpected);
    let table = Columns::of(wrong)
        .text("proxy", |(proxy, _)| (*proxy).to_owned())
        .text("subject", |(_, probe)| probe.subject.clone())
        .text("path", |(_, probe)| path_of(probe))
        .text("addresses", |(_, probe)| probe.addresses.clone())
        .text("must be", |(_, probe)| probe.expected.clone())
        .text("came", |(_, probe)| probe.came.clone())
        .titled("Unexpected", "")
        .unless_empty();
    let both = |table: Table| apart(table.clone().cut(), table.cut_to(UNEXPECTED_MAX));
    table.into_iter().flat_map(both).collect()
}

/// What the kernel holds of each proxy.
fn programmed(check: &Check) -> Vec<Block> {
    let all: Vec<(&str, &Programmed)> = check
        .proxies
        .iter()
        .filter_map(|proxy| Some((proxy.name.as_str(), proxy.programmed.as_ref()?)))
        .collect();
    let same: u64 = all.iter().map(|(_, one)| one.same).sum();
    let is_same = all.iter().all(|(_, one)| one.different == 0);
    let proxies = list(&all.iter().map(|(proxy, _)| *proxy).collect::<Vec<_>>());
    let table = Columns::of(all)
        .text("proxy", |(proxy, _)| (*proxy).to_owned())
        .text("should be as by", |(_, one)| one.as_by.clone())
        .number("the same", |(_, one)| thousands(one.same))
        .number("different", |(_, one)| thousands(one.different))
        .text("the first that differ", |(_, one)| one.first.join("; "))
        .titled(
            "What is programmed, read back",
            "Rules, elements, servers, entries of sets and addresses.",
        )
        .cut();
    match table.unless_empty() {
        None => Vec::new(),
        Some(table) if is_same => {
            let words = format!(
                "What is programmed, read back, is as it should be: {} rules, elements, servers, \
                 entries of sets and addresses of {proxies}.",
                thousands(same)
            );
            apart(table, Block::Text(words)).into()
        }
        Some(table) => vec![table.into()],
    }
}

fn all_trials(check: &Check) -> impl Iterator<Item = (&str, &Trial)> {
    let proxies = check.proxies.iter();
    proxies.flat_map(|proxy| proxy.trials.iter().map(move |trial| (proxy.name.as_str(), trial)))
}

/// What it costs to make VIPs local: numbers of VIPs by the ways of doing it.
fn costs(check: &Check) -> Option<Table> {
    let costs: Vec<(&str, Cost)> = all_trials(check)
        .filter_map(|(_, trial)| Some((trial.setting.as_str(), trial.cost?)))
        .collect();
    let unit = costs.first()?.1.unit;
    let scale = Scale::of(unit, costs.iter().map(|(_, cost)| cost.taken as f64));
    let sizes = costs.iter().map(|(_, cost)| cost.vips).sorted().dedup();
    let mut columns = Columns::of(sizes).number("VIPs", |vips| thousands(*vips));
    for setting in costs.iter().map(|(setting, _)| *setting).unique() {
        columns = columns.number(setting, |vips| {
            let cost = costs.iter().find(|(of, cost)| *of == setting && cost.vips == *vips);
            cost.map_or_else(String::new, |(_, cost)| scale.number(cost.taken as f64))
        });
    }
    let title = format!("What it costs to make VIPs local, {}", scale.name());
    let note = "All of them handed to the kernel at once, in an empty namespace. The first and the \
                last were dialled then: what is local and has no listener refuses.";
    columns.titled(title, note).unless_empty()
}

/// What single settings do: those of which the same must come together, and on a page each.
fn trials(check: &Check) -> Vec<Block> {
    let trials: Vec<(&str, &Trial)> =
        all_trials(check).filter(|(_, trial)| trial.cost.is_none()).collect();
    let note = "What must be is what follows from the setting: one that cannot work must fail.";
    let all = Columns::of(&trials)
        .text("question", |(_, trial)| trial.question.clone())
        .text("proxy", |(proxy, _)| (*proxy).to_owned())
        .text("setting", |(_, trial)| trial.setting.clone())
        .text("from", |(_, trial)| trial.probe.source.clone())
        .text("must be", |(_, trial)| trial.probe.expected.clone())
        .text("came", |(_, trial)| trial.probe.came.clone())
        .text("is", |(_, trial)| is(trial).to_owned())
        .titled("Each setting with its addresses", "")
        .cut();
    let together = Columns::of(outcomes(&trials))
        .text("question", |of| of[0].question.clone())
        .text("settings", |of| joined(of, "; ", |trial| &trial.setting))
        .text("from", |of| joined(of, ", ", |trial| &trial.probe.source))
        .text("must be", |of| outcome(of[0]).to_owned())
        .text("is", |of| format!("{} {}", is(of[0]), of.len()))
        .text("came, for example", |of| of[0].probe.came.clone())
        .titled("Single settings, each programmed by itself", note)
        .cut();
    match together.unless_empty() {
        None => Vec::new(),
        Some(together) => vec![together.into(), Block::folded(all)],
    }
}

/// Trials of one question of which the same came, in the order of the first of each.
fn outcomes<'c>(trials: &[(&str, &'c Trial)]) -> Vec<Vec<&'c Trial>> {
    let mut groups: Vec<Vec<&Trial>> = Vec::new();
    let kind = |trial: &Trial| (trial.question.clone(), outcome(trial).to_owned(), is(trial));
    for (_, trial) in trials {
        match groups.iter_mut().find(|group| kind(group[0]) == kind(trial)) {
            Some(group) => group.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    groups
}

/// What must be, without whose answer.
fn outcome(trial: &Trial) -> &str {
    const ANSWER: &str = "an answer";
    let expected = trial.probe.expected.as_str();
    if expected.starts_with(ANSWER) { ANSWER } else { expected }
}

fn is(trial: &Trial) -> &'static str {
    if trial.probe.verdict == Verdict::Good { "ok" } else { "WRONG" }
}

fn joined(trials: &[&Trial], separator: &str, word: impl Fn(&Trial) -> &str) -> String {
    trials.iter().map(|trial| word(trial)).unique().join(separator)
}

/// Name, reason and probes of each reason for which a proxy is known to differ.
fn known_by_reason(proxy: &CheckedProxy) -> Vec<(&str, &str, Vec<&Probe>)> {
    let known = proxy.all_probes().filter(|probe| probe.verdict == Verdict::Known);
    let by_reason = known.into_group_map_by(|probe| probe.reason.as_deref().unwrap_or_default());
    let by_reason = by_reason.into_iter().sorted_by_key(|(reason, _)| *reason);
    by_reason.map(|(reason, probes)| (proxy.name.as_str(), reason, probes)).collect()
}

/// Known deviations, those of one reason together.
fn known(check: &Check) -> Option<Table> {
    let first = |probes: &[&Probe]| format!("{}: {}", path_of(probes[0]), probes[0].came);
    Columns::of(check.proxies.iter().flat_map(known_by_reason))
        .text("proxy", |(proxy, ..)| (*proxy).to_owned())
        .text("why this is known", |(_, reason, _)| (*reason).to_owned())
        .number("probes", |(.., probes)| thousands(probes.len() as u64))
        .text("subjects", |(.., probes)| probes.iter().map(|one| &one.subject).unique().join(", "))
        .text("for example", |(.., probes)| first(probes))
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
    let words = format!("{title} are on the page (-o DIR), each with the reason.");
    let page = vec![Block::Heading(2, title), Block::Topics(topics)];
    [Block::OnPage(page), Block::OnTerminal(vec![Block::Text(words)])]
}
