//! Whether it matters how far VIPs lie apart: the scenario's layout against consecutive VIPs, all else equal.
//!
//! IPVS up to Linux 7.0 keeps virtual services in 256 buckets, chosen by the low bits of the VIP among others.

use generators::VipLayout;
use proxies::ProxyKind;
use proxies::ipvs::Buckets;
use results::{Metric, Unit};

use super::bench_lab::BenchLab;
use super::{CellSpec, Measured, connect};

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
    let connects = found.metrics.into_iter().filter(|metric| metric.name == "connect");
    measured.metrics.extend(connects.map(|metric| Metric {
        name: "layout.connect".into(),
        label: format!("{layout}.{}", metric.label),
        ..metric
    }));
    if lab.kind == ProxyKind::Ipvs {
        let buckets = Buckets::read()?.by_length;
        let lengths =
            buckets.into_iter().flat_map(|(length, count)| (0..count).map(move |_| length));
        let values = lengths.collect();
        measured.metrics.push(Metric::of_values(
            "layout.bucket_services",
            &layout,
            Unit::Count,
            values,
        ));
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
