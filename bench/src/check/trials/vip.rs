//! How a node reaches its own VIPs, and how VIPs become local.

use std::time::Duration;

use generators::Service;
use lab::topology::{Holding, Source};
use linux::Tool;
use linux::sysctl::Sysctls;
use proxies::Options;
use proxies::ipvs::VipBinding;
use results::check::Trial;

use super::super::expectation::{Answering, Expected, Peer};
use super::super::paths::Path;
use super::super::subjects::TARGET;
use super::{Bench, PORT, Question};

const OWN_VIP: Question = Question { name: "own-vip", says: "does a node reach its own VIP?" };
const VIP_BINDING: Question = Question {
    name: "vip-binding",
    says: "may VIPs be one local route, or must they be addresses?",
};

/// The two ways of making VIPs local, in words.
pub(in super::super) const ADDRESSES: &str = "VIPs are addresses of a device";
pub(in super::super) const LOCAL_ROUTE: &str = "one local route for all VIPs";

/// How long `iptables` may take for one rule.
const RULE_LIMIT: Duration = Duration::from_secs(20);

/// A node that dials a VIP of its own: by IPVS alone, with `vs.conntrack` and an SNAT by the match
/// `ipvs`, and with the sets of kube-proxy's IPVS mode.
///
/// The VIP being the node's own address, its connection begins at it. Every node of a cluster has
/// every VIP, so that of the Endpoint takes such packets for forged ones of its own.
pub(super) fn own(bench: &Bench<'_>) -> anyhow::Result<Vec<Trial>> {
    let mut alone = bench.options.clone();
    alone.ipvs.masquerade = false;
    let open = bench.service((0, PORT), bench.endpoints())?;
    let mut seen = bench.path(Source::Node, &OWN_VIP, &open)?;
    let answering = seen.expected.answering().iter();
    let by_vip = answering.map(|one| Answering { sees: Peer::Dialled, ..*one });
    seen.expected = Expected::Answered(by_vip.collect());

    let held = bench.service((1, PORT), vec![bench.site.endpoint_away(0, TARGET)])?;
    bench.lab.host_of(bench.site.away[0])?.hold(held.vip().into(), Holding::Direct)?;
    let reached = bench.path(Source::Node, &OWN_VIP, &held)?;
    let mut lost = Path { expected: Expected::Dropped, dials: 1, ..reached.clone() };
    lost.dial.for_silence = true;

    let tried = |setting: &str, service, path, options| {
        bench.tried((&OWN_VIP, setting), (service, path), options)
    };
    let matched = || tried("vs.conntrack=1, SNAT by -m ipvs --vaddr", &held, &reached, &alone);
    Ok(vec![
        tried("IPVS alone", &open, &seen, &alone)?,
        tried("IPVS alone, the Endpoint's node has the VIP too", &held, &lost, &alone)?,
        with_match(&held, matched)?,
        tried("vs.conntrack=1, SNAT by sets, as kube-proxy", &held, &reached, bench.options)?,
    ])
}

/// Runs `work` with the rule and the sysctl of the engineers who tried IPVS first.
fn with_match<T>(service: &Service, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (vip, port) = (service.vip().to_string(), service.port().to_string());
    let rule = |action: &str| {
        let args = [
            "-t",
            "nat",
            action,
            "POSTROUTING",
            "-m",
            "ipvs",
            "--vaddr",
            &vip,
            "--vport",
            &port,
            "-j",
            "MASQUERADE",
        ];
        let program = "iptables-nft";
        Tool { program, args: &args, env: None, deadline: RULE_LIMIT }.read()
    };
    let mut sysctls = Sysctls::default();
    sysctls.change("net.ipv4.vs.conntrack", "1")?;
    rule("-A")?;
    let found = work();
    rule("-D")?;
    if let Some(error) = sysctls.restore().into_iter().next() {
        return Err(error.into());
    }
    found
}

/// VIPs as addresses of a device, and by one local route, from everywhere.
pub(super) fn bindings(bench: &Bench<'_>) -> anyhow::Result<Vec<Trial>> {
    let service = bench.service((2, PORT), bench.endpoints())?;
    let mut trials = Vec::new();
    for (binding, setting) in
        [(VipBinding::Dummy, ADDRESSES), (VipBinding::LocalRoute, LOCAL_ROUTE)]
    {
        let mut options: Options = bench.options.clone();
        options.ipvs.vip_binding = binding;
        for dialer in &bench.site.dialers {
            let path = bench.path(dialer.caller.source, &VIP_BINDING, &service)?;
            trials.push(bench.tried((&VIP_BINDING, setting), (&service, &path), &options)?);
        }
    }
    Ok(trials)
}
