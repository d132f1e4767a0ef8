//! kube-proxy's iptables mode, through `iptables-legacy` or `iptables-nft`.
//!
//! The same chains, rules, order and tools as pkg/proxy/iptables, Kubernetes 1.35: a sync is one
//! text for `iptables-restore --noflush --counters`. The deprecated `-W` option, which only makes
//! iptables 1.8.9 print a warning, is left out. Connection-tracking clean-up after a UDP change is
//! not part of a sync here.

mod dump;
mod jumps;
mod names;
mod render;
mod saved;
mod teardown;
mod text;
mod verify;

use generators::Cluster;
use linux::sysctl::Sysctls;
use linux::{CpuTime, Tool, ToolError};

use crate::error::ProxyError;
use crate::open::Options;
use crate::proxy::{Payload, Program, Proxy, ProxyKind, Size, SyncRequest};
use dump::Dump;
use names::Chain;

/// Which of the two implementations of the iptables tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The kernel's own iptables tables (`ip_tables`).
    Legacy,
    /// iptables rules in nftables tables (`nf_tables` with `nft_compat`).
    Nft,
}

impl Variant {
    pub(crate) const fn tool(self) -> &'static str {
        match self {
            Self::Legacy => "iptables-legacy",
            Self::Nft => "iptables-nft",
        }
    }

    const fn restore_tool(self) -> &'static str {
        match self {
            Self::Legacy => "iptables-legacy-restore",
            Self::Nft => "iptables-nft-restore",
        }
    }

    const fn save_tool(self) -> &'static str {
        match self {
            Self::Legacy => "iptables-legacy-save",
            Self::Nft => "iptables-nft-save",
        }
    }

    const fn kernel_modules(self) -> &'static str {
        match self {
            Self::Legacy => "iptable_nat, iptable_filter, iptable_mangle",
            Self::Nft => "nf_tables, nft_compat, nft_chain_nat",
        }
    }
}

/// The backends `iptables-legacy` and `iptables-nft`.
#[derive(Debug)]
pub(crate) struct Iptables {
    variant: Variant,
    options: Options,
    /// Chains of Services that `prepare` found in the namespace.
    existing: Vec<Chain>,
    sysctls: Sysctls,
}

/// A rule of every kind that a sync writes, in chains that nothing leads to.
const PROBE: &str = "\
*filter
:KUBE-PROBE - [0:0]
-A KUBE-PROBE -m comment --comment probe -m conntrack --ctstate NEW -j REJECT
-A KUBE-PROBE -m addrtype --dst-type LOCAL -m mark --mark 0x00004000/0x00004000 -j DROP
COMMIT
*nat
:KUBE-PROBE - [0:0]
-A KUBE-PROBE -m tcp -p tcp -m statistic --mode random --probability 0.5 -j DNAT \
--to-destination 192.0.2.1:1
-A KUBE-PROBE -m udp -p udp --dport 1 -j MARK --or-mark 0x00004000
-A KUBE-PROBE -j MASQUERADE --random-fully
COMMIT
*mangle
:KUBE-PROBE - [0:0]
COMMIT
";

const PROBE_REMOVAL: &str = "\
*filter
:KUBE-PROBE - [0:0]
-X KUBE-PROBE
COMMIT
*nat
:KUBE-PROBE - [0:0]
-X KUBE-PROBE
COMMIT
*mangle
:KUBE-PROBE - [0:0]
-X KUBE-PROBE
COMMIT
";

impl Iptables {
    /// A backend for this implementation. Nothing is run.
    pub(crate) fn new(variant: Variant, options: &Options) -> Self {
        Self {
            variant,
            options: options.clone(),
            existing: Vec::new(),
            sysctls: Sysctls::default(),
        }
    }

    /// Feeds a text to `iptables-restore` with the arguments that kube-proxy gives it
    /// (`restoreInternal` in pkg/util/iptables/iptables.go, Kubernetes 1.35).
    pub(crate) fn restore(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        let args = ["-w", "5", "--noflush", "--counters"];
        Ok(self.run(self.variant.restore_tool(), &args).feed(text)?)
    }

    /// The same without `--noflush`, which empties the text's tables first: the jumps can only come after it.
    fn replace(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        let applied =
            self.run(self.variant.restore_tool(), &["-w", "5", "--counters"]).feed(text)?;
        jumps::ensure(self.variant)?;
        Ok(applied)
    }

    pub(crate) fn save(&self, args: &[&str]) -> Result<Vec<u8>, ProxyError> {
        Ok(self.run(self.variant.save_tool(), args).read()?)
    }

