//! The jumps from built-in chains into kube-proxy's, and the empty canary chains: what is made once
//! and stays, one process a call, as kube-proxy makes it.
//!
//! `iptablesJumpChains` and `iptablesKubeletJumpChains` in pkg/proxy/iptables/proxier.go and
//! `EnsureChain`, `EnsureRule` and `Monitor` in pkg/util/iptables/iptables.go, Kubernetes 1.35.

use std::error::Error;
use std::io;

use iptables::IPTables;
use iptables::error::IptablesError;
use linux::{IoError, ToolError};

use super::tool::IptablesTool;
use crate::error::ProxyError;

/// The chain whose disappearance would tell kube-proxy that somebody flushed the tables.
const CANARY: &str = "KUBE-PROXY-CANARY";
/// The tables that hold a canary.
const CANARY_TABLES: [&str; 3] = ["mangle", "nat", "filter"];

/// One rule in a built-in chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jump {
    /// Its table.
    pub table: &'static str,
    /// The built-in chain it is put in front of.
    from: &'static str,
    /// kube-proxy's chain.
    to: &'static str,
    /// What comes before the target, as `iptables-save` prints it too.
    matches: &'static str,
}

impl Jump {
    /// The rule, without its chain. Written and saved form are the same.
    fn rule(&self) -> String {
        format!("{}-j {}", self.matches, self.to)
    }
}

/// A jump from a built-in chain of a table; `matches` ends with a space, or is empty.
pub(crate) const fn jump(
    table: &'static str,
    from: &'static str,
    to: &'static str,
    matches: &'static str,
) -> Jump {
    Jump { table, from, to, matches }
}

const PORTALS: &str = "-m comment --comment \"kubernetes service portals\" ";
const NEW_PORTALS: &str =
    "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" ";
const NEW_EXTERNAL: &str = "-m conntrack --ctstate NEW -m comment --comment \
    \"kubernetes externally-visible service portals\" ";
const NEW_FIREWALL: &str =
    "-m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\" ";
const HEALTH: &str = "-m comment --comment \"kubernetes health check service ports\" ";
const FORWARDING: &str = "-m comment --comment \"kubernetes forwarding rules\" ";
const POSTROUTING: &str = "-m comment --comment \"kubernetes postrouting rules\" ";

/// All jumps in the order in which they are made; each goes to the front of its chain.
const JUMPS: [Jump; 14] = [
    jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", NEW_EXTERNAL),
    jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", NEW_EXTERNAL),
    jump("filter", "INPUT", "KUBE-NODEPORTS", HEALTH),
    jump("filter", "FORWARD", "KUBE-SERVICES", NEW_PORTALS),
    jump("filter", "OUTPUT", "KUBE-SERVICES", NEW_PORTALS),
    jump("filter", "FORWARD", "KUBE-FORWARD", FORWARDING),
    jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", NEW_FIREWALL),
    jump("nat", "OUTPUT", "KUBE-SERVICES", PORTALS),
    jump("nat", "PREROUTING", "KUBE-SERVICES", PORTALS),
    jump("nat", "POSTROUTING", "KUBE-POSTROUTING", POSTROUTING),
    jump("filter", "INPUT", "KUBE-FIREWALL", ""),
    jump("filter", "OUTPUT", "KUBE-FIREWALL", ""),
];

/// All of this as `iptables-save` prints it.
pub(super) fn saved() -> String {
    let mut text = String::new();
    for table in CANARY_TABLES {
        text.extend(["*", table, "\n:", CANARY, " - [0:0]\nCOMMIT\n"]);
    }
    text + &saved_jumps(&JUMPS)
}

/// Jumps and what they lead to as `iptables-save` prints them: the jump made last is in front.
pub(crate) fn saved_jumps(jumps: &[Jump]) -> String {
    let mut text = String::new();
    for jump in jumps.iter().rev() {
        text.extend(["*", jump.table, "\n:", jump.to, " - [0:0]\n"]);
        text.extend([":", jump.from, " ACCEPT [0:0]\n-A ", jump.from, " ", &jump.rule()]);
        text.push_str("\nCOMMIT\n");
    }
    text
}

/// Makes what is missing of the canary chains and the jumps. 31 processes if all is there.
///
/// # Errors
/// The first call that `iptables` refused.
pub(super) fn ensure(tool: &IptablesTool) -> Result<(), ProxyError> {
    let tool = caller(tool);
    for table in CANARY_TABLES {
        ensure_chain(&tool, table, CANARY)?;
    }
    for jump in &JUMPS {
        ensure_chain(&tool, jump.table, jump.to)?;
        ensure_rule(&tool, jump)?;
    }
    Ok(())
}

/// Makes what is missing of chains (each with its table) and then of jumps, one process a call.
///
/// # Errors
/// The first call that `iptables` refused.
pub(crate) fn ensure_chains_and_jumps(
    tool: &IptablesTool,
    chains: impl IntoIterator<Item = (&'static str, &'static str)>,
    jumps: &[Jump],
) -> Result<(), ProxyError> {
    let tool = caller(tool);
    for (table, chain) in chains {
        ensure_chain(&tool, table, chain)?;
    }
    jumps.iter().try_for_each(|jump| ensure_rule(&tool, jump))
}

/// Built by hand, not by `iptables::new`, which would ask whatever is called plain `iptables` for
/// its version: a tool of this name has all of these options.
fn caller(tool: &IptablesTool) -> IPTables {
    IPTables { cmd: tool.program(), has_check: true, has_wait: true, is_numeric: true }
}

/// `-N`. That the chain exists is told by exit status 1, upstream relies on the same.
fn ensure_chain(tool: &IPTables, table: &str, chain: &str) -> Result<(), ProxyError> {
    match tool.new_chain(table, chain) {
        Err(error) if !exists_already(&*error) => {
            Err(refused(format!("{} -t {table} -N {chain}", tool.cmd), &*error))
        }
        _ => Ok(()),
    }
}

/// `-C` and, if that does not find the rule, `-I`.
fn ensure_rule(tool: &IPTables, jump: &Jump) -> Result<(), ProxyError> {
    let Jump { table, from, .. } = *jump;
    let rule = jump.rule();
    let command = |verb: &str| format!("{} -t {table} {verb} {from} {rule}", tool.cmd);
    if tool.exists(table, from, &rule).map_err(|error| refused(command("-C"), &*error))? {
        return Ok(());
    }
    tool.insert(table, from, &rule, 1).map_err(|error| refused(command("-I"), &*error))
}

fn exists_already(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<IptablesError>().is_some_and(|error| error.code == 1)
}

fn refused(command: String, error: &(dyn Error + 'static)) -> ProxyError {
    if let Some(error) = error.downcast_ref::<IptablesError>() {
        return ProxyError::Tool(ToolError::Failed {
            command,
            status: format!("exit status: {}", error.code),
            stderr: error.msg.trim().chars().take(512).collect(),
            input: None,
        });
    }
    // The crate passes on what `Command` said, as a box that cannot be sent between threads.
    let source = error.downcast_ref::<io::Error>().map_or_else(
        || io::Error::other(error.to_string()),
        |error| io::Error::new(error.kind(), error.to_string()),
    );
    IoError::of("run", command)(source).into()
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
