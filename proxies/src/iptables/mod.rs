//! kube-proxy's iptables mode, through `iptables-legacy` or `iptables-nft`.
//!
//! The same chains, rules, order and tools as pkg/proxy/iptables, Kubernetes 1.35: a sync is one
//! text for `iptables-restore --noflush --counters`, after an `iptables-save` of the chains that
//! are there. The deprecated `-W` option, which only makes iptables 1.8.9 print a warning, is left
//! out.
//!
//! What is done in which family, and when: `crate::families`.

mod added_rules;
mod counters;
pub(crate) mod dump;
pub(crate) mod jumps;
mod names;
mod render;
pub(crate) mod saved;
mod service_rules;
mod teardown;
mod text;
pub(crate) mod tool;
pub(crate) mod verify;

use generators::{Cluster, Family};
use linux::CpuTime;
use linux::sysctl::Sysctls;

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{Admin, Append, Cost, Descriptor, Format, Tool};
use crate::deviations;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::families::Families;
use crate::modules::{CONNTRACK, NF_TABLES, XTABLES};
use crate::options::Options;
use crate::program::{Program, SyncRequest};
use dump::Dump;
use names::Chain;
use tool::{IptablesTool, RESTORE, Variant};

/// The backend `iptables-legacy`.
pub(crate) static LEGACY: Descriptor = Descriptor {
    summary: "kube-proxy's iptables mode through iptables-legacy",
    colour: "orange",
    tools: &[Tool {
        program: "iptables-legacy-restore",
        package: "iptables",
        also: &[
            "iptables",
            "iptables-legacy",
            "iptables-legacy-save",
            "iptables-restore",
            "iptables-save",
            "ip6tables-legacy",
            "ip6tables-legacy-restore",
            "ip6tables-legacy-save",
        ],
    }],
    modules: &[
        CONNTRACK,
        &["ip_tables", "iptable_filter", "iptable_mangle", "iptable_nat", "iptable_raw"],
        &["ip6_tables", "ip6table_filter", "ip6table_mangle", "ip6table_nat", "ip6t_REJECT"],
        XTABLES,
    ],
    admin: Some(Admin {
        formats: &[
            Format {
                name: "iptables",
                help: "Input of `iptables-restore`, as kube-proxy would write it",
                text: restore_text,
            },
            Format {
                name: "ip6tables",
                help: "The same for the Services of IPv6, for `ip6tables-restore`",
                text: |cluster, options| full_text(Family::V6, cluster, options),
            },
        ],
        ..Admin::new(Variant::Legacy.restore_tool(), "iptables", RESTORE, restore_text)
    }),
    append: Some(Append {
        program: Variant::Legacy.tool(),
        args: added_rules::append_args,
        count: || added_rules::appended(Variant::Legacy),
    }),
    slow_down: Some(|rules| added_rules::slow_down(Variant::Legacy, rules)),
    counters: Some(|| counters::read(Variant::Legacy)),
    cost: |_, _| Cost {
        sync: 2_300,
        per_1000_endpoints: 1_200,
        per_1000_services_passed: 170,
        ..Cost::NOTHING
    },
    deviations: deviations::IPTABLES,
    ..Descriptor::new("iptables-legacy", "iptables", |_, options| {
        Box::new(Iptables::new(&LEGACY, Variant::Legacy, options))
    })
};

/// The backend `iptables-nft`.
pub(crate) static NFT: Descriptor = Descriptor {
    summary: "kube-proxy's iptables mode through iptables-nft",
    colour: "pink",
    tools: &[TOOL_NFT],
    modules: &[CONNTRACK, XTABLES, NF_TABLES, &["ip6t_REJECT"]],
    admin: Some(Admin::new(Variant::Nft.restore_tool(), "iptables", RESTORE, restore_text)),
    append: Some(Append {
        program: Variant::Nft.tool(),
        args: added_rules::append_args,
        count: || added_rules::appended(Variant::Nft),
    }),
    slow_down: Some(|rules| added_rules::slow_down(Variant::Nft, rules)),
    counters: Some(|| counters::read(Variant::Nft)),
    cost: |_, _| Cost {
        sync: 2_600,
        per_1000_endpoints: 1_500,
        per_million_pairs: 1_700,
        per_1000_services_passed: 500,
    },
    deviations: deviations::IPTABLES,
    ..Descriptor::new("iptables-nft", "iptables", |_, options| {
        Box::new(Iptables::new(&NFT, Variant::Nft, options))
    })
};

