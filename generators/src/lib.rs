//! What to program: the [`Cluster`] model, synthetic generators, [`Change`] streams, export,
//! import.
//!
//! A [`SyntheticSpec`] and a seed give a [`Cluster`] ([`generate`]), and so do a real cluster's
//! Kubernetes objects ([`from_k8s`]); a Cluster gives [`Change`]s ([`changes()`]), vipbench's own
//! JSON ([`to_json`], [`from_json`]), Kubernetes objects ([`to_k8s`]), or one of its shape in which
//! nothing of it can be read ([`Cluster::anonymised`]).
//!
//! A generator reads no clock and opens no file: the same seed gives the same bytes on any machine.
//! How a Cluster gets into a kernel is the business of the `proxies` crate.
//!
//! ```
//! use generators::{ChangeKind, EndpointCount, Position, SyntheticSpec, changes, generate, to_json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = SyntheticSpec {
//!     services: 2,
//!     endpoints: EndpointCount::Fixed(1),
//!     ..SyntheticSpec::default()
//! };
//! let cluster = generate(&spec, 1)?;
//! let mut json = Vec::new();
//! to_json(&cluster, &mut json)?;
//! assert_eq!(
//!     String::from_utf8(json)?,
//!     r#"{"schema":"vipbench.cluster/1","services":[
//! {"name":"identity-dev/order-store:http","vip":"10.96.0.1","port":80,"protocol":"tcp","endpoints":["10.209.223.118:8080"]},
//! {"name":"catalog-dev/session-sync:http","vip":"10.96.0.2","port":80,"protocol":"tcp","endpoints":["10.220.147.198:8080"]}
//! ]}
//! "#
//! );
//!
//! for change in changes(&cluster, &spec, 1, ChangeKind::ServiceAdd, Position::Last, 1)? {
//!     let after = cluster.apply(&change)?;
//!     assert_eq!(after.services().len(), 3);
//!     assert_eq!(after.get(&change.service_id()), after.services().last());
//! }
//! # Ok(())
//! # }
//! ```

mod addresses;
mod anonymise;
mod changes;
mod cluster;
mod endpoint;
mod error;
mod export;
mod extras;
mod family;
mod frontend;
mod import;
mod k8s;
mod kinds;
mod names;
mod position;
mod quantiles;
mod random;
mod ranges;
mod relocate;
mod selection;
mod service;
mod service_name;
mod spec;
mod streams;
mod synthetic;
mod unused;
mod words;

pub use addresses::VipLayout;
pub use anonymise::AnonymiseError;
pub use changes::{ChangeKind, ChangesError, changes};
pub use cluster::{Change, Cluster, Step};
pub use endpoint::{Endpoint, EndpointState, Hint};
pub use error::ClusterError;
pub use export::{ExportError, ImportError, MAX_JSON_BYTES, SCHEMA, from_json, to_json};
pub use extras::{Extras, TrafficPolicy};
pub use family::Family;
pub use frontend::{Frontend, FrontendKind};
pub use import::{
    BAD_OBJECTS_NAMED, BadObject, BadObjects, Fate, Finding, ImportSummary, Imported, Importer,
    K8sError, KUBECTL, OnBadObject, Viewpoint, from_k8s,
};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use k8s::{NODE, ZONE, k8s_objects, to_k8s};
pub use kinds::Kinds;
pub use position::Position;
pub use random::SplitMix64;
pub use ranges::Ranges;
pub use relocate::RelocateError;
pub use selection::Targets;
pub use service::{Protocol, Service};
pub use service_name::{ServiceId, ServiceName};
pub use spec::{
    EndpointCount, Families, MAX_ENDPOINTS_PER_SERVICE, MAX_SERVICES, Protocols, SpecErrors,
    SyntheticSpec,
};
pub use streams::{Length, Stream, stream};
pub use synthetic::{GenerateError, generate};
pub use words::in_words;
