//! Text forms of a Cluster: vipbench's own, Kubernetes', and the input of the tools that
//! administrators would program the backends with.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use proxies::{Admin, Format};

/// A text form of a Cluster.
#[derive(Debug, Clone, Copy)]
pub enum ClusterFormat {
    /// vipbench's own JSON.
    Json,
    /// A Kubernetes List of Services and `EndpointSlices`.
    K8s,
    /// Input of an administrator's tool.
    Admin(Admin, Format),
}

impl ClusterFormat {
    /// Reads the value of an option, and lists the values there are.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let own = [
            PossibleValue::new("json").help("vipbench's own JSON"),
            PossibleValue::new("k8s").help("A Kubernetes List of Services and `EndpointSlices`"),
        ];
        let of_backends =
            formats().map(|(_, format)| PossibleValue::new(format.name).help(format.help));
        PossibleValuesParser::new(own.into_iter().chain(of_backends)).map(|name| Self::named(&name))
    }

    /// The parser lets no other name pass.
    fn named(name: &str) -> Self {
        match (name, formats().find(|(_, format)| format.name == name)) {
            (_, Some((admin, format))) => Self::Admin(admin, format),
            ("k8s", None) => Self::K8s,
            _ => Self::Json,
        }
    }
}

/// Each form that a backend offers.
fn formats() -> impl Iterator<Item = (Admin, Format)> {
    let admins = proxies::backends().filter_map(|backend| backend.admin);
    admins.flat_map(|admin| admin.formats.iter().map(move |format| (admin, *format)))
}
