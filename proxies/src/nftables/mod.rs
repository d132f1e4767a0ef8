//! kube-proxy's nftables mode, in the rule layouts of Kubernetes 1.33, 1.36 and 1.37.
//!
//! The same table, chains, maps, order and tool as pkg/proxy/nftables: a sync reads what is there, then hands one
//! transaction to `nft -f -`. A full sync is the first of a process. Chains that nothing leads to any more are emptied at
//! once and deleted at the start of the next sync, in a transaction of its own; upstream waits a second, which is the
//! least time between two syncs by default. Clean-up of connection tracking is not part of a sync here.

mod dump;
mod elements;
mod expected;
mod fixed;
mod layout;
mod listing;
mod names;
mod render;
mod text;
mod verify;

use linux::{CpuTime, Tool, ToolError};
use std::collections::BTreeSet;

use generators::Cluster;

use crate::error::ProxyError;
use crate::open::Options;
use crate::proxy::{Payload, Program, Proxy, ProxyKind, Size, SyncRequest};
use crate::text::Text;
use dump::Dump;
pub(crate) use layout::Layout;
use render::{Found, Rendered};
use text::TABLE;

/// Name of the table.
const TABLE_NAME: &str = "kube-proxy";

/// How many errors of one `nft` are told.
const ERRORS_MAX: usize = 3;

/// A rule of every kind that a sync writes, in a table of its own in which nothing leads to them.
const PROBE: &str = "\
add table ip vipbench-probe
add set ip vipbench-probe addresses { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; }
add map ip vipbench-probe verdicts { type ipv4_addr . inet_proto . inet_service : verdict ; }
add chain ip vipbench-probe probe-hook { type nat hook output priority -100 ; }
add chain ip vipbench-probe probe-nat
add chain ip vipbench-probe probe-reject
add chain ip vipbench-probe probe-masquerade
add rule ip vipbench-probe probe-reject ct state new ct status dnat reject
add rule ip vipbench-probe probe-masquerade mark set mark or 0x4000 masquerade fully-random
add rule ip vipbench-probe probe-masquerade ip saddr . ip daddr . meta l4proto . th dport @addresses return
add rule ip vipbench-probe probe-nat fib daddr type local ip daddr . meta l4proto . th dport vmap @verdicts
add rule ip vipbench-probe probe-nat meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 192.0.2.1 . 1 }
add element ip vipbench-probe verdicts { 192.0.2.1 . tcp . 1 : goto probe-reject }
delete table ip vipbench-probe
";

/// A rendered transaction.
#[derive(Debug)]
pub(crate) struct NftProgram {
    /// Input of `nft -f -`.
    pub text: Vec<u8>,
    /// All chains that are empty after it, which a later sync is to delete.
    stale: BTreeSet<String>,
}

/// The tool.
#[derive(Debug)]
pub(crate) struct Nft {
    deadline: std::time::Duration,
}

impl Nft {
    /// Runs one transaction.
    fn apply(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        Ok(self.tool(&["-f", "-"]).feed(text).map_err(shortened)?)
    }

    /// What a `list` prints; nothing if what is listed does not exist.
    fn list(&self, args: &[&str]) -> Result<Option<Vec<u8>>, ProxyError> {
        match self.tool(args).read() {
            Err(ToolError::Failed { stderr, .. })
                if stderr.contains("No such file or directory") =>
            {
                Ok(None)
            }
            other => Ok(Some(other?)),
        }
    }

    fn tool<'a>(&self, args: &'a [&'a str]) -> Tool<'a> {
        Tool { program: "nft", args, env: None, deadline: self.deadline }
    }
}

/// `nft` repeats each refused command and underlines it, which says nothing that the quoted line of the input does not.
fn shortened(error: ToolError) -> ToolError {
    match error {
        ToolError::Failed { command, status, input, stderr } => {
            let errors: Vec<&str> =
                stderr.lines().filter(|line| line.contains("Error: ")).take(ERRORS_MAX).collect();
            let stderr = if errors.is_empty() { stderr } else { errors.join("; ") };
            ToolError::Failed { command, status, input, stderr }
        }
        other => other,
    }
}

/// The backends `nftables-1.33`, `nftables-1.36` and `nftables-1.37`.
#[derive(Debug)]
pub(crate) struct Nftables {
    layout: Layout,
    options: Options,
    nft: Nft,
    /// What a full sync found.
    found: Found,
    /// Chains that earlier syncs emptied and that are still there.
    stale: BTreeSet<String>,
}

impl Nftables {
    /// A backend with these rules. Nothing is run.
    pub(crate) fn new(layout: Layout, options: &Options) -> Self {
        Self {
            layout,
            options: options.clone(),
            nft: Nft { deadline: options.nftables.deadline },
            found: Found::default(),
            stale: BTreeSet::new(),
        }
    }

