//! How a Cluster gets into the kernel: what every backend can do, one folder a backend.
//!
//! A backend programs the network namespace of the calling thread. It never makes, enters or names
//! a namespace, and it reads no clock: whoever calls it times the stages of a sync.

mod account;
mod backend;
mod backends;
mod conntrack;
mod counters;
mod descriptor;
mod deviations;
mod differences;
mod ebpf;
mod error;
mod families;
pub mod features;
#[cfg(test)]
#[path = "../tests/golden/mod.rs"]
mod golden;
mod iptables;
pub mod ipvs;
mod ipvs_kube_proxy;
pub mod kube_proxy;
#[cfg(test)]
#[path = "../tests/kube-proxy/mod.rs"]
mod kube_proxy_dumps;
mod modules;
mod moved;
mod netlink;
mod nftables;
mod none;
mod options;
mod program;
mod routing;
mod text;
mod userspace;

pub use account::Account;
pub use backend::{Audit, Backend, Maker, Staged};
pub use backends::{UnknownProxy, also_known, backends, find};
pub use counters::{CountedRule, Counters, Target};
pub use descriptor::{
    Acts, Admin, Append, Cost, Descriptor, Deviation, Format, Open, Reading, Sees, Spread, Tool,
};
pub use differences::Differences;
pub use error::ProxyError;
pub use iptables::tool::Variant as IptablesVariant;
pub use nftables::options::{Listing, NftablesOptions};
pub use options::Options;
pub use program::{Program, Size, SyncRequest};
