//! A growing text of commands for a tool, one a line. It knows how to write the pieces fast, not
//! what they mean; each backend adds the pieces of its own tool.
//!
//! `std::fmt` would do the same at several times the cost, and rendering is measured.

use std::io::Write as _;
use std::net::IpAddr;

use generators::{Endpoint, Family, IpNet};

/// The text so far and how many rules are in it.
#[derive(Debug, Default)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    rules: u64,
    /// The address family that commands are for, where these name one.
    pub family: Option<Family>,
}

impl Text {
    /// An empty text with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Appends words as they are.
    pub fn str(&mut self, words: &str) -> &mut Self {
        self.raw(words.as_bytes())
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends what another text holds.
    pub fn text(&mut self, other: &Self) -> &mut Self {
        self.raw(&other.bytes)
    }

    /// Appends a number in decimal.
    pub fn number(&mut self, value: u16) -> &mut Self {
        let digit = |unit: u16| {
            let [low, _] = (value / unit % 10).to_le_bytes();
            b'0' + low
        };
        let digits = [10_000, 1_000, 100, 10, 1].map(digit);
        let leading_zeros = match value {
            0..10 => 4,
            10..100 => 3,
            100..1_000 => 2,
            1_000..10_000 => 1,
            10_000.. => 0,
        };
        self.bytes.extend_from_slice(digits.get(leading_zeros..).unwrap_or_default());
        self
    }

    /// Appends a count, which is small as a rule.
    pub fn count(&mut self, value: usize) -> &mut Self {
        match u16::try_from(value) {
            Ok(small) => self.number(small),
            Err(_) => self.str(&value.to_string()),
        }
    }

    /// Appends an address.
    pub fn address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets().map(u16::from);
                self.number(a).str(".").number(b).str(".").number(c).str(".").number(d)
            }
            IpAddr::V6(address) => {
                // Memory never refuses what is written to it.
                let _ = write!(self.bytes, "{address}");
                self
            }
        }
    }

    /// Appends `ip:port`, or `[ip]:port` of IPv6.
    pub fn endpoint(&mut self, endpoint: Endpoint) -> &mut Self {
        match endpoint.address {
            IpAddr::V4(_) => self.address(endpoint.address),
            IpAddr::V6(_) => self.str("[").address(endpoint.address).str("]"),
        };
        self.str(":").number(endpoint.port)
    }

    /// Appends a network, host bits and all.
    pub fn network(&mut self, network: IpNet) -> &mut Self {
        self.address(network.addr()).str("/").number(network.prefix_len().into())
    }

    /// Appends whole rules, one a line.
    pub fn rules(&mut self, lines: &str) -> &mut Self {
        self.rules += lines.lines().count() as u64;
        self.str(lines)
    }

    /// Counts one rule more, which is being written.
    pub fn count_rule(&mut self) -> &mut Self {
        self.rules += 1;
        self
    }

    /// Ends a line.
    pub fn end(&mut self) {
        self.bytes.push(b'\n');
    }

    /// Forgets the text and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text and its number of rules.
    pub fn into_parts(self) -> (Vec<u8>, u64) {
        (self.bytes, self.rules)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn every_number_is_written_as_the_standard_library_writes_it() {
        for value in 0..=u16::MAX {
            let mut text = Text::default();
            text.number(value);
            assert_eq!(text.as_bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn an_endpoint_is_its_address_and_port() {
        for written in ["10.0.200.1:8080", "[fd00::1]:80"] {
            let socket: SocketAddr = written.parse().expect("a socket address");
            let mut text = Text::default();
            text.endpoint(socket.into());
            assert_eq!(text.as_bytes(), written.as_bytes());
        }
    }
}
