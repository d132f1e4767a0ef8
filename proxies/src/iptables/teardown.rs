//! The text that removes all of kube-proxy's rules, made from what `iptables-save` found.

use std::fmt::Write as _;

use super::dump::{Dump, Table};
use super::verify::{OWN_PREFIX, is_jump};

/// Empties all chains called `KUBE-*`, deletes the jumps to them from other chains, and deletes
/// them. Nothing if there is nothing to remove.
pub(super) fn text(found: &Dump<'_>) -> Option<String> {
    let mut text = String::new();
    for (name, table) in &found.tables {
        write_table(&mut text, name, table);
    }
    (!text.is_empty()).then_some(text)
}

fn write_table(text: &mut String, name: &str, table: &Table<'_>) {
    let own = || table.keys().filter(|chain| chain.starts_with(OWN_PREFIX));
    if own().next().is_none() {
        return;
    }
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "*{name}");
    for chain in own() {
        let _ = writeln!(text, ":{chain} - [0:0]");
    }
    for (chain, rules) in table.iter().filter(|(chain, _)| !chain.starts_with(OWN_PREFIX)) {
        for jump in rules.iter().filter(|rule| is_jump(rule)) {
            let _ = writeln!(text, "-D {chain} {jump}");
        }
    }
    for chain in own() {
        let _ = writeln!(text, "-X {chain}");
    }
    text.push_str("COMMIT\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removal(saved: &str) -> Option<String> {
        text(&Dump::parse(saved.as_bytes()).expect("well formed"))
    }

    #[test]
    fn own_chains_and_jumps_go_and_the_rest_stays() {
        let saved = "*nat\n:OUTPUT ACCEPT [0:0]\n:KUBE-A - [0:0]\n:OTHER - [0:0]\n\
                     -A OUTPUT -p tcp -j KUBE-A\n-A OUTPUT -j OTHER\n-A KUBE-A -j OTHER\nCOMMIT\n";
        assert_eq!(
            removal(saved).as_deref(),
            Some("*nat\n:KUBE-A - [0:0]\n-D OUTPUT -p tcp -j KUBE-A\n-X KUBE-A\nCOMMIT\n")
        );
    }

    #[test]
    fn a_namespace_without_own_chains_needs_no_text() {
        assert_eq!(removal("*nat\n:OUTPUT ACCEPT [0:0]\n:OTHER - [0:0]\nCOMMIT\n"), None);
    }
}
