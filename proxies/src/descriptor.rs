//! What is true of one backend, as data: the rest of the program asks this and knows no backend by
//! name.
//!
//! Each backend's folder has its own; `backends` lists them.

use generators::Cluster;

use crate::backend::Backend;
use crate::counters::Counters;
use crate::error::ProxyError;
use crate::ipvs::options::Forwarding;
use crate::kube_proxy::binary::Binary;
use crate::options::Options;

/// The name of the control.
pub const CONTROL: &str = "none";

/// Makes a backend that a descriptor is of.
pub type Open = fn(&Descriptor, &Options) -> Box<dyn Backend>;

/// Reads something in the current namespace.
pub type Reading<T> = fn() -> Result<T, ProxyError>;

/// What is true of one backend wherever it runs.
#[derive(Debug)]
pub struct Descriptor {
    /// The name on the command line, in scenarios and in results.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// What it has in common with others: `iptables`, `ipvs`, `nftables`, or `none` for the
    /// control.
    pub family: &'static str,
    /// The name of its colour in plots (`results::proxies`).
    pub colour: &'static str,
    /// The tools that it starts.
    pub tools: &'static [Tool],
    /// The kernel modules that it needs, in groups that backends share, in load order.
    pub modules: &'static [&'static [&'static str]],
    /// How an administrator would program the same by hand.
    pub admin: Option<Admin>,
    /// How one rule is added by one call of a tool.
    pub append: Option<Append>,
    /// Puts this many rules that match no packet at the head of each of its chains, in the current
    /// namespace. For measuring whether a slowdown is found.
    pub slow_down: Option<fn(u32) -> Result<(), ProxyError>>,
    /// Reads the packet counters of its rules in the current namespace.
    pub counters: Option<Reading<Counters>>,
    /// How many Services each bucket of its hash table in the kernel holds, the empty ones
    /// included.
    pub bucket_services: Option<Reading<Vec<u64>>>,
    /// Whether VIPs must be addresses of the node for it to see their packets, by either way of
    /// making them so.
    pub needs_local_vips: bool,
    /// Whether a dummy link is its only way to make VIPs such addresses.
    pub binds_by_link_alone: bool,
    /// What it translates.
    pub acts: Acts,
    /// Whether it programs Services of IPv4 alone.
    pub has_ipv4_alone: bool,
    /// Why it refuses Services of SCTP, if it does.
    pub refuses_sctp: Option<&'static str>,
    /// How it can get packets to Endpoints.
    pub forwarding: &'static [Forwarding],
    /// How it chooses among the Endpoints of a Service.
    pub spread: Spread,
    /// Whose address Endpoints see.
    pub endpoints_see: Sees,
    /// Where it is known to do something else than Kubernetes has it.
    pub deviations: &'static [Deviation],
    /// What a sync takes, by the numbers of Services and of Endpoints.
    pub cost: fn(u64, u64) -> Cost,
    /// The program of somebody else that does all of it, if one does.
    pub binary: Option<&'static Binary>,
    /// Makes the backend; [`Descriptor::open`] calls it.
    pub open: Open,
}

/// What a proxy translates, and so whose connections it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acts {
    /// Packets that come through the node, whoever sends them.
    OnPackets,
    /// Sockets of the node and its pods, whose namespaces it is told; nobody else's.
    OnSockets,
}

/// How a proxy chooses among the Endpoints of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By chance, each as likely as any other.
    Even,
    /// One after the other.
    InTurn,
}

/// Whose address Endpoints see: a client's or the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// As Kubernetes has it.
    AsTheyMust,
    /// Always the node's, since the backend connects to them itself; why, with its source.
    Node(&'static str),
    /// Always the client's, since nothing is masqueraded; why, with its source.
    Client(&'static str),
}

/// Something else than Kubernetes has it, in the words of `vipbench check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// The behaviours; empty: any.
    pub subjects: &'static [&'static str],
    /// Who dials; empty: anybody.
    pub sources: &'static [&'static str],
    /// What is dialled; empty: anything.
    pub frontends: &'static [&'static str],
    /// How what comes instead begins.
    pub came: &'static str,
    /// Why, with its source.
    pub reason: &'static str,
}

/// A program that a backend starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name; its version belongs to the environment of a run.
    pub program: &'static str,
    /// The distribution's package.
    pub package: &'static str,
    /// Other programs of the package that are needed in a guest.
    pub also: &'static [&'static str],
}

