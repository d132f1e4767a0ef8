//! Lists, in one piece or in chunks, at the present or an earlier version; and single objects.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use hyper::StatusCode;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::moments::Moments;
use crate::object::{Key, Object};
use crate::query::{Match, Query};
use crate::select::Selection;
use crate::shape::Shape;
use crate::status::Status;
use crate::store::{Snapshot, Store};

/// About how much of a list is made at a time.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// The start of the keys of a namespace; of all of them without one.
pub(crate) fn prefix(namespace: &str) -> String {
    if namespace.is_empty() { String::new() } else { format!("{namespace}/") }
}

/// The objects that are asked for.
///
/// # Errors
/// 400: no such place to continue from; 410: too long ago; 504: yet to come.
pub(crate) fn list(
    store: &Store,
    moments: Arc<Moments>,
    shape: Shape,
    namespace: &str,
    selection: &Selection,
    query: &Query,
) -> Result<Answer, Status> {
    let (at, last) = match &query.continuation {
        Some(token) => place(token, store.version()).map(|(version, key)| (Some(version), key))?,
        None => (version(query, store.version())?, String::new()),
    };
    let snapshot = store.snapshot(shape.resource, &prefix(namespace), at);
    let Snapshot { version, objects } =
        snapshot.map_err(|gone| Status::gone(at.unwrap_or_default(), gone.oldest))?;
    let wanted =
        objects.into_iter().filter(|object| *object.draft.key > *last && selection.matches(object));
    let mut objects: VecDeque<Arc<Object>> = wanted.collect();
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if query.limit > 0 && objects.len() > query.limit {
        let remaining = objects.len() - query.limit;
        objects.truncate(query.limit);
        let last = objects.back().map(|object| Key::clone(&object.draft.key));
        metadata["continue"] = token(version, &last.unwrap_or_default()).into();
        if selection.is_all() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    Ok(answer::stream(ListBody::new(moments, shape, &metadata, objects)))
}

/// One object.
///
/// # Errors
/// 404: it is not there.
pub(crate) fn get(store: &Store, shape: Shape, key: &str) -> Result<Answer, Status> {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    let object = store.get(shape.resource, key);
    let object = object.ok_or_else(|| Status::no_object(shape.resource, name))?;
    let mut text = Vec::new();
    shape.alone(&object, object.version, &mut text);
    Ok(answer::json_bytes(StatusCode::OK, text))
}

/// The version that a list is to have; nothing means the present one.
fn version(query: &Query, current: u64) -> Result<Option<u64>, Status> {
    match query.version {
        None | Some(0) => Ok(None),
        Some(version) if version > current => Err(Status::too_large(version, current)),
        Some(version) if query.version_match == Some(Match::Exact) => Ok(Some(version)),
        Some(_) => Ok(None),
    }
}

/// Where the next chunk begins: the version of the list, and the last key that was given.
fn token(version: u64, last: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{version} {last}").as_bytes())
}

fn place(token: &str, current: u64) -> Result<(u64, String), Status> {
    let read = || {
        let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
        let (version, last) = text.split_once(' ')?;
        let version = version.parse().ok().filter(|version| *version <= current)?;
        Some((version, last.to_owned()))
    };
    read().ok_or_else(|| Status::bad_request("continue key is not valid"))
}

/// A list that is written while it is sent, so that it is never in memory as a whole.
struct ListBody {
    moments: Arc<Moments>,
    shape: Shape,
    start: Option<Bytes>,
    objects: VecDeque<Arc<Object>>,
    is_ended: bool,
}

impl ListBody {
    fn new(
        moments: Arc<Moments>,
        shape: Shape,
        metadata: &Value,
        objects: VecDeque<Arc<Object>>,
    ) -> Self {
        let start = Some(shape.list_start(metadata));
        Self { moments, shape, start, objects, is_ended: false }
    }

    /// The next chunk; nothing after the last.
    fn next(&mut self) -> Option<Bytes> {
        if self.is_ended {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        let mut is_first = self.start.is_some();
        chunk.extend_from_slice(&self.start.take().unwrap_or_default());
        while let Some(object) = self.objects.pop_front() {
            if !is_first {
                chunk.push(b',');
            }
            is_first = false;
            self.shape.item(&object, object.version, &mut chunk);
            if chunk.len() >= CHUNK_BYTES {
                return Some(chunk.into());
            }
        }
        self.is_ended = true;
        self.moments.list(self.shape.resource);
        chunk.extend_from_slice(Shape::LIST_END);
        Some(chunk.into())
    }
}

impl Body for ListBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_goes_on_where_it_stopped_and_nowhere_else() {
        assert_eq!(place(&token(7, "shop/cart"), 7).unwrap(), (7, "shop/cart".to_owned()));
        for token in [token(8, "a/b"), "?".into(), String::new(), BASE64URL_NOPAD.encode(b"x y")] {
            assert!(place(&token, 7).is_err(), "{token}");
        }
    }
}
