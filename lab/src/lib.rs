//! Where a measurement happens: network namespaces, topologies, child processes, guest kernels and
//! their images.
//!
//! Knows nothing of Clusters, proxies or results. Everything it makes is owned by a guard and
//! vanishes with it.

pub mod guest;
pub mod image;
pub mod topology;

pub use ipnet::{IpNet, Ipv4Net};
