//! What runs tell of their proxies: order in tables and legends, family, colour. Knows none by name
//! but the control.

use std::collections::HashSet;
use std::sync::Arc;

use itertools::Itertools as _;

use crate::record::{ProxyRecord, RunRecord};

/// The proxy that is none: the floor under every number.
pub(crate) const CONTROL: &str = "none";

/// Names of colours (`plots::theme`), in the order in which proxies without a colour of their own
/// get them.
pub(crate) const PALETTE: [&str; 13] = [
    "grey", "orange", "pink", "blue", "green", "olive", "violet", "sky", "gold", "rust", "teal",
    "plum", "crimson",
];

/// The proxies of one or several runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Proxies(Arc<[ProxyRecord]>);

impl Proxies {
    /// Those of all these runs; of two that tell of the same proxy the first counts.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a RunRecord>) -> Self {
        let of_run = |run: &RunRecord| {
            if run.proxies.is_empty() { from_scenario(run) } else { run.proxies.clone() }
        };
        let all = runs.into_iter().flat_map(of_run);
        let mut all: Vec<ProxyRecord> = all.unique_by(|proxy| proxy.name.clone()).collect();
        tell_apart(&mut all);
        Self(all.into())
    }

    /// Each name once, as every table and legend has them: the control, those of the runs, others
    /// by name.
    pub fn sorted<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
        let names = names.into_iter().sorted_by_key(|name| (self.rank(name), *name));
        names.dedup().collect()
    }

    /// The place of a proxy before or behind others.
    pub fn rank(&self, name: &str) -> u32 {
        match self.find(name) {
            Some(known) => known.order,
            None if name == CONTROL => 0,
            None => u32::MAX,
        }
    }

    /// The name of its colour, if it has one.
    pub fn colour(&self, name: &str) -> Option<&str> {
        self.find(name).map(|known| known.colour.as_str())
    }

    /// Whether it is of this family.
    pub fn is_of(&self, name: &str, family: &str) -> bool {
        self.find(name).map_or_else(|| family_in(name), |known| &known.family) == family
    }

    /// Of a kube-proxy: the backend of ours that ends in the same state.
    pub fn ours(&self, name: &str) -> Option<&str> {
        self.find(name)?.ours.as_deref()
    }

    fn find(&self, name: &str) -> Option<&ProxyRecord> {
        self.0.iter().find(|known| known.name == name)
    }
}

/// Of proxies with one colour, such as two versions of a kube-proxy, the first keeps it, and the
/// others get what is left of the palette.
fn tell_apart(proxies: &mut [ProxyRecord]) {
    let taken: HashSet<String> = proxies.iter().map(|proxy| proxy.colour.clone()).collect();
    let mut left = PALETTE.iter().filter(|colour| !taken.contains(**colour));
    let mut seen = HashSet::new();
    for proxy in proxies {
        if !seen.insert(proxy.colour.clone())
            && let Some(colour) = left.next()
        {
            (*colour).clone_into(&mut proxy.colour);
        }
    }
}

/// The proxies of a run from before they were recorded: the scenario's, the control first.
fn from_scenario(run: &RunRecord) -> Vec<ProxyRecord> {
    let named = run.scenario.get("proxies").and_then(serde_json::Value::as_array);
    let named = named.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let others = named.filter(|name| *name != CONTROL);
    (0..)
        .zip(std::iter::once(CONTROL).chain(others))
        .zip(PALETTE.into_iter().cycle())
        .map(|((order, name), colour)| ProxyRecord {
            name: name.to_owned(),
            family: family_in(name).to_owned(),
            colour: colour.to_owned(),
            order,
            ours: None,
        })
        .collect()
}

/// `nftables` of `nftables-1.37`.
fn family_in(name: &str) -> &str {
    name.split_once('-').map_or(name, |(family, _)| family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn an_older_run_has_the_order_of_its_scenario_with_the_control_first() {
        let mut run = fixture::stored().record;
        run.scenario = serde_json::json!({ "proxies": ["ipvs", "none", "iptables-nft"] });
        run.proxies.clear();
        let proxies = Proxies::of([&run]);
        let names = ["b", "iptables-nft", "a", "ipvs", "none", "a"];
        assert_eq!(proxies.sorted(names), ["none", "ipvs", "iptables-nft", "a", "b"]);
        assert_eq!(proxies.colour("none"), Some("grey"));
        assert_eq!(proxies.colour("a"), None);
        assert!(
            proxies.is_of("iptables-nft", "iptables") && proxies.is_of("nftables-9", "nftables")
        );
    }

    #[test]
    fn a_run_that_tells_of_its_proxies_is_believed() {
        let mut run = fixture::stored().record;
        let toy = ProxyRecord {
            name: "toy".into(),
            family: "game".into(),
            colour: "gold".into(),
            order: 1,
            ours: None,
        };
        run.proxies = vec![toy.clone()];
        let proxies = Proxies::of([&run]);
        assert_eq!(proxies.sorted(["a", "toy", "none"]), ["none", "toy", "a"]);
        assert_eq!(proxies.colour("toy"), Some("gold"));
        assert!(proxies.is_of("toy", "game"));

        run.proxies = vec![toy.clone(), ProxyRecord { name: "toy@2".into(), ..toy }];
        let proxies = Proxies::of([&run]);
        assert_eq!(proxies.colour("toy"), Some("gold"), "two versions have two colours");
        assert_eq!(proxies.colour("toy@2"), Some("grey"));
    }
}
