//! Which form of an answer a client reads best: plain JSON or a table. There is no protobuf, and no
//! aggregated discovery: clients that prefer them name JSON as well, and take it.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE};

use crate::status::Status;

/// The form of objects and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Json,
    /// As rows of a meta.k8s.io/v1 Table, which `kubectl get` prints.
    Table,
}

/// The first form that the client names and that there is.
///
/// # Errors
/// 406: there is none.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Status> {
    let mut named = headers.get_all(ACCEPT).iter().peekable();
    if named.peek().is_none() {
        return Ok(Form::Json);
    }
    let texts = named.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .find_map(of_media_type)
        .ok_or_else(Status::not_acceptable)
}

fn of_media_type(text: &str) -> Option<Form> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    if !["application/json", "application/*", "*/*"].contains(&media_type.as_str()) {
        return None;
    }
    let mut kind = (None, None, None);
    for (key, value) in parts.filter_map(|part| part.split_once('=')) {
        match key.trim() {
            "as" => kind.0 = Some(value.trim()),
            "g" => kind.1 = Some(value.trim()),
            "v" => kind.2 = Some(value.trim()),
            _ => {}
        }
    }
    match kind {
        (None, ..) => Some(Form::Json),
        (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Some(Form::Table),
        _ => None,
    }
}

/// Whether the body of a request is JSON.
///
/// # Errors
/// 415: it is something else.
pub(crate) fn check_body(headers: &HeaderMap) -> Result<(), Status> {
    check_type(headers, &["application/json"])
}

/// Whether the body of a request is a patch that tells fields by name.
///
/// # Errors
/// 415: it is something else.
pub(crate) fn check_patch(headers: &HeaderMap) -> Result<(), Status> {
    check_type(headers, &["application/strategic-merge-patch+json", "application/merge-patch+json"])
}

fn check_type(headers: &HeaderMap, taken: &[&str]) -> Result<(), Status> {
    let Some(named) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let named = named.to_str().unwrap_or_default();
    let media_type = named.split(';').next().unwrap_or_default().trim();
    if taken.iter().any(|one| media_type.eq_ignore_ascii_case(one)) {
        return Ok(());
    }
    Err(Status::unsupported_body(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        form(&headers).ok()
    }

    #[test]
    fn the_first_form_that_there_is_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        for (accept, form) in [
            ("application/json", Some(Form::Json)),
            ("*/*", Some(Form::Json)),
            ("application/vnd.kubernetes.protobuf, application/json", Some(Form::Json)),
            (
                "application/vnd.kubernetes.protobuf;stream=watch, Application/JSON;stream=watch",
                Some(Form::Json),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
            (table, Some(Form::Table)),
            (&format!("{table},application/json"), Some(Form::Table)),
            (&format!("{discovery},application/json"), Some(Form::Json)),
            (discovery, None),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", None),
            ("", None),
        ] {
            assert_eq!(of(accept), form, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()).ok(), Some(Form::Json));
    }

    #[test]
    fn bodies_are_json_or_refused() {
        for (content_type, good) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("application/vnd.kubernetes.protobuf", false),
            ("text/plain", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(check_body(&headers).is_ok(), good, "{content_type}");
        }
        assert!(check_body(&HeaderMap::new()).is_ok());
    }
}
