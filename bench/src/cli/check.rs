//! `vipbench check`, as typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lab::topology::Shape;
use strum::VariantNames;

use super::page::PageArgs;

pub(super) const EXAMPLES: &str = "\
Examples:
  vipbench check                              every proxy that this machine's own kernel can run
  vipbench check --kernel 6.1 -o checked      every proxy, IPVS too, in guests; pages and files
  vipbench check --proxy nftables-1.36 --family ipv6
  vipbench check --kube-proxy ./kube-proxy --proxy kube-proxy-nftables,nftables-1.36
  vipbench check --json | jq '.proxies[].probes[] | select(.verdict == \"unexpected\")'

What must happen is derived from the Services and Kubernetes' words, never from rules. Services
of each kind are dialled from everywhere: who answers, and whose address the Endpoint sees. A
deviation that is known of a proxy has its reason in the answer. What cannot be tried has one too.

Exit codes: 0 all is as expected; 2 something is not; 1 the tool failed, or nothing could be
checked.";

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FamilyChoice {
    /// IPv4 alone
    Ipv4,
    /// IPv6 alone
    Ipv6,
    /// Both at the same time, as on a node of dual stack
    Both,
}

/// `vipbench check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Proxies to check, such as `ipvs,nftables-1.37` (repeatable) [default: all]
    #[arg(long = "proxy", value_name = "NAME", value_delimiter = ',')]
    pub proxies: Vec<String>,
    /// A kube-proxy to check as a proxy too, in modes iptables and nftables unless proxies are
    /// named, such as `kube-proxy-ipvs` (repeatable, one a version)
    #[arg(long = "kube-proxy", value_name = "PATH")]
    pub kube_proxies: Vec<PathBuf>,
    /// `host`, this machine's own kernel in throw-away namespaces, or one guest kernel, as for
    /// `run`
    #[arg(long, value_name = "SPEC", default_value = "host")]
    pub kernel: String,
    /// What is around the node
    #[arg(long, value_name = "NAME", default_value = "one-node")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Shape::VARIANTS))]
    pub topology: String,
    /// Services of which address families
    #[arg(long, value_enum, default_value = "both")]
    pub family: FamilyChoice,
    /// Form and place of the page.
    #[command(flatten)]
    pub page: PageArgs,
}
