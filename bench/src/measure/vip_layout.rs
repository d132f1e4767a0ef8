//! Whether it matters how far VIPs lie apart: the scenario's layout against consecutive VIPs, all
//! else equal.
//!
//! IPVS up to Linux 7.0 keeps virtual services in 256 buckets, chosen by the low bits of the VIP
//! among others.

use generators::VipLayout;
use results::Distribution;
use results::metrics;

use super::connect;
use super::kind::{Kind, Measured};
use super::lab::BenchLab;
use super::spec::CellSpec;

/// The measure `vip_layout`.
pub(super) const VIP_LAYOUT: Kind = Kind {
    applies: |_| true,
    takes_paths: false,
    cost: |cell| 2 * (cell.sync() + cell.connections(cell.spec().load.connections)),
    emits: &[metrics::LAYOUT_CONNECT, metrics::LAYOUT_BUCKET_SERVICES],
    emits_of_programs: &[],
    run,
};

/// Connections under both layouts, and how full the buckets of a hash table are. Consecutive VIPs
/// have a lab of their own, which is emptied before the other is programmed: namespaces share IPVS'
/// table, and so the length of its buckets.
fn run(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let mut measured = Measured { verified: 0, metrics: Vec::new() };
    let mut consecutive = spec.clone();
    consecutive.cluster.vip_layout = VipLayout::Consecutive;
    let other = BenchLab::build(&consecutive)?;
    other.topology.node().enter(|| {
        add(&other, &consecutive, &mut measured)?;
        anyhow::Ok(other.open()?.stop()?)
    })??;
    add(lab, spec, &mut measured)?;
    Ok(measured)
}

fn add(lab: &BenchLab, spec: &CellSpec, measured: &mut Measured) -> anyhow::Result<()> {
    let layout = name(spec.cluster.vip_layout);
    let found = connect::run(lab, spec)?;
    measured.verified += found.verified;
    let clock = lab.clock.kind();
    for metric in found.metrics.into_iter().filter(|one| one.name == metrics::CONNECT.name) {
        let Distribution::Values { values } = metric.data else { continue };
        let label = format!("{layout}.{}", metric.label);
        measured.metrics.push(metrics::LAYOUT_CONNECT.of(&label, clock, values));
    }
    if let Some(bucket_services) = lab.backend.bucket_services {
        let kind = metrics::LAYOUT_BUCKET_SERVICES;
        measured.metrics.push(kind.of(&layout, clock, bucket_services()?));
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
