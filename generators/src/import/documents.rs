//! Walks through JSON documents and hands over one Kubernetes object after the other; never holds more than one.
//!
//! A document is a list (`List`, `ServiceList`, ...) or an object by itself; several may follow each other, as
//! `kubectl get services -o json; kubectl get endpointslices -o json` writes them. What an object means is not
//! known here.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use crate::export::MAX_JSON_BYTES;

/// Most bytes of one object: an API server refuses more than 3 MiB (`MaxRequestBodyBytes`,
/// `staging/src/k8s.io/apiserver/pkg/server/config.go`, Kubernetes 1.35), and indenting makes some times more of it.
pub(super) const MAX_OBJECT_BYTES: u64 = 16 << 20;

/// Fields that make an object, should a document be one.
const OBJECT_FIELDS: [&str; 8] =
    ["apiVersion", "kind", "metadata", "spec", "status", "addressType", "endpoints", "ports"];

/// Receives the text of one object, and the kind that its list says its items are of.
pub(super) type Sink<'a, E> = &'a mut dyn FnMut(&str, Option<&str>) -> Result<(), E>;

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Stopped<E> {
    /// Reading failed, or a limit was reached.
    Read(io::Error),
    /// It is not JSON, or not such documents.
    Json(serde_json::Error),
    /// The sink wants no more.
    Sink(E),
}

/// Hands every object of every document to `sink`.
pub(super) fn for_each_object<E: fmt::Display>(
    input: impl Read,
    sink: Sink<'_, E>,
) -> Result<(), Stopped<E>> {
    let object_left = Cell::new(MAX_OBJECT_BYTES);
    let metered = Metered { input, left: MAX_JSON_BYTES, object_left: &object_left };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(metered));
    let mut walk = Walk { sink, object_left: &object_left, stopped: None };
    // Nothing but space may follow the last document; anything else is the next one.
    while json.end().is_err() {
        if let Err(error) = (Document { walk: &mut walk }).deserialize(&mut json) {
            return Err(match walk.stopped.take() {
                Some(stopped) => Stopped::Sink(stopped),
                None if error.is_io() => Stopped::Read(error.into()),
                None => Stopped::Json(error),
            });
        }
    }
    Ok(())
}

/// A reader with an end: so much in all, and so much between one object and the next.
struct Metered<'a, R> {
    input: R,
    left: u64,
    object_left: &'a Cell<u64>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let taken = count as u64;
        self.left = self.left.checked_sub(taken).ok_or_else(|| {
            io::Error::other(format!("there are more than {MAX_JSON_BYTES} bytes: import parts"))
        })?;
        let object_left = self.object_left.get().checked_sub(taken).ok_or_else(|| {
            let text = format!("an object is longer than {MAX_OBJECT_BYTES} bytes: remove it");
            io::Error::other(text)
        })?;
        self.object_left.set(object_left);
        Ok(count)
    }
}

struct Walk<'a, E> {
    sink: Sink<'a, E>,
    object_left: &'a Cell<u64>,
    /// What the sink said, which serde's own error cannot carry.
    stopped: Option<E>,
}

impl<E: fmt::Display> Walk<'_, E> {
    fn object<D: serde::de::Error>(&mut self, text: &str, kind: Option<&str>) -> Result<(), D> {
        self.object_left.set(MAX_OBJECT_BYTES);
        (self.sink)(text, kind).map_err(|stopped| {
            let error = D::custom(&stopped);
            self.stopped = Some(stopped);
            error
        })
    }
}

/// One document.
struct Document<'a, 'b, E> {
    walk: &'a mut Walk<'b, E>,
}

