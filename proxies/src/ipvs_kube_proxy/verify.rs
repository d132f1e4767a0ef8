//! Compares what a namespace holds with what a sync of one family wants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use generators::Family;

use super::desired::{Desired, VirtualServer};
use super::ipset::SavedSet;
use super::servers::drains;
use super::sets::Set;
use crate::backend::Maker;
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::iptables::dump::Dump;
use crate::iptables::verify;
use crate::ipvs::observe::ObservedService;
use crate::ipvs::verify::compare_reals;
use crate::ipvs::wire::RealServer;

/// Virtual servers and their real servers.
pub(super) fn servers(
    desired: &Desired,
    observed: &[ObservedService],
    differences: &mut Differences,
) {
    let is_own = |found: &&ObservedService| Family::of(found.key.address) == desired.family;
    let mut extra: BTreeMap<_, _> =
        observed.iter().filter(is_own).map(|found| (found.key, found)).collect();
    for server in &desired.servers {
        let (key, service) = (server.key, &server.service);
        match extra.remove(&key) {
            None => {
                differences.add(|| format!("no virtual service {key} for Service {service}"));
            }
            Some(found) => compare_server(server, found, differences),
        }
    }
    for key in extra.keys() {
        differences.add(|| format!("unexpected virtual service {key}"));
    }
}

/// A real server that drains may be there: it has weight 0 and takes no connections.
fn compare_server(server: &VirtualServer, found: &ObservedService, differences: &mut Differences) {
    let VirtualServer { key, service, settings, reals, .. } = server;
    if found.settings == *settings {
        differences.add_same(1);
    } else {
        let there = &found.settings;
        differences
            .add(|| format!("virtual service {key} of {service} has {there:?} for {settings:?}"));
    }
    let is_wanted = |real: &RealServer| reals.iter().any(|one| one.socket() == real.socket());
    let may_be = |real: &&RealServer| is_wanted(real) || real.weight != 0 || !drains(*key);
    let there: Vec<RealServer> = found.reals.iter().filter(may_be).copied().collect();
    compare_reals(&format!("{key} of {service}"), reals, &there, differences);
}

/// The sets, their types and their entries.
pub(super) fn sets(
    desired: &Desired,
    saved: &BTreeMap<String, SavedSet>,
    differences: &mut Differences,
) {
    for set in Set::ALL {
        let (name, properties) = (set.name(desired.family), set.properties(desired.family));
        let Some(found) = saved.get(&name) else {
            differences.add(|| format!("no ipset {name}"));
            continue;
        };
        // The kernel doubles the size of a hash as entries come, and names more properties.
        let kind = |properties: &str| properties.split(" hashsize").next().map(str::to_owned);
        if kind(&found.properties) != kind(&properties) {
            let there = &found.properties;
            differences.add(|| format!("ipset {name} is `{there}`, not `{properties}`"));
        }
        let wanted = desired.entries.of(set).iter().map(|entry| listed(entry));
        let wanted: BTreeSet<&str> = wanted.collect();
        let there: BTreeSet<&str> = found.entries.iter().map(String::as_str).collect();
        differences.add_same(wanted.intersection(&there).count());
        for entry in wanted.difference(&there) {
            differences.add(|| format!("no {entry} in ipset {name}"));
        }
        for entry in there.difference(&wanted) {
            differences.add(|| format!("unexpected {entry} in ipset {name}"));
        }
    }
}

/// An entry as it is listed: a range of one address is that address. kube-proxy, which compares the
/// two forms, removes and adds such an entry in every sync.
pub(super) fn listed(entry: &str) -> &str {
    entry.strip_suffix("/32").or_else(|| entry.strip_suffix("/128")).unwrap_or(entry)
}

/// The addresses of the dummy link.
pub(super) fn addresses(
    desired: &Desired,
    bound: &BTreeSet<IpAddr>,
    differences: &mut Differences,
) {
    let bound: BTreeSet<String> = bound.iter().map(IpAddr::to_string).collect();
    let wanted = desired.entries.of(Set::IpvsIps);
    differences.add_same(wanted.intersection(&bound).count());
    for address in wanted.difference(&bound) {
        differences.add(|| format!("no local address {address}"));
    }
    for address in bound.difference(wanted) {
        differences.add(|| format!("unexpected local address {address}"));
    }
}

