//! How objects are put into answers: as they are, or as rows of a table.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::accept::Form;
use crate::object::Object;
use crate::query::Include;
use crate::resource::Resource;
use crate::table;

/// The shape of one answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub resource: Resource,
    pub form: Form,
    pub include: Include,
}

impl Shape {
    /// A list up to its first item. Items are separated by commas and followed by
    /// [`Shape::LIST_END`].
    pub(crate) fn list_start(self, metadata: &Value) -> Bytes {
        let text = match self.form {
            Form::Json => format!(
                "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                self.resource.descriptor().kind,
                self.resource.api_version()
            ),
            Form::Table => format!(
                "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\
                 \"columnDefinitions\":{},\"rows\":[",
                table::columns(self.resource)
            ),
        };
        text.into()
    }

    pub(crate) const LIST_END: &'static [u8] = b"]}";

    /// An object as an item of a list.
    pub(crate) fn item(self, object: &Object, version: u64, out: &mut Vec<u8>) {
        match self.form {
            Form::Json => object.write(version, out),
            Form::Table => {
                let row = table::row(self.resource, &object.value(version), self.include);
                out.extend_from_slice(row.to_string().as_bytes());
            }
        }
    }

    /// An object alone, as of `version`.
    pub(crate) fn alone(self, object: &Object, version: u64, out: &mut Vec<u8>) {
        if self.form == Form::Json {
            return object.write(version, out);
        }
        let metadata = json!({ "resourceVersion": version.to_string() });
        out.extend_from_slice(&self.list_start(&metadata));
        self.item(object, version, out);
        out.extend_from_slice(Self::LIST_END);
    }
}
