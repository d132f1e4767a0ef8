//! What a user writes about a synthetic Cluster, and everything that can be wrong with it.
//!
//! Nothing is made here; that is `synthetic`.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::addresses::{Addresses, VipLayout, usable};
use crate::endpoint::is_default;
use crate::family::Family;
use crate::kinds::{Kinds, NODE_PORTS, Needs, external_range};
use crate::quantiles::{Quantiles, zipf_weights};
use crate::random::SplitMix64;
use crate::ranges::Ranges;
use crate::service::Protocol;

/// Most Services of a synthetic Cluster.
pub const MAX_SERVICES: u32 = 1_000_000;

/// Most Endpoints of one Service of a synthetic Cluster.
pub const MAX_ENDPOINTS_PER_SERVICE: u32 = 10_000;

/// A synthetic Cluster as a scenario describes it. Every field has a default.
///
/// ```
/// # use generators::{EndpointCount, SyntheticSpec, VipLayout};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec: SyntheticSpec = toml::from_str(
///     r#"
///     services = 5000
///     endpoints = { zipf = { max = 100, exponent = 1.0 } }
///     vip_layout = { strided = { step = 256 } }
///     protocols = { tcp = 9, udp = 1 }
///     "#,
/// )?;
/// assert_eq!(spec.vip_layout, VipLayout::Strided { step: 256 });
/// assert_eq!(spec.port, 80);
/// spec.validate()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyntheticSpec {
    /// Number of Services, 1 to [`MAX_SERVICES`]; with both families so many of each. Default 1000.
    pub services: u32,
    /// Number of Endpoints of each Service. Default `{ fixed = 10 }`.
    pub endpoints: EndpointCount,
    /// Shares of the protocols. Default `{ tcp = 1 }`: all TCP.
    pub protocols: Protocols,
    /// Port of every Service. Default 80.
    pub port: u16,
    /// Port of every Endpoint. Default 8080.
    pub target_port: u16,
    /// How VIPs follow each other. Default `"consecutive"`.
    pub vip_layout: VipLayout,
    /// Range of the VIPs. Default 10.96.0.0/12, which is kubeadm's.
    pub service_cidr: Ipv4Net,
    /// Range of the Endpoints, which get distinct addresses in random order. Default 10.128.0.0/9:
    /// 8,388,606 Endpoints. More fit into 240.0.0.0/4, which Linux routes like any other range.
    pub endpoint_cidr: Ipv4Net,
    /// Address families. Default `"ipv4"`.
    #[serde(skip_serializing_if = "is_default")]
    pub families: Families,
    /// Range of the IPv6 VIPs. Default `fd00:10:96::/108`: 1,048,574 VIPs.
    #[serde(skip_serializing_if = "is_default_service_cidr_v6")]
    pub service_cidr_v6: Ipv6Net,
    /// Range of the IPv6 Endpoints. Default `fd00:10:128::/104`: 16,777,214 Endpoints.
    #[serde(skip_serializing_if = "is_default_endpoint_cidr_v6")]
    pub endpoint_cidr_v6: Ipv6Net,
    /// Shares of the kinds of Services. Default `{ cluster_ip = 1 }`: nothing but a cluster IP.
    /// Node ports are those from 30000 on; external and load balancer addresses are of
    /// 198.18.0.0/15 and `2001:2::/48`.
    #[serde(skip_serializing_if = "is_default")]
    pub kinds: Kinds,
    /// Share of the Endpoints that are on other nodes, 0.0 to 1.0. Default 0: all are on this one.
    #[serde(skip_serializing_if = "is_default")]
    pub remote_endpoints: f64,
}

const SERVICE_CIDR_V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0), 108);
const ENDPOINT_CIDR_V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0x10, 0x128, 0, 0, 0, 0, 0), 104);

// Records of runs name the newer keys where they say something.
fn is_default_service_cidr_v6(range: &Ipv6Net) -> bool {
    *range == SERVICE_CIDR_V6
}

