//! Compares what a namespace holds with what a Cluster needs, in time linear in both.

use std::collections::HashMap;

use generators::{Cluster, Endpoint, Service};

use super::layout::{Layout, served};
use super::objects::{NodeObjects, Side};
use super::observe::{Observed, ObservedService};
use super::wire::RealServer;
use crate::differences::Differences;
use crate::error::ProxyError;

/// Compares virtual services, real servers, local addresses and set members of the layout's family.
pub(super) fn compare(
    layout: &Layout,
    cluster: &Cluster,
    observed: &Observed,
    differences: &mut Differences,
) -> Result<(), ProxyError> {
    let mut extra = observed.by_key();
    let mut wanted = NodeObjects::default();
    for (label, service) in (0..).zip(cluster.of_family(layout.family)) {
        let targets = service.targets();
        for (key, kind) in layout.virtual_services(service) {
            let endpoints = served(service, &targets, kind);
            match extra.remove(&key) {
                Some(found) => compare_service(layout, service, endpoints, found, differences)?,
                None => differences
                    .add(|| format!("no virtual service {key} for Service {}", service.name())),
            }
        }
        layout.objects(service, |object| wanted.push(object, label));
    }
    for found in &observed.services {
        if extra.contains_key(&found.key) {
            differences.add(|| format!("unexpected virtual service {}", found.key));
        }
    }
    wanted.sort();
    let mut missing = 0;
    wanted.compare(&observed.objects, |side, (object, _)| match side {
        Side::Missing if layout.is_own(&object) => {}
        Side::Missing => {
            missing += 1;
            differences.add(|| format!("no {}", object.words(layout.family)));
        }
        Side::Unexpected => {
            differences.add(|| format!("unexpected {}", object.words(layout.family)));
        }
    });
    differences.add_same(wanted.count() - missing);
    Ok(())
}

fn compare_service(
    layout: &Layout,
    service: &Service,
    endpoints: &[Endpoint],
    found: &ObservedService,
    differences: &mut Differences,
) -> Result<(), ProxyError> {
    let (key, name) = (&found.key, service.name());
    let (wanted, settings) = (layout.settings_of(service), &found.settings);
    if *settings == *wanted {
        differences.add_same(1);
    } else {
        differences
            .add(|| format!("virtual service {key} of {name} has {settings:?} for {wanted:?}"));
    }
    let wanted = endpoints.iter().map(|&endpoint| layout.real_server(service, endpoint));
    let wanted: Vec<RealServer> = wanted.collect::<Result<_, _>>()?;
    compare_reals(&format!("{key} of {name}"), &wanted, &found.reals, differences);
    Ok(())
}

/// Compares the real servers of the virtual service at a place.
pub(crate) fn compare_reals(
    place: &str,
    wanted: &[RealServer],
    found: &[RealServer],
    differences: &mut Differences,
) {
    let mut extra: HashMap<_, &RealServer> =
        found.iter().map(|real| (real.socket(), real)).collect();
    for wanted in wanted {
        let at = wanted.socket();
        match extra.remove(&at) {
            None => differences.add(|| format!("no real server {at} in {place}")),
            Some(real) if real != wanted => differences
                .add(|| format!("real server {at} in {place} is {real:?}, not {wanted:?}")),
            Some(_) => differences.add_same(1),
        }
    }
    for real in found.iter().filter(|real| extra.contains_key(&real.socket())) {
        differences.add(|| format!("unexpected real server {} in {place}", real.socket()));
    }
}
