//! How long writing the IPVS messages of a full sync takes, without a kernel:
//! `cargo bench -p proxies --bench ipvs_encode`.

#![expect(clippy::expect_used, reason = "a bench stops by panicking")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use generators::{EndpointCount, SyntheticSpec, generate};
use proxies::ipvs::VipBinding;
use proxies::{Options, SyncRequest, find};

/// Numbers of Services, of two Endpoints each.
const SIZES: [u32; 2] = [1_000, 10_000];

/// IPVS alone, then with kube-proxy's sets, each with an address a VIP and with one route for all.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render/ipvs");
    for services in SIZES {
        let endpoints = EndpointCount::Fixed(2);
        let spec = SyntheticSpec { services, endpoints, ..SyntheticSpec::default() };
        let cluster = generate(&spec, 1).expect("a Cluster");
        let request = SyncRequest::Full(&cluster);
        for (masquerade, sets) in [(false, "bare"), (true, "sets")] {
            for vip_binding in [VipBinding::Dummy, VipBinding::LocalRoute] {
                let mut options = Options::default();
                options.ipvs.masquerade = masquerade;
                options.ipvs.vip_binding = vip_binding;
                let mut backend = find("ipvs").expect("a backend").open(&options);
                let proxy = backend.staged().expect("it has stages");
                let size = proxy.render(&request).expect("it renders").size;
                group.throughput(Throughput::Bytes(size.bytes));
                let name = format!("{sets}/{}", vip_binding.as_str());
                group.bench_function(BenchmarkId::new(name, services), |bencher| {
                    bencher.iter(|| proxy.render(&request));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
