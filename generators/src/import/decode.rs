//! From the bytes of a file to the bytes of UTF-8 text, within bounds: unpacks gzip, takes a byte
//! order mark away, and reads UTF-16, which PowerShell's `>` writes. What the text says is not
//! known here.

use std::cell::Cell;
use std::char::DecodeUtf16;
use std::io::{self, BufReader, Cursor, Read};
use std::iter;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use super::error::K8sError;
use crate::export::MAX_JSON_BYTES;

/// Most bytes of one object: an API server refuses more than 3 MiB (`MaxRequestBodyBytes`,
/// `staging/src/k8s.io/apiserver/pkg/server/config.go`, Kubernetes 1.35), and indenting makes some
/// times more of it.
pub(super) const MAX_OBJECT_BYTES: u64 = 16 << 20;

/// Bytes from which a form is told: the magic of a tar archive is at 257.
const MAGIC_BYTES: u64 = 512;

/// How many bytes may still be read, after unpacking.
#[derive(Debug)]
pub(super) struct Budget {
    /// Of all inputs together.
    total: Cell<u64>,
    /// Before the end of the current object.
    object: Cell<u64>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { total: Cell::new(MAX_JSON_BYTES), object: Cell::new(MAX_OBJECT_BYTES) }
    }
}

impl Budget {
    /// An object, or something else that is not kept, is read.
    pub(super) fn next_object(&self) {
        self.object.set(MAX_OBJECT_BYTES);
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = |cell: &Cell<u64>| cell.get().checked_sub(bytes);
        let total = left(&self.total).ok_or_else(|| {
            io::Error::other(format!("there are more than {MAX_JSON_BYTES} bytes: import parts"))
        })?;
        let object = left(&self.object).ok_or_else(|| {
            let text = format!("an object is longer than {MAX_OBJECT_BYTES} bytes: remove it");
            io::Error::other(text)
        })?;
        self.total.set(total);
        self.object.set(object);
        Ok(())
    }
}

/// A reader with an end.
struct Metered<'a, R> {
    input: R,
    budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.budget.take(count as u64)?;
        Ok(count)
    }
}

/// The text in some bytes.
///
/// # Errors
/// A form that only another program can unpack, and what reading fails with.
pub(super) fn text<'a>(
    input: impl Read + 'a,
    budget: &'a Budget,
) -> Result<Box<dyn Read + 'a>, K8sError> {
    budget.next_object();
    // The bound is for gzip members without content, which never end otherwise.
    let (head, input) = peeked(input.take(MAX_JSON_BYTES), MAGIC_BYTES)?;
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn Read + 'a> =
        if is_gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
    let (head, input) = peeked(Metered { input, budget }, MAGIC_BYTES)?;
    if let Some((what, remedy)) = foreign(&head) {
        return Err(K8sError::Form(format!("it is {what}: {remedy}")));
    }
    let text: Box<dyn Read + 'a> = match head[..] {
        [0xff, 0xfe, ..] | [1..=0xff, 0, ..] => utf16(input, u16::from_le_bytes),
        [0xfe, 0xff, ..] | [0, 1..=0xff, ..] => utf16(input, u16::from_be_bytes),
        _ => Box::new(input),
    };
    let (head, mut text) = peeked(text, 3)?;
    if head == "\u{feff}".as_bytes() {
        io::copy(&mut text.by_ref().take(3), &mut io::sink())?;
    }
    Ok(Box::new(text))
}

/// The first bytes, and a reader that begins with them.
pub(super) fn peeked(mut input: impl Read, bytes: u64) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::new();
    input.by_ref().take(bytes).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(input)))
}

