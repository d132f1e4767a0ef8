//! Presets: a machine outside, a node and its pods, and perhaps another node with its own.
//!
//! ```text
//! outside --veth-- node (forwards; the proxy is here) --veth-- pod, endpoint0, endpoint1 ...
//!                   |
//!                   |veth, and in `two-nodes-ipip` a tunnel for IPv4
//!                   |
//!                  other-node (forwards) --veth-- other-pod, other-endpoint0 ...
//! ```
//!
//! Every pod is a namespace with one interface and one address of each family; it owns a prefix
//! besides, from which many clients dial or at which many Endpoints answer. Whatever a host has no
//! better route for, VIPs too, goes from pods to their node, from the other node to the node, and
//! from the node to the machine outside, which forwards nothing.
//!
//! There is no proxy on the other node. So a pod there that dials a VIP of this node gets an answer
//! from Endpoints of this node; the answer of one beside it would come back untranslated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux::netlink::link::Mac;

use super::error::TopologyError;
use super::graph::{End, Graph, Host, Link, Medium, Source};
use super::ranges::{NodeRanges, Ranges, link_addresses, slice};

/// Most endpoint pods of a node.
const ENDPOINT_PODS_MAX: usize = 8;
/// Index of the first interface of a host; see `star.rs`.
const FIRST_INDEX: u32 = 32;
/// What an IPIP tunnel takes of a packet: a second IPv4 header (RFC 2003). Calico gives its pods
/// what is left of 1500 ("Configure MTU to maximize network performance", Calico 3.30).
const POD_MTU_BYTES: u32 = 1_500 - 20;
/// Positions of the hosts that every preset has.
const OUTSIDE: usize = 0;
const NODE: usize = 1;

/// What a preset joins, and how.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Shape {
    /// A node and its pods.
    OneNode,
    /// Two nodes that route to each other's pods.
    TwoNodes,
    /// Two nodes whose pods' IPv4 goes through an IPIP tunnel, as Calico's does. IPv6 is routed as
    /// in `two-nodes`: IPIP carries IPv4 alone, and Calico's IPv6 pools know no IPIP.
    TwoNodesIpip,
}

/// A preset as callers want it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What it joins.
    pub shape: Shape,
    /// Endpoint pods of each node: 1, 2, 4 or 8.
    pub endpoint_pods: usize,
    /// IPv4 addresses.
    pub ipv4: Ranges,
    /// IPv6 addresses.
    pub ipv6: Ranges,
}

impl Preset {
    /// Four endpoint pods a node, and the default ranges.
    pub const fn new(shape: Shape) -> Self {
        Self { shape, endpoint_pods: 4, ipv4: Ranges::IPV4, ipv6: Ranges::IPV6 }
    }

    /// Finds every mistake before anything touches the kernel.
    ///
    /// # Errors
    /// [`TopologyError::Graph`]: ranges that overlap, are ill-formed or too small, a number of
    /// endpoint pods that is no power of two.
    pub fn validate(&self) -> Result<(), TopologyError> {
        self.graph().map(|_| ())
    }

    /// The prefixes that endpoint pods answer at, of this node or of the other, IPv4 and IPv6.
    ///
    /// # Errors
    /// As for [`Preset::validate`].
    pub fn endpoints(&self, is_remote: bool) -> Result<[IpNet; 2], TopologyError> {
        let of_node = |ranges: Ranges| Ok(ranges.of_node(is_remote.into())?.endpoints);
        let [ipv4, ipv6] = self.ranges().map(of_node);
        ipv4.and_then(|ipv4| Ok([ipv4, ipv6?])).map_err(|reason| self.fault(reason))
    }

    /// The graph: outside, node, pods of the node; other node and its pods.
    ///
    /// # Errors
    /// As for [`Preset::validate`].
    pub fn graph(&self) -> Result<Graph, TopologyError> {
        self.drawn().map_err(|reason| self.fault(reason))
    }

    fn fault(&self, reason: String) -> TopologyError {
        TopologyError::Graph { name: self.shape.into(), reason }
    }

    fn ranges(&self) -> [Ranges; 2] {
        [self.ipv4, self.ipv6]
    }

