//! What differs between two sides beside the kernel: versions of the tool and its helpers, the
//! machine, the load of the scenario.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::comparison::Difference;
use super::side::Side;
use crate::facts::{GUEST, HOST, LOAD, differing};
use crate::format::plain;
use crate::record::Clock;

/// Facts that differ with every kernel: where it came from, its content, and the image with its
/// modules, whose programs are facts of their own.
const OF_EVERY_KERNEL: [&str; 3] = ["source", "kernel_sha256", "initramfs_sha256"];

/// Dimensions of a scenario: a difference there shows up as cells without a partner.
const DIMENSIONS: [&str; 8] =
    ["name", "description", "services", "proxies", "measures", "seeds", "kernels", "only"];

/// Every fact that differs, by key.
pub(crate) fn differences(base: &Side, new: &Side) -> Vec<Difference> {
    let across_kernels = base.kernels() != new.kernels();
    let (bases, news) = (facts(base, across_kernels), facts(new, across_kernels));
    let instructions = base.clocks() == BTreeSet::from([Clock::Instructions]);
    differing(&bases, &news)
        .filter(|key| !(*key == LOAD || instructions && key.starts_with(HOST)))
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
/// release in their key, so that they meet those of the other one, without [`OF_EVERY_KERNEL`].
fn facts(side: &Side, across_kernels: bool) -> BTreeMap<String, BTreeSet<String>> {
    let kernels = side.kernels();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in side.used_sources() {
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
    // A release begins with a digit, and no other fact of a guest does.
    let of_release = |rest: &&str| rest.starts_with(|first: char| first.is_ascii_digit());
    let Some(release) = key.strip_prefix(GUEST).filter(of_release) else {
        return Some(key.to_owned());
    };
    let of_kernel = |kernel: &&str| release.strip_prefix(*kernel)?.strip_prefix('.');
    match kernels.iter().find_map(of_kernel)? {
        _ if !across_kernels => Some(key.to_owned()),
        rest if OF_EVERY_KERNEL.contains(&rest) => None,
        rest => Some(format!("{GUEST}kernel.{rest}")),
    }
}

/// The leaves of a scenario by dotted key; lists are one leaf.
fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    if let Value::Object(fields) = value {
        for (name, field) in fields {
            if key != "scenario" || !DIMENSIONS.contains(&name.as_str()) {
                flatten(&format!("{key}.{name}"), field, into);
            }
        }
        return;
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    into.insert(key.to_owned(), text);
}
