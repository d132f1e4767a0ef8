//! Source addresses and ports for clients: chosen here, in a fixed order, each used once.
//!
//! When a client leaves the choice to the kernel, `connect()` searches for a free port, and that
//! search changed by integer factors between kernels (6.1, 6.8, 6.15) and slows down as ports fill
//! up: it would be measured in place of the proxy. With an explicit bind before the timed window
//! there is no search, and because no pair of source address and port returns within a cell, no
//! leftover of an earlier connection (`TIME_WAIT`, conntrack) is ever met.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use lab::IpNet;

use crate::hosts::after;

/// Source ports of a cell: above those that Services and servers use.
pub const SOURCE_PORTS: RangeInclusive<u16> = 10_000..=59_999;

/// Why there is no source.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SourceError {
    /// The space is empty.
    #[error(
        "sources {prefix}, ports {first} to {last}: no address and port in it; take a prefix up to /30 and ports in ascending order"
    )]
    Empty {
        /// The addresses.
        prefix: IpNet,
        /// The lowest port.
        first: u16,
        /// The highest port.
        last: u16,
    },
    /// Every pair has been used.
    #[error(
        "all {count} source addresses and ports are used up; give the client a shorter prefix, or the cell fewer connections"
    )]
    Exhausted {
        /// How many there were.
        count: u64,
    },
}

/// A space of source addresses and ports, handed out once each: addresses change first, so that a
/// port is in use at one address only, for as long as addresses last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    first_address: IpAddr,
    addresses: u32,
    first_port: u16,
    count: u64,
    used: u64,
}

impl Sources {
    /// All host addresses of `prefix` (the first and the last are left out) with all `ports`; of a
    /// prefix of more than 2^32, the first so many.
    ///
    /// # Errors
    /// [`SourceError::Empty`].
    pub fn new(prefix: IpNet, ports: RangeInclusive<u16>) -> Result<Self, SourceError> {
        let bits = u32::from(prefix.max_prefix_len() - prefix.prefix_len());
        let all = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
        let addresses = u32::try_from(all.saturating_sub(2)).unwrap_or(u32::MAX);
        Self::from(after(prefix.network(), 1), addresses, prefix, ports)
    }

    /// The same; of a prefix that is one address, that one.
    ///
    /// # Errors
    /// [`SourceError::Empty`].
    pub fn within(prefix: IpNet, ports: RangeInclusive<u16>) -> Result<Self, SourceError> {
        if prefix.prefix_len() < prefix.max_prefix_len() {
            return Self::new(prefix, ports);
        }
        Self::from(prefix.addr(), 1, prefix, ports)
    }

    fn from(
        first_address: IpAddr,
        addresses: u32,
        prefix: IpNet,
        ports: RangeInclusive<u16>,
    ) -> Result<Self, SourceError> {
        let (first_port, last) = (*ports.start(), *ports.end());
        let count = u64::from(addresses) * u64::try_from(ports.count()).unwrap_or_default();
        if count == 0 || first_port == 0 {
            return Err(SourceError::Empty { prefix, first: first_port, last });
        }
        Ok(Self { first_address, addresses, first_port, count, used: 0 })
    }

    /// The next source; it will not come again.
    ///
    /// # Errors
    /// [`SourceError::Exhausted`].
    pub fn take(&mut self) -> Result<SocketAddr, SourceError> {
        let exhausted = SourceError::Exhausted { count: self.count };
        if self.used == self.count {
            return Err(exhausted);
        }
        let (at, turn) =
            (self.used % u64::from(self.addresses), self.used / u64::from(self.addresses));
        // Both fit, as `used` is below `count`.
        let (Ok(at), Ok(turn)) = (u32::try_from(at), u16::try_from(turn)) else {
            return Err(exhausted);
        };
        self.used += 1;
        Ok(SocketAddr::new(after(self.first_address, at), self.first_port + turn))
    }

    /// How many are left.
    pub fn remaining(&self) -> u64 {
        self.count - self.used
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sources(prefix: &str, ports: RangeInclusive<u16>) -> Result<Sources, SourceError> {
        Sources::new(prefix.parse().unwrap(), ports)
    }

    #[test]
    fn addresses_change_before_ports() {
        let mut sources = sources("172.16.0.0/30", 10_000..=10_001).unwrap();
        let taken: Vec<String> = (0..4).map(|_| sources.take().unwrap().to_string()).collect();
        assert_eq!(
            taken,
            ["172.16.0.1:10000", "172.16.0.2:10000", "172.16.0.1:10001", "172.16.0.2:10001"]
        );
    }

    #[test]
    fn no_source_comes_twice_and_then_there_is_an_end() {
        let mut sources = sources("172.16.0.0/26", 10_000..=10_099).unwrap();
        assert_eq!(sources.remaining(), 6_200);
        let taken: HashSet<SocketAddr> = (0..6_200).map(|_| sources.take().unwrap()).collect();
        assert_eq!(taken.len(), 6_200);
        assert_eq!(sources.remaining(), 0);
        assert_eq!(sources.take(), Err(SourceError::Exhausted { count: 6_200 }));
    }

    #[test]
    fn ipv6_and_single_addresses_are_handed_out_alike() {
        let mut all = sources("fd00::/126", 10_000..=10_001).unwrap();
        let taken: Vec<String> = (0..4).map(|_| all.take().unwrap().to_string()).collect();
        assert_eq!(
            taken,
            ["[fd00::1]:10000", "[fd00::2]:10000", "[fd00::1]:10001", "[fd00::2]:10001"]
        );
        let mut one = Sources::within("172.31.0.1/32".parse().unwrap(), 10_000..=10_001).unwrap();
        assert_eq!(one.take().unwrap().to_string(), "172.31.0.1:10000");
        assert_eq!(one.take().unwrap().to_string(), "172.31.0.1:10001");
        assert!(one.take().is_err());
        let many = sources("fd00::/64", 1..=1).unwrap();
        assert_eq!(many.remaining(), u64::from(u32::MAX));
    }

    #[test]
    fn the_largest_space_neither_overflows_nor_repeats_its_start() {
        let mut sources = sources("0.0.0.0/0", 1..=u16::MAX).unwrap();
        assert_eq!(sources.take().unwrap().to_string(), "0.0.0.1:1");
        assert_eq!(sources.remaining(), (u64::from(u32::MAX) - 1) * 65_535 - 1);
    }

    #[test]
    fn an_empty_space_is_refused() {
        assert!(sources("172.16.0.1/32", 1..=2).is_err());
        assert!(sources("172.16.0.0/31", 1..=2).is_err());
        assert!(sources("172.16.0.0/24", 0..=2).is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "the mistake under test")]
        let reversed = sources("172.16.0.0/24", 2..=1);
        assert!(reversed.unwrap_err().to_string().contains("ports 2 to 1"));
    }
}