    fn drawn(&self) -> Result<Graph, String> {
        self.ipv4.check(&Ranges::IPV4)?;
        self.ipv6.check(&Ranges::IPV6)?;
        if !self.endpoint_pods.is_power_of_two() || self.endpoint_pods > ENDPOINT_PODS_MAX {
            let number = self.endpoint_pods;
            return Err(format!("{number} endpoint pods; take 1, 2, 4 or {ENDPOINT_PODS_MAX}"));
        }
        let mut graph = Graph {
            name: self.shape.into(),
            hosts: vec![leaf("outside", "outside", false), node("node", false)],
            links: Vec::new(),
            node: NODE,
            endpoints: Vec::new(),
            sources: vec![(Source::Outside, OUTSIDE), (Source::Node, NODE)],
        };
        self.join_outside(&mut graph)?;
        self.add_pods(&mut graph, NODE)?;
        if self.shape != Shape::OneNode {
            let other = graph.hosts.len();
            graph.hosts.push(node("other-node", true));
            self.join_nodes(&mut graph, other)?;
            self.add_pods(&mut graph, other)?;
        }
        Ok(graph)
    }

    /// The link between node and outside comes first: its addresses are those the node is known at.
    fn join_outside(&self, graph: &mut Graph) -> Result<(), String> {
        let ranges = self.ranges();
        let mut ends = join(graph, [NODE, OUTSIDE], ranges.map(|ranges| ranges.links), 0)?;
        ends[0].reaches = everything();
        ends[1].owns = ranges.map(|ranges| ranges.clients).to_vec();
        let inside =
            |ranges: &Ranges| [ranges.services, ranges.external, ranges.pods, ranges.links];
        ends[1].reaches = ranges.iter().flat_map(inside).collect();
        graph.links.push(veth(graph.links.len(), ends, None));
        Ok(())
    }

    /// The plain pod of a node, and its endpoint pods.
    fn add_pods(&self, graph: &mut Graph, node: usize) -> Result<(), String> {
        let is_remote = node != NODE;
        let prefix = if is_remote { "other-" } else { "" };
        let [ipv4, ipv6] = self.ranges().map(|ranges| ranges.of_node(is_remote.into()));
        let ranges = [ipv4?, ipv6?];
        for number in 0..=self.endpoint_pods {
            let (name, kind) = match number.checked_sub(1) {
                None => (format!("{prefix}pod"), "pod"),
                Some(endpoint) => (format!("{prefix}endpoint{endpoint}"), "endpoint"),
            };
            let host = graph.hosts.len();
            graph.hosts.push(leaf(&name, kind, is_remote));
            let links = ranges.map(|ranges| ranges.links);
            let mut ends = join(graph, [node, host], links, number)?;
            ends[1].owns = self.owned(ranges, number)?;
            ends[1].reaches = everything();
            if number > 0 {
                graph.endpoints.extend(ends[1].owns.iter().map(|range| (host, *range)));
            }
            graph.links.push(veth(graph.links.len(), ends, self.pod_mtu_bytes()));
            match (number, is_remote) {
                (0, false) => graph.sources.push((Source::Pod, host)),
                (0, true) => graph.sources.push((Source::OtherNodePod, host)),
                (1, false) => graph.sources.push((Source::Endpoint, host)),
                _ => {}
            }
        }
        Ok(())
    }

    /// What pod `number` of a node owns beside its address: the plain pod is number 0.
    fn owned(&self, ranges: [NodeRanges; 2], number: usize) -> Result<Vec<IpNet>, String> {
        let Some(endpoint) = number.checked_sub(1) else {
            return Ok(ranges.map(|ranges| ranges.clients).to_vec());
        };
        let halvings = u8::try_from(self.endpoint_pods.trailing_zeros()).unwrap_or(u8::MAX);
        ranges.iter().map(|ranges| slice(ranges.endpoints, halvings, endpoint)).collect()
    }

