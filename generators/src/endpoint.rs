//! One Endpoint: an address and port that a VIP is translated to, and what decides whether it is.

use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::family::Family;

/// Longest "ip:port" text: `[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535`.
const TEXT_MAX: usize = 53;

/// Whether a proxy sends connections to an Endpoint, worst first (`CategorizeEndpoints`,
/// `pkg/proxy/topology.go`, Kubernetes 1.35).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// Never.
    NotReady,
    /// While no Endpoint of the Service is ready: it serves what it has until it ends.
    Terminating,
    /// Always.
    #[default]
    Ready,
}

/// Whether the node, or its zone, is among those that an Endpoint is meant for
/// (`EndpointSlice` hints).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// Nothing is said.
    #[default]
    None,
    /// It is.
    Here,
    /// Others are.
    Elsewhere,
}

/// An address and port that a VIP is translated to. Its text is `ip:port`, and so is its JSON where
/// nothing else is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Address of the Endpoint, of the family of its Service.
    pub address: IpAddr,
    /// Port of the Endpoint.
    pub port: u16,
    /// Whether it takes connections.
    pub state: EndpointState,
    /// It is on another node.
    pub is_remote: bool,
    /// Whether it is meant for this node.
    pub node_hint: Hint,
    /// Whether it is meant for the zone of this node.
    pub zone_hint: Hint,
}

impl Endpoint {
    /// An Endpoint on this node, ready, without hints.
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            state: EndpointState::Ready,
            is_remote: false,
            node_hint: Hint::None,
            zone_hint: Hint::None,
        }
    }

    /// Where it listens.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }

    /// Its address family.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.state == EndpointState::Ready
    }

    /// Sorts Endpoints of one family byte by byte by their "ip:port" text.
    pub(crate) fn sort_by_text(endpoints: &mut [Self]) {
        if let [] | [_] = endpoints {
            return;
        }
        if endpoints.iter().all(|endpoint| endpoint.family() == Family::V4) {
            endpoints.sort_by_cached_key(|endpoint| match endpoint.address {
                IpAddr::V4(address) => ipv4_text_key(address, endpoint.port),
                IpAddr::V6(_) => 0,
            });
        } else {
            endpoints.sort_by_cached_key(|endpoint| endpoint.text_key());
        }
    }

    /// The "ip:port" text padded with zero bytes, which sorts as the text itself does.
    fn text_key(self) -> [u8; TEXT_MAX] {
        let mut key = [0; TEXT_MAX];
        // Cannot fail: the buffer holds the longest text.
        let _ = write!(&mut key[..], "{self}");
        key
    }
}

/// A number that sorts as "ip:port" does, many times faster to make than that: its characters, each
/// as four bits, from the highest on. There are at most 21, and '.' < '0' < ':' as in ASCII.
fn ipv4_text_key(address: Ipv4Addr, port: u16) -> u128 {
    let (mut key, mut free) = (0_u128, u128::BITS);
    let mut push = |(code, bits): (u32, u32)| {
        free -= bits;
        key |= u128::from(code) << free;
    };
    for (octet, separator) in address.octets().into_iter().zip([DOT, DOT, DOT, COLON]) {
        push(digits(octet.into()));
        push((separator, 4));
    }
    push(digits(port));
    key
}

/// Codes of characters; 0 is the end.
const DOT: u32 = 1;
const ZERO: u32 = 2;
const COLON: u32 = 12;

/// The digits of a number, and how many bits they are.
fn digits(number: u16) -> (u32, u32) {
    let (mut code, mut bits, mut rest) = (0, 0, u32::from(number));
    loop {
        code |= (ZERO + rest % 10) << bits;
        bits += 4;
        rest /= 10;
        if rest == 0 {
            return (code, bits);
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(socket: SocketAddr) -> Self {
        Self::new(socket.ip(), socket.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.socket()
    }
}

/// The JSON of an Endpoint of which more is said than where it is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    address: SocketAddr,
    #[serde(default, skip_serializing_if = "is_default")]
    state: EndpointState,
    #[serde(default, skip_serializing_if = "is_default")]
    remote: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    node_hint: Hint,
    #[serde(default, skip_serializing_if = "is_default")]
    zone_hint: Hint,
}

/// Whether a field may be left out of JSON.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { state, is_remote, node_hint, zone_hint, .. } = *self;
        if *self == Self::from(self.socket()) {
            return serializer.collect_str(self);
        }
        let address = self.socket();
        Fields { address, state, remote: is_remote, node_hint, zone_hint }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointVisitor)
    }
}

struct EndpointVisitor;

impl<'de> Visitor<'de> for EndpointVisitor {
    type Value = Endpoint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"ip:port\" or an object with an address")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Endpoint, E> {
        text.parse::<SocketAddr>().map(Endpoint::from).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Endpoint, A::Error> {
        let fields = Fields::deserialize(MapAccessDeserializer::new(map));
        let Fields { address, state, remote, node_hint, zone_hint } =
            fields.map_err(A::Error::custom)?;
        Ok(Endpoint { state, is_remote: remote, node_hint, zone_hint, ..address.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_endpoint_is_its_text_and_another_an_object() {
        let plain: Endpoint = "10.0.0.1:80".parse::<SocketAddr>().unwrap().into();
        let six: Endpoint = "[fd00::1]:80".parse::<SocketAddr>().unwrap().into();
        let busy = Endpoint {
            state: EndpointState::Terminating,
            is_remote: true,
            zone_hint: Hint::Here,
            ..six
        };
        for (endpoint, json) in [
            (plain, r#""10.0.0.1:80""#),
            (six, r#""[fd00::1]:80""#),
            (
                busy,
                r#"{"address":"[fd00::1]:80","state":"terminating","remote":true,"zone_hint":"here"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&endpoint).unwrap(), json);
            assert_eq!(serde_json::from_str::<Endpoint>(json).unwrap(), endpoint);
        }
        assert!(serde_json::from_str::<Endpoint>(r#"{"address":"[::1]:1","node":1}"#).is_err());
    }

    #[test]
    fn keys_sort_as_texts_do() {
        let mut random = crate::random::SplitMix64::new(1);
        let mut number = |most: u64| {
            // As many short numbers as long ones.
            let most = [10, 100, 1_000, most][usize::try_from(random.below(4)).unwrap()].min(most);
            u16::try_from(random.below(most)).unwrap()
        };
        let octet = |number: &mut dyn FnMut(u64) -> u16| u8::try_from(number(256)).unwrap();
        let mut endpoints: Vec<Endpoint> = (0..3_000)
            .map(|_| {
                let octets = [(); 4].map(|()| octet(&mut number));
                Endpoint::new(octets.into(), number(65_536))
            })
            .collect();
        let mut six = vec![];
        for endpoint in &endpoints {
            let bits = u128::from(endpoint.port) << 80 | crate::family::bits(endpoint.address);
            six.push(Endpoint::new(Family::V6.address(bits), endpoint.port));
        }
        for endpoints in [&mut endpoints, &mut six] {
            Endpoint::sort_by_text(endpoints);
            let texts: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            assert!(texts.is_sorted());
        }
        let longest = ipv4_text_key([255; 4].into(), 65_535);
        assert_eq!(longest.trailing_zeros() / 4, 32 - 21);
    }

    #[test]
    fn the_key_holds_the_longest_text() {
        let longest: SocketAddr =
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap();
        assert_eq!(Endpoint::from(longest).to_string().len(), 47);
        assert!(Endpoint::from(longest).text_key().contains(&0));
    }
}
