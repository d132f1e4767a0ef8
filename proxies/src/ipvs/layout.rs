//! What a Service of one family asks of the kernel: virtual services, real servers, local addresses
//! and set members.
//!
//! Fixed for a namespace and a Cluster, then a pure function of each Service. How to get there from
//! what the kernel holds is in `render`.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use generators::{
    Cluster, Endpoint, Family, FrontendKind, Protocol, Service, Targets, TrafficPolicy,
};
use ipnet::IpNet;
use linux::netlink::ipset::Member;

use super::objects::NodeObject;
use super::options::{Forwarding, IpvsOptions, VipBinding};
use super::sets::Set;
use super::wire::{
    FLAG_PERSISTENT, FLAG_SOURCE_PORT, RealServer, SCHEDULER_MAX, Settings, VirtualKey,
};
use crate::error::ProxyError;
use crate::options::Options;

/// The weight of every real server (`weight: 1` in pkg/proxy/ipvs/proxier.go, Kubernetes 1.30).
const WEIGHT: u32 = 1;

/// How Services of one family are laid out in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The family.
    pub family: Family,
    /// What the user asks for.
    pub options: IpvsOptions,
    /// How every virtual service works.
    pub settings: Settings,
    /// The range that one local route serves, if VIPs are bound so. All of it is local, so rules
    /// deal with all of it, and its addresses are not in the set of bound ones.
    pub range: Option<IpNet>,
    /// Addresses of the node's own links, which need no binding.
    own_addresses: Vec<IpAddr>,
    /// Where node ports answer.
    node_addresses: Vec<IpAddr>,
}

impl Layout {
    /// The layout of a Cluster on a node with these addresses.
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if the scheduler cannot have that name, or if no local route can
    /// hold the VIPs without taking an Endpoint's packets too.
    pub fn of(
        family: Family,
        cluster: &Cluster,
        options: &Options,
        own_addresses: Vec<IpAddr>,
    ) -> Result<Self, ProxyError> {
        let node_addresses = if options.node_addresses.is_empty() {
            own_addresses.clone()
        } else {
            options.node_addresses(family).collect()
        };
        let options = options.ipvs.clone();
        check_scheduler(&options.scheduler)?;
        let settings = settings(&options.scheduler, None);
        let range = match options.vip_binding {
            VipBinding::Dummy => None,
            VipBinding::LocalRoute => range_of(family, cluster, &options)?,
        };
        Ok(Self { family, options, settings, range, own_addresses, node_addresses })
    }

    /// The virtual services of a Service in this namespace, and what each of them stands for.
    pub fn virtual_services(
        &self,
        service: &Service,
    ) -> impl Iterator<Item = (VirtualKey, FrontendKind)> {
        let protocol = service.protocol();
        let nodes = self.node_addresses.iter().copied();
        virtual_services(service, nodes).map(move |(at, kind)| {
            (VirtualKey { address: at.ip(), port: at.port(), protocol }, kind)
        })
    }