impl<'de, E: fmt::Display> DeserializeSeed<'de> for Document<'_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, E: fmt::Display> Visitor<'de> for Document<'_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_list = false;
        let mut kind: Option<String> = None;
        let mut fields: Vec<(&str, Box<RawValue>)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                is_list = true;
                let kind = kind.as_deref().and_then(|kind| kind.strip_suffix("List"));
                map.next_value_seed(Items {
                    walk: self.walk,
                    kind: kind.filter(|kind| !kind.is_empty()),
                })?;
            } else if let Some(field) = OBJECT_FIELDS.into_iter().find(|field| *field == key) {
                if fields.iter().any(|(known, _)| *known == field) {
                    return Err(A::Error::custom(format!("duplicate field `{field}`")));
                }
                let value: Box<RawValue> = map.next_value()?;
                if field == "kind" {
                    kind = serde_json::from_str(value.get()).ok();
                }
                fields.push((field, value));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_list {
            return Ok(());
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("\"{key}\":{}", value.get())).collect();
        self.walk.object(&format!("{{{}}}", fields.join(",")), None)
    }
}

/// The items of a list.
struct Items<'a, 'b, 'k, E> {
    walk: &'a mut Walk<'b, E>,
    kind: Option<&'k str>,
}

impl<'de, E: fmt::Display> DeserializeSeed<'de> for Items<'_, '_, '_, E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, E: fmt::Display> Visitor<'de> for Items<'_, '_, '_, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of Kubernetes objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            self.walk.object(item.get(), self.kind)?;
        }
        Ok(())
    }

    fn visit_unit<D: serde::de::Error>(self) -> Result<(), D> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object with the kind that its list gave it, without spaces.
    fn objects(text: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut sink = |text: &str, kind: Option<&str>| -> Result<(), String> {
            found.push(format!("{} {text}", kind.unwrap_or("-")));
            if text.contains("stop") { Err("stopped".to_owned()) } else { Ok(()) }
        };
        let walked = for_each_object(text.as_bytes(), &mut sink);
        walked.map(|()| found).map_err(|stopped| match stopped {
            Stopped::Read(error) => error.to_string(),
            Stopped::Json(error) => error.to_string(),
            Stopped::Sink(text) => text,
        })
    }

    #[test]
    fn items_of_lists_and_objects_by_themselves_come_in_their_order() {
        let text = r#"{"items":[{"a":1},{"b":2}],"kind":"List"} {"kind":"ServiceList","items":[{"c":3}]}
            {"kind":"Service","other":[{}],"spec":{"x":1}}{"kind":"EndpointSliceList","items":null}"#;
        assert_eq!(
            objects(text).unwrap(),
            [
                "- {\"a\":1}",
                "- {\"b\":2}",
                "Service {\"c\":3}",
                "- {\"kind\":\"Service\",\"spec\":{\"x\":1}}"
            ]
        );
        assert_eq!(objects(" \n ").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_such_document_is_refused_with_its_place() {
        for (text, wanted) in [
            ("[]", "invalid type: sequence"),
            ("apiVersion: v1", "expected value at line 1 column 1"),
            ("{\"items\":[{}]}\nnull", "line 2"),
            ("{\"items\":3}", "an array of Kubernetes objects"),
            ("{\"items\":[{\"a\":]}", "expected value"),
            ("{\"items\":[{}", "EOF"),
            ("{\"kind\":\"a\",\"kind\":\"b\"}", "duplicate field `kind`"),
        ] {
            let error = objects(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_sink_that_has_enough_ends_it() {
        assert_eq!(objects(r#"{"items":[{"stop":1},{"a":1}]}"#).unwrap_err(), "stopped");
    }

    #[test]
    fn an_object_without_end_is_refused_and_many_objects_are_not() {
        let endless = Read::chain(&b"{\"items\":[{\"a\":\""[..], io::repeat(b'x'));
        let mut sink = |_: &str, _: Option<&str>| -> Result<(), String> { Ok(()) };
        let Err(Stopped::Read(error)) = for_each_object(endless, &mut sink) else {
            panic!("it must be refused");
        };
        assert!(error.to_string().contains("longer than 16777216 bytes"), "{error}");
        let space = "x".repeat(1 << 20);
        let many =
            format!("{{\"items\":[{}]}}", vec![format!("{{\"a\":\"{space}\"}}"); 20].join(","));
        assert_eq!(objects(&many).unwrap().len(), 20);
    }
}
