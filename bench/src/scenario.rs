//! The scenario as written: a TOML file, read and bounded, nothing expanded. What it means is
//! worked out in `plan`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use generators::SyntheticSpec;
use lab::guest::Limit;
use results::Place;
use results::replicate::Claim;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::imported::ImportedCluster;
use crate::measure::batching::BatchingSettings;
use crate::measure::churn::settings::ChurnSettings;
use crate::measure::node::{IpvsSettings, NftablesSettings, SysctlValue};
use crate::measure::path::PathSpec;
use crate::measure::spec::{Inject, LoadSpec, Measure};

/// A scenario file. Every key has a documented default except `name`, `proxies`, and one of
/// `services` and `cluster_file`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name: part of the default folder name.
    pub name: String,
    /// One line for the report.
    #[serde(default)]
    pub description: String,
    /// Numbers of Services; of an imported Cluster its first ones [default: all of these].
    #[serde(default)]
    pub services: Vec<u32>,
    /// Proxies by name (`vipbench doctor` lists them).
    pub proxies: Vec<String>,
    /// Files of kube-proxies, each of another version: proxies `kube-proxy-iptables`,
    /// `kube-proxy-nftables` and `kube-proxy-ipvs` are then every one of them in that mode,
    /// `kube-proxy-ipvs@1.36.3` is one. Unless some are named, the first two are added. In a file
    /// it is relative to the file's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kube_proxy: Vec<PathBuf>,
    /// Where to run where `--place` does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Groups of metrics.
    #[serde(default = "default_measures")]
    pub measures: Vec<Measure>,
    /// Kernels; `default` is the newest stable cloud kernel of this machine's package source.
    #[serde(default = "default_kernels")]
    pub kernels: Vec<String>,
    /// More words for the guest kernels' command line, after those that vipbench needs; the last of
    /// two settings holds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel_cmdline: String,
    /// Seeds of Cluster, Changes, source ports and the guest's random pool.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// Measures that are not run for every seed and size, such as `[only.restart]` with
    /// `services = [100]`.
    #[serde(default)]
    pub only: BTreeMap<Measure, Only>,
    /// The most Services that a proxy is measured with, where what it programs grows faster than
    /// their number: `"nftables-1.36" = 5000`. A report tells what is left out so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub most_services: BTreeMap<String, u32>,
    /// Shape of the Cluster; its `services` is taken from the list above. Beside an imported
    /// Cluster: the lab's ranges, and the shape of Services that Changes add.
    #[serde(default)]
    pub cluster: SyntheticSpec,
    /// An imported Cluster (`vipbench import`) in place of generated ones; seeds still decide
    /// everything else. In a file it is relative to the file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_file: Option<PathBuf>,
    /// What is in that file, once the scenario is validated.
    #[serde(skip)]
    pub imported: Option<Arc<ImportedCluster>>,
    /// How load is put on.
    #[serde(default)]
    pub load: LoadSpec,
    /// What a cell may take.
    #[serde(default)]
    pub limits: Limits,
    /// Published claims that this scenario tests (`vipbench replicate`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// Settings of the IPVS proxies, where they are not kube-proxy's.
    #[serde(default, skip_serializing_if = "IpvsSettings::is_none")]
    pub ipvs: IpvsSettings,
    /// Settings of our nftables proxies.
    #[serde(default, skip_serializing_if = "NftablesSettings::is_none")]
    pub nftables: NftablesSettings,
    /// Kernel parameters of the node's namespace, by dotted name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, SysctlValue>,
    /// How connections get to a Service: new connections and syncs are measured by each of these.
    /// Other measures know the usual way alone, which is what stands here where nothing does.
    #[serde(default = "usual_path", skip_serializing_if = "is_usual_path")]
    pub paths: Vec<PathSpec>,
    /// How Changes and load come in the measure `churn`.
    #[serde(default, skip_serializing_if = "ChurnSettings::is_usual")]
    pub churn: ChurnSettings,
    /// How Changes come in the measure `batching`.
    #[serde(default, skip_serializing_if = "BatchingSettings::is_usual")]
    pub batching: BatchingSettings,
    /// Slowdowns put in on purpose, to see whether the gate finds them.
    #[serde(default, skip_serializing_if = "Inject::is_none")]
    pub inject: Inject,
}