fn is_default_endpoint_cidr_v6(range: &Ipv6Net) -> bool {
    *range == ENDPOINT_CIDR_V6
}

impl Default for SyntheticSpec {
    fn default() -> Self {
        Self {
            services: 1_000,
            endpoints: EndpointCount::Fixed(10),
            protocols: Protocols { tcp: 1, udp: 0, sctp: 0 },
            port: 80,
            target_port: 8080,
            vip_layout: VipLayout::Consecutive,
            service_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 12),
            endpoint_cidr: Ipv4Net::new_assert(Ipv4Addr::new(10, 128, 0, 0), 9),
            families: Families::Ipv4,
            service_cidr_v6: SERVICE_CIDR_V6,
            endpoint_cidr_v6: ENDPOINT_CIDR_V6,
            kinds: Kinds::default(),
            remote_endpoints: 0.0,
        }
    }
}

/// The address families of a synthetic Cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Families {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both: each name is that of an IPv4 Service and of an IPv6 Service after it, with the same
    /// port, protocol, kind, node port and number of Endpoints.
    Dual,
}

impl Families {
    /// The families, in the order of their Services.
    pub const fn each(self) -> &'static [Family] {
        match self {
            Self::Ipv4 => &[Family::V4],
            Self::Ipv6 => &[Family::V6],
            Self::Dual => &Family::ALL,
        }
    }
}

/// How many Endpoints a Service has.
///
/// Counts are dealt at the quantiles of the distribution: seeds differ in which Service has how
/// many, never in how many Services have that many.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum EndpointCount {
    /// Every Service has this many, 1 to [`MAX_ENDPOINTS_PER_SERVICE`].
    Fixed(u32),
    /// Each number from `min` to `max` is equally frequent.
    Uniform {
        /// Fewest Endpoints of a Service. A Service without any refuses connections.
        min: u32,
        /// Most Endpoints of a Service, at most [`MAX_ENDPOINTS_PER_SERVICE`].
        max: u32,
    },
    /// The number k is as frequent as k^-exponent: many small Services, few large ones.
    Zipf {
        /// Most Endpoints of a Service, 1 to [`MAX_ENDPOINTS_PER_SERVICE`].
        max: u32,
        /// 0.25 to 4 in steps of 0.25: the powers that come out alike on every machine.
        exponent: f64,
    },
}

/// Shares of the protocols, as weights. One that is not named has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocols {
    /// Weight of TCP.
    #[serde(default)]
    pub tcp: u32,
    /// Weight of UDP.
    #[serde(default)]
    pub udp: u32,
    /// Weight of SCTP.
    #[serde(default)]
    pub sctp: u32,
}

impl SyntheticSpec {
    /// Where the VIPs and Endpoints of a family are.
    pub fn ranges(&self, family: Family) -> Ranges {
        let [(_, services), (_, pods)] = self.keyed_ranges(family);
        Ranges { pods: Some(pods), services: Some(services) }
    }

