//! How many rules of the nat table the first packet of a connection is compared with, counted, not timed.
//!
//! The kernel counts for each rule which packets matched it. One connection between two readings tells which rules matched,
//! and the order of the rules tells which others stood before them. Only the first packet of a connection meets this table
//! (conntrack remembers the rest), and a client behind the node takes it through PREROUTING and POSTROUTING.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use generators::Position;
use proxies::ProxyKind;
use results::metrics::{self, MetricKind};

use super::bench_lab::{BenchLab, CLIENT_TIMEOUT, Dialled, position_draws};
use super::tool::printed;
use super::{CellSpec, Measured};
use crate::load::{BareClient, LoadClient};

/// What it measures.
pub(super) const EMITS: &[MetricKind] = &[metrics::RULES_WALKED];
/// Connections to Services drawn at random.
const RANDOM_CONNECTIONS: usize = 20;
/// More jumps inside one another than a packet survives.
const DEPTH_MAX: usize = 64;

/// One connection to the Service at each position, several where it is drawn.
pub(super) fn measure(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let tool = match lab.kind {
        ProxyKind::IptablesLegacy => "iptables-legacy-save",
        ProxyKind::IptablesNft => "iptables-nft-save",
        other => {
            bail!("only iptables counts the packets of each rule, and {other} is another proxy")
        }
    };
    lab.load()?;
    let _servers = lab.bare_servers()?;
    let mut sources = BenchLab::sources()?;
    let mut draws = position_draws(spec.labels.seed);
    let mut measured = Measured { verified: 0, metrics: Vec::new() };
    for position in &spec.load.positions {
        let times = if *position == Position::Random { RANDOM_CONNECTIONS } else { 1 };
        let mut walked = Vec::new();
        for _ in 0..times {
            let dialled = lab.dialled(*position, draws.next_u64())?;
            let before = Counters::read(tool)?;
            dial(lab, &dialled, &mut sources)?;
            walked.push(Counters::read(tool)?.walked_since(&before)?);
            measured.verified += 1;
        }
        let clock = lab.clock.kind();
        measured.metrics.push(metrics::RULES_WALKED.of(position.as_str(), clock, walked));
    }
    Ok(measured)
}

fn dial(
    lab: &BenchLab,
    dialled: &Dialled,
    sources: &mut crate::load::Sources,
) -> anyhow::Result<()> {
    lab.client()?.enter(|| {
        let mut client = BareClient::new(lab.clock, CLIENT_TIMEOUT);
        client.connection(sources, &dialled.target())?;
        anyhow::Ok(())
    })?
}

/// A rule: how many packets matched it, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    packets: u64,
    target: Option<String>,
}

/// The nat table with its counters.
#[derive(Debug, Default)]
struct Counters {
    chains: HashMap<String, Vec<Rule>>,
}

/// How a chain was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At its end or by RETURN: the calling chain goes on.
    Returned,
    /// For good.
    Decided,
}

impl Counters {
    fn read(tool: &str) -> anyhow::Result<Self> {
        Self::parse(&printed(tool, &["-c", "-t", "nat"])?)
            .with_context(|| format!("what {tool} -c prints"))
    }

    fn parse(saved: &str) -> anyhow::Result<Self> {
        let mut counters = Self::default();
        for line in saved.lines() {
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                counters.chains.entry(name.to_owned()).or_default();
            } else if let Some(rule) = line.strip_prefix('[') {
                let (packets, rest) = rule.split_once(':').context("a rule without counters")?;
                let (_bytes, rest) = rest.split_once("] -A ").context("a rule without chain")?;
                let (chain, words) = rest.split_once(' ').unwrap_or((rest, ""));
                let target = words
                    .rsplit_once("-j ")
                    .map(|(_, target)| target.split(' ').next().unwrap_or_default().to_owned());
                let rule = Rule { packets: packets.parse()?, target };
                counters.chains.get_mut(chain).context("a chain without a name")?.push(rule);
            }
        }
        Ok(counters)
    }

    /// Rules that one packet was compared with since an earlier reading of the same rules.
    fn walked_since(&self, before: &Self) -> anyhow::Result<u64> {
        let (way_in, end) = self.walk(before, "PREROUTING", 0)?;
        ensure!(
            end == End::Decided,
            "no rule decided about the packet: it did not meet this table"
        );
        let (way_out, _) = self.walk(before, "POSTROUTING", 0)?;
        Ok(way_in + way_out)
    }

    fn walk(&self, before: &Self, chain: &str, depth: usize) -> anyhow::Result<(u64, End)> {
        ensure!(depth < DEPTH_MAX, "chains lead to each other without end at {chain}");
        let missing = || format!("there is no chain {chain}");
        let now = self.chains.get(chain).with_context(missing)?;
        let then = before.chains.get(chain).with_context(missing)?;
        ensure!(now.len() == then.len(), "the rules of {chain} changed meanwhile");
        let mut walked = 0;
        for (now, then) in now.iter().zip(then) {
            walked += 1;
            match now.packets.checked_sub(then.packets) {
                Some(0) => continue,
                Some(1) => {}
                other => {
                    bail!(
                        "{other:?} packets matched a rule of {chain}, not one: others send too, or a chain is met twice"
                    )
                }
            }
            match now.target.as_deref() {
                None | Some("MARK") => {}
                Some("RETURN") => return Ok((walked, End::Returned)),
                Some(target) if self.chains.contains_key(target) => {
                    let (inside, end) = self.walk(before, target, depth + 1)?;
                    walked += inside;
                    if end == End::Decided {
                        return Ok((walked, End::Decided));
                    }
                }
                Some("ACCEPT" | "DNAT" | "MASQUERADE") => return Ok((walked, End::Decided)),
                Some(other) => bail!("what the target {other} in {chain} does is not known"),
            }
        }
        Ok((walked, End::Returned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet for the second of three Services, masqueraded; `at` is what the counters of what it matched stand at.
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

    fn walked(before: &str, after: &str) -> anyhow::Result<u64> {
        Counters::parse(after)?.walked_since(&Counters::parse(before)?)
    }

    #[test]
    fn a_packet_meets_every_rule_before_the_one_that_matches() {
        // 1 jump, 2 of KUBE-SERVICES, 2 of the Service with 1 of the mark between, 2 of the Endpoint; 1 jump and 3 after it.
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
            assert!(Counters::parse(&format!(":PREROUTING - [0:0]\n{text}\n")).is_err(), "{text}");
        }
    }
}
