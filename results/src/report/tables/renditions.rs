//! Tables that set a kube-proxy beside the backend of ours that ends in the same state: how far
//! ours tells what users of the program get.

use crate::format::{Scale, fixed, position, thousands};
use crate::metrics::{self, CONNECT, TOTAL};
use crate::proxies::CONTROL;
use crate::record::Clock;
use crate::tables::{Columns, Table};
use crate::view::Group;

/// A kube-proxy and ours.
struct Both<'g> {
    group: &'g Group<'g>,
    theirs: &'g str,
    ours: &'g str,
}

/// One number of both.
struct Pair<'g> {
    theirs: &'g str,
    ours: &'g str,
    what: String,
    services: u64,
    ours_value: f64,
    their_value: f64,
}

/// Connections and syncs of every kube-proxy that was measured beside its rendition.
pub(crate) fn renditions(group: &Group<'_>) -> Vec<Table> {
    let all = group.all_proxies();
    let both = |theirs: &&'_ str| {
        let ours = group.known.ours(theirs)?;
        let ours = all.iter().find(|name| **name == ours)?;
        Some(Both { group, theirs: all.iter().find(|name| *name == theirs)?, ours })
    };
    let both: Vec<Both<'_>> = all.iter().filter_map(both).collect();
    let connections: Vec<Pair<'_>> = both.iter().flat_map(Both::connections).collect();
    let syncs: Vec<Pair<'_>> = both.iter().flat_map(Both::syncs).collect();
    let tables = [
        table(group, "A new connection, net of none", CONNECTIONS, &connections),
        table(group, "Syncs", SYNCS, &syncs),
    ];
    tables.into_iter().flatten().collect()
}

/// Why they need not agree: `range proxier.svcPortMap` in `syncProxyRules`
/// (pkg/proxy/iptables/proxier.go, Kubernetes 1.36).
const CONNECTIONS: &str = "In mode iptables a kube-proxy draws the order of Services anew whenever it writes all of them: its first Service is not ours.";
/// Why they need not agree.
const SYNCS: &str = "A kube-proxy's full sync begins with the start of its process and its lists of Services and Endpoints, and what its Go runtime does is in all of its syncs. A Service that comes or goes is two events for it, of the Service and of its Endpoints, and mostly two syncs; ours has one.";

/// The parts of a full sync that pass before a kube-proxy knows any Service; ours is given them.
const BEGINNING: [&str; 2] = ["start", "list"];

impl<'g> Both<'g> {
    fn connections(&self) -> Vec<Pair<'g>> {
        let group = self.group;
        let net = |proxy: &str, label: &str, services: u64| {
            let of = |proxy| Some(group.stat(CONNECT.name, label, proxy, services, 0.5)?.median);
            Some(of(proxy)? - of(CONTROL)?)
        };
        let labels = group.labels(CONNECT.name).into_iter();
        let pairs = labels.flat_map(|label| {
            let what = format!("to the {} Service", position(label));
            self.at_each_size(CONNECT.name, label, &what, |proxy, services| {
                net(proxy, label, services)
            })
        });
        pairs.collect()
    }

    fn syncs(&self) -> Vec<Pair<'g>> {
        let kinds = metrics::ALL.iter().filter(|kind| kind.is_sync());
        let pairs = kinds.flat_map(|kind| {
            let median = |label, proxy: &str, services| {
                Some(self.group.stat(kind.name, label, proxy, services, 0.5)?.median)
            };
            let total = |proxy: &str, services| median(TOTAL, proxy, services);
            let begun = |proxy: &str, services| {
                let before = BEGINNING.map(|label| median(label, proxy, services).unwrap_or(0.0));
                Some(total(proxy, services)? - before.iter().sum::<f64>())
            };
            let mut pairs = self.at_each_size(kind.name, TOTAL, kind.title, total);
            let what = format!("{}, from when the lists are there", kind.title);
            if !self.group.sizes(kind.name, BEGINNING[0]).is_empty() {
                pairs.extend(self.at_each_size(kind.name, TOTAL, &what, begun));
            }
            pairs
        });
        pairs.collect()
    }

    /// The sizes at which both have a value.
    fn at_each_size(
        &self,
        metric: &str,
        label: &str,
        what: &str,
        value: impl Fn(&str, u64) -> Option<f64>,
    ) -> Vec<Pair<'g>> {
        let pair = |services: u64| {
            let (ours_value, their_value) =
                (value(self.ours, services)?, value(self.theirs, services)?);
            let (theirs, ours, what) = (self.theirs, self.ours, what.to_owned());
            Some(Pair { theirs, ours, what, services, ours_value, their_value })
        };
        self.group.sizes(metric, label).into_iter().filter_map(pair).collect()
    }
}

