//! Finds out in which form Kubernetes objects are written, and hands over one object after the
//! other; never holds more than one.
//!
//! Bytes become text (`decode`), YAML becomes JSON (`yaml`), and JSON becomes objects (`json`).
//! What an object means is not known here.

use std::io::{self, Read};

use super::decode::{self, Budget, peeked};
use super::error::K8sError;
use super::json::{self, OBJECT_FIELDS, Sink};
use super::yaml;

/// Bytes of text in which the first document has to begin.
const FORM_BYTES: u64 = 64 << 10;

/// Hands every object of every document to `sink`; gives the number of lines that belong to no
/// document.
pub(super) fn for_each_object(
    input: impl Read,
    budget: &Budget,
    sink: Sink<'_>,
) -> Result<usize, K8sError> {
    let (head, mut text) = peeked(decode::text(input, budget)?, FORM_BYTES)?;
    match form(&head) {
        Form::Empty => Ok(0),
        Form::Json => json::for_each_object(text, budget, sink),
        Form::Yaml { at, lines } => {
            io::copy(&mut text.by_ref().take(at), &mut io::sink())?;
            let skipped = json::for_each_object(yaml::AsJson::new(text, lines), budget, sink)?;
            Ok(lines + skipped)
        }
        Form::Unknown => {
            let beginning = String::from_utf8_lossy(&head);
            let beginning: String = beginning.trim_start().chars().take(40).collect();
            Err(K8sError::Form(format!("it begins with {beginning:?}")))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Empty,
    Json,
    /// Begins at this byte, after this many lines of something else.
    Yaml {
        at: u64,
        lines: usize,
    },
    Unknown,
}

/// The form is that of the first line that can begin a document. Warnings of a tool may stand
/// before it.
fn form(head: &[u8]) -> Form {
    let mut at = 0;
    for (lines, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if begins_json(line) {
            return Form::Json;
        }
        if begins_yaml(line) {
            return Form::Yaml { at, lines };
        }
        at += line.len() as u64;
    }
    if head.iter().all(u8::is_ascii_whitespace) { Form::Empty } else { Form::Unknown }
}

/// `{`, or `[` alone or before an object: `[INFO]` is a line of a log.
fn begins_json(line: &[u8]) -> bool {
    match line.trim_ascii() {
        [b'{', ..] | [b'['] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b']', ..]),
        _ => false,
    }
}

fn begins_yaml(line: &[u8]) -> bool {
    let is_key = |rest: &[u8]| rest.first() == Some(&b':');
    let mut keys = OBJECT_FIELDS.into_iter().chain(["items"]);
    [&b"---"[..], b"- ", b"%YAML"].into_iter().any(|start| line.starts_with(start))
        || keys.any(|key| line.strip_prefix(key.as_bytes()).is_some_and(is_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_can_begin_a_document_tells_the_form() {
        for (text, wanted) in [
            ("", Form::Empty),
            (" \r\n\t", Form::Empty),
            ("  {", Form::Json),
            ("\n[\n", Form::Json),
            ("[]", Form::Json),
            ("[INFO] started\n{\"a\":1}", Form::Json),
            ("Warning: deprecated\n{", Form::Json),
            ("apiVersion: v1", Form::Yaml { at: 0, lines: 0 }),
            ("# a comment\nWarning: b\n---\n", Form::Yaml { at: 23, lines: 2 }),
            ("- kind: Service", Form::Yaml { at: 0, lines: 0 }),
            ("I0101 one two", Form::Unknown),
            ("kinds: of", Form::Unknown),
            ("\u{1}\u{2}", Form::Unknown),
        ] {
            assert_eq!(form(text.as_bytes()), wanted, "{text:?}");
        }
    }
}
