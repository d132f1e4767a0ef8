//! YAML as JSON, read as a stream: each document of the one becomes a document of the other, on the
//! same lines.
//!
//! Nothing is kept but what is open. Anchors and aliases are refused: no API writes them, and a few
//! lines of them can mean gigabytes.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

/// Most lists and mappings within each other. Objects of the API are some 20 deep.
const MAX_DEPTH: usize = 500;

/// Why the reader of characters ended, which an iterator cannot say.
type Failure = Rc<RefCell<Option<io::Error>>>;

/// Reads as JSON.
pub(super) struct AsJson<R> {
    parser: Parser<Characters<R>>,
    failure: Failure,
    /// Lines that were taken away before the first document.
    lines_before: usize,
    open: Vec<Open>,
    /// JSON that is not given out yet, and its line.
    json: io::Cursor<Vec<u8>>,
    line: usize,
}

/// A list or mapping whose end is still to come.
struct Open {
    is_mapping: bool,
    /// Values in it so far, and keys.
    nodes: usize,
}

impl<R: Read> AsJson<R> {
    pub(super) fn new(text: R, lines_before: usize) -> Self {
        let failure = Failure::default();
        let characters = Characters {
            input: BufReader::new(text),
            line: String::new(),
            at: 0,
            failure: Rc::clone(&failure),
        };
        let json = io::Cursor::new(Vec::new());
        let parser = Parser::new(characters);
        Self { parser, failure, lines_before, open: Vec::new(), json, line: 1 }
    }

    /// Turns one event into JSON; false at the end.
    fn step(&mut self) -> io::Result<bool> {
        let event = self.parser.next_token();
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let (event, at) = event.map_err(|error| self.error(&error))?;
        match event {
            Event::StreamEnd => return Ok(false),
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = self.begin(at, anchor, true)?;
                self.scalar(&text, is_key || !may_be_other(style, tag.as_ref()))?;
            }
            Event::SequenceStart(anchor, _) => self.open(at, anchor, false)?,
            Event::MappingStart(anchor, _) => self.open(at, anchor, true)?,
            Event::SequenceEnd => self.close(b']'),
            Event::MappingEnd => self.close(b'}'),
            Event::Alias(_) => return Err(self.refused(at)),
            Event::DocumentEnd => {
                self.push(b'\n');
                self.line += 1;
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart => {}
        }
        Ok(true)
    }

    fn open(&mut self, at: Marker, anchor: usize, is_mapping: bool) -> io::Result<()> {
        self.begin(at, anchor, false)?;
        if self.open.len() == MAX_DEPTH {
            let text = format!("lists and mappings are more than {MAX_DEPTH} deep");
            return Err(self.error(&ScanError::new_string(at, text)));
        }
        self.open.push(Open { is_mapping, nodes: 0 });
        self.push(if is_mapping { b'{' } else { b'[' });
        Ok(())
    }

    fn close(&mut self, end: u8) {
        self.open.pop();
        self.push(end);
    }

    /// Puts what must stand between this node and the last one; tells whether it is a key.
    fn begin(&mut self, at: Marker, anchor: usize, is_scalar: bool) -> io::Result<bool> {
        if anchor != 0 {
            return Err(self.refused(at));
        }
        while self.line < at.line() + self.lines_before {
            self.push(b'\n');
            self.line += 1;
        }
        let Some(open) = self.open.last_mut() else { return Ok(false) };
        let is_key = open.is_mapping && open.nodes % 2 == 0;
        let separator = match (open.is_mapping, is_key, open.nodes) {
            (_, _, 0) => None,
            (true, false, _) => Some(b':'),
            _ => Some(b','),
        };
        open.nodes += 1;
        self.json.get_mut().extend(separator);
        if is_key && !is_scalar {
            return Err(self.error(&ScanError::new(at, "a key is a list or mapping")));
        }
        Ok(is_key)
    }

    fn scalar(&mut self, text: &str, is_string: bool) -> io::Result<()> {
        let is_number = || text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        let json = self.json.get_mut();
        match text {
            _ if is_string => serde_json::to_writer(json, text)?,
            // An empty document is none.
            "" | "~" | "null" | "Null" | "NULL" if self.open.is_empty() => {}
            "" | "~" | "null" | "Null" | "NULL" => json.extend_from_slice(b"null"),
            "true" | "True" | "TRUE" => json.extend_from_slice(b"true"),
            "false" | "False" | "FALSE" => json.extend_from_slice(b"false"),
            _ if is_number() && serde_json::from_str::<serde_json::Number>(text).is_ok() => {
                json.extend_from_slice(text.as_bytes());
            }
            _ => serde_json::to_writer(json, text)?,
        }
        Ok(())
    }

