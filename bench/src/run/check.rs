//! A scenario with what a request changes in it: every value checked, and the imported Cluster
//! read.
//!
//! Every user error is found here, before anything is created. Nothing here touches a kernel or the
//! network.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use generators::{Families, SyntheticSpec, VipLayout};
use itertools::Itertools as _;
use proxies::Descriptor;
use proxies::ipvs::VipBinding;
use results::replicate::Claim;

use crate::hosts::must_reach;
use crate::imported::{ImportedCluster, has_ipv4_alone};
use crate::kube_proxy;
use crate::measure::node::{SysctlValue, check_sysctls};
use crate::measure::path::{PathSpec, Topology};
use crate::measure::spec::Measure;
use crate::measure::{self, topology_of};
use crate::scenario::Scenario;

/// What a request changes in a scenario.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Proxies instead of the scenario's.
    pub proxies: Vec<String>,
    /// Files of kube-proxies instead of the scenario's.
    pub kube_proxies: Vec<PathBuf>,
    /// Sizes instead of the scenario's.
    pub services: Vec<u32>,
    /// Kernels instead of the scenario's.
    pub kernels: Vec<String>,
    /// Words for the guest kernels' command line instead of the scenario's.
    pub kernel_cmdline: Option<String>,
    /// An imported Cluster instead of the scenario's, and all of its Services instead of the
    /// scenario's numbers.
    pub cluster_file: Option<PathBuf>,
    /// Seeds instead of the scenario's.
    pub seeds: Vec<u64>,
    /// Topology of every path, instead of the scenario's.
    pub topology: Option<Topology>,
    /// Kernel parameters of the node's namespace beside the scenario's, or instead of one of them.
    pub sysctl: BTreeMap<String, SysctlValue>,
    /// Rules that slow every chain down, instead of the scenario's.
    pub inject_rules: Option<u32>,
    /// Delay before every answer in nanoseconds, instead of the scenario's.
    pub inject_delay_ns: Option<u64>,
}

/// Applies what is to change to a scenario and checks every value.
///
/// # Errors
/// The first wrong value, with its key and the remedy.
pub fn validated(mut scenario: Scenario, overrides: Overrides) -> anyhow::Result<Scenario> {
    apply(&mut scenario, overrides);
    check_kernel_cmdline(&scenario.kernel_cmdline)?;
    check_name(&scenario.name)?;
    import(&mut scenario)?;
    ensure!(
        scenario.imported.is_some() || scenario.cluster.protocols.tcp > 0,
        "cluster.protocols makes no Service of TCP, and no other is dialled yet: give tcp a share, such as {{ tcp = 1 }}"
    );
    scenario.services = distinct("services", &scenario.services)?;
    scenario.proxies =
        kube_proxy::name(&mut scenario.kube_proxy, &scenario.proxies).context("kube_proxy")?;
    scenario.proxies = distinct("proxies", &scenario.proxies)?;
    scenario.paths = distinct("paths", &scenario.paths)?;
    check_families(&scenario)?;
    check_paths(&scenario)?;
    scenario.kernels = distinct("kernels", &scenario.kernels)?;
    lab::image::parse_all(&scenario.kernels).context("kernels")?;
    scenario.seeds = distinct("seeds", &scenario.seeds)?;
    for seed in scenario.only.values().filter_map(|only| only.seeds.as_ref()).flatten() {
        ensure!(
            scenario.seeds.contains(seed),
            "only: seed {seed} is not among seeds; add it there"
        );
    }
    scenario.measures = distinct("measures", &scenario.measures)?;
    ensure!(
        !scenario.measures.contains(&Measure::VipLayout)
            || scenario.cluster.vip_layout != VipLayout::Consecutive,
        "measures: vip_layout compares a layout with consecutive VIPs; write another \
         cluster.vip_layout, such as {{ strided = {{ step = 256 }} }}"
    );
    scenario.services.sort_unstable();
    for proxy in &scenario.proxies {
        parse_proxy(proxy)?;
    }
    check_most_services(&scenario)?;
    for &services in &scenario.services {
        let mut cluster = scenario.cluster.clone();
        cluster.services = services;
        cluster.validate().with_context(|| format!("[cluster] with services = {services}"))?;
    }
    topology_of(&scenario.cluster).validate().context("[cluster] does not fit into the lab")?;
    check_load(&scenario)?;
    scenario.churn.check()?;
    scenario.batching.check()?;
    scenario.ipvs.check()?;
    check_binding(&scenario)?;
    check_sysctls(&scenario.sysctl)?;
    scenario.claims.iter().try_for_each(Claim::check)?;
    Ok(scenario)
}

