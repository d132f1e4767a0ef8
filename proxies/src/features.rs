//! What this kernel and these tools can do, found by trying each thing in the current network
//! namespace, which is to be thrown away afterwards. Reads no configuration of the kernel, and
//! programs no Cluster.

use std::time::Duration;

use linux::Tool;
use serde::{Deserialize, Serialize};

use crate::backends::backends;
use crate::error::ProxyError;
use crate::iptables::tool::Variant;
use crate::ipvs;
use crate::options::Options;

/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// A set for the match `set` to look into.
const SET: &str = "vipbench-features";

/// Tables of iptables-legacy, each a kernel module of its own.
const LEGACY_TABLES: [&str; 4] = ["filter", "nat", "mangle", "raw"];

/// Name, table, and a rule that needs the match. kube-proxy's first
/// (`pkg/proxy/iptables/proxier.go`, Kubernetes 1.35).
const MATCHES: [(&str, &str, &str); 11] = [
    ("addrtype", "filter", "-A INPUT -m addrtype --dst-type LOCAL"),
    ("comment", "filter", "-A INPUT -m comment --comment x"),
    ("conntrack", "filter", "-A INPUT -m conntrack --ctstate NEW"),
    ("mark", "filter", "-A INPUT -m mark --mark 1"),
    ("statistic", "filter", "-A INPUT -m statistic --mode random --probability 0.5"),
    ("recent", "filter", "-A INPUT -m recent --name x --set"),
    ("set", "filter", "-A INPUT -m set --match-set vipbench-features dst"),
    ("ipvs", "filter", "-A INPUT -m ipvs --ipvs"),
    ("multiport", "filter", "-A INPUT -p tcp -m multiport --dports 1,2"),
    ("tcp", "filter", "-A INPUT -p tcp -m tcp --dport 1"),
    ("udp", "filter", "-A INPUT -p udp -m udp --dport 1"),
];

/// Name, table, and a rule with the target.
const TARGETS: [(&str, &str, &str); 5] = [
    ("DNAT", "nat", "-A PREROUTING -p tcp -j DNAT --to-destination 192.0.2.1:1"),
    ("MASQUERADE", "nat", "-A POSTROUTING -j MASQUERADE --random-fully"),
    ("REDIRECT", "nat", "-A PREROUTING -p tcp -j REDIRECT --to-ports 1"),
    ("MARK", "mangle", "-A PREROUTING -j MARK --or-mark 0x4000"),
    ("REJECT", "filter", "-A INPUT -j REJECT"),
];

/// Types of sets that kube-proxy's IPVS mode makes (`pkg/proxy/ipvs/ipset.go`, Kubernetes 1.30),
/// and what `ipset create` wants besides.
const SETS: [(&str, &[&str]); 4] = [
    ("hash:ip", &[]),
    ("hash:ip,port", &[]),
    ("hash:ip,port,ip", &[]),
    ("bitmap:port", &["range", "0-65535"]),
];

/// Schedulers of IPVS (`net/netfilter/ipvs/Kconfig`, Linux 6.1).
pub const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "twos"];

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// What it belongs to: `proxy`, `legacy table`, `legacy match`, `nft target`, `set`,
    /// `scheduler`, ...
    pub group: String,
    /// Its name as users write it.
    pub name: String,
    /// Why it does not work here; nothing when it does.
    pub missing: Option<String>,
}

/// Tries everything in the current network namespace, and leaves rules, sets and virtual services
/// there.
pub fn try_all() -> Vec<Feature> {
    let mut features = Vec::new();
    let mut note = |group: &str, name: &str, tried: Result<(), ProxyError>| {
        let missing = tried.err().map(|error| error.to_string());
        features.push(Feature { group: group.to_owned(), name: name.to_owned(), missing });
    };
    for backend in backends() {
        note("proxy", backend.name, backend.open(&Options::default()).probe());
    }
    for table in LEGACY_TABLES {
        note("legacy table", table, iptables(Variant::Legacy, table, "-S"));
    }
    for (name, more) in SETS {
        note("set", name, ipset(name, name, more));
    }
    // Its own failure shows as that of the match.
    let _ = ipset(SET, "hash:ip", &[]);
    for (variant, matches, targets) in [
        (Variant::Legacy, "legacy match", "legacy target"),
        (Variant::Nft, "nft match", "nft target"),
    ] {
        for (group, all) in [(matches, &MATCHES[..]), (targets, &TARGETS[..])] {
            for &(name, table, rule) in all {
                note(group, name, iptables(variant, table, rule));
            }
        }
    }
    for scheduler in SCHEDULERS {
        note("scheduler", scheduler, ipvs::try_scheduler(scheduler));
    }
    features
}

fn iptables(variant: Variant, table: &str, rule: &str) -> Result<(), ProxyError> {
    let args: Vec<&str> = ["-w", "5", "-t", table].into_iter().chain(rule.split(' ')).collect();
    run(variant.tool(), &args)
}

fn ipset(name: &str, kind: &str, more: &[&str]) -> Result<(), ProxyError> {
    run("ipset", &[&["create", name, kind], more].concat())
}

fn run(program: &str, args: &[&str]) -> Result<(), ProxyError> {
    Tool { program, args, env: None, deadline: DEADLINE }.read()?;
    Ok(())
}
