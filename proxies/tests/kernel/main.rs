//! Tests that program a real kernel: root, in network namespaces of their own.
//!
//! `contract` is what every backend is held to, and `every_backend` runs it; a module a family says
//! what only it can be asked. Each test is ignored unless asked for (`cargo test -p proxies --test
//! kernel -- --ignored`).

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contract;
mod drive;
mod ebpf;
mod every_backend;
mod features;
mod flows;
#[path = "../golden/mod.rs"]
mod golden;
mod iptables;
mod ipvs;
mod ipvs_kube_proxy;
mod ipvs_reach;
mod netns;
mod nftables;
mod none;
mod userspace;
mod witness;
