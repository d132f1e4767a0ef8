//! How long it takes to make a Cluster, to write it as JSON and to import it from Kubernetes
//! objects, and how much memory at most.
//!
//! `cargo bench -p generators --bench generate` first prints the peak memory of the process
//! (`VmHWM` of `/proc/self/status`) once it has made 1,000,000 Services with 10 Endpoints each,
//! then the times. On x86-64 Linux 6.18 that is 472080 kB: 48 bytes an Endpoint, of which 24 are
//! the Endpoint; the rest is the Service's share (name, VIP, two allocations) and what checking the
//! Cluster takes for a moment.

use std::hint::black_box;
use std::io;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use generators::{
    Cluster, GenerateError, Ipv4Net, OnBadObject, SyntheticSpec, from_k8s, generate, to_json,
    to_k8s,
};

const SIZES: [u32; 3] = [1_000, 100_000, 1_000_000];

/// `services` Services with 10 Endpoints each, in a range that has room for all sizes.
fn spec(services: u32) -> SyntheticSpec {
    SyntheticSpec {
        services,
        endpoint_cidr: Ipv4Net::new_assert([240, 0, 0, 0].into(), 4),
        ..SyntheticSpec::default()
    }
}

fn cluster(services: u32) -> Result<Cluster, GenerateError> {
    generate(&spec(services), 1)
}

/// The most memory this process has had resident, as the kernel writes it ("231928 kB").
fn peak_memory() -> io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(peak.unwrap_or("not known to this kernel").trim().to_owned())
}

fn generating(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("generate");
    group.sample_size(10);
    for services in SIZES {
        group.throughput(Throughput::Elements(u64::from(services)));
        group.bench_function(BenchmarkId::from_parameter(services), |bencher| {
            // The time to free a Cluster stays out of the figure.
            bencher.iter_with_large_drop(|| cluster(black_box(services)));
        });
    }
    group.finish();
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("to_json");
    group.sample_size(10);
    group.throughput(Throughput::Elements(100_000));
    group.bench_function(BenchmarkId::from_parameter(100_000), |bencher| {
        bencher.iter_batched_ref(
            || cluster(100_000),
            |cluster| cluster.as_ref().map(|cluster| to_json(cluster, io::sink())).is_ok(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn importing(criterion: &mut Criterion) -> Result<(), Box<dyn std::error::Error>> {
    let mut list = Vec::new();
    to_k8s(&cluster(50_000)?, &mut list)?;
    let mut group = criterion.benchmark_group("from_k8s");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(list.len() as u64));
    group.bench_function(BenchmarkId::from_parameter(50_000), |bencher| {
        bencher.iter_with_large_drop(|| from_k8s(black_box(&list[..]), OnBadObject::Refuse));
    });
    group.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // An error below this line would be timed as if it were a Cluster, so none is left.
    for services in SIZES {
        spec(services).validate()?;
    }
    let million = cluster(1_000_000)?;
    let (services, endpoints) = (million.services().len(), million.endpoint_count());
    println!("peak memory with {services} Services and {endpoints} Endpoints: {}", peak_memory()?);
    drop(million);
    let mut criterion = Criterion::default().configure_from_args();
    generating(&mut criterion);
    writing(&mut criterion);
    importing(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
