//! The pieces of `iptables-restore` lines: chains, and rules at their ends.

use super::names::Chain;
use crate::text::Text;

impl Text {
    /// Appends the name of a chain.
    pub(super) fn chain(&mut self, chain: Chain) -> &mut Self {
        self.str(chain.prefix).raw(chain.hash())
    }

    /// Begins a rule at the end of a chain with a fixed name.
    pub(super) fn append_to(&mut self, chain: &str) -> &mut Self {
        self.count_rule().str("-A ").str(chain)
    }

    /// Begins a rule at the end of a chain with a hashed name.
    pub(super) fn append_to_hashed(&mut self, chain: Chain) -> &mut Self {
        self.count_rule().str("-A ").chain(chain)
    }

    /// Writes the line that makes a chain, or empties the one that is there.
    pub(super) fn make_chain(&mut self, name: &str) {
        self.str(":").str(name).str(" - [0:0]\n");
    }

    /// Writes the line that makes a chain with a hashed name.
    pub(super) fn make_hashed_chain(&mut self, chain: Chain) {
        self.str(":").chain(chain).str(" - [0:0]\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_counted_and_chains_are_not() {
        let mut text = Text::default();
        text.make_chain("X");
        text.append_to("X").str(" -j ACCEPT").end();
        assert_eq!(text.into_parts(), (b":X - [0:0]\n-A X -j ACCEPT\n".to_vec(), 1));
    }
}
