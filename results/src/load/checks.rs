//! What a load finds out about itself: whether its numbers may be believed.

use super::record::{Load, Start};
use crate::format::{counted, fixed, percent, quantity, thousands};

/// How far two ways to count open connections may differ.
const LITTLE_TOLERANCE: f64 = 0.02;

/// One of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is as it must be; nothing where it is a number to look at.
    pub holds: Option<bool>,
    /// What was found.
    pub says: String,
}

impl Load {
    /// Whether the client kept its plan: without that nothing here is believed.
    pub fn is_valid(&self) -> bool {
        self.findings().iter().all(|finding| finding.holds != Some(false))
    }

    /// Everything that was looked at.
    pub fn findings(&self) -> Vec<Finding> {
        let findings = [
            self.lateness(),
            Some(self.littles_law()),
            Some(self.sockets()),
            self.sent_again(),
            self.conntrack(),
        ];
        findings.into_iter().flatten().collect()
    }

    /// A client that begins later than planned asks less than it should.
    fn lateness(&self) -> Option<Finding> {
        self.asked.rate_per_s?;
        let late = self.samples("lateness", Start::Planned);
        let unit = self.clock.unit();
        let p99 = late.percentile(0.99).or(late.max())?;
        let limit = quantity(unit, self.late_limit as f64);
        let says = format!(
            "p99 {}, longest {}; believed up to {limit}",
            quantity(unit, p99 as f64),
            quantity(unit, late.max().unwrap_or_default() as f64)
        );
        Some(Finding { name: "lateness", holds: Some(p99 <= self.late_limit), says })
    }

    /// Little's law: as many are open on average as arrive in the time that one stays. Both sides
    /// are counted apart; where they differ, one of them is wrong.
    fn littles_law(&self) -> Finding {
        let by_stay =
            if self.elapsed == 0 { 0.0 } else { self.counts.stay as f64 / self.elapsed as f64 };
        let counted = self.counts.open_mean;
        let holds = (by_stay - counted).abs() <= LITTLE_TOLERANCE * by_stay.max(counted).max(0.01);
        let says = format!(
            "{} open on average, {} by rate and stay",
            fixed(counted, 2),
            fixed(by_stay, 2)
        );
        Finding { name: "Little's law", holds: Some(holds), says }
    }

    /// Each connection that was due has a socket, and each socket was counted by the kernel.
    fn sockets(&self) -> Finding {
        let counts = &self.counts;
        let unopened = counts.errors.get("no-port").copied().unwrap_or_default()
            + counts.errors.get("no-descriptor").copied().unwrap_or_default();
        let is_tcp = self.asked.question != "udp";
        let by_kernel = self.kernel.opened.filter(|_| is_tcp);
        let told = by_kernel.map(|opened| format!("; {} by the kernel", thousands(opened)));
        let says = format!(
            "{} for {}{}",
            counted(counts.sockets, "socket"),
            counted(counts.due, "connection"),
            told.unwrap_or_default()
        );
        // Others may connect in the same namespace: the kernel may count more, never fewer.
        let holds = counts.sockets + unopened >= counts.due
            && by_kernel.is_none_or(|opened| opened >= counts.sockets);
        Finding { name: "sockets", holds: Some(holds), says }
    }

    fn sent_again(&self) -> Option<Finding> {
        let (segments, syns) = (self.kernel.sent_again?, self.kernel.syn_sent_again?);
        let share = syns as f64 / self.counts.due.max(1) as f64;
        let says = format!(
            "{} sent again, {} of a handshake ({} of connections)",
            counted(segments, "segment"),
            thousands(syns),
            percent(share)
        );
        Some(Finding { name: "retransmissions", holds: None, says })
    }

    fn conntrack(&self) -> Option<Finding> {
        let entries = self.kernel.conntrack?;
        let failed = self.kernel.conntrack_failed.unwrap_or_default();
        let dropped = self.kernel.conntrack_dropped.unwrap_or_default();
        let says = format!(
            "{} at the end; {} could not be made, {} dropped for want of one",
            if entries == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", thousands(entries))
            },
            thousands(failed),
            counted(dropped, "packet")
        );
        Some(Finding { name: "conntrack", holds: (failed + dropped > 0).then_some(false), says })
    }
}
