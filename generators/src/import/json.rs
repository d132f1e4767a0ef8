//! Walks through JSON documents and hands over one Kubernetes object after the other; never holds
//! more than one.
//!
//! A document is a list (`List`, `ServiceList`, ...), an object by itself, or an array of either.
//! Several may follow each other, as `kubectl get services -o json; kubectl get endpointslices -o
//! json` writes them, with lines of logs between them, as `kubectl cluster-info dump` does.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;

use super::decode::Budget;
use super::error::K8sError;

/// Fields that make an object, or tell what a list is.
pub(super) const OBJECT_FIELDS: [&str; 10] = [
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "status",
    "addressType",
    "endpoints",
    "ports",
    "subsets",
    "message",
];

/// What a list says of its items, which then do not say it themselves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ListHead<'a> {
    pub api_version: Option<&'a str>,
    /// Kind of the items: `Service` for a `ServiceList`.
    pub kind: Option<&'a str>,
}

/// Receives the JSON text of one object.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&str, ListHead<'_>) -> Result<(), K8sError>;

/// Around the logs of a container, which may hold lines that look like documents, and need not end
/// with one (`ClusterInfoDumpOptions.Run`,
/// `staging/src/k8s.io/kubectl/pkg/cmd/clusterinfo/clusterinfo_dump.go`, Kubernetes 1.35).
const LOGS: [&str; 2] = ["==== START logs for container ", "==== END logs for container "];

/// Hands every object of every document to `sink`; gives the number of lines that belong to no
/// document.
pub(super) fn for_each_object(
    text: impl Read,
    budget: &Budget,
    sink: Sink<'_>,
) -> Result<usize, K8sError> {
    let input = BufReader::new(Lines { input: text, read: 0 });
    let mut text = Text { input, budget };
    let mut walk = Walk { sink, budget, stopped: None };
    let mut skipped = 0;
    while text.find_document(&mut skipped)? {
        let before = text.lines();
        let mut json = serde_json::Deserializer::from_reader(&mut text.input);
        let read = Document { walk: &mut walk, list: ListHead::default() }.deserialize(&mut json);
        read.map_err(|error| match walk.stopped.take() {
            Some(stopped) => stopped,
            None if error.is_io() => io::Error::from(error).into(),
            None => syntax(&error, before),
        })?;
    }
    Ok(skipped)
}

/// The error with the line of the text: serde counts from where the document begins.
fn syntax(error: &serde_json::Error, lines_before: usize) -> K8sError {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    let (line, column) = (lines_before + error.line(), error.column());
    K8sError::Form(format!("{what} at line {line} column {column}"))
}

/// Counts the lines that are read.
struct Lines<R> {
    input: R,
    read: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read += lines(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn lines(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text).count()
}

/// Text with documents in it.
struct Text<'a, R> {
    input: BufReader<Lines<R>>,
    budget: &'a Budget,
}

impl<R: Read> Text<'_, R> {
    /// Lines that end before here.
    fn lines(&self) -> usize {
        self.input.get_ref().read - lines(self.input.buffer())
    }

    /// Goes to where the next document begins, if there is one, and counts the lines that are
    /// passed over.
    fn find_document(&mut self, skipped: &mut usize) -> io::Result<bool> {
        let mut is_log = false;
        while let Some(&byte) = self.input.fill_buf()?.first() {
            // The bytes are those of a byte order mark: files that have one may have been put
            // together.
            if byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(&byte) {
                self.input.consume(1);
            } else if matches!(byte, b'{' | b'[') && !is_log {
                return Ok(true);
            } else {
                let [begins, ends] = self.skip_line()?;
                is_log = begins || (is_log && !ends);
                *skipped += 1;
            }
        }
        Ok(false)
    }

    /// Passes a line, however long; tells whether it begins or ends the logs of a container.
    fn skip_line(&mut self) -> io::Result<[bool; 2]> {
        /// More than a mark with its names takes.
        const KEPT_BYTES: usize = 1024;
        let mut begins = None;
        let mut last = Vec::new();
        loop {
            self.budget.next_object();
            let chunk = self.input.fill_buf()?;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let length = end.map_or(chunk.len(), |end| end + 1);
            last.extend(chunk.iter().take(length));
            self.input.consume(length);
            begins = begins.or_else(|| {
                (end.is_some() || last.len() >= LOGS[0].len())
                    .then(|| last.starts_with(LOGS[0].as_bytes()))
            });
            last.drain(..last.len().saturating_sub(KEPT_BYTES));
            if end.is_some() || length == 0 {
                let ends = last.windows(LOGS[1].len()).any(|part| part == LOGS[1].as_bytes());
                return Ok([begins.unwrap_or(false), ends]);
            }
        }
    }
}

