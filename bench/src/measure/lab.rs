//! What every measure starts from: a Cluster, a lab that can carry it, endpoint servers, and whom
//! to dial.
//!
//! Measures nothing itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use generators::{Cluster, Families, Family, Position, Service, SplitMix64, SyntheticSpec};
use lab::topology::{Graph, Member, Source, Star, Topology, TopologyError};
use lab::{IpNet, Ipv4Net};
use linux::netns::Namespace;
use proxies::{Backend, Descriptor, NftablesOptions, Options};
use results::Clock;

use super::dialable::target_ports_of;
use super::path::PathSpec;
use super::spec::{CellSpec, Inject};
use crate::hosts::{dialled_of, let_hold_vips, own, pod_namespaces};
use crate::load::{
    BareClient, BareServer, HttpServer, LoadClient, MeasureClock, Priority, SOURCE_PORTS, Sources,
    Target, listen,
};
use crate::sockets::make_room_for_sockets;

/// Where clients dial from: 65,534 addresses with 50,000 ports each.
const CLIENTS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 20, 0, 0), 16);
/// Addresses of the links between the hosts.
const LINKS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 0, 0), 24);
/// Two, so that the Endpoints of a Service need not all be in one namespace.
const ENDPOINT_HOSTS: usize = 2;
/// Longest wait for one system call of a client. A lost SYN is sent again after 1 s.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The star's addresses for a Cluster of this shape.
pub fn topology_of(cluster: &SyntheticSpec) -> Star {
    Star {
        clients: CLIENTS,
        services: cluster.service_cidr,
        endpoints: cluster.endpoint_cidr,
        links: LINKS,
        endpoint_hosts: ENDPOINT_HOSTS,
        node_has_ipv6: cluster.families != Families::Ipv4,
    }
}

/// What a proxy is told of the lab.
///
/// The star's client stands for a pod of this node, so VIP traffic from it is not masqueraded
/// (kube-proxy's `--detect-local-mode=NodeCIDR`).
pub fn options_of(cluster: &SyntheticSpec) -> Options {
    let SyntheticSpec { service_cidr, service_cidr_v6, endpoint_cidr_v6, .. } = cluster;
    Options {
        local_cidrs: vec![CLIENTS.into(), (*endpoint_cidr_v6).into()],
        nftables: NftablesOptions {
            service_cidrs: vec![(*service_cidr).into(), (*service_cidr_v6).into()],
            ..NftablesOptions::default()
        },
        ..Options::default()
    }
}

/// A lab that is up, and the Cluster it is for.
pub(super) struct BenchLab {
    pub(super) topology: Topology,
    pub(super) cluster: Cluster,
    pub(super) clock: MeasureClock,
    pub(super) backend: &'static Descriptor,
    pub(super) options: Options,
    /// What Changes draw their addresses from.
    pub(super) shape: SyntheticSpec,
    pub(super) path: PathSpec,
    /// Ports of Endpoints that clients may reach.
    target_ports: Vec<u16>,
    /// Slowdowns put in on purpose.
    pub(super) inject: Inject,
}

/// Whom to dial for one position, and who may answer.
pub(super) struct Dialled {
    pub(super) vip: SocketAddr,
    pub(super) allowed: Vec<SocketAddr>,
}

impl Dialled {
    pub(super) fn target(&self) -> Target<'_> {
        Target { vip: self.vip, allowed: &self.allowed }
    }
}

