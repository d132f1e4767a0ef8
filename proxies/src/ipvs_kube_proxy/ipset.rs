//! The tool `ipset`, one process a set or entry, with the arguments that kube-proxy gives it.
//!
//! `createSet`, `ListEntries`, `AddEntry` and `DelEntry` in pkg/proxy/ipvs/ipset/ipset.go, and
//! `syncIPSetEntries` in pkg/proxy/ipvs/ipset.go, Kubernetes 1.36. Where kube-proxy logs a refusal
//! and goes on, it is an error here.

use std::collections::{BTreeMap, BTreeSet};

use generators::Family;
use linux::{CpuTime, Tool};

use super::sets::{Entries, Set};
use crate::error::ProxyError;
use crate::options::TOOL_DEADLINE;

/// The tool.
const PROGRAM: &str = "ipset";

fn tool<'a>(args: &'a [&'a str]) -> Tool<'a> {
    Tool { program: PROGRAM, args, env: None, deadline: TOOL_DEADLINE }
}

/// Whether the tool is there and runs.
pub(super) fn probe() -> Result<(), ProxyError> {
    Ok(tool(&["version"]).read().map(drop)?)
}

/// Makes what is missing of the 17 sets of a family, whatever is there.
pub(super) fn ensure_sets(family: Family) -> Result<(), ProxyError> {
    for set in Set::ALL {
        let (name, properties) = (set.name(family), set.properties(family));
        let mut args = vec!["create", name.as_str()];
        args.extend(properties.split(' '));
        args.push("-exist");
        tool(&args).read()?;
    }
    Ok(())
}

/// Brings the sets of a family to these entries: of each a list, then a call for each entry that is
/// not wanted, and one for each that is missing. Returns what the processes took.
pub(super) fn sync(family: Family, wanted: &Entries) -> Result<CpuTime, ProxyError> {
    let mut taken = CpuTime::default();
    for set in Set::ALL {
        let (name, wanted) = (set.name(family), wanted.of(set));
        let (there, used) = list(&name)?;
        taken = taken + used;
        for entry in there.difference(wanted) {
            taken = taken + tool(&["del", &name, entry]).read_accounted()?.1;
        }
        for entry in wanted.difference(&there) {
            taken = taken + tool(&["add", &name, entry, "-exist"]).read_accounted()?.1;
        }
    }
    Ok(taken)
}

/// The entries of one set, as the tool prints them behind `Members:`.
fn list(name: &str) -> Result<(BTreeSet<String>, CpuTime), ProxyError> {
    let (printed, used) = tool(&["list", name]).read_accounted()?;
    let what = || format!("`{PROGRAM} list {name}`");
    let printed = String::from_utf8(printed)
        .map_err(|error| ProxyError::malformed(what(), error.to_string()))?;
    let (_, members) = printed
        .split_once("Members:")
        .ok_or_else(|| ProxyError::malformed(what(), "it has no line `Members:`"))?;
    let members = members.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok((members.map(str::to_owned).collect(), used))
}

/// All entries in one process, onto sets that are there: not kube-proxy's way.
pub(super) fn restore(family: Family, wanted: &Entries) -> Result<CpuTime, ProxyError> {
    let mut text = String::new();
    for set in Set::ALL {
        let name = set.name(family);
        for entry in wanted.of(set) {
            text.extend(["add ", &name, " ", entry, "\n"]);
        }
    }
    Ok(tool(&["restore", "-exist"]).feed(text.as_bytes())?)
}

/// A set as `ipset save` prints it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SavedSet {
    /// Its type and sizes.
    pub properties: String,
    /// Its entries.
    pub entries: BTreeSet<String>,
}

/// Every set of the namespace, by name.
pub(super) fn saved() -> Result<BTreeMap<String, SavedSet>, ProxyError> {
    let printed = tool(&["save"]).read()?;
    parse(&String::from_utf8_lossy(&printed))
}

fn parse(text: &str) -> Result<BTreeMap<String, SavedSet>, ProxyError> {
    let mut sets: BTreeMap<String, SavedSet> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let malformed = |reason: &str| {
            ProxyError::malformed(format!("`{PROGRAM} save`, line {}", at + 1), reason)
        };
        let mut words = line.splitn(3, ' ');
        let (verb, name, rest) = (words.next(), words.next(), words.next());
        match (verb, name, rest) {
            (Some("create"), Some(name), Some(properties)) => {
                let set = sets.entry(name.to_owned()).or_default();
                properties.clone_into(&mut set.properties);
            }
            (Some("add"), Some(name), Some(entry)) => {
                let set = sets.get_mut(name).ok_or_else(|| malformed("its set is not there"))?;
                set.entries.insert(entry.to_owned());
            }
            _ => return Err(malformed("it neither makes a set nor adds to one")),
        }
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_sets_are_read_with_their_entries() {
        let text = "create KUBE-IPVS-IPS hash:ip family inet hashsize 1024\n\
                    add KUBE-IPVS-IPS 10.96.0.1\nadd KUBE-IPVS-IPS 10.96.0.2\n\
                    create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\n";
        let sets = parse(text).unwrap();
        let set = |properties: &str, entries: &[&str]| SavedSet {
            properties: properties.to_owned(),
            entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        };
        let addresses = set("hash:ip family inet hashsize 1024", &["10.96.0.1", "10.96.0.2"]);
        assert_eq!(sets["KUBE-IPVS-IPS"], addresses);
        assert_eq!(sets["KUBE-NODE-PORT-TCP"], set("bitmap:port range 0-65535", &[]));
    }

    #[test]
    fn what_is_no_saved_set_is_named_by_line() {
        for (text, words) in [
            ("create A hash:ip\nadd B 10.0.0.1\n", "line 2: its set is not there"),
            ("what\n", "line 1: it neither makes"),
            ("create A\n", "line 1: it neither makes"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
