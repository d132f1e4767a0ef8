//! kube-proxy's nftables mode, in the rule layouts of Kubernetes 1.33, 1.36 and 1.37.
//!
//! The same table, chains, maps, order and tool as pkg/proxy/nftables: a sync reads what is there,
//! then hands one transaction to `nft -f -`. A full sync is the first of a process. Chains that
//! nothing leads to any more are emptied at once and deleted at the start of the next sync, in a
//! transaction of its own; upstream waits a second, which is the least time between two syncs by
//! default. What is done in which family, and when: `crate::families`.

mod commands;
mod dump;
mod elements;
mod fixed;
mod layout;
mod listing;
mod names;
mod nft;
pub(crate) mod options;
mod render;
mod service_rules;
mod slow_down;
mod text;
mod verify;

use std::collections::BTreeSet;

use generators::{Cluster, Family};
use linux::{CpuTime, ToolError};

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Admin, Cost, Descriptor, Format, Open, Tool};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::families::{Families, has_ipv6};
use crate::modules::{CONNTRACK, NF_TABLES};
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use crate::text::Text;
use dump::Dump;
pub(crate) use layout::Layout;
use options::Listing;
use render::{Found, Rendered};
use text::TABLE_NAME;
#[cfg(test)]
pub(crate) use {commands::listed_rule, verify::with_number};

/// The backend `nftables-1.33`.
pub(crate) static V1_33: Descriptor = Descriptor {
    summary: "kube-proxy's nftables mode in the rule layout of Kubernetes 1.33.0 to 1.33.2",
    deviations: deviations::NFTABLES_1_33,
    ..descriptor(
        ("nftables-1.33", "green"),
        &[Format {
            name: "nft-1.33",
            help: "Input of `nft -f`, in kube-proxy's rule layout of Kubernetes 1.33",
            text: |cluster, options| full_text(Layout::V1_33, cluster, options),
        }],
        |_, options| Box::new(Nftables::new(&V1_33, Layout::V1_33, options)),
    )
};

/// The backend `nftables-1.36`.
pub(crate) static V1_36: Descriptor = Descriptor {
    summary: "the same in the layout of 1.36",
    ..descriptor(
        ("nftables-1.36", "olive"),
        &[Format {
            name: "nft-1.36",
            help: "The same in the layout of 1.36",
            text: |cluster, options| full_text(Layout::V1_36, cluster, options),
        }],
        |_, options| Box::new(Nftables::new(&V1_36, Layout::V1_36, options)),
    )
};

/// The backend `nftables-1.37`.
pub(crate) static V1_37: Descriptor = Descriptor {
    summary: "the same in the layout of 1.37",
    // A map a Service makes the kernel's work quadratic; a direct translation does not.
    cost: |services, endpoints| {
        if endpoints <= services {
            Cost { sync: 300, per_1000_endpoints: 1_200, ..Cost::NOTHING }
        } else {
            COST
        }
    },
    ..descriptor(
        ("nftables-1.37", "violet"),
        &[Format {
            name: "nft-1.37",
            help: "The same in the layout of 1.37",
            text: |cluster, options| full_text(Layout::V1_37, cluster, options),
        }],
        |_, options| Box::new(Nftables::new(&V1_37, Layout::V1_37, options)),
    )
};

const COST: Cost = Cost {
    sync: 300,
    per_1000_endpoints: 1_500,
    per_million_pairs: 2_500,
    per_1000_services_passed: 0,
};

/// What the three have in common.
const fn descriptor(
    (name, colour): (&'static str, &'static str),
    formats: &'static [Format; 1],
    open: Open,
) -> Descriptor {
    Descriptor {
        colour,
        tools: &[Tool { program: "nft", package: "nftables", also: &[] }],
        modules: &[CONNTRACK, NF_TABLES],
        admin: Some(Admin {
            formats,
            says_services: true,
            ..Admin::new("nft", "nftables", &["-f", "-"], formats[0].text)
        }),
        slow_down: Some(slow_down::slow_down),
        cost: |_, _| COST,
        ..Descriptor::new(name, "nftables", open)
    }
}

/// What a full sync of an empty namespace hands to `nft`; of IPv6 only where there are Services of
/// it.
fn full_text(layout: Layout, cluster: &Cluster, options: &Options) -> Vec<u8> {
    let text = |family| {
        let rendered = render::full(layout, options, family, cluster, &Found::default());
        rendered.text.into_parts().0
    };
    let mut both = text(Family::V4);
    if has_ipv6(cluster) {
        both.extend(text(Family::V6));
    }
    both
}

