//! Parameters of lists and watches, and which of them go together
//! (`staging/src/k8s.io/apimachinery/pkg/apis/meta/internalversion/validation/validation.go`,
//! Kubernetes 1.35).

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::select::Selector;
use crate::status::Status;

/// Most parameters of a request.
const PARAMETERS_MAX: usize = 64;

/// How the version of a list is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// That version.
    Exact,
    /// That version or a later one.
    NotOlderThan,
}

/// How much of each object a table's rows carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

/// What a list or watch is asked for. Parameters that are unknown count for nothing, as with
/// kube-apiserver.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub watch: bool,
    pub labels: Selector,
    pub fields: Selector,
    pub limit: usize,
    pub continuation: Option<String>,
    pub version: Option<u64>,
    pub version_match: Option<Match>,
    pub bookmarks: bool,
    pub initial_events: Option<bool>,
    pub timeout: Option<Duration>,
    pub include: Include,
}

impl Query {
    /// Reads what follows `?`.
    ///
    /// # Errors
    /// 400 or 422: a value that cannot be, too many parameters, or some that do not go together.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        if text.split('&').count() > PARAMETERS_MAX {
            let message = format!("a request has at most {PARAMETERS_MAX} parameters");
            return Err(Status::bad_request(message));
        }
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.set(&decoded(key)?, &decoded(value)?)?;
        }
        query.checked()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Status> {
        match key {
            "watch" => self.watch = flag(key, value)?,
            "labelSelector" => self.labels = Selector::parse(value)?,
            "fieldSelector" => self.fields = Selector::parse(value)?,
            "limit" => self.limit = number(key, value)?.unwrap_or(0),
            "continue" => self.continuation = (!value.is_empty()).then(|| value.to_owned()),
            "resourceVersion" => self.version = number(key, value)?,
            "resourceVersionMatch" => self.version_match = version_match(value)?,
            "allowWatchBookmarks" => self.bookmarks = flag(key, value)?,
            "sendInitialEvents" => self.initial_events = Some(flag(key, value)?),
            "timeoutSeconds" => self.timeout = number(key, value)?.map(Duration::from_secs),
            "includeObject" => self.include = include(value)?,
            _ => {}
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, Status> {
        let wrong = if self.watch { self.wrong_of_watch() } else { self.wrong_of_list() };
        match wrong {
            Some((field, message)) => Err(Status::invalid(field, message)),
            None => Ok(self),
        }
    }

    fn wrong_of_watch(&self) -> Option<(&'static str, &'static str)> {
        match (self.initial_events, self.version_match) {
            (None, Some(_)) => Some((
                "resourceVersionMatch",
                "is forbidden for watch unless sendInitialEvents is provided",
            )),
            (Some(_), None | Some(Match::Exact)) => Some((
                "resourceVersionMatch",
                "must be NotOlderThan when sendInitialEvents is provided",
            )),
            _ => None,
        }
    }

    fn wrong_of_list(&self) -> Option<(&'static str, &'static str)> {
        if self.initial_events.is_some() {
            return Some(("sendInitialEvents", "is forbidden for list"));
        }
        if self.version_match.is_some() && self.version.is_none() {
            return Some((
                "resourceVersionMatch",
                "is forbidden unless resourceVersion is provided",
            ));
        }
        if self.version_match == Some(Match::Exact) && self.version == Some(0) {
            return Some(("resourceVersionMatch", "Exact is forbidden for resourceVersion 0"));
        }
        if self.continuation.is_some() && self.version.is_some_and(|version| version > 0) {
            return Some(("resourceVersion", "is forbidden when continue is provided"));
        }
        None
    }
}

fn decoded(text: &str) -> Result<String, Status> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Into::into).map_err(|_| Status::bad_request("a parameter is no UTF-8"))
}

fn wrong(key: &str, value: &str) -> Status {
    let value: String = value.chars().take(80).collect();
    Status::bad_request(format!("{key}: Invalid value: \"{value}\""))
}

/// A number; an empty one is none.
fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<Option<T>, Status> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| wrong(key, value))
}

/// A switch: all but `false` and `0` turns it on, as without a value.
fn flag(key: &str, value: &str) -> Result<bool, Status> {
    match value {
        "" | "1" | "true" | "True" => Ok(true),
        "0" | "false" | "False" => Ok(false),
        _ => Err(wrong(key, value)),
    }
}

fn version_match(value: &str) -> Result<Option<Match>, Status> {
    match value {
        "" => Ok(None),
        "Exact" => Ok(Some(Match::Exact)),
        "NotOlderThan" => Ok(Some(Match::NotOlderThan)),
        _ => Err(wrong("resourceVersionMatch", value)),
    }
}

fn include(value: &str) -> Result<Include, Status> {
    match value {
        "None" => Ok(Include::None),
        "" | "Metadata" => Ok(Include::Metadata),
        "Object" => Ok(Include::Object),
        _ => Err(wrong("includeObject", value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Query::parse(text).unwrap_err().object()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn parameters_are_read() {
        let text = "watch=true&resourceVersion=17&allowWatchBookmarks=1&timeoutSeconds=9\
                    &sendInitialEvents=true&resourceVersionMatch=NotOlderThan&unknown=x";
        let query = Query::parse(text).unwrap();
        assert!(query.watch && query.bookmarks);
        assert_eq!((query.version, query.timeout), (Some(17), Some(Duration::from_secs(9))));
        assert_eq!(query.initial_events, Some(true));
        let query = Query::parse("limit=5&continue=a%3D&resourceVersion=").unwrap();
        assert_eq!((query.limit, query.continuation.as_deref()), (5, Some("a=")));
        assert_eq!(query.version, None);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (text, words) in [
            ("watch=1&sendInitialEvents=true", "must be NotOlderThan"),
            ("watch=1&resourceVersionMatch=NotOlderThan", "forbidden for watch unless"),
            ("sendInitialEvents=true", "forbidden for list"),
            ("resourceVersionMatch=Exact", "unless resourceVersion is provided"),
            ("resourceVersionMatch=Exact&resourceVersion=0", "forbidden for resourceVersion 0"),
            ("continue=x&resourceVersion=3", "when continue is provided"),
            ("resourceVersion=-1", "resourceVersion: Invalid value: \"-1\""),
            ("limit=many", "limit: Invalid value"),
            ("watch=perhaps", "watch: Invalid value"),
            ("resourceVersionMatch=Newest&resourceVersion=1", "resourceVersionMatch: Invalid"),
            ("includeObject=All", "includeObject: Invalid value"),
            ("continue=%ff", "no UTF-8"),
        ] {
            assert!(refused(text).contains(words), "{text}: {}", refused(text));
        }
        assert!(refused(&"a=1&".repeat(10_000)).contains("at most 64 parameters"));
    }
}
