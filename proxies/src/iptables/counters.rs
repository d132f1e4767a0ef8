//! The packet counters of the nat table, as `iptables-save -c` prints them.
//!
//! The text comes from outside and is not trusted: what is not understood is an error.

use std::collections::HashMap;

use super::tool::{IptablesTool, Variant};
use crate::counters::{CountedRule, Counters, Target};
use crate::error::ProxyError;

/// The chains that a packet starts in which the node forwards.
const WAYS: [&str; 2] = ["PREROUTING", "POSTROUTING"];

/// Reads the nat table of the current namespace.
pub(super) fn read(variant: Variant) -> Result<Counters, ProxyError> {
    let saved = IptablesTool::from(variant).save(&["-c", "-t", "nat"])?;
    parse(&String::from_utf8_lossy(&saved))
}

fn parse(saved: &str) -> Result<Counters, ProxyError> {
    let mut chains: HashMap<String, Vec<CountedRule>> = HashMap::new();
    let declared = saved.lines().filter_map(|line| line.strip_prefix(':')?.split(' ').next());
    chains.extend(declared.map(|name| (name.to_owned(), Vec::new())));
    for line in saved.lines().filter_map(|line| line.strip_prefix('[')) {
        let (chain, packets, target) = counted(line).ok_or_else(|| malformed(line))?;
        let target = match target {
            None | Some("MARK") => Target::Continue,
            Some("RETURN") => Target::Return,
            Some("ACCEPT" | "DNAT" | "MASQUERADE") => Target::Decide,
            Some(name) => Target::Jump(name.to_owned()),
        };
        let rules = chains.get_mut(chain).ok_or_else(|| malformed(line))?;
        rules.push(CountedRule { packets, target });
    }
    Ok(Counters { chains, ways: WAYS })
}

/// Chain, packets and target of `packets:bytes] -A CHAIN words -j TARGET words`.
fn counted(rule: &str) -> Option<(&str, u64, Option<&str>)> {
    let (packets, rest) = rule.split_once(':')?;
    let (_bytes, rest) = rest.split_once("] -A ")?;
    let (chain, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let target = words.rsplit_once("-j ").map(|(_, target)| target.split(' ').next().unwrap_or(""));
    Some((chain, packets.parse().ok()?, target))
}

fn malformed(line: &str) -> ProxyError {
    let reason = format!("the rule `[{line}` is not understood");
    ProxyError::malformed("what iptables-save -c prints", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet for the second of three Services, masqueraded; `at` is what the counters of what it
    /// matched stand at.
    fn saved(at: u64) -> String {
        format!(
            "# saved\n*nat\n:PREROUTING ACCEPT [9:9]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-B - [0:0]\n\
             :KUBE-MARK-MASQ - [0:0]\n:KUBE-SEP-B - [0:0]\n:KUBE-POSTROUTING - [0:0]\n\
             [{at}:60] -A PREROUTING -m comment --comment \"portals\" -j KUBE-SERVICES\n\
             [7:60] -A KUBE-SERVICES -d 10.0.0.1/32 -j KUBE-SVC-A\n\
             [{at}:60] -A KUBE-SERVICES -d 10.0.0.2/32 -j KUBE-SVC-B\n\
             [8:60] -A KUBE-SERVICES -d 10.0.0.3/32 -j KUBE-SVC-C\n\
             [{at}:60] -A KUBE-SVC-B -j KUBE-MARK-MASQ\n\
             [{at}:60] -A KUBE-SVC-B -m comment --comment \"a -j b\" -j KUBE-SEP-B\n\
             [{at}:60] -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n\
             [3:60] -A KUBE-SEP-B -s 10.1.0.1/32 -j KUBE-MARK-MASQ\n\
             [{at}:60] -A KUBE-SEP-B -p tcp -j DNAT --to-destination 10.1.0.1:80\n\
             [{at}:60] -A POSTROUTING -j KUBE-POSTROUTING\n\
             [0:0] -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
             [{at}:60] -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n\
             [{at}:60] -A KUBE-POSTROUTING -j MASQUERADE --random-fully\nCOMMIT\n"
        )
    }

    fn walked(before: &str, after: &str) -> Result<u64, ProxyError> {
        parse(after)?.walked_since(&parse(before)?)
    }

    #[test]
    fn a_packet_meets_every_rule_before_the_one_that_matches() {
        // 1 jump, 2 of KUBE-SERVICES, 2 of the Service with 1 of the mark between, 2 of the
        // Endpoint; 1 jump and 3 after it.
        assert_eq!(walked(&saved(4), &saved(5)).unwrap(), 1 + 2 + 2 + 1 + 2 + 1 + 3);
    }

    #[test]
    fn a_chain_that_is_returned_from_ends_there() {
        let returned = |at: u64| {
            saved(at).replace("[0:0] -A KUBE-POSTROUTING", &format!("[{at}:0] -A KUBE-POSTROUTING"))
        };
        assert_eq!(walked(&returned(4), &returned(5)).unwrap(), 8 + 1 + 1);
    }

    #[test]
    fn other_packets_and_changed_rules_are_refused() {
        let others = walked(&saved(4), &saved(6)).unwrap_err().to_string();
        assert!(others.contains("others send too"), "{others}");
        assert!(walked(&saved(6), &saved(4)).is_err());
        let less = saved(5).replace("[8:60] -A KUBE-SERVICES -d 10.0.0.3/32 -j KUBE-SVC-C\n", "");
        assert!(walked(&saved(4), &less).unwrap_err().to_string().contains("changed"));
        assert!(walked("*nat\nCOMMIT\n", &saved(5)).is_err());
        let nothing = walked(&saved(5), &saved(5)).unwrap_err().to_string();
        assert!(nothing.contains("did not meet this table"), "{nothing}");
    }

    #[test]
    fn chains_without_end_are_refused() {
        let endless = |at: u64| {
            format!(
                ":PREROUTING - [0:0]\n:POSTROUTING - [0:0]\n:A - [0:0]\n[{at}:1] -A PREROUTING -j A\n[{at}:1] -A A -j A\n"
            )
        };
        let error = walked(&endless(1), &endless(2)).unwrap_err().to_string();
        assert!(error.contains("without end"), "{error}");
    }

    #[test]
    fn what_is_no_counter_is_refused() {
        for text in ["[x:1] -A PREROUTING", "[1] -A X", "[1:1] X"] {
            assert!(parse(&format!(":PREROUTING - [0:0]\n{text}\n")).is_err(), "{text}");
        }
    }
}
