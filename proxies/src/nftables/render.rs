//! The text of a sync: a Cluster, or a Change of one, as one transaction for `nft -f -`.
//!
//! `syncProxyRules` and `writeServiceToEndpointRules` in pkg/proxy/nftables/proxier.go, Kubernetes
//! 1.33, and their changes up to 1.37 (see `layout`): same chains, rules, elements and order of
//! commands. Nothing here touches a kernel; the rules of a Service are in `service_rules`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use generators::{Change, Cluster, Family, Service, Step};

use super::elements::{self, Container, Element, Key, Verdict};
use super::fixed;
use super::layout::Layout;
use super::names::{FIREWALL, Names};
use super::service_rules::{write_chains, write_rules};
use crate::options::Options;
use crate::routing::Routing;
use crate::text::Text;

/// What a full sync finds in the namespace.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Chains of Services and Endpoints.
    pub chains: Vec<String>,
    /// Sets in which Endpoints remember clients.
    pub affinity_sets: Vec<String>,
    /// Elements, and where those of maps lead: `goto CHAIN`.
    pub elements: HashMap<(Container, Key), String>,
}

/// A sync as text, and all chains that are empty after it, to be deleted by a later one.
#[derive(Debug)]
pub(super) struct Rendered {
    pub text: Text,
    pub stale: BTreeSet<String>,
}

/// The text of a full sync of one family. What `found` holds and the Cluster does not is emptied or
/// removed; elements that are as they should be are not written again, chains are.
pub(super) fn full(
    layout: Layout,
    options: &Options,
    family: Family,
    cluster: &Cluster,
    found: &Found,
) -> Rendered {
    let names: Vec<_> =
        cluster.of_family(family).map(|service| Names::of(service, layout)).collect();
    let mut text = Text::of_table(family, estimated_bytes(cluster));
    fixed::write(&mut text, layout, options, family);
    let mut written = HashSet::with_capacity(2 * names.len());
    for names in &names {
        write_chains(&mut text, names);
        elements::of_service(&names.routing, layout, &mut |element| {
            if written.insert((element.container, element.key)) {
                replace_element(&mut text, &element, names, found);
            }
        });
        write_rules(&mut text, layout, options, names);
    }
    let stale = without(&found.chains, names.iter().flat_map(Names::chains));
    for chain in &stale {
        text.flush_chain("", chain);
    }
    for set in without(&found.affinity_sets, names.iter().flat_map(Names::affinity_sets)) {
        text.delete_set("", &set);
    }
    let mut leftover: Vec<_> =
        found.elements.keys().filter(|element| !written.contains(*element)).collect();
    leftover.sort_unstable();
    for (container, key) in leftover {
        text.delete_element(container.name(), |text| key.write(text));
    }
    Rendered { text, stale }
}

/// Those of some names that are not active, whose names are in two parts.
fn without<'a>(
    names: &[String],
    active: impl Iterator<Item = (&'static str, &'a str)>,
) -> BTreeSet<String> {
    if names.is_empty() {
        return BTreeSet::new();
    }
    let active: HashSet<String> = active.map(|(prefix, name)| prefix.to_owned() + name).collect();
    names.iter().filter(|name| !active.contains(*name)).cloned().collect()
}

/// Room for the text, so that it is not copied while it grows. Generous: memory that is never
/// written costs nothing.
fn estimated_bytes(cluster: &Cluster) -> usize {
    8192 + cluster.services().len() * 1024 + cluster.endpoint_count() * 768
}

/// Adds an element, after removing the one of the same key that leads elsewhere, unless it is there
/// already (`nftElementStorage.ensureElem`).
fn replace_element(text: &mut Text, element: &Element, names: &Names<'_>, found: &Found) {
    if let Some(there) = found.elements.get(&(element.container, element.key)) {
        if *there == verdict(element, names) {
            return;
        }
        text.delete_element(element.container.name(), |text| element.key.write(text));
    }
    text.add_element(element, names);
}

/// Where an element leads, as it is listed.
fn verdict(element: &Element, names: &Names<'_>) -> String {
    match element.verdict {
        Verdict::None => String::new(),
        Verdict::Goto(prefix) => format!("goto {prefix}{}", names.own),
        Verdict::Firewall => format!("goto {FIREWALL}{}", names.own),
        Verdict::Reject => "goto reject-chain".to_owned(),
        Verdict::Drop => "drop".to_owned(),
    }
}