    /// How the virtual services of a Service work: a client comes back to its real server where
    /// there is session affinity.
    pub fn settings_of(&self, service: &Service) -> Cow<'_, Settings> {
        match service.extras().affinity_s {
            None => Cow::Borrowed(&self.settings),
            affinity_s => Cow::Owned(settings(&self.settings.scheduler, affinity_s)),
        }
    }

    /// The real server for an Endpoint.
    ///
    /// # Errors
    /// [`ProxyError::Unsupported`] if forwarding leaves the port as it is and the Endpoint has
    /// another one, or if the Endpoint is in the range of a local route.
    pub fn real_server(
        &self,
        service: &Service,
        endpoint: Endpoint,
    ) -> Result<RealServer, ProxyError> {
        if let Some(range) = self.range {
            refuse_in_range(range, service, endpoint)?;
        }
        let forwarding = self.options.forwarding;
        let keeps_ports = forwarding != Forwarding::Nat && self.options.refuses_other_ports;
        if keeps_ports && endpoint.port != service.port() {
            return Err(ProxyError::Unsupported {
                what: format!("Endpoint {endpoint} of Service {}", service.name()),
                reason: format!("forwarding {} keeps the port", forwarding.as_str()),
                remedy: "give the Endpoint the Service's port, or forward by nat".into(),
            });
        }
        let Endpoint { address, port, .. } = endpoint;
        Ok(RealServer { address, port, forwarding: forwarding.number(), weight: WEIGHT })
    }

    /// Calls `each` for every local address and set member that a Service needs. Addresses of load
    /// balancers are treated as external IPs are.
    pub fn objects(&self, service: &Service, mut each: impl FnMut(NodeObject)) {
        let (transport, port) = (service.protocol().number(), service.port());
        let masquerade = self.options.masquerade;
        for frontend in service.frontends() {
            let Some(address) = frontend.address else { continue };
            let set = match frontend.kind {
                FrontendKind::ClusterIp => Set::ClusterIp,
                _ => Set::ExternalIp,
            };
            let local = self.local(address);
            each(NodeObject::Local(local));
            if masquerade {
                each(NodeObject::Member(set, Member { address, transport, port, ..Member::NONE }));
                if local == IpNet::from(address) {
                    each(NodeObject::Member(Set::IpvsIps, Member { address, ..Member::NONE }));
                }
            }
        }
        if !masquerade {
            return;
        }
        // Only an Endpoint of this node can reach itself through it.
        for endpoint in service.targets().reachable().iter().filter(|one| !one.is_remote) {
            let Endpoint { address, port, .. } = *endpoint;
            let member = Member { address, transport, port, second: address };
            each(NodeObject::Member(Set::LoopBack, member));
        }
        let Some(port) = service.extras().node_port else { return };
        let at = Member { port, ..Member::NONE };
        match service.protocol() {
            Protocol::Tcp => each(NodeObject::Member(Set::NodePortTcp, at)),
            Protocol::Udp => each(NodeObject::Member(Set::NodePortUdp, at)),
            Protocol::Sctp => {
                for &address in &self.node_addresses {
                    each(NodeObject::Member(
                        Set::NodePortSctp,
                        Member { address, transport, ..at },
                    ));
                }
            }
        }
    }

    /// Whether an address needs no binding, being the node's own. It is then neither added nor
    /// taken away.
    pub fn is_own(&self, object: &NodeObject) -> bool {
        match object {
            NodeObject::Local(prefix) => {
                self.own_addresses.iter().any(|address| IpNet::from(*address) == *prefix)
            }
            NodeObject::Member(..) => false,
        }
    }

    fn local(&self, address: IpAddr) -> IpNet {
        self.range.filter(|range| range.contains(&address)).unwrap_or(IpNet::from(address))
    }
}

/// Whether the kernel could have a scheduler of that name.
///
/// # Errors
/// [`ProxyError::Unsupported`] with the rule for names.
pub(crate) fn check_scheduler(name: &str) -> Result<(), ProxyError> {
    if (1..SCHEDULER_MAX).contains(&name.len()) && !name.contains('\0') {
        return Ok(());
    }
    Err(ProxyError::Unsupported {
        what: format!("scheduler {name:?}"),
        reason: "a name has 1 to 15 bytes".into(),
        remedy: "take one that the kernel has, such as rr".into(),
    })
}

/// How a virtual service works, by its scheduler and how long, in seconds, a client comes back to
/// its real server. `mh` hashes the source port too, as kube-proxy has it (`FlagSourceHash`,
/// pkg/proxy/ipvs/util/ipvs.go, Kubernetes 1.36).
pub(crate) fn settings(scheduler: &str, affinity_s: Option<u32>) -> Settings {
    let hashing = if scheduler == "mh" { FLAG_SOURCE_PORT } else { 0 };
    let persistent = affinity_s.map_or(0, |_| FLAG_PERSISTENT);
    let timeout_s = affinity_s.unwrap_or(0);
    Settings { scheduler: scheduler.into(), flags: hashing | persistent, timeout_s }
}

