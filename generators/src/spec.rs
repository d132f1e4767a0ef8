//! What a user writes about a synthetic Cluster, and everything that can be wrong with it.
//!
//! Nothing is made here; that is `synthetic`.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::addresses::{VipLayout, Vips, usable};
use crate::quantiles::{Quantiles, zipf_weights};
use crate::random::SplitMix64;
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
    /// Number of Services, 1 to [`MAX_SERVICES`]. Default 1000.
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
        /// Fewest Endpoints of a Service, at least 1.
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
    /// Finds every mistake, before anything is made.
    ///
    /// # Errors
    /// [`SpecErrors`] with one [`SpecError`] for each mistake, in the order of the fields.
    pub fn validate(&self) -> Result<(), SpecErrors> {
        let mut errors = Vec::new();
        if !(1..=MAX_SERVICES).contains(&self.services) {
            errors.push(SpecError::Services { services: self.services });
        }
        errors.extend(self.endpoints.error());
        if self.protocols == (Protocols { tcp: 0, udp: 0, sctp: 0 }) {
            errors.push(SpecError::NoProtocol);
        }
        for (key, port) in [("port", self.port), ("target_port", self.target_port)] {
            if port == 0 {
                errors.push(SpecError::ZeroPort { key });
            }
        }
        if let VipLayout::Strided { step: step @ ..2 } = self.vip_layout {
            errors.push(SpecError::Step { step });
        }
        // Room is counted only where every number that goes into it makes sense.
        let sizes_are_sound = errors.is_empty();
        errors.extend(range_error("service_cidr", self.service_cidr));
        errors.extend(range_error("endpoint_cidr", self.endpoint_cidr));
        if self.service_cidr.contains(&self.endpoint_cidr)
            || self.endpoint_cidr.contains(&self.service_cidr)
        {
            let (service_cidr, endpoint_cidr) = (self.service_cidr, self.endpoint_cidr);
            errors.push(SpecError::Overlap { service_cidr, endpoint_cidr });
        }
        if sizes_are_sound {
            errors.extend(self.room_errors());
        }
        if errors.is_empty() { Ok(()) } else { Err(SpecErrors { errors }) }
    }

    /// The number of Endpoints of the whole Cluster, the same for every seed.
    ///
    /// Means nothing unless [`SyntheticSpec::validate`] passes.
    pub fn endpoint_count(&self) -> u64 {
        let counts = CountShares::new(self.endpoints);
        (0..self.services).map(|rank| u64::from(counts.at_rank(rank, self.services))).sum()
    }

    fn room_errors(&self) -> impl Iterator<Item = SpecError> {
        let vips = Vips::new(self.service_cidr, self.vip_layout, SplitMix64::new(0)).capacity();
        let vips = room_error("service_cidr", self.service_cidr, vips, u64::from(self.services));
        let endpoints = usable(self.endpoint_cidr);
        let endpoints =
            room_error("endpoint_cidr", self.endpoint_cidr, endpoints, self.endpoint_count());
        vips.into_iter().chain(endpoints)
    }
}

impl EndpointCount {
    fn error(self) -> Option<SpecError> {
        let allowed = 1..=MAX_ENDPOINTS_PER_SERVICE;
        let refused = |key, value| Some(SpecError::EndpointCount { key, value });
        match self {
            Self::Fixed(count) if !allowed.contains(&count) => refused("endpoints.fixed", count),
            Self::Uniform { min, .. } if !allowed.contains(&min) => {
                refused("endpoints.uniform.min", min)
            }
            Self::Uniform { max, .. } if !allowed.contains(&max) => {
                refused("endpoints.uniform.max", max)
            }
            Self::Uniform { min, max } if min > max => Some(SpecError::MinAboveMax { min, max }),
            Self::Zipf { max, .. } if !allowed.contains(&max) => refused("endpoints.zipf.max", max),
            Self::Zipf { exponent, .. } if quarters(exponent).is_none() => {
                Some(SpecError::Exponent { exponent })
            }
            Self::Fixed(_) | Self::Uniform { .. } | Self::Zipf { .. } => None,
        }
    }
}

/// The exponent in quarters, if it is one of those that are exact.
fn quarters(exponent: f64) -> Option<u32> {
    (1..=16_u32).find(|&quarters| (f64::from(quarters) / 4.0).total_cmp(&exponent).is_eq())
}

/// The distribution of [`EndpointCount`], ready to be dealt.
#[derive(Debug, Clone)]
pub(crate) struct CountShares {
    fewest: u32,
    quantiles: Quantiles,
}