/// What `nft list table` prints of a namespace that got this.
pub(crate) fn listed(layout: Layout, family: Family, cluster: &Cluster, options: &Options) -> Dump {
    let rendered = render::full(layout, options, family, cluster, &Found::default());
    Dump::after(&String::from_utf8_lossy(rendered.text.as_bytes()), text::table(family))
}

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
/// Whether the kernel has tables of IPv6.
const PROBE_IPV6: &str = "add table ip6 vipbench-probe
add chain ip6 vipbench-probe probe-hook { type nat hook output priority -100 ; }
delete table ip6 vipbench-probe
";

/// A program: its text is that of IPv4, empty if there is none. Beside it the one of IPv6, and in
/// each family all chains that are empty after it, which a later sync is to delete.
#[derive(Debug)]
struct Transactions {
    of_ipv6: Option<Vec<u8>>,
    stale: [BTreeSet<String>; 2],
}

/// The backends `nftables-1.33`, `nftables-1.36` and `nftables-1.37`.
#[derive(Debug)]
struct Nftables {
    descriptor: &'static Descriptor,
    layout: Layout,
    listing: Listing,
    options: Options,
    /// Of IPv4 and IPv6.
    tables: [Table; 2],
    families: Families,
}

/// The table of one family.
#[derive(Debug)]
struct Table {
    family: Family,
    /// What a full sync found.
    found: Found,
    /// Chains that earlier syncs emptied and that are still there.
    stale: BTreeSet<String>,
    /// There was none when a sync of the family was prepared, so it is written as a whole.
    is_missing: bool,
}

impl Table {
    fn new(family: Family) -> Self {
        Self { family, found: Found::default(), stale: BTreeSet::new(), is_missing: false }
    }

