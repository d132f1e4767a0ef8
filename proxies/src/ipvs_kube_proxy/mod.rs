//! kube-proxy's IPVS mode as it is: the end state of pkg/proxy/ipvs, Kubernetes 1.36, call by call
//! and process by process, in both families.
//!
//! Every sync, also one of a single Change, looks at everything in its family (there is no partial
//! sync): 11 `iptables -N` and 9 `iptables -C`, 17 `ipset create -exist`, two lists of links and one
//! of addresses for each link (`prepare`); then three requests of generic netlink for each virtual
//! server and one for each difference, two of rtnetlink for each new address, 17 `ipset list` and
//! one `ipset` for each entry that comes or goes, one `iptables-restore`, two requests for each
//! address and one for each virtual server that goes (`submit`). What each file says is done there
//! has its source in it.
//!
//! What is done in which family, and when: `crate::families`.
//!
//! Differences: a refusal ends the sync where kube-proxy logs it; both families are prepared before
//! either is submitted. Of [`IpvsOptions`](crate::ipvs::IpvsOptions) scheduler and
//! iptables count; the rest is kube-proxy's.

mod addresses;
mod calls;
mod desired;
mod ipset;
#[cfg(test)]
pub(crate) mod listed;
mod proxier;
mod rules;
mod servers;
mod sets;
mod verify;

use generators::{Cluster, Family};
use linux::CpuTime;
use linux::sysctl::Sysctls;

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Cost, Descriptor, Spread};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::families::{PerFamily, has_ipv6};
use crate::iptables::TOOL_NFT;
use crate::ipvs::kernel::{family_number, flush};
use crate::ipvs::layout::check_scheduler;
use crate::ipvs::setup::{CONNTRACK, SYSCTLS};
use crate::ipvs::{TOOL_IPSET, buckets, observe, unbind_vips};
use crate::modules::{self, NF_TABLES, SCHEDULERS, SETS, XTABLES};
use crate::options::Options;
use crate::program::{Program, Size, SyncRequest};
use calls::Calls;
use proxier::{Proxier, Sync};

/// The name of the backend.
const NAME: &str = "ipvs-kube-proxy";

/// The backend `ipvs-kube-proxy`.
pub(crate) static IPVS_KUBE_PROXY: Descriptor = Descriptor {
    summary: "kube-proxy's IPVS mode, call by call and process by process",
    colour: "sky",
    tools: &[TOOL_NFT, TOOL_IPSET],
    modules: &[modules::CONNTRACK, XTABLES, NF_TABLES, &["ip6t_REJECT"], SETS, SCHEDULERS],
    bucket_services: Some(buckets::lengths),
    needs_local_vips: true,
    binds_by_link_alone: true,
    spread: Spread::InTurn,
    deviations: deviations::IPVS_KUBE_PROXY,
    cost: |_, _| Cost { sync: 3_000, per_1000_endpoints: 9_000, ..Cost::NOTHING },
    ..Descriptor::new(NAME, "ipvs", |_, options| Box::new(IpvsKubeProxy::new(options)))
};

/// Requests that every sync makes for a virtual server: two looks at it and one at its real
/// servers.
const LOOKS: u64 = 3;

/// The backend `ipvs-kube-proxy`.
#[derive(Debug)]
struct IpvsKubeProxy {
    options: Options,
    proxiers: PerFamily<Proxier>,
    sysctls: Sysctls,
}

/// A program: the syncs of the families that have something to do.
struct Syncs {
    /// Of IPv4 and IPv6.
    syncs: [Option<Sync>; 2],
    /// It is the first of a process.
    is_first: bool,
}

impl IpvsKubeProxy {
    /// A backend with these options. Touches nothing.
    fn new(options: &Options) -> Self {
        let proxiers = PerFamily::new(|family| Proxier::new(family, options));
        Self { options: options.clone(), proxiers, sysctls: Sysctls::default() }
    }
}

