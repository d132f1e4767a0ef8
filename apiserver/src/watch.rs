//! Watches: what is there, then what changes, as lines of JSON until the time is over.
//!
//! A watch has no queue of its own. It reads the store's history from the version that it has come
//! to, so a slow reader costs nothing but its place, and one that falls behind what is kept is told
//! so (410).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answer::{self, Answer, Chunks};
use crate::list::{CHUNK_BYTES, prefix};
use crate::object::Object;
use crate::query::Query;
use crate::select::Selection;
use crate::shape::Shape;
use crate::status::Status;
use crate::store::{Event, Gone, Store};

/// Events that are looked at between two waits.
const BATCH: usize = 1_000;
/// Chunks that wait to be sent.
const CHUNKS: usize = 4;

/// What a watch needs beside its parameters.
pub(crate) struct Terms {
    pub shape: Shape,
    /// How long it lasts at most.
    pub lasts: Duration,
    /// How long its reader may take for what is told last.
    pub idle: Duration,
    /// Time between bookmarks.
    pub bookmark: Duration,
    /// Its place among the watches.
    pub permit: OwnedSemaphorePermit,
}

/// Begins a watch.
///
/// # Errors
/// 504: everything from a version on is wanted that is yet to come.
pub(crate) fn start(
    store: &Arc<Store>,
    namespace: &str,
    selection: Selection,
    query: &Query,
    terms: Terms,
) -> Result<Answer, Status> {
    let current = store.version();
    let asked = query.version.unwrap_or(0);
    if query.initial_events == Some(true) && asked > current {
        return Err(Status::too_large(asked, current));
    }
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let wanted = query.timeout.filter(|timeout| !timeout.is_zero());
    let watch = Watch {
        store: Arc::clone(store),
        shape: terms.shape,
        prefix: prefix(namespace),
        selection,
        version: if asked == 0 { current } else { asked },
        has_initial: query.initial_events.unwrap_or(asked == 0),
        is_streaming_list: query.initial_events == Some(true),
        bookmark: query.bookmarks.then_some(terms.bookmark),
        sender,
        text: Vec::new(),
    };
    let Terms { lasts, idle, permit, .. } = terms;
    let lasts = wanted.map_or(lasts, |wanted| wanted.min(lasts));
    tokio::spawn(async move {
        watch.run(lasts, idle).await;
        drop(permit);
    });
    Ok(answer::stream(Chunks(chunks)))
}

/// Nobody reads any more, or the reader has been told to list anew.
struct Over;

struct Watch {
    store: Arc<Store>,
    shape: Shape,
    prefix: String,
    selection: Selection,
    /// Up to where everything has been told.
    version: u64,
    has_initial: bool,
    is_streaming_list: bool,
    /// Time between bookmarks; nothing if none are wanted.
    bookmark: Option<Duration>,
    sender: mpsc::Sender<Bytes>,
    /// Lines that are not sent yet.
    text: Vec<u8>,
}

impl Watch {
    async fn run(mut self, lasts: Duration, idle: Duration) {
        let reader = self.sender.clone();
        let end = Instant::now() + lasts;
        tokio::select! {
            () = reader.closed() => {}
            // Between its waits a watch is only as slow as its reader.
            _ = timeout_at(end + idle, self.follow(end)) => {}
        }
    }

    /// Tells what happens until the time is over.
    async fn follow(&mut self, end: Instant) -> Result<(), Over> {
        let mut versions = self.store.versions();
        if self.has_initial {
            self.tell_initial().await?;
        }
        let mut next = self.bookmark.map_or(end, |every| Instant::now() + every);
        loop {
            versions.borrow_and_update();
            if self.tell_events().await? {
                continue;
            }
            tokio::select! {
                changed = versions.changed() => changed.map_err(|_| Over)?,
                () = sleep_until(next.min(end)) => {
                    if let Some(every) = self.bookmark {
                        self.add_bookmark(&Value::Null);
                        self.flush().await?;
                        next = Instant::now() + every;
                    }
                    if Instant::now() >= end {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Every object that is there.
    async fn tell_initial(&mut self) -> Result<(), Over> {
        let snapshot = self.store.snapshot(self.shape.resource, &self.prefix, None);
        let snapshot = snapshot.map_err(|_| Over)?;
        for object in snapshot.objects {
            if self.selection.matches(&object) {
                self.add("ADDED", &object, object.version);
                self.flush_if_long().await?;
            }
        }
        self.version = snapshot.version;
        if self.is_streaming_list && self.bookmark.is_some() {
            self.add_bookmark(&json!({ "k8s.io/initial-events-end": "true" }));
        }
        self.flush().await
    }

    /// What happened since; returns whether there may be more already.
    async fn tell_events(&mut self) -> Result<bool, Over> {
        let (events, up_to) = match self.store.after(self.shape.resource, self.version, BATCH) {
            Ok(found) => found,
            Err(Gone { oldest }) => {
                let status = Status::gone(self.version, oldest).object();
                self.add_line("ERROR", status.to_string().as_bytes());
                self.flush().await?;
                return Err(Over);
            }
        };
        for event in &events {
            if let Some((kind, object)) = self.seen(event) {
                self.add(kind, object, event.version);
                self.flush_if_long().await?;
            }
        }
        self.version = up_to;
        self.flush().await?;
        Ok(events.len() == BATCH)
    }

    /// What an event is to this watch: an object that begins to be selected appears, one that is
    /// no longer selected goes.
    fn seen<'a>(&self, event: &'a Event) -> Option<(&'static str, &'a Object)> {
        let selected = |object: &'a Option<Arc<Object>>| {
            let is_selected = |object: &&Object| {
                object.draft.key.starts_with(&self.prefix) && self.selection.matches(object)
            };
            object.as_deref().filter(is_selected)
        };
        match (selected(&event.before), selected(&event.after)) {
            (None, None) => None,
            (None, Some(after)) => Some(("ADDED", after)),
            (Some(_), Some(after)) => Some(("MODIFIED", after)),
            (Some(before), None) => Some(("DELETED", before)),
        }
    }

    fn add(&mut self, kind: &str, object: &Object, version: u64) {
        let mut text = Vec::new();
        self.shape.alone(object, version, &mut text);
        self.add_line(kind, &text);
    }

    /// Tells up to where everything has been told.
    fn add_bookmark(&mut self, annotations: &Value) {
        let resource = self.shape.resource;
        let mut metadata = json!({
            "resourceVersion": self.version.to_string(),
            "creationTimestamp": null,
        });
        if !annotations.is_null() {
            metadata["annotations"] = annotations.clone();
        }
        let object = json!({
            "kind": resource.descriptor().kind,
            "apiVersion": resource.api_version(),
            "metadata": metadata,
        });
        self.add_line("BOOKMARK", object.to_string().as_bytes());
    }

    fn add_line(&mut self, kind: &str, object: &[u8]) {
        let start = format!("{{\"type\":\"{kind}\",\"object\":");
        for part in [start.as_bytes(), object, b"}\n"] {
            self.text.extend_from_slice(part);
        }
    }

    async fn flush_if_long(&mut self) -> Result<(), Over> {
        if self.text.len() < CHUNK_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), Over> {
        if self.text.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.text).into();
        self.sender.send(chunk).await.map_err(|_| Over)
    }
}