/// The text of a partial sync of one family: chains and elements of changed Services only. Chains
/// that lost their Service or Endpoint are emptied now and deleted by a later sync, since kernels
/// before 6.2 notice late that nothing leads to them. `stale` are chains that earlier syncs left
/// empty.
pub(super) fn incremental(
    layout: Layout,
    options: &Options,
    family: Family,
    step: &Step<'_>,
    stale: &BTreeSet<String>,
) -> Rendered {
    let touched: Vec<_> = step.changes().iter().map(Change::service_id).collect();
    let touched: BTreeSet<_> = touched.iter().map(|id| (&id.name, id.family)).collect();
    let is_touched = |service: &&Service| touched.contains(&(service.name(), service.family()));
    let names_in = |cluster| -> Vec<Names<'_>> {
        let touched = Cluster::of_family(cluster, family).filter(is_touched);
        touched.map(|service| Names::of(service, layout)).collect()
    };
    let (old, new) = (names_in(step.before()), names_in(step.after()));
    let untouched = step.after().of_family(family).filter(|service| !is_touched(service));
    let mut elements = Elements::of(&old, &new, layout);
    elements.forget_those_of(untouched, layout);

    let mut text = Text::of_table(family, 16 * 1024);
    for names in &new {
        write_chains(&mut text, names);
        elements.write_of(&mut text, names, layout);
        write_rules(&mut text, layout, options, names);
    }
    let active: BTreeSet<_> = new.iter().flat_map(Names::chains).collect();
    // A chain that is needed again is stale no more.
    let is_active = |chain: &&String| {
        active.iter().any(|(prefix, name)| chain.strip_prefix(prefix) == Some(name))
    };
    let mut stale: BTreeSet<String> =
        stale.iter().filter(|chain| !is_active(chain)).cloned().collect();
    for (prefix, name) in old.iter().flat_map(Names::chains).filter(|name| !active.contains(name)) {
        text.flush_chain(prefix, name);
        stale.insert(prefix.to_owned() + name);
    }
    let sets: BTreeSet<_> = new.iter().flat_map(Names::affinity_sets).collect();
    for (prefix, name) in old.iter().flat_map(Names::affinity_sets) {
        if !sets.contains(&(prefix, name)) {
            text.delete_set(prefix, name);
        }
    }
    elements.write_removed(&mut text);
    Rendered { text, stale }
}

/// The elements of changed Services, before and after. Those that another Service has too stay as
/// they are.
///
/// Trees, since there are few of these elements and every other Service's are looked up among them:
/// comparing costs less than hashing.
struct Elements {
    old: BTreeMap<(Container, Key), String>,
    new: BTreeSet<(Container, Key)>,
}

impl Elements {
    fn of(old: &[Names<'_>], new: &[Names<'_>], layout: Layout) -> Self {
        let mut elements = Self { old: BTreeMap::new(), new: BTreeSet::new() };
        for names in old {
            elements::of_service(&names.routing, layout, &mut |element| {
                let leads_to = verdict(&element, names);
                elements.old.insert((element.container, element.key), leads_to);
            });
        }
        for names in new {
            elements::of_service(&names.routing, layout, &mut |element| {
                elements.new.insert((element.container, element.key));
            });
        }
        elements
    }

