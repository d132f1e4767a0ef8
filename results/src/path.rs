//! The path of a cell's connections: through which topology, from whom, to which frontend, in which
//! family, by which forwarding. Numbers of two paths are never taken for each other.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the connections of a cell get to a Service. Cells of before this was stored, and measures
/// that no connection is part of, have the usual one.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// What joins the hosts: `star`, `one-node`, `two-nodes`, `two-nodes-ipip`.
    pub topology: String,
    /// Who dials: `pod`, `outside`, `node`, `other-node-pod`.
    pub source: String,
    /// What is dialled: `cluster-ip`, `node-port`, `external-ip`, `load-balancer-ip`.
    pub frontend: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// How IPVS gets packets to Endpoints: `nat`, which is not stored, `dr` or `tun`.
    #[serde(default = "nat", skip_serializing_if = "is_nat")]
    pub forwarding: String,
}

fn nat() -> String {
    "nat".to_owned()
}

fn is_nat(forwarding: &str) -> bool {
    forwarding == "nat"
}

impl Default for Path {
    fn default() -> Self {
        Self {
            topology: "star".to_owned(),
            source: "pod".to_owned(),
            frontend: "cluster-ip".to_owned(),
            family: "ipv4".to_owned(),
            forwarding: nat(),
        }
    }
}

impl Path {
    /// Whether it is the usual one, which is neither stored nor named.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What follows the rest of an id or file name: `.one-node.outside.node-port.ipv4`, and the
    /// forwarding where that is not NAT; nothing for the usual path.
    pub fn suffix(&self) -> String {
        let Self { topology, source, frontend, family, forwarding } = self;
        if self.is_usual() {
            return String::new();
        }
        let suffix = format!(".{topology}.{source}.{frontend}.{family}");
        if is_nat(forwarding) { suffix } else { format!("{suffix}.{forwarding}") }
    }

    /// What follows the rest of a title: `, one-node from outside to node-port over ipv4`; nothing
    /// for the usual path.
    pub(crate) fn in_title(&self) -> String {
        if self.is_usual() { String::new() } else { format!(", {self}") }
    }

    /// What paths are sorted by: the usual names first.
    pub(crate) fn order_key(&self) -> ([usize; 5], &Self) {
        let known: [&[&str]; 5] = [
            &["star", "one-node", "two-nodes", "two-nodes-ipip"],
            &["pod", "node", "outside", "other-node-pod"],
            &["cluster-ip", "node-port", "external-ip", "load-balancer-ip"],
            &["ipv4", "ipv6"],
            &["nat", "dr", "tun"],
        ];
        let named = self.named();
        let rank = |at: usize| {
            let place = known[at].iter().position(|known| *known == named[at].1);
            place.unwrap_or(known[at].len())
        };
        (std::array::from_fn(rank), self)
    }

    /// Its names, each with what it is.
    pub(crate) fn named(&self) -> [(&'static str, &str); 5] {
        [
            ("topology", &self.topology),
            ("source", &self.source),
            ("frontend", &self.frontend),
            ("family", &self.family),
            ("forwarding", &self.forwarding),
        ]
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topology, source, frontend, family, forwarding } = self;
        write!(f, "{topology} from {source} to {frontend} over {family}")?;
        if is_nat(forwarding) { Ok(()) } else { write!(f, " by {forwarding}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unusual_path_is_named() {
        let usual = Path::default();
        assert_eq!((usual.suffix(), usual.in_title()), (String::new(), String::new()));
        let path = Path { topology: "one-node".into(), source: "outside".into(), ..usual };
        assert_eq!(path.suffix(), ".one-node.outside.cluster-ip.ipv4");
        assert_eq!(path.in_title(), ", one-node from outside to cluster-ip over ipv4");
        assert!(Path::default().order_key() < path.order_key());
        let direct = Path { forwarding: "dr".into(), ..path.clone() };
        assert_eq!(direct.suffix(), ".one-node.outside.cluster-ip.ipv4.dr");
        assert!(direct.in_title().ends_with(" over ipv4 by dr"));
        assert!(path.order_key() < direct.order_key());
        let unknown = Path { topology: "mesh".into(), ..Path::default() };
        assert!(path.order_key() < unknown.order_key());
    }
}
