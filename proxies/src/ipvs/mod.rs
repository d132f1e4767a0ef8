//! kube-proxy's IPVS mode by batched netlink: the end state of pkg/proxy/ipvs, Kubernetes 1.30, a
//! few sends a sync.
//!
//! Each family has a proxier of its own; that of IPv6 is at work where there are Services of it.
//! Virtual services and real servers go to the generic netlink family `IPVS`, VIPs become local by
//! rtnetlink, sets are filled by nfnetlink; a handful of iptables rules, which match the sets, is
//! loaded by `iptables-restore`. kube-proxy makes one call each for all of these; what is left out
//! of its state is said in `sets` and `rules`. Removed real servers are removed at once, not
//! drained (see `render`).

pub(crate) mod binding;
pub(crate) mod buckets;
pub(crate) mod kernel;
pub(crate) mod layout;
mod objects;
pub(crate) mod observe;
pub mod options;
mod program;
mod programmed;
mod proxier;
mod render;
mod rules;
pub(crate) mod sets;
pub(crate) mod setup;
mod text;
pub(crate) mod verify;
pub(crate) mod wire;

use generators::{Cluster, Family};
use linux::CpuTime;
use linux::sysctl::Sysctls;

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Admin, Descriptor, Format, Spread, Tool};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::families::{PerFamily, has_ipv6};
use crate::iptables::TOOL_NFT;
use crate::modules::{CONNTRACK, NF_TABLES, SCHEDULERS, SETS, XTABLES};
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use kernel::family_number;
use observe::ObservedService;
use program::KernelIds;
use proxier::{Proxier, Rendered};
use setup::wanted_sysctls;

pub use binding::{VipProgram, bind_vips, ready_link, unbind_vips};
pub use kernel::try_scheduler;
pub use options::{Forwarding, IpvsOptions, VipBinding};
pub use text::save_text;

/// The name of the backend.
const NAME: &str = "ipvs";

/// The tool of the sets that kube-proxy's IPVS mode keeps.
pub(crate) const TOOL_IPSET: Tool = Tool { program: "ipset", package: "ipset", also: &[] };

/// The backend `ipvs`.
pub(crate) static IPVS: Descriptor = Descriptor {
    summary: "kube-proxy's IPVS mode by batched netlink",
    colour: "blue",
    tools: &[TOOL_NFT, TOOL_IPSET],
    modules: &[CONNTRACK, XTABLES, NF_TABLES, &["ip6t_REJECT"], SETS, SCHEDULERS],
    admin: Some(Admin {
        formats: &[Format { name: NAME, help: "Input of `ipvsadm -R`", text: admin_text }],
        says_pods: false,
        needs_node_addresses: true,
        // IPVS alone; VIPs by one route, so that addresses do not hide the rest.
        reduce: |options| {
            options.ipvs.masquerade = false;
            options.ipvs.vip_binding = VipBinding::LocalRoute;
        },
        beside: |cluster, options| bind_vips(cluster, options).map(drop),
        ..Admin::new("ipvsadm", "ipvsadm", &["-R"], admin_text)
    }),
    bucket_services: Some(buckets::lengths),
    needs_local_vips: true,
    forwarding: &[Forwarding::Nat, Forwarding::DirectRoute, Forwarding::Tunnel],
    // The scheduler `rr`.
    spread: Spread::InTurn,
    deviations: deviations::IPVS,
    ..Descriptor::new(NAME, "ipvs", |_, options| Box::new(Ipvs::new(options)))
};

fn admin_text(cluster: &Cluster, options: &Options) -> Vec<u8> {
    save_text(cluster, options).into_bytes()
}

/// The backend `ipvs`.
#[derive(Debug)]
struct Ipvs {
    options: Options,
    proxiers: PerFamily<Proxier>,
    sysctls: Sysctls,
}

/// A program: the syncs of the families in use.
struct Syncs(Vec<Rendered>);

impl Ipvs {
    /// A backend with these options. Touches nothing.
    fn new(options: &Options) -> Self {
        let proxiers = PerFamily::new(|family| Proxier::new(family, options));
        Self { options: options.clone(), proxiers, sysctls: Sysctls::default() }
    }

    /// Reads the namespace and readies fixed state for a Cluster, whatever is there already, for
    /// those proxiers in use that are due.
    fn look(
        &mut self,
        cluster: &Cluster,
        is_due: impl Fn(&Proxier) -> bool,
    ) -> Result<(), ProxyError> {
        let family = family_number()?;
        // An earlier process may have left services of IPv6.
        let services = by_family(observe::services(family)?);
        self.proxiers.note(has_ipv6(cluster) || !services[1].is_empty());
        let families = Family::ALL.into_iter().take(self.proxiers.in_use().len());
        let link = binding::ready_link_of(self.options.ipvs.vip_binding, families)?;
        for (name, value) in wanted_sysctls(&self.options) {
            self.sysctls.change(name, value)?;
        }
        for (proxier, services) in self.proxiers.in_use().iter_mut().zip(services) {
            if is_due(proxier) {
                proxier.look(cluster, KernelIds { family, link }, services)?;
            }
        }
        Ok(())
    }

