//! What `nf_tables` tells of packets that a rule marked with `meta nftrace set 1`: the chains that
//! each met, and what became of it there. Rules of `iptables-nft` are such rules too.
//!
//! Constants from `include/uapi/linux/netfilter/nf_tables.h`, Linux 6.1; what is told when, from
//! `net/netfilter/nf_tables_trace.c` there.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};

use super::decode::{self, Attributes, Malformed, Message, Messages};
use super::socket::NetlinkError;

/// `NFNL_SUBSYS_NFTABLES << 8` with `NFT_MSG_TRACE`.
const TRACE: u16 = 0xa11;
/// `1 << (NFNLGRP_NFTRACE - 1)` (include/uapi/linux/netfilter/nfnetlink.h).
const GROUP: u32 = 1 << 8;
/// `sizeof(struct nfgenmsg)`
const FIXED_BYTES: usize = 4;
/// `NFTA_TRACE_TABLE`, `_CHAIN`, `_TYPE`, `_VERDICT`, `_ID`, `_NETWORK_HEADER`,
/// `_TRANSPORT_HEADER`, `_POLICY`
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const TYPE: u16 = 4;
const VERDICT: u16 = 5;
const ID: u16 = 6;
const NETWORK_HEADER: u16 = 8;
const TRANSPORT_HEADER: u16 = 9;
const POLICY: u16 = 16;
/// `NFT_TRACETYPE_RULE`
const RULE: u32 = 3;
/// `NFTA_VERDICT_CODE`, `NFTA_VERDICT_CHAIN`
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
/// Room for what is told; a message takes some 700 bytes of it.
const BUFFER_BYTES: usize = 16 << 20;
/// Longest message: two headers of 60 bytes and two names of 255.
const MESSAGE_BYTES_MAX: usize = 8192;
/// How many messages are read; more are left behind.
const MESSAGES_MAX: usize = 65_536;

/// What became of a packet in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The kernel's number for the packet. It may be given again once a packet is gone.
    pub packet: u32,
    /// The family of the table: [`IPV4`](super::nftables::IPV4), `IPV6`, or another.
    pub family: u8,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether a rule of the chain matched; else the chain ended.
    pub by_rule: bool,
    /// What came of it: `accept`, `drop`, `continue`, `return`, `jump CHAIN`, `goto CHAIN`.
    pub verdict: String,
    /// IP and transport header of the packet, with the first step in a chain of a hook; else
    /// empty.
    pub header: Vec<u8>,
}

/// Steps that are being collected.
#[derive(Debug)]
pub struct Steps {
    socket: OwnedFd,
}

impl Steps {
    /// Begins to collect what the calling thread's namespace tells.
    ///
    /// # Errors
    /// A refused system call; it takes `CAP_NET_ADMIN`.
    pub fn begin() -> Result<Self, NetlinkError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(NETFILTER))
            .map_err(failed("socket"))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)
            .map_err(failed("setsockopt SO_RCVBUFFORCE"))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP)).map_err(failed("bind"))?;
        Ok(Self { socket })
    }

    /// Ends, and gives what was told, in order.
    ///
    /// # Errors
    /// A refused system call, steps that were lost, or a malformed message.
    pub fn end(self) -> Result<Vec<Step>, NetlinkError> {
        let mut steps = Vec::new();
        let mut buffer = vec![0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            match rustix::net::recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => {
                    steps.extend(read_all(buffer.get(..length).unwrap_or_default())?);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("recv")(errno)),
            }
        }
        Ok(steps)
    }
}

fn failed(call: &'static str) -> impl FnOnce(Errno) -> NetlinkError {
    move |errno| NetlinkError::Io { call, source: io::Error::from(errno) }
}

fn read_all(datagram: &[u8]) -> Result<Vec<Step>, Malformed> {
    let is_other =
        |message: &Result<Message<'_>, _>| matches!(message, Ok(other) if other.kind != TRACE);
    let told = Messages::of(datagram).filter(|message| !is_other(message));
    told.map(|message| read(&message?)).collect()
}

