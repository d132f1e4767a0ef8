//! How long rendering a sync takes, without a kernel: `cargo bench -p proxies --bench render`.

#![expect(clippy::expect_used, reason = "a bench stops by panicking")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use generators::{ChangeKind, EndpointCount, Position, SyntheticSpec, changes, generate};
use proxies::{Options, SyncRequest, find};

/// Numbers of Services, of two Endpoints each.
const SIZES: [u32; 2] = [1_000, 10_000];

fn render(criterion: &mut Criterion) {
    let mut backend = find("iptables-legacy").expect("a backend").open(&Options::default());
    let proxy = backend.staged().expect("it has stages");
    let mut group = criterion.benchmark_group("render/iptables");
    for services in SIZES {
        let spec = SyntheticSpec {
            services,
            endpoints: EndpointCount::Fixed(2),
            ..SyntheticSpec::default()
        };
        let before = generate(&spec, 1).expect("a Cluster");
        let changes =
            changes(&before, &spec, 1, ChangeKind::EndpointChange, Position::Last, 1).expect("one");
        let step = before.step(changes).expect("it fits");
        let full = SyncRequest::Full(&before);
        let incremental = SyncRequest::Incremental(&step);
        for (name, request) in [("full", full), ("endpoint_change", incremental)] {
            let bytes = proxy.render(&request).expect("it renders").size.bytes;
            group.throughput(Throughput::Bytes(bytes));
            group.bench_function(BenchmarkId::new(name, services), |bencher| {
                bencher.iter(|| proxy.render(&request));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);
