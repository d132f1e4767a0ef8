//! One family's proxier: what it makes before a sync, the sync, and what it knows from one sync to
//! the next.
//!
//! `syncProxyRules` in pkg/proxy/ipvs/proxier.go, Kubernetes 1.36, in its order.

use std::net::IpAddr;

use generators::{Cluster, Family};
use linux::{CpuTime, usage};

use super::addresses::{self, Addresses};
use super::calls::Calls;
use super::desired::{Desired, Node};
use super::servers::{self, Draining};
use super::sets::Set;
use super::{ipset, rules, verify};
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::iptables::jumps;
use crate::iptables::tool::IptablesTool;
use crate::ipvs::observe::ObservedService;
use crate::ipvs::setup;
use crate::options::Options;

/// Matches that the backend `ipvs` does without.
const PROBE: &str = "\
*filter
:KUBE-PROBE - [0:0]
-A KUBE-PROBE -s 192.0.2.1 -m ipvs --vaddr 192.0.2.1 --vproto tcp --vport 1 -j DROP
-A KUBE-PROBE -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT
COMMIT
";

/// The proxier of one family.
#[derive(Debug)]
pub(super) struct Proxier {
    /// The family.
    pub family: Family,
    tool: IptablesTool,
    options: Options,
    /// What `prepare` found; nothing before the first.
    addresses: Option<Addresses>,
    draining: Draining,
}

/// What a sync of one family hands over.
#[derive(Debug)]
pub(super) struct Sync {
    /// What the kernel is to hold.
    pub desired: Desired,
    /// The text for `iptables-restore`, or `ip6tables-restore`.
    pub text: Vec<u8>,
    /// The rules in it.
    pub rules: u64,
}

impl Proxier {
    /// A proxier with these options. Touches nothing.
    pub fn new(family: Family, options: &Options) -> Self {
        let tool = IptablesTool::new(options.ipvs.iptables, family, options);
        let (options, draining) = (options.clone(), Draining::default());
        Self { family, tool, options, addresses: None, draining }
    }

    /// Whether the kernel has tables of the family.
    pub fn is_possible(&self) -> bool {
        self.tool.is_possible()
    }

    /// Makes chains, jumps, the dummy link and the sets as far as they are not there, by a process
    /// or request each, and lists the addresses.
    pub fn prepare(&mut self) -> Result<(), ProxyError> {
        jumps::ensure_chains_and_jumps(&self.tool, rules::CHAINS, &rules::JUMPS)?;
        addresses::ensure_link()?;
        ipset::ensure_sets(self.family)?;
        self.addresses = Some(addresses::read(self.family)?);
        Ok(())
    }

    /// What a Cluster needs on this node; without `prepare`, on a node that has no addresses but
    /// those of the options.
    pub fn render(&self, cluster: &Cluster) -> Sync {
        let own = self.addresses.as_ref().map(|addresses| addresses.own.clone());
        let desired = self.desired(cluster, own.unwrap_or_default());
        let (text, rules) = rules::restore_text(&desired, &self.options).into_parts();
        Sync { desired, text, rules }
    }

    fn desired(&self, cluster: &Cluster, own: Vec<IpAddr>) -> Desired {
        Desired::of(cluster, &Node::new(self.family, &self.options, own), &self.options)
    }

    /// Virtual servers, each with its address and real servers; the entries of the sets; the rules;
    /// then what is not wanted any more goes: addresses, and virtual servers.
    pub fn submit(&mut self, sync: &Sync, is_first: bool) -> Result<CpuTime, ProxyError> {
        let Some(Addresses { bound, .. }) = self.addresses.take() else {
            return Err(ProxyError::Request {
                reason: "it was not prepared in this namespace".into(),
            });
        };
        let Sync { desired, text, .. } = sync;
        if is_first {
            self.draining = Draining::default();
        }
        let before = usage::of_this_thread();
        let mut calls = Calls::open()?;
        servers::sync(&mut calls, desired, &bound, &mut self.draining, is_first)?;
        let by_ipset = if self.options.quick_start {
            ipset::restore(self.family, &desired.entries)?
        } else {
            ipset::sync(self.family, &desired.entries)?
        };
        let own = usage::of_this_thread() - before;
        let by_restore = self.tool.restore(text)?;
        let before = usage::of_this_thread();
        let wanted = desired.entries.of(Set::IpvsIps);
        for address in bound.iter().filter(|address| !wanted.contains(&address.to_string())) {
            addresses::unbind(*address)?;
        }
        servers::clean(&mut calls, desired)?;
        Ok(own + by_ipset + by_restore + (usage::of_this_thread() - before))
    }

    /// Removes real servers that have drained.
    pub fn settle(&mut self, calls: &mut Calls) -> Result<(), ProxyError> {
        self.draining.finish(calls)
    }

    /// Compares what the namespace holds with what a Cluster needs.
    pub fn verify(
        &self,
        cluster: &Cluster,
        observed: &[ObservedService],
        differences: &mut Differences,
    ) -> Result<(), ProxyError> {
        let Addresses { bound, own } = addresses::read(self.family)?;
        let desired = self.desired(cluster, own);
        verify::servers(&desired, observed, differences);
        verify::sets(&desired, &ipset::saved()?, differences);
        verify::addresses(&desired, &bound, differences);
        let expected = rules::saved_text(&desired, &self.options);
        verify::rules(&expected, &self.tool.save(&[])?, differences)
    }

    /// Removes rules, chains and jumps.
    pub fn remove_rules(&mut self) -> Result<(), ProxyError> {
        (self.addresses, self.draining) = (None, Draining::default());
        self.tool.remove_rules()
    }

    /// Destroys the sets, which no rule may name any more.
    pub fn destroy_sets(&self) -> Result<(), ProxyError> {
        ProxyError::gather(Set::ALL.map(|set| setup::destroy(&set.name(self.family))))
    }

    /// Tries sets and rules of each kind, in chains that nothing leads to.
    pub fn probe(&self) -> Result<(), ProxyError> {
        setup::probe(&self.tool)?;
        self.tool.try_rules(PROBE).map_err(|error| {
            error.of_trial("rules of kube-proxy's IPVS mode", "load xt_ipvs and xt_physdev")
        })
    }
}