/// A Cluster as text that a tool reads.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// The text, from an empty namespace.
    pub text: fn(&Cluster, &Options) -> Vec<u8>,
}

/// How an administrator would program the same Cluster: by a tool that reads text.
#[derive(Debug, Clone, Copy)]
pub struct Admin {
    /// The tool.
    pub program: &'static str,
    /// Its package.
    pub package: &'static str,
    /// Its arguments.
    pub args: &'static [&'static str],
    /// Texts for `vipbench generate --format`.
    pub formats: &'static [Format],
    /// The text for a Cluster, from an empty namespace.
    pub text: fn(&Cluster, &Options) -> Vec<u8>,
    /// Whether the text says what the pod network is.
    pub says_pods: bool,
    /// Whether it says what the network of the VIPs is.
    pub says_services: bool,
    /// Whether node ports are in it only if the node's addresses are known.
    pub needs_node_addresses: bool,
    /// Reduces options to what the text says too.
    pub reduce: fn(&mut Options),
    /// Does in the current namespace what the tool leaves to others.
    pub beside: fn(&Cluster, &Options) -> Result<(), ProxyError>,
}

/// How one rule is added by one call of a tool, to the end of a chain that every Cluster has.
#[derive(Debug, Clone, Copy)]
pub struct Append {
    /// The tool.
    pub program: &'static str,
    /// Its arguments for the call of this number, from 1.
    pub args: fn(u16) -> Vec<String>,
    /// How many such rules are there.
    pub count: Reading<usize>,
}

/// Roughly what syncs and connections take, milliseconds on a machine of 2026: good for dividing
/// work, for nothing else. Fitted to `duration_ms` in `results/reference/quick-6.1/cells.jsonl`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// A full sync of nothing.
    pub sync: u64,
    /// A thousand Endpoints in a full sync.
    pub per_1000_endpoints: u64,
    /// Incremental syncs, a million pairs of Endpoints.
    pub per_million_pairs: u64,
    /// A thousand connections, a thousand Services before the dialled one.
    pub per_1000_services_passed: u64,
}

impl Descriptor {
    /// A backend that starts no tool and has no extras.
    pub const fn new(name: &'static str, family: &'static str, open: Open) -> Self {
        Self {
            name,
            summary: "",
            family,
            colour: "",
            tools: &[],
            modules: &[],
            admin: None,
            append: None,
            slow_down: None,
            counters: None,
            bucket_services: None,
            needs_local_vips: false,
            binds_by_link_alone: false,
            acts: Acts::OnPackets,
            has_ipv4_alone: false,
            refuses_sctp: None,
            forwarding: &[Forwarding::Nat],
            spread: Spread::Even,
            endpoints_see: Sees::AsTheyMust,
            deviations: &[],
            cost: |_, _| Cost { sync: 300, per_1000_endpoints: 700, ..Cost::NOTHING },
            binary: None,
            open,
        }
    }

    /// Makes the backend. Touches nothing: [`Backend::probe`] tells whether it can work here.
    pub fn open(&self, options: &Options) -> Box<dyn Backend> {
        (self.open)(self, options)
    }

    /// Whether packets get to Endpoints in a way that is chosen.
    pub fn has_forwardings(&self) -> bool {
        self.forwarding.len() > 1
    }

    /// Whether connections go through the backend itself, which must then stay while they are made;
    /// else what it has programmed is enough.
    pub fn forwards_itself(&self) -> bool {
        matches!(self.endpoints_see, Sees::Node(_))
    }

    /// Whether it programs nothing and clients dial Endpoints: the floor under every number.
    pub fn is_control(&self) -> bool {
        self.name == CONTROL
    }
}

impl Cost {
    /// No cost.
    pub const NOTHING: Self =
        Self { sync: 0, per_1000_endpoints: 0, per_million_pairs: 0, per_1000_services_passed: 0 };
}

impl Admin {
    /// A tool that does all that the backend does.
    pub const fn new(
        program: &'static str,
        package: &'static str,
        args: &'static [&'static str],
        text: fn(&Cluster, &Options) -> Vec<u8>,
    ) -> Self {
        Self {
            program,
            package,
            args,
            formats: &[],
            text,
            says_pods: true,
            says_services: false,
            needs_node_addresses: false,
            reduce: |options| options.without_idle_ipv6 = true,
            beside: |_, _| Ok(()),
        }
    }
}
