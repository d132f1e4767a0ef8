//! The kernel settings that kube-proxy's IPVS mode makes, and their return to what they were.
//!
//! Files below `/proc/sys/net` are those of the network namespace of the thread that opens them
//! (`net_ctl_root`, `net/sysctl_net.c`, Linux 6.1).

use linux::IoError;
use std::fs;

use crate::error::ProxyError;

/// Name and value (`NewProxier`, pkg/proxy/ipvs/proxier.go, Kubernetes 1.30). `conn_reuse_mode` stays as it is, which
/// is what kube-proxy does from Linux 5.9 on.
const ALWAYS: [(&str, &str); 3] = [
    ("net/ipv4/vs/expire_nodest_conn", "1"),
    ("net/ipv4/vs/expire_quiescent_template", "1"),
    ("net/ipv4/ip_forward", "1"),
];
/// Makes IPVS confirm its connections to connection tracking, without which nothing can masquerade them.
const CONNTRACK: (&str, &str) = ("net/ipv4/vs/conntrack", "1");

/// What was changed, and from what.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    before: Vec<(&'static str, String)>,
}

impl Sysctls {
    /// Makes the settings, remembering those that were different.
    pub fn set(&mut self, masquerade: bool) -> Result<(), ProxyError> {
        let conntrack = masquerade.then_some(CONNTRACK);
        for (name, value) in ALWAYS.into_iter().chain(conntrack) {
            let found = read(name)?;
            if found != value {
                write(name, value)?;
                self.before.push((name, found));
            }
        }
        Ok(())
    }

    /// Puts back what was changed. Goes on after an error.
    pub fn reset(&mut self) -> Result<(), ProxyError> {
        let changed = self.before.drain(..).rev();
        ProxyError::gather(changed.filter_map(|(name, value)| write(name, &value).err()).collect())
    }
}

fn path(name: &str) -> String {
    format!("/proc/sys/{name}")
}

fn read(name: &str) -> Result<String, ProxyError> {
    let path = path(name);
    let text = fs::read_to_string(&path).map_err(IoError::of("read", path))?;
    Ok(text.trim().to_owned())
}

fn write(name: &str, value: &str) -> Result<(), ProxyError> {
    let path = path(name);
    Ok(fs::write(&path, value).map_err(IoError::of("write", path))?)
}