    /// Finds every mistake, before anything is made.
    ///
    /// # Errors
    /// [`SpecErrors`] with every mistake, in the order of the fields.
    pub fn validate(&self) -> Result<(), SpecErrors> {
        let mut errors = Vec::new();
        if !(1..=MAX_SERVICES).contains(&self.services) {
            errors.push(format!("services = {}: write 1 to {MAX_SERVICES}", self.services));
        }
        errors.extend(self.endpoints.error());
        if self.protocols == (Protocols { tcp: 0, udp: 0, sctp: 0 }) {
            let example = "write at least one, such as { tcp = 1 }";
            errors.push(format!("protocols gives every protocol weight 0: {example}"));
        }
        for (key, port) in [("port", self.port), ("target_port", self.target_port)] {
            if port == 0 {
                errors.push(format!("{key} = 0: write a port from 1 to 65535"));
            }
        }
        if let VipLayout::Strided { step: step @ ..2 } = self.vip_layout {
            let remedy = "write at least 2, or the layout \"consecutive\"";
            errors.push(format!("vip_layout.strided.step = {step}: {remedy}"));
        }
        // Room is counted only where every number that goes into it makes sense.
        let sizes_are_sound = errors.is_empty();
        for family in Family::ALL {
            self.check_ranges(family, &mut errors);
        }
        if self.kinds == Kinds::NONE {
            let example = "write at least one, such as { cluster_ip = 1 }";
            errors.push(format!("kinds gives every kind weight 0: {example}"));
        }
        if !(0.0..=1.0).contains(&self.remote_endpoints) {
            let share = self.remote_endpoints;
            errors.push(format!("remote_endpoints = {share}: write a share from 0.0 to 1.0"));
        }
        if sizes_are_sound && self.kinds != Kinds::NONE {
            self.check_room(&mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(SpecErrors(errors)) }
    }

    fn check_ranges(&self, family: Family, errors: &mut Vec<String>) {
        let [(vips_key, vips), (endpoints_key, endpoints)] = self.keyed_ranges(family);
        errors.extend(range_error(vips_key, vips));
        errors.extend(range_error(endpoints_key, endpoints));
        if overlap(vips, endpoints) {
            errors.push(format!(
                "{vips_key} = {vips} and {endpoints_key} = {endpoints} overlap: separate them"
            ));
        }
    }

    /// Whether there is room for all that is wanted.
    fn check_room(&self, errors: &mut Vec<String>) {
        let needs = Needs::of(self.kinds, self.services);
        for &family in self.families.each() {
            let [(vips_key, vips), (endpoints_key, endpoints)] = self.keyed_ranges(family);
            let room = Addresses::new(vips, self.vip_layout, SplitMix64::new(0)).capacity();
            errors.extend(room_error(vips_key, vips, room, self.services.into()));
            let wanted = self.endpoints_of_each_family();
            errors.extend(room_error(endpoints_key, endpoints, usable(endpoints), wanted));
            let external = external_range(family);
            let ranges = [(vips_key, vips), (endpoints_key, endpoints)];
            let over = ranges.into_iter().filter(|(_, range)| overlap(*range, external));
            errors.extend(over.filter(|_| needs.addresses > 0).map(|(key, range)| {
                format!(
                    "{key} = {range} overlaps {external}, where kinds have external addresses: \
                     take another range"
                )
            }));
            let (room, wanted) = (usable(external), needs.addresses);
            if wanted > room {
                errors.push(format!(
                    "kinds gives {wanted} Services an external address, and {external} has {room}: \
                     give external_ip, load_balancer, source_ranges and external_local less \
                     weight, or ask for fewer services"
                ));
            }
        }
        let (room, wanted) = (NODE_PORTS.len() as u64, needs.node_ports);
        if wanted > room {
            errors.push(format!(
                "kinds wants {wanted} node ports, and from {} to {} there are {room}: give \
                 node_port, load_balancer, source_ranges and external_local less weight, or ask \
                 for fewer services",
                NODE_PORTS.start(),
                NODE_PORTS.end()
            ));
        }
    }

    /// The ranges of VIPs and of Endpoints, with their keys.
    pub(crate) fn keyed_ranges(&self, family: Family) -> [(&'static str, IpNet); 2] {
        let Self { service_cidr, endpoint_cidr, service_cidr_v6, endpoint_cidr_v6, .. } = *self;
        match family {
            Family::V4 => {
                [("service_cidr", service_cidr.into()), ("endpoint_cidr", endpoint_cidr.into())]
            }
            Family::V6 => [
                ("service_cidr_v6", service_cidr_v6.into()),
                ("endpoint_cidr_v6", endpoint_cidr_v6.into()),
            ],
        }
    }

    /// The number of Services of the whole Cluster.
    pub fn service_count(&self) -> u64 {
        u64::from(self.services) * self.families.each().len() as u64
    }

    /// The number of Endpoints of the whole Cluster, the same for every seed.
    ///
    /// Means nothing unless [`SyntheticSpec::validate`] passes.
    pub fn endpoint_count(&self) -> u64 {
        self.endpoints_of_each_family() * self.families.each().len() as u64
    }

    pub(crate) fn endpoints_of_each_family(&self) -> u64 {
        let services = self.services_with_endpoints();
        let counts = self.endpoints.quantiles();
        let of_service = |rank| counts.at_rank(rank, services);
        (0..services).filter_map(of_service).map(u64::from).sum()
    }

    /// Services of each family that have the Endpoints that `endpoints` gives them.
    pub(crate) fn services_with_endpoints(&self) -> u32 {
        self.services - Needs::of(self.kinds, self.services).without_endpoints
    }
}

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

impl EndpointCount {
    /// The distribution, ready to be dealt.
    pub(crate) fn quantiles(self) -> Quantiles<u32> {
        match self {
            Self::Fixed(count) => Quantiles::new([(count, 1)]),
            Self::Uniform { min, max } => Quantiles::new((min..=max).map(|count| (count, 1))),
            Self::Zipf { max, exponent } => {
                let weights = zipf_weights(max, quarters(exponent).unwrap_or(4));
                Quantiles::new((1..).zip(weights))
            }
        }
    }

    fn error(self) -> Option<String> {
        let checked = |key: &str, value| {
            let is_allowed = (1..=MAX_ENDPOINTS_PER_SERVICE).contains(&value);
            let words = || format!("{key} = {value}: write 1 to {MAX_ENDPOINTS_PER_SERVICE}");
            (!is_allowed).then(words)
        };
        match self {
            Self::Fixed(count) => checked("endpoints.fixed", count),
            Self::Uniform { min, max } => checked("endpoints.uniform.max", max).or_else(|| {
                let words = format!("endpoints.uniform.min = {min} is above max = {max}");
                (min > max).then(|| format!("{words}: exchange them"))
            }),
            Self::Zipf { max, exponent } => checked("endpoints.zipf.max", max).or_else(|| {
                let words = "write 0.25 to 4 in steps of 0.25";
                let is_exact = quarters(exponent).is_some();
                (!is_exact).then(|| format!("endpoints.zipf.exponent = {exponent}: {words}"))
            }),
        }
    }
}

/// The exponent in quarters, if it is one of those that are exact.
fn quarters(exponent: f64) -> Option<u32> {
    (1..=16_u32).find(|&quarters| (f64::from(quarters) / 4.0).total_cmp(&exponent).is_eq())
}

impl Protocols {
    /// The distribution, ready to be dealt.
    pub(crate) fn quantiles(self) -> Quantiles<Protocol> {
        let Self { tcp, udp, sctp } = self;
        let weights = [(Protocol::Tcp, tcp), (Protocol::Udp, udp), (Protocol::Sctp, sctp)];
        Quantiles::new(weights.map(|(protocol, weight)| (protocol, weight.into())))
    }
}

fn range_error(key: &str, range: IpNet) -> Option<String> {
    if range.addr() != range.network() {
        let remedy = range.trunc();
        return Some(format!("{key} = {range} has bits set behind its prefix: write {remedy}"));
    }
    let reserved = [
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)),
    ];
    let touched = reserved.into_iter().find(|&reserved| overlap(reserved, range));
    touched.map(|reserved| {
        format!(
            "{key} = {range} touches {reserved}, which is loopback or multicast: take another range"
        )
    })
}

