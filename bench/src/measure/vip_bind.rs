//! What it costs to make every VIP local, which IPVS needs: one address each on a dummy link, or
//! one local route.

use std::io;

use anyhow::{bail, ensure};
use generators::{Cluster, Position};
use proxies::ipvs::{IpvsOptions, VipBinding, VipProgram, ready_link, unbind_vips};
use proxies::{Options, ProxyError};
use results::metrics::{self, MetricKind};

use super::kind::{Kind, Measured};
use super::lab::{BenchLab, CLIENT_TIMEOUT};
use super::sync::REPEATED_MAX;
use crate::load::{BareClient, LoadClient, LoadError, MeasureClock};

/// The measure `vip_bind`.
pub(super) const VIP_BIND: Kind = Kind {
    applies: |proxy| proxy.needs_local_vips,
    takes_paths: false,
    cost: |cell| cell.sync(),
    emits: &[metrics::VIP_BIND, metrics::MESSAGES],
    emits_of_programs: &[],
    run: |lab, spec| run(lab, spec.load.full_syncs),
};

/// Binds and unbinds all VIPs by each strategy, `times` each, or fewer where that takes long.
fn run(lab: &BenchLab, times: u32) -> anyhow::Result<Measured> {
    // A kernel that cannot run the proxy needs no local VIPs and has nothing to compare.
    drop(lab.open()?);
    let mut measured = Measured { verified: 0, metrics: Vec::new() };
    for binding in [VipBinding::Dummy, VipBinding::LocalRoute] {
        bind(lab, binding, times, &mut measured)?;
    }
    Ok(measured)
}

/// What it took to bind every VIP of a Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// All of it, with making the link.
    pub total: u64,
    /// Our own sorting of the Cluster, which is not the kernel's work.
    pub render: u64,
    /// Handing them to the kernel.
    pub submit: u64,
    /// How many messages that were.
    pub messages: u64,
}

/// Binds every VIP of a Cluster by a strategy, in the namespace of the calling thread, where none
/// is bound yet.
///
/// # Errors
/// Any refusal by the kernel, such as a missing module `dummy`.
pub fn bound(
    cluster: &Cluster,
    options: &Options,
    vip_binding: VipBinding,
    clock: MeasureClock,
) -> Result<Bound, ProxyError> {
    let options =
        Options { ipvs: IpvsOptions { vip_binding, ..options.ipvs.clone() }, ..options.clone() };
    let started = clock.now();
    let link = ready_link(vip_binding, cluster)?;
    let prepared = clock.now();
    let program = VipProgram::render(cluster, &options, link)?;
    let rendered = clock.now();
    let size = program.submit()?;
    let submitted = clock.now();
    Ok(Bound {
        total: submitted - started,
        render: rendered - prepared,
        submit: submitted - rendered,
        messages: size.messages,
    })
}

fn bind(
    lab: &BenchLab,
    vip_binding: VipBinding,
    times: u32,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let mut all: Vec<Bound> = Vec::new();
    let taken = |all: &[Bound]| all.iter().map(|bound| bound.total).sum::<u64>();
    while all.is_empty() || all.len() < times as usize && taken(&all) < REPEATED_MAX {
        all.push(bound(&lab.cluster, &lab.options, vip_binding, lab.clock)?);
        for position in [Position::First, Position::Last] {
            must_be_local(lab, position)?;
            measured.verified += 1;
        }
        unbind_vips()?;
    }
    let (label, clock) = (vip_binding.as_str(), lab.clock.kind());
    let mut part = |kind: MetricKind, label: &str, value: fn(&Bound) -> u64| {
        measured.metrics.push(kind.of(label, clock, all.iter().map(value).collect()));
    };
    part(metrics::VIP_BIND, label, |bound| bound.total);
    part(metrics::VIP_BIND, &format!("{label}.render"), |bound| bound.render);
    part(metrics::VIP_BIND, &format!("{label}.submit"), |bound| bound.submit);
    let label = format!("{}.{label}", metrics::VIP_BIND.name);
    part(metrics::MESSAGES, &label, |bound| bound.messages);
    Ok(())
}

/// A local address without a listener refuses a connection at once; one that is not local stays
/// silent or unreachable.
fn must_be_local(lab: &BenchLab, position: Position) -> anyhow::Result<()> {
    let dialled = lab.dialled(position, 0)?;
    let answer = lab.client()?.enter(|| {
        let mut client = BareClient::new(lab.clock, CLIENT_TIMEOUT);
        anyhow::Ok(client.connection(&mut lab.sources()?, &dialled.target()))
    })??;
    match answer {
        Err(LoadError::Connection { source, .. }) => {
            ensure!(
                source.kind() == io::ErrorKind::ConnectionRefused,
                "VIP {} is not local: {source}",
                dialled.vip
            );
            Ok(())
        }
        Err(other) => Err(other.into()),
        Ok(_) => bail!("VIP {} was answered although nothing serves it", dialled.vip),
    }
}
