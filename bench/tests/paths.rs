//! Cells in a real kernel by every path: each connection is answered by the right Endpoint, or the
//! cell fails. Needs root; makes its own namespaces only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use results::{Clock, Outcome, Place};
use vipbench::measure;
use vipbench::place::Setting;
use vipbench::run::check::{Overrides, validated};
use vipbench::run::plan::expand;
use vipbench::scenario::Scenario;

/// Every Service has a frontend of each kind, or one beside those of the others.
const SCENARIO: &str = "
name = 'paths'
services = [6]
proxies = ['none', 'nftables-1.37']
measures = ['connect', 'sync']
[cluster]
families = 'dual'
kinds = { external_ip = 1, load_balancer = 1 }
endpoints = { fixed = 2 }
[load]
connections = 3
positions = ['first', 'random']
keepalive_requests = 2
changes = 1
full_syncs = 1
";
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];
const FRONTENDS: [&str; 4] = ["cluster-ip", "node-port", "external-ip", "load-balancer-ip"];

/// IPVS alone forwards otherwise than by translation, and Endpoints keep the port that was dialled.
const FORWARDING: &str = "
name = 'paths'
services = [6]
proxies = ['none', 'ipvs']
measures = ['connect', 'http']
[cluster]
target_port = 80
endpoints = { fixed = 2 }
[load]
connections = 3
http_connections = 3
positions = ['first', 'random']
keepalive_requests = 2
";

fn paths(topology: &str, sources: &[&str]) -> String {
    let path = |source: &str, frontend: &str, family: &str| {
        format!(
            "{{ topology = '{topology}', source = '{source}', frontend = '{frontend}', \
             family = '{family}' }}"
        )
    };
    let all = sources.iter().flat_map(|source| {
        FRONTENDS.iter().flat_map(move |frontend| {
            FAMILIES.iter().map(move |family| path(source, frontend, family))
        })
    });
    format!("paths = [{}]", all.collect::<Vec<_>>().join(", "))
}

/// Runs every cell of a topology, and returns how many there were.
fn run(topology: &str, sources: &[&str]) -> usize {
    run_scenario(&format!("{}\n{SCENARIO}", paths(topology, sources)))
}

fn run_scenario(text: &str) -> usize {
    let scenario: Scenario = toml::from_str(text).unwrap();
    let scenario = validated(scenario, Overrides::default()).unwrap();
    let setting = Setting { place: Place::Host, clock: Clock::Wall };
    let cells = expand(&scenario, setting, &["host".into()]).unwrap();
    for cell in &cells {
        let answer = measure::run(cell);
        assert_eq!(answer.outcome, Outcome::Measured, "{}", cell.id());
        assert!(answer.verified > 0, "{}", cell.id());
    }
    cells.len()
}

#[test]
#[ignore = "needs root and nftables; run by scripts/test"]
fn every_source_reaches_every_frontend_on_one_node() {
    // `none` makes connections and has no syncs.
    assert_eq!(run("one-node", &["pod", "node", "outside"]), 3 * 8 * 3);
}

#[test]
#[ignore = "needs root and nftables; run by scripts/test"]
fn every_source_reaches_every_frontend_on_two_nodes() {
    assert_eq!(run("two-nodes", &["pod", "node", "outside", "other-node-pod"]), 4 * 8 * 3);
}

#[test]
#[ignore = "needs root, nftables and the module ipip; run by scripts/test"]
fn every_source_reaches_every_frontend_through_an_ipip_tunnel() {
    assert_eq!(run("two-nodes-ipip", &["pod", "node", "outside", "other-node-pod"]), 4 * 8 * 3);
}

#[test]
#[ignore = "needs root, ipvs and the module ipip; run by scripts/test"]
fn ipvs_reaches_endpoints_by_every_forwarding() {
    let paths = "paths = [{ topology = 'one-node', forwarding = 'dr' }, \
                 { topology = 'one-node', forwarding = 'tun' }, \
                 { topology = 'two-nodes', forwarding = 'tun' }]";
    assert_eq!(run_scenario(&format!("{paths}\n{FORWARDING}")), 3 * 2 * 2);
}
