//! `vipbench trace` as typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use generators::FrontendKind;
use lab::topology::{Shape, Source};
use proxies::ipvs::Forwarding;
use strum::VariantNames;

pub(super) const TRACE_EXAMPLES: &str = "\
Examples:
  vipbench trace                             a pod dials a cluster IP, through iptables-nft
  vipbench trace --proxy nftables-1.36 --source outside --frontend node-port --family ipv6
  vipbench trace --kernel 6.1 --topology two-nodes-ipip -o trace    through a tunnel, with a picture
  vipbench trace --kernel 6.1 --proxy ipvs --forwarding tun --source outside
  vipbench trace --proxy nftables-1.36 --protocol udp  a datagram and its answer

The Endpoint is on the other node where the topology has one. With --source endpoint it is the
client itself; with --source other-node-pod and with --forwarding dr it is on the proxy's node.
Exit code 1 if the connection gets no answer; its packets are shown all the same.";

/// How IPVS forwards, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForwardingChoice {
    /// Translates addresses, as kube-proxy has it
    Nat,
    /// Changes the link-layer address alone; the Endpoint holds the VIP
    Dr,
    /// Puts packets into an IPIP tunnel to the Endpoint, which holds the VIP
    Tun,
}

impl From<ForwardingChoice> for Forwarding {
    fn from(choice: ForwardingChoice) -> Self {
        match choice {
            ForwardingChoice::Nat => Self::Nat,
            ForwardingChoice::Dr => Self::DirectRoute,
            ForwardingChoice::Tun => Self::Tunnel,
        }
    }
}

/// The family of all addresses, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OneFamily {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

/// What is traced, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// A connection
    Tcp,
    /// A datagram and its answer
    Udp,
}

/// `vipbench trace`.
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// Proxy that the connection goes through; `none` dials the Endpoint
    #[arg(long, value_name = "NAME", default_value = "iptables-nft")]
    pub proxy: String,
    /// The file of a kube-proxy; its mode is named by `--proxy kube-proxy-iptables`, `-nftables` or
    /// `-ipvs`
    #[arg(long, value_name = "PATH")]
    pub kube_proxy: Option<PathBuf>,
    /// `host`, this machine's own kernel, or one guest kernel, as for `run --kernel`
    #[arg(long, value_name = "SPEC", default_value = "host")]
    pub kernel: String,
    /// Which hosts there are, and how they are joined
    #[arg(long, default_value = "one-node", value_parser = topologies())]
    pub topology: Shape,
    /// Who dials
    #[arg(long, default_value = "pod", value_parser = sources())]
    pub source: Source,
    /// What is dialled: an address of the Service, or its port at the node's own
    #[arg(long, default_value = "cluster-ip", value_parser = frontends())]
    pub frontend: FrontendKind,
    /// Family of all addresses
    #[arg(long, value_enum, default_value = "ipv4")]
    pub family: OneFamily,
    /// A connection of TCP, or a datagram of UDP and its answer
    #[arg(long, value_enum, default_value = "tcp")]
    pub protocol: Transport,
    /// How the proxy `ipvs` forwards
    #[arg(long, value_enum, default_value = "nat")]
    pub forwarding: ForwardingChoice,
    /// Folder for trace.txt, trace.svg (a picture), trace.pcapng (for Wireshark) and trace.json
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Print JSON (its schema is in results/schema)
    #[arg(long)]
    pub json: bool,
}

fn topologies() -> impl TypedValueParser<Value = Shape> {
    PossibleValuesParser::new(Shape::VARIANTS).try_map(|name| name.parse::<Shape>())
}

fn frontends() -> impl TypedValueParser<Value = FrontendKind> {
    PossibleValuesParser::new(FrontendKind::VARIANTS).try_map(|name| name.parse::<FrontendKind>())
}

fn sources() -> impl TypedValueParser<Value = Source> {
    PossibleValuesParser::new(Source::VARIANTS).try_map(|name| name.parse::<Source>())
}