    /// Link and tunnel between the nodes, with routes to each other's pods.
    fn join_nodes(&self, graph: &mut Graph, other: usize) -> Result<(), String> {
        let [ipv4, ipv6] = self.ranges();
        let mut ends = join(graph, [NODE, other], [ipv4.links, ipv6.links], 1)?;
        let [of_node, of_other] = [0, 1].map(|node| [ipv4.of_node(node), ipv6.of_node(node)]);
        let reached =
            |[ipv4, ipv6]: [Result<NodeRanges, String>; 2]| Ok::<_, String>((ipv4?.all, ipv6?.all));
        let (node_ipv4, node_ipv6) = reached(of_node)?;
        let (other_ipv4, other_ipv6) = reached(of_other)?;
        ends[0].reaches = vec![other_ipv6];
        ends[1].reaches = [everything(), vec![node_ipv6]].concat();
        if self.shape != Shape::TwoNodesIpip {
            ends[0].reaches.push(other_ipv4);
            ends[1].reaches.push(node_ipv4);
            graph.links.push(veth(graph.links.len(), ends, None));
            return Ok(());
        }
        let outer = link_addresses(ipv4.links, 1)?.map(|address| match address.addr() {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
        });
        graph.links.push(veth(graph.links.len(), ends, None));
        let mut tunnel = join(graph, [NODE, other], [ipv4.links, ipv6.links], 2)?;
        for (end, reaches) in tunnel.iter_mut().zip([other_ipv4, node_ipv4]) {
            "tunnel".clone_into(&mut end.name);
            end.addresses.truncate(1);
            end.reaches = vec![reaches];
        }
        graph.links.push(Link { medium: Medium::Ipip { outer }, ends: tunnel });
        Ok(())
    }

    fn pod_mtu_bytes(&self) -> Option<u32> {
        (self.shape == Shape::TwoNodesIpip).then_some(POD_MTU_BYTES)
    }
}

/// Both ends of link `number` of a range of each family, each named after the other's host.
fn join(
    graph: &Graph,
    hosts: [usize; 2],
    links: [IpNet; 2],
    number: usize,
) -> Result<[End; 2], String> {
    let [ipv4, ipv6] = [link_addresses(links[0], number)?, link_addresses(links[1], number)?];
    let made = |host: usize| graph.sides_of(host).count();
    let end = |side: usize| End {
        host: hosts[side],
        name: graph.hosts[hosts[1 - side]].name.clone(),
        index: FIRST_INDEX + u32::try_from(made(hosts[side])).unwrap_or(u32::MAX - FIRST_INDEX),
        addresses: vec![ipv4[side], ipv6[side]],
        owns: Vec::new(),
        reaches: Vec::new(),
    };
    Ok([end(0), end(1)])
}

/// A host that forwards nothing, even where new namespaces inherit that they do. The accept queue's
/// limit is raised: `listen` silently cuts its backlog to it.
fn leaf(name: &str, kind: &'static str, is_remote: bool) -> Host {
    let sysctls = vec![("net.ipv4.ip_forward", "0"), ("net.core.somaxconn", "65535")];
    Host { name: name.to_owned(), kind, sysctls, ipv6: true, is_remote }
}

fn node(name: &'static str, is_remote: bool) -> Host {
    let sysctls = vec![
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
        ("net.core.somaxconn", "65535"),
    ];
    Host { name: name.to_owned(), kind: name, sysctls, ipv6: true, is_remote }
}

fn veth(number: usize, ends: [End; 2], mtu_bytes: Option<u32>) -> Link {
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    // 02: locally administered, unicast (IEEE 802).
    let macs = [1, 2].map(|side| Mac([0x02, 0, 0, 0, number, side]));
    Link { medium: Medium::Veth { macs, mtu_bytes }, ends }
}

/// A default route of each family.
fn everything() -> Vec<IpNet> {
    vec![Ipv4Net::default().into(), Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()]
}

#[cfg(test)]
mod tests {
    use strum::VariantNames;

    use super::*;

    const SHAPES: [Shape; 3] = [Shape::OneNode, Shape::TwoNodes, Shape::TwoNodesIpip];

