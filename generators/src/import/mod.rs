//! A Cluster from what `kubectl get services,endpointslices -A -o json` prints: the reverse of [`crate::to_k8s`].
//!
//! The input is read as a stream and never held as a whole: `documents` finds the objects, `objects` names the fields
//! that matter, `collect` keeps the little that is needed of each, `join` makes Services of it, and `summary` counts
//! what else there was.

mod collect;
mod documents;
mod join;
mod objects;
mod summary;

use std::io::Read;

use crate::cluster::Cluster;
use crate::error::ClusterError;
use collect::Collector;
use documents::Stopped;

pub use summary::{BAD_OBJECTS_NAMED, BadObject, BadObjects, Fate, Finding, ImportSummary};

/// What becomes of objects that are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadObject {
    /// They are named, and nothing is imported.
    Refuse,
    /// They are counted, and the others are imported.
    Skip,
}

/// A Cluster, and what else was in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The Services that can be programmed, in the order of the input.
    pub cluster: Cluster,
    /// Everything else, counted.
    pub summary: ImportSummary,
}

/// Why no Cluster was imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum K8sError {
    /// Reading failed, or a limit was reached.
    #[error("cannot read Kubernetes objects: {0}")]
    Read(#[source] std::io::Error),
    /// Not JSON, or JSON of another make; says at which line.
    #[error(
        "this is not the JSON of Kubernetes objects: {0}; \
         write it with `kubectl get services,endpointslices -A -o json`"
    )]
    Json(#[source] serde_json::Error),
    /// More of something than can be imported.
    #[error("{0}")]
    TooMany(String),
    /// Objects are wrong.
    #[error("{} of the objects cannot be imported; mend them, or have them skipped:\n{bad}", .bad.count)]
    Bad {
        /// Which, and why.
        bad: BadObjects,
    },
    /// There is no Service to program.
    #[error(
        "among {services} Services and {slices} EndpointSlices there is no Service that can be imported; \
         write them with `kubectl get services,endpointslices -A -o json`"
    )]
    Nothing {
        /// Service objects that were read.
        services: u64,
        /// `EndpointSlice` objects that were read.
        slices: u64,
    },
    /// The Services cannot be together, for a reason that was not found object by object.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Reads a Cluster from Kubernetes objects: v1 Services and discovery.k8s.io/v1 `EndpointSlice`s, in lists or one by
/// one, in any order, in one JSON document or several.
///
/// Each port of a Service with an IPv4 cluster IP becomes a [`crate::Service`]; its Endpoints are those that
/// kube-proxy would send connections to. Unknown fields are ignored. The input may be hostile: its length and that of
/// each object are bounded, and memory is a fraction of the input's length.
///
/// # Errors
/// [`K8sError`].
pub fn from_k8s(input: impl Read, on_bad: OnBadObject) -> Result<Imported, K8sError> {
    let mut collector = Collector::default();
    let mut sink = |text: &str, kind: Option<&str>| collector.object(text, kind);
    documents::for_each_object(input, &mut sink).map_err(|stopped| match stopped {
        Stopped::Read(error) => K8sError::Read(error),
        Stopped::Json(error) => K8sError::Json(error),
        Stopped::Sink(text) => K8sError::TooMany(text),
    })?;
    let (services, summary) = join::join(collector);
    if summary.bad.count > 0 && on_bad == OnBadObject::Refuse {
        return Err(K8sError::Bad { bad: summary.bad });
    }
    if services.is_empty() {
        let ImportSummary { services, slices, .. } = summary;
        return Err(K8sError::Nothing { services, slices });
    }
    Ok(Imported { cluster: Cluster::new(services)?, summary })
}

#[cfg(test)]
mod tests;
