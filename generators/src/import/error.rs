//! Why no Cluster was imported.

use std::io;

use super::summary::BadObjects;
use crate::error::ClusterError;

/// The command that prints all that an import needs.
pub const KUBECTL: &str = "kubectl get services,endpointslices -A -o json";

/// Why no Cluster was imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum K8sError {
    /// Reading failed, or a limit was reached.
    #[error("cannot read Kubernetes objects: {0}")]
    Read(#[source] io::Error),
    /// No form that is known, or a fault in it; says at which line.
    #[error("these are no Kubernetes objects as JSON or YAML: {0}; write them with `{KUBECTL}`")]
    Form(String),
    /// More of something than can be imported.
    #[error("{0}")]
    TooMany(String),
    /// A part of a list, as the API gives it out in chunks.
    #[error(
        "it is a part of a list (metadata.continue): {} not in it; \
         write the whole list with `{KUBECTL}`, which asks for all parts",
        .missing.map_or("some objects are".to_owned(), |count| format!("{count} objects are"))
    )]
    Chunk {
        /// How many objects are missing, if the API said so.
        missing: Option<u64>,
    },
    /// What the API said in place of objects.
    #[error("it holds no objects, but an error of the Kubernetes API: {0}")]
    Status(String),
    /// Objects are wrong.
    #[error("{} of the objects cannot be imported; correct them, or leave them out:\n{bad}", .bad.count)]
    Bad {
        /// Which, and why.
        bad: BadObjects,
    },
    /// There is no Service to program.
    #[error("{0}")]
    Nothing(String),
    /// The Services cannot be together, for a reason that was not found object by object.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl From<io::Error> for K8sError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Form(error.to_string()),
            _ => Self::Read(error),
        }
    }
}

impl K8sError {
    /// The message is untrusted text: it is made printable and short.
    pub(super) fn status(message: &str) -> Self {
        Self::Status(message.chars().filter(|c| !c.is_control()).take(500).collect())
    }
}
