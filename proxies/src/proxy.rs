//! The `Proxy` trait, its contract, and the values that cross it.
//!
//! The one big decision: a sync is three stages, called one after the other by the measurement so
//! that each can be timed apart. `prepare` reads or readies kernel state, `render` is pure,
//! `submit` hands over.

use linux::CpuTime;
use std::fmt;
use std::str::FromStr;

use generators::{Change, Cluster};

use crate::error::ProxyError;

/// The backends there are, by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProxyKind {
    /// No proxy: the client dials the Endpoint.
    None,
    /// kube-proxy's iptables mode through `iptables-legacy`.
    IptablesLegacy,
    /// kube-proxy's iptables mode through `iptables-nft`.
    IptablesNft,
    /// IPVS by batched generic netlink.
    Ipvs,
    /// kube-proxy's nftables mode in the rule layout of Kubernetes 1.33.
    Nftables1_33,
    /// The same in the layout of 1.36.
    Nftables1_36,
    /// The same in the layout of 1.37.
    Nftables1_37,
}

impl ProxyKind {
    /// Every backend, the control first.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::IptablesLegacy,
        Self::IptablesNft,
        Self::Ipvs,
        Self::Nftables1_33,
        Self::Nftables1_36,
        Self::Nftables1_37,
    ];

    /// The name on the command line, in scenarios and in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::IptablesLegacy => "iptables-legacy",
            Self::IptablesNft => "iptables-nft",
            Self::Ipvs => "ipvs",
            Self::Nftables1_33 => "nftables-1.33",
            Self::Nftables1_36 => "nftables-1.36",
            Self::Nftables1_37 => "nftables-1.37",
        }
    }
}

impl fmt::Display for ProxyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ProxyKind {
    type Err = UnknownProxy;

    fn from_str(name: &str) -> Result<Self, UnknownProxy> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownProxy { name: name.to_owned() })
    }
}

/// A name that no backend has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no proxy is called `{name}`; there are {}", ProxyKind::ALL.map(ProxyKind::as_str).join(", "))]
pub struct UnknownProxy {
    /// The name as it was given.
    pub name: String,
}

/// What a sync is asked to do.
#[derive(Debug, Clone, Copy)]
pub enum SyncRequest<'a> {
    /// Program the whole Cluster, whatever the namespace holds already (full sync and restart).
    Full(&'a Cluster),
    /// Go from `before`, which this proxy has programmed, to `after`, by `changes`.
    Incremental {
        /// The Cluster that is in the kernel.
        before: &'a Cluster,
        /// The Cluster that is wanted.
        after: &'a Cluster,
        /// What differs.
        changes: &'a [Change],
    },
}

/// Size of a rendered program, before it is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rules (iptables, nftables) written, or 0.
    pub rules: u64,
    /// Netlink messages (IPVS, addresses, ...) written, or 0.
    pub messages: u64,
    /// Bytes of text and messages.
    pub bytes: u64,
}

/// A rendered sync, ready to submit to the backend that rendered it.
#[derive(Debug)]
pub struct Program {
    /// How much there is to hand over.
    pub size: Size,
    pub(crate) payload: Payload,
}

/// What a program holds: one variant a backend family.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Nothing to hand over (`none`).
    Nothing,
    /// Text for `iptables-restore`.
    Restore(Vec<u8>),
    /// Text for `nft -f -`.
    Nft(crate::nftables::NftProgram),
    /// Netlink messages (`ipvs`).
    Ipvs(Box<crate::ipvs::IpvsProgram>),
}

impl Program {
    /// The text of a program that is text (input of `iptables-restore` or `nft -f -`), else nothing.
    pub fn text(&self) -> Option<&[u8]> {
        match &self.payload {
            Payload::Restore(text) => Some(text),
            Payload::Nft(program) => Some(&program.text),
            Payload::Nothing | Payload::Ipvs(_) => None,
        }
    }
}

/// A backend that makes the current network namespace implement a Cluster.
///
/// Contract (the tests in `tests/kernel/contract.rs` hold every backend to it): after `submit` of a
/// rendered request, `verify` against the wanted Cluster succeeds and a connection to any VIP
/// reaches one of its Endpoints; `Full` on a namespace that already holds the same Cluster changes
/// nothing that `verify` sees; `teardown` leaves a namespace like the one
/// `prepare` met, and may be repeated.
///
/// A sync is always `prepare`, `render`, `submit` with one and the same request.
pub trait Proxy {
    /// Which backend this is.
    fn kind(&self) -> ProxyKind;
    /// Tries, in the current namespace, whether this kernel and these tools can do it at all.
    ///
    /// # Errors
    /// [`ProxyError`] with what is missing and where it would come from.
    fn probe(&mut self) -> Result<(), ProxyError>;
    /// Readies fixed state (sysctls, jumps, sets, devices) and reads what a sync needs to know.
    /// Repeatable.
    ///
    /// # Errors
    /// Any refusal by the kernel or a tool, named.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError>;
    /// Makes the text or messages. Pure: no kernel, no files.
    ///
    /// # Errors
    /// A request this backend cannot express.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError>;
    /// Hands a program over and returns when the kernel has taken it.
    ///
    /// # Errors
    /// Any refusal, matched to the rule or message that caused it where the kernel says so.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError>;
    /// Reads the kernel back and compares it with the wanted Cluster.
    ///
    /// # Errors
    /// The first differences, in words.
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError>;
    /// Removes everything this backend put into the namespace. Repeatable; goes on after an error
    /// and reports it.
    ///
    /// # Errors
    /// What could not be removed.
    fn teardown(&mut self) -> Result<(), ProxyError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in ProxyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let message = "iptables".parse::<ProxyKind>().expect_err("not a backend").to_string();
        assert!(ProxyKind::ALL.iter().all(|kind| message.contains(kind.as_str())), "{message}");
    }
}