struct Walk<'a> {
    sink: Sink<'a>,
    budget: &'a Budget,
    /// What ended it, which serde's own error cannot carry.
    stopped: Option<K8sError>,
}

impl Walk<'_> {
    fn object<D: serde::de::Error>(&mut self, text: &str, list: ListHead<'_>) -> Result<(), D> {
        self.budget.next_object();
        (self.sink)(text, list).map_err(|stopped| self.stop(stopped))
    }

    fn stop<D: serde::de::Error>(&mut self, stopped: K8sError) -> D {
        let error = D::custom(&stopped);
        self.stopped = Some(stopped);
        error
    }
}

/// One document, or an item of a list.
struct Document<'a, 'b, 'l> {
    walk: &'a mut Walk<'b>,
    list: ListHead<'l>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubernetes objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut is_list = false;
        let mut fields: Vec<(&str, Box<RawValue>)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                is_list = true;
                let api_version: Option<String> = field(&fields, "apiVersion");
                let kind: Option<String> = field(&fields, "kind");
                let kind = kind.as_deref().and_then(|kind| kind.strip_suffix("List"));
                let kind = kind.filter(|kind| !kind.is_empty());
                // A `List` is of items that say what they are.
                let api_version = kind.and(api_version.as_deref());
                map.next_value_seed(Items {
                    walk: self.walk,
                    list: ListHead { api_version, kind },
                })?;
            } else if let Some(known) = OBJECT_FIELDS.into_iter().find(|field| *field == key) {
                fields.push((known, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if is_list {
            return is_whole(&fields).map_err(|stopped| self.walk.stop(stopped));
        }
        let fields: Vec<String> =
            fields.iter().map(|(key, value)| format!("\"{key}\":{}", value.get())).collect();
        self.walk.object(&format!("{{{}}}", fields.join(",")), self.list)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        Items { walk: self.walk, list: self.list }.visit_seq(items)
    }

    // What is no object is for the sink to refuse, so that the others are read.

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.walk.object("null", self.list)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.walk.object(&value.to_string(), self.list)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.walk.object(&value.to_string(), self.list)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.walk.object(&value.to_string(), self.list)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.walk.object(&format!("{value:?}"), self.list)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.walk.object("\"...\"", self.list)
    }
}

/// The items of a list.
struct Items<'a, 'b, 'l> {
    walk: &'a mut Walk<'b>,
    list: ListHead<'l>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of Kubernetes objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { walk, list } = self;
        while items.next_element_seed(Document { walk: &mut *walk, list })?.is_some() {}
        Ok(())
    }

    fn visit_unit<D: serde::de::Error>(self) -> Result<(), D> {
        Ok(())
    }
}

/// A field that has been read already.
fn field<T: DeserializeOwned>(fields: &[(&str, Box<RawValue>)], name: &str) -> Option<T> {
    let (_, value) = fields.iter().find(|(field, _)| *field == name)?;
    serde_json::from_str(value.get()).ok()
}

/// What a list says of its parts, if it is one (`ListMeta`,
/// `staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go`, Kubernetes 1.35).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    r#continue: Option<String>,
    remaining_item_count: Option<u64>,
}

