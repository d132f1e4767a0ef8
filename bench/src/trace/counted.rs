//! Rules of legacy iptables that counted packets of the connection: what is known of chains that
//! tell nothing.

use std::time::Duration;

use generators::Family;
use linux::{Tool, ToolError};

const DEADLINE: Duration = Duration::from_secs(20);
/// The most rules that are named.
const RULES_MAX: usize = 100;

/// A rule with its table, and how many packets it counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    table: String,
    text: String,
    packets: u64,
}

/// All rules of the calling thread's namespace at one moment.
pub(super) struct Reading(Vec<Rule>);

/// Reads the counters. A machine without the tool has no such rules either.
///
/// # Errors
/// The tool fails.
pub(super) fn read(family: Family) -> Result<Reading, ToolError> {
    let program = match family {
        Family::V4 => "iptables-legacy-save",
        Family::V6 => "ip6tables-legacy-save",
    };
    let tool = Tool { program, args: &["-c"], env: None, deadline: DEADLINE };
    match tool.read() {
        Ok(text) => Ok(Reading(parse(&String::from_utf8_lossy(&text)))),
        Err(ToolError::Missing { .. }) => Ok(Reading(Vec::new())),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Vec<Rule> {
    let mut table = "";
    let mut rules = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        }
        let counted = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let Some((counters, rule)) = counted else { continue };
        let packets = counters.split(':').next().and_then(|packets| packets.parse().ok());
        let (table, text) = (table.to_owned(), rule.to_owned());
        rules.extend(packets.map(|packets| Rule { table, text, packets }));
    }
    rules
}

impl Reading {
    /// What counted since an earlier reading of the same rules, in words.
    pub(super) fn since(&self, before: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&before.0);
        let counted = pairs.filter(|(now, before)| {
            (&now.table, &now.text) == (&before.table, &before.text) && now.packets > before.packets
        });
        let words = counted.map(|(now, before)| {
            let packets = results::format::counted(now.packets - before.packets, "packet");
            format!("{}: {packets}: {}", now.table, now.text)
        });
        words.take(RULES_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_counted_between_two_readings_are_named() {
        let text = |first: u64, second: u64| {
            format!(
                "*nat\n:PREROUTING ACCEPT [9:9]\n[{first}:60] -A PREROUTING -j KUBE-SERVICES\n\
                 [{second}:60] -A KUBE-SERVICES -j KUBE-SVC-A\nCOMMIT\n"
            )
        };
        let reading = |first, second| Reading(parse(&text(first, second)));
        let counted = reading(3, 1).since(&reading(1, 1));
        assert_eq!(counted, ["nat: 2 packets: -A PREROUTING -j KUBE-SERVICES"]);
        assert!(reading(0, 0).since(&reading(1, 1)).is_empty());
        assert!(Reading(parse("[x:1] -A\n[\n[] \n")).0.is_empty());
    }
}