    fn run<'a>(&'a self, program: &'a str, args: &'a [&'a str]) -> Tool<'a> {
        let options = &self.options.iptables;
        let env = options.lock_file.as_deref().map(|path| ("XTABLES_LOCKFILE", path));
        Tool { program, args, env, deadline: options.deadline }
    }

    /// The chains of Services that are in the nat table, in the order of the table.
    fn existing_chains(&self) -> Result<Vec<Chain>, ProxyError> {
        let text = self.save(&["-t", "nat"])?;
        // As upstream: by line, not by rule (`GetChainsFromTable` in
        // pkg/util/iptables/save_restore.go, Kubernetes 1.35).
        let chains = text.split(|byte| *byte == b'\n').filter_map(|line| {
            let name = line.strip_prefix(b":")?.split(|byte| *byte == b' ').next()?;
            Chain::parse(std::str::from_utf8(name).ok()?)
        });
        Ok(chains.collect())
    }
}

impl Proxy for Iptables {
    fn kind(&self) -> ProxyKind {
        match self.variant {
            Variant::Legacy => ProxyKind::IptablesLegacy,
            Variant::Nft => ProxyKind::IptablesNft,
        }
    }

    /// Loads one rule of every kind into chains that nothing leads to, and removes them.
    fn probe(&mut self) -> Result<(), ProxyError> {
        let loaded = self.restore(PROBE.as_bytes());
        let removed = self.restore(PROBE_REMOVAL.as_bytes());
        match loaded.and(removed) {
            Err(error @ ProxyError::Tool(ToolError::Failed { .. })) => {
                Err(ProxyError::Unsupported {
                    what: self.kind().to_string(),
                    reason: error.to_string(),
                    remedy: format!(
                        "run it as root on a kernel with {}, nf_conntrack, nf_nat, xt_addrtype, \
                     xt_comment, xt_conntrack, xt_mark, xt_statistic, xt_tcpudp, xt_nat, \
                     xt_MASQUERADE and ipt_REJECT",
                        self.variant.kernel_modules()
                    ),
                })
            }
            other => other.map(drop),
        }
    }

    /// On a full request: `route_localnet`, canary chains, jumps, and a look at the chains that are
    /// there. On an incremental one nothing, since kube-proxy does none of this then.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        if let SyncRequest::Full(_) = request {
            if self.options.has_localhost_node_ports() {
                self.sysctls.change("net.ipv4.conf.all.route_localnet", "1")?;
            }
            if !self.options.iptables.replace_tables {
                jumps::ensure(self.variant)?;
                self.existing = self.existing_chains()?;
            }
        }
        Ok(())
    }

    /// The text for `iptables-restore`.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let text = match request {
            SyncRequest::Full(cluster) => render::full(&self.options, cluster, &self.existing),
            SyncRequest::Incremental { before, after, changes } => {
                render::incremental(&self.options, before, after, changes)?
            }
        };
        let (text, rules) = text.into_parts();
        let size = Size { rules, messages: 0, bytes: text.len() as u64 };
        Ok(Program { size, payload: Payload::Restore(text) })
    }

    /// One `iptables-restore`, which commits filter and then nat. If nat is refused, filter stays.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Payload::Restore(text) = &program.payload else {
            return Err(ProxyError::ForeignProgram { proxy: self.kind() });
        };
        if self.options.iptables.replace_tables { self.replace(text) } else { self.restore(text) }
    }

    /// Compares `iptables-save` with what it should print of this Cluster.
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        let found = self.save(&[])?;
        let expected = saved::text(&self.options, cluster);
        verify::compare(&Dump::parse(expected.as_bytes())?, &Dump::parse(&found)?)
    }

    /// Removes every chain called `KUBE-*` and every jump to one, in one text, then resets
    /// `route_localnet`. Tables and built-in chains stay, empty.
    fn teardown(&mut self) -> Result<(), ProxyError> {
        self.existing.clear();
        let mut errors = Vec::new();
        errors.extend(self.remove_rules().err());
        errors.extend(self.sysctls.restore().into_iter().map(ProxyError::from));
        ProxyError::gather(errors)
    }
}

impl Iptables {
    pub(crate) fn remove_rules(&self) -> Result<(), ProxyError> {
        let found = self.save(&[])?;
        match teardown::text(&Dump::parse(&found)?) {
            Some(text) => self.restore(text.as_bytes()).map(drop),
            None => Ok(()),
        }
    }
}
