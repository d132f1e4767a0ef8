//! Whether a proxy conforms: a small Cluster of every kind of Service, servers that say who they
//! are and whom they see, clients everywhere, and what must come derived from the model alone.
//!
//! `expectation` is what must come, `subjects` the Services by behaviour, `lab` the hosts, `paths`
//! who dials what. `client` and `server` are the packets. `spread`, `affinity` and `change` test
//! what takes more than one dial after the other; `deviations` are what is known of proxies;
//! `trials` are single settings of IPVS, `costs` what making VIPs local takes. A check changes only
//! the namespaces that it makes.

mod affinity;
mod change;
mod client;
mod costs;
mod deviations;
mod expectation;
mod job;
mod lab;
mod not_covered;
mod paths;
mod server;
mod spread;
mod subjects;
mod trials;

use std::sync::Mutex;

use ::lab::topology::Source;
use anyhow::Context;
use generators::{Cluster, Family};
use linux::sctp;
use linux::sysctl::Sysctls;
use proxies::{Backend, Descriptor, Maker, NftablesOptions, Options, ProxyError};
use results::check::{CheckedProxy, Probe, Programmed};

pub use job::{Job, Part, handle};
pub use not_covered::not_covered;
pub use subjects::subjects;

use lab::{CheckLab, Site};
use paths::Path;
use server::Servers;
use subjects::Case;
use trials::Bench;

use crate::hosts::{must_reach, pod_namespaces};
use crate::sockets::make_room_for_sockets;

/// More than a check has at a time: some hundred clients, and a server for each Endpoint.
const SOCKETS_MAX: usize = 8_192;

/// Checks a proxy in this kernel; needs root. Whatever goes wrong is in the answer.
pub fn run(job: &Job) -> CheckedProxy {
    match job.part {
        Part::Behaviours => run_disturbed(job, || Ok(())),
        Part::Costs => checked(job, |checked| {
            checked.trials = costs::run(proxies::find(&job.proxy)?).context("the cost of VIPs")?;
            Ok(())
        }),
    }
}

/// The same, with something done to the node's namespace behind the proxy's back, once it is
/// programmed: what a check must notice.
pub fn run_disturbed(
    job: &Job,
    disturb: impl FnOnce() -> anyhow::Result<()> + Send,
) -> CheckedProxy {
    checked(job, |checked| attempt(job, disturb, checked))
}

fn checked(job: &Job, work: impl FnOnce(&mut CheckedProxy) -> anyhow::Result<()>) -> CheckedProxy {
    let mut checked = CheckedProxy {
        name: job.proxy.clone(),
        probes: Vec::new(),
        trials: Vec::new(),
        programmed: None,
        skipped: Vec::new(),
        failed: None,
    };
    if let Err(error) = work(&mut checked) {
        let reason = crate::in_words(&error);
        let what = match job.part {
            Part::Behaviours => "everything",
            Part::Costs => "what it costs to make VIPs local",
        };
        match error.downcast_ref::<ProxyError>() {
            Some(ProxyError::Unsupported { .. }) => checked.skip(what, reason),
            _ => checked.failed = Some(reason),
        }
    }
    checked
}

fn attempt(
    job: &Job,
    disturb: impl FnOnce() -> anyhow::Result<()> + Send,
    checked: &mut CheckedProxy,
) -> anyhow::Result<()> {
    job.kube_proxy.make_known(&job.proxy)?;
    let proxy = proxies::find(&job.proxy)?;
    let families = families(job, proxy, checked);
    if families.is_empty() {
        return Ok(());
    }
    let has_sctp = has_sctp(proxy, checked);
    make_room_for_sockets(SOCKETS_MAX)?;
    let lab = CheckLab::build(job.topology)?;
    let mut sites = Vec::new();
    for family in families {
        let site = lab.site(family, proxy)?;
        let cases = subjects::cases(&site, has_sctp)?;
        sites.push((site, cases));
    }
    if has_sctp {
        let mut dialers = sites.iter().flat_map(|(site, _)| &site.dialers);
        dialers.try_for_each(|dialer| dialer.namespace.enter(try_again_soon)?)?;
    }
    let services = sites.iter().flat_map(|(_, cases)| cases).map(|case| case.service.clone());
    let cluster = Cluster::new(services.collect())?;
    let options = options(proxy, &lab, &sites)?;
    let _servers = Servers::start(lab.listening(&cluster)?)?;
    lab.topology.node().enter(|| {
        refuse_without_limit(job)?;
        choose_other_ports()?;
        let mut backend = proxy.open(&options);
        backend.probe()?;
        backend.start(&cluster)?;
        checked.programmed = programmed(proxy, backend.as_mut(), &cluster)?;
        disturb()?;
        let probes = probed(proxy, backend.as_mut(), &cluster, &sites);
        let stopped = backend.stop();
        checked.probes = probes?;
        stopped?;
        let ipv4 = sites.first().filter(|(site, _)| site.node.is_ipv4());
        if let (true, Some((site, _))) = (proxy.has_forwardings(), ipv4) {
            let bench = Bench { proxy, lab: &lab, site, options: &options };
            let tried = trials::run(&bench).context("single settings")?;
            checked.trials = tried.trials;
            checked.skipped.extend(tried.skipped);
        }
        Ok(())
    })?
}