impl BenchLab {
    /// Generates the Cluster, unless it was imported, and builds the lab.
    pub(super) fn build(spec: &CellSpec) -> anyhow::Result<Self> {
        let shape = spec.path.fitted(&spec.cluster)?;
        let cluster = match &spec.imported {
            Some(imported) => Cluster::clone(imported),
            None => generators::generate(&shape, spec.labels.seed)?,
        };
        let mut target_ports = vec![spec.cluster.target_port];
        if spec.imported.is_some() {
            target_ports = target_ports_of(&cluster, spec.cluster.target_port);
            make_room_for_sockets(target_ports.len() * ENDPOINT_HOSTS)?;
        }
        let clock = MeasureClock::open(spec.labels.clock)?;
        let backend = proxies::find(&spec.labels.proxy)?;
        let topology = Topology::build(&graph_of(spec.path, &spec.cluster, &cluster)?)?;
        let mut options = options_of(&spec.cluster);
        if let Some(preset) = spec.path.preset(&spec.cluster) {
            options.local_cidrs = vec![preset.ipv4.pods, preset.ipv6.pods];
        }
        // The star's client stands for a pod.
        let outside = topology.source_host(Source::Outside).ok();
        let outside = outside.filter(|_| !spec.path.is_usual());
        options.pod_namespaces = pod_namespaces(backend, &topology, outside)?;
        spec.node.ipvs.apply(&mut options);
        options.nftables.listing = spec.node.nftables.listing;
        options.ipvs.forwarding = spec.path.forwarding;
        if !spec.path.translates() {
            for endpoint in topology.endpoint_hosts() {
                let (vips, forwarding) = (spec.cluster.service_cidr.into(), spec.path.forwarding);
                let_hold_vips(endpoint, vips, forwarding, topology.node())?;
            }
        }
        let inject = spec.inject;
        let path = spec.path;
        Ok(Self { topology, cluster, clock, backend, options, shape, path, target_ports, inject })
    }

    /// The namespace that clients dial from.
    pub(super) fn client(&self) -> anyhow::Result<&Namespace> {
        Ok(&self.dialler()?.namespace)
    }

    /// The host that clients dial from. That of the star stands for a pod.
    fn dialler(&self) -> anyhow::Result<&Member> {
        let source = if self.path.is_usual() { Source::Outside } else { self.path.source };
        Ok(self.topology.source_host(source)?)
    }

    /// A fresh backend of the cell's, known to work in this kernel. Call it on a thread in the
    /// node's namespace.
    pub(super) fn open(&self) -> anyhow::Result<Box<dyn Backend>> {
        self.open_with(&self.options)
    }

    /// The same with other options.
    pub(super) fn open_with(&self, options: &Options) -> anyhow::Result<Box<dyn Backend>> {
        let mut backend = self.backend.open(options);
        backend.probe()?;
        Ok(backend)
    }

    /// Programs the whole Cluster the quickest way there is, for measures that start from a synced
    /// node.
    ///
    /// What is programmed stays when the backend drops; a process of somebody else does not.
    pub(super) fn load(&self) -> anyhow::Result<Box<dyn Backend>> {
        let options = Options { quick_start: true, ..self.options.clone() };
        let mut backend = self.open_with(&options)?;
        backend.start(&self.cluster)?;
        Ok(backend)
    }

    /// The same for measures of connections: what forwards them stays while this does.
    pub(super) fn load_forwarder(&self) -> anyhow::Result<Option<Box<dyn Backend>>> {
        let backend = self.load()?;
        Ok(self.backend.forwards_itself().then_some(backend))
    }

    /// Bare servers on every endpoint host; they stop when they drop.
    pub(super) fn bare_servers(&self) -> anyhow::Result<Vec<BareServer>> {
        self.bare_servers_at(self.priority())
    }

    /// The same with a priority, for measures that time whole connections.
    pub(super) fn bare_servers_at(&self, priority: Priority) -> anyhow::Result<Vec<BareServer>> {
        let delay = Duration::from_nanos(self.inject.answer_delay_ns);
        self.on_endpoint_hosts(|lab| {
            let listeners = listen(&lab.any_address())?;
            Ok(BareServer::start_slowed(listeners, priority, delay)?)
        })
    }

    /// HTTP servers on every endpoint host; they stop when they drop.
    pub(super) fn http_servers(&self) -> anyhow::Result<Vec<HttpServer>> {
        self.on_endpoint_hosts(|lab| {
            Ok(HttpServer::start(listen(&lab.any_address())?, lab.priority())?)
        })
    }

