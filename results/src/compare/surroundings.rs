//! What differs between two sides beside the kernel: versions of the tool and its helpers, the
//! machine, the load of the scenario.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::side::Side;
use crate::format::plain;
use crate::record::Clock;

/// Dimensions of a scenario: a difference there shows up as cells without a partner.
const DIMENSIONS: [&str; 8] =
    ["name", "description", "services", "proxies", "measures", "seeds", "kernels", "only"];
/// Facts of the host: they reach a guest's wall clock, but not its count of instructions.
const HOST: &str = "host.";
/// What the load of the machine was differs at any time.
const LOAD: &str = "host.load";
/// Facts of one guest kernel are called `guest.RELEASE.` and so on.
const GUEST: &str = "guest.";

/// A fact that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// Its dotted key, for example `tool.qemu-system-x86_64` or `scenario.load.connections`.
    pub fact: String,
    /// The base's value, `not recorded` without one.
    pub base: String,
    /// The new side's.
    pub new: String,
}

/// Every fact that differs, by key.
pub(super) fn differences(base: &Side, new: &Side) -> Vec<Difference> {
    let across_kernels = base.kernels() != new.kernels();
    let (bases, news) = (facts(base, across_kernels), facts(new, across_kernels));
    let instructions = base.clocks() == [Clock::Instructions];
    let keys: BTreeSet<&String> = bases.keys().chain(news.keys()).collect();
    keys.into_iter()
        .filter(|key| !(key.as_str() == LOAD || instructions && key.starts_with(HOST)))
        .filter(|key| bases.get(*key) != news.get(*key))
        .map(|key| Difference {
            fact: plain(key),
            base: in_words(bases.get(key)),
            new: in_words(news.get(key)),
        })
        .collect()
}

fn in_words(values: Option<&BTreeSet<String>>) -> String {
    let values: Vec<String> = values.into_iter().flatten().map(|value| plain(value)).collect();
    if values.is_empty() { "not recorded".to_owned() } else { values.join(" or ") }
}

/// All facts of the runs of a side. Across two kernels those of the side's guest kernel lose the
/// release in their key, so that they meet those of the other one, and where the kernel came from
/// is left out: that is what differs anyway.
fn facts(side: &Side, across_kernels: bool) -> BTreeMap<String, BTreeSet<String>> {
    let kernels = side.kernels();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in side.sources() {
        let mut scenario = BTreeMap::new();
        flatten("scenario", &source.scenario, &mut scenario);
        for (key, value) in source.facts.iter().chain(&scenario) {
            if let Some(key) = common_key(key, &kernels, across_kernels) {
                all.entry(key).or_default().insert(value.clone());
            }
        }
    }
    all
}

/// The key under which a fact meets its partner; `None` for facts of kernels that are not of this
/// side.
fn common_key(key: &str, kernels: &[&str], across_kernels: bool) -> Option<String> {
    let of_kernel =
        |kernel: &&str| key.strip_prefix(GUEST)?.strip_prefix(*kernel)?.strip_prefix('.');
    match kernels.iter().find_map(of_kernel) {
        Some("source") if across_kernels => None,
        Some(rest) if across_kernels => Some(format!("{GUEST}kernel.{rest}")),
        Some(_) => Some(key.to_owned()),
        None => {
            // A release begins with a digit, and no other fact of a guest does.
            let rest = key.strip_prefix(GUEST).unwrap_or_default();
            (!rest.starts_with(|first: char| first.is_ascii_digit())).then(|| key.to_owned())
        }
    }
}

/// The leaves of a scenario by dotted key; lists are one leaf.
fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if key != "scenario" || !DIMENSIONS.contains(&name.as_str()) {
                    flatten(&format!("{key}.{name}"), field, into);
                }
            }
        }
        Value::String(text) => {
            into.insert(key.to_owned(), text.clone());
        }
        other => {
            into.insert(key.to_owned(), other.to_string());
        }
    }
}
