//! Selectors of labels and fields
//! (`staging/src/k8s.io/apimachinery/pkg/labels/selector.go`, Kubernetes 1.35).

use serde_json::Value;

use crate::object::{Object, SERVICE_FIELDS};
use crate::resource::Resource;
use crate::status::Status;

/// Most requirements of a selector, and values of a set.
const PARTS_MAX: usize = 64;

/// Requirements, all of which an object must meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let is_in =
            |values: &[String]| value.is_some_and(|value| values.iter().any(|one| one == value));
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(values) => is_in(values),
            Self::NotIn(values) => !is_in(values),
        }
    }
}

impl Selector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// 400: it is written otherwise, or has too many parts.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let wrong = |why: &str| {
            let text: String = text.chars().take(80).collect();
            Status::bad_request(format!("unable to parse selector \"{text}\": {why}"))
        };
        let parts = split(text).ok_or_else(|| wrong("brackets do not match"))?;
        if parts.len() > PARTS_MAX {
            return Err(wrong("it has too many parts"));
        }
        let read = |part: &&str| requirement(part).ok_or_else(|| wrong(&format!("found '{part}'")));
        parts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| requirement.test.holds(value(&requirement.key)))
    }
}

/// Parts between commas that are not in brackets.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_inside) = (Vec::new(), 0, false);
    for (at, symbol) in text.char_indices() {
        match (symbol, is_inside) {
            ('(', false) => is_inside = true,
            (')', true) => is_inside = false,
            ('(', true) | (')', false) => return None,
            (',', false) => {
                parts.push(text.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?.trim());
    let is_empty = parts == [""];
    (!is_inside).then(|| if is_empty { Vec::new() } else { parts })
}

fn requirement(part: &str) -> Option<Requirement> {
    let (key, test) = if let Some(key) = part.strip_prefix('!') {
        (key, Test::Missing)
    } else if let Some((key, set)) = part.split_once('(') {
        let values = set.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned());
        let values: Vec<String> = values.take(PARTS_MAX + 1).collect();
        if values.len() > PARTS_MAX || !values.iter().all(|value| is_word(value)) {
            return None;
        }
        match key.trim().rsplit_once(' ')? {
            (key, "in") => (key, Test::In(values)),
            (key, "notin") => (key, Test::NotIn(values)),
            _ => return None,
        }
    } else if let Some((key, value)) = part.split_once("!=") {
        (key, Test::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (key, Test::In(vec![value.trim().to_owned()]))
    } else {
        (part, Test::Exists)
    };
    let key = key.trim();
    let values = match &test {
        Test::In(values) | Test::NotIn(values) => values.as_slice(),
        Test::Exists | Test::Missing => &[],
    };
    let is_good = !key.is_empty() && is_word(key) && values.iter().all(|value| is_word(value));
    is_good.then(|| Requirement { key: key.to_owned(), test })
}

/// What labels, fields and their values are made of; nothing is one, too.
fn is_word(text: &str) -> bool {
    text.chars().all(|symbol| symbol.is_ascii_alphanumeric() || "-_./:".contains(symbol))
}

/// Which objects of a resource are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: Selector,
    fields: Selector,
}

impl Selection {
    /// From the two selectors of a request.
    ///
    /// # Errors
    /// 400: a field that cannot be selected by. Of Events, `kubectl describe` selects by more than
    /// names; of Services, a kube-proxy by [`SERVICE_FIELDS`].
    pub(crate) fn new(
        resource: Resource,
        labels: Selector,
        fields: Selector,
    ) -> Result<Self, Status> {
        let is_known = |key: &str| {
            ["metadata.name", "metadata.namespace"].contains(&key)
                || resource == Resource::Services && SERVICE_FIELDS.contains(&key)
                || resource == Resource::Events
                    && (["type", "reason"].contains(&key) || key.starts_with("involvedObject."))
        };
        if let Some(unknown) = fields.0.iter().find(|requirement| !is_known(&requirement.key)) {
            let message = format!(
                "field label not supported: {}: only metadata.name and metadata.namespace are",
                unknown.key
            );
            return Err(Status::bad_request(message));
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is meant.
    pub(crate) fn is_all(&self) -> bool {
        self.labels.0.is_empty() && self.fields.0.is_empty()
    }

    pub(crate) fn matches(&self, object: &Object) -> bool {
        let labels = &object.draft.labels;
        let label = |key: &str| {
            labels.iter().find(|(label, _)| label == key).map(|(_, value)| value.as_str())
        };
        self.labels.holds(label) && self.matches_fields(object)
    }

    fn matches_fields(&self, object: &Object) -> bool {
        let of_key = |key: &str| match key {
            "metadata.name" => Some(object.name()),
            "metadata.namespace" => Some(object.namespace()),
            _ => {
                object.draft.fields.iter().find(|(field, _)| *field == key).map(|(_, v)| v.as_str())
            }
        };
        let is_of_key = |requirement: &Requirement| of_key(&requirement.key).is_some();
        if self.fields.0.iter().all(is_of_key) {
            return self.fields.holds(of_key);
        }
        let value = object.value(object.version);
        let inside = |key: &str| {
            let found = key.split('.').try_fold(&value, |value, part| value.get(part));
            // A field that is not there is empty.
            Some(found.and_then(Value::as_str).unwrap_or_default())
        };
        self.fields.holds(|key| of_key(key).or_else(|| inside(key)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Draft;

    fn object() -> Object {
        let draft = Draft::new(json!({
            "metadata": {
                "name": "web", "namespace": "shop",
                "labels": { "app": "web", "tier": "front", "kubernetes.io/service-name": "web" },
            },
            "involvedObject": { "kind": "Node" },
            "kind": "Service",
            "spec": { "clusterIP": "10.96.0.1" },
        }));
        Object { draft: draft.unwrap(), version: 1, born: 1, created: "".into() }
    }

    fn selects(resource: Resource, labels: &str, fields: &str) -> bool {
        let [labels, fields] = [labels, fields].map(|text| Selector::parse(text).unwrap());
        Selection::new(resource, labels, fields).unwrap().matches(&object())
    }

    #[test]
    fn labels_select() {
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web,tier==front", true),
            ("app=web,tier=back", false),
            ("tier!=back,none!=x", true),
            ("tier in (back, front),app", true),
            ("tier notin (back,front)", false),
            ("none notin (x)", true),
            ("kubernetes.io/service-name=web", true),
            ("!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name", true),
        ] {
            assert_eq!(selects(Resource::Services, selector, ""), expected, "{selector}");
        }
    }

    #[test]
    fn fields_select() {
        for (selector, expected) in [
            ("metadata.name=web", true),
            ("metadata.name=other", false),
            ("metadata.namespace!=shop", false),
            ("metadata.name=web,metadata.namespace=shop", true),
        ] {
            assert_eq!(selects(Resource::Services, "", selector), expected, "{selector}");
        }
        assert!(selects(Resource::Events, "", "involvedObject.kind=Node,involvedObject.uid="));
        assert!(!selects(Resource::Events, "", "involvedObject.kind=Pod"));
        assert!(selects(Resource::Services, "", "spec.clusterIP!=None,spec.type="));
        assert!(!selects(Resource::Services, "", "spec.clusterIP=None"));
        let fields = Selector::parse("spec.sessionAffinity=None").unwrap();
        let refused = Selection::new(Resource::Services, Selector::default(), fields);
        assert!(refused.is_err());
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "a,",
            ",",
            "a in",
            "a in b",
            "a in (b",
            "a on (b)",
            "(b)",
            "a in ((b))",
            "a=b=c",
            "=b",
            "!",
            "a b",
            "a=ä",
            ")(",
        ] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
        assert!(Selector::parse(&"a,".repeat(1_000)).is_err());
        assert!(Selector::parse(&format!("a in ({})", "b,".repeat(1_000))).is_err());
    }
}
