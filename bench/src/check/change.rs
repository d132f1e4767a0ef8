//! What one Step must do: an Endpoint of UDP replaced, a Service added, another removed.

use std::time::Duration;

use anyhow::Context;
use generators::{Change, Cluster, Service};
use lab::topology::Source;
use proxies::Backend;
use results::check::{Probe, Verdict};

use super::client::{self, Asker, Came, Dial};
use super::expectation::{Answering, Expected};
use super::lab::Site;
use super::paths::{Path, natural_paths, to_cluster_ip};
use super::subjects::{ADDED, Case, REMOVED, TARGET, UDP_REPLACED, added};

/// For what a proxy does after its sync.
const PAUSE: Duration = Duration::from_millis(100);

/// A client that asks before and after.
struct Asking<'s> {
    site: &'s Site,
    path: Path,
    asker: Asker,
    before: Came,
}

/// Applies the Step and tests what came of it.
///
/// # Errors
/// A Step that the proxy refuses, no namespace to dial from.
pub fn probes(
    backend: &mut dyn Backend,
    cluster: &Cluster,
    sites: &[(Site, Vec<Case>)],
) -> anyhow::Result<Vec<Probe>> {
    let (mut changes, mut asking, mut dialling) = (Vec::new(), Vec::new(), Vec::new());
    for (site, cases) in sites {
        for case in of(cases, UDP_REPLACED) {
            asking.extend(asked(site, case)?);
            changes.push(replacement(site, &case.service)?);
        }
        let new = added(site, cases.len())?;
        dialling.push((site, to_cluster_ip(site, Source::Pod, ADDED, &new)?));
        changes.push(Change::ServiceAdded(new));
        for case in of(cases, REMOVED) {
            let paths = natural_paths(site, case)?.into_iter().map(gone);
            dialling.extend(paths.map(|path| (site, path)));
            changes.push(Change::ServiceRemoved(case.service.id()));
        }
    }
    backend.apply(&cluster.step(changes)?).context("the Step")?;
    std::thread::sleep(PAUSE);
    let mut probes: Vec<Probe> = asking.into_iter().map(Asking::ask_again).collect();
    for (site, path) in dialling {
        let dialer = site.dialer(path.caller.source)?;
        let dials = vec![path.dial; path.dials];
        let came = client::inside(&dialer.namespace, || client::all(dials))??;
        probes.push(path.judged(site, &came));
    }
    Ok(probes)
}

fn of<'c>(cases: &'c [Case], subject: &'static str) -> impl Iterator<Item = &'c Case> {
    cases.iter().filter(move |case| case.subject == subject)
}

fn replacement(site: &Site, service: &Service) -> anyhow::Result<Change> {
    let old = *service.endpoints().first().context("a Service without Endpoints")?;
    let (service, new) = (service.name().clone(), site.endpoint(1, TARGET));
    Ok(Change::EndpointReplaced { service, old, new })
}

/// Clients that have asked once, at each frontend.
fn asked<'s>(site: &'s Site, case: &Case) -> anyhow::Result<Vec<Asking<'s>>> {
    let asking = |path: Path| {
        let dialer = site.dialer(path.caller.source)?;
        let (asker, before) = dialer.namespace.enter(|| {
            let asker = Asker::open(&path.dial)?;
            let before = asker.ask();
            Ok::<_, std::io::Error>((asker, before))
        })??;
        Ok(Asking { site, path, asker, before })
    };
    natural_paths(site, case)?.into_iter().map(asking).collect()
}

impl Asking<'_> {
    /// The answer must come from the new Endpoint, after one by the old.
    fn ask_again(self) -> Probe {
        let Self { site, mut path, asker, before } = self;
        let was_good = path.admits(site, &before);
        if let Expected::Answered(all) = &mut path.expected {
            for Answering { endpoint, .. } in all {
                endpoint.set_ip(site.here[1]);
            }
        }
        let now = asker.ask();
        let is_good = was_good && path.admits(site, &now);
        let verdict = if is_good { Verdict::Good } else { Verdict::Unexpected };
        path.probe(verdict, format!("before: {before}; after: {now}"))
    }
}

/// The same path when its Service is gone.
fn gone(path: Path) -> Path {
    let dial = Dial { for_silence: true, ..path.dial };
    Path { dial, dials: 1, is_thorough: false, expected: Expected::Unanswered, ..path }
}
