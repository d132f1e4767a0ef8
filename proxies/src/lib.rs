//! How a Cluster gets into the kernel: the [`Proxy`] trait, one folder a backend.
//!
//! A proxy programs the network namespace of the calling thread. It never makes, enters or names a
//! namespace, and it reads no clock: whoever calls it times the three stages of a sync.

mod differences;
mod error;
pub mod features;
#[cfg(test)]
#[path = "../tests/golden/mod.rs"]
mod golden;
mod iptables;
pub mod ipvs;
mod nftables;
mod none;
mod open;
mod proxy;
mod text;

pub use error::ProxyError;
pub use iptables::Variant as IptablesVariant;
pub use open::{IptablesOptions, NftablesOptions, Options, open};
pub use proxy::{Program, Proxy, ProxyKind, Size, SyncRequest, UnknownProxy};