/// A limit of a proxy that this run leaves out is passed over; one of a proxy that there is not is
/// a typing error.
fn check_most_services(scenario: &Scenario) -> anyhow::Result<()> {
    for (proxy, most) in &scenario.most_services {
        let known = || proxies::backends().map(|backend| backend.name).format(", ");
        ensure!(
            kube_proxy::is_one(proxy) || proxies::find(proxy).is_ok(),
            "most_services: {proxy:?} is unknown; choose among {}",
            known()
        );
        ensure!(*most > 0, "most_services: {proxy} = 0; write 1 or more, or leave the proxy out");
    }
    Ok(())
}

/// Puts what a request changes into a scenario.
fn apply(scenario: &mut Scenario, overrides: Overrides) {
    let Overrides { proxies, services, kernels, kernel_cmdline, cluster_file, seeds, .. } =
        overrides;
    if !overrides.kube_proxies.is_empty() {
        scenario.kube_proxy = overrides.kube_proxies;
    }
    let inject = &mut scenario.inject;
    inject.rules_per_chain = overrides.inject_rules.unwrap_or(inject.rules_per_chain);
    inject.answer_delay_ns = overrides.inject_delay_ns.unwrap_or(inject.answer_delay_ns);
    if let Some(topology) = overrides.topology {
        scenario.paths = on_topology(&scenario.paths, topology);
    }
    scenario.sysctl.extend(overrides.sysctl);
    if !seeds.is_empty() {
        scenario.seeds = seeds;
    }
    if cluster_file.is_some() {
        scenario.cluster_file = cluster_file;
        scenario.services.clear();
        // Sizes that a measure is kept to are the scenario's, and no other Cluster has them.
        scenario.only.values_mut().for_each(|only| only.services = None);
    }
    for (kept, given) in [(&mut scenario.proxies, proxies), (&mut scenario.kernels, kernels)] {
        if !given.is_empty() {
            *kept = given;
        }
    }
    if !services.is_empty() {
        scenario.services = services;
    }
    if let Some(words) = kernel_cmdline {
        scenario.kernel_cmdline = words;
    }
}

/// Each path on one topology; those that then are equal, once.
fn on_topology(paths: &[PathSpec], topology: Topology) -> Vec<PathSpec> {
    let replaced = paths.iter().map(|path| PathSpec { topology, ..*path });
    replaced.fold(Vec::new(), |mut kept, path| {
        if !kept.contains(&path) {
            kept.push(path);
        }
        kept
    })
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        (1..=64).contains(&name.len()) && name.chars().all(fits),
        "name = {name:?}: use 1 to 64 letters, digits, `-` and `_`, it becomes part of a folder name"
    );
    Ok(())
}

/// Reads the imported Cluster, if there is to be one, and checks that it can be measured at each
/// size.
fn import(scenario: &mut Scenario) -> anyhow::Result<()> {
    let Some(file) = &scenario.cluster_file else { return Ok(()) };
    ensure!(
        !scenario.measures.contains(&Measure::VipLayout),
        "measures: vip_layout generates one Cluster in two layouts, and cluster_file brings its own; remove one of them"
    );
    let imported = ImportedCluster::read(file, &scenario.cluster, &scenario.proxies)
        .with_context(|| format!("cluster file {}", file.display()))?;
    if scenario.services.is_empty() {
        scenario.services = vec![imported.services()];
    }
    for &services in &scenario.services {
        imported.check(services).with_context(|| format!("cluster file {}", file.display()))?;
    }
    scenario.imported = Some(Arc::new(imported));
    Ok(())
}

/// Clients dial IPv4 alone; beside it most proxies program IPv6 too.
fn check_families(scenario: &Scenario) -> anyhow::Result<()> {
    let families = scenario.cluster.families;
    let is_usual = |measure: &Measure| !measure::of(*measure).takes_paths;
    let has_usual_path = scenario.paths.iter().any(PathSpec::is_usual);
    ensure!(
        families != Families::Ipv6 || !has_usual_path && !scenario.measures.iter().any(is_usual),
        "cluster.families = \"ipv6\": clients dial IPv4 where no path says otherwise; write \"dual\", or leave it out"
    );
    if let (Families::Dual | Families::Ipv6, Some(proxy)) =
        (families, scenario.proxies.iter().find(|proxy| has_ipv4_alone(proxy)))
    {
        let name = if families == Families::Dual { "dual" } else { "ipv6" };
        bail!("cluster.families = \"{name}\": {proxy} programs IPv4 alone; leave one of them out");
    }
    Ok(())
}

