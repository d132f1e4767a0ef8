//! The lab of a trace: a topology, a Service with every frontend and one Endpoint, and a node that
//! is programmed with it.
//!
//! The Endpoint is on the other node where there is one, so that its packets cross the link between
//! the nodes, unless another place is the only one that works.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use generators::{Cluster, Endpoint, Extras, Family, Service};
use lab::topology::{Member, Preset, Ranges, Shape, Source, Topology};
use proxies::ipvs::Forwarding;
use proxies::{Backend, Descriptor, NftablesOptions, Options};

use super::spec::TraceSpec;
use crate::hosts::{dialled_of, let_hold_vips, must_reach, nth, own, pod_namespaces};

/// The Service's port, where its Endpoint listens, and the port at the node.
const PORT: u16 = 80;
const TARGET_PORT: u16 = 8080;
const NODE_PORT: u16 = 30_080;
/// Which addresses of their ranges the cluster IP and the external ones are.
const VIP: usize = 10;
const EXTERNAL: usize = 20;
const BALANCED: usize = 30;

/// A lab that is up and programmed.
pub(super) struct TraceLab {
    pub(super) topology: Topology,
    /// Positions of the hosts among those of the topology.
    pub(super) node: usize,
    pub(super) client: usize,
    pub(super) endpoint: usize,
    /// What the client dials.
    pub(super) dialled: SocketAddr,
    /// The Endpoint, by its own address.
    pub(super) target: SocketAddr,
    /// Where packets to it arrive: there, or at the VIP that it holds.
    pub(super) listening: SocketAddr,
    /// What was done that a real cluster does not do.
    pub(super) notes: Vec<String>,
}

impl TraceLab {
    /// Builds the topology and programs the node. What forwards connections itself does so while
    /// the other value lives.
    ///
    /// # Errors
    /// A combination that cannot work, with the reason; what the kernel refuses.
    pub(super) fn build(spec: &TraceSpec) -> anyhow::Result<(Self, Option<Box<dyn Backend>>)> {
        spec.kube_proxy.make_known(&spec.proxy)?;
        let backend = proxies::find(&spec.proxy)?;
        ensure!(
            !backend.has_ipv4_alone || spec.family == Family::V4,
            "proxy {} programs IPv4 alone; take --family ipv4",
            spec.proxy
        );
        ensure!(
            spec.forwarding == Forwarding::Nat || spec.family == Family::V4,
            "forwarding {}: the lab lets Endpoints hold VIPs of IPv4 alone; take --family ipv4",
            spec.forwarding.as_str()
        );
        must_reach(backend, spec.source).context("take --source pod, endpoint or node")?;
        let preset = Preset { endpoint_pods: 1, ..Preset::new(spec.topology) };
        let topology = Topology::build(&preset.graph()?)?;
        let node = position(&topology, topology.node_host())?;
        let client = position(&topology, topology.source_host(spec.source)?)?;
        let is_direct = spec.forwarding == Forwarding::DirectRoute;
        let endpoint = position(&topology, endpoint_of(&topology, spec, is_direct)?)?;
        let (service, dialled) = service(spec, &topology, endpoint)?;
        let target = service.endpoints().first().context("the Service has no Endpoint")?.socket();
        let dialled = if backend.is_control() { target } else { dialled };
        let (listening, notes) = (target, Vec::new());
        let mut lab = Self { topology, node, client, endpoint, dialled, target, listening, notes };
        if spec.forwarding != Forwarding::Nat {
            lab.let_endpoint_hold_vip(spec.forwarding)?;
        }
        let options = lab.options(backend, spec)?;
        let cluster = Cluster::new(vec![service])?;
        let forwarder = lab.topology.node().enter(|| -> anyhow::Result<_> {
            let mut opened = backend.open(&options);
            opened.probe()?;
            opened.start(&cluster)?;
            Ok(backend.forwards_itself().then_some(opened))
        })??;
        Ok((lab, forwarder))
    }

