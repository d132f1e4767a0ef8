//! The path of a cell's connections: through which topology, from whom, to which frontend, in which
//! family. Numbers of two paths are never taken for each other.

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
}

impl Default for Path {
    fn default() -> Self {
        Self {
            topology: "star".to_owned(),
            source: "pod".to_owned(),
            frontend: "cluster-ip".to_owned(),
            family: "ipv4".to_owned(),
        }
    }
}

impl Path {
    /// Whether it is the usual one, which is neither stored nor named.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What follows the rest of an id or file name: `.one-node.outside.node-port.ipv4`; nothing for
    /// the usual path.
    pub fn suffix(&self) -> String {
        let Self { topology, source, frontend, family } = self;
        if self.is_usual() {
            return String::new();
        }
        format!(".{topology}.{source}.{frontend}.{family}")
    }

    /// What follows the rest of a title: `, one-node from outside to node-port over ipv4`; nothing
    /// for the usual path.
    pub(crate) fn in_title(&self) -> String {
        if self.is_usual() { String::new() } else { format!(", {self}") }
    }

    /// What paths are sorted by: the usual names first.
    pub(crate) fn order_key(&self) -> ([usize; 4], &Self) {
        let known: [&[&str]; 4] = [
            &["star", "one-node", "two-nodes", "two-nodes-ipip"],
            &["pod", "node", "outside", "other-node-pod"],
            &["cluster-ip", "node-port", "external-ip", "load-balancer-ip"],
            &["ipv4", "ipv6"],
        ];
        let named = self.named();
        let rank = |at: usize| {
            let place = known[at].iter().position(|known| *known == named[at].1);
            place.unwrap_or(known[at].len())
        };
        (std::array::from_fn(rank), self)
    }

    /// The four names, each with what it is.
    pub(crate) fn named(&self) -> [(&'static str, &str); 4] {
        [
            ("topology", &self.topology),
            ("source", &self.source),
            ("frontend", &self.frontend),
            ("family", &self.family),
        ]
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topology, source, frontend, family } = self;
        write!(f, "{topology} from {source} to {frontend} over {family}")
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
        let unknown = Path { topology: "mesh".into(), ..Path::default() };
        assert!(path.order_key() < unknown.order_key());
    }
}