/// The virtual services of a Service: one for each of its addresses and, at its node port, each
/// address of the node that is of its family.
pub(crate) fn virtual_services(
    service: &Service,
    node_addresses: impl Iterator<Item = IpAddr> + Clone,
) -> impl Iterator<Item = (SocketAddr, FrontendKind)> {
    let nodes = node_addresses.filter(move |&one| Family::of(one) == service.family());
    service.frontends().flat_map(move |frontend| {
        let nodes = frontend.address.is_none().then(|| nodes.clone());
        let addresses = frontend.address.into_iter().chain(nodes.into_iter().flatten());
        addresses.map(move |address| (SocketAddr::new(address, frontend.port), frontend.kind))
    })
}

/// The Endpoints behind a frontend. Where a policy asks for those of this node and there are none,
/// traffic goes to those of other nodes (`syncEndpoint`, pkg/proxy/ipvs/proxier.go, Kubernetes
/// 1.36).
pub(crate) fn served<'a>(
    service: &Service,
    targets: &'a Targets<'_>,
    kind: FrontendKind,
) -> &'a [Endpoint] {
    match service.policy_of(kind) {
        TrafficPolicy::Local if !targets.local.is_empty() => &targets.local,
        _ => &targets.cluster,
    }
}

/// The range that a local route of a family is to serve: the one given, or the smallest that holds
/// every VIP, if there is one.
fn range_of(
    family: Family,
    cluster: &Cluster,
    options: &IpvsOptions,
) -> Result<Option<IpNet>, ProxyError> {
    let vips = || cluster.of_family(family).map(Service::vip);
    let range = match (options.service_cidr(family), vips().min(), vips().max()) {
        (Some(range), ..) => range.trunc(),
        (None, Some(lowest), Some(highest)) => spanning(lowest, highest),
        (None, ..) => return Ok(None),
    };
    for service in cluster.of_family(family) {
        for &endpoint in service.endpoints() {
            refuse_in_range(range, service, endpoint)?;
        }
    }
    Ok(Some(range))
}

/// The longest prefix that holds both addresses, which are of one family.
fn spanning(first: IpAddr, second: IpAddr) -> IpNet {
    let mut prefix = IpNet::from(first);
    while !prefix.contains(&second)
        && let Some(wider) = prefix.supernet()
    {
        prefix = wider;
    }
    prefix
}