    pub(super) fn on_endpoint_hosts<T: Send>(
        &self,
        start: impl Fn(&Self) -> anyhow::Result<T> + Sync,
    ) -> anyhow::Result<Vec<T>> {
        self.topology.endpoint_hosts().map(|host| host.namespace.enter(|| start(self))?).collect()
    }

    pub(super) fn any_address(&self) -> Vec<SocketAddr> {
        let address: IpAddr = match self.path.family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let any = |port: &u16| SocketAddr::new(address, *port);
        self.target_ports.iter().map(any).collect()
    }

    fn priority(&self) -> Priority {
        match self.clock.kind() {
            Clock::Wall => Priority::Normal,
            Clock::Instructions => Priority::Background,
        }
    }

    /// One connection of the bare client, from where clients dial.
    pub(super) fn dial(&self, dialled: &Dialled, sources: &mut Sources) -> anyhow::Result<()> {
        self.client()?.enter(|| {
            BareClient::new(self.clock, CLIENT_TIMEOUT).connection(sources, &dialled.target())?;
            Ok(())
        })?
    }

    /// Source addresses for one cell, each used once.
    pub(super) fn sources(&self) -> anyhow::Result<Sources> {
        Ok(Sources::within(self.source_addresses()?, SOURCE_PORTS)?)
    }

    /// Where clients dial from: all addresses that the dialling host has beside its own, or that
    /// one.
    pub(super) fn source_addresses(&self) -> anyhow::Result<IpNet> {
        let host = self.dialler()?;
        let mut ranges = host.ranges.iter().copied();
        match ranges.find(|range| Family::of(range.addr()) == self.path.family) {
            Some(range) => Ok(range),
            None => Ok(own(host, self.path.family)?.into()),
        }
    }

    /// How a client reaches a Service: at the path's frontend, or without a proxy at its first
    /// Endpoint.
    pub(super) fn dialled_at(&self, service: &Service) -> anyhow::Result<Dialled> {
        let allowed = self.path.answering(service);
        let first = *allowed
            .first()
            .with_context(|| format!("Service {} has no Endpoint to dial", service.name()))?;
        if self.backend.is_control() {
            return Ok(Dialled { vip: first, allowed: vec![first] });
        }
        let node = own(self.topology.node_host(), self.path.family)?;
        let vip = dialled_of(service, self.path.frontend, node)?;
        // Where nothing is translated, Endpoints answer from the VIP that they hold.
        let allowed = if self.path.translates() { allowed } else { vec![vip] };
        Ok(Dialled { vip, allowed })
    }

    /// Whom to dial for `position`: the Service there, or the next that speaks TCP and has an
    /// Endpoint.
    pub(super) fn dialled(&self, position: Position, draw: u64) -> anyhow::Result<Dialled> {
        let services = self.cluster.services();
        let start = position.index(services.len(), draw);
        let (before, from) = services.split_at(start);
        let service = from.iter().chain(before).find(|service| self.path.reaches(service));
        self.dialled_at(service.context("no Service of the Cluster can be dialled")?)
    }
}

/// The lab of a path, with a Cluster's ranges.
fn graph_of(
    path: PathSpec,
    shape: &SyntheticSpec,
    cluster: &Cluster,
) -> Result<Graph, TopologyError> {
    if let Some(preset) = path.preset(shape) {
        return preset.graph();
    }
    let node_has_ipv6 = cluster.of_family(Family::V6).next().is_some();
    Star { node_has_ipv6, ..topology_of(shape) }.graph()
}

/// What the backend's own look at the kernel says, if it has one.
pub(super) fn audit(backend: &mut dyn Backend, cluster: &Cluster) -> anyhow::Result<()> {
    backend.audit().map_or(Ok(()), |audit| Ok(audit.verify(cluster)?))
}

/// Draws for `random` positions: a stream of their own, so that nothing else shifts them.
pub(super) fn position_draws(seed: u64) -> SplitMix64 {
    const PURPOSE: u64 = 0x706f_7369_7469_6f6e;
    SplitMix64::stream(seed, PURPOSE)
}
