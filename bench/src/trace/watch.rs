//! Looks at a lab while a connection passes: packets on every device of every host, and the chains
//! that they meet on the node.

use std::time::Duration;

use anyhow::Context;
use generators::Family;
use linux::Tool;
use linux::capture::{Capture, Captured, Framing, TIMES_BEGIN};
use linux::netlink::nftables::{IPV4, IPV6};
use linux::netlink::trace::{Step, Steps};
use results::trace::{self, ChainStep, Record};

use super::counted::{self, Reading};
use super::known;
use super::lab::TraceLab;

/// Makes `nf_tables` tell of every packet of a transport protocol, before any other chain sees it.
const TELL: &[u8] = b"\
table inet vipbench_trace {
    chain in { type filter hook prerouting priority -400; meta l4proto { tcp, udp, sctp } meta nftrace set 1; }
    chain out { type filter hook output priority -400; meta l4proto { tcp, udp, sctp } meta nftrace set 1; }
}
";
const OWN_TABLE: &str = "vipbench_trace";
const DEADLINE: Duration = Duration::from_secs(20);

/// A watch that is on.
pub(super) struct Watch<'l> {
    lab: &'l TraceLab,
    family: Family,
    captures: Vec<Capture>,
    /// Nothing where `nf_tables` tells nothing; then a note says why.
    steps: Option<Steps>,
    counters: Reading,
    notes: Vec<String>,
}

impl<'l> Watch<'l> {
    /// Begins.
    ///
    /// # Errors
    /// A namespace that cannot be entered, a socket that is refused.
    pub(super) fn begin(lab: &'l TraceLab, family: Family) -> anyhow::Result<Self> {
        let mut notes = lab.notes.clone();
        let hosts = lab.topology.hosts.iter();
        let begin = |host: &lab::topology::Member| Ok(host.namespace.enter(Capture::begin)??);
        let captures = hosts.map(begin).collect::<anyhow::Result<_>>()?;
        let (steps, counters) = lab.topology.node().enter(|| {
            let steps = collect_steps();
            (steps, counted::read(family))
        })?;
        let steps = steps
            .map_err(|error| notes.push(format!("chains of nf_tables cannot be had: {error:#}")))
            .ok();
        std::thread::sleep(TIMES_BEGIN);
        Ok(Self { lab, family, captures, steps, counters: counters?, notes })
    }

    /// Ends, and puts what was seen into the record.
    ///
    /// # Errors
    /// As for [`Watch::begin`].
    pub(super) fn end(mut self, record: &mut Record) -> anyhow::Result<()> {
        for (host, capture) in std::mem::take(&mut self.captures).into_iter().enumerate() {
            let Captured { packets, lost } = capture.end()?;
            record.lost += lost;
            record.packets.extend(packets.into_iter().map(|packet| recorded(host, packet)));
        }
        match self.steps.take().map(Steps::end) {
            Some(Ok(steps)) => record.chains = steps.into_iter().filter_map(told).collect(),
            Some(Err(error)) => {
                self.notes.push(format!("chains of nf_tables cannot be had: {error}"));
            }
            None => {}
        }
        let Self { lab, family, counters, .. } = &self;
        let (rules, conntrack, ipvs) = lab.topology.node().enter(|| {
            (counted::read(*family), known::conntrack(lab.dialled), known::ipvs(lab.dialled))
        })?;
        record.rules = rules?.since(counters);
        record.ipvs = ipvs?;
        match conntrack {
            Ok(entries) => record.conntrack = entries,
            Err(error) => self.notes.push(format!("entries of conntrack cannot be had: {error}")),
        }
        if !record.rules.is_empty() {
            self.notes.push(
                "legacy iptables tells which of its rules counted packets, and not of which \
                 packets: its TRACE target logs outside of namespaces"
                    .to_owned(),
            );
        }
        record.notes.append(&mut self.notes);
        Ok(())
    }
}

/// Makes the calling thread's namespace tell, and listens.
fn collect_steps() -> anyhow::Result<Steps> {
    let tool = Tool { program: "nft", args: &["-f", "-"], env: None, deadline: DEADLINE };
    tool.feed(TELL)?;
    Steps::begin().context("listening")
}

fn recorded(host: usize, packet: linux::capture::Packet) -> trace::Captured {
    trace::Captured {
        host,
        device: packet.device,
        is_outgoing: packet.is_outgoing,
        time_ns: u64::try_from(packet.time.as_nanos()).unwrap_or(u64::MAX),
        framing: match packet.framing {
            Framing::Ethernet => trace::Framing::Ethernet,
            Framing::Ip => trace::Framing::Ip,
        },
        length: u32::try_from(packet.length).unwrap_or(u32::MAX),
        bytes: packet.bytes,
    }
}

/// A step, unless it is in the chains that make the kernel tell.
fn told(step: Step) -> Option<ChainStep> {
    let family = match step.family {
        IPV4 => "ip",
        IPV6 => "ip6",
        _ => "inet",
    };
    (step.table != OWN_TABLE).then(|| ChainStep {
        packet: step.packet,
        table: format!("{family} {}", step.table),
        chain: step.chain,
        by_rule: step.by_rule,
        verdict: step.verdict,
        header: step.header,
    })
}