fn read(message: &Message<'_>) -> Result<Step, Malformed> {
    let ([family, ..], attributes) = message.fixed::<FIXED_BYTES>()?;
    let text = |kind| -> Result<String, Malformed> {
        let value = attributes.find(kind)?.ok_or(Malformed("a step has no table or chain"))?;
        Ok(decode::text(value)?.to_owned())
    };
    let kind = attributes.find(TYPE)?.map_or(Ok(0), decode::be32)?;
    let verdict = match (attributes.find(VERDICT)?, attributes.find(POLICY)?) {
        (Some(verdict), _) => read_verdict(&Attributes::of(verdict))?,
        (None, Some(policy)) => name_of(decode::be32(policy)?).to_owned(),
        (None, None) => "continue".to_owned(),
    };
    let mut header = attributes.find(NETWORK_HEADER)?.unwrap_or_default().to_vec();
    header.extend_from_slice(attributes.find(TRANSPORT_HEADER)?.unwrap_or_default());
    Ok(Step {
        packet: attributes.find(ID)?.map_or(Ok(0), decode::be32)?,
        family: *family,
        table: text(TABLE)?,
        chain: text(CHAIN)?,
        by_rule: kind == RULE,
        verdict,
        header,
    })
}

fn read_verdict(verdict: &Attributes<'_>) -> Result<String, Malformed> {
    let name = name_of(verdict.find(VERDICT_CODE)?.map_or(Ok(0), decode::be32)?);
    match verdict.find(VERDICT_CHAIN)? {
        Some(chain) => Ok(format!("{name} {}", decode::text(chain)?)),
        None => Ok(name.to_owned()),
    }
}

/// `enum nft_verdicts`, and `NF_DROP`, `NF_ACCEPT`, `NF_QUEUE` of include/uapi/linux/netfilter.h.
fn name_of(code: u32) -> &'static str {
    match code.cast_signed() {
        0 => "drop",
        1 => "accept",
        -1 => "continue",
        -2 => "break",
        -3 => "jump",
        -4 => "goto",
        -5 => "return",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::encode::Batch;

    #[test]
    fn a_jump_is_read_with_the_packet_that_jumps() {
        let batch = Batch::single(TRACE, 0, |content| {
            content.fixed([2, 0, 0, 0]);
            content.text(TABLE, "nat");
            content.text(CHAIN, "PREROUTING");
            content.bytes(TYPE, &RULE.to_be_bytes());
            content.bytes(ID, &7_u32.to_be_bytes());
            content.bytes(NETWORK_HEADER, &[0x45, 0]);
            content.bytes(TRANSPORT_HEADER, &[9]);
            content.nest(VERDICT, |verdict| {
                verdict.bytes(VERDICT_CODE, &(-3_i32).to_be_bytes());
                verdict.text(VERDICT_CHAIN, "KUBE-SERVICES");
            });
        });
        let expected = Step {
            packet: 7,
            family: 2,
            table: "nat".into(),
            chain: "PREROUTING".into(),
            by_rule: true,
            verdict: "jump KUBE-SERVICES".into(),
            header: vec![0x45, 0, 9],
        };
        assert_eq!(read_all(batch.bytes()), Ok(vec![expected]));
    }

    #[test]
    fn a_policy_is_a_verdict_and_a_step_without_a_chain_is_malformed() {
        let step = |chain: bool| {
            let batch = Batch::single(TRACE, 0, |content| {
                content.fixed([10, 0, 0, 0]);
                content.text(TABLE, "nat");
                if chain {
                    content.text(CHAIN, "INPUT");
                }
                content.bytes(TYPE, &1_u32.to_be_bytes());
                content.bytes(POLICY, &1_u32.to_be_bytes());
            });
            read_all(batch.bytes())
        };
        let read = step(true).unwrap();
        assert_eq!(
            (read[0].verdict.as_str(), read[0].by_rule, read[0].family),
            ("accept", false, 10)
        );
        assert!(step(false).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_content_never_panics(content: Vec<u8>) {
            let _ = read_all(&content);
            let _ = read(&Message { kind: TRACE, flags: 0, sequence: 1, content: &content });
        }
    }
}
