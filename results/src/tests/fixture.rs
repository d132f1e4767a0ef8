//! A synthetic run for tests: plausible, invented numbers that no kernel produced. Built once, then
//! cloned.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::metrics::{self, MetricKind};
use crate::proxies::PALETTE;
use crate::record::{
    CellRecord, Clock, Distribution, Environment, Labels, Metric, Outcome, Place, ProxyRecord,
    RUN_SCHEMA, RunRecord,
};
use crate::store::Run;

const PROXIES: [&str; 4] = ["none", "iptables-legacy", "iptables-nft", "ipvs"];
const SIZES: [u64; 4] = [10, 100, 1000, 10_000];
const POSITIONS: [&str; 3] = ["first", "p50", "last"];

/// Four proxies, four sizes, two seeds on the instructions clock, with one censored and one
/// unsupported cell.
pub(crate) fn run() -> (RunRecord, Vec<CellRecord>) {
    static RUN: OnceLock<(RunRecord, Vec<CellRecord>)> = OnceLock::new();
    RUN.get_or_init(|| {
        build("6.1.0-56-cloud-amd64", Clock::Instructions, &PROXIES, &SIZES, &[1, 2])
    })
    .clone()
}

/// The same as read from a folder.
pub(crate) fn stored() -> Run {
    loaded(run())
}

/// The wall clock of the host: one size, one seed, no IPVS.
pub(crate) fn wall() -> Run {
    static RUN: OnceLock<(RunRecord, Vec<CellRecord>)> = OnceLock::new();
    let proxies = &["none", "iptables-nft"];
    loaded(RUN.get_or_init(|| build("6.18.44", Clock::Wall, proxies, &[1000], &[1])).clone())
}

/// Another kernel, `none` and `ipvs` only.
pub(crate) fn other_kernel() -> Run {
    static RUN: OnceLock<(RunRecord, Vec<CellRecord>)> = OnceLock::new();
    let proxies = &["none", "ipvs"];
    loaded(
        RUN.get_or_init(|| {
            build("5.10.0-32-cloud-amd64", Clock::Instructions, proxies, &[10, 10_000], &[1])
        })
        .clone(),
    )
}

/// Four kernels in one run, in no order. From 6.1 to 6.12 `iptables-nft` takes 27% more
/// instructions for a connection and the floor 1%; on 7.2 `iptables-legacy` is not supported and
/// one cell of `ipvs` is invalid.
pub(crate) fn kernels() -> Run {
    static RUN: OnceLock<(RunRecord, Vec<CellRecord>)> = OnceLock::new();
    loaded(RUN.get_or_init(four_kernels).clone())
}

fn four_kernels() -> (RunRecord, Vec<CellRecord>) {
    let (mut record, mut all) = (None, Vec::new());
    let releases =
        ["6.12.9-cloud-amd64", "5.10.0-32-cloud-amd64", "7.2.0-amd64", "6.1.0-56-cloud-amd64"];
    for kernel in releases {
        let (one, mut cells) = build(kernel, Clock::Instructions, &PROXIES, &[100, 1000], &[1, 2]);
        for cell in cells.iter_mut().filter(|cell| cell.labels.kernel.starts_with("7.2")) {
            let labels = &cell.labels;
            let outcome = match (labels.proxy.as_str(), labels.measure.as_str(), labels.services) {
                ("iptables-legacy", ..) => {
                    Outcome::Unsupported { reason: "the kernel has no ip_tables".into() }
                }
                ("ipvs", "connect", 1000) => Outcome::Invalid { reason: "kernel splat".into() },
                _ => continue,
            };
            *cell = CellRecord::new(labels.clone(), outcome);
        }
        record.get_or_insert(one);
        all.append(&mut cells);
    }
    let mut record = record.unwrap();
    record.cells = all.iter().map(|cell| cell.id.clone()).collect();
    (record, all)
}

/// Invented change of a new connection from 6.1 to later kernels, per cent.
fn drift_percent(kernel: &str, proxy: &str) -> u64 {
    match (kernel.starts_with("6.12") || kernel.starts_with("7."), proxy) {
        (true, "iptables-nft") => 27,
        (true, "none") => 1,
        _ => 0,
    }
}

