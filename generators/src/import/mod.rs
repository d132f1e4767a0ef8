//! A Cluster from a real cluster's Kubernetes objects, such as `kubectl get services,endpointslices
//! -A -o json` prints: the reverse of [`crate::to_k8s`].
//!
//! Inputs are read as streams and never held as a whole: `decode` makes text of bytes, `documents`
//! finds the objects whatever the form, `objects` names the fields that matter, `collect` keeps the
//! little that is needed of each, `join` makes Services of it, and `summary` counts what else there
//! was.

mod collect;
mod decode;
mod documents;
mod error;
mod join;
mod json;
mod node;
mod objects;
mod summary;
mod yaml;

use std::io::Read;

use crate::cluster::Cluster;
use collect::Collector;
use decode::Budget;
use summary::Place;

pub use error::{K8sError, KUBECTL};
pub use node::Viewpoint;
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
    /// The node that the Cluster is seen from.
    pub from: Viewpoint,
}

/// Reads a Cluster from the objects of several inputs, in any order and form: v1 Services and
/// discovery.k8s.io/v1 `EndpointSlice`s, or v1 Endpoints where there are no slices; in lists or one
/// by one, in one document or several; JSON, YAML or a `kubectl cluster-info dump`; in UTF-8 or
/// UTF-16; also packed with gzip.
///
/// Each port of a Service with a cluster IP becomes a [`crate::Service`], one for each family, with
/// all its Endpoints. Unknown fields are ignored. The input may be
/// hostile: its length (unpacked), that of each object, and their number are bounded, and memory is
/// a fraction of the input's length.
#[derive(Debug, Default)]
pub struct Importer {
    collector: Collector,
    budget: Budget,
    from: Viewpoint,
}

impl Importer {
    /// An import that sees the Cluster from a node. What is not given is taken from the Endpoints:
    /// the node that has most of them, and the zone that it is in.
    pub fn seen_from(from: Viewpoint) -> Self {
        Self { from, ..Self::default() }
    }

    /// Reads one input. Errors name objects with the `name` of their input, if it has one.
    ///
    /// # Errors
    /// [`K8sError`]: the input as a whole cannot be read. What is wrong with single objects is told
    /// at the end.
    pub fn read(&mut self, name: &str, input: impl Read) -> Result<(), K8sError> {
        self.read_as(name, input, false)
    }

    /// The same for a file of a folder, in which there may be other files: one that holds no
    /// objects is counted.
    ///
    /// # Errors
    /// [`K8sError`].
    pub fn read_of_folder(&mut self, name: &str, input: impl Read) -> Result<(), K8sError> {
        self.read_as(name, input, true)
    }

    fn read_as(
        &mut self,
        name: &str,
        input: impl Read,
        is_of_folder: bool,
    ) -> Result<(), K8sError> {
        let Self { collector, budget, .. } = self;
        collector.place = Place { file: name.into(), number: 0 };
        collector.is_of_folder = is_of_folder;
        let mut sink = |text: &str, list: json::ListHead<'_>| collector.object(text, list);
        let read = documents::for_each_object(input, budget, &mut sink);
        match (read, collector.place.number) {
            (Ok(_) | Err(K8sError::Form(_)), 0) if is_of_folder => {
                collector.summary.count(Finding::OtherFile, 1);
            }
            (lines, _) => collector.summary.count(Finding::OtherLine, lines?),
        }
        Ok(())
    }

    /// Makes a Cluster of all that was read.
    ///
    /// # Errors
    /// [`K8sError`].
    pub fn finish(self, on_bad: OnBadObject) -> Result<Imported, K8sError> {
        let (services, summary, from) = join::join(self.collector, self.from);
        if summary.bad.count > 0 && on_bad == OnBadObject::Refuse {
            return Err(K8sError::Bad { bad: summary.bad });
        }
        if services.is_empty() {
            return Err(K8sError::Nothing(summary.nothing()));
        }
        Ok(Imported { cluster: Cluster::new(services)?, summary, from })
    }
}

/// Reads a Cluster from one input without a name: see [`Importer`].
///
/// # Errors
/// [`K8sError`].
pub fn from_k8s(input: impl Read, on_bad: OnBadObject) -> Result<Imported, K8sError> {
    let mut importer = Importer::default();
    importer.read("", input)?;
    importer.finish(on_bad)
}

#[cfg(test)]
mod tests;
