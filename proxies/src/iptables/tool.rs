//! Runs the iptables tools of one implementation, with the arguments that kube-proxy gives them.

use std::path::PathBuf;

use generators::Family;
use linux::{CpuTime, Tool};

use super::dump::Dump;
use super::teardown;
use crate::error::ProxyError;
use crate::options::{Options, TOOL_DEADLINE};

/// Arguments of `iptables-restore` (`restoreInternal` in pkg/util/iptables/iptables.go, Kubernetes
/// 1.35). kube-proxy's `-W` is left out: iptables 1.8.9 only warns of it.
pub(super) const RESTORE: &[&str] = &["-w", "5", "--noflush", "--counters"];

/// Which of the two implementations of the iptables tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The kernel's own iptables tables (`ip_tables`).
    Legacy,
    /// iptables rules in nftables tables (`nf_tables` with `nft_compat`).
    Nft,
}

impl Variant {
    /// The tool that makes one change a call, of IPv4.
    pub(crate) const fn tool(self) -> &'static str {
        self.tools(Family::V4).call
    }

    /// The tool that reads a text, of IPv4.
    pub(super) const fn restore_tool(self) -> &'static str {
        self.tools(Family::V4).restore
    }

    const fn tools(self, family: Family) -> Names {
        let (call, restore, save) = match (self, family) {
            (Self::Legacy, Family::V4) => {
                ("iptables-legacy", "iptables-legacy-restore", "iptables-legacy-save")
            }
            (Self::Legacy, Family::V6) => {
                ("ip6tables-legacy", "ip6tables-legacy-restore", "ip6tables-legacy-save")
            }
            (Self::Nft, Family::V4) => {
                ("iptables-nft", "iptables-nft-restore", "iptables-nft-save")
            }
            (Self::Nft, Family::V6) => {
                ("ip6tables-nft", "ip6tables-nft-restore", "ip6tables-nft-save")
            }
        };
        Names { call, restore, save }
    }
}

/// The names of the tools of one implementation and family.
struct Names {
    call: &'static str,
    restore: &'static str,
    save: &'static str,
}

/// The tools, and how to run them.
#[derive(Debug)]
pub(crate) struct IptablesTool {
    pub(super) variant: Variant,
    /// Whose rules they are.
    pub(super) family: Family,
    /// [`Options::xtables_lock`].
    lock_file: Option<PathBuf>,
}

impl From<Variant> for IptablesTool {
    /// With the lock file of the whole mount namespace.
    fn from(variant: Variant) -> Self {
        Self { variant, family: Family::V4, lock_file: None }
    }
}

impl IptablesTool {
    /// The tools of a family. Nothing is run.
    pub(crate) fn new(variant: Variant, family: Family, options: &Options) -> Self {
        Self { variant, family, lock_file: options.xtables_lock.clone() }
    }

    /// The tool that makes one change a call.
    pub(super) const fn program(&self) -> &'static str {
        self.names().call
    }

    const fn names(&self) -> Names {
        self.variant.tools(self.family)
    }

    /// Loads rules into chains called `KUBE-PROBE`, which nothing leads to, and removes them.
    pub(crate) fn try_rules(&self, rules: &str) -> Result<(), ProxyError> {
        let loaded = self.restore(rules.as_bytes());
        let mut removal = String::new();
        for table in rules.lines().filter(|line| line.starts_with('*')) {
            removal.extend([table, "\n:KUBE-PROBE - [0:0]\n-X KUBE-PROBE\nCOMMIT\n"]);
        }
        loaded.and(self.restore(removal.as_bytes())).map(drop)
    }

    /// Feeds a text to `iptables-restore`. What the text does not name stays.
    pub(crate) fn restore(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        Ok(self.run(self.names().restore, RESTORE).feed(text)?)
    }

    /// The same without `--noflush`, which empties the tables of the text first. kube-proxy never
    /// does this. With `--noflush`, `iptables-nft-restore` 1.8.9 keeps a sorted list of all chain
    /// names, which makes a full sync quadratic in them (`cache_chain_list_insert`,
    /// iptables/nft-cache.c).
    pub(super) fn replace(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        Ok(self.run(self.names().restore, &["-w", "5", "--counters"]).feed(text)?)
    }

    /// What `iptables-save` prints with these arguments.
    pub(crate) fn save(&self, args: &[&str]) -> Result<Vec<u8>, ProxyError> {
        Ok(self.run(self.names().save, args).read()?)
    }

    /// Whether the kernel has such tables, asked for as kube-proxy does (`Present` in
    /// pkg/util/iptables/iptables.go, Kubernetes 1.35).
    pub(crate) fn is_possible(&self) -> bool {
        self.call(&["-w", "5", "-S", "POSTROUTING", "-t", "nat"]).is_ok()
    }

    /// What `iptables` prints with these arguments.
    pub(super) fn call(&self, args: &[&str]) -> Result<Vec<u8>, ProxyError> {
        Ok(self.run(self.program(), args).read()?)
    }

    /// Removes every chain called `KUBE-*` and every jump to one.
    pub(crate) fn remove_rules(&self) -> Result<(), ProxyError> {
        let found = self.save(&[])?;
        match teardown::text(&Dump::parse(&found)?) {
            Some(text) => self.restore(text.as_bytes()).map(drop),
            None => Ok(()),
        }
    }

    fn run<'a>(&'a self, program: &'a str, args: &'a [&'a str]) -> Tool<'a> {
        let env = self.lock_file.as_deref().map(|path| ("XTABLES_LOCKFILE", path));
        Tool { program, args, env, deadline: TOOL_DEADLINE }
    }
}
