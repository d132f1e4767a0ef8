//! The addresses of a preset in one family, what can be wrong with them, and how they are cut up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux::netlink::host::check_prefix;

/// Bits of an address that a link between two hosts leaves to them: a /30 or a /126.
const LINK_BITS: u8 = 2;

/// Addresses of a preset, all of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranges {
    /// Addresses that the machine outside owns and dials from.
    pub clients: IpNet,
    /// VIPs: everybody but the node sends these to the node.
    pub services: IpNet,
    /// External IPs and addresses of load balancers, sent to the node as well.
    pub external: IpNet,
    /// All pods. The first half is the node's, the second the other node's.
    pub pods: IpNet,
    /// Addresses of nodes and of the machine outside.
    pub links: IpNet,
}

impl Ranges {
    /// IPv4: those of the synthetic generator's defaults, and clients that are neither pods nor
    /// private enough (10.0.0.0/8) for load balancers with source ranges.
    pub const IPV4: Self = Self {
        clients: v4([172, 20, 0, 0], 16),
        services: v4([10, 96, 0, 0], 12),
        external: v4([198, 18, 0, 0], 15),
        pods: v4([10, 128, 0, 0], 9),
        links: v4([172, 31, 0, 0], 24),
    };
    /// The same of IPv6, where `fd00::/8` is what load balancers with source ranges admit.
    pub const IPV6: Self = Self {
        clients: v6(0x2001_0db8_0020_0000_0000_0000_0000_0000, 112),
        services: v6(0xfd00_0010_0096_0000_0000_0000_0000_0000, 108),
        external: v6(0x2001_0002_0000_0000_0000_0000_0000_0000, 48),
        pods: v6(0xfd00_0010_0128_0000_0000_0000_0000_0000, 104),
        links: v6(0x2001_0db8_0031_0000_0000_0000_0000_0000, 120),
    };