    /// Deletes what earlier syncs emptied. A refusal is no failure: kernels before 6.2 may not have
    /// noticed yet that nothing leads to a chain, and the next sync tries again.
    fn delete_stale_chains(&mut self) -> Result<(), ProxyError> {
        if self.stale.is_empty() {
            return Ok(());
        }
        let mut text = Text::of_table(self.family, 0);
        for chain in &self.stale {
            text.str("delete chain ").table().str(" ").str(chain).end();
        }
        match nft::apply(text.as_bytes()) {
            Ok(_) => self.stale.clear(),
            Err(ProxyError::Tool(ToolError::Failed { .. })) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes those chains and lists what is left. What others deleted is not there to be deleted
    /// again.
    fn delete_and_list(&mut self, listing: Listing) -> Result<(), ProxyError> {
        self.delete_stale_chains()?;
        let listed = listing::listed(listing, self.family)?;
        self.stale.retain(|chain| listed.chains.contains(chain));
        Ok(())
    }

    fn render(&self, layout: Layout, options: &Options, request: &SyncRequest<'_>) -> Rendered {
        match request {
            SyncRequest::Full(cluster) => {
                render::full(layout, options, self.family, cluster, &self.found)
            }
            SyncRequest::Incremental(step) if self.is_missing => {
                render::full(layout, options, self.family, step.after(), &self.found)
            }
            SyncRequest::Incremental(step) => {
                render::incremental(layout, options, self.family, step, &self.stale)
            }
        }
    }

    /// Deletes the table. Made before it is deleted, since deleting what is not there is an error.
    fn delete(&mut self) -> Result<(), ProxyError> {
        *self = Self::new(self.family);
        let mut text = Text::of_table(self.family, 0);
        for verb in ["add", "delete"] {
            text.str(verb).str(" table ").table().end();
        }
        nft::apply(text.as_bytes()).map(drop)
    }

    /// Compares `nft list table` with what it should print of this Cluster.
    fn compare(
        &self,
        layout: Layout,
        (options, cluster): (&Options, &Cluster),
        differences: &mut Differences,
    ) -> Result<(), ProxyError> {
        let expected = listed(layout, self.family, cluster, options);
        let ip = text::ip(self.family);
        match nft::list(&["list", "table", ip, TABLE_NAME])? {
            Some(text) => verify::compare(&expected, &Dump::parse(&text)?, differences),
            None => differences.add(|| format!("table {ip} {TABLE_NAME} is missing")),
        }
        Ok(())
    }
}

impl Nftables {
    /// A backend with these rules. Nothing is run.
    fn new(descriptor: &'static Descriptor, layout: Layout, options: &Options) -> Self {
        let listing = options.nftables.listing.unwrap_or(layout.listing());
        let (options, tables) = (options.clone(), Family::ALL.map(Table::new));
        Self { descriptor, layout, listing, options, tables, families: Families::default() }
    }
}

/// Whether the kernel can have a table of IPv6.
fn is_ipv6_possible() -> bool {
    nft::apply(PROBE_IPV6.as_bytes()).is_ok()
}

impl Backend for Nftables {
    /// Loads one rule of every kind into a table that it then removes, all in one transaction, and
    /// lists what is there.
    fn probe(&mut self) -> Result<(), ProxyError> {
        self.families.probe(is_ipv6_possible);
        let loaded = nft::apply(PROBE.as_bytes());
        let listed = loaded.and_then(|_| listing::listed(self.listing, Family::V4));
        let remedy = "run it as root with nft 1.0.1 or newer, built with JSON, on a kernel with \
                      nf_tables, nft_chain_nat, nft_ct, nft_fib_ipv4, nft_masq, nft_nat, \
                      nft_numgen and nft_reject_ipv4";
        listed.map(drop).map_err(|error| error.of_trial(self.descriptor.name, remedy))
    }

    /// Deletes the chains that the syncs so far emptied, which the next one would do.
    fn settle(&mut self, _programmed: &Cluster) -> Result<(), ProxyError> {
        let in_use = self.families.in_use(&self.tables).len();
        let mut tables = self.tables.iter_mut().take(in_use);
        tables.try_for_each(|table| table.delete_and_list(self.listing))
    }

    /// Deletes the tables of both families: another process may have left one.
    fn stop(&mut self) -> Result<(), ProxyError> {
        self.families.end();
        ProxyError::gather(self.tables.iter_mut().map(Table::delete))
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for Nftables {
    /// Deletes chains that earlier syncs emptied, and lists what is there.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        let is_full = matches!(request, SyncRequest::Full(_));
        let is_first_of_ipv6 = self.families.begin(request, &self.options, is_ipv6_possible);
        let (layout, listing) = (self.layout, self.listing);
        for table in &mut self.tables {
            if !self.families.are_for(request, table.family) {
                continue;
            }
            table.is_missing = is_first_of_ipv6 && table.family == Family::V6;
            if !is_full {
                table.delete_and_list(listing)?;
                continue;
            }
            table.delete_stale_chains()?;
            table.found = listing::found(layout, listing, table.family)?;
            let Table { found, stale, .. } = table;
            stale.retain(|chain| found.chains.contains(chain));
        }
        Ok(())
    }

    /// One transaction a family for `nft -f -`.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let [four, six] = self.tables.each_ref().map(|table| {
            let is_wanted = self.families.are_for(request, table.family);
            let rendered = is_wanted.then(|| table.render(self.layout, &self.options, request));
            rendered.map(|Rendered { text, stale }| (text.into_parts(), stale))
        });
        let ((text, rules), stale) = four.unwrap_or_default();
        let (of_ipv6, more, stale_of_ipv6) = match six {
            Some(((text, rules), stale)) => (Some(text), rules, stale),
            None => Default::default(),
        };
        let bytes = of_ipv6.as_ref().map_or(0, Vec::len) as u64;
        let transactions = Transactions { of_ipv6, stale: [stale, stale_of_ipv6] };
        let mut program = Program::of_text(text, rules + more, transactions);
        program.size.bytes += bytes;
        Ok(program.with_cleanup(request))
    }

    /// One `nft -f -` a family: all of it, or nothing.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let Transactions { of_ipv6, stale } = program.private(self.descriptor.name)?;
        let of_ipv4 = program.text().filter(|text| !text.is_empty());
        let texts = [of_ipv4, of_ipv6.as_deref()];
        let mut taken = CpuTime::default();
        for ((table, text), stale) in self.tables.iter_mut().zip(texts).zip(stale) {
            let Some(text) = text else { continue };
            taken = taken + nft::apply(text)?;
            table.found = Found::default();
            table.stale.clone_from(stale);
        }
        program.forget_stale_connections()?;
        Ok(taken)
    }
}

impl Audit for Nftables {
    /// Compares `nft list table` with what it should print of this Cluster, in each family that is
    /// in use.
    fn compare(&mut self, cluster: &Cluster, maker: Maker<'_>) -> Result<Differences, ProxyError> {
        let mut differences = Differences::default();
        for table in self.families.made_by(maker, &self.tables) {
            table.compare(self.layout, (&self.options, cluster), &mut differences)?;
        }
        Ok(differences)
    }
}
