//! What was captured of a connection: plain data that a guest hands over as JSON, and that `--json`
//! prints.

use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The form of a [`Record`].
pub const TRACE_SCHEMA: &str = "vipbench.trace/1";

/// What was asked for, in the words of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The proxy.
    pub proxy: String,
    /// How IPVS forwards; nothing for other proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarding: Option<String>,
    /// The topology.
    pub topology: String,
    /// Who dials.
    pub source: String,
    /// What is dialled.
    pub frontend: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `tcp` or `udp`.
    #[serde(default = "tcp")]
    pub protocol: String,
}

/// A connection as it was captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`TRACE_SCHEMA`].
    pub schema: String,
    /// What was asked for.
    pub asked: Asked,
    /// Release of the kernel.
    pub kernel: String,
    /// Where the client dialled from.
    pub client: SocketAddr,
    /// What it dialled.
    pub dialled: SocketAddr,
    /// The only Endpoint.
    pub endpoint: SocketAddr,
    /// The connection as the Endpoint has it: from, to. Nothing if it never came.
    pub accepted: Option<[SocketAddr; 2]>,
    /// Why there was no answer; nothing if there was.
    pub failure: Option<String>,
    /// Names of the hosts. Everything else names a host by its position here.
    pub hosts: Vec<String>,
    /// The host that the proxy programs.
    pub node: usize,
    /// The host that dialled.
    pub client_host: usize,
    /// The host with the Endpoint.
    pub endpoint_host: usize,
    /// Packets at devices, in no order.
    pub packets: Vec<Captured>,
    /// Packets that were lost for lack of room.
    pub lost: u64,
    /// Chains of `nf_tables` that packets met on the node, in order.
    pub chains: Vec<ChainStep>,
    /// Rules of the node that counted packets of this connection, where chains cannot be had.
    pub rules: Vec<String>,
    /// What connection tracking on the node knows of it.
    pub conntrack: Vec<String>,
    /// What IPVS on the node knows of it.
    pub ipvs: Vec<String>,
    /// What a reader should know, such as what could not be had.
    pub notes: Vec<String>,
}

/// What the bytes of a packet begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
}

/// A packet at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Captured {
    /// Position of the host.
    pub host: usize,
    /// Name of the device.
    pub device: String,
    /// Whether the device sent it; else it received it.
    pub is_outgoing: bool,
    /// When, nanoseconds since 1970 by the clock of the kernel.
    pub time_ns: u64,
    /// What it begins with.
    pub framing: Framing,
    /// Its length, bytes.
    pub length: u32,
    /// Its content in hexadecimal digits, at most the first 2 KiB.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    #[schemars(with = "String")]
    pub bytes: Vec<u8>,
}

/// What became of a packet in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChainStep {
    /// The kernel's number for the packet, which is given again when a packet is gone.
    pub packet: u32,
    /// The table with its family, such as `ip nat`.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Whether a rule matched; else the chain ended.
    pub by_rule: bool,
    /// What came of it, such as `accept` or `jump KUBE-SERVICES`.
    pub verdict: String,
    /// IP and transport header of the packet, hexadecimal; empty but for the first step in a chain
    /// of a hook.
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    #[schemars(with = "String")]
    pub header: Vec<u8>,
}

impl Record {
    /// The name of a host.
    pub fn host_name(&self, host: usize) -> &str {
        self.hosts.get(host).map_or("?", String::as_str)
    }

    /// From and to, as the Endpoint has the connection, or would have it without masquerade.
    pub(super) fn at_endpoint(&self) -> (SocketAddr, SocketAddr) {
        self.accepted.map_or((self.client, self.endpoint), |[from, to]| (from, to))
    }
}

/// What traces were of before they told.
fn tcp() -> String {
    "tcp".to_owned()
}

fn write_hex<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&HEXLOWER.encode(bytes))
}

fn read_hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let digits = String::deserialize(from)?;
    HEXLOWER.decode(digits.as_bytes()).map_err(serde::de::Error::custom)
}
