//! What the API answers when it refuses: a Status object, as clients expect it
//! (`staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go`, Kubernetes 1.35).

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::resource::Resource;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Status {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// A parameter, or a field of an object, that may not be so.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let causes = json!([{ "reason": "FieldValueInvalid", "message": message, "field": field }]);
        Self {
            details: json!({ "causes": causes }),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{field}: {message}"))
        }
    }

    /// No such path.
    pub(crate) fn no_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// No object of this name.
    pub(crate) fn no_object(resource: Resource, name: &str) -> Self {
        let descriptor = resource.descriptor();
        let dot = if descriptor.group.is_empty() { "" } else { "." };
        let message =
            format!("{}{dot}{} \"{name}\" not found", descriptor.plural, descriptor.group);
        let details = json!({ "name": name, "group": descriptor.group, "kind": descriptor.plural });
        Self { details, ..Self::new(StatusCode::NOT_FOUND, "NotFound", message) }
    }

    /// A write.
    pub(crate) fn not_allowed() -> Self {
        let message = "only vipbench changes what is served here: objects can be read, and Events \
                       created";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// An object of this name is there.
    pub(crate) fn exists(resource: Resource, name: &str) -> Self {
        let plural = resource.descriptor().plural;
        let message = format!("{plural} \"{name}\" already exists");
        let details = json!({ "name": name, "kind": plural });
        Self { details, ..Self::new(StatusCode::CONFLICT, "AlreadyExists", message) }
    }

    /// A version that is forgotten: the client lists anew.
    pub(crate) fn gone(version: u64, oldest: u64) -> Self {
        let message = format!("too old resource version: {version} ({oldest})");
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// A version that is yet to come: the client asks again, or without one. It is known by the
    /// reason of the cause (`IsTooLargeResourceVersion`,
    /// `staging/src/k8s.io/apiserver/pkg/storage/errors.go`).
    pub(crate) fn too_large(version: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {version}, current: {current}");
        let causes = json!([{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }]);
        Self {
            details: json!({ "causes": causes, "retryAfterSeconds": 1 }),
            ..Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
        }
    }

    /// Nothing that the client reads can be written.
    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// A body that is of none of the types that are taken.
    pub(crate) fn unsupported_body(taken: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            taken.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// A body that is too long.
    pub(crate) fn long_body(limit: usize) -> Self {
        let message = format!("limit is {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// A body that does not come.
    pub(crate) fn slow_body() -> Self {
        let message = "the body of the request did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", message)
    }

    /// One watch too many.
    pub(crate) fn too_many_watches(limit: usize) -> Self {
        let message = format!("there are {limit} watches already, try again later");
        Self {
            details: json!({ "retryAfterSeconds": 1 }),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
        }
    }

    /// The Status object.
    pub(crate) fn object(&self) -> Value {
        let mut object = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        if !self.details.is_null() {
            object["details"] = self.details.clone();
        }
        object
    }

    /// The answer that carries it.
    pub(crate) fn answer(&self) -> Answer {
        let mut answer = answer::json(self.code, &self.object());
        if self.details.get("retryAfterSeconds").is_some() {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}
