//! Whether it matters how far VIPs lie apart: the scenario's layout against consecutive VIPs, all else equal.
//!
//! IPVS up to Linux 7.0 keeps virtual services in 256 buckets, chosen by the low bits of the VIP among others.

use generators::VipLayout;
use proxies::ProxyKind;
use proxies::ipvs::Buckets;
use results::Distribution;
use results::metrics::{self, MetricKind};

use super::bench_lab::BenchLab;
use super::{CellSpec, Measured, connect};

/// What it measures.
pub(super) const EMITS: &[MetricKind] = &[metrics::LAYOUT_CONNECT, metrics::LAYOUT_BUCKET_SERVICES];

/// Connections under both layouts, and for IPVS how full the buckets are. Consecutive VIPs have a lab of their own, which
/// is emptied before the other is programmed: namespaces share IPVS' table, and so the length of its buckets.
pub(super) fn measure(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let mut measured = Measured { verified: 0, metrics: Vec::new() };
    let mut consecutive = spec.clone();
    consecutive.cluster.vip_layout = VipLayout::Consecutive;
    let other = BenchLab::build(&consecutive)?;
    other.topology.node().enter(|| {
        add(&other, &consecutive, &mut measured)?;
        anyhow::Ok(other.open_proxy()?.teardown()?)
    })??;
    add(lab, spec, &mut measured)?;
    Ok(measured)
}

fn add(lab: &BenchLab, spec: &CellSpec, measured: &mut Measured) -> anyhow::Result<()> {
    let layout = name(spec.cluster.vip_layout);
    let found = connect::bare(lab, spec)?;
    measured.verified += found.verified;
    let clock = lab.clock.kind();
    for metric in found.metrics.into_iter().filter(|one| one.name == metrics::CONNECT.name) {
        let Distribution::Values { values } = metric.data else { continue };
        let label = format!("{layout}.{}", metric.label);
        measured.metrics.push(metrics::LAYOUT_CONNECT.of(&label, clock, values));
    }
    if lab.kind == ProxyKind::Ipvs {
        let buckets = Buckets::read()?.by_length;
        let lengths =
            buckets.into_iter().flat_map(|(length, count)| (0..count).map(move |_| length));
        let kind = metrics::LAYOUT_BUCKET_SERVICES;
        measured.metrics.push(kind.of(&layout, clock, lengths.collect()));
    }
    Ok(())
}

/// `consecutive`, `random`, `strided-256`.
fn name(layout: VipLayout) -> String {
    match layout {
        VipLayout::Consecutive => "consecutive".into(),
        VipLayout::Random => "random".into(),
        VipLayout::Strided { step } => format!("strided-{step}"),
    }
}