    /// Each range with its name.
    fn named(&self) -> [(&'static str, IpNet); 5] {
        [
            ("clients", self.clients),
            ("services", self.services),
            ("external", self.external),
            ("pods", self.pods),
            ("links", self.links),
        ]
    }

    /// Refuses ranges of another family than `like`, ill-formed ones, and those that overlap.
    pub(super) fn check(&self, like: &Self) -> Result<(), String> {
        for (at, (name, range)) in self.named().into_iter().enumerate() {
            if range.addr().is_ipv4() != like.pods.addr().is_ipv4() {
                return Err(format!("{name} {range} is of the other family; take {}", like.pods));
            }
            check_prefix(range)
                .and_then(|()| check_unicast(range))
                .map_err(|reason| format!("{name} {range}: {reason}"))?;
            for (other_name, other) in self.named().into_iter().skip(at + 1) {
                if range.contains(&other) || other.contains(&range) {
                    return Err(format!(
                        "{name} {range} and {other_name} {other} overlap; keep them apart"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What one node, by its number (0 or 1), has of the pods' addresses.
    pub(super) fn of_node(&self, node: usize) -> Result<NodeRanges, String> {
        let all = slice(self.pods, 1, node)?;
        Ok(NodeRanges {
            all,
            links: slice(all, 2, 0)?,
            clients: slice(all, 2, 1)?,
            endpoints: slice(all, 1, 1)?,
        })
    }
}

/// One node's half of the pods' addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRanges {
    pub(super) all: IpNet,
    /// The first quarter: a link for each pod, with the pod's own address.
    pub(super) links: IpNet,
    /// The second quarter: further addresses of the plain pod.
    pub(super) clients: IpNet,
    /// The second half: further addresses of the endpoint pods, an equal part each.
    pub(super) endpoints: IpNet,
}

/// Part `number` of `range` cut into 2^`halvings`.
pub(super) fn slice(range: IpNet, halvings: u8, number: usize) -> Result<IpNet, String> {
    let parts = range.subnets(range.prefix_len().saturating_add(halvings)).ok();
    let part = parts.and_then(|mut parts| parts.nth(number));
    part.ok_or_else(|| format!("{range} is too small; take a shorter prefix"))
}

/// Both addresses of link `number` of a range, with the length of their network.
pub(super) fn link_addresses(range: IpNet, number: usize) -> Result<[IpNet; 2], String> {
    let length = range.max_prefix_len() - LINK_BITS;
    let network = slice(range, length.saturating_sub(range.prefix_len()), number)?;
    let addresses = [1_u8, 2].map(|host| match network.network() {
        IpAddr::V4(base) => IpAddr::from(Ipv4Addr::from(u32::from(base) | u32::from(host))),
        IpAddr::V6(base) => IpAddr::from(Ipv6Addr::from(u128::from(base) | u128::from(host))),
    });
    let [first, second] = addresses.map(|address| IpNet::new(address, length));
    match (first, second) {
        (Ok(first), Ok(second)) => Ok([first, second]),
        _ => Err(format!("{range} is too long for a link; take a shorter prefix")),
    }
}

/// Refuses ranges with addresses that no host can own.
fn check_unicast(range: IpNet) -> Result<(), String> {
    let (first, last) = (range.network(), range.broadcast());
    let is_unicast = match (first, last) {
        // First byte 0 is "this network", 127 loopback, 224 and above multicast and reserved.
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let [first, last] = [first, last].map(|address| address.octets()[0]);
            first > 0 && last < 224 && !(first..=last).contains(&127)
        }
        // Global unicast (2000::/3) and unique local addresses (fc00::/7): RFC 4291, RFC 4193.
        (IpAddr::V6(first), IpAddr::V6(last)) => [0x20..=0x3f, 0xfc..=0xfd]
            .iter()
            .any(|bytes| [first, last].iter().all(|one| bytes.contains(&one.octets()[0]))),
        _ => false,
    };
    if is_unicast {
        return Ok(());
    }
    Err("no host can own these addresses; take unicast ones".to_owned())
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(bits: u128, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(range: &str) -> String {
        let range = range.parse().unwrap();
        Ranges { clients: range, ..Ranges::IPV6 }.check(&Ranges::IPV6).unwrap_err()
    }

    #[test]
    fn the_defaults_are_sound() {
        for ranges in [Ranges::IPV4, Ranges::IPV6] {
            ranges.check(&ranges).unwrap();
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_remedy() {
        assert!(fault("10.0.0.0/8").contains("is of the other family"));
        assert!(fault("fd00:10:96::1:0/112").contains("overlap; keep them apart"));
        assert!(fault("2001:db8:20::1/112").contains("write 2001:db8:20::/112"));
        for range in ["ff02::/16", "::/64", "fe80::/64", "fc00::/6"] {
            assert!(fault(range).contains("take unicast ones"), "{range}");
        }
        for range in ["127.0.0.0/24", "0.0.0.0/8", "224.0.0.0/8", "64.0.0.0/2"] {
            let clients = range.parse().unwrap();
            let fault = Ranges { clients, ..Ranges::IPV4 }.check(&Ranges::IPV4).unwrap_err();
            assert!(fault.contains("take unicast ones"), "{range}: {fault}");
        }
    }

    #[test]
    fn a_node_has_half_of_the_pods() {
        let ranges = Ranges::IPV4.of_node(1).unwrap();
        let parts = [ranges.all, ranges.links, ranges.clients, ranges.endpoints];
        let texts = parts.map(|range| range.to_string());
        assert_eq!(texts, ["10.192.0.0/10", "10.192.0.0/12", "10.208.0.0/12", "10.224.0.0/11"]);
    }

    #[test]
    fn links_are_numbered_in_order() {
        for (ranges, expected) in [
            (Ranges::IPV4, ["172.31.0.5/30", "172.31.0.6/30"]),
            (Ranges::IPV6, ["2001:db8:31::5/126", "2001:db8:31::6/126"]),
        ] {
            let ends = link_addresses(ranges.links, 1).unwrap().map(|end| end.to_string());
            assert_eq!(ends, expected);
        }
        assert!(link_addresses(Ranges::IPV4.links, 64).unwrap_err().contains("too small"));
    }
}
