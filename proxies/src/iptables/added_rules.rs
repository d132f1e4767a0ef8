//! Rules beside those of a sync: slowdowns put in on purpose, and rules added one call each.

use std::fmt::Write as _;

use super::tool::{IptablesTool, Variant};
use crate::error::ProxyError;

/// An address of a documentation network (RFC 5737): nothing in a lab has it.
const NOBODY: &str = "192.0.2.1/32";
/// The chain that single rules go to: every Cluster has it.
const CHAIN: &str = "KUBE-SERVICES";

/// Puts this many rules that match no packet at the head of every chain of the backend.
pub(super) fn slow_down(variant: Variant, rules: u32) -> Result<(), ProxyError> {
    let tool = IptablesTool::from(variant);
    let text = insertions(&String::from_utf8_lossy(&tool.save(&[])?), rules);
    if !text.contains(NOBODY) {
        return Err(ProxyError::nothing_to_slow_down(variant.tool()));
    }
    tool.restore(text.as_bytes()).map(drop)
}

/// The arguments of the call of this number: its rule stands for a Service's.
pub(super) fn append_args(call: u16) -> Vec<String> {
    let call = call.to_string();
    ["-w", "5", "-t", "nat", "-A", CHAIN, "-d", NOBODY, "-p", "tcp", "-m", "tcp", "--dport", &call]
        .into_iter()
        .chain(["-j", "RETURN"])
        .map(str::to_owned)
        .collect()
}

/// How many rules have been added so.
pub(super) fn appended(variant: Variant) -> Result<usize, ProxyError> {
    let listed = IptablesTool::from(variant).call(&["-w", "5", "-t", "nat", "-S", CHAIN])?;
    let added = format!("-d {NOBODY} ");
    Ok(String::from_utf8_lossy(&listed).lines().filter(|rule| rule.contains(&added)).count())
}

/// Input of `iptables-restore` that puts `count` rules at the head of every chain of a backend in
/// `saved`.
fn insertions(saved: &str, count: u32) -> String {
    let mut text = String::new();
    for line in saved.lines() {
        if line.starts_with('*') || line == "COMMIT" {
            text.push_str(line);
            text.push('\n');
        } else if let Some(chain) = line.strip_prefix(":KUBE-") {
            let chain = chain.split(' ').next().unwrap_or_default();
            for _ in 0..count {
                let _ = writeln!(text, "-I KUBE-{chain} 1 -d {NOBODY} -j RETURN");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_of_a_proxy_gets_its_rules_and_no_other() {
        let saved = "# saved\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j KUBE-X\n\
                     COMMIT\n*filter\n:KUBE-FORWARD - [1:2]\nCOMMIT\n";
        assert_eq!(
            insertions(saved, 2),
            "*nat\n-I KUBE-SERVICES 1 -d 192.0.2.1/32 -j RETURN\n-I KUBE-SERVICES 1 -d 192.0.2.1/32 -j RETURN\nCOMMIT\n\
             *filter\n-I KUBE-FORWARD 1 -d 192.0.2.1/32 -j RETURN\n-I KUBE-FORWARD 1 -d 192.0.2.1/32 -j RETURN\nCOMMIT\n"
        );
    }
}
