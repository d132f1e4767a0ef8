//! What the Services of some cells look like: every answer holds for this shape, and another one
//! may have another answer.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::format::{fixed, list, plain};
use crate::record::CellRecord;
use crate::stats::Spread;
use crate::store::Run;

/// Begins the keys of facts about an imported Cluster.
const IMPORTED: &str = "cluster.";

/// Kind, endpoints and layout of Services.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Shape {
    /// Endpoints a Service, least and most.
    pub endpoints_per_service: (f64, f64),
    /// Changes that one sync writes, at most.
    pub changes_per_sync: u64,
    /// Whether the Endpoints a Service are an average.
    varies: bool,
    /// Kinds and layout in words, one for each way in which the runs were made.
    made: BTreeSet<String>,
}

impl Shape {
    /// Of cells, and of the runs that may hold them.
    pub fn of(runs: &[Run], cells: &[&CellRecord]) -> Self {
        let labels = cells.iter().map(|cell| &cell.labels).filter(|one| one.services > 0);
        let ratios = Spread::of(labels.map(|one| one.endpoints as f64 / one.services as f64));
        let endpoints_per_service = ratios.map_or((0.0, 0.0), |ratios| (ratios.min, ratios.max));
        let scenarios = || runs.iter().map(|run| &run.record.scenario);
        let per_sync = |scenario: &Value| scenario.get("load")?.get("changes_per_sync")?.as_u64();
        let is_drawn = |scenario: &Value| {
            let counts = scenario.get("cluster").and_then(|cluster| cluster.get("endpoints"));
            counts.is_some_and(|counts| counts.get("fixed").is_none())
        };
        Self {
            endpoints_per_service,
            changes_per_sync: scenarios().filter_map(per_sync).max().unwrap_or(1),
            varies: scenarios().any(is_drawn) || runs.iter().any(is_imported),
            made: runs.iter().filter_map(made).collect(),
        }
    }

    /// `ClusterIP over TCP, VIPs consecutive, 1 Endpoint each`.
    pub fn in_words(&self) -> String {
        let made = self.made.iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
        let comma = if made.is_empty() { "" } else { ", " };
        let average = if self.varies { " on average" } else { "" };
        format!("{made}{comma}{} each{average}", self.endpoints_in_words())
    }

    /// `1 Endpoint`, `2.5 Endpoints`, `1 to 100 Endpoints`.
    fn endpoints_in_words(&self) -> String {
        let (least, most) = self.endpoints_per_service;
        let number = |value: f64| fixed(value, usize::from(value.fract() != 0.0));
        let numbers = if number(least) == number(most) {
            number(least)
        } else {
            format!("{} to {}", number(least), number(most))
        };
        format!("{numbers} Endpoint{}", if numbers == "1" { "" } else { "s" })
    }
}

/// How the Services of a run were made, as far as its scenario tells.
fn made(run: &Run) -> Option<String> {
    if is_imported(run) {
        return Some("an imported Cluster".to_owned());
    }
    let cluster = run.record.scenario.get("cluster")?;
    let protocols: Vec<String> =
        shares(cluster.get("protocols")?).map(|(name, _)| plain(&name.to_uppercase())).collect();
    let (kinds, layout) = (kinds(cluster), layout(cluster.get("vip_layout")?));
    Some(format!("{kinds} over {}, VIPs {layout}", list(&protocols)))
}

/// The names that have a share, with it.
fn shares(of: &Value) -> impl Iterator<Item = (&str, f64)> {
    let shares = of.as_object().into_iter().flatten();
    shares
        .filter_map(|(name, share)| Some((name.as_str(), share.as_f64()?)))
        .filter(|one| one.1 > 0.0)
}

/// `ClusterIP`, or each kind with its share, and how many Endpoints are elsewhere.
fn kinds(cluster: &Value) -> String {
    let parts = cluster.get("kinds").into_iter().flat_map(shares);
    let parts: Vec<String> =
        parts.map(|(name, share)| format!("{share} {}", plain(&name.replace('_', " ")))).collect();
    let kinds = if parts.is_empty() {
        "ClusterIP".to_owned()
    } else {
        format!("kinds in shares of {}", list(&parts))
    };
    let families = match cluster.get("families").and_then(Value::as_str) {
        Some("dual") => " in both families",
        _ => "",
    };
    let kinds = kinds + families;
    match cluster.get("remote_endpoints").and_then(Value::as_f64) {
        Some(share) => {
            format!("{kinds}, {} % of the Endpoints on other nodes,", fixed(100.0 * share, 0))
        }
        None => kinds,
    }
}

fn is_imported(run: &Run) -> bool {
    run.record.environment.facts.keys().any(|key| key.starts_with(IMPORTED))
}

/// `consecutive`, or `strided` with its parameters.
fn layout(layout: &Value) -> String {
    match layout {
        Value::String(name) => plain(name),
        other => {
            let text = plain(&other.to_string()).replace(['{', '}', '"', ':'], " ");
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn kinds_are_named_with_their_shares() {
        let cluster = serde_json::json!({
            "protocols": { "tcp": 1 }, "vip_layout": "consecutive", "remote_endpoints": 0.25,
            "kinds": { "cluster_ip": 2, "node_port": 1, "affinity": 0 }, "families": "dual"
        });
        let words = shape(&cluster);
        let wanted = "kinds in shares of 2 cluster ip and 1 node port in both families, 25 % of the Endpoints on \
                      other nodes, over TCP, VIPs consecutive";
        assert!(words.starts_with(wanted), "{words}");
    }

    fn shape(cluster: &Value) -> String {
        let mut run = fixture::stored();
        run.record.scenario = serde_json::json!({ "cluster": cluster });
        let cells: Vec<CellRecord> = run.cells.clone();
        Shape::of(&[run], &cells.iter().collect::<Vec<_>>()).in_words()
    }

    #[test]
    fn kinds_layout_and_endpoints_are_told() {
        let protocols = serde_json::json!({"tcp": 1, "udp": 0, "sctp": 0});
        assert_eq!(
            shape(&serde_json::json!({"protocols": protocols, "vip_layout": "consecutive"})),
            "ClusterIP over TCP, VIPs consecutive, 1 Endpoint each"
        );
        let strided = serde_json::json!({"strided": {"step": 256}});
        let words = shape(&serde_json::json!({"protocols": protocols, "vip_layout": strided}));
        assert!(words.contains("VIPs strided step 256"), "{words}");
        assert_eq!(shape(&Value::Null), "1 Endpoint each");
    }

    #[test]
    fn an_imported_cluster_and_uneven_endpoints_are_told() {
        let mut run = fixture::stored();
        run.record.environment.facts.insert("cluster.sha256".into(), "ab".into());
        run.cells[0].labels.endpoints = run.cells[0].labels.services * 3;
        let cells = run.cells.clone();
        let shape = Shape::of(&[run], &cells.iter().collect::<Vec<_>>());
        assert_eq!(shape.in_words(), "an imported Cluster, 1 to 3 Endpoints each on average");
    }
}
