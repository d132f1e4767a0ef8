//! A growing text of `iptables-restore` lines. It knows how to write the pieces fast, not what they
//! mean.
//!
//! `std::fmt` would do the same at several times the cost, and rendering is measured.

use std::net::Ipv4Addr;

use generators::Endpoint;

use super::names::Chain;

/// The text so far and how many rules are in it.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    rules: u64,
}

impl Text {
    /// An empty text with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), rules: 0 }
    }

    /// Appends words as they are.
    pub(super) fn str(&mut self, words: &str) -> &mut Self {
        self.bytes.extend_from_slice(words.as_bytes());
        self
    }

    /// Appends what another text holds.
    pub(super) fn text(&mut self, other: &Self) -> &mut Self {
        self.bytes.extend_from_slice(&other.bytes);
        self
    }

    /// Appends the name of a chain.
    pub(super) fn chain(&mut self, chain: Chain) -> &mut Self {
        self.str(chain.prefix).bytes.extend_from_slice(chain.hash());
        self
    }

    /// Appends a number in decimal.
    pub(super) fn number(&mut self, value: u16) -> &mut Self {
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

    /// Appends an address.
    pub(super) fn address(&mut self, address: Ipv4Addr) -> &mut Self {
        let [a, b, c, d] = address.octets().map(u16::from);
        self.number(a).str(".").number(b).str(".").number(c).str(".").number(d)
    }

    /// Appends `ip:port`.
    pub(super) fn endpoint(&mut self, endpoint: Endpoint) -> &mut Self {
        self.address(endpoint.address).str(":").number(endpoint.port)
    }

    /// Appends whole rules, one a line.
    pub(super) fn rules(&mut self, lines: &str) -> &mut Self {
        self.rules += lines.lines().count() as u64;
        self.str(lines)
    }

    /// Begins a rule at the end of a chain with a fixed name.
    pub(super) fn append_to(&mut self, chain: &str) -> &mut Self {
        self.rules += 1;
        self.str("-A ").str(chain)
    }

    /// Begins a rule at the end of a chain with a hashed name.
    pub(super) fn append_to_hashed(&mut self, chain: Chain) -> &mut Self {
        self.rules += 1;
        self.str("-A ").chain(chain)
    }

    /// Writes the line that makes a chain, or empties the one that is there.
    pub(super) fn make_chain(&mut self, name: &str) {
        self.str(":").str(name).str(" - [0:0]\n");
    }

    /// Writes the line that makes a chain with a hashed name.
    pub(super) fn make_hashed_chain(&mut self, chain: Chain) {
        self.str(":").chain(chain).str(" - [0:0]\n");
    }

    /// Ends a line.
    pub(super) fn end(&mut self) {
        self.bytes.push(b'\n');
    }

    /// Forgets the text and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The text.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text and its number of rules.
    pub(super) fn into_parts(self) -> (Vec<u8>, u64) {
        (self.bytes, self.rules)
    }
}

#[cfg(test)]
mod tests {
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
        let endpoint = Endpoint { address: Ipv4Addr::new(10, 0, 200, 1), port: 8080 };
        let mut text = Text::default();
        text.endpoint(endpoint);
        assert_eq!(text.as_bytes(), endpoint.to_string().as_bytes());
    }

    #[test]
    fn rules_are_counted_and_chains_are_not() {
        let mut text = Text::default();
        text.make_chain("X");
        text.append_to("X").str(" -j ACCEPT").end();
        assert_eq!(text.into_parts(), (b":X - [0:0]\n-A X -j ACCEPT\n".to_vec(), 1));
    }
}
