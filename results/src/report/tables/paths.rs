//! Tables that set the paths of a run side by side: what a hop, a masquerade or a node port costs a
//! connection.

use itertools::Itertools as _;

use crate::format::{Scale, thousands};
use crate::metrics::CONNECT;
use crate::proxies::CONTROL;
use crate::record::Clock;
use crate::tables::{Columns, Table};
use crate::view::{Group, GroupKey, View};

/// Groups that differ in their paths alone, in the order of paths.
struct SideBySide<'v, 'a> {
    groups: Vec<&'v Group<'a>>,
    position: &'v str,
    services: u64,
}

/// For each kernel, place, clock and size that several paths were measured with: a connection by
/// each proxy, and what the proxy adds to one without.
pub(crate) fn paths(view: &View<'_>) -> Vec<Table> {
    let kind = |group: &Group<'_>| {
        let GroupKey { kernel, place, clock, path: _ } = group.key.clone();
        (clock, place, kernel)
    };
    let alike = view.groups.iter().into_group_map_by(|group| kind(group));
    let alike = alike.into_iter().sorted_by(|a, b| a.0.cmp(&b.0));
    alike.flat_map(|(_, groups)| of_alike(&groups)).collect()
}

fn of_alike(groups: &[&Group<'_>]) -> Vec<Table> {
    let Some(position) = groups.iter().find_map(|group| group.worst_position(CONNECT.name)) else {
        return Vec::new();
    };
    let sizes = groups.iter().flat_map(|group| group.sizes(CONNECT.name, position));
    let sizes = sizes.sorted_unstable().dedup();
    sizes.flat_map(|services| of_size(groups, position, services)).collect()
}

fn of_size(groups: &[&Group<'_>], position: &str, services: u64) -> Vec<Table> {
    let has = |group: &&&Group<'_>| group.sizes(CONNECT.name, position).contains(&services);
    let groups: Vec<&Group<'_>> = groups.iter().filter(has).copied().collect();
    if groups.len() < 2 {
        return Vec::new();
    }
    let all = SideBySide { groups, position, services };
    [all.gross(), all.net()].into_iter().flatten().collect()
}

impl SideBySide<'_, '_> {
    fn gross(&self) -> Option<Table> {
        let value = |group: &Group<'_>, proxy: &str| self.p50(group, proxy);
        let note = "Median over the seeds; in brackets: the difference from the first path. With two nodes the Endpoints are \
                    on the other one. Empty: the proxy has no such path.";
        self.table("New connection by path, p50", note, &self.proxies(), value)
    }

    fn net(&self) -> Option<Table> {
        let proxies: Vec<&str> =
            self.proxies().into_iter().filter(|proxy| *proxy != CONTROL).collect();
        let value = |group: &Group<'_>, proxy: &str| {
            Some(self.p50(group, proxy)? - self.p50(group, CONTROL)?)
        };
        let note = "What the proxy adds to a connection that dials its Endpoint by the same path; in brackets: the \
                    difference from the first.";
        self.table("The same, net of none", note, &proxies, value)
    }

    fn p50(&self, group: &Group<'_>, proxy: &str) -> Option<f64> {
        Some(group.stat(CONNECT.name, self.position, proxy, self.services, 0.5)?.median)
    }

    fn proxies(&self) -> Vec<&str> {
        let names = self.groups.iter().flat_map(|group| group.proxies(CONNECT.name, self.position));
        self.groups.first().map(|first| first.known.sorted(names)).unwrap_or_default()
    }

    /// A row a path, a column a proxy; each value with its distance from the first path's.
    fn table(
        &self,
        title: &str,
        note: &str,
        proxies: &[&str],
        value: impl Fn(&Group<'_>, &str) -> Option<f64>,
    ) -> Option<Table> {
        let first = self.groups.first()?;
        let pairs =
            self.groups.iter().flat_map(|group| proxies.iter().map(move |one| (group, one)));
        let scale = Scale::of(first.unit(), pairs.filter_map(|(group, one)| value(group, one)));
        let mut table = Columns::of(&self.groups).text("path", |group| group.key.path.to_string());
        for proxy in proxies {
            let reference = value(first, proxy);
            table = table.number(*proxy, |group| {
                let Some(own) = value(group, proxy) else { return String::new() };
                let more = reference.filter(|_| !std::ptr::eq(**group, *first));
                let more = more.map(|reference| own - reference).map(|more| {
                    let sign = if more < 0.0 { "-" } else { "+" };
                    format!(" ({sign}{})", scale.number(more.abs()))
                });
                scale.number(own) + &more.unwrap_or_default()
            });
        }
        let (position, services) = (self.position, thousands(self.services));
        let title = format!("{title}, {position} of {services} Services, {}", scale.name());
        let mut table = table.titled(format!("{title}, kernel {}", first.key.kernel), note);
        if first.key.clock == Clock::Wall {
            table
                .add_note("Time varies: a difference smaller than that of the seeds says nothing.");
        }
        table.unless_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;
    use crate::fixture;
    use crate::record::Labels;

    /// Connections of two proxies by two paths, the second 300 dearer without a proxy.
    fn two_paths() -> crate::Run {
        let mut run = fixture::stored();
        let pattern = run.cells.iter().find(|cell| cell.labels.measure == "connect").unwrap();
        let pattern = Labels { services: 100, seed: 1, ..pattern.labels.clone() };
        let path = |source: &str| Path {
            topology: "one-node".into(),
            source: source.into(),
            ..Path::default()
        };
        let cells = [("pod", "none", 1_000), ("pod", "ipvs", 1_500), ("outside", "none", 1_300)];
        let cells = cells.into_iter().chain([("outside", "ipvs", 2_500)]);
        run.cells = cells
            .map(|(source, proxy, cost)| {
                let labels = Labels { path: path(source), proxy: proxy.into(), ..pattern.clone() };
                let mut cell = crate::CellRecord::new(labels, crate::Outcome::Measured);
                cell.metrics = vec![CONNECT.of("last", Clock::Instructions, vec![cost])];
                cell
            })
            .collect();
        run
    }

    #[test]
    fn paths_stand_side_by_side_gross_and_net() {
        let run = two_paths();
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        let [gross, net] = &paths(&view)[..] else { panic!("two tables") };
        assert_eq!(
            gross.rows,
            [
                ["one-node from pod to cluster-ip over ipv4", "1,000", "1,500"],
                ["one-node from outside to cluster-ip over ipv4", "1,300 (+300)", "2,500 (+1,000)"],
            ]
        );
        assert_eq!(net.rows[1][1..], ["1,200 (+700)"]);
        assert!(gross.title.contains("last of 100 Services, instructions, kernel"));
    }

    #[test]
    fn one_path_is_nothing_to_set_side_by_side() {
        let run = fixture::stored();
        let view = View::new(std::slice::from_ref(&run)).unwrap();
        assert!(paths(&view).is_empty());
    }
}
