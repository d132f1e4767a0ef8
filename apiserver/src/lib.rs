//! A small Kubernetes API that serves a Cluster and turns Steps into watch events: enough for
//! `kubectl` to list, get and watch, and for a kube-proxy to work from.
//!
//! It speaks JSON over HTTP/1.1, has no users and no writes but Events, which clients record: only
//! whoever holds the [`Server`] changes what is served. What it answers follows kube-apiserver
//! (Kubernetes 1.35) as far as clients ask: lists in chunks and at earlier versions, watches with
//! bookmarks and initial events, tables, discovery. Requests are hostile input: sizes, numbers and
//! times are bounded by [`Limits`].
//!
//! ```
//! use apiserver::{Limits, Server, Site};
//! use generators::{Change, SyntheticSpec, generate};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = generate(&SyntheticSpec { services: 3, ..SyntheticSpec::default() }, 1)?;
//! let server =
//!     Server::start("127.0.0.1:0".parse()?, &cluster, &Site::default(), Limits::default())?;
//! let before = server.version();
//! let removed = cluster.services()[0].id();
//! let after = server.apply(&cluster.step(vec![Change::ServiceRemoved(removed)])?)?;
//! assert_eq!(after - before, 2, "a Service and its EndpointSlice are deleted");
//! server.stop()?;
//! # Ok(())
//! # }
//! ```

mod accept;
mod answer;
mod api;
mod discovery;
mod error;
mod events;
mod limits;
mod list;
mod model;
mod moments;
mod object;
mod place;
mod query;
mod resource;
mod route;
mod select;
mod server;
mod shape;
mod status;
mod store;
mod table;
mod watch;

pub use error::ApiError;
pub use limits::Limits;
pub use model::Site;
pub use moments::Served;
pub use server::{Edits, Server};
