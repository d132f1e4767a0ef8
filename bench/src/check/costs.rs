//! What it costs to make VIPs local, by each way of doing it at several sizes: the other half of
//! the answer whether they must be addresses.
//!
//! Counted in instructions in an emulated guest, else in time. What each way can do is tried by
//! packets in `trials`.

use std::net::SocketAddr;

use generators::{EndpointCount, Protocol, SyntheticSpec, generate};
use itertools::Itertools as _;
use lab::topology::Source;
use linux::netlink::{LOOPBACK_INDEX, Rtnl};
use linux::netns::Namespace;
use proxies::ipvs::VipBinding;
use proxies::{Descriptor, Options};
use results::Clock;
use results::check::{Cost, Probe, Trial, Verdict};

use super::client::{self, Came, Dial};
use super::trials::{ADDRESSES, LOCAL_ROUTE};
use crate::load::MeasureClock;
use crate::measure::vip_bind::{Bound, bound};

const QUESTION: &str = "what does it cost to make VIPs local?";
/// The subject of its probes.
const SUBJECT: &str = "vip-cost";
/// Numbers of VIPs. The kernel's work with addresses is quadratic in their number, and it shows at
/// the last; a whole check is not to wait for more.
const SIZES: [u32; 3] = [10, 1_000, 20_000];
/// The port of the VIPs, at which nothing listens.
const PORT: u16 = 80;

/// Measures each, in namespaces of their own.
///
/// # Errors
/// What the kernel refuses, or lacks for the proxy.
pub fn run(proxy: &Descriptor) -> anyhow::Result<Vec<Trial>> {
    let clock =
        MeasureClock::open(Clock::Instructions).or_else(|_| MeasureClock::open(Clock::Wall))?;
    Namespace::new("probe")?.enter(|| proxy.open(&Options::default()).probe())??;
    // None ends before all is measured: that many addresses take the kernel long to remove, which
    // it would do in the midst of what comes next.
    let (mut trials, mut kept) = (Vec::new(), Vec::new());
    for (binding, setting) in
        [(VipBinding::LocalRoute, LOCAL_ROUTE), (VipBinding::Dummy, ADDRESSES)]
    {
        for vips in SIZES {
            let namespace = Namespace::new("vips")?;
            trials.push(tried(&namespace, (binding, setting), vips, clock)?);
            kept.push(namespace);
        }
    }
    Ok(trials)
}

fn tried(
    namespace: &Namespace,
    (binding, setting): (VipBinding, &str),
    vips: u32,
    clock: MeasureClock,
) -> anyhow::Result<Trial> {
    let spec = SyntheticSpec {
        services: vips,
        port: PORT,
        endpoints: EndpointCount::Fixed(1),
        ..SyntheticSpec::default()
    };
    let cluster = generate(&spec, 1)?;
    let Bound { submit, .. } = namespace.enter(|| {
        Rtnl::open()?.set_up(LOOPBACK_INDEX)?;
        anyhow::Ok(bound(&cluster, &Options::default(), binding, clock)?)
    })??;
    let ends = [cluster.services().first(), cluster.services().last()].into_iter().flatten();
    let ends: Vec<SocketAddr> = ends.map(|service| SocketAddr::new(service.vip(), PORT)).collect();
    let dial = |to: &SocketAddr| Dial {
        from: None,
        to: *to,
        protocol: Protocol::Tcp,
        request_bytes: 0,
        for_silence: false,
    };
    let came = client::inside(namespace, || client::all(ends.iter().map(dial).collect()))??;
    Ok(Trial {
        question: QUESTION.to_owned(),
        setting: setting.to_owned(),
        probe: probe(&ends, &came),
        cost: Some(Cost { vips: vips.into(), unit: clock.kind().unit(), taken: submit }),
    })
}

/// A local address without a listener refuses a connection at once; to one that is not local there
/// is no way.
fn probe(ends: &[SocketAddr], came: &[Came]) -> Probe {
    let other = came.iter().find(|one| **one != Came::Refusal);
    Probe {
        subject: SUBJECT.to_owned(),
        source: Source::Node.to_string(),
        frontend: "cluster IP".to_owned(),
        protocol: Protocol::Tcp.to_string(),
        family: "IPv4".to_owned(),
        service: String::new(),
        addresses: format!("the node to {}", ends.iter().join(" and ")),
        expected: Came::Refusal.to_string(),
        came: other.unwrap_or(&Came::Refusal).to_string(),
        verdict: if other.is_none() { Verdict::Good } else { Verdict::Unexpected },
        reason: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_that_is_not_local_is_unexpected() {
        let ends = [1, 2].map(|last| SocketAddr::from(([10, 96, 0, last], PORT)));
        assert_eq!(probe(&ends, &[Came::Refusal, Came::Refusal]).verdict, Verdict::Good);
        let lost = probe(&ends, &[Came::Refusal, Came::Fault("no way".to_owned())]);
        assert_eq!((lost.verdict, lost.came.as_str()), (Verdict::Unexpected, "no way"));
    }
}