/// Forms that are told by their first bytes, and what to do about them.
fn foreign(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it first";
    if head.get(257..).is_some_and(|rest| rest.starts_with(b"ustar")) {
        return Some(("a tar archive", "unpack it, and name the folder"));
    }
    [
        (&b"PK\x03\x04"[..], "a zip archive", "unpack it, and name the folder"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
        (b"\xfd7zXZ\0", "compressed with xz", UNPACK),
        (b"BZh", "compressed with bzip2", UNPACK),
        (b"\x1f\x8b", "compressed with gzip twice", UNPACK),
        (b"k8s\0", "in the API's protobuf form, as etcd keeps it", "ask the API for JSON"),
    ]
    .into_iter()
    .find(|(magic, ..)| head.starts_with(magic))
    .map(|(_, what, remedy)| (what, remedy))
}

/// UTF-16 as UTF-8. What is no character becomes U+FFFD, and a byte too many at the end is left
/// out.
struct Utf16<I: Iterator<Item = u16>> {
    characters: DecodeUtf16<I>,
    /// Why there are no more of them, if not because the input ended.
    failure: Rc<Cell<Option<io::Error>>>,
    /// UTF-8 that is not given out yet.
    text: Vec<u8>,
}

fn utf16<'a>(input: impl Read + 'a, unit: fn([u8; 2]) -> u16) -> Box<dyn Read + 'a> {
    let failure = Rc::new(Cell::new(None));
    let failed = Rc::clone(&failure);
    let bytes = BufReader::new(input).bytes();
    let mut bytes = bytes.map_while(move |byte| byte.map_err(|why| failed.set(Some(why))).ok());
    let units = iter::from_fn(move || Some(unit([bytes.next()?, bytes.next()?])));
    Box::new(Utf16 { characters: char::decode_utf16(units), failure, text: Vec::new() })
}

impl<I: Iterator<Item = u16>> Read for Utf16<I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text.len() < buffer.len() {
            let Some(character) = self.characters.next() else { break };
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            self.text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        self.failure.take().map_or(Ok(()), Err)?;
        let count = self.text.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.text.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let budget = Budget::default();
        let mut text = text(bytes, &budget).map_err(|error| error.to_string())?;
        let mut all = String::new();
        text.read_to_string(&mut all).map(|_| all).map_err(|error| error.to_string())
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn text_is_the_same_in_every_encoding() {
        let said = "{\"é\": \"😀\"}\n";
        let marked = format!("\u{feff}{said}");
        for bytes in [
            said.as_bytes().to_vec(),
            marked.as_bytes().to_vec(),
            gzip(said.as_bytes()),
            [gzip(&said.as_bytes()[..3]), gzip(&said.as_bytes()[3..])].concat(),
            utf16(said, u16::to_le_bytes),
            utf16(&marked, u16::to_le_bytes),
            utf16(&marked, u16::to_be_bytes),
            gzip(&utf16(said, u16::to_be_bytes)),
        ] {
            assert_eq!(read(&bytes).unwrap(), said, "{bytes:?}");
        }
        for nothing in [&b""[..], &[0xff, 0xfe], &[0xef, 0xbb, 0xbf]] {
            assert_eq!(read(nothing).unwrap(), "");
        }
    }

    #[test]
    fn halves_of_characters_become_replacement_characters() {
        let units = [u16::from(b'{'), 0xd83d, u16::from(b'a'), 0xdc00, 0xd83d];
        let mut bytes: Vec<u8> = units.into_iter().flat_map(u16::to_le_bytes).collect();
        bytes.push(0x61);
        assert_eq!(read(&bytes).unwrap(), "{\u{fffd}a\u{fffd}\u{fffd}");
    }

    #[test]
    fn what_another_program_packed_is_named() {
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, wanted) in [
            (gzip(&tar), "it is a tar archive: unpack it, and name the folder"),
            (b"PK\x03\x04...".to_vec(), "a zip archive"),
            (b"\x28\xb5\x2f\xfd".to_vec(), "zstd"),
            (gzip(&gzip(b"{}")), "gzip twice"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn little_that_unpacks_to_much_is_refused_and_so_is_half_a_file() {
        let packed = gzip(&vec![b' '; 64 << 20]);
        assert!(packed.len() < 1 << 20, "{}", packed.len());
        let error = read(&packed).unwrap_err();
        assert!(error.contains("longer than 16777216 bytes"), "{error}");
        assert!(read(&gzip(b"{\"a\": 1}")[..15]).is_err());
        assert!(read(b"\x1f\x8b\x08 no gzip").is_err());
    }
}