/// Whether every proxy can make VIPs local as `[ipvs]` asks.
fn check_binding(scenario: &Scenario) -> anyhow::Result<()> {
    let is_unable =
        |name: &&String| proxies::find(name).is_ok_and(|backend| backend.binds_by_link_alone);
    let asked = scenario.ipvs.vip_binding;
    if let (Some(VipBinding::LocalRoute), Some(proxy)) =
        (asked, scenario.proxies.iter().find(is_unable))
    {
        bail!(
            "ipvs.vip_binding = \"local-route\": {proxy} binds VIPs to a dummy link alone; leave one of them out"
        );
    }
    Ok(())
}

/// An imported Cluster has Endpoints where it has them, and no lab but the star takes them as they
/// are.
fn check_paths(scenario: &Scenario) -> anyhow::Result<()> {
    for path in scenario.paths.iter().filter(|path| !path.is_usual()) {
        let text = || format!("paths: {}", results::Path::from(*path));
        ensure!(
            scenario.imported.is_none(),
            "{}: an imported Cluster is measured in the star; leave paths and --topology out",
            text()
        );
        path.check(&scenario.cluster).with_context(text)?;
        for proxy in scenario.proxies.iter().filter_map(|name| proxies::find(name).ok()) {
            must_reach(proxy, path.source).with_context(text)?;
        }
        ensure!(
            path.translates() || !scenario.measures.contains(&Measure::Sync),
            "{}: an Endpoint that answers from the VIP does not say which it is, as syncs must know; \
             write measures = [\"connect\", \"http\"]",
            text()
        );
        for &services in &scenario.services {
            let cluster = SyntheticSpec { services, ..path.fitted(&scenario.cluster)? };
            cluster.validate().with_context(text)?;
        }
    }
    Ok(())
}

/// A guest kernel's command line has room for 2,047 bytes (`COMMAND_LINE_SIZE`,
/// `arch/x86/include/asm/setup.h`, Linux 6.1), of which vipbench needs some.
fn check_kernel_cmdline(words: &str) -> anyhow::Result<()> {
    const BYTES_MAX: usize = 1_700;
    ensure!(
        words.len() <= BYTES_MAX && words.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "kernel_cmdline: write at most {BYTES_MAX} printable ASCII characters on one line"
    );
    Ok(())
}

/// The backend of a name in a scenario.
///
/// # Errors
/// A name that none has, with those there are.
pub(super) fn parse_proxy(name: &str) -> anyhow::Result<&'static Descriptor> {
    ensure!(
        !kube_proxy::is_one(name) || proxies::find(name).is_ok(),
        "proxies: {name:?} needs the file of that kube-proxy; name it with --kube-proxy PATH"
    );
    proxies::find(name).map_err(|_| {
        let known: Vec<&str> = proxies::backends().map(|backend| backend.name).collect();
        anyhow::anyhow!("proxies: {name:?} is unknown; choose among {}", known.join(", "))
    })
}

fn distinct<T: Clone + PartialEq + std::fmt::Debug>(
    key: &str,
    values: &[T],
) -> anyhow::Result<Vec<T>> {
    ensure!(!values.is_empty(), "{key} = []: name at least one");
    for (index, value) in values.iter().enumerate() {
        ensure!(!values[..index].contains(value), "{key}: {value:?} is given twice; remove one");
    }
    Ok(values.to_vec())
}

