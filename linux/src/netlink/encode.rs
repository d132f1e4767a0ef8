//! Writes netlink messages, one after the other, into one buffer that is ready to send.
//!
//! Rendering is measured, so nothing is allocated a message and every length is filled in
//! afterwards in place. The encoder knows headers and attributes; what they mean is the caller's
//! business. It cannot fail: the caller keeps the content of one attribute below 64 KiB, which
//! debug builds check.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::numbers::{ACK, ALIGNMENT, ATTRIBUTE_HEADER_BYTES, HEADER_BYTES, NESTED, REQUEST};

/// How many messages go into one send at most. The kernel answers each refused one apart, and
/// [`Socket`](super::Socket) has room for that many answers.
pub const CHUNK_MESSAGES: usize = 2048;
/// After how many bytes a send is closed: large enough that the cost of a system call vanishes
/// beside 1,000 messages, small enough for one socket buffer.
const CHUNK_BYTES: usize = 256 * 1024;

/// Messages under construction.
#[derive(Debug, Default)]
pub struct Encoder {
    batch: Batch,
    /// Where the open chunk begins, in bytes.
    chunk_start: usize,
    /// How many messages it holds.
    open: usize,
}

#[expect(clippy::len_without_is_empty, reason = "a batch without messages is nobody's question")]
impl Encoder {
    /// An encoder with room for `bytes` in `messages` messages.
    pub fn with_capacity(bytes: usize, messages: usize) -> Self {
        let (bytes, ends) = (Vec::with_capacity(bytes), Vec::with_capacity(messages));
        Self { batch: Batch { bytes, ends, chunk_ends: Vec::new() }, ..Self::default() }
    }

    /// Appends one request of type `kind`; `content` writes what follows the header. Its sequence
    /// number is its position, counted from 1.
    #[inline]
    pub fn message(&mut self, kind: u16, flags: u16, content: impl FnOnce(&mut Content<'_>)) {
        let bytes = &mut self.batch.bytes;
        let start = bytes.len();
        let sequence = u32::try_from(self.batch.ends.len() + 1).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_BYTES];
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        header[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&header);
        content(&mut Content { bytes });
        let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
        patch(bytes, start, length.to_ne_bytes());
        self.batch.ends.push(bytes.len());
        self.open += 1;
        if self.open >= CHUNK_MESSAGES || bytes.len() - self.chunk_start >= CHUNK_BYTES {
            self.close_chunk();
        }
    }

    /// How many messages there are so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// The messages, complete.
    pub fn finish(mut self) -> Batch {
        if self.open > 0 {
            self.close_chunk();
        }
        self.batch
    }

    /// Asks for an acknowledgement of the last message. Errors come unasked, and the kernel works
    /// through a send in order, so one answer tells that all is done (`netlink_rcv_skb`,
    /// `net/netlink/af_netlink.c`, Linux 6.1).
    fn close_chunk(&mut self) {
        let flags_at = self.batch.start_of(self.len() - 1) + 6;
        let bytes = &mut self.batch.bytes;
        if let Some(flags) = bytes.get_mut(flags_at..).and_then(<[u8]>::first_chunk_mut) {
            *flags = (u16::from_ne_bytes(*flags) | ACK).to_ne_bytes();
        }
        self.chunk_start = bytes.len();
        self.batch.chunk_ends.push(self.batch.ends.len());
        self.open = 0;
    }
}

/// An attribute of up to four bytes, complete with header and padding.
pub type Small = [u8; 2 * ALIGNMENT];

/// An attribute of one byte.
#[inline]
pub const fn u8(kind: u16, value: u8) -> Small {
    small(kind, 1, [value, 0, 0, 0])
}

/// An attribute of two bytes in host order.
#[inline]
pub const fn u16(kind: u16, value: u16) -> Small {
    let [a, b] = value.to_ne_bytes();
    small(kind, 2, [a, b, 0, 0])
}

/// An attribute of two bytes in network order, without the mark that says so.
#[inline]
pub const fn be16(kind: u16, value: u16) -> Small {
    let [a, b] = value.to_be_bytes();
    small(kind, 2, [a, b, 0, 0])
}

/// An attribute of four bytes in host order.
#[inline]
pub const fn u32(kind: u16, value: u32) -> Small {
    small(kind, 4, value.to_ne_bytes())
}

/// An attribute of four bytes in network order, without the mark that says so.
#[inline]
pub const fn be32(kind: u16, value: u32) -> Small {
    small(kind, 4, value.to_be_bytes())
}

/// An IPv4 address.
#[inline]
pub const fn ipv4(kind: u16, address: Ipv4Addr) -> Small {
    small(kind, 4, address.octets())
}

#[inline]
const fn small(kind: u16, length: u16, value: [u8; 4]) -> Small {
    let length = (length + ATTRIBUTE_HEADER_BYTES).to_ne_bytes();
    let kind = kind.to_ne_bytes();
    [length[0], length[1], kind[0], kind[1], value[0], value[1], value[2], value[3]]
}