impl Backend for IpvsKubeProxy {
    /// Asks the kernel for IPVS, and tries sets and rules of each kind.
    fn probe(&mut self) -> Result<(), ProxyError> {
        // Listing needs the right to, which asking for the family does not.
        observe::keys_as_listed(family_number()?)?;
        ipset::probe()?;
        let [four, _] = self.proxiers.all();
        four.probe()
    }

    /// Removes real servers that have lost their last connection since a sync gave them weight 0.
    fn settle(&mut self, _programmed: &Cluster) -> Result<(), ProxyError> {
        let mut calls = Calls::open()?;
        self.proxiers.in_use().iter_mut().try_for_each(|proxier| proxier.settle(&mut calls))
    }

    /// Removes rules, every virtual service, link and sets, then resets the sysctls.
    fn stop(&mut self) -> Result<(), ProxyError> {
        let mut outcomes = self.proxiers.end(Proxier::remove_rules);
        outcomes.extend([flush(), unbind_vips()]);
        outcomes.extend(self.proxiers.all().each_ref().map(Proxier::destroy_sets));
        outcomes.extend(self.sysctls.restore().into_iter().map(|error| Err(error.into())));
        ProxyError::gather(outcomes)
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for IpvsKubeProxy {
    /// On a full request the sysctls. On every one chains, jumps, the dummy link and sets as far as
    /// they are missing, and a look at the addresses.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        check_scheduler(&self.options.ipvs.scheduler)?;
        self.proxiers.begin(request, &self.options, Proxier::is_possible);
        if matches!(request, SyncRequest::Full(_)) {
            for (name, value) in std::iter::once(CONNTRACK).chain(SYSCTLS) {
                self.sysctls.change(name, value)?;
            }
            // An earlier process may have left servers of IPv6.
            let left = observe::keys_as_listed(family_number()?)?;
            self.proxiers.note(left.iter().any(|key| key.address.is_ipv6()));
        }
        self.proxiers.due(request).try_for_each(Proxier::prepare)
    }

    /// What each family's kernel state is to be, and the text for its `iptables-restore`. A change
    /// is found only by looking, so that of an incremental request the Cluster after it counts.
    /// Messages of the size are those of the looks at virtual servers.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let cluster = request.after();
        let syncs = self.proxiers.map_due(request, |proxier| proxier.render(cluster));
        let size = |sync: &Sync| Size {
            rules: sync.rules,
            messages: LOOKS * sync.desired.servers.len() as u64,
            bytes: sync.text.len() as u64,
        };
        let size = syncs.iter().flatten().map(size).sum();
        let is_first = matches!(request, SyncRequest::Full(_));
        Ok(Program::of(size, Syncs { syncs, is_first }).with_cleanup(request))
    }

    /// Syncs IPv4, then IPv6. What was done before a refusal stays.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Syncs { syncs, is_first } = program.private(NAME)?;
        let mut taken = CpuTime::default();
        for (proxier, sync) in self.proxiers.all().iter_mut().zip(syncs) {
            if let Some(sync) = sync {
                taken = taken + proxier.submit(sync, *is_first)?;
            }
        }
        program.forget_stale_connections()?;
        Ok(taken)
    }
}

impl Audit for IpvsKubeProxy {
    /// Lists kernel parameters, virtual and real servers, sets, addresses and rules, and compares
    /// them with what they should be. Of IPv6 all but the servers are there only if it is, or was,
    /// in use.
    fn compare(&mut self, cluster: &Cluster, maker: Maker<'_>) -> Result<Differences, ProxyError> {
        let observed = observe::services(family_number()?)?;
        let mut differences = Differences::default();
        differences.compare_sysctls(std::iter::once(CONNTRACK).chain(SYSCTLS))?;
        self.proxiers.note(match maker {
            Maker::Ours => {
                has_ipv6(cluster) || observed.iter().any(|found| found.key.address.is_ipv6())
            }
            Maker::KubeProxy(families) => families.contains(&Family::V6),
        });
        for proxier in self.proxiers.in_use() {
            proxier.verify(cluster, &observed, &mut differences)?;
        }
        Ok(differences)
    }
}