/// The tools of iptables-nft, which IPVS starts too.
pub(crate) const TOOL_NFT: Tool = Tool {
    program: "iptables-nft-restore",
    package: "iptables",
    also: &[
        "iptables-nft",
        "iptables-nft-save",
        "ip6tables-nft",
        "ip6tables-nft-restore",
        "ip6tables-nft-save",
    ],
};

/// What a full sync of an empty namespace hands to `iptables-restore`.
fn restore_text(cluster: &Cluster, options: &Options) -> Vec<u8> {
    full_text(Family::V4, cluster, options)
}

fn full_text(family: Family, cluster: &Cluster, options: &Options) -> Vec<u8> {
    render::full(options, family, cluster, &[]).into_parts().0
}

/// What `iptables-save` prints of a namespace that got this and the jumps.
pub(crate) fn saved_text(family: Family, cluster: &Cluster, options: &Options) -> String {
    let restore = full_text(family, cluster, options);
    saved::text(&String::from_utf8_lossy(&restore), family) + &jumps::saved()
}

/// The backends `iptables-legacy` and `iptables-nft`.
#[derive(Debug)]
pub(crate) struct Iptables {
    descriptor: &'static Descriptor,
    options: Options,
    /// Of IPv4 and IPv6.
    tables: [Tables; 2],
    families: Families,
    sysctls: Sysctls,
}

/// The rules of one family.
#[derive(Debug)]
struct Tables {
    tool: IptablesTool,
    /// Chains of Services that `prepare` found in the namespace.
    existing: Vec<Chain>,
}

impl Tables {
    /// The chains of Services that are in the nat table, in the order of the table.
    fn chains(&self) -> Result<Vec<Chain>, ProxyError> {
        let text = self.tool.save(&["-t", "nat"])?;
        // As upstream: by line, not by rule (`GetChainsFromTable` in
        // pkg/util/iptables/save_restore.go, Kubernetes 1.35).
        let chains = text.split(|byte| *byte == b'\n').filter_map(|line| {
            let name = line.strip_prefix(b":")?.split(|byte| *byte == b' ').next()?;
            Chain::parse(std::str::from_utf8(name).ok()?)
        });
        Ok(chains.collect())
    }

    /// The text of a sync, and how many rules are in it.
    fn text(&self, options: &Options, request: &SyncRequest<'_>) -> (Vec<u8>, u64) {
        let family = self.tool.family;
        let text = match request {
            SyncRequest::Full(cluster) => render::full(options, family, cluster, &self.existing),
            SyncRequest::Incremental(step) => {
                render::incremental(options, family, step, &self.existing)
            }
        };
        text.into_parts()
    }

    fn submit(&self, options: &Options, text: &[u8]) -> Result<CpuTime, ProxyError> {
        if !options.quick_start {
            return self.tool.restore(text);
        }
        let applied = self.tool.replace(text)?;
        jumps::ensure(&self.tool)?;
        Ok(applied)
    }

    /// Compares `iptables-save` with what it should print after a full sync of this Cluster.
    fn compare(
        &self,
        (options, cluster): (&Options, &Cluster),
        maker: Maker<'_>,
        differences: &mut Differences,
    ) -> Result<(), ProxyError> {
        let found = self.tool.save(&[])?;
        let expected = saved_text(self.tool.family, cluster, options);
        let (expected, found) = (Dump::parse(expected.as_bytes())?, Dump::parse(&found)?);
        verify::compare(&expected, &found, maker, differences);
        Ok(())
    }
}

/// A program: its text is that of IPv4, empty if there is none, and here is the one of IPv6.
struct RestoreText(Option<Vec<u8>>);

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

impl Iptables {
    /// A backend for this implementation. Nothing is run.
    fn new(descriptor: &'static Descriptor, variant: Variant, options: &Options) -> Self {
        let tables = Family::ALL.map(|family| Tables {
            tool: IptablesTool::new(variant, family, options),
            existing: Vec::new(),
        });
        let options = options.clone();
        let (families, sysctls) = (Families::default(), Sysctls::default());
        Self { descriptor, options, tables, families, sysctls }
    }

    /// Node ports answer at local addresses only if the kernel routes these.
    fn wanted_sysctls(&self) -> Option<(&'static str, &'static str)> {
        let is_wanted = self.options.has_localhost_node_ports();
        is_wanted.then_some(("net.ipv4.conf.all.route_localnet", "1"))
    }

    fn kernel_modules(&self) -> &'static str {
        match self.tables[0].tool.variant {
            Variant::Legacy => "iptable_nat, iptable_filter, iptable_mangle",
            Variant::Nft => "nf_tables, nft_compat, nft_chain_nat",
        }
    }
}