/// A part of a scenario's seeds and sizes. What is left out is not restricted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// Seeds, all of them among the scenario's.
    pub seeds: Option<Vec<u64>>,
    /// Numbers of Services; those that are not the scenario's are passed over.
    pub services: Option<Vec<u32>>,
    /// More Services than this are measured with the first seed alone, because they take long and
    /// vary little.
    pub one_seed_above: Option<u32>,
}

/// What a cell may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Budget of one cell on the wall clock (on the host, or under KVM), seconds; beyond it the
    /// cell is censored.
    pub cell_s: u64,
    /// Budget of one cell on the instructions clock, seconds of guest time, each a billion
    /// instructions; time in which the guest waits counts too. The guest keeps it itself, so that a
    /// cell ends alike on any machine, however busy. The default is three times the largest
    /// recorded sync (38 s: iptables-nft, 10,000 Services), and what a machine that emulates 200
    /// million instructions a second does in 10 minutes.
    pub cell_guest_s: u32,
    /// Memory of a guest, MiB.
    pub guest_memory_mib: u32,
    /// Processor time that the emulator may take for a guest kernel's boot, seconds. Stock kernels
    /// take 9 to 16 s; beyond this it hangs. A machine that is busy with other things loses
    /// nothing.
    pub boot_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cell_s: 600, cell_guest_s: 120, guest_memory_mib: 3072, boot_s: 300 }
    }
}

impl Limits {
    /// What the emulator of a guest that keeps to [`Self::cell_guest_s`] may take.
    pub fn around_cell(&self) -> Limit {
        Limit::around(Duration::from_secs(self.cell_guest_s.into()))
    }
}

fn usual_path() -> Vec<PathSpec> {
    vec![PathSpec::default()]
}

fn is_usual_path(paths: &Vec<PathSpec>) -> bool {
    *paths == usual_path()
}

fn default_measures() -> Vec<Measure> {
    vec![Measure::Sync, Measure::Restart, Measure::Connect, Measure::Http, Measure::VipBind]
}

fn default_kernels() -> Vec<String> {
    vec!["default".into()]
}

fn default_seeds() -> Vec<u64> {
    vec![1]
}

impl Scenario {
    /// Whether cells of this measure are run for this seed and size.
    pub fn wants(&self, measure: Measure, seed: u64, services: u32) -> bool {
        self.only.get(&measure).is_none_or(|only| {
            only.seeds.as_ref().is_none_or(|seeds| seeds.contains(&seed))
                && only.services.as_ref().is_none_or(|sizes| sizes.contains(&services))
                && (self.seeds.first() == Some(&seed)
                    || only.one_seed_above.is_none_or(|most| services <= most))
        })
    }

    /// Whether a proxy is measured with this many Services. A kube-proxy's limit may be named with
    /// its version or without.
    pub fn goes_as_far(&self, proxy: &str, services: u32) -> bool {
        let without_version = proxy.split('@').next().unwrap_or(proxy);
        let most =
            self.most_services.get(proxy).or_else(|| self.most_services.get(without_version));
        most.is_none_or(|most| services <= *most)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// A file that cannot be read, is too large, or has a wrong key or value: named with its line.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let place = path.display();
        let text = files::read_text(path).with_context(|| {
            format!("scenario {place}: cannot be read; see scenarios/ for those that come along")
        })?;
        let mut scenario: Self = toml::from_str(&text)
            .map_err(|error| anyhow!("{}", generators::in_words(&error.to_string())))
            .with_context(|| format!("scenario {place}: fix the key or value shown below"))?;
        let files = scenario.cluster_file.iter_mut().chain(&mut scenario.kube_proxy);
        if let Some(folder) = path.parent() {
            files.for_each(|file| *file = folder.join(&*file));
        }
        Ok(scenario)
    }
}
