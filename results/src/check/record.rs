//! What a check stores: every single thing that was tried, what had to come, and what came.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Place, Unit, shown_as_stored};

/// Format of what `vipbench check --json` prints.
pub const CHECK_SCHEMA: &str = "vipbench.check/1";

/// A whole check: some proxies in one topology on one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// [`CHECK_SCHEMA`].
    pub schema: String,
    /// Version of vipbench.
    pub tool_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Where it ran.
    pub place: Place,
    /// Name of the topology.
    pub topology: String,
    /// What is looked at, in the order of the matrix.
    pub subjects: Vec<Subject>,
    /// Each proxy with what was tried.
    pub proxies: Vec<CheckedProxy>,
    /// What Kubernetes' own tests demand and this check does not try.
    pub not_covered: Vec<NotCovered>,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// Its short name.
    pub name: String,
    /// What must hold.
    pub says: String,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedProxy {
    /// Its name.
    pub name: String,
    /// Every probe of it.
    pub probes: Vec<Probe>,
    /// What came of single settings, each programmed by itself.
    pub trials: Vec<Trial>,
    /// What it programmed, read back, beside what it should have.
    pub programmed: Option<Programmed>,
    /// What was not, and why.
    pub skipped: Vec<Skipped>,
    /// Why the check of this proxy ended before its end, if it did.
    pub failed: Option<String>,
}

/// One probe: something was dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Name of the subject that it belongs to.
    pub subject: String,
    /// Who dialled: `outside`, `pod`, `node`, `other-node-pod` or `endpoint`.
    pub source: String,
    /// What was dialled: `cluster IP`, `external IP`, `load-balancer IP`, `node port` or
    /// `endpoint`.
    pub frontend: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// `IPv4` or `IPv6`.
    pub family: String,
    /// The Service.
    pub service: String,
    /// From where, and to where.
    pub addresses: String,
    /// What must happen.
    pub expected: String,
    /// What happened.
    pub came: String,
    /// What follows.
    pub verdict: Verdict,
    /// For a known deviation: why it is one, with its source.
    pub reason: Option<String>,
}

/// One setting of a proxy, tried by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// What it is to answer, in words.
    pub question: String,
    /// The setting.
    pub setting: String,
    /// What was dialled, and what came.
    pub probe: Probe,
    /// What programming it took, if that is what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What it took to make VIPs local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// How many VIPs.
    pub vips: u64,
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub taken: u64,
}

/// What the kernel holds, compared with what a backend programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Programmed {
    /// Name of that backend: the proxy itself, or of a kube-proxy the one of ours that stands for
    /// it.
    pub as_by: String,
    /// Rules, elements, servers, entries and addresses that are as they should be.
    pub same: u64,
    /// Those that are not.
    pub different: u64,
    /// The first of these, in words.
    pub first: Vec<String>,
}

/// What follows from what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What had to come came.
    Good,
    /// Something else came, which is known of this proxy and has a reason.
    Known,
    /// Something else came.
    Unexpected,
}

shown_as_stored!(Verdict);

/// What was not tried with a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// A behaviour that is not tried with any proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotCovered {
    /// What Kubernetes' tests demand.
    pub behaviour: String,
    /// Why it is not tried.
    pub reason: String,
}

impl Check {
    /// How many probes ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.probes().filter(|(_, probe)| probe.verdict == verdict).count()
    }

    /// Every probe, with the name of its proxy.
    pub fn probes(&self) -> impl Iterator<Item = (&str, &Probe)> {
        self.proxies
            .iter()
            .flat_map(|proxy| proxy.all_probes().map(|probe| (proxy.name.as_str(), probe)))
    }

    /// Proxies that programmed something else than they should.
    pub fn differing(&self) -> impl Iterator<Item = &str> {
        let differs = |proxy: &&CheckedProxy| {
            proxy.programmed.as_ref().is_some_and(|programmed| programmed.different > 0)
        };
        self.proxies.iter().filter(differs).map(|proxy| proxy.name.as_str())
    }

    /// The exit code of `vipbench check`: 2 for anything unexpected; 1 if a check broke off or
    /// nothing was tried.
    pub fn exit_code(&self) -> u8 {
        let is_broken = self.proxies.iter().any(|proxy| proxy.failed.is_some());
        match self.count(Verdict::Unexpected) {
            1.. => 2,
            0 if self.differing().next().is_some() => 2,
            0 if is_broken || self.probes().next().is_none() => 1,
            0 => 0,
        }
    }
}

impl CheckedProxy {
    /// Every probe, those of single settings too.
    pub fn all_probes(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().chain(self.trials.iter().map(|trial| &trial.probe))
    }

    /// Takes what another part of the check of the same proxy found.
    pub fn take(&mut self, part: Self) {
        let Self { name: _, probes, trials, programmed, skipped, failed } = part;
        self.probes.extend(probes);
        self.trials.extend(trials);
        self.programmed = self.programmed.take().or(programmed);
        self.skipped.extend(skipped);
        self.failed = self.failed.take().or(failed);
    }

    /// Tells of something that is not tried.
    pub fn skip(&mut self, what: &str, reason: String) {
        self.skipped.push(Skipped { what: what.to_owned(), reason });
    }
}