    fn push(&mut self, byte: u8) {
        self.json.get_mut().push(byte);
    }

    fn refused(&self, at: Marker) -> io::Error {
        let text = "anchors and aliases are not read: write out what they stand for";
        self.error(&ScanError::new(at, text))
    }

    fn error(&self, error: &ScanError) -> io::Error {
        let line = error.marker().line() + self.lines_before;
        invalid(&format!("{} at line {line}", error.info()))
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Whether a scalar may be something else than a string.
fn may_be_other(style: TScalarStyle, tag: Option<&Tag>) -> bool {
    style == TScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str")
}

impl<R: Read> Read for AsJson<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.json.position() == self.json.get_ref().len() as u64 {
            self.json.set_position(0);
            self.json.get_mut().clear();
            if !self.step()? {
                return Ok(0);
            }
        }
        self.json.read(buffer)
    }
}

/// The characters of a text, a line at a time.
struct Characters<R> {
    input: BufReader<R>,
    line: String,
    at: usize,
    failure: Failure,
}

impl<R: Read> Iterator for Characters<R> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        if self.at == self.line.len() {
            self.at = 0;
            self.line.clear();
            if let Err(error) = self.input.read_line(&mut self.line) {
                self.line.clear();
                self.failure.replace(Some(error));
            }
        }
        let next = self.line.get(self.at..)?.chars().next()?;
        self.at += next.len_utf8();
        if next == '\0' {
            let error = invalid("there is a character U+0000, which YAML does not have");
            self.failure.replace(Some(error));
            return None;
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(yaml: &str) -> Result<String, String> {
        let mut text = String::new();
        let read = AsJson::new(yaml.as_bytes(), 0).read_to_string(&mut text);
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn scalars_are_what_kubectl_means_by_them() {
        for (yaml, wanted) in [
            ("80", "80"),
            ("-1.5e3", "-1.5e3"),
            ("\"80\"", "\"80\""),
            ("'80'", "\"80\""),
            ("!!str 80", "\"80\""),
            ("080", "\"080\""),
            ("0x50", "\"0x50\""),
            ("1e999", "\"1e999\""),
            ("10.96.0.7", "\"10.96.0.7\""),
            ("true", "true"),
            ("\"true\"", "\"true\""),
            ("~", "null"),
            ("", "null"),
            ("\"\"", "\"\""),
            ("None", "\"None\""),
            ("fd00::1", "\"fd00::1\""),
            ("|\n  a \"b\"\n  c", "\"a \\\"b\\\"\\nc\\n\""),
            ("{}", "{}"),
            ("[a, {b: 1}]", "[\"a\",{\"b\":1}]"),
        ] {
            let all = json(&format!("k: {yaml}\n")).unwrap().replace('\n', "");
            assert_eq!(all, format!("{{\"k\":{wanted}}}"), "{yaml}");
        }
        assert_eq!(
            json("80: a\ntrue: b").unwrap().replace('\n', ""),
            "{\"80\":\"a\",\"true\":\"b\"}"
        );
    }

    #[test]
    fn documents_and_nodes_stay_on_their_lines() {
        let yaml = "# of tests\na:\n- 1\n-  b: 2\n   c: 3\n---\n\n---\n- x\n...\n";
        assert_eq!(json(yaml).unwrap(), "\n{\"a\"\n:[1\n,{\"b\":2\n,\"c\":3}]}\n\n\n\n[\"x\"]\n");
    }

    #[test]
    fn what_is_not_yaml_or_too_much_is_refused_with_its_line() {
        let deep = "[".repeat(300);
        let flat = "- ".repeat(2_000);
        for (yaml, wanted) in [
            (
                "a: &x 1\nb: *x",
                "anchors and aliases are not read: write out what they stand for at line 1",
            ),
            ("a: 1\nb: *x", "unknown anchor at line 2"),
            ("a: 1\nb: [", "at line "),
            ("a: 1\nb: }", "at line 2"),
            ("? [a]\n: b", "a key is a list or mapping at line 1"),
            ("a: \0", "U+0000"),
            (&flat, "more than 500 deep at line 1"),
            (&deep, "at line 1"),
        ] {
            let error = json(yaml).unwrap_err();
            assert!(error.contains(wanted), "{yaml}: {error}");
        }
        assert!(AsJson::new(&b"a: \xff"[..], 0).read_to_end(&mut Vec::new()).is_err());
    }
}