impl CountShares {
    pub(crate) fn new(endpoints: EndpointCount) -> Self {
        match endpoints {
            EndpointCount::Fixed(count) => Self { fewest: count, quantiles: Quantiles::new([1]) },
            EndpointCount::Uniform { min, max } => {
                let equal = (min..=max).map(|_| 1);
                Self { fewest: min, quantiles: Quantiles::new(equal) }
            }
            EndpointCount::Zipf { max, exponent } => {
                let weights = zipf_weights(max, quarters(exponent).unwrap_or(4));
                Self { fewest: 1, quantiles: Quantiles::new(weights) }
            }
        }
    }

    pub(crate) fn at_rank(&self, rank: u32, services: u32) -> u32 {
        self.count(self.quantiles.at_rank(rank, services))
    }

    pub(crate) fn draw(&self, random: &mut SplitMix64) -> u32 {
        self.count(self.quantiles.draw(random))
    }

    fn count(&self, kind: usize) -> u32 {
        self.fewest + u32::try_from(kind).unwrap_or(0)
    }
}

/// The distribution of [`Protocols`], ready to be dealt.
#[derive(Debug, Clone)]
pub(crate) struct ProtocolShares(Quantiles);

impl ProtocolShares {
    pub(crate) fn new(protocols: Protocols) -> Self {
        let Protocols { tcp, udp, sctp } = protocols;
        Self(Quantiles::new([tcp, udp, sctp].map(u64::from)))
    }

    pub(crate) fn at_rank(&self, rank: u32, services: u32) -> Protocol {
        Self::protocol(self.0.at_rank(rank, services))
    }

    pub(crate) fn draw(&self, random: &mut SplitMix64) -> Protocol {
        Self::protocol(self.0.draw(random))
    }

    fn protocol(kind: usize) -> Protocol {
        match kind {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => Protocol::Sctp,
        }
    }
}

fn range_error(key: &'static str, range: Ipv4Net) -> Option<SpecError> {
    if range.addr() != range.network() {
        return Some(SpecError::HostBits { key, range, remedy: range.trunc() });
    }
    let reserved = [
        Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    ];
    reserved
        .into_iter()
        .find(|reserved| reserved.contains(&range) || range.contains(reserved))
        .map(|reserved| SpecError::Reserved { key, range, reserved })
}

fn room_error(key: &'static str, range: Ipv4Net, room: u64, wanted: u64) -> Option<SpecError> {
    (wanted > room).then_some(SpecError::TooSmall { key, range, room, wanted })
}

/// One mistake in a [`SyntheticSpec`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// No Services, or more than a Cluster can be.
    #[error("services = {services}: write 1 to {MAX_SERVICES}")]
    Services {
        /// The number as written.
        services: u32,
    },
    /// A number of Endpoints that no Service can have.
    #[error("{key} = {value}: write 1 to {MAX_ENDPOINTS_PER_SERVICE}")]
    EndpointCount {
        /// The key that has the number.
        key: &'static str,
        /// The number as written.
        value: u32,
    },
    /// A distribution that begins after its end.
    #[error("endpoints.uniform.min = {min} is above max = {max}: exchange them")]
    MinAboveMax {
        /// `min` as written.
        min: u32,
        /// `max` as written.
        max: u32,
    },
    /// An exponent outside those that come out alike on every machine.
    #[error("endpoints.zipf.exponent = {exponent}: write 0.25 to 4 in steps of 0.25")]
    Exponent {
        /// The exponent as written.
        exponent: f64,
    },
    /// Every protocol has weight 0.
    #[error("protocols gives every protocol weight 0: write at least one, such as {{ tcp = 1 }}")]
    NoProtocol,
    /// Port 0.
    #[error("{key} = 0: write a port from 1 to 65535")]
    ZeroPort {
        /// The key that has the port.
        key: &'static str,
    },
    /// A step that is no stride.
    #[error("vip_layout.strided.step = {step}: write at least 2, or the layout \"consecutive\"")]
    Step {
        /// The step as written.
        step: u32,
    },
    /// A range that does not begin at its own network address.
    #[error("{key} = {range} has bits set behind its prefix: write {remedy}")]
    HostBits {
        /// The key that has the range.
        key: &'static str,
        /// The range as written.
        range: Ipv4Net,
        /// The range that was probably meant.
        remedy: Ipv4Net,
    },
    /// A range with addresses that are not unicast.
    #[error(
        "{key} = {range} touches {reserved}, which is loopback or multicast: take another range"
    )]
    Reserved {
        /// The key that has the range.
        key: &'static str,
        /// The range as written.
        range: Ipv4Net,
        /// The addresses it may not touch.
        reserved: Ipv4Net,
    },
    /// One address could be both a VIP and an Endpoint.
    #[error(
        "service_cidr = {service_cidr} and endpoint_cidr = {endpoint_cidr} overlap: separate them"
    )]
    Overlap {
        /// Range of the VIPs as written.
        service_cidr: Ipv4Net,
        /// Range of the Endpoints as written.
        endpoint_cidr: Ipv4Net,
    },
    /// Fewer addresses than are wanted.
    #[error(
        "{key} = {range} has room for {room} addresses in this layout, {wanted} are wanted: \
         take a larger range (240.0.0.0/4 has 268435454) or ask for less"
    )]
    TooSmall {
        /// The key that has the range.
        key: &'static str,
        /// The range as written.
        range: Ipv4Net,
        /// How many addresses it can give.
        room: u64,
        /// How many addresses the spec needs.
        wanted: u64,
    },
}

