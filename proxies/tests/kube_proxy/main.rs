//! A kube-proxy as a backend: a real one, which `VIPBENCH_KUBE_PROXY` names, and stand-ins that
//! misbehave. Root, in network namespaces of their own; `scripts/test` runs them.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../golden/mod.rs"]
mod golden;
#[path = "../kernel/netns.rs"]
mod netns;
mod real;
mod stand_in;
