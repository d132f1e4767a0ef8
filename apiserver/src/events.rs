//! Events that clients record and record again, the one thing that they may write. Those of
//! events.k8s.io/v1 are kept as core/v1 ones, which `kubectl` reads
//! (`pkg/apis/events/v1/conversion.go`, Kubernetes 1.35).

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::object::{Draft, key};
use crate::resource::Resource;
use crate::status::Status;
use crate::store::{Edit, Store};

/// Longest name (`k8s.io/apimachinery/pkg/util/validation/validation.go`,
/// `DNS1123SubdomainMaxLength`).
const NAME_MAX: usize = 253;

/// Fields of events.k8s.io/v1 and what they are called in core/v1.
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// Records an Event that was posted to a resource; of more than `most`, the oldest goes.
///
/// # Errors
/// 400: no JSON object; 409: its name is taken; 422: it has none, or is no Event.
pub(crate) fn create(
    store: &Store,
    resource: Resource,
    namespace: &str,
    body: &[u8],
    most: usize,
) -> Result<Answer, Status> {
    let mut event = read(body, resource, namespace)?;
    let name = name(&event["metadata"], store.version())?;
    event["metadata"]["name"] = name.clone().into();
    event["metadata"]["namespace"] = namespace.into();
    let answered = event.clone();
    if resource == Resource::NewEvents {
        rename(&mut event, &RENAMED);
        if let Some(fields) = event.as_object_mut() {
            fields.entry("source").or_insert_with(|| json!({}));
        }
    }
    event["apiVersion"] = Resource::Events.api_version().into();
    event["kind"] = Resource::Events.descriptor().kind.into();
    let key = key(namespace, &name);
    if store.get(Resource::Events, &key).is_some() {
        return Err(Status::exists(Resource::Events, &name));
    }
    let draft = Draft::new(event).ok_or_else(|| Status::invalid("metadata", "is no object"))?;
    let mut edits = vec![Edit::Put(Resource::Events, draft)];
    edits.extend(surplus(store, most));
    store.commit(edits);
    let mut answered = answered;
    let kept = store.get(Resource::Events, &key).map(|kept| kept.value(kept.version));
    answered["metadata"] = kept.unwrap_or_default()["metadata"].clone();
    Ok(answer::json(StatusCode::CREATED, &answered))
}

/// Changes an Event by the fields that are named: a repeated one is counted so, in its `series`
/// (`recordEvent` in staging/src/k8s.io/client-go/tools/events/event_broadcaster.go, Kubernetes
/// 1.36). The lists that an Event may have are replaced as a whole. At most `bytes_max` are kept.
///
/// # Errors
/// 400: no JSON object; 404: no such Event; 413: it grows too long; 422: it would have no metadata.
pub(crate) fn patch(
    store: &Store,
    resource: Resource,
    key: &str,
    body: &[u8],
    bytes_max: usize,
) -> Result<Answer, Status> {
    let (namespace, name) = key.split_once('/').unwrap_or(("", key));
    let mut patch = json(body)?;
    if !patch.is_object() {
        return Err(Status::bad_request("the patch is no JSON object"));
    }
    rename(&mut patch, &RENAMED);
    let kept = store.get(Resource::Events, key);
    let kept = kept.ok_or_else(|| Status::no_object(resource, name))?;
    let mut event = kept.value(kept.version);
    merge(&mut event, patch);
    let own = [("name", name), ("namespace", namespace)];
    let metadata = event["metadata"].as_object_mut();
    let metadata = metadata.ok_or_else(|| Status::invalid("metadata", "is missing"))?;
    metadata.extend(own.map(|(field, value)| (field.to_owned(), value.into())));
    event["apiVersion"] = Resource::Events.api_version().into();
    event["kind"] = Resource::Events.descriptor().kind.into();
    if event.to_string().len() > bytes_max {
        return Err(Status::long_body(bytes_max));
    }
    let draft = Draft::new(event).ok_or_else(|| Status::invalid("metadata", "is no object"))?;
    store.commit(vec![Edit::Put(Resource::Events, draft)]);
    let kept = store.get(Resource::Events, key);
    let mut answered = kept.map(|kept| kept.value(kept.version)).unwrap_or_default();
    rename(&mut answered, &RENAMED.map(|(new, core)| (core, new)));
    answered["apiVersion"] = resource.api_version().into();
    Ok(answer::json(StatusCode::OK, &answered))
}

/// A merge patch (RFC 7396).
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (field, value) in patch {
        match into.as_object_mut() {
            Some(fields) if value.is_null() => drop(fields.remove(&field)),
            _ => merge(&mut into[field], value),
        }
    }
}

fn json(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!("the body of the request is no JSON: {error}"))
    })
}

fn read(body: &[u8], resource: Resource, namespace: &str) -> Result<Value, Status> {
    let event = json(body)?;
    let is = |field: &str, wanted: &str| {
        event.get(field).is_none_or(|value| value.is_null() || value == wanted)
    };
    if !event.is_object() || !is("kind", "Event") || !is("apiVersion", &resource.api_version()) {
        let message = format!("the body of the request is no Event of {}", resource.api_version());
        return Err(Status::bad_request(message));
    }
    let metadata = &event["metadata"];
    if !metadata.is_object() {
        return Err(Status::invalid("metadata", "is missing"));
    }
    let own = metadata.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if !own.is_empty() && own != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on \
                       the request";
        return Err(Status::bad_request(message));
    }
    Ok(event)
}

/// The name, or one that begins as it asks to.
fn name(metadata: &Value, version: u64) -> Result<String, Status> {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    let name = match (text("name"), text("generateName")) {
        ("", "") => {
            return Err(Status::invalid("metadata.name", "name or generateName is required"));
        }
        ("", start) => format!("{start}{version:x}"),
        (name, _) => name.to_owned(),
    };
    let is_good = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    if name.len() > NAME_MAX || !name.bytes().all(is_good) {
        let message = "must be lower case letters, digits, '-' and '.', 253 of them at most";
        return Err(Status::invalid("metadata.name", message));
    }
    Ok(name)
}

/// Gives fields other names.
fn rename(event: &mut Value, names: &[(&str, &str)]) {
    let Some(fields) = event.as_object_mut() else { return };
    for (old, new) in names {
        if let Some(value) = fields.remove(*old) {
            fields.insert((*new).to_owned(), value);
        }
    }
}

/// The oldest Events, beyond those that are kept with one more.
fn surplus(store: &Store, most: usize) -> Vec<Edit> {
    let mut events = store.beginning(Resource::Events, "");
    let surplus = (events.len() + 1).saturating_sub(most.max(1));
    events.sort_by_key(|event| event.born);
    let oldest = events.into_iter().take(surplus);
    oldest.map(|event| Edit::Remove(Resource::Events, event.draft.key.clone())).collect()
}
