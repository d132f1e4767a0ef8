//! The plan: a checked scenario expanded into cells with stable ids.
//!
//! Which kernels and which place there are is told by the caller.

use std::sync::Arc;

use anyhow::ensure;
use generators::{Cluster, SyntheticSpec};
use itertools::Itertools as _;
use proxies::Descriptor;
use results::Labels;

use super::check::parse_proxy;
use crate::kube_proxy::KubeProxyFile;
use crate::measure;
use crate::measure::node::{IpvsSettings, NftablesSettings, NodeSettings};
use crate::measure::path::PathSpec;
use crate::measure::spec::{CellSpec, Inject, Measure};
use crate::place::Setting;
use crate::scenario::Scenario;

/// Largest run: a scenario beyond it is a typing error.
const CELLS_MAX: usize = 20_000;

/// Expands a validated scenario into cells, for kernels of these releases.
///
/// The order goes from small to large and turns the order of proxies and kernels round from block
/// to block, so that a drifting machine does not show up as a difference between them.
///
/// # Errors
/// A Cluster that cannot be made; too many cells.
pub fn expand(
    scenario: &Scenario,
    setting: Setting,
    releases: &[String],
) -> anyhow::Result<Vec<CellSpec>> {
    let mut cells = Vec::new();
    let mut backwards = false;
    for &services in &scenario.services {
        let imported = scenario.imported.as_ref().map(|file| file.first(services)).transpose()?;
        for &seed in &scenario.seeds {
            let of_seed = OfSeed::new(scenario, services, seed, imported.clone())?;
            let wanted = scenario.measures.iter().copied();
            let wanted = wanted.filter(|measure| scenario.wants(*measure, seed, services));
            for (measure, path) in wanted.flat_map(|measure| paths(scenario, measure)) {
                let pairs = pairs(&scenario.proxies, releases, backwards);
                backwards = !backwards;
                for (proxy, kernel) in pairs {
                    let backend = parse_proxy(proxy)?;
                    let is_wanted = scenario.goes_as_far(proxy, services)
                        && (measure::of(measure).applies)(backend)
                        && path.suits(backend);
                    let cell =
                        || of_seed.cell((measure, path), backend, (setting, kernel.as_str()));
                    cells.extend(is_wanted.then(cell));
                }
            }
        }
    }
    ensure!(
        !cells.is_empty(),
        "the scenario makes no cell: its measures do not apply to its proxies, or [only] and [most_services] leave none of its seeds and services"
    );
    ensure!(
        cells.len() <= CELLS_MAX,
        "the scenario makes {} cells; the limit is {CELLS_MAX}",
        cells.len()
    );
    Ok(cells)
}

/// What the cells of one size and seed have in common.
struct OfSeed<'a> {
    scenario: &'a Scenario,
    seed: u64,
    cluster: SyntheticSpec,
    imported: Option<Arc<Cluster>>,
    endpoints: u64,
}

impl<'a> OfSeed<'a> {
    fn new(
        scenario: &'a Scenario,
        services: u32,
        seed: u64,
        imported: Option<Arc<Cluster>>,
    ) -> anyhow::Result<Self> {
        let cluster = SyntheticSpec { services, ..scenario.cluster.clone() };
        let endpoints = match &imported {
            Some(imported) => imported.endpoint_count(),
            None => generators::generate(&cluster, seed)?.endpoint_count(),
        } as u64;
        scenario.paths.iter().try_for_each(|path| check_reach(*path, &cluster, seed))?;
        Ok(Self { scenario, seed, cluster, imported, endpoints })
    }

