//! One object as it is kept: serialised once, but for what the server itself says of it.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

/// `namespace/name`; the namespace is empty where there is none.
pub(crate) type Key = Arc<str>;

/// The key of an object.
pub(crate) fn key(namespace: &str, name: &str) -> Key {
    format!("{namespace}/{name}").into()
}

/// An object as somebody wants it to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub key: Key,
    pub labels: Vec<(String, String)>,
    /// Fields that it can be selected by, beside its name and namespace.
    pub fields: Vec<(&'static str, String)>,
    /// All of its JSON behind what [`Object::write`] puts first.
    content: Bytes,
}

/// Fields of Services that clients select by: a kube-proxy of 1.36 lists those that are not
/// headless (`pkg/apis/core/v1/conversion.go`, `AddFieldLabelConversionsForService`, Kubernetes
/// 1.36).
pub(crate) const SERVICE_FIELDS: [&str; 2] = ["spec.clusterIP", "spec.type"];

/// What the server alone decides.
const SERVERS_OWN: [&str; 3] = ["uid", "resourceVersion", "creationTimestamp"];

impl Draft {
    /// From an object that has a name; nothing without one.
    pub(crate) fn new(object: Value) -> Option<Self> {
        let Value::Object(mut object) = object else { return None };
        let Some(Value::Object(mut metadata)) = object.remove("metadata") else { return None };
        for own in SERVERS_OWN {
            metadata.remove(own);
        }
        let text = |part: &str| metadata.get(part).and_then(Value::as_str);
        let key = key(text("namespace").unwrap_or_default(), text("name")?);
        let labels = metadata.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten().filter_map(|(label, value)| {
            value.as_str().map(|value| (label.clone(), value.to_owned()))
        });
        let labels = labels.collect();
        let fields = fields(&object);
        Some(Self { key, labels, fields, content: content(metadata, object) })
    }
}

/// Those of [`SERVICE_FIELDS`] that the object has.
fn fields(object: &Map<String, Value>) -> Vec<(&'static str, String)> {
    if object.get("kind").and_then(Value::as_str) != Some("Service") {
        return Vec::new();
    }
    let value = |path: &str| {
        let (outer, inner) = path.split_once('.')?;
        Some(object.get(outer)?.get(inner)?.as_str()?.to_owned())
    };
    SERVICE_FIELDS.into_iter().filter_map(|path| Some((path, value(path)?))).collect()
}

/// `...metadata},...object}`: two objects without their opening braces.
fn content(metadata: Map<String, Value>, object: Map<String, Value>) -> Bytes {
    let [metadata, object] = [metadata, object].map(|part| Value::Object(part).to_string());
    let separator = if object.len() > 2 { "," } else { "" };
    let [metadata, object] = [&metadata, &object].map(|text| text.get(1..).unwrap_or_default());
    [metadata, separator, object].concat().into()
}

/// An object that is served.
#[derive(Debug)]
pub(crate) struct Object {
    pub draft: Draft,
    /// When it was last changed.
    pub version: u64,
    /// The version at which it appeared; its uid is made of it.
    pub born: u64,
    /// When that was.
    pub created: Arc<str>,
}

impl Object {
    pub(crate) fn namespace(&self) -> &str {
        self.draft.key.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    pub(crate) fn name(&self) -> &str {
        self.draft.key.split_once('/').map_or("", |(_, name)| name)
    }

    /// Appends its JSON as of `version`: that of a deletion is later than the object's own.
    pub(crate) fn write(&self, version: u64, out: &mut Vec<u8>) {
        // Writing into memory cannot fail.
        let _ = write!(
            out,
            "{{\"metadata\":{{\"uid\":\"00000000-0000-4000-8000-{:012x}\",\
             \"resourceVersion\":\"{version}\",\"creationTimestamp\":\"{}\",",
            self.born, self.created
        );
        out.extend_from_slice(&self.draft.content);
    }

    /// Its JSON, taken apart again.
    pub(crate) fn value(&self, version: u64) -> Value {
        let mut text = Vec::new();
        self.write(version, &mut text);
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        let draft = Draft::new(value).unwrap();
        Object { draft, version: 7, born: 26, created: "2026-01-01T00:00:00Z".into() }
    }

    #[test]
    fn an_object_is_written_with_what_the_server_says_of_it() {
        let given = json!({
            "kind": "Service",
            "metadata": {
                "name": "a", "namespace": "ns", "uid": "mine", "labels": { "x": "y", "n": 1 },
            },
            "spec": { "type": "ClusterIP" },
        });
        let object = object(given);
        assert_eq!((object.namespace(), object.name()), ("ns", "a"));
        assert_eq!(object.draft.labels, [("x".to_owned(), "y".to_owned())]);
        let value = object.value(9);
        assert_eq!(value["metadata"]["resourceVersion"], "9");
        assert_eq!(value["metadata"]["uid"], "00000000-0000-4000-8000-00000000001a");
        assert_eq!(value["metadata"]["name"], "a");
        assert_eq!(value["spec"]["type"], "ClusterIP");
    }

    #[test]
    fn what_has_no_name_is_no_object() {
        for value in [json!([]), json!({}), json!({ "metadata": {} }), json!({ "metadata": [] })] {
            assert_eq!(Draft::new(value), None);
        }
        let bare = object(json!({ "metadata": { "name": "a" } }));
        assert_eq!(bare.value(1)["metadata"]["name"], "a");
    }
}
