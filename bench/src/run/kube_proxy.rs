//! The kube-proxies of a scenario: from the files that it names to the names of its proxies, and the
//! facts of a run.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER;
use proxies::kube_proxy::{Binary, Mode, PREFIX, configuration, know, version_of};
use sha2::{Digest, Sha256};

use crate::measure::options_of;
use crate::scenario::Scenario;

/// Modes that every node can have, where no proxy of a kube-proxy is named.
const USUAL: [Mode; 2] = [Mode::Iptables, Mode::Nftables];

/// Whether a name of a proxy is one of a kube-proxy.
pub(super) fn is_one(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Asks every file for its version, makes its proxies known, and names them in the scenario: a name
/// without a version is all of that mode.
///
/// # Errors
/// A file that is no kube-proxy of this machine; two of one version.
pub(super) fn name(scenario: &mut Scenario) -> anyhow::Result<()> {
    let (mut versions, mut known) = (BTreeSet::new(), Vec::new());
    for path in &mut scenario.kube_proxy {
        // Cells are other processes, and need not be in this folder.
        *path = path.canonicalize().with_context(|| path.display().to_string())?;
        let version = version_of(path)?;
        known.extend(know(path, &version).into_iter().filter_map(|backend| backend.binary));
        ensure!(
            versions.insert(version.clone()),
            "{}: there is another file of version {version}; leave one out",
            path.display()
        );
    }
    let names = |mode: &str| -> Vec<String> {
        let of_mode = known.iter().filter(|one| one.mode.as_str() == mode);
        of_mode.map(|one| one.name()).collect()
    };
    let is_named = scenario.proxies.iter().any(|name| is_one(name));
    let expanded = scenario.proxies.iter().flat_map(|name| {
        let all = name.strip_prefix(PREFIX).map(names).unwrap_or_default();
        if all.is_empty() { vec![name.clone()] } else { all }
    });
    let mut expanded: Vec<String> = expanded.collect();
    if !is_named {
        expanded.extend(USUAL.iter().flat_map(|mode| names(mode.as_str())));
    }
    scenario.proxies = expanded;
    Ok(())
}

/// What a comparison with another run must match: which files, and how they are configured.
///
/// # Errors
/// A file that cannot be read any more.
pub(super) fn facts(scenario: &Scenario) -> anyhow::Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let named = scenario.proxies.iter().filter_map(|name| proxies::find(name).ok()?.binary);
    for binary in named {
        let (name, path) = (binary.name(), &binary.path);
        facts.insert(format!("proxy.{name}.config"), config(binary, scenario));
        let sha256 = facts.entry(format!("kube-proxy.{}.sha256", binary.version));
        if let Entry::Vacant(sha256) = sha256 {
            sha256.insert(digest(path).with_context(|| path.display().to_string())?);
        }
    }
    Ok(facts)
}

fn config(binary: &Binary, scenario: &Scenario) -> String {
    let mut options = options_of(&scenario.cluster);
    scenario.ipvs.apply(&mut options);
    configuration(binary.mode, &options, "kubeconfig").to_string()
}

fn digest(path: &Path) -> io::Result<String> {
    Ok(HEXLOWER.encode(&Sha256::digest(fs::read(path)?)))
}