    fn cell(
        &self,
        (measure, path): (Measure, PathSpec),
        backend: &Descriptor,
        (setting, kernel): (Setting, &str),
    ) -> CellSpec {
        let labels = Labels {
            kernel: kernel.to_owned(),
            place: setting.place,
            clock: setting.clock,
            proxy: backend.name.to_owned(),
            services: self.cluster.services.into(),
            endpoints: self.endpoints,
            seed: self.seed,
            measure: measure.name().into(),
            path: path.into(),
        };
        CellSpec {
            labels,
            measure,
            cluster: self.cluster.clone(),
            imported: self.imported.clone(),
            load: self.scenario.load.clone(),
            inject: inject(self.scenario, measure, backend),
            node: node(self.scenario, backend),
            kube_proxy: KubeProxyFile::of(backend, setting.place),
            path,
            churn: only_of(measure, Measure::Churn, &self.scenario.churn),
            batching: only_of(measure, Measure::Batching, &self.scenario.batching),
        }
    }
}

/// Every proxy on every kernel, from the first to the last or the other way round.
fn pairs<'a>(
    proxies: &'a [String],
    kernels: &'a [String],
    backwards: bool,
) -> Vec<(&'a String, &'a String)> {
    let mut pairs: Vec<_> = proxies.iter().cartesian_product(kernels).collect();
    if backwards {
        pairs.reverse();
    }
    pairs
}

/// The paths that a measure is run by, each with it.
fn paths(scenario: &Scenario, measure: Measure) -> Vec<(Measure, PathSpec)> {
    if !measure::of(measure).takes_paths {
        return vec![(measure, PathSpec::default())];
    }
    scenario.paths.iter().map(|path| (measure, *path)).collect()
}

/// Some Service must answer at the frontend of a path.
fn check_reach(path: PathSpec, cluster: &SyntheticSpec, seed: u64) -> anyhow::Result<()> {
    if path.is_usual() {
        return Ok(());
    }
    let made = generators::generate(&path.fitted(cluster)?, seed)?;
    ensure!(
        made.services().iter().any(|service| path.reaches(service)),
        "paths: no Service of TCP has the frontend {} with seed {seed}; give cluster.kinds such a share, \
         such as {{ load_balancer = 1 }}, whose Services have cluster IP, node port and load balancer's address",
        path.frontend
    );
    Ok(())
}

/// The slowdown of a cell: of new connections through a proxy, and by rules where it has chains.
/// Other cells keep their digits.
fn inject(scenario: &Scenario, measure: Measure, proxy: &Descriptor) -> Inject {
    if measure != Measure::Connect || proxy.is_control() {
        return Inject::default();
    }
    let has_chains = proxy.slow_down.is_some();
    let rules_per_chain = if has_chains { scenario.inject.rules_per_chain } else { 0 };
    Inject { rules_per_chain, ..scenario.inject }
}

/// The settings of one measure, for its own cells: others need none, and keep their digits.
fn only_of<T: Clone + Default>(measure: Measure, owner: Measure, settings: &T) -> T {
    if measure == owner { settings.clone() } else { T::default() }
}

/// What a cell sets on its node.
fn node(scenario: &Scenario, proxy: &Descriptor) -> NodeSettings {
    let ipvs = if proxy.family == "ipvs" { scenario.ipvs.clone() } else { IpvsSettings::default() };
    let is_nftables = proxy.family == "nftables" && proxy.binary.is_none();
    let nftables = if is_nftables { scenario.nftables } else { NftablesSettings::default() };
    NodeSettings { ipvs, nftables, sysctl: scenario.sysctl.clone() }
}

#[cfg(test)]
mod tests {
    use results::{Clock, Place};

    use super::*;
    use crate::measure::path::Topology;
    use crate::run::check::{Overrides, validated};

    fn scenario(text: &str) -> Scenario {
        toml::from_str(text).unwrap()
    }

    fn small() -> Scenario {
        scenario("name = 'x'\nservices = [10, 5]\nproxies = ['none', 'ipvs']")
    }

    const GUEST: Setting = Setting { place: Place::Guest, clock: Clock::Instructions };

