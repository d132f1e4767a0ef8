//! The pieces of commands for `nft -f`: chains, rules, sets and elements of the backend's table.

use super::elements::{Definition, Element, Verdict};
use super::names::{EXTERNAL, Names, SERVICE};
use crate::text::Text;

/// Name of the table, which is the backend's alone.
pub(super) const TABLE_NAME: &str = "kube-proxy";

/// Family and name of the table.
pub(super) const TABLE: &str = "ip kube-proxy";

/// The longest comment, bytes (`NFTNL_UDATA_COMMENT_MAXLEN`, nft 1.0.6; upstream cuts there too).
const COMMENT_MAX: usize = 128;

impl Text {
    /// Writes the lines that make a chain if it is not there, and empty it. `more` is its
    /// definition, if it has one.
    pub(super) fn renew_chain(&mut self, name: &str, more: &str) {
        self.str("add chain ").str(TABLE).str(" ").str(name).str(more).end();
        self.flush_chain("", name);
    }

    /// Writes the line that empties a chain, whose name is given in two parts.
    pub(super) fn flush_chain(&mut self, prefix: &str, name: &str) {
        self.str("flush chain ").str(TABLE).str(" ").str(prefix).str(name).end();
    }

    /// Begins a rule at the end of a chain.
    pub(super) fn add_rule(&mut self, chain: &str) -> &mut Self {
        self.add_rule_to("", chain)
    }

    /// Begins a rule at the end of a chain whose name is given in two parts.
    pub(super) fn add_rule_to(&mut self, prefix: &str, name: &str) -> &mut Self {
        self.count_rule().str("add rule ").str(TABLE).str(" ").str(prefix).str(name).str(" ")
    }

    /// Appends a comment of ASCII words, cut where nft would refuse it.
    pub(super) fn comment(&mut self, words: &str) -> &mut Self {
        self.str(" comment \"").str(words.get(..COMMENT_MAX).unwrap_or(words)).str("\"")
    }

    /// Writes the line that makes a set or map if it is not there.
    pub(super) fn add_container(&mut self, container: Definition) {
        let Definition { kind, name, of, comment } = container;
        self.str("add ").str(kind).str(" ").str(TABLE).str(" ").str(name).str(" { type ").str(of);
        self.str(" ;").comment(comment).str(" ; }").end();
    }

    /// Writes the line that adds an element of a Service.
    pub(super) fn add_element(&mut self, element: &Element, names: &Names<'_>) {
        self.str("add element ").str(TABLE).str(" ").str(element.container.name()).str(" { ");
        element.key.write(self);
        let line = match element.verdict {
            Verdict::None => &mut *self,
            Verdict::Service => self.str(" : goto ").str(SERVICE).str(&names.own),
            Verdict::External => self.str(" : goto ").str(EXTERNAL).str(&names.own),
            Verdict::Reject => {
                self.comment(names.service.name().as_str()).str(" : goto reject-chain")
            }
        };
        line.str(" }").end();
    }

    /// Writes the line that removes an element, whoever had it.
    pub(super) fn delete_element(&mut self, container: &str, key: impl FnOnce(&mut Self)) {
        self.str("delete element ").str(TABLE).str(" ").str(container).str(" { ");
        key(self);
        self.str(" }").end();
    }
}