fn check_load(scenario: &Scenario) -> anyhow::Result<()> {
    let load = &scenario.load;
    distinct("load.positions", &load.positions)?;
    let counts = [
        ("load.connections", load.connections, 1, 100_000),
        ("load.http_connections", load.http_connections, 1, 100_000),
        ("load.warmup", load.warmup, 0, 10_000),
        ("load.keepalive_requests", load.keepalive_requests, 1, 100_000),
        ("load.full_syncs", load.full_syncs, 1, 1_000),
        ("load.changes", load.changes, 1, 1_000),
        ("load.changes_per_sync", load.changes_per_sync, 1, load.changes),
        ("inject.rules_per_chain", scenario.inject.rules_per_chain, 0, 1_000),
        ("limits.guest_memory_mib", scenario.limits.guest_memory_mib, 512, 65_536),
    ];
    for (key, value, least, most) in counts {
        ensure!((least..=most).contains(&value), "{key} = {value}: choose {least} to {most}");
    }
    let delay = scenario.inject.answer_delay_ns;
    ensure!(delay <= 1_000_000_000, "inject.answer_delay_ns = {delay}: choose 0 to 1000000000");
    let limits = &scenario.limits;
    let limits = [
        ("cell_s", limits.cell_s),
        ("cell_guest_s", limits.cell_guest_s.into()),
        ("boot_s", limits.boot_s),
    ];
    for (key, limit) in limits {
        ensure!((1..=86_400).contains(&limit), "limits.{key} = {limit}: choose 1 to 86400 seconds");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(text: &str) -> Scenario {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn bad_values_are_named_with_key_and_remedy() {
        let cases = [
            ("name = 'x'\nservices = []\nproxies = ['none']", "services = []"),
            ("name = 'x'\nservices = [0]\nproxies = ['none']", "services = 0"),
            ("name = 'x'\nservices = [1]\nproxies = ['envoy']", "choose among none"),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\n[most_services]\nenvoy = 1",
                "most_services: \"envoy\"",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['ipvs']\n[most_services]\nipvs = 0",
                "ipvs = 0",
            ),
            ("name = 'a b'\nservices = [1]\nproxies = ['none']", "name = \"a b\""),
            ("name = 'x'\nservices = [1, 1]\nproxies = ['none']", "twice"),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\nmeasures = ['vip_layout']",
                "cluster.vip_layout",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['ipvs', 'ipvs-kube-proxy']\n[ipvs]\nvip_binding = 'local-route'",
                "ipvs-kube-proxy binds VIPs to a dummy link alone",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\nkernels = ['6.1,newest']",
                "`newest` names no kernel",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\n[load]\nconnections = 0",
                "load.connections = 0",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\nkernel_cmdline = \"a\\nb\"",
                "kernel_cmdline",
            ),
            ("name = 'x'\nservices = [1]\nproxies = ['none']\n[limits]\nboot_s = 0", "boot_s = 0"),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\n[inject]\nrules_per_chain = 1001",
                "inject.rules_per_chain = 1001",
            ),
            (
                "name = 'x'\nservices = [1]\nproxies = ['none']\n[cluster]\nprotocols = { udp = 1 }",
                "no Service of TCP",
            ),
            (
                "name = 'x'\nservices = [9]\nproxies = ['none']\n[churn]\nrate_per_s = 0",
                "churn.rate_per_s = 0: choose 1 to 10000",
            ),
            (
                "name = 'x'\nservices = [9]\nproxies = ['none']\n[churn]\ninterval_ms = 50",
                "make 39 Steps; the limit is 16",
            ),
            (
                "name = 'x'\nservices = [9]\nproxies = ['none']\n[churn]\nsource_ports = 0",
                "churn.source_ports = 0: choose 1 to 40000",
            ),
            (
                "name = 'x'\nservices = [9]\nproxies = ['none']\n[batching]\nperiods_ms = []",
                "batching.periods_ms = []: name one or more",
            ),
            (
                "name = 'x'\nservices = [9]\nproxies = ['none']\n[load]\nchanges = 2\nchanges_per_sync = 3",
                "load.changes_per_sync = 3: choose 1 to 2",
            ),
        ];
        for (text, wanted) in cases {
            refused(text, wanted);
        }
    }

    fn refused(text: &str, wanted: &str) {
        let error = format!("{:#}", validated(scenario(text), Overrides::default()).unwrap_err());
        assert!(error.contains(wanted), "{text}: {error}");
    }

    #[test]
    fn paths_that_cannot_be_taken_are_named_with_the_remedy() {
        let cases = [
            ("{ source = 'node' }", "star from node to cluster-ip over ipv4: topology = \"star\""),
            (
                "{ topology = 'one-node', source = 'other-node-pod' }",
                "there is one node; write topology = \"two-nodes\"",
            ),
            ("{ topology = 'one-node', source = 'endpoint' }", "no load comes from Endpoints"),
            ("{ topology = 'one-node', family = 'ipv6' }", "write cluster.families = \"dual\""),
            ("{ topology = 'two-nodes' }, { topology = 'two-nodes' }", "twice"),
            ("{ topology = 'one-node', forwarding = 'dr' }", "write cluster.target_port = 80"),
            ("{ topology = 'two-nodes', forwarding = 'dr' }", "write topology = \"one-node\""),
            (
                "{ topology = 'one-node', source = 'outside', forwarding = 'tun' }",
                "leave source, frontend and family out",
            ),
        ];
        let head = "name = 'x'\nservices = [9]\nproxies = ['none']";
        for (paths, wanted) in cases {
            refused(&format!("{head}\npaths = [{paths}]"), wanted);
        }
        let cases = [
            (
                "{ topology = 'two-nodes' }",
                "remote_endpoints = 0.5",
                "leave cluster.remote_endpoints",
            ),
            (
                "{ topology = 'one-node', forwarding = 'dr' }",
                "target_port = 80",
                "write measures = [\"connect\", \"http\"]",
            ),
        ];
        for (paths, cluster, wanted) in cases {
            refused(&format!("{head}\npaths = [{paths}]\n[cluster]\n{cluster}"), wanted);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error =
            toml::from_str::<Scenario>("name = 'x'\nservice = [1]").unwrap_err().to_string();
        assert!(error.contains("service"), "{error}");
    }
}
