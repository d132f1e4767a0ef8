//! What makes Clusters, as typed: `generate` and `import`, with its help.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::numbers;

const EXAMPLES: &str = "\
Examples:
  kubectl get services,endpointslices -A -o json | vipbench import - -o mine.json
  vipbench import objects.json --anonymise -o shareable.json
  vipbench run scenarios/quick.toml --cluster mine.json
  vipbench generate --cluster mine.json --format iptables

What becomes of the objects:
  Each port of a Service with an IPv4 cluster IP becomes a Service of the Cluster,
  in the order of the input, with the endpoints that kube-proxy would use.
  UDP, node ports and external IPs are kept and programmed, but not dialled.
  Everything else (headless Services, session affinity, IPv6, ...) is counted in the
  summary. It goes to standard output; to standard error if the Cluster goes there.

What --anonymise keeps:
  The order; who shares a namespace, name, VIP or endpoint; the length of names; ports
  and protocols; and how VIPs lie to each other within a network, because IPVS up to
  Linux 7.0 chooses hash buckets by it. All names and addresses are replaced.";

/// Text forms of a Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterFormat {
    /// vipbench's own JSON
    Json,
    /// A Kubernetes List of Services and `EndpointSlices`
    K8s,
    /// Input of `iptables-restore`, as kube-proxy would write it
    Iptables,
    /// Input of `ipvsadm -R`
    Ipvs,
    /// Input of `nft -f`, in kube-proxy's rule layout of Kubernetes 1.33
    #[value(name = "nft-1.33")]
    Nft1_33,
    /// The same in the layout of 1.36
    #[value(name = "nft-1.36")]
    Nft1_36,
    /// The same in the layout of 1.37
    #[value(name = "nft-1.37")]
    Nft1_37,
}

/// `vipbench generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Number of Services
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = numbers::count)]
    pub services: u32,
    /// Endpoints of each Service
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = numbers::count)]
    pub endpoints: u32,
    /// Seed: the same seed gives the same bytes on any machine
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take the Cluster section of a scenario instead of defaults
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Write the Cluster of this file (see `vipbench import`) in another form, instead of making
    /// one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["services", "endpoints", "seed", "scenario"])]
    pub cluster: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value = "json")]
    pub format: ClusterFormat,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `vipbench import`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// What `kubectl get services,endpointslices -A -o json` printed; `-` is standard input
    #[arg(value_name = "FILE")]
    pub input: PathBuf,
    /// File for the Cluster [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value = "json")]
    pub format: ClusterFormat,
    /// Leave out objects that are wrong instead of refusing them all
    #[arg(long)]
    pub lenient: bool,
    /// Replace every name and address; keep the shape
    #[arg(long)]
    pub anonymise: bool,
    /// Seed of what --anonymise puts in place; whoever knows it can tell the last bits of addresses
    #[arg(long, default_value_t = 1, requires = "anonymise")]
    pub seed: u64,
    /// Print the summary as JSON
    #[arg(long, requires = "output")]
    pub json: bool,
}
