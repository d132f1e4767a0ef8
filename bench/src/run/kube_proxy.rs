//! The kube-proxies of a run as facts: which files, and how they are configured.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::{fs, io};

use anyhow::Context;
use data_encoding::HEXLOWER;
use proxies::kube_proxy::{Binary, configuration};
use sha2::{Digest, Sha256};

use crate::measure::options_of;
use crate::scenario::Scenario;

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