impl Backend for Iptables {
    /// Loads one rule of every kind into chains that nothing leads to, and removes them.
    fn probe(&mut self) -> Result<(), ProxyError> {
        let Self { families, tables: [_, six], .. } = self;
        families.probe(|| six.tool.is_possible());
        self.tables[0].tool.try_rules(PROBE).map_err(|error| {
            let remedy = format!(
                "run it as root on a kernel with {}, nf_conntrack, nf_nat, xt_addrtype, \
                 xt_comment, xt_conntrack, xt_mark, xt_statistic, xt_tcpudp, xt_nat, \
                 xt_MASQUERADE and ipt_REJECT",
                self.kernel_modules()
            );
            error.of_trial(self.descriptor.name, remedy)
        })
    }

    /// Removes every chain called `KUBE-*` and every jump to one, in one text a family, then resets
    /// `route_localnet`. Tables and built-in chains stay, empty.
    fn stop(&mut self) -> Result<(), ProxyError> {
        let [four, six] = &mut self.tables;
        four.existing.clear();
        six.existing.clear();
        let mut outcomes = vec![four.tool.remove_rules()];
        // Another process may have left some; a kernel without IPv6 tables has none.
        let of_ipv6 = six.tool.remove_rules();
        if self.families.end() {
            outcomes.push(of_ipv6);
        }
        outcomes.extend(self.sysctls.restore().into_iter().map(|error| Err(error.into())));
        ProxyError::gather(outcomes)
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for Iptables {
    /// On a full request: `route_localnet`, canary chains and jumps; and always a look at the
    /// chains that are there.
    ///
    /// kube-proxy lists them in every sync up to 1,000 Endpoints, and above in the first that
    /// follows 30 s without one (`syncPeriod`), which is what a single Change meets.
    fn prepare(&mut self, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        let is_full = matches!(request, SyncRequest::Full(_));
        let Self { families, tables: [_, six], .. } = self;
        let is_first_of_ipv6 = families.begin(request, &self.options, || six.tool.is_possible());
        if let (true, Some((name, value))) = (is_full, self.wanted_sysctls()) {
            self.sysctls.change(name, value)?;
        }
        if self.options.quick_start {
            return Ok(());
        }
        for tables in &mut self.tables {
            let family = tables.tool.family;
            if !self.families.are_for(request, family) {
                continue;
            }
            if is_full || (is_first_of_ipv6 && family == Family::V6) {
                jumps::ensure(&tables.tool)?;
            }
            tables.existing = tables.chains()?;
        }
        Ok(())
    }

    /// The text for `iptables-restore`, and that for `ip6tables-restore`.
    fn render(&self, request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        let [four, six] = self.tables.each_ref().map(|tables| {
            let is_wanted = self.families.are_for(request, tables.tool.family);
            is_wanted.then(|| tables.text(&self.options, request))
        });
        let (text, rules) = four.unwrap_or_default();
        let (of_ipv6, more) = six.map_or((None, 0), |(text, rules)| (Some(text), rules));
        let bytes = of_ipv6.as_ref().map_or(0, Vec::len) as u64;
        let mut program = Program::of_text(text, rules + more, RestoreText(of_ipv6));
        program.size.bytes += bytes;
        Ok(program.with_cleanup(request))
    }

    /// One `iptables-restore` a family, which commits filter and then nat. If nat is refused,
    /// filter stays.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        let RestoreText(of_ipv6) = program.private(self.descriptor.name)?;
        let of_ipv4 = program.text().filter(|text| !text.is_empty());
        let mut taken = CpuTime::default();
        for (tables, text) in self.tables.iter().zip([of_ipv4, of_ipv6.as_deref()]) {
            if let Some(text) = text {
                taken = taken + tables.submit(&self.options, text)?;
            }
        }
        program.forget_stale_connections()?;
        Ok(taken)
    }
}

impl Audit for Iptables {
    /// Compares kernel parameters, and `iptables-save` with what it should print after a full sync
    /// of this Cluster, in each family that is in use.
    fn compare(&mut self, cluster: &Cluster, maker: Maker<'_>) -> Result<Differences, ProxyError> {
        let mut differences = Differences::default();
        differences.compare_sysctls(self.wanted_sysctls())?;
        for tables in self.families.made_by(maker, &self.tables) {
            tables.compare((&self.options, cluster), maker, &mut differences)?;
        }
        Ok(differences)
    }
}
