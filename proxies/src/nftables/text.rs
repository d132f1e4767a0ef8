//! The pieces of commands for `nft -f`: chains, rules, sets and elements of the backend's table.

use generators::Family;

use super::elements::{Definition, Element, Verdict};
use super::names::{AFFINITY, FIREWALL, Names};
use crate::text::Text;

/// Name of the table, which is the backend's alone.
pub(super) const TABLE_NAME: &str = "kube-proxy";

/// Family and name of the table of IPv4.
pub(super) const TABLE: &str = table(Family::V4);

/// Family and name of the table of a family.
pub(super) const fn table(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip kube-proxy",
        Family::V6 => "ip6 kube-proxy",
    }
}

/// The word that begins a match on an address.
pub(super) const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// The longest comment, bytes (`NFTNL_UDATA_COMMENT_MAXLEN`, nft 1.0.6; upstream cuts there too).
const COMMENT_MAX: usize = 128;

impl Text {
    /// An empty text of commands for the table of a family.
    pub(super) fn of_table(family: Family, bytes: usize) -> Self {
        let mut text = Self::with_capacity(bytes);
        text.family = Some(family);
        text
    }

    /// Appends family and name of the table.
    pub(super) fn table(&mut self) -> &mut Self {
        self.str(table(self.family.unwrap_or(Family::V4)))
    }

    /// Appends the word that begins a match on an address.
    pub(super) fn ip(&mut self) -> &mut Self {
        self.str(ip(self.family.unwrap_or(Family::V4)))
    }

    /// Writes the lines that make a chain if it is not there, and empty it. `more` is its
    /// definition, if it has one.
    pub(super) fn renew_chain(&mut self, name: &str, more: &str) {
        self.str("add chain ").table().str(" ").str(name).str(more).end();
        self.flush_chain("", name);
    }

    /// Writes the line that empties a chain, whose name is given in two parts.
    pub(super) fn flush_chain(&mut self, prefix: &str, name: &str) {
        self.str("flush chain ").table().str(" ").str(prefix).str(name).end();
    }

    /// Begins a rule at the end of a chain.
    pub(super) fn add_rule(&mut self, chain: &str) -> &mut Self {
        self.add_rule_to("", chain)
    }

    /// Begins a rule at the end of a chain whose name is given in two parts.
    pub(super) fn add_rule_to(&mut self, prefix: &str, name: &str) -> &mut Self {
        self.count_rule().str("add rule ").table().str(" ").str(prefix).str(name).str(" ")
    }

    /// Appends a comment of ASCII words, cut where nft would refuse it.
    pub(super) fn comment(&mut self, words: &str) -> &mut Self {
        self.str(" comment \"").str(words.get(..COMMENT_MAX).unwrap_or(words)).str("\"")
    }

    /// Writes the line that makes a set or map if it is not there.
    pub(super) fn add_container(&mut self, container: Definition) {
        let Definition { kind, name, comment, .. } = container;
        let of = container.of(self.family.unwrap_or(Family::V4));
        self.str("add ").str(kind).str(" ").table().str(" ").str(name).str(" { type ").str(&of);
        self.str(" ;").comment(comment).str(" ; }").end();
    }

    /// Writes the line that makes the set in which an Endpoint remembers its clients.
    pub(super) fn add_affinity_set(&mut self, name: &str, affinity_s: u32) {
        let of = match self.family {
            Some(Family::V6) => "ipv6_addr",
            _ => "ipv4_addr",
        };
        self.str("add set ").table().str(" ").str(AFFINITY).str(name).str(" { type ").str(of);
        self.str(" ; flags dynamic,timeout ; timeout ").str(&affinity_s.to_string()).str("s ; }");
        self.end();
    }

    /// Writes the line that deletes a set, whose name is given in two parts.
    pub(super) fn delete_set(&mut self, prefix: &str, name: &str) {
        self.str("delete set ").table().str(" ").str(prefix).str(name).end();
    }

    /// Writes the line that adds an element of a Service.
    pub(super) fn add_element(&mut self, element: &Element, names: &Names<'_>) {
        self.str("add element ").table().str(" ").str(element.container.name()).str(" { ");
        element.key.write(self);
        let line = match element.verdict {
            Verdict::None => &mut *self,
            Verdict::Goto(prefix) => self.str(" : goto ").str(prefix).str(&names.own),
            Verdict::Firewall => {
                self.comment(names.name()).str(" : goto ").str(FIREWALL).str(&names.own)
            }
            Verdict::Reject => self.comment(names.name()).str(" : goto reject-chain"),
            Verdict::Drop => self.comment(names.name()).str(" : drop"),
        };
        line.str(" }").end();
    }

    /// Writes the line that removes an element, whoever had it.
    pub(super) fn delete_element(&mut self, container: &str, key: impl FnOnce(&mut Self)) {
        self.str("delete element ").table().str(" ").str(container).str(" { ");
        key(self);
        self.str(" }").end();
    }
}
