//! Slowdowns put in on purpose: rules that match no packet at the head of every chain of the table.

use std::fmt::Write as _;

use super::nft;
use super::text::TABLE;
use crate::error::ProxyError;

/// An address of a documentation network (RFC 5737): nothing in a lab has it.
const NOBODY: &str = "192.0.2.1/32";

/// Puts this many rules that match no packet at the head of every chain of the table.
pub(super) fn slow_down(rules: u32) -> Result<(), ProxyError> {
    let listed = nft::list(&["list", "chains", "ip"])?.unwrap_or_default();
    let text = insertions(&String::from_utf8_lossy(&listed), rules);
    if text.is_empty() {
        return Err(ProxyError::nothing_to_slow_down("nft"));
    }
    nft::apply(text.as_bytes()).map(drop)
}

/// Input of `nft -f` that puts `count` rules at the head of every chain of the table that `nft list
/// chains` lists.
fn insertions(listed: &str, count: u32) -> String {
    let mut text = String::new();
    let begin = format!("table {TABLE} {{");
    let lines = listed.lines().skip_while(|line| *line != begin);
    let own = lines.skip(1).take_while(|line| *line != "}");
    for chain in own.filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {")) {
        for _ in 0..count {
            let _ = writeln!(text, "insert rule {TABLE} {chain} ip daddr {NOBODY} return");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_of_the_table_gets_its_rules_and_no_other_table() {
        let listed = "table ip other {\n\tchain x {\n\t}\n}\ntable ip kube-proxy {\n\tchain services {\n\t}\n\
                      \tchain service-A-ns/a/tcp/p {\n\t}\n}\ntable ip last {\n\tchain y {\n\t}\n}\n";
        assert_eq!(
            insertions(listed, 1),
            "insert rule ip kube-proxy services ip daddr 192.0.2.1/32 return\n\
             insert rule ip kube-proxy service-A-ns/a/tcp/p ip daddr 192.0.2.1/32 return\n"
        );
    }
}