/// An Endpoint in the range would get no packet any more: all of them would be delivered to the
/// node.
fn refuse_in_range(range: IpNet, service: &Service, endpoint: Endpoint) -> Result<(), ProxyError> {
    if !range.contains(&endpoint.address) {
        return Ok(());
    }
    Err(ProxyError::Unsupported {
        what: format!("a local route for {range}"),
        reason: format!("it holds Endpoint {endpoint} of Service {}", service.name()),
        remedy: "give a range of VIPs without Endpoints, or bind VIPs by dummy".into(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ipvs::render::tests::{cluster, endpoint, service};

    fn refusal(cluster: &Cluster, options: &Options) -> String {
        Layout::of(Family::V4, cluster, options, Vec::new()).expect_err("it is refused").to_string()
    }

    fn by_local_route() -> Options {
        let mut options = Options::default();
        options.ipvs.vip_binding = VipBinding::LocalRoute;
        options
    }

    #[test]
    fn a_range_that_holds_an_endpoint_is_refused() {
        let cluster = cluster(vec![
            service("a", "10.96.0.1", &["10.128.0.1:80"]),
            service("b", "10.200.0.1", &[]),
        ]);
        let error = refusal(&cluster, &by_local_route());
        assert!(
            error.contains("10.0.0.0/8") && error.contains("10.128.0.1:80 of Service ns/a:p80"),
            "{error}"
        );
        let mut options = by_local_route();
        options.ipvs.service_cidrs = vec!["fd00::/8", "10.96.0.0/12"]
            .into_iter()
            .map(|text| text.parse().expect("a network"))
            .collect();
        let layout =
            Layout::of(Family::V4, &cluster, &options, Vec::new()).expect("a narrower range");
        let service = &cluster.services()[0];
        assert!(layout.real_server(service, endpoint("10.96.7.7:80")).is_err(), "a later Endpoint");
        assert_eq!(layout.range.map(|range| range.to_string()).as_deref(), Some("10.96.0.0/12"));
    }

    #[test]
    fn a_scheduler_that_no_kernel_can_have_is_refused() {
        for name in ["", "sixteen-letters-", "nul\0"] {
            let mut options = Options::default();
            options.ipvs.scheduler = name.into();
            let error = refusal(&cluster(vec![service("a", "10.96.0.1", &[])]), &options);
            assert!(error.contains("1 to 15 bytes"), "{error}");
        }
    }

    #[test]
    fn forwarding_that_keeps_the_port_needs_equal_ports() {
        for (forwarding, number) in [(Forwarding::DirectRoute, 3), (Forwarding::Tunnel, 2)] {
            let mut options = Options::default();
            options.ipvs.forwarding = forwarding;
            let service = service("a", "10.96.0.1", &["10.128.0.1:80"]);
            let layout =
                Layout::of(Family::V4, &cluster(vec![service.clone()]), &options, Vec::new());
            let layout = layout.expect("a layout");
            let real = layout.real_server(&service, endpoint("10.128.0.1:80")).expect("port 80");
            assert_eq!((real.forwarding, real.weight), (number, 1));
            let error =
                layout.real_server(&service, endpoint("10.128.0.1:81")).expect_err("port 81");
            assert!(error.to_string().contains("ns/a:p80"), "{error}");
        }
    }

    #[test]
    fn the_source_hashing_scheduler_gets_kube_proxys_flag() {
        let mut options = Options::default();
        options.ipvs.scheduler = "mh".into();
        let layout = Layout::of(
            Family::V4,
            &cluster(vec![service("a", "10.96.0.1", &[])]),
            &options,
            Vec::new(),
        );
        assert_eq!(layout.expect("a layout").settings.flags, 0x10);
    }

    #[test]
    fn node_ports_answer_on_the_given_addresses_or_on_those_of_the_node() {
        let service = service("a", "10.96.0.1", &[])
            .with(|extras| extras.node_port = Some(30_080))
            .expect("a node port");
        let own: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let keys = |options: &Options| -> Vec<String> {
            let layout =
                Layout::of(Family::V4, &cluster(vec![service.clone()]), options, own.clone());
            let layout = layout.expect("a layout");
            layout.virtual_services(&service).map(|(key, _)| key.to_string()).collect()
        };
        let mut options = Options::default();
        assert_eq!(
            keys(&options),
            ["10.96.0.1:80/tcp", "192.0.2.1:30080/tcp", "192.0.2.2:30080/tcp"]
        );
        options.node_addresses = vec![[192, 0, 2, 2].into()];
        assert_eq!(keys(&options), ["10.96.0.1:80/tcp", "192.0.2.2:30080/tcp"]);
    }

    #[test]
    fn a_spanning_prefix_is_as_long_as_it_can_be() {
        let address = |text: &str| text.parse().expect("an address");
        let span = |a: &str, b: &str| spanning(address(a), address(b)).to_string();
        assert_eq!(span("10.96.0.1", "10.96.0.1"), "10.96.0.1/32");
        assert_eq!(span("10.96.0.1", "10.96.39.16"), "10.96.0.0/18");
        assert_eq!(span("10.0.0.1", "192.0.0.1"), "0.0.0.0/0");
        assert_eq!(span("fd00::1", "fd00::1"), "fd00::1/128");
        assert_eq!(span("fd00::1", "fd00::2701"), "fd00::/114");
        assert_eq!(span("::1", "fd00::1"), "::/0");
    }

    #[test]
    fn a_family_without_vips_has_no_range() {
        let cluster = cluster(vec![service("a", "fd00:96::1", &["[fd00:128::1]:80"])]);
        let range = |family| {
            let layout = Layout::of(family, &cluster, &by_local_route(), Vec::new());
            layout.expect("a layout").range.map(|range| range.to_string())
        };
        assert_eq!(range(Family::V4), None);
        assert_eq!(range(Family::V6).as_deref(), Some("fd00:96::1/128"));
    }

    proptest! {
        #[test]
        fn a_prefix_contains_what_it_spans(a: u128, b: u128) {
            let [a, b] = [a, b].map(|bits| IpAddr::from(bits.to_be_bytes()));
            let prefix = spanning(a, b);
            prop_assert!(prefix.contains(&a) && prefix.contains(&b));
        }
    }
}