fn loaded((record, cells): (RunRecord, Vec<CellRecord>)) -> Run {
    Run { dir: PathBuf::from("runs/example"), record, cells, warnings: Vec::new() }
}

fn build(
    kernel: &str,
    clock: Clock,
    proxies: &[&str],
    sizes: &[u64],
    seeds: &[u64],
) -> (RunRecord, Vec<CellRecord>) {
    let mut cells = Vec::new();
    for &services in sizes {
        for &seed in seeds {
            for proxy in proxies {
                let measures: &[&str] = match *proxy {
                    "none" => &["connect", "http"],
                    "ipvs" => &["sync", "connect", "http", "vip_bind"],
                    _ => &["sync", "connect", "http"],
                };
                for measure in measures {
                    cells.push(cell(kernel, clock, proxy, services, seed, measure));
                }
            }
        }
    }
    let facts = [
        ("guest.cpu_model", "max,-rdrand,-rdseed,-cx16,-erms,-fsrm"),
        ("host.cpu", "Example CPU, 2 cores"),
        ("tool.iptables-nft-restore", "iptables-nft-restore v1.8.9 (nf_tables)"),
        ("tool.qemu-system-x86_64", "QEMU emulator version 7.2.19"),
    ];
    let record = RunRecord {
        schema: RUN_SCHEMA.into(),
        tool_version: "0.1.0".into(),
        command: ["vipbench", "run", "scenarios/quick.toml", "-o", "runs/quick"]
            .map(String::from)
            .to_vec(),
        started: "2026-11-22T21:40:00Z".into(),
        scenario_name: "quick".into(),
        scenario: serde_json::json!({"connections": 300, "layout": "consecutive", "services": sizes}),
        proxies: proxies.iter().map(|name| proxy(name)).collect(),
        cells: cells.iter().map(|cell| cell.id.clone()).collect(),
        shard: None,
        environment: Environment {
            facts: facts.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        },
        guests: Vec::new(),
    };
    (record, cells)
}

fn proxy(name: &str) -> ProxyRecord {
    let order = PROXIES.iter().position(|proxy| *proxy == name).unwrap();
    ProxyRecord {
        name: name.into(),
        family: name.split('-').next().unwrap().into(),
        colour: PALETTE[order].into(),
        order: u32::try_from(order).unwrap(),
        ours: None,
    }
}

fn cell(
    kernel: &str,
    clock: Clock,
    proxy: &str,
    services: u64,
    seed: u64,
    measure: &str,
) -> CellRecord {
    let place = if clock == Clock::Wall { Place::Host } else { Place::Guest };
    let labels = Labels {
        kernel: kernel.into(),
        place,
        clock,
        proxy: proxy.into(),
        services,
        endpoints: services,
        seed,
        measure: measure.into(),
        path: crate::Path::default(),
    };
    let mut cell = CellRecord::new(labels, Outcome::Measured);
    cell.duration_ms = 3_500;
    match (proxy, services, measure, seed) {
        ("iptables-nft", 10_000, "http", 1) => {
            cell.outcome = Outcome::Censored { limit_s: 600, clock: Clock::Wall };
            return cell;
        }
        ("iptables-nft", 10_000, "http", _) => {
            cell.outcome = Outcome::Skipped { reason: "seed 1 took longer than its budget".into() };
            return cell;
        }
        _ => {}
    }
    cell.verified = 600;
    cell.metrics = match measure {
        "connect" => connect(kernel, proxy, services, seed, clock),
        "http" => [metrics::HTTP_CONNECT, metrics::HTTP_REQUEST, metrics::HTTP_CLOSE]
            .into_iter()
            .zip([62_000, 41_000, 22_000])
            .map(|(kind, extra)| {
                let cost = connect_cost(proxy, services, "last", seed) / 4 + extra;
                histogram(kind, "last", clock, cost)
            })
            .collect(),
        "vip_bind" => {
            let dummy = 90_000 * services + 9 * services * services;
            let bind = |label, value| metrics::VIP_BIND.of(label, clock, vec![value]);
            vec![bind("dummy", dummy), bind("local-route", 61_000)]
        }
        _ => sync(proxy, services, seed, clock),
    };
    if proxy == "iptables-nft" && services == 10_000 && measure == "connect" {
        cell.warnings
            .push("conntrack table was 81 % full; raise nf_conntrack_max in the scenario".into());
    }
    cell
}

