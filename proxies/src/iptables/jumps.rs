//! The jumps from built-in chains into kube-proxy's, and the empty canary chains: what is made once
//! and stays, one process a call, as kube-proxy makes it.
//!
//! `iptablesJumpChains` and `iptablesKubeletJumpChains` in pkg/proxy/iptables/proxier.go and
//! `EnsureChain`, `EnsureRule` and `Monitor` in pkg/util/iptables/iptables.go, Kubernetes 1.35.

use linux::ToolError;

use super::tool::IptablesTool;
use crate::error::ProxyError;

/// The chain whose disappearance would tell kube-proxy that somebody flushed the tables.
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";
/// The tables that hold a canary.
pub(super) const CANARY_TABLES: [&str; 3] = ["mangle", "nat", "filter"];

/// One rule in a built-in chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    /// Its table.
    pub table: &'static str,
    /// The built-in chain it is put in front of.
    pub from: &'static str,
    /// kube-proxy's chain.
    pub to: &'static str,
    /// Whether for new connections only.
    new_only: bool,
    /// Its comment, if it has one.
    comment: &'static str,
}

impl Jump {
    /// The rule as arguments, without its chain.
    fn args(&self) -> Vec<&'static str> {
        let mut args = Vec::new();
        if self.new_only {
            args.extend(["-m", "conntrack", "--ctstate", "NEW"]);
        }
        if !self.comment.is_empty() {
            args.extend(["-m", "comment", "--comment", self.comment]);
        }
        args.extend(["-j", self.to]);
        args
    }

    /// The rule as `iptables-save` prints it, without its chain.
    pub(super) fn rule(&self) -> String {
        let quoted = |word: &str| {
            if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
        };
        self.args().into_iter().map(quoted).collect::<Vec<_>>().join(" ")
    }
}

const fn jump(
    (table, from): (&'static str, &'static str),
    to: &'static str,
    (new_only, comment): (bool, &'static str),
) -> Jump {
    Jump { table, from, to, new_only, comment }
}

const PORTALS: (bool, &str) = (false, "kubernetes service portals");
const NEW_PORTALS: (bool, &str) = (true, "kubernetes service portals");
const NEW_EXTERNAL: (bool, &str) = (true, "kubernetes externally-visible service portals");
const NEW_FIREWALL: (bool, &str) = (true, "kubernetes load balancer firewall");
const HEALTH: (bool, &str) = (false, "kubernetes health check service ports");
const FORWARDING: (bool, &str) = (false, "kubernetes forwarding rules");
const POSTROUTING: (bool, &str) = (false, "kubernetes postrouting rules");
const ALWAYS: (bool, &str) = (false, "");

/// All jumps in the order in which they are made; each goes to the front of its chain.
pub(super) const JUMPS: [Jump; 14] = [
    jump(("filter", "INPUT"), "KUBE-EXTERNAL-SERVICES", NEW_EXTERNAL),
    jump(("filter", "FORWARD"), "KUBE-EXTERNAL-SERVICES", NEW_EXTERNAL),
    jump(("filter", "INPUT"), "KUBE-NODEPORTS", HEALTH),
    jump(("filter", "FORWARD"), "KUBE-SERVICES", NEW_PORTALS),
    jump(("filter", "OUTPUT"), "KUBE-SERVICES", NEW_PORTALS),
    jump(("filter", "FORWARD"), "KUBE-FORWARD", FORWARDING),
    jump(("filter", "INPUT"), "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump(("filter", "OUTPUT"), "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump(("filter", "FORWARD"), "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump(("nat", "OUTPUT"), "KUBE-SERVICES", PORTALS),
    jump(("nat", "PREROUTING"), "KUBE-SERVICES", PORTALS),
    jump(("nat", "POSTROUTING"), "KUBE-POSTROUTING", POSTROUTING),
    jump(("filter", "INPUT"), "KUBE-FIREWALL", ALWAYS),
    jump(("filter", "OUTPUT"), "KUBE-FIREWALL", ALWAYS),
];

/// Makes what is missing of the canary chains and the jumps. 31 processes if all is there.
///
/// # Errors
/// The first call that `iptables` refused.
pub(super) fn ensure(tool: &IptablesTool) -> Result<(), ProxyError> {
    for table in CANARY_TABLES {
        ensure_chain(tool, table, CANARY)?;
    }
    for jump in &JUMPS {
        ensure_chain(tool, jump.table, jump.to)?;
        ensure_rule(tool, jump)?;
    }
    Ok(())
}

/// `-N`. That the chain exists is told by exit status 1, upstream relies on the same.
fn ensure_chain(tool: &IptablesTool, table: &str, chain: &str) -> Result<(), ProxyError> {
    match tool.call(&["-w", "-t", table, "-N", chain]) {
        Err(ProxyError::Tool(ToolError::Failed { status, .. })) if status == "exit status: 1" => {
            Ok(())
        }
        other => other.map(drop),
    }
}

/// `-C` and, if that does not find the rule, `-I`.
fn ensure_rule(tool: &IptablesTool, jump: &Jump) -> Result<(), ProxyError> {
    let Jump { table, from, .. } = *jump;
    let call = |verb| tool.call(&[&["-w", "-t", table, verb, from], &jump.args()[..]].concat());
    match call("-C") {
        Err(ProxyError::Tool(ToolError::Failed { .. })) => call("-I").map(drop),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_says_its_condition_then_its_comment_then_its_target() {
        assert_eq!(
            JUMPS[3].rule(),
            "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" \
             -j KUBE-SERVICES"
        );
        assert_eq!(JUMPS[13].rule(), "-j KUBE-FIREWALL");
    }

    #[test]
    fn there_are_nine_filter_jumps_three_nat_jumps_and_two_of_kubelet() {
        let of = |table| JUMPS.iter().filter(|jump| jump.table == table).count();
        assert_eq!((of("filter"), of("nat")), (9 + 2, 3));
    }
}