fn table(group: &Group<'_>, title: &str, note: &str, pairs: &[Pair<'_>]) -> Option<Table> {
    let values = pairs.iter().flat_map(|pair| [pair.ours_value, pair.their_value]);
    let scale = Scale::of(group.unit(), values);
    let mut table = Columns::of(pairs)
        .text("kube-proxy", |pair| pair.theirs.to_owned())
        .text("ours", |pair| pair.ours.to_owned())
        .text("what", |pair| pair.what.clone())
        .number("Services", |pair| thousands(pair.services))
        .number("kube-proxy takes", |pair| scale.number(pair.their_value))
        .number("ours takes", |pair| scale.number(pair.ours_value))
        .number("ours over kube-proxy's", |pair| ratio(pair))
        .titled(format!("{title}, p50, {}", scale.name()), note);
    if group.key.clock == Clock::Wall {
        table.add_note("Time varies: a ratio near 1 says no more than that.");
    }
    table.unless_empty()
}

/// Nothing where there is nothing to divide by.
fn ratio(pair: &Pair<'_>) -> String {
    if pair.their_value > 0.0 {
        fixed(pair.ours_value / pair.their_value, 3)
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::view::View;

    #[test]
    fn a_kube_proxy_stands_beside_the_backend_that_renders_it() {
        let mut run = fixture::stored();
        let theirs = run.record.proxies.iter_mut().find(|one| one.name == "ipvs").unwrap();
        theirs.ours = Some("iptables-nft".to_owned());
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        let group = &view.groups[0];
        let [connections, syncs] = &renditions(group)[..] else { panic!("two tables") };
        let of = |proxy: &str| group.stat("connect", "last", proxy, 100, 0.5).unwrap().median;
        let expected = (of("iptables-nft") - of("none")) / (of("ipvs") - of("none"));
        let row =
            connections.rows.iter().find(|row| row[2] == "to the last Service" && row[3] == "100");
        let row = row.unwrap();
        assert_eq!(row[..2], ["ipvs", "iptables-nft"]);
        assert_eq!(row[6], fixed(expected, 3));
        assert!(
            syncs.rows.iter().any(|row| row[2] == metrics::SYNC_FULL.title),
            "{:?}",
            syncs.rows
        );
    }

    #[test]
    fn what_passes_before_a_kube_proxy_has_the_lists_is_told_apart() {
        let mut run = fixture::stored();
        let theirs = run.record.proxies.iter_mut().find(|one| one.name == "ipvs").unwrap();
        theirs.ours = Some("iptables-nft".to_owned());
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.proxy == "ipvs") {
            let clock = cell.labels.clock;
            if cell.metrics.iter().any(|metric| metric.name == metrics::SYNC_FULL.name) {
                cell.metrics.push(metrics::SYNC_FULL.of("start", clock, vec![3]));
                cell.metrics.push(metrics::SYNC_FULL.of("list", clock, vec![4]));
            }
        }
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        let group = &view.groups[0];
        let [_, syncs] = &renditions(group)[..] else { panic!("two tables") };
        let rows = || syncs.rows.iter().filter(|row| row[2].starts_with(metrics::SYNC_FULL.title));
        let sizes = group.sizes(metrics::SYNC_FULL.name, "start").len();
        assert_eq!(rows().filter(|row| row[2].ends_with("the lists are there")).count(), sizes);
        assert_eq!(rows().count(), 2 * sizes);
    }

    #[test]
    fn without_a_kube_proxy_there_is_none() {
        let run = fixture::stored();
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        assert!(renditions(&view.groups[0]).is_empty());
    }
}
