//! The kernel's interfaces in a real kernel, each test in a namespace of its own, with iproute2 and
//! nft as independent witnesses. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking, as the test itself does"
)]

mod capture;
mod conntrack;
mod namespace;
mod network;

use std::time::Duration;

use linux::Tool;
use linux::netns::Namespace;

/// Runs `work` in a namespace that nothing else uses.
fn in_new_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    Namespace::new("test").unwrap().enter(work).unwrap()
}

/// What a program prints in the calling thread's namespace.
fn printed(program: &str, arguments: &str) -> String {
    let args: Vec<&str> = arguments.split(' ').collect();
    let tool = Tool { program, args: &args, env: None, deadline: Duration::from_secs(20) };
    String::from_utf8(tool.read().unwrap()).unwrap()
}
