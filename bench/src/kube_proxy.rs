//! The kube-proxies that a user names: from their files to the names of proxies, and where a cell
//! finds them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use proxies::Descriptor;
use proxies::kube_proxy::{Binary, Mode, PREFIX, know, know_by_name, version_of};
use results::Place;
use serde::{Deserialize, Serialize};

/// The folder in a guest, where a file has the name of its version.
pub const FOLDER: &str = "/kube-proxy";
/// Modes that every node can have, where no proxy of a kube-proxy is named.
const USUAL: [Mode; 2] = [Mode::Iptables, Mode::Nftables];

/// Where what runs apart finds the kube-proxy that a proxy is; nothing for other proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KubeProxyFile(Option<PathBuf>);

impl KubeProxyFile {
    /// Of a proxy that is known here, for this place.
    pub fn of(proxy: &Descriptor, place: Place) -> Self {
        Self(proxy.binary.map(|one| file_of(one, place)))
    }

    /// Whether the proxy is none.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Makes the proxy of this name known in this process.
    ///
    /// # Errors
    /// The name is none of a kube-proxy.
    pub fn make_known(&self, proxy: &str) -> anyhow::Result<()> {
        match &self.0 {
            Some(file) => Ok(know_by_name(file, proxy)?),
            None => Ok(()),
        }
    }
}

/// The file of a kube-proxy as a cell in this place finds it.
fn file_of(binary: &Binary, place: Place) -> PathBuf {
    match place {
        Place::Host => binary.path.clone(),
        Place::Guest => PathBuf::from(FOLDER).join(&binary.version),
    }
}

/// The files that guests need, path here and path there, for the kube-proxies that are known.
pub fn files_of_guests() -> Vec<(PathBuf, PathBuf)> {
    let known = proxies::backends().filter_map(|backend| backend.binary);
    let mut files: Vec<_> =
        known.map(|one| (one.path.clone(), file_of(one, Place::Guest))).collect();
    files.sort();
    files.dedup();
    files
}

/// Whether a name of a proxy is one of a kube-proxy.
pub fn is_one(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Asks every file for its version and makes its proxies known. Gives the names of all proxies: one
/// without a version becomes all of that mode; unless one is named, the usual modes are added.
///
/// # Errors
/// A file that is no kube-proxy of this machine; two of one version.
pub fn name(files: &mut [PathBuf], proxies: &[String]) -> anyhow::Result<Vec<String>> {
    let (mut versions, mut known) = (BTreeSet::new(), Vec::new());
    for path in files {
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
    let expanded = proxies.iter().flat_map(|name| {
        let all = name.strip_prefix(PREFIX).map(names).unwrap_or_default();
        if all.is_empty() { vec![name.clone()] } else { all }
    });
    let mut expanded: Vec<String> = expanded.collect();
    if !proxies.iter().any(|name| is_one(name)) {
        expanded.extend(USUAL.iter().flat_map(|mode| names(mode.as_str())));
    }
    Ok(expanded)
}