    /// Deletes what earlier syncs emptied. A refusal is no failure: kernels before 6.2 may not have noticed yet that
    /// nothing leads to a chain, and the next sync tries again.
    fn delete_stale_chains(&mut self) -> Result<(), ProxyError> {
        if self.stale.is_empty() {
            return Ok(());
        }
        let mut text = Text::default();
        for chain in &self.stale {
            text.str("delete chain ").str(TABLE).str(" ").str(chain).end();
        }
        match self.nft.apply(text.as_bytes()) {
            Ok(_) => self.stale.clear(),
            Err(ProxyError::Tool(ToolError::Failed { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Proxy for Nftables {
    fn kind(&self) -> ProxyKind {
        self.layout.kind()
    }

    /// Loads one rule of every kind into a table that it then removes, all in one transaction, and lists what is there.
    fn probe(&mut self) -> Result<(), ProxyError> {
        let loaded = self.nft.apply(PROBE.as_bytes());
        match loaded.and_then(|_| listing::chains(&self.nft, self.layout)) {
            Err(error @ ProxyError::Tool(ToolError::Failed { .. })) => Err(ProxyError::Unsupported {
                what: self.kind().to_string(),
                reason: error.to_string(),
                remedy: "run it as root with nft 1.0.1 or newer, built with JSON, on a kernel with nf_tables, \
                         nft_chain_nat, nft_ct, nft_fib_ipv4, nft_masq, nft_nat, nft_numgen and \
                         nft_reject_ipv4"
                    .into(),
            }),
            other => other.map(drop),
        }
    }

    /// Deletes chains that earlier syncs emptied, and lists what is there.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        self.delete_stale_chains()?;
        let listed = match request {
            SyncRequest::Full(_) => {
                self.found = listing::found(&self.nft, self.layout)?;
                &self.found.chains
            }
            SyncRequest::Incremental { .. } => &listing::chains(&self.nft, self.layout)?,
        };
        // What others deleted is not there to be deleted again.
        self.stale.retain(|chain| listed.contains(chain));
        Ok(())
    }

    /// One transaction for `nft -f -`.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let Rendered { text, stale } = match request {
            SyncRequest::Full(cluster) => {
                render::full(self.layout, &self.options, cluster, &self.found)
            }
            SyncRequest::Incremental { before, after, changes } => {
                let change = render::Change { before, after, changes, stale: &self.stale };
                render::incremental(self.layout, &self.options, change)?
            }
        };
        let (text, rules) = text.into_parts();
        let size = Size { rules, messages: 0, bytes: text.len() as u64 };
        Ok(Program { size, payload: Payload::Nft(NftProgram { text, stale }) })
    }

    /// One `nft -f -`: all of it, or nothing.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Payload::Nft(NftProgram { text, stale }) = &program.payload else {
            return Err(ProxyError::ForeignProgram { proxy: self.kind() });
        };
        let applied = self.nft.apply(text)?;
        self.found = Found::default();
        self.stale.clone_from(stale);
        Ok(applied)
    }

    /// Compares `nft list table` with what it should print of this Cluster.
    fn verify(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        let expected = expected::table(self.layout, &self.options, cluster);
        match self.nft.list(&["list", "table", "ip", TABLE_NAME])? {
            Some(text) => verify::compare(&expected, &Dump::parse(&text)?),
            None => Err(ProxyError::Mismatch {
                count: 1,
                first: format!("table ip {TABLE_NAME} is missing"),
            }),
        }
    }

    /// Deletes the table. Made before it is deleted, since deleting what is not there is an error.
    fn teardown(&mut self) -> Result<(), ProxyError> {
        self.found = Found::default();
        self.stale.clear();
        let mut text = Text::default();
        for verb in ["add", "delete"] {
            text.str(verb).str(" table ").str(TABLE).end();
        }
        self.nft.apply(text.as_bytes()).map(drop)
    }
}