    fn graph(shape: Shape) -> Graph {
        let graph = Preset::new(shape).graph().unwrap();
        graph.validate().unwrap();
        graph
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    fn fault(change: impl FnOnce(&mut Preset)) -> String {
        let mut preset = Preset::new(Shape::TwoNodes);
        change(&mut preset);
        preset.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_number_of_pods_makes_a_sound_graph() {
        assert_eq!(Shape::VARIANTS, ["one-node", "two-nodes", "two-nodes-ipip"]);
        for (shape, endpoint_pods) in
            SHAPES.into_iter().flat_map(|shape| [1, 2, 4, 8].map(|pods| (shape, pods)))
        {
            let graph = Preset { endpoint_pods, ..Preset::new(shape) }.graph().unwrap();
            graph.validate().unwrap();
            let nodes = if shape == Shape::OneNode { 1 } else { 2 };
            // Each of both families.
            assert_eq!(graph.endpoints.len(), endpoint_pods * nodes * 2);
            assert_eq!(graph.hosts.len(), 1 + nodes * (2 + endpoint_pods));
        }
    }

    #[test]
    fn hosts_and_sources_are_those_of_the_shape() {
        let one = graph(Shape::OneNode);
        assert_eq!(
            names(&one),
            ["outside", "node", "pod", "endpoint0", "endpoint1", "endpoint2", "endpoint3"]
        );
        let sources = |graph: &Graph| -> Vec<String> {
            let sources = graph.sources.iter();
            sources.map(|(source, host)| format!("{source} {}", graph.hosts[*host].name)).collect()
        };
        let expected = ["outside outside", "node node", "pod pod", "endpoint endpoint0"];
        assert_eq!(sources(&one), expected);
        let two = graph(Shape::TwoNodes);
        assert_eq!(names(&two)[7..9], ["other-node", "other-pod"]);
        assert_eq!(sources(&two)[4..], ["other-node-pod other-pod"]);
        let remote = two.hosts.iter().filter(|host| host.is_remote).count();
        assert_eq!(remote, 6, "the other node and its pods");
    }

    #[test]
    fn a_pod_has_an_address_of_each_family_in_its_nodes_half() {
        for shape in [Shape::TwoNodes, Shape::TwoNodesIpip] {
            let graph = graph(shape);
            let (_, pod) = graph.sources[4];
            let (link, side) = graph.sides_of(pod).next().unwrap();
            let addresses = link.ends[side].addresses.iter().map(ToString::to_string);
            assert_eq!(addresses.collect::<Vec<_>>(), ["10.192.0.2/30", "fd00:10:128::80:2/126"]);
            assert_eq!(graph.sides_of(pod).count(), 1);
        }
    }

    #[test]
    fn only_ipv4_goes_through_the_tunnel() {
        let reached = |link: &Link| {
            link.ends
                .clone()
                .map(|end| end.reaches.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let graph = graph(Shape::TwoNodesIpip);
        let tunnel = graph.links.iter().position(|link| matches!(link.medium, Medium::Ipip { .. }));
        let tunnel = tunnel.unwrap();
        assert_eq!(reached(&graph.links[tunnel]), [["10.192.0.0/10"], ["10.128.0.0/10"]]);
        // The tunnel is made after the link that carries it, and takes its MTU from it.
        let [node, other] = reached(&graph.links[tunnel - 1]);
        assert_eq!(node, ["fd00:10:128::80:0/105"]);
        assert_eq!(other, ["0.0.0.0/0", "::/0", "fd00:10:128::/105"]);
        let mtu = |link: &Link| match link.medium {
            Medium::Veth { mtu_bytes, .. } => mtu_bytes,
            Medium::Ipip { .. } => None,
        };
        assert_eq!(graph.links.iter().filter(|link| mtu(link) == Some(1_480)).count(), 10);
    }

    #[test]
    fn endpoints_of_a_node_are_where_its_pods_answer() {
        let preset = Preset::new(Shape::TwoNodes);
        let graph = preset.graph().unwrap();
        for is_remote in [false, true] {
            for range in preset.endpoints(is_remote).unwrap() {
                let of_node = graph.endpoints.iter().filter(|(_, slice)| range.contains(slice));
                let remote: Vec<bool> =
                    of_node.map(|(host, _)| graph.hosts[*host].is_remote).collect();
                assert_eq!(remote, [is_remote; 4], "{range}");
            }
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_remedy() {
        let range = |text: &str| text.parse().unwrap();
        for (text, expected) in [
            (fault(|preset| preset.endpoint_pods = 3), "3 endpoint pods; take 1, 2, 4 or 8"),
            (fault(|preset| preset.endpoint_pods = 16), "16 endpoint pods"),
            (fault(|preset| preset.ipv4.pods = range("10.128.0.0/28")), "take a shorter prefix"),
            (fault(|preset| preset.ipv6.pods = range("fd00:1::/125")), "take a shorter prefix"),
            (fault(|preset| preset.ipv4.links = range("172.31.0.0/30")), "take a shorter prefix"),
            (fault(|preset| preset.ipv4.services = range("10.128.0.0/16")), "keep them apart"),
            (fault(|preset| preset.ipv6.services = range("10.96.0.0/12")), "the other family"),
        ] {
            assert!(
                text.starts_with("topology `two-nodes`: ") && text.contains(expected),
                "{text}"
            );
        }
    }
}
