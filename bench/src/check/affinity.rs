//! Session affinity: the same client gets the same Endpoint, until its time is over.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use results::check::{Probe, Verdict};
use tokio::task::JoinSet;

use super::client::{self, Came, Dial};
use super::expectation::{Caller, Expected};
use super::lab::Site;
use super::paths::{Path, natural_paths};
use super::subjects::{AFFINITY, AFFINITY_ENDS, AFFINITY_S, Case};

/// Clients of one path: a number that neither two nor three divides, so that taking turns does not
/// give all of them the same Endpoint again.
const CLIENTS: usize = 23;
/// Dials of each while affinity lasts.
const DIALS: usize = 3;
/// Behind the end of affinity.
const MARGIN: Duration = Duration::from_millis(1_500);

/// One path and the Endpoint that each client got; nothing for one that was not kept.
struct Kept {
    path: Path,
    clients: Vec<(Dial, Option<SocketAddr>)>,
}

/// Tests every Service that has affinity.
///
/// # Errors
/// No namespace to dial from, no descriptors left.
pub fn probes(sites: &[(Site, Vec<Case>)]) -> anyhow::Result<Vec<Probe>> {
    let (mut probes, mut all) = (Vec::new(), Vec::new());
    for (site, cases) in sites {
        for case in cases.iter().filter(|case| case.subject == AFFINITY) {
            for path in natural_paths(site, case)? {
                let (probe, kept) = while_it_lasts(site, path)?;
                probes.push(probe);
                all.push((site, kept));
            }
        }
    }
    std::thread::sleep(Duration::from_secs(AFFINITY_S.into()) + MARGIN);
    for (site, kept) in all {
        probes.push(afterwards(site, kept)?);
    }
    Ok(probes)
}

fn while_it_lasts(site: &Site, path: Path) -> anyhow::Result<(Probe, Kept)> {
    let dialer = site.dialer(path.caller.source)?;
    let addresses: Vec<IpAddr> =
        (0..CLIENTS).map(|at| dialer.further(at)).collect::<anyhow::Result<_>>()?;
    let dials: Vec<Dial> =
        addresses.iter().map(|from| Dial { from: Some(*from), ..path.dial }).collect();
    let came = client::inside(&dialer.namespace, || repeated(dials.clone()))??;
    let mut fault = None;
    let mut clients = Vec::new();
    for ((dial, address), came) in dials.into_iter().zip(addresses).zip(came) {
        let endpoint = same(site, &path, address, &came);
        if let Err(words) = &endpoint {
            fault.get_or_insert_with(|| words.clone());
        }
        clients.push((dial, endpoint.ok()));
    }
    let distinct = distinct(clients.iter().filter_map(|(_, endpoint)| *endpoint));
    if let (None, Expected::Answered(all)) = (&fault, &path.expected)
        && all.len() > 1
        && distinct < 2
    {
        fault = Some(format!("{CLIENTS} clients, and all got the same Endpoint"));
    }
    let verdict = if fault.is_some() { Verdict::Unexpected } else { Verdict::Good };
    let good = format!("{CLIENTS} clients kept theirs, {distinct} Endpoints among them");
    let probe = path.probe(verdict, fault.unwrap_or(good));
    Ok((probe, Kept { path, clients }))
}

/// Each client dials several times, one after the other; the clients at the same time.
async fn repeated(dials: Vec<Dial>) -> anyhow::Result<Vec<Vec<Came>>> {
    let mut tasks = JoinSet::new();
    for (at, dial) in dials.iter().copied().enumerate() {
        tasks.spawn(async move {
            let mut came = Vec::new();
            for _ in 0..DIALS {
                came.push(dial.once().await);
            }
            (at, came)
        });
    }
    let mut all = vec![Vec::new(); dials.len()];
    while let Some(done) = tasks.join_next().await {
        let (at, came) = done?;
        all[at] = came;
    }
    Ok(all)
}

/// The one Endpoint of all answers to a client, or what is wrong with them.
fn same(site: &Site, path: &Path, address: IpAddr, came: &[Came]) -> Result<SocketAddr, String> {
    let caller = Caller { address, ..path.caller };
    let of_client = Path { caller, ..path.clone() };
    if let Some(wrong) = came.iter().find(|one| !of_client.admits(site, one)) {
        return Err(format!("{address}: {wrong}"));
    }
    let mut endpoints = came.iter().filter_map(Came::answered_by);
    let first = endpoints.next().ok_or_else(|| format!("{address}: nothing came"))?;
    match endpoints.find(|one| *one != first) {
        Some(other) => Err(format!("{address}: an answer by {first}, and then by {other}")),
        None => Ok(first),
    }
}

fn distinct(endpoints: impl Iterator<Item = SocketAddr>) -> usize {
    endpoints.collect::<std::collections::BTreeSet<_>>().len()
}

/// Of so many clients some must get another Endpoint.
fn afterwards(site: &Site, kept: Kept) -> anyhow::Result<Probe> {
    let Kept { path, clients } = kept;
    let path = Path { subject: AFFINITY_ENDS, ..path };
    let dialer = site.dialer(path.caller.source)?;
    let dials: Vec<Dial> = clients.iter().map(|(dial, _)| *dial).collect();
    let came = client::inside(&dialer.namespace, || client::all(dials))??;
    let moved = clients.iter().zip(&came).filter(|((_, before), now)| {
        before.is_some_and(|before| now.answered_by().is_some_and(|now| now != before))
    });
    let moved = moved.count();
    let verdict = if moved > 0 { Verdict::Good } else { Verdict::Unexpected };
    let words = format!("{moved} of {CLIENTS} clients got another Endpoint after {AFFINITY_S} s");
    Ok(path.probe(verdict, words))
}