    fn forget_those_of<'a>(&mut self, services: impl Iterator<Item = &'a Service>, layout: Layout) {
        for service in services {
            elements::of_service(&Routing::of(service), layout, &mut |element| {
                self.old.remove(&(element.container, element.key));
                self.new.remove(&(element.container, element.key));
            });
        }
    }

    /// Writes what is new of a Service, each element once.
    fn write_of(&mut self, text: &mut Text, names: &Names<'_>, layout: Layout) {
        elements::of_service(&names.routing, layout, &mut |element| {
            let at = (element.container, element.key);
            if !self.new.remove(&at) {
                return;
            }
            match self.old.remove(&at) {
                Some(there) if there == verdict(&element, names) => {}
                Some(_) => {
                    text.delete_element(element.container.name(), |text| element.key.write(text));
                    text.add_element(&element, names);
                }
                None => text.add_element(&element, names),
            }
        });
    }

    /// Removes what is left of the old.
    fn write_removed(self, text: &mut Text) {
        for (container, key) in self.old.into_keys() {
            text.delete_element(container.name(), |text| key.write(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use generators::Ipv4Net;

    use super::*;
    use crate::golden;

    const LAYOUTS: [Layout; 3] = [Layout::V1_33, Layout::V1_36, Layout::V1_37];

    /// The setting of the upstream tests.
    fn options() -> Options {
        let mut options = Options {
            local_cidrs: vec![golden::LOCAL_CIDR.into()],
            node_addresses: vec![[192, 168, 0, 2].into()],
            ..Options::default()
        };
        options.nftables.service_cidrs =
            vec![Ipv4Net::new([172, 30, 0, 0].into(), 16).expect("a network").into()];
        options
    }

    fn lines(rendered: Rendered) -> Vec<String> {
        let text = String::from_utf8(rendered.text.into_parts().0).expect("ASCII");
        text.lines().map(str::to_owned).collect()
    }

    fn between(layout: Layout, before: &Cluster, changes: &[Change], stale: &[&str]) -> Rendered {
        let stale = stale.iter().map(|&chain| chain.to_owned()).collect();
        let step = before.step(changes.to_vec()).expect("they fit");
        incremental(layout, &options(), Family::V4, &step, &stale)
    }

    fn changed(layout: Layout, before: &Cluster, change: Change) -> Vec<String> {
        lines(between(layout, before, &[change], &[]))
    }

    #[test]
    fn a_chain_that_is_needed_again_is_stale_no_more() {
        let with = golden::overall();
        let (first, second) = ("service-ULMVA6XW-ns1/svc1/tcp/p80", "service-X-ns9/gone/tcp/p");
        let name = "ns1/svc1:p80".parse().expect("a name");
        let service = with.get(&name).expect("it is there").clone();
        let without = with.apply(&Change::ServiceRemoved(name)).expect("it fits");
        let back = [Change::ServiceAdded(service)];
        let rendered = between(Layout::V1_37, &without, &back, &[first, second]);
        assert_eq!(rendered.stale, BTreeSet::from([second.to_owned()]));
        let gone = [Change::ServiceRemoved("ns1/svc1:p80".parse().expect("a name"))];
        let rendered = between(Layout::V1_37, &with, &gone, &[second]);
        let both = [first, second].map(str::to_owned);
        assert_eq!(rendered.stale, BTreeSet::from(both));
    }

    #[test]
    fn a_service_may_lose_all_endpoints_and_get_them_back_in_one_batch() {
        let before = golden::overall();
        let service = before.services()[0].clone();
        let silent = golden::service("ns1/svc1:p80", "172.30.0.41", &[]);
        let changes = [Change::ServiceRemoved(service.id()), Change::ServiceAdded(silent)];
        let after = changes.iter().try_fold(before.clone(), |cluster, one| cluster.apply(one));
        let after = after.expect("they fit");
        let commands = lines(between(Layout::V1_33, &before, &changes, &[]));
        let key = "172.30.0.41 . tcp . 80";
        assert_eq!(
            commands,
            [
                format!(
                    "add element ip kube-proxy no-endpoint-services {{ {key} comment \"ns1/svc1:p80\" : goto reject-chain }}"
                ),
                "flush chain ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
                    .into(),
                "flush chain ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80".into(),
                format!("delete element ip kube-proxy service-ips {{ {key} }}"),
            ]
        );
        let back = [Change::ServiceRemoved(service.id()), Change::ServiceAdded(service)];
        let commands = lines(between(Layout::V1_37, &after, &back, &[]));
        assert!(
            commands.contains(&format!(
                "delete element ip kube-proxy no-endpoint-services {{ {key} }}"
            ))
        );
        assert!(
            commands.iter().any(|line| line.starts_with("add element ip kube-proxy service-ips"))
        );
    }

    #[test]
    fn a_full_sync_writes_what_upstream_writes() {
        for (layout, expected) in LAYOUTS.into_iter().zip(golden::OVERALL_NFT) {
            let text = full(layout, &options(), Family::V4, &golden::overall(), &Found::default());
            let mut added = lines(text);
            let bare = |line: &String| {
                let base = layout.base_chains().iter();
                base.map(|chain| format!("add chain ip kube-proxy {}", chain.0))
                    .any(|bare| bare == *line)
            };
            // Base chains are made bare and deleted first.
            added.retain(|line| line.starts_with("add ") && !bare(line));
            added.sort_unstable();
            assert_eq!(added.join("\n") + "\n", expected, "{layout:?}");
        }
    }

    #[test]
    fn an_endpoint_replaced_takes_as_many_commands_as_upstream() {
        let (before, change) = golden::endpoint_replaced();
        let commands = changed(Layout::V1_33, &before, change.clone());
        // TestSyncProxyRulesRepeated in pkg/proxy/nftables/proxier_test.go, Kubernetes 1.34.
        assert_eq!(commands.len(), 9, "{commands:#?}");
        let stale = "flush chain ip kube-proxy endpoint-";
        assert!(commands.last().is_some_and(|line| line.starts_with(stale)), "{commands:#?}");
        let name = "service-4AT6LBPK-ns3/svc3/tcp/p80";
        assert_eq!(
            changed(Layout::V1_37, &before, change),
            [
                format!("add chain ip kube-proxy {name}"),
                format!("flush chain ip kube-proxy {name}"),
                "add element ip kube-proxy hairpin-connections { 10.0.3.2 . 10.0.3.2 . tcp . 80 }".into(),
                format!("add rule ip kube-proxy {name} meta l4proto tcp dnat to 10.0.3.2:80"),
                "delete element ip kube-proxy hairpin-connections { 10.0.3.1 . 10.0.3.1 . tcp . 80 }".into(),
            ]
        );
    }

    #[test]
    fn nothing_changed_is_nothing_written() {
        let cluster = golden::overall();
        for layout in LAYOUTS {
            assert!(lines(between(layout, &cluster, &[], &[])).is_empty());
        }
    }

    #[test]
    fn rules_are_counted() {
        let rendered =
            full(Layout::V1_37, &options(), Family::V4, &golden::overall(), &Found::default());
        let (text, rules) = rendered.text.into_parts();
        let text = String::from_utf8(text).expect("ASCII");
        let written = text.lines().filter(|line| line.starts_with("add rule ")).count();
        assert_eq!(rules, written as u64);
    }
}