/// Whether nothing of the list is elsewhere.
fn is_whole(fields: &[(&str, Box<RawValue>)]) -> Result<(), K8sError> {
    let metadata: ListMeta = field(fields, "metadata").unwrap_or_default();
    let ListMeta { r#continue, remaining_item_count: missing } = metadata;
    let goes_on = r#continue.is_some_and(|token| !token.is_empty());
    if goes_on || missing.is_some_and(|missing| missing > 0) {
        return Err(K8sError::Chunk { missing });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every object with the kind that its list gave it, without spaces, and the number of lines
    /// that are no objects.
    fn walked(text: impl Read) -> Result<(Vec<String>, usize), String> {
        let mut found = Vec::new();
        let mut sink = |text: &str, list: ListHead<'_>| {
            found.push(format!("{} {text}", list.kind.unwrap_or("-")));
            if text.contains("stop") {
                return Err(K8sError::TooMany("stopped".to_owned()));
            }
            Ok(())
        };
        let lines = for_each_object(text, &Budget::default(), &mut sink);
        lines.map(|lines| (found, lines)).map_err(|error| error.to_string())
    }

    fn objects(text: &str) -> Result<Vec<String>, String> {
        walked(text.as_bytes()).map(|(objects, _)| objects)
    }

    #[test]
    fn items_of_lists_and_objects_by_themselves_come_in_their_order() {
        let text = r#"{"items":[{"spec":1},{"kind":2}],"kind":"List"} {"kind":"ServiceList","items":[{"kind":3}]}
            {"kind":"Service","other":[{}],"spec":{"x":1}}{"kind":"EndpointSliceList","items":null}"#;
        let wanted = [
            "- {\"spec\":1}",
            "- {\"kind\":2}",
            "Service {\"kind\":3}",
            "- {\"kind\":\"Service\",\"spec\":{\"x\":1}}",
        ];
        assert_eq!(objects(text).unwrap(), wanted);
        assert_eq!(objects(" \n ").unwrap(), Vec::<String>::new());
        let slurped =
            format!("[{},{{\"items\":[]}}]", text.replace("}{", "},{").replace("} {", "},{"));
        let slurped = slurped.replace("}\n", "},\n");
        assert_eq!(objects(&slurped).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_such_document_is_refused_with_its_place() {
        for (text, wanted) in [
            ("{\"items\":[{}]}\n{null", "line 2"),
            ("log\n\n{\"items\":[{}]}\nlog\n {\"a\":}", "expected value at line 5 column 6"),
            ("{\"items\":3}", "an array of Kubernetes objects"),
            ("{\"items\":[{\"a\":]}", "expected value"),
            ("{\"items\":[{}", "EOF"),
            (&"[".repeat(1_000), "recursion limit"),
            (&"{\"items\":[".repeat(1_000), "recursion limit"),
        ] {
            let error = objects(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(objects("{\"items\":[1,null,\"a\",-0.5]}").unwrap().len(), 4);
    }

    #[test]
    fn lines_of_logs_are_counted_even_where_they_look_like_documents() {
        let text = "Warning: old\n{\"kind\":1}\n\n==== START logs for container a of pod b/c ====\n{\"kind\":2}\n[INFO]\n\
            ==== END logs for container a of pod b/c ====\n{\"kind\":3}\nlast";
        let wanted = ["- {\"kind\":1}".to_owned(), "- {\"kind\":3}".to_owned()];
        assert_eq!(walked(text.as_bytes()).unwrap(), (wanted.to_vec(), 6));
        let unended = text.replace("[INFO]\n", &format!("[INFO]{}", " x".repeat(9_000)));
        assert_eq!(walked(unended.as_bytes()).unwrap(), (wanted.to_vec(), 5));
        let long = Read::chain(io::repeat(b'x').take(40 << 20), &b"\n{\"kind\":1}"[..]);
        assert_eq!(walked(long).unwrap(), (wanted[..1].to_vec(), 1));
    }

    #[test]
    fn a_part_of_a_list_is_refused_with_the_number_of_what_is_missing() {
        for (metadata, wanted) in [
            (r#"{"continue":"abc","remainingItemCount":1234}"#, Some("1234 objects are not in it")),
            (r#"{"continue":"abc"}"#, Some("some objects are not in it")),
            (r#"{"continue":"","resourceVersion":"1"}"#, None),
            ("null", None),
        ] {
            for text in [
                format!("{{\"items\":[],\"metadata\":{metadata}}}"),
                format!("{{\"metadata\":{metadata},\"items\":[{{}}]}}"),
            ] {
                match (objects(&text), wanted) {
                    (Ok(_), None) => {}
                    (Err(error), Some(wanted)) => assert!(error.contains(wanted), "{error}"),
                    (other, _) => panic!("{text}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_sink_that_has_enough_ends_it() {
        assert_eq!(objects(r#"{"items":[{"kind":"stop"},{}]}"#).unwrap_err(), "stopped");
    }

    #[test]
    fn an_object_without_end_is_refused_and_many_objects_are_not() {
        let budget = Budget::default();
        let endless = Read::chain(&b"{\"items\":[{\"a\":\""[..], io::repeat(b'x'));
        let endless = crate::import::decode::text(endless, &budget).unwrap();
        let mut sink = |_: &str, _: ListHead<'_>| Ok(());
        let Err(K8sError::Read(error)) = for_each_object(endless, &budget, &mut sink) else {
            panic!("it must be refused");
        };
        assert!(error.to_string().contains("longer than 16777216 bytes"), "{error}");
        let space = "x".repeat(1 << 20);
        let many =
            format!("{{\"items\":[{}]}}", vec![format!("{{\"a\":\"{space}\"}}"); 20].join(","));
        assert_eq!(objects(&many).unwrap().len(), 20);
    }
}