    fn options(&self, backend: &Descriptor, spec: &TraceSpec) -> anyhow::Result<Options> {
        let both = [Ranges::IPV4, Ranges::IPV6];
        let node = self.topology.node_host();
        let outside = self.topology.source_host(Source::Outside).ok();
        let mut options = Options {
            pod_namespaces: pod_namespaces(backend, &self.topology, outside)?,
            local_cidrs: both.map(|ranges| ranges.pods).to_vec(),
            node_addresses: Family::ALL.into_iter().filter_map(|one| own(node, one).ok()).collect(),
            nftables: NftablesOptions {
                service_cidrs: both.map(|ranges| ranges.services).to_vec(),
                ..NftablesOptions::default()
            },
            ..Options::default()
        };
        options.ipvs.forwarding = spec.forwarding;
        // An Endpoint that answers the client by itself must know its address.
        options.ipvs.masquerade = spec.forwarding == Forwarding::Nat;
        Ok(options)
    }

    fn let_endpoint_hold_vip(&mut self, forwarding: Forwarding) -> anyhow::Result<()> {
        let endpoint = &self.topology.hosts[self.endpoint];
        let_hold_vips(endpoint, self.dialled.ip().into(), forwarding, self.topology.node())?;
        self.listening.set_ip(self.dialled.ip());
        self.notes.push(format!(
            "forwarding {} leaves addresses as they are, so the Endpoint holds {} too; its answers \
             pass the node, which has the same address, so the node accepts packets from it \
             (net.ipv4.conf.all.accept_local=1)",
            forwarding.as_str(),
            self.dialled.ip()
        ));
        Ok(())
    }
}

fn position(topology: &Topology, member: &Member) -> anyhow::Result<usize> {
    let label = member.namespace.label();
    let found = topology.hosts.iter().position(|host| host.namespace.label() == label);
    found.with_context(|| format!("the topology has no host {label}"))
}

/// Whose Endpoint the Service has.
fn endpoint_of<'t>(
    topology: &'t Topology,
    spec: &TraceSpec,
    is_direct: bool,
) -> anyhow::Result<&'t Member> {
    if spec.source == Source::Endpoint {
        return Ok(topology.source_host(Source::Endpoint)?);
    }
    // A pod of the other node would get the answers of one beside it untranslated, and direct
    // routing ends at the next router.
    let is_remote =
        spec.topology != Shape::OneNode && spec.source != Source::OtherNodePod && !is_direct;
    let found = topology.endpoint_hosts().find(|host| host.is_remote == is_remote);
    found.context("the topology has no Endpoint there")
}

/// The Service, and what of it is dialled.
fn service(
    spec: &TraceSpec,
    topology: &Topology,
    endpoint: usize,
) -> anyhow::Result<(Service, SocketAddr)> {
    let endpoint = &topology.hosts[endpoint];
    let ranges = match spec.family {
        Family::V4 => Ranges::IPV4,
        Family::V6 => Ranges::IPV6,
    };
    let address = own(endpoint, spec.family)?;
    // Forwarding that translates nothing keeps the port.
    let port = if spec.forwarding == Forwarding::Nat { TARGET_PORT } else { PORT };
    let mut target = Endpoint::new(address, port);
    target.is_remote = endpoint.is_remote;
    let vip = nth(ranges.services, VIP)?;
    let [external, balanced] = [nth(ranges.external, EXTERNAL)?, nth(ranges.external, BALANCED)?];
    let set = |extras: &mut Extras| {
        extras.node_port = Some(NODE_PORT);
        extras.external_ips = vec![external];
        extras.load_balancer_ips = vec![balanced];
    };
    let name = "default/web:http".parse()?;
    let service = Service::new(name, vip, PORT, spec.protocol, vec![target])?.with(set)?;
    let dialled = dialled_of(&service, spec.frontend, own(topology.node_host(), spec.family)?)?;
    Ok((service, dialled))
}