/// The part of a message after its header, under construction.
pub struct Content<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> Content<'a> {
    /// Content on its own, to be written into messages later.
    #[inline]
    pub fn of(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// A fixed header, such as `struct genlmsghdr`, whose length is a multiple of four.
    #[inline]
    pub fn fixed<const N: usize>(&mut self, header: [u8; N]) {
        const { assert!(N.is_multiple_of(ALIGNMENT), "a fixed header keeps the alignment") };
        self.bytes.extend_from_slice(&header);
    }

    /// Attributes that were written elsewhere.
    #[inline]
    pub fn raw(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Attributes of up to four bytes, such as [`fn@u16`] makes. Several at once cost little more
    /// than one.
    #[inline]
    pub fn small<const N: usize>(&mut self, attributes: [Small; N]) {
        self.bytes.extend_from_slice(attributes.as_flattened());
    }

    /// An attribute of any length below 64 KiB, padded.
    #[inline]
    pub fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |content| content.bytes.extend_from_slice(value));
        self.pad();
    }

    /// A text with the zero byte at its end that the kernel expects of `NLA_NUL_STRING`.
    #[inline]
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, |content| {
            content.bytes.extend_from_slice(value.as_bytes());
            content.bytes.push(0);
        });
        self.pad();
    }

    /// An attribute that holds attributes, marked so.
    #[inline]
    pub fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Content<'_>)) {
        self.attribute(kind | NESTED, content);
    }

    #[inline]
    fn attribute(&mut self, kind: u16, content: impl FnOnce(&mut Content<'_>)) {
        let start = self.bytes.len();
        let [k, n] = kind.to_ne_bytes();
        self.bytes.extend_from_slice(&[0, 0, k, n]);
        content(&mut Content { bytes: self.bytes });
        let length = self.bytes.len() - start;
        let length = u16::try_from(length);
        debug_assert!(length.is_ok(), "attribute {kind} is longer than 64 KiB");
        patch(self.bytes, start, length.unwrap_or(u16::MAX).to_ne_bytes());
    }

    #[inline]
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// Overwrites bytes that were written before.
#[inline]
fn patch<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value;
    }
}

/// Complete messages, in chunks of one send each.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    chunk_ends: Vec<usize>,
}

#[expect(clippy::len_without_is_empty, reason = "a batch without messages is nobody's question")]
impl Batch {
    /// One message as a batch of its own.
    pub fn single(kind: u16, flags: u16, content: impl FnOnce(&mut Content<'_>)) -> Self {
        let mut encoder = Encoder::default();
        encoder.message(kind, flags, content);
        encoder.finish()
    }

    /// How many messages there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All messages, one after the other.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message at a position counted from 0, with its header.
    pub fn message(&self, position: usize) -> Option<&[u8]> {
        self.bytes.get(self.start_of(position)..*self.ends.get(position)?)
    }

    /// The bytes of each send and the positions of the messages in it.
    pub fn chunks(&self) -> impl Iterator<Item = (&[u8], Range<usize>)> {
        let starts = std::iter::once(0).chain(self.chunk_ends.iter().copied());
        starts.zip(&self.chunk_ends).map(|(start, &end)| {
            let bytes = self.bytes.get(self.start_of(start)..self.start_of(end));
            (bytes.unwrap_or_default(), start..end)
        })
    }

    /// Where the message at a position begins: where the one before it ends.
    fn start_of(&self, position: usize) -> usize {
        position.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags_of(batch: &Batch, position: usize) -> u16 {
        let message = batch.message(position).expect("a message");
        u16::from_ne_bytes([message[6], message[7]])
    }

    #[test]
    fn a_message_is_its_header_and_its_padded_attributes() {
        let batch = Batch::single(0x1c, 0x100, |content| {
            content.fixed([1, 1, 0, 0]);
            content.text(6, "rr");
            content.nest(1, |inner| inner.small([be16(4, 80)]));
        });
        #[rustfmt::skip]
        let expected = [
            36, 0, 0, 0,  0x1c, 0,  0x05, 0x01,  1, 0, 0, 0,  0, 0, 0, 0, // length, type, flags with ACK, sequence, port id
            1, 1, 0, 0,                                                  // fixed header
            7, 0, 6, 0,  b'r', b'r', 0, 0,                               // text, zero byte, one byte of padding
            12 - 4 + 4, 0, 1, 0x80,                                      // nest: header and one attribute
            6, 0, 4, 0,  0, 80, 0, 0,                                    // port 80, big-endian, padded
        ];
        let mut expected = expected.to_vec();
        expected[0] = u8::try_from(expected.len()).expect("short");
        assert_eq!(batch.bytes(), expected);
    }

    #[test]
    fn only_the_last_message_of_a_chunk_asks_for_an_answer() {
        let mut encoder = Encoder::default();
        for _ in 0..=CHUNK_MESSAGES {
            encoder.message(20, 0, |_| {});
        }
        let batch = encoder.finish();
        let chunks: Vec<_> = batch.chunks().map(|(_, positions)| positions).collect();
        assert_eq!(chunks, [0..CHUNK_MESSAGES, CHUNK_MESSAGES..CHUNK_MESSAGES + 1]);
        for position in 0..=CHUNK_MESSAGES {
            let last = position + 1 >= CHUNK_MESSAGES;
            assert_eq!(flags_of(&batch, position) & ACK != 0, last, "message {position}");
        }
    }

    #[test]
    fn a_chunk_closes_when_it_holds_enough_bytes() {
        let mut encoder = Encoder::default();
        for _ in 0..9 {
            encoder.message(20, 0, |content| content.bytes(1, &vec![7; 60_000]));
        }
        let batch = encoder.finish();
        let chunks: Vec<_> = batch.chunks().collect();
        assert_eq!(chunks.iter().map(|(_, positions)| positions.len()).collect::<Vec<_>>(), [5, 4]);
        assert_eq!(chunks.iter().map(|(bytes, _)| bytes.len()).sum::<usize>(), batch.bytes().len());
    }

    #[test]
    fn an_empty_batch_has_no_chunk() {
        let batch = Encoder::default().finish();
        assert_eq!((batch.len(), batch.chunks().count(), batch.message(0)), (0, 0, None));
    }
}
