//! Text forms of a Cluster: vipbench's own, Kubernetes', and the input of the tools that
//! administrators would program the backends with.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use proxies::Admin;

/// A text form of a Cluster.
#[derive(Debug, Clone, Copy)]
pub enum ClusterFormat {
    /// vipbench's own JSON.
    Json,
    /// A Kubernetes List of Services and `EndpointSlices`.
    K8s,
    /// Input of an administrator's tool.
    Admin(Admin),
}

impl ClusterFormat {
    /// Reads the value of an option, and lists the values there are.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let own = [
            PossibleValue::new("json").help("vipbench's own JSON"),
            PossibleValue::new("k8s").help("A Kubernetes List of Services and `EndpointSlices`"),
        ];
        let of_backends = formats().map(|(name, help, _)| PossibleValue::new(name).help(help));
        PossibleValuesParser::new(own.into_iter().chain(of_backends)).map(|name| Self::named(&name))
    }

    /// The parser lets no other name pass.
    fn named(name: &str) -> Self {
        let admin = formats().find(|(known, ..)| *known == name);
        match (name, admin) {
            (_, Some((.., admin))) => Self::Admin(admin),
            ("k8s", None) => Self::K8s,
            _ => Self::Json,
        }
    }
}

/// Name and description of each form that a backend offers.
fn formats() -> impl Iterator<Item = (&'static str, &'static str, Admin)> {
    proxies::backends().filter_map(|backend| {
        let admin = backend.admin?;
        let (name, help) = admin.format?;
        Some((name, help, admin))
    })
}