/// Invented cost of a new connection.
fn connect_cost(proxy: &str, services: u64, position: &str, seed: u64) -> u64 {
    let rank = match position {
        "first" => 1,
        "p50" => services / 2,
        _ => services,
    };
    let cost = match proxy {
        "none" => 50_464,
        "iptables-legacy" => 58_310 + 27 * rank,
        "iptables-nft" => 60_020 + 147 * rank,
        _ => 59_101 + rank % 7,
    };
    cost + cost * (seed - 1) / 500
}

fn connect(kernel: &str, proxy: &str, services: u64, seed: u64, clock: Clock) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for position in POSITIONS {
        let cost = connect_cost(proxy, services, position, seed);
        let cost = cost + cost * drift_percent(kernel, proxy) / 100;
        metrics.push(histogram(metrics::CONNECT, position, clock, cost));
        metrics.push(histogram(metrics::REQUEST, position, clock, 21_870));
        metrics.push(histogram(metrics::CLOSE, position, clock, 12_040));
    }
    metrics.push(histogram(metrics::KEEPALIVE_REQUEST, "last", clock, 18_400 + seed));
    metrics.push(metrics::HARNESS_CLOCK.of("pair", clock, vec![61, 61, 61]));
    metrics.push(metrics::HARNESS_SAMPLE.of("record", clock, vec![212, 214]));
    metrics
}

fn sync(proxy: &str, services: u64, seed: u64, clock: Clock) -> Vec<Metric> {
    let (full, change, rules) = match proxy {
        "iptables-legacy" => {
            (9_000_000 + 141_000 * services, 8_000_000 + 60_000 * services, 3 * services + 20)
        }
        "iptables-nft" => {
            (11_000_000 + 362_000 * services, 9_500_000 + 9_000 * services, 3 * services + 20)
        }
        _ => (1_900_000 + 61_000 * services, 262_000, 2 * services),
    };
    let full = full + full * (seed - 1) / 300;
    let mut metrics = Vec::new();
    for (kind, total) in [
        (metrics::SYNC_FULL, full),
        (metrics::SYNC_RESTART, full * 9 / 10),
        (metrics::SYNC_ENDPOINT_CHANGE, change),
        (metrics::SYNC_SERVICE_ADD, change * 11 / 10),
        (metrics::SYNC_SERVICE_REMOVE, change * 105 / 100),
    ] {
        let render = total * 12 / 100;
        let submit = total * 81 / 100;
        let prepare = total * 3 / 100;
        for (part, value) in [
            (metrics::TOTAL, total),
            ("prepare", prepare),
            ("render", render),
            ("submit", submit),
            ("effective", total - render - submit - prepare),
        ] {
            metrics.push(kind.of(part, clock, vec![value]));
        }
        let size = if kind == metrics::SYNC_FULL { rules } else { 4 };
        let counted = if proxy == "ipvs" { metrics::MESSAGES } else { metrics::RULES };
        metrics.push(counted.of(kind.name, clock, vec![size]));
        metrics.push(metrics::BYTES.of(kind.name, clock, vec![size * 74]));
    }
    let memory = vec![40_000_000 + 900 * services];
    metrics.push(metrics::MEMORY_KERNEL.of("sync.full", clock, memory));
    metrics.push(metrics::CPU.of("sync.full", clock, vec![full * 9 / 10]));
    metrics
}

/// 1,000 values around `cost`: a narrow body and a slow last percent.
fn histogram(kind: MetricKind, label: &str, clock: Clock, cost: u64) -> Metric {
    let mut state = cost;
    let value = |at: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = (state >> 40) % (cost / 100 + 1);
        let tail = if at % 75 == 74 { cost / 6 } else { 0 };
        cost + noise + tail
    };
    let values: Vec<u64> = (0..1000).map(value).collect();
    let data = Distribution::histogram(&values).unwrap();
    Metric { data, ..kind.of(label, clock, Vec::new()) }
}
