//! `vipbench kernels probe`: boots each kernel and prints what it can do, found by trying.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use lab::guest::{Limit, Task};
use lab::image::{Cache, KernelSpec};
use proxies::features::Feature;
use serde::Serialize;

use super::selected;
use crate::cli::KernelsProbeArgs;
use crate::console;
use crate::features::{self, groups, summary};
use crate::place::{GuestOptions, GuestPlace, WorkDir, answer_of};
use crate::run::progress::during;
use crate::scenario::Limits;

/// Some sixty tries take an emulated guest 10 s.
const LIMIT: Limit = Limit::Processor(Duration::from_mins(5));
/// The group that has a column for each of its members.
const PROXIES: &str = "proxy";

/// What one kernel can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Probed {
    spec: String,
    kernel: String,
    features: Vec<Feature>,
}

pub(super) fn run(args: &KernelsProbeArgs) -> anyhow::Result<ExitCode> {
    let specs = selected(&args.specs, &Cache::open()?)?;
    let probed = during(|progress| {
        let named = |spec| probe(spec, progress).with_context(|| format!("kernel {spec}"));
        specs.iter().map(named).collect::<anyhow::Result<Vec<Probed>>>()
    })?;
    if args.json {
        console::json(&probed)?;
    } else {
        console::print(in_words(&probed))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn probe(spec: &KernelSpec, progress: &dyn Fn(&str)) -> anyhow::Result<Probed> {
    let options = GuestOptions::emulated(&Limits::default());
    let work = WorkDir::new()?;
    let mut place = GuestPlace::open(spec, &options, progress)?;
    place.prepare(work.path(), progress)?;
    progress(&format!("probing {}", place.release()));
    let task = Task::Call { payload: features::QUESTION.to_owned() };
    let features = answer_of(place.ask(task, 1, work.path(), LIMIT, &mut |_| {})?)?;
    Ok(Probed { spec: spec.to_string(), kernel: place.release().to_owned(), features })
}

/// A table with a row a kernel, and below it why what is missing does not work.
fn in_words(probed: &[Probed]) -> String {
    let Some(first) = probed.first() else { return String::new() };
    let proxies: Vec<&str> = of_group(first, PROXIES).map(|one| one.name.as_str()).collect();
    let mut others = groups(&first.features);
    others.retain(|group| *group != PROXIES);
    let plural: Vec<String> = others.iter().map(|group| plural(group)).collect();
    let plural = plural.iter().map(String::as_str);
    let mut table =
        console::table(["kernel"].into_iter().chain(proxies.iter().copied()).chain(plural));
    for kernel in probed {
        let mut row = vec![kernel.kernel.clone()];
        row.extend(proxies.iter().map(|name| {
            let found = of_group(kernel, PROXIES).find(|one| one.name == *name);
            let works = found.is_some_and(|one| one.missing.is_none());
            if works { "yes" } else { "no" }.to_owned()
        }));
        row.extend(others.iter().map(|group| summary(&kernel.features, group)));
        table.add_row(row);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for kernel in probed {
        for (group, names, reason) in reasons(&kernel.features) {
            let reason = reason.replace('\n', " ");
            let _ = writeln!(text, "{}: {group} {}: {reason}", kernel.kernel, names.join(" "));
        }
    }
    text
}

/// What does not work and why: neighbours of one group with the same reason together.
fn reasons(features: &[Feature]) -> Vec<(&str, Vec<&str>, &str)> {
    let mut all: Vec<(&str, Vec<&str>, &str)> = Vec::new();
    for one in features {
        let Some(reason) = one.missing.as_deref() else { continue };
        match all.last_mut() {
            Some((group, names, known)) if *group == one.group && *known == reason => {
                names.push(&one.name);
            }
            _ => all.push((&one.group, vec![&one.name], reason)),
        }
    }
    all
}

fn of_group<'k>(kernel: &'k Probed, group: &'k str) -> impl Iterator<Item = &'k Feature> {
    kernel.features.iter().filter(move |one| one.group == group)
}

fn plural(group: &str) -> String {
    if group.ends_with("match") { format!("{group}es") } else { format!("{group}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_a_row_and_what_it_lacks_has_a_reason() {
        let tried = |group: &str, name: &str, missing: Option<&str>| Feature {
            group: group.into(),
            name: name.into(),
            missing: missing.map(str::to_owned),
        };
        let probed = [Probed {
            spec: "6.1".into(),
            kernel: "6.1.0-1".into(),
            features: vec![
                tried(PROXIES, "none", None),
                tried(PROXIES, "ipvs", Some("no\nmodule")),
                tried("legacy match", "set", None),
                tried("scheduler", "rr", Some("no module")),
                tried("scheduler", "mh", Some("no module")),
            ],
        }];
        let text = in_words(&probed);
        let row: Vec<&str> =
            text.lines().find(|l| l.contains("6.1.0-1")).unwrap().split_whitespace().collect();
        assert_eq!(row, ["6.1.0-1", "yes", "no", "all", "1", "none", "of", "2"]);
        assert!(text.contains("legacy matches"), "{text}");
        let reasons = "6.1.0-1: proxy ipvs: no module\n6.1.0-1: scheduler rr mh: no module\n";
        assert!(text.ends_with(reasons), "{text}");
    }
}
