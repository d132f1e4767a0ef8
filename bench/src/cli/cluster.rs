//! What makes Clusters, as typed: `generate` and `import`, with their help.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use generators::IpNet;

use super::format::ClusterFormat;
use super::numbers;

const GENERATE_EXAMPLES: &str = "\
Examples:
  vipbench generate --services 5000 --endpoints 10 -o cluster.json
  vipbench generate --services 100 --format iptables | head
  vipbench generate --services 20000 --service-cidr 172.20.0.0/16 --pod-cidr 10.0.0.0/8
  vipbench generate --cluster mine.json --format nft-1.36 --pod-cidr 10.42.0.0/16
  vipbench generate --cluster mine.json --format ipvs --node-address 192.0.2.10
  vipbench generate --services 50 --serve 127.0.0.1:8001

With --serve, kubectl lists, gets and watches the Cluster; it has one node, named `node`.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  kubectl get services,endpointslices -A -o json | vipbench import - -o mine.json
  vipbench import objects.json --node worker-3 --zone eu-west-1b -o mine.json
  vipbench import services.yaml endpoints.json.gz -o mine.json
  vipbench import support-bundle/ -o mine.json
  vipbench import objects.json --anonymise -o shareable.json
  vipbench run scenarios/quick.toml --cluster mine.json
  vipbench generate --cluster mine.json --format iptables

What is read:
  JSON or YAML: lists, objects one by one, arrays of them, several documents in a file,
  `kubectl cluster-info dump` with its logs; UTF-8 or UTF-16; also packed with gzip.
  All files are one cluster. Of a folder and its folders, those that end with .json,
  .yaml, .yml or .gz. An object that is there twice counts once if both say the same.

What becomes of the objects:
  Each port of a Service with a cluster IP becomes a Service of the Cluster, one for
  each family, in the order of the input, as the proxy of one node sees it: --node
  tells which endpoints are local, --zone which are meant for its zone.
  UDP, node ports and external IPs are kept and programmed, but not dialled.
  Services without EndpointSlices take the endpoints of their Endpoints objects.
  Everything else (headless Services, other proxies' Services, ...) is counted in the
  summary. It goes to standard output; to standard error if the Cluster goes there.

What --anonymise keeps:
  The order; who shares a namespace, name, VIP or endpoint; the length of names; ports
  and protocols; and how VIPs lie to each other within a network, because IPVS up to
  Linux 7.0 chooses hash buckets by it. All names and addresses are replaced.";

/// What a form needs beside the Cluster.
#[derive(Debug, Clone, Args)]
pub struct FormArgs {
    /// What to write
    #[arg(long, value_parser = ClusterFormat::parser(), default_value = "json")]
    pub format: ClusterFormat,
    /// Range of the VIPs, such as `10.96.0.0/12,fd00:172:30::/112` [default: 10.96.0.0/12; of a
    /// file, the networks around its VIPs]
    #[arg(long = "service-cidr", value_name = "CIDR", value_delimiter = ',')]
    pub service_cidrs: Vec<IpNet>,
    /// Range of the endpoints, one of each family [default: 10.128.0.0/9, or 240.0.0.0/4 for more
    /// than fit; of a file, the networks around them]
    #[arg(long = "pod-cidr", value_name = "CIDR", value_delimiter = ',')]
    pub pod_cidrs: Vec<IpNet>,
    /// Address of the node that node ports answer at (repeatable) [default: any; `ipvs` has node
    /// ports only with it]
    #[arg(long = "node-address", value_name = "ADDRESS", value_delimiter = ',')]
    pub node_addresses: Vec<IpAddr>,
}

/// `vipbench generate`.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
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
    /// Its form.
    #[command(flatten)]
    pub form: FormArgs,
    /// File to write [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Serve the Cluster as a Kubernetes API at this address, until Ctrl-C, instead of writing it
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = socket, conflicts_with_all = ["output", "format"])]
    pub serve: Option<SocketAddr>,
}

/// An address with a port.
fn socket(text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().map_err(|_| anyhow!("write an address and a port, such as 127.0.0.1:8001"))
}

/// `vipbench import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// What `kubectl get services,endpointslices -A -o json` printed; `-` is standard input
    #[arg(value_name = "FILE|DIR", required = true)]
    pub inputs: Vec<PathBuf>,
    /// File for the Cluster [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Its form.
    #[command(flatten)]
    pub form: FormArgs,
    /// Node whose proxy is looked at [default: the one with most endpoints]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Zone of the node, for topology hints [default: that of its endpoints]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
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
