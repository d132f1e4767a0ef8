//! A kube-proxy as a backend: a real one, which `VIPBENCH_KUBE_PROXY` names, and stand-ins that
//! misbehave. Root, in network namespaces of their own; `scripts/test` runs them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../golden/mod.rs"]
mod golden;
#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../kernel/netns.rs"]
mod netns;
mod real;
mod stand_in;