/// What `iptables-save` printed and what it should have.
pub(super) fn rules(
    expected: &str,
    found: &[u8],
    differences: &mut Differences,
) -> Result<(), ProxyError> {
    let (expected, found) = (Dump::parse(expected.as_bytes())?, Dump::parse(found)?);
    verify::compare(&expected, &found, Maker::Ours, differences);
    Ok(())
}

#[cfg(test)]
mod tests {
    use generators::{Cluster, Service};

    use super::*;
    use crate::ipvs_kube_proxy::desired::Node;
    use crate::options::Options;

    fn desired() -> Desired {
        let (name, vip) = ("ns/a".parse().unwrap(), "10.96.0.1".parse().unwrap());
        let endpoints = vec!["10.128.0.1:80".parse::<std::net::SocketAddr>().unwrap().into()];
        let service = Service::new(name, vip, 80, generators::Protocol::Tcp, endpoints);
        let service = service.unwrap().with(|extras| {
            extras.load_balancer_ips = vec![[203, 0, 113, 1].into()];
            extras.source_ranges = vec!["192.0.2.1/32".parse().unwrap()];
        });
        let cluster = Cluster::new(vec![service.unwrap()]).unwrap();
        let options = Options::default();
        Desired::of(&cluster, &Node::new(Family::V4, &options, Vec::new()), &options)
    }

    fn told(compare: impl FnOnce(&mut Differences)) -> String {
        let mut differences = Differences::default();
        compare(&mut differences);
        differences.into_result().err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn observed(desired: &Desired) -> Vec<ObservedService> {
        let observed = |server: &VirtualServer| ObservedService {
            key: server.key,
            settings: server.settings.clone(),
            reals: server.reals.clone(),
        };
        desired.servers.iter().map(observed).collect()
    }

    #[test]
    fn a_real_server_that_drains_may_be_there_and_no_other() {
        let desired = desired();
        let mut found = observed(&desired);
        let compare = |found: &[ObservedService]| told(|them| servers(&desired, found, them));
        assert_eq!(compare(&found), "");
        let other = RealServer { port: 81, weight: 0, ..found[0].reals[0] };
        found[0].reals.push(other);
        assert_eq!(compare(&found), "");
        found[0].reals[1].weight = 1;
        assert!(compare(&found).contains("unexpected real server 10.128.0.1:81"));
        found[0].reals.truncate(1);
        found[0].reals[0].weight = 0;
        assert!(compare(&found).contains("real server 10.128.0.1:80 in 10.96.0.1:80/tcp of ns/a"));
        found.remove(0);
        assert!(compare(&found).contains("no virtual service 10.96.0.1:80/tcp"));
    }

    #[test]
    fn sets_are_compared_by_type_and_by_entries_as_they_are_listed() {
        let desired = desired();
        let saved = |set: Set| {
            // A hash that has grown.
            let properties = set.properties(Family::V4);
            let properties = properties.replace("hashsize 1024", "hashsize 4096 bucketsize 12");
            let entries = desired.entries.of(set).iter().map(|entry| listed(entry).to_owned());
            (set.name(Family::V4), SavedSet { properties, entries: entries.collect() })
        };
        let mut found: BTreeMap<_, _> = Set::ALL.into_iter().map(saved).collect();
        let compare = |found: &BTreeMap<_, _>| told(|them| sets(&desired, found, them));
        assert_eq!(compare(&found), "");
        let ranges = found.get_mut("KUBE-LOAD-BALANCER-SOURCE-CIDR").unwrap();
        assert!(ranges.entries.remove("203.0.113.1,tcp:80,192.0.2.1"), "{ranges:?}");
        ranges.entries.insert("10.0.0.1,tcp:1,10.0.0.0/8".into());
        found.get_mut("KUBE-IPVS-IPS").unwrap().properties = "hash:net family inet".into();
        found.remove("KUBE-CLUSTER-IP");
        let told = compare(&found);
        assert!(told.contains("4 places") && told.contains("no ipset KUBE-CLUSTER-IP"), "{told}");
    }

    #[test]
    fn addresses_that_are_missing_or_too_many_are_told() {
        let bound = BTreeSet::from([[10, 96, 0, 1].into(), [10, 96, 0, 9].into()]);
        let told = told(|differences| addresses(&desired(), &bound, differences));
        assert!(told.contains("no local address 203.0.113.1"), "{told}");
        assert!(told.contains("unexpected local address 10.96.0.9"), "{told}");
    }
}
