//! The chains that each packet met on the node.

use super::headers::Headers;
use super::packets::TracedPacket;
use super::record::{ChainStep, Framing};

/// A packet's way through the chains of one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walk<'r> {
    headers: Headers,
    table: &'r str,
    /// The chains that it met, from the hook's on, each with whether it came back from it without
    /// a verdict.
    chains: Vec<(&'r str, bool)>,
    verdict: &'r str,
}

/// The ways of all packets, in order.
pub(super) fn walks(steps: &[ChainStep]) -> Vec<Walk<'_>> {
    let mut walks: Vec<(u32, Walk<'_>)> = Vec::new();
    for step in steps {
        if step.header.is_empty() {
            let own = walks.iter_mut().rev().find(|(packet, _)| *packet == step.packet);
            if let Some((_, walk)) = own {
                walk.go_on(step);
            }
        } else if let Some(headers) = Headers::of(&step.header, Framing::Ip) {
            let mut walk = Walk {
                headers,
                table: &step.table,
                chains: vec![(&step.chain, false)],
                verdict: "",
            };
            walk.go_on(step);
            walks.push((step.packet, walk));
        }
    }
    walks.into_iter().map(|(_, walk)| walk).collect()
}

impl<'r> Walk<'r> {
    fn go_on(&mut self, step: &'r ChainStep) {
        // What it came back to is where it goes on.
        if let Some(at) = self.chains.iter().rposition(|chain| *chain == (&step.chain, false)) {
            self.chains.iter_mut().skip(at + 1).for_each(|(_, returned)| *returned = true);
        }
        match step.verdict.split_once(' ') {
            Some(("jump" | "goto", chain)) => self.chains.push((chain, false)),
            _ => self.verdict = &step.verdict,
        }
    }

    /// Whether it is of this packet.
    pub fn is_of(&self, packet: &TracedPacket<'_>) -> bool {
        let first = packet.sightings.first();
        first.is_some_and(|first| first.headers.is_same_packet(&self.headers))
    }

    /// Table, chains and verdict; chains that it came back from stand between brackets.
    pub fn words(&self) -> String {
        let chains = self.chains.iter().map(|(chain, returned)| {
            if *returned { format!("({chain})") } else { (*chain).to_owned() }
        });
        format!("{} {}: {}", self.table, chains.collect::<Vec<_>>().join(" > "), self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::fixture;
    use crate::trace::packets::traced_packets;

    #[test]
    fn a_walk_keeps_the_chains_that_led_to_its_verdict_and_those_it_came_back_from() {
        let record = fixture::record();
        let walks = walks(&record.chains);
        let [walk] = &walks[..] else { panic!("{walks:?}") };
        assert_eq!(
            walk.words(),
            "ip nat PREROUTING > KUBE-SERVICES > KUBE-SVC-NPX46M4PTMTKRN6Y > (KUBE-MARK-MASQ) > \
             KUBE-SEP-WW5GTTMGZCQXYBEF: accept"
        );
        let packets = traced_packets(&record);
        let of: Vec<bool> = packets.iter().map(|packet| walk.is_of(packet)).collect();
        assert_eq!(of, [true, false, false, false]);
    }

    #[test]
    fn a_step_of_a_packet_that_nobody_began_is_left_out() {
        let mut record = fixture::record();
        record.chains.remove(0);
        assert_eq!(walks(&record.chains), []);
        record.chains[0].header = vec![1, 2, 3];
        assert_eq!(walks(&record.chains), []);
    }
}
