//! Compares what a namespace holds with what a Cluster needs, in time linear in both.

use std::collections::HashMap;

use generators::{Cluster, Endpoint, Family, Service};

use super::layout::{Layout, served};
use super::objects::{NodeObjects, Side};
use super::observe::{Observed, ObservedService};
use super::wire::RealServer;
use crate::differences::Differences;
use crate::error::ProxyError;

/// Compares virtual services, real servers, local addresses and set members.
pub(super) fn compare(
    layout: &Layout,
    cluster: &Cluster,
    observed: &Observed,
    differences: &mut Differences,
) -> Result<(), ProxyError> {
    let mut extra = observed.by_key();
    let mut wanted = NodeObjects::default();
    for (label, service) in (0..).zip(cluster.of_family(Family::V4)) {
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
    wanted.compare(&observed.objects, |side, (object, _)| match side {
        Side::Missing if layout.is_own(&object) => {}
        Side::Missing => differences.add(|| format!("no {object}")),
        Side::Unexpected => differences.add(|| format!("unexpected {object}")),
    });
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
    if *settings != *wanted {
        differences
            .add(|| format!("virtual service {key} of {name} has {settings:?} for {wanted:?}"));
    }
    let mut extra: HashMap<_, &RealServer> =
        found.reals.iter().map(|real| ((real.address, real.port), real)).collect();
    for &endpoint in endpoints {
        let wanted = layout.real_server(service, endpoint)?;
        match extra.remove(&(wanted.address, wanted.port)) {
            None => differences.add(|| format!("no real server {endpoint} in {key} of {name}")),
            Some(real) if *real != wanted => differences.add(|| {
                format!("real server {endpoint} in {key} of {name} is {real:?}, not {wanted:?}")
            }),
            Some(_) => {}
        }
    }
    for real in found.reals.iter().filter(|real| extra.contains_key(&(real.address, real.port))) {
        let at = (real.address, real.port);
        differences.add(|| format!("unexpected real server {}:{} in {key} of {name}", at.0, at.1));
    }
    Ok(())
}
