//! The tables of a report: connections, syncs and other costs, layouts of VIPs, kube-proxies beside
//! ours, and notes around the numbers.

pub(super) mod batching;
pub(super) mod cells;
pub(super) mod connect;
pub(super) mod cost;
pub(super) mod costs;
pub(super) mod layout;
pub(super) mod notes;
pub(super) mod paths;
pub(super) mod renditions;
pub(super) mod throughput;