    #[test]
    fn cells_go_from_small_to_large_with_unique_ids() {
        let plan = validated(small(), Overrides::default()).unwrap();
        let cells = expand(&plan, GUEST, &["6.1".into()]).unwrap();
        let mut ids: Vec<String> = cells.iter().map(CellSpec::id).collect();
        assert_eq!(cells.first().unwrap().labels.services, 5);
        assert_eq!(
            cells.len(),
            2 * (2 + 2 + 3),
            "connect and http for both, sync, restart and vip_bind for ipvs"
        );
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), cells.len());
    }

    #[test]
    fn a_proxy_is_measured_with_no_more_services_than_it_may_be() {
        let text = "name = 'x'\nservices = [10, 20]\nproxies = ['none', 'ipvs']\n\
                    measures = ['connect']\n[most_services]\nipvs = 10";
        let plan = validated(scenario(text), Overrides::default()).unwrap();
        let cells = expand(&plan, GUEST, &["6.1".into()]).unwrap();
        let planned: Vec<(&str, u64)> =
            cells.iter().map(|cell| (cell.labels.proxy.as_str(), cell.labels.services)).collect();
        assert_eq!(planned, [("none", 10), ("ipvs", 10), ("none", 20)]);
    }

    #[test]
    fn kernels_and_proxies_change_sides_from_block_to_block() {
        let plan = validated(small(), Overrides::default()).unwrap();
        let cells = expand(&plan, GUEST, &["5.10".into(), "6.1".into()]).unwrap();
        let block = |measure: &str| -> Vec<String> {
            let of = |cell: &&CellSpec| cell.labels.measure == measure && cell.labels.services == 5;
            let name = |cell: &CellSpec| format!("{} {}", cell.labels.proxy, cell.labels.kernel);
            cells.iter().filter(of).map(name).collect()
        };
        let mut turned = block("http");
        turned.reverse();
        assert_eq!(block("connect"), turned);
    }

    #[test]
    fn only_connections_through_a_proxy_that_can_be_slowed_down_are() {
        let overrides = Overrides { inject_rules: Some(3), ..Overrides::default() };
        let plan = validated(
            scenario("name = 'x'\nservices = [5]\nproxies = ['none', 'ipvs', 'iptables-nft']"),
            overrides,
        );
        let cells = expand(&plan.unwrap(), GUEST, &["6.1".into()]).unwrap();
        for cell in cells {
            let slowed = cell.labels.proxy == "iptables-nft" && cell.labels.measure == "connect";
            assert_eq!(cell.inject.rules_per_chain, if slowed { 3 } else { 0 }, "{}", cell.id());
            assert_eq!(serde_json::to_string(&cell).unwrap().contains("inject"), slowed);
        }
    }

    #[test]
    fn settings_of_the_node_reach_the_cells_that_they_are_of() {
        let text = "name = 'node-settings'\nservices = [10]\nproxies = ['ipvs', 'nftables-1.36', 'none']\n\
                    measures = ['connect']\n[ipvs]\nscheduler = 'lc'\n[nftables]\nlisting = 'netlink'\n\
                    [sysctl]\n'net.ipv4.vs.conn_reuse_mode' = 0";
        let plan = validated(scenario(text), Overrides::default()).unwrap();
        for cell in expand(&plan, GUEST, &["6.1".into()]).unwrap() {
            let has_scheduler = cell.node.ipvs.scheduler.as_deref() == Some("lc");
            assert_eq!(has_scheduler, cell.labels.proxy == "ipvs");
            let has_listing = cell.node.nftables.listing.is_some();
            assert_eq!(has_listing, cell.labels.proxy == "nftables-1.36");
            assert_eq!(cell.node.sysctl.len(), 1);
            let job = serde_json::to_string(&cell).unwrap();
            assert_eq!(serde_json::from_str::<CellSpec>(&job).unwrap().node, cell.node);
        }
        let plan = validated(small(), Overrides::default()).unwrap();
        for cell in expand(&plan, GUEST, &["6.1".into()]).unwrap() {
            assert!(!serde_json::to_string(&cell).unwrap().contains("node"), "a longer job");
        }
    }

    #[test]
    fn connections_are_made_by_each_path_and_other_measures_once() {
        let text = "name = 'x'\nservices = [5]\nproxies = ['none', 'iptables-nft']\n\
                    measures = ['connect', 'restart']\n\
                    paths = [{ topology = 'one-node' }, { topology = 'two-nodes', source = 'outside', \
                    frontend = 'node-port' }]\n[cluster]\nkinds = { load_balancer = 1 }";
        let plan = validated(scenario(text), Overrides::default()).unwrap();
        let ids: Vec<String> =
            expand(&plan, GUEST, &["6.1".into()]).unwrap().iter().map(CellSpec::id).collect();
        let begin = "6.1.guest.instructions";
        assert_eq!(
            ids,
            [
                format!("{begin}.none.5.s1.connect.one-node.pod.cluster-ip.ipv4"),
                format!("{begin}.iptables-nft.5.s1.connect.one-node.pod.cluster-ip.ipv4"),
                format!("{begin}.iptables-nft.5.s1.connect.two-nodes.outside.node-port.ipv4"),
                format!("{begin}.none.5.s1.connect.two-nodes.outside.node-port.ipv4"),
                format!("{begin}.iptables-nft.5.s1.restart"),
            ]
        );
        let topology = Some(Topology::TwoNodesIpip);
        let plan = validated(scenario(text), Overrides { topology, ..Overrides::default() });
        let cells = expand(&plan.unwrap(), GUEST, &["6.1".into()]).unwrap();
        assert!(cells[0].id().ends_with(".two-nodes-ipip.pod.cluster-ip.ipv4"));
        let job = serde_json::to_string(&cells[0]).unwrap();
        assert_eq!(serde_json::from_str::<CellSpec>(&job).unwrap().path, cells[0].path);
    }

    #[test]
    fn a_path_of_another_forwarding_is_taken_by_those_that_have_it_and_the_control() {
        let text = "name = 'x'\nservices = [5]\nproxies = ['none', 'ipvs', 'iptables-nft', \
                    'ipvs-kube-proxy']\nmeasures = ['connect']\n\
                    paths = [{ topology = 'one-node', forwarding = 'dr' }]\n[cluster]\ntarget_port = 80";
        let plan = validated(scenario(text), Overrides::default()).unwrap();
        let cells = expand(&plan, GUEST, &["6.1".into()]).unwrap();
        let proxies: Vec<&str> = cells.iter().map(|cell| cell.labels.proxy.as_str()).collect();
        assert_eq!(proxies, ["none", "ipvs"]);
        assert!(cells[1].id().ends_with(".one-node.pod.cluster-ip.ipv4.dr"));
    }

    #[test]
    fn a_frontend_that_no_service_has_is_an_error() {
        let text = "name = 'x'\nservices = [5]\nproxies = ['none']\nmeasures = ['connect']\n\
                    paths = [{ topology = 'one-node', frontend = 'external-ip' }]";
        let plan = validated(scenario(text), Overrides::default()).unwrap();
        let error = expand(&plan, GUEST, &["6.1".into()]).unwrap_err().to_string();
        assert!(error.contains("no Service of TCP has the frontend external-ip"), "{error}");
    }

    #[test]
    fn a_plan_without_cells_is_an_error() {
        let only = "measures = ['sync']\n[only.sync]\nservices = [7]";
        let cases = ["measures = ['vip_bind']", only];
        for rest in cases {
            let text = format!("name = 'x'\nservices = [5]\nproxies = ['iptables-nft']\n{rest}");
            let plan = validated(scenario(&text), Overrides::default()).unwrap();
            let error = expand(&plan, GUEST, &["6.1".into()]).unwrap_err().to_string();
            assert!(error.contains("makes no cell"), "{error}");
        }
    }
}