fn room_error(key: &str, range: IpNet, room: u64, wanted: u64) -> Option<String> {
    let example = match range {
        IpNet::V4(_) => " (240.0.0.0/4 has 268435454)",
        IpNet::V6(_) => "",
    };
    (wanted > room).then(|| {
        format!(
            "{key} = {range} has room for {room} addresses in this layout, {wanted} are wanted: \
             take a larger range{example} or ask for less"
        )
    })
}

/// Every mistake in a [`SyntheticSpec`], at least one, in the order of the fields. Each names the
/// key that it is at and says what to write; the text has one line for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SpecErrors(pub Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [&str; 0] = [];

    fn range(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn errors(spec: &SyntheticSpec) -> Vec<String> {
        spec.validate().err().map_or(Vec::new(), |errors| errors.0)
    }

    /// The errors of the default spec after one change.
    fn after(change: impl FnOnce(&mut SyntheticSpec)) -> Vec<String> {
        let mut spec = SyntheticSpec::default();
        change(&mut spec);
        errors(&spec)
    }

    fn shares(counts: EndpointCount, services: u32) -> Vec<u32> {
        (0..services).filter_map(|rank| counts.quantiles().at_rank(rank, services)).collect()
    }

    #[test]
    fn an_empty_text_is_the_default_and_the_default_is_valid() {
        let spec: SyntheticSpec = toml::from_str("").unwrap();
        assert_eq!(spec, SyntheticSpec::default());
        assert_eq!(errors(&spec), NONE);
        assert_eq!(spec.endpoint_count(), 10_000);
    }

    #[test]
    fn every_key_is_read_and_written_back() {
        let text = r#"
            services = 7
            endpoints = { uniform = { min = 1, max = 3 } }
            protocols = { udp = 2 }
            port = 53
            target_port = 5353
            vip_layout = "random"
            service_cidr = "172.16.0.0/16"
            endpoint_cidr = "240.0.0.0/4"
            families = "dual"
            service_cidr_v6 = "fd01::/112"
            endpoint_cidr_v6 = "fd02::/96"
            kinds = { node_port = 3, external_local = 1 }
            remote_endpoints = 0.75
        "#;
        let spec: SyntheticSpec = toml::from_str(text).unwrap();
        let expected = SyntheticSpec {
            services: 7,
            endpoints: EndpointCount::Uniform { min: 1, max: 3 },
            protocols: Protocols { tcp: 0, udp: 2, sctp: 0 },
            port: 53,
            target_port: 5353,
            vip_layout: VipLayout::Random,
            service_cidr: range("172.16.0.0/16"),
            endpoint_cidr: range("240.0.0.0/4"),
            families: Families::Dual,
            service_cidr_v6: "fd01::/112".parse().unwrap(),
            endpoint_cidr_v6: "fd02::/96".parse().unwrap(),
            kinds: Kinds { node_port: 3, external_local: 1, ..Kinds::NONE },
            remote_endpoints: 0.75,
        };
        assert_eq!(spec, expected);
        assert_eq!(errors(&spec), NONE);
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<SyntheticSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn unknown_keys_are_refused() {
        for text in [
            "service = 3",
            "protocols = { icmp = 1 }",
            "endpoints = { zipf = { max = 3, exponent = 1.0, min = 1 } }",
            "vip_layout = { strided = { step = 2, offset = 1 } }",
            "vip_layout = \"scattered\"",
            "families = \"both\"",
            "kinds = { headless = 1 }",
        ] {
            assert!(toml::from_str::<SyntheticSpec>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_services_out_of_range_is_refused() {
        for services in [0, MAX_SERVICES + 1] {
            let expected = [format!("services = {services}: write 1 to 1000000")];
            assert_eq!(after(|spec| spec.services = services), expected);
        }
    }

    #[test]
    fn numbers_of_endpoints_out_of_range_are_refused() {
        let too_many = MAX_ENDPOINTS_PER_SERVICE + 1;
        let cases = [
            (EndpointCount::Fixed(0), "endpoints.fixed", 0),
            (EndpointCount::Fixed(too_many), "endpoints.fixed", too_many),
            (EndpointCount::Uniform { min: 0, max: 0 }, "endpoints.uniform.max", 0),
            (EndpointCount::Uniform { min: 1, max: too_many }, "endpoints.uniform.max", too_many),
            (EndpointCount::Zipf { max: 0, exponent: 1.0 }, "endpoints.zipf.max", 0),
            (EndpointCount::Zipf { max: too_many, exponent: 1.0 }, "endpoints.zipf.max", too_many),
        ];
        for (endpoints, key, value) in cases {
            let expected = [format!("{key} = {value}: write 1 to 10000")];
            assert_eq!(after(|spec| spec.endpoints = endpoints), expected);
        }
        let expected = ["endpoints.uniform.min = 3 is above max = 2: exchange them"];
        assert_eq!(
            after(|spec| spec.endpoints = EndpointCount::Uniform { min: 3, max: 2 }),
            expected
        );
    }

    #[test]
    fn a_zipf_exponent_that_is_not_exact_is_refused() {
        for exponent in [0.0, -1.0, 0.2, 1.1, 4.25, f64::INFINITY, f64::NAN] {
            let expected =
                format!("endpoints.zipf.exponent = {exponent}: write 0.25 to 4 in steps of 0.25");
            let found = after(|s| s.endpoints = EndpointCount::Zipf { max: 9, exponent });
            assert_eq!(found, [expected]);
        }
        for exponent in [0.25, 1.0, 1.75, 4.0] {
            assert_eq!(after(|s| s.endpoints = EndpointCount::Zipf { max: 9, exponent }), NONE);
        }
    }

    #[test]
    fn a_mix_without_protocol_is_refused() {
        let none = Protocols { tcp: 0, udp: 0, sctp: 0 };
        let expected =
            "protocols gives every protocol weight 0: write at least one, such as { tcp = 1 }";
        assert_eq!(after(|spec| spec.protocols = none), [expected]);
    }

    #[test]
    fn zero_ports_and_steps_that_are_none_are_refused() {
        assert_eq!(after(|spec| spec.port = 0), ["port = 0: write a port from 1 to 65535"]);
        let expected = ["target_port = 0: write a port from 1 to 65535"];
        assert_eq!(after(|spec| spec.target_port = 0), expected);
        for step in [0, 1] {
            let layout = VipLayout::Strided { step };
            let remedy = "write at least 2, or the layout \"consecutive\"";
            let expected = [format!("vip_layout.strided.step = {step}: {remedy}")];
            assert_eq!(after(|spec| spec.vip_layout = layout), expected);
        }
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        let bits = range("10.96.0.1/12");
        let expected =
            ["service_cidr = 10.96.0.1/12 has bits set behind its prefix: write 10.96.0.0/12"];
        assert_eq!(after(|spec| spec.service_cidr = bits), expected);
        for (text, reserved) in [
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("127.1.0.0/16", "127.0.0.0/8"),
            ("224.0.0.0/3", "224.0.0.0/4"),
            ("239.0.0.0/8", "224.0.0.0/4"),
        ] {
            let expected = [format!(
                "endpoint_cidr = {text} touches {reserved}, which is loopback or multicast: take \
                 another range"
            )];
            assert_eq!(after(|spec| spec.endpoint_cidr = range(text)), expected);
        }
    }

    #[test]
    fn ranges_that_overlap_are_refused() {
        for (service_cidr, endpoint_cidr) in [
            ("10.96.0.0/12", "10.96.0.0/12"),
            ("10.96.0.0/12", "10.0.0.0/8"),
            ("10.0.0.0/8", "10.128.0.0/9"),
        ] {
            let found = after(|spec| {
                spec.service_cidr = range(service_cidr);
                spec.endpoint_cidr = range(endpoint_cidr);
            });
            let both = format!("service_cidr = {service_cidr} and endpoint_cidr = {endpoint_cidr}");
            assert_eq!(found, [format!("{both} overlap: separate them")]);
        }
    }

    #[test]
    fn ranges_without_room_are_refused() {
        let too_small = |key: &str, range: &str, room: u32, wanted: u32| {
            [format!(
                "{key} = {range} has room for {room} addresses in this layout, {wanted} are \
                 wanted: take a larger range (240.0.0.0/4 has 268435454) or ask for less"
            )]
        };
        assert_eq!(
            after(|spec| spec.service_cidr = range("10.96.0.0/22")),
            NONE,
            "1000 VIPs fit into 1022 addresses"
        );
        assert_eq!(
            after(|spec| spec.service_cidr = range("10.96.0.0/23")),
            too_small("service_cidr", "10.96.0.0/23", 510, 1_000)
        );
        assert_eq!(
            after(|spec| {
                spec.service_cidr = range("10.96.0.0/22");
                spec.vip_layout = VipLayout::Strided { step: 256 };
            }),
            too_small("service_cidr", "10.96.0.0/22", 768, 1_000)
        );
        assert_eq!(
            after(|spec| spec.services = 1_000_000),
            too_small("endpoint_cidr", "10.128.0.0/9", 8_388_606, 10_000_000)
        );
        assert_eq!(
            after(|spec| spec.endpoint_cidr = range("192.168.1.1/32")),
            too_small("endpoint_cidr", "192.168.1.1/32", 0, 10_000)
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once_with_its_key() {
        let spec = SyntheticSpec {
            services: 0,
            endpoints: EndpointCount::Fixed(0),
            protocols: Protocols { tcp: 0, udp: 0, sctp: 0 },
            port: 0,
            target_port: 0,
            vip_layout: VipLayout::Strided { step: 1 },
            service_cidr: range("127.0.0.0/8"),
            endpoint_cidr: range("127.0.0.1/8"),
            families: Families::Ipv6,
            service_cidr_v6: "ff02::/16".parse().unwrap(),
            endpoint_cidr_v6: "::/8".parse().unwrap(),
            kinds: Kinds::NONE,
            remote_endpoints: -0.5,
        };
        insta::assert_snapshot!(spec.validate().unwrap_err());
    }

    #[test]
    fn records_name_the_newer_keys_only_where_they_say_something() {
        let json = serde_json::to_string(&SyntheticSpec::default()).unwrap();
        assert!(json.ends_with(r#""endpoint_cidr":"10.128.0.0/9"}"#), "{json}");
    }

    #[test]
    fn a_million_services_of_both_families_fit_the_default_ranges_of_ipv6() {
        let million = |families| {
            after(|spec| {
                spec.services = MAX_SERVICES;
                spec.families = families;
                spec.endpoint_cidr = range("240.0.0.0/4");
            })
        };
        assert_eq!([million(Families::Ipv6), million(Families::Dual)], [NONE, NONE]);
    }

    #[test]
    fn a_range_of_ipv6_counts_if_the_family_is_asked_for() {
        let small = |families| {
            after(|spec| {
                spec.families = families;
                spec.service_cidr_v6 = "fd00:10:96::/120".parse().unwrap();
            })
        };
        let expected = "service_cidr_v6 = fd00:10:96::/120 has room for 254 addresses in this \
                        layout, 1000 are wanted: take a larger range or ask for less";
        assert_eq!(small(Families::Ipv4), NONE);
        assert_eq!([small(Families::Ipv6), small(Families::Dual)], [[expected], [expected]]);
        let inside = after(|spec| spec.endpoint_cidr_v6 = "fd00:10:96::/112".parse().unwrap());
        let expected = "service_cidr_v6 = fd00:10:96::/108 and endpoint_cidr_v6 = \
                        fd00:10:96::/112 overlap: separate them";
        assert_eq!(inside, [expected]);
    }

    #[test]
    fn kinds_that_need_more_than_there_is_are_refused() {
        let kinds = |services, kinds: Kinds| {
            after(|spec| {
                (spec.services, spec.kinds) = (services, kinds);
                spec.endpoints = EndpointCount::Fixed(1);
            })
        };
        let node_ports = Kinds { node_port: 1, ..Kinds::NONE };
        assert_eq!(kinds(35_536, node_ports), NONE);
        let expected = "kinds wants 35537 node ports, and from 30000 to 65535 there are 35536: \
                        give node_port, load_balancer, source_ranges and external_local less \
                        weight, or ask for fewer services";
        assert_eq!(kinds(35_537, node_ports), [expected]);
        let two_each = kinds(17_769, Kinds { external_local: 1, ..Kinds::NONE });
        assert!(two_each[0].starts_with("kinds wants 35538 node ports"), "{two_each:?}");
        let external = Kinds { external_ip: 1, ..Kinds::NONE };
        assert_eq!(kinds(131_070, external), NONE);
        let expected = "kinds gives 131071 Services an external address, and 198.18.0.0/15 has \
                        131070: give external_ip, load_balancer, source_ranges and external_local \
                        less weight, or ask for fewer services";
        assert_eq!(kinds(131_071, external), [expected]);
    }

    #[test]
    fn ranges_do_not_overlap_those_of_external_addresses() {
        let inside = |kinds| {
            after(|spec| {
                spec.kinds = kinds;
                spec.service_cidr = range("198.19.0.0/16");
            })
        };
        assert_eq!(inside(Kinds::default()), NONE);
        let expected = "service_cidr = 198.19.0.0/16 overlaps 198.18.0.0/15, where kinds have \
                        external addresses: take another range";
        assert_eq!(inside(Kinds { load_balancer: 1, ..Kinds::NONE }), [expected]);
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let expected = format!("remote_endpoints = {share}: write a share from 0.0 to 1.0");
            assert_eq!(after(|spec| spec.remote_endpoints = share), [expected]);
        }
        assert_eq!(after(|spec| spec.remote_endpoints = 1.0), NONE);
        let expected = "kinds gives every kind weight 0: write at least one, such as \
                        { cluster_ip = 1 }";
        assert_eq!(after(|spec| spec.kinds = Kinds::NONE), [expected]);
    }

    #[test]
    fn endpoints_are_counted_of_all_families_and_of_services_that_have_them() {
        let spec = SyntheticSpec {
            services: 100,
            endpoints: EndpointCount::Fixed(3),
            families: Families::Dual,
            kinds: Kinds { cluster_ip: 3, without_endpoints: 1, ..Kinds::NONE },
            ..SyntheticSpec::default()
        };
        assert_eq!((spec.service_count(), spec.endpoint_count()), (200, 450));
    }

    #[test]
    fn both_ranges_without_room_are_reported_at_once() {
        let found = after(|spec| {
            spec.service_cidr = range("10.0.0.0/24");
            spec.endpoint_cidr = range("10.0.1.0/24");
        });
        assert!(found[1].starts_with("endpoint_cidr = 10.0.1.0/24 has room for 254 "), "{found:?}");
        assert_eq!(found.len(), 2);
        insta::assert_snapshot!(found[0]);
    }

    #[test]
    fn endpoint_counts_follow_their_distribution() {
        let counts = EndpointCount::Fixed(4);
        assert_eq!(shares(counts, 3), [4, 4, 4]);
        let counts = EndpointCount::Uniform { min: 2, max: 4 };
        assert_eq!(shares(counts, 6), [2, 2, 3, 3, 4, 4]);
        // 12 : 6 : 4 : 3 of 25.
        let counts = EndpointCount::Zipf { max: 4, exponent: 1.0 };
        let dealt = shares(counts, 25);
        let frequency = |wanted| dealt.iter().filter(|&&count| count == wanted).count();
        assert_eq!([1, 2, 3, 4].map(frequency), [12, 6, 4, 3]);
    }

    #[test]
    fn protocols_follow_their_weights() {
        let shares = Protocols { tcp: 2, udp: 1, sctp: 1 }.quantiles();
        let dealt: Vec<Protocol> = (0..4).filter_map(|rank| shares.at_rank(rank, 4)).collect();
        assert_eq!(dealt, [Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    }
}