/// What the kernel holds, beside what it should; nothing of a proxy that cannot tell.
fn programmed(
    proxy: &Descriptor,
    backend: &mut dyn Backend,
    cluster: &Cluster,
) -> anyhow::Result<Option<Programmed>> {
    let Some(audit) = backend.audit() else { return Ok(None) };
    let found = audit.compare(cluster, Maker::Ours)?;
    let as_by = match proxy.binary {
        Some(theirs) => theirs.ours()?,
        None => proxy,
    };
    Ok(Some(Programmed {
        as_by: as_by.name.to_owned(),
        same: found.same(),
        different: found.count(),
        first: found.first().to_vec(),
    }))
}

/// Everything, in the node's namespace.
fn probed(
    proxy: &Descriptor,
    backend: &mut dyn Backend,
    cluster: &Cluster,
    sites: &[(Site, Vec<Case>)],
) -> anyhow::Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for (site, cases) in sites {
        probes.extend(walked(site, &paths::paths(site, cases))?);
        probes.extend(spread::probes(site, cases, proxy.spread)?);
    }
    probes.extend(affinity::probes(sites)?);
    probes.extend(change::probes(backend, cluster, sites)?);
    for probe in &mut probes {
        deviations::known(proxy, probe);
    }
    Ok(probes)
}

/// Dials every path; the sources at the same time.
fn walked(site: &Site, paths: &[Path]) -> anyhow::Result<Vec<Probe>> {
    let probes = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        let walks = site.dialers.iter().map(|dialer| {
            let own = paths.iter().filter(|path| path.caller.source == dialer.caller.source);
            let own: Vec<&Path> = own.collect();
            threads.spawn(move || {
                let dials = own.iter().flat_map(|path| vec![path.dial; path.dials]).collect();
                let came = client::inside(&dialer.namespace, || client::all(dials))??;
                let mut rest = came.as_slice();
                let judged = own.iter().map(|path| {
                    let (came, others) = rest.split_at(path.dials.min(rest.len()));
                    rest = others;
                    path.judged(site, came)
                });
                let judged: Vec<Probe> = judged.collect();
                anyhow::Ok(judged)
            })
        });
        let walks: Vec<_> = walks.collect();
        for walk in walks {
            let judged = walk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            probes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(judged);
        }
        anyhow::Ok(())
    })?;
    Ok(probes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// The families to check; those that are not are told.
fn families(job: &Job, proxy: &Descriptor, checked: &mut CheckedProxy) -> Vec<Family> {
    if proxy.is_control() {
        checked.skip("everything", "it programs nothing: clients dial Endpoints".to_owned());
        return Vec::new();
    }
    if let Err(reason) = must_reach(proxy, Source::Outside) {
        checked.skip("from outside and other nodes", reason.to_string());
    }
    let mut families = Vec::new();
    families.extend(job.ipv4.then_some(Family::V4));
    if job.ipv6 && proxy.has_ipv4_alone {
        checked.skip("IPv6", "the proxy programs Services of IPv4 alone".to_owned());
    } else if job.ipv6 {
        families.push(Family::V6);
    }
    families
}

/// Whether Services of SCTP are tried; why they are not is told.
fn has_sctp(proxy: &Descriptor, checked: &mut CheckedProxy) -> bool {
    let reason = match (proxy.refuses_sctp, sctp::probe()) {
        (Some(reason), _) => reason.to_owned(),
        (None, Err(error)) => {
            format!("this kernel opens no socket of SCTP ({error}): it lacks the module sctp")
        }
        (None, Ok(())) => return true,
    };
    checked.skip("SCTP", reason);
    false
}

/// A node whose pods are known by its half of the pod network, and whose node ports answer at the
/// address that it is known at.
fn options(
    proxy: &Descriptor,
    lab: &CheckLab,
    sites: &[(Site, Vec<Case>)],
) -> anyhow::Result<Options> {
    let outside = lab.topology.source_host(Source::Outside).ok();
    Ok(Options {
        pod_namespaces: pod_namespaces(proxy, &lab.topology, outside)?,
        local_cidrs: lab.pod_networks()?,
        node_addresses: sites.iter().map(|(site, _)| site.node).collect(),
        nftables: NftablesOptions {
            service_cidrs: lab.service_networks(),
            ..NftablesOptions::default()
        },
        ..Options::default()
    })
}

/// A node tells a client a few times a second that a port is unreachable, and all clients together
/// a thousand times (`icmp_ratelimit`, `icmp_ratemask`, `icmp.ratemask`:
/// Documentation/networking/ip-sysctl.rst, Linux 6.1). A check has many refusals at once.
fn refuse_without_limit(job: &Job) -> anyhow::Result<()> {
    let mut sysctls = Sysctls::default();
    sysctls.set("net.ipv4.icmp_ratemask", "0")?;
    if job.ipv6 {
        // No kind of message but one that there is not.
        sysctls.set("net.ipv6.icmp.ratemask", "0")?;
    }
    Ok(())
}

/// A refusal that comes while SCTP still sends, as one from this machine does, is not told then,
/// but when SCTP tries again (`sock_owned_by_user` in `sctp_v4_err_handle`, net/sctp/input.c, Linux
/// 6.1). That is to be sooner than after three seconds; in milliseconds.
fn try_again_soon() -> anyhow::Result<()> {
    Ok(Sysctls::default().set("net.sctp.rto_initial", "200")?)
}

/// A program of the node that dials, such as a proxy that copies bytes, gets ports that neither the
/// dials of a check nor node ports have: the kernel's default range, which a lab widens.
fn choose_other_ports() -> anyhow::Result<()> {
    Ok(Sysctls::default().set("net.ipv4.ip_local_port_range", "32768 60999")?)
}