    /// Readies what is known of `before` for Changes of it, and the rules that `after` asks for.
    fn resume(&mut self, before: &Cluster, after: &Cluster) -> Result<(), ProxyError> {
        self.proxiers.note(has_ipv6(after));
        if !self.proxiers.in_use().iter().all(Proxier::knows_the_namespace) {
            self.look(before, |proxier| !proxier.knows_the_namespace())?;
        }
        self.proxiers.in_use().iter_mut().try_for_each(|proxier| proxier.resume(before, after))
    }
}

impl Backend for Ipvs {
    /// Asks the kernel for IPVS, and unless masquerading is off for ipset and the rules around it.
    fn probe(&mut self) -> Result<(), ProxyError> {
        // Listing needs the right to, which asking for the family does not.
        observe::keys_as_listed(family_number()?)?;
        let [four, _] = self.proxiers.all();
        four.probe()
    }

    /// Makes the state that incremental syncs start from, which the first after a full sync would
    /// do.
    fn settle(&mut self, programmed: &Cluster) -> Result<(), ProxyError> {
        self.resume(programmed, programmed)
    }

    /// Removes rules, every virtual service, link, routes and sets, then resets the sysctls.
    fn stop(&mut self) -> Result<(), ProxyError> {
        let mut outcomes = self.proxiers.end(Proxier::remove_rules);
        outcomes.extend([kernel::flush(), unbind_vips()]);
        outcomes.extend(self.proxiers.all().each_mut().map(Proxier::destroy_sets));
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

impl Staged for Ipvs {
    /// On a full request: sysctls, sets, rules and link, and a look at all that the
    /// namespace holds. On an incremental one: the state to start from, if there is none yet, and
    /// the rules if there are now other kinds of Services.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        match request {
            SyncRequest::Full(cluster) => self.look(cluster, |_| true),
            SyncRequest::Incremental(step) => self.resume(step.before(), step.after()),
        }
    }

    /// The netlink messages from what `prepare` found to what is wanted. Without it, those for a
    /// namespace that holds nothing, or the Cluster before and nothing else; they show what would
    /// be sent, and `submit` refuses them.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let in_use = self.proxiers.in_use_with(request.after());
        let syncs = in_use.map(|proxier| proxier.render(request));
        let syncs = syncs.collect::<Result<Vec<Rendered>, _>>()?;
        let size = syncs.iter().map(|sync| sync.program.size()).sum();
        Ok(Program::of(size, Syncs(syncs)).with_cleanup(request))
    }

    /// Of IPv4, then of IPv6: sets, then virtual services, then addresses. The kernel takes
    /// messages one by one: after a refusal, the messages before it and the rest of its chunk are
    /// in force.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Syncs(syncs) = program.private(NAME)?;
        let proxiers = self.proxiers.all();
        if !proxiers.iter().zip(syncs).all(|(proxier, sync)| proxier.takes(sync)) {
            return Err(ProxyError::Request {
                reason: "it was not prepared in this namespace".into(),
            });
        }
        let mut taken = CpuTime::default();
        for (proxier, sync) in proxiers.iter_mut().zip(syncs) {
            taken = taken + proxier.submit(sync)?;
        }
        program.forget_stale_connections()?;
        Ok(taken)
    }
}

impl Audit for Ipvs {
    /// Lists kernel parameters, virtual services, real servers, addresses, sets and rules, and
    /// compares them with what they should be. Of IPv6 all but the services are there only if it
    /// is, or was, in use.
    fn compare(&mut self, cluster: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        let services = by_family(observe::services(family_number()?)?);
        let link = binding::link_index()?;
        let mut differences = Differences::default();
        differences.compare_sysctls(wanted_sysctls(&self.options))?;
        self.proxiers.note(has_ipv6(cluster) || !services[1].is_empty());
        for (proxier, services) in self.proxiers.in_use().iter().zip(services) {
            proxier.compare(cluster, link, services, &mut differences)?;
        }
        Ok(differences)
    }
}

/// Those of IPv4, and those of IPv6.
fn by_family(services: Vec<ObservedService>) -> [Vec<ObservedService>; 2] {
    let (four, six) = services.into_iter().partition(|service| service.key.address.is_ipv4());
    [four, six]
}