impl SpecError {
    /// The key the mistake is at, relative to the spec, such as `endpoints.zipf.max`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Services { .. } => "services",
            Self::MinAboveMax { .. } => "endpoints.uniform.min",
            Self::Exponent { .. } => "endpoints.zipf.exponent",
            Self::NoProtocol => "protocols",
            Self::Step { .. } => "vip_layout.strided.step",
            Self::Overlap { .. } => "endpoint_cidr",
            Self::EndpointCount { key, .. }
            | Self::ZeroPort { key }
            | Self::HostBits { key, .. }
            | Self::Reserved { key, .. }
            | Self::TooSmall { key, .. } => key,
        }
    }
}

/// Every mistake in a [`SyntheticSpec`]; its text has one line for each.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecErrors {
    errors: Vec<SpecError>,
}

impl SpecErrors {
    /// The mistakes, at least one, in the order of the fields.
    pub fn errors(&self) -> &[SpecError] {
        &self.errors
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn errors(spec: &SyntheticSpec) -> Vec<SpecError> {
        spec.validate().err().map_or(Vec::new(), |errors| errors.errors().to_vec())
    }

    /// The errors of the default spec after one change.
    fn after(change: impl FnOnce(&mut SyntheticSpec)) -> Vec<SpecError> {
        let mut spec = SyntheticSpec::default();
        change(&mut spec);
        errors(&spec)
    }

    fn shares(counts: &CountShares, services: u32) -> Vec<u32> {
        (0..services).map(|rank| counts.at_rank(rank, services)).collect()
    }

    #[test]
    fn an_empty_text_is_the_default_and_the_default_is_valid() {
        let spec: SyntheticSpec = toml::from_str("").unwrap();
        assert_eq!(spec, SyntheticSpec::default());
        assert_eq!(errors(&spec), []);
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
        };
        assert_eq!(spec, expected);
        assert_eq!(errors(&spec), []);
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
        ] {
            assert!(toml::from_str::<SyntheticSpec>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_services_out_of_range_is_refused() {
        for services in [0, MAX_SERVICES + 1] {
            let expected = [SpecError::Services { services }];
            assert_eq!(after(|spec| spec.services = services), expected);
        }
        assert_eq!(
            SpecError::Services { services: 0 }.to_string(),
            "services = 0: write 1 to 1000000"
        );
    }

    #[test]
    fn numbers_of_endpoints_out_of_range_are_refused() {
        let too_many = MAX_ENDPOINTS_PER_SERVICE + 1;
        let cases = [
            (EndpointCount::Fixed(0), "endpoints.fixed", 0),
            (EndpointCount::Fixed(too_many), "endpoints.fixed", too_many),
            (EndpointCount::Uniform { min: 0, max: 1 }, "endpoints.uniform.min", 0),
            (EndpointCount::Uniform { min: 1, max: too_many }, "endpoints.uniform.max", too_many),
            (EndpointCount::Zipf { max: 0, exponent: 1.0 }, "endpoints.zipf.max", 0),
            (EndpointCount::Zipf { max: too_many, exponent: 1.0 }, "endpoints.zipf.max", too_many),
        ];
        for (endpoints, key, value) in cases {
            let expected = [SpecError::EndpointCount { key, value }];
            assert_eq!(after(|spec| spec.endpoints = endpoints), expected);
        }
        let expected = [SpecError::MinAboveMax { min: 3, max: 2 }];
        assert_eq!(
            after(|spec| spec.endpoints = EndpointCount::Uniform { min: 3, max: 2 }),
            expected
        );
    }

    #[test]
    fn a_zipf_exponent_that_is_not_exact_is_refused() {
        for exponent in [0.0, -1.0, 0.2, 1.1, 4.25, f64::INFINITY] {
            let expected = [SpecError::Exponent { exponent }];
            assert_eq!(after(|s| s.endpoints = EndpointCount::Zipf { max: 9, exponent }), expected);
        }
        let not_a_number = after(|spec| {
            spec.endpoints = EndpointCount::Zipf { max: 9, exponent: f64::NAN };
        });
        assert!(matches!(not_a_number[..], [SpecError::Exponent { .. }]));
        for exponent in [0.25, 1.0, 1.75, 4.0] {
            assert_eq!(after(|s| s.endpoints = EndpointCount::Zipf { max: 9, exponent }), []);
        }
    }

    #[test]
    fn a_mix_without_protocol_is_refused() {
        let none = Protocols { tcp: 0, udp: 0, sctp: 0 };
        assert_eq!(after(|spec| spec.protocols = none), [SpecError::NoProtocol]);
    }

    #[test]
    fn zero_ports_and_steps_that_are_none_are_refused() {
        assert_eq!(after(|spec| spec.port = 0), [SpecError::ZeroPort { key: "port" }]);
        let expected = [SpecError::ZeroPort { key: "target_port" }];
        assert_eq!(after(|spec| spec.target_port = 0), expected);
        for step in [0, 1] {
            let layout = VipLayout::Strided { step };
            assert_eq!(after(|spec| spec.vip_layout = layout), [SpecError::Step { step }]);
        }
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        let bits = range("10.96.0.1/12");
        let expected =
            [SpecError::HostBits { key: "service_cidr", range: bits, remedy: bits.trunc() }];
        assert_eq!(after(|spec| spec.service_cidr = bits), expected);
        for (text, reserved) in [
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("127.1.0.0/16", "127.0.0.0/8"),
            ("224.0.0.0/3", "224.0.0.0/4"),
            ("239.0.0.0/8", "224.0.0.0/4"),
        ] {
            let (key, bad) = ("endpoint_cidr", range(text));
            let expected = [SpecError::Reserved { key, range: bad, reserved: range(reserved) }];
            assert_eq!(after(|spec| spec.endpoint_cidr = bad), expected);
        }
    }

    #[test]
    fn ranges_that_overlap_are_refused() {
        for (service_cidr, endpoint_cidr) in [
            ("10.96.0.0/12", "10.96.0.0/12"),
            ("10.96.0.0/12", "10.0.0.0/8"),
            ("10.0.0.0/8", "10.128.0.0/9"),
        ] {
            let (service_cidr, endpoint_cidr) = (range(service_cidr), range(endpoint_cidr));
            let found = after(|spec| {
                (spec.service_cidr, spec.endpoint_cidr) = (service_cidr, endpoint_cidr);
            });
            assert_eq!(found, [SpecError::Overlap { service_cidr, endpoint_cidr }]);
        }
    }

    #[test]
    fn ranges_without_room_are_refused() {
        let too_small = |key, text: &str, room, wanted| {
            [SpecError::TooSmall { key, range: range(text), room, wanted }]
        };
        assert_eq!(
            after(|spec| spec.service_cidr = range("10.96.0.0/22")),
            [],
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
        };
        let keys: Vec<&str> = errors(&spec).iter().map(SpecError::key).collect();
        let expected = [
            "services",
            "endpoints.fixed",
            "protocols",
            "port",
            "target_port",
            "vip_layout.strided.step",
            "service_cidr",
            "endpoint_cidr",
            "endpoint_cidr",
        ];
        assert_eq!(keys, expected);
        insta::assert_snapshot!(spec.validate().unwrap_err());
    }

    #[test]
    fn both_ranges_without_room_are_reported_at_once() {
        let found = after(|spec| {
            spec.service_cidr = range("10.0.0.0/24");
            spec.endpoint_cidr = range("10.0.1.0/24");
        });
        let keys: Vec<&str> = found.iter().map(SpecError::key).collect();
        assert_eq!(keys, ["service_cidr", "endpoint_cidr"]);
        insta::assert_snapshot!(found[0]);
    }

    #[test]
    fn endpoint_counts_follow_their_distribution() {
        let counts = CountShares::new(EndpointCount::Fixed(4));
        assert_eq!(shares(&counts, 3), [4, 4, 4]);
        let counts = CountShares::new(EndpointCount::Uniform { min: 2, max: 4 });
        assert_eq!(shares(&counts, 6), [2, 2, 3, 3, 4, 4]);
        // 12 : 6 : 4 : 3 of 25.
        let counts = CountShares::new(EndpointCount::Zipf { max: 4, exponent: 1.0 });
        let dealt = shares(&counts, 25);
        let frequency = |wanted| dealt.iter().filter(|&&count| count == wanted).count();
        assert_eq!([1, 2, 3, 4].map(frequency), [12, 6, 4, 3]);
    }

    #[test]
    fn protocols_follow_their_weights() {
        let shares = ProtocolShares::new(Protocols { tcp: 2, udp: 1, sctp: 1 });
        let dealt: Vec<Protocol> = (0..4).map(|rank| shares.at_rank(rank, 4)).collect();
        assert_eq!(dealt, [Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    }
}
