//! Reads what the kernel sends: messages, attributes, values, and the two forms of an error.
//!
//! Nothing that arrives can make it panic or read outside its buffer; what does not fit is
//! [`Malformed`].

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::numbers::{
    ACK_TLVS, ALIGNMENT, ATTRIBUTE_HEADER_BYTES, BIG_ENDIAN, CAPPED, HEADER_BYTES, NESTED,
};

/// `NLMSGERR_ATTR_MSG`: the kernel's own words (include/uapi/linux/netlink.h, Linux 6.1).
const WORDS: u16 = 1;
/// How many characters of the kernel's own words are kept.
const WORDS_MAX: usize = 200;

/// Bytes that are no netlink message, attribute or value of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// One message, its header taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub content: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes after a fixed header of `N` bytes, and that header.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not that.
    #[inline]
    pub fn fixed<const N: usize>(&self) -> Result<(&'a [u8; N], Attributes<'a>), Malformed> {
        let (header, rest) =
            self.content.split_first_chunk().ok_or(Malformed("the fixed header is cut short"))?;
        Ok((header, Attributes::of(rest)))
    }
}

/// The messages in a buffer. Ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Takes a received buffer apart.
    #[inline]
    pub fn of(buffer: &'a [u8]) -> Self {
        Self { rest: buffer }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.rest, |rest| {
            let cut = Malformed("a message is cut short");
            let header: &[u8; HEADER_BYTES] = rest.first_chunk().ok_or(cut)?;
            let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
            let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).map_err(|_| cut)?;
            let content = split_off(rest, HEADER_BYTES..length)
                .ok_or(Malformed("the length of a message does not fit its buffer"))?;
            Ok(Message {
                kind: u16::from_ne_bytes([k0, k1]),
                flags: u16::from_ne_bytes([f0, f1]),
                sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
                content,
            })
        })
    }
}

/// Attributes, as type (without its two flag bits) and value. Ends after the first that is
/// malformed.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Takes the content of a message, or of a nest, apart.
    #[inline]
    pub fn of(content: &'a [u8]) -> Self {
        Self { rest: content }
    }

    /// The value of the first attribute of that type.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not that.
    #[inline]
    pub fn find(&self, kind: u16) -> Result<Option<&'a [u8]>, Malformed> {
        for attribute in self.clone() {
            match attribute? {
                (found, value) if found == kind => return Ok(Some(value)),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        next(&mut self.rest, |rest| {
            let header: &[u8; ATTRIBUTE_HEADER_BYTES as usize] =
                rest.first_chunk().ok_or(Malformed("an attribute is cut short"))?;
            let [l0, l1, k0, k1] = *header;
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let value = split_off(rest, header.len()..length)
                .ok_or(Malformed("the length of an attribute does not fit its message"))?;
            Ok((u16::from_ne_bytes([k0, k1]) & !(NESTED | BIG_ENDIAN), value))
        })
    }
}

/// What `take` finds next, if anything is left; an error is the end.
#[inline]
fn next<'a, T>(
    rest: &mut &'a [u8],
    take: impl FnOnce(&mut &'a [u8]) -> Result<T, Malformed>,
) -> Option<Result<T, Malformed>> {
    if rest.is_empty() {
        return None;
    }
    let taken = take(rest);
    if taken.is_err() {
        *rest = &[];
    }
    Some(taken)
}

/// The content at `range` of what begins here; the rest begins behind its padding.
#[inline]
fn split_off<'a>(rest: &mut &'a [u8], range: Range<usize>) -> Option<&'a [u8]> {
    let content = rest.get(range.clone())?;
    *rest = rest.get(range.end.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
    Some(content)
}

/// A value of one byte.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn u8(value: &[u8]) -> Result<u8, Malformed> {
    exactly(value, "a value is not one byte long").map(|[byte]| byte)
}

/// A value of two bytes in host order.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn u16(value: &[u8]) -> Result<u16, Malformed> {
    exactly(value, "a value is not two bytes long").map(u16::from_ne_bytes)
}

/// A value of two bytes in network order.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn be16(value: &[u8]) -> Result<u16, Malformed> {
    exactly(value, "a value is not two bytes long").map(u16::from_be_bytes)
}

/// A value of four bytes in host order.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn u32(value: &[u8]) -> Result<u32, Malformed> {
    exactly(value, "a value is not four bytes long").map(u32::from_ne_bytes)
}

/// A value of four bytes in network order.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn be32(value: &[u8]) -> Result<u32, Malformed> {
    exactly(value, "a value is not four bytes long").map(u32::from_be_bytes)
}

/// An IPv4 address, alone or at the start of a `union nf_inet_addr`.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn ipv4(value: &[u8]) -> Result<Ipv4Addr, Malformed> {
    let octets: [u8; 4] =
        *value.first_chunk().ok_or(Malformed("an address is shorter than four bytes"))?;
    Ok(octets.into())
}

/// An IPv6 address.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn ipv6(value: &[u8]) -> Result<Ipv6Addr, Malformed> {
    exactly::<16>(value, "an address is not 16 bytes long").map(Ipv6Addr::from)
}

/// A text that ends at its first zero byte.
///
/// # Errors
/// [`Malformed`] if the bytes are not that.
#[inline]
pub fn text(value: &[u8]) -> Result<&str, Malformed> {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
}

#[inline]
fn exactly<const N: usize>(value: &[u8], otherwise: &'static str) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed(otherwise))
}

/// The content of an `NLMSG_ERROR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The error number, positive; 0 is an acknowledgement.
    pub errno: i32,
    /// What the kernel says about it in words, if it does.
    pub words: Option<String>,
    /// The refused message as the kernel sent it back: its header only, or all of it.
    pub refused: &'a [u8],
}

impl<'a> ErrorReply<'a> {
    /// Takes an `NLMSG_ERROR` apart (`netlink_ack`, `net/netlink/af_netlink.c`, Linux 6.1).
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are not that.
    #[inline]
    pub fn of(message: &Message<'a>) -> Result<Self, Malformed> {
        let cut = Malformed("an error reply is cut short");
        let (errno, rest) = message.content.split_first_chunk::<4>().ok_or(cut)?;
        let errno = i32::from_ne_bytes(*errno);
        let length: [u8; 4] = *rest.first_chunk().ok_or(cut)?;
        let length = if message.flags & CAPPED == 0 {
            usize::try_from(u32::from_ne_bytes(length)).map_err(|_| cut)?
        } else {
            HEADER_BYTES
        };
        let refused = rest.get(..length).ok_or(cut)?;
        let words = if message.flags & ACK_TLVS == 0 {
            None
        } else {
            let after = rest.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
            let words = Attributes::of(after).find(WORDS)?.map(text).transpose()?;
            words.map(|words| words.chars().take(WORDS_MAX).collect())
        };
        Ok(Self { errno: magnitude(errno)?, words, refused })
    }

    /// The error number that `NLMSG_DONE` carries too (`netlink_dump_done`,
    /// `net/netlink/af_netlink.c`, Linux 6.1); 0 if it has none.
    ///
    /// # Errors
    /// [`Malformed`] if it is positive.
    pub(super) fn of_end_of_list(message: &Message<'a>) -> Result<Self, Malformed> {
        let errno = message.content.first_chunk().map_or(0, |value| i32::from_ne_bytes(*value));
        Ok(Self { errno: magnitude(errno)?, words: None, refused: &[] })
    }
}

/// An error number, which the kernel writes as a negative one, or zero.
fn magnitude(errno: i32) -> Result<i32, Malformed> {
    let positive = errno.checked_neg().filter(|errno| *errno >= 0);
    positive.ok_or(Malformed("an error number is positive"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{Batch, encode};

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            for message in Messages::of(&bytes).flatten() {
                let _ = ErrorReply::of(&message);
                let _ = message.fixed::<4>();
                for (_, value) in Attributes::of(message.content).flatten() {
                    let _ = (u8(value), u16(value), be32(value), ipv4(value), text(value));
                    Attributes::of(value).for_each(drop);
                }
            }
        }

        #[test]
        fn bytes_with_a_valid_header_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 16..400),
            error: bool,
            flags: u16,
        ) {
            let length = u32::try_from(bytes.len()).expect("short");
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes[4..6].copy_from_slice(&if error { 2_u16 } else { 28 }.to_ne_bytes());
            bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            let message = Messages::of(&bytes).next().expect("one").expect("its header is valid");
            let _ = ErrorReply::of(&message);
            Attributes::of(message.content).for_each(drop);
        }

        #[test]
        fn what_was_encoded_is_decoded(kind in 0_u16..0x4000, number: u32, port: u16, name in "[a-z]{0,20}") {
            let batch = Batch::single(20, 0, |content| {
                content.fixed([1, 2, 3, 4]);
                content.nest(kind, |inner| {
                    inner.text(1, &name);
                    inner.small([encode::u32(2, number), encode::be16(3 | BIG_ENDIAN, port)]);
                });
            });
            let message = Messages::of(batch.bytes()).next().expect("one").expect("valid");
            let (fixed, attributes) = message.fixed::<4>().expect("the fixed header");
            prop_assert_eq!((message.kind, message.sequence, fixed), (20, 1, &[1, 2, 3, 4]));
            let nest = Attributes::of(attributes.find(kind).expect("valid").expect("there"));
            prop_assert_eq!(text(nest.find(1).expect("valid").expect("there")), Ok(name.as_str()));
            prop_assert_eq!(u32(nest.find(2).expect("valid").expect("there")), Ok(number));
            prop_assert_eq!(be16(nest.find(3).expect("valid").expect("there")), Ok(port));
            prop_assert_eq!(nest.find(4), Ok(None));
        }
    }

    #[test]
    fn a_capped_error_with_words_is_read() {
        // The answer to RTM_NEWROUTE for 10.96.0.1/12, NETLINK_CAP_ACK and NETLINK_EXT_ACK on,
        // Linux 6.18.
        #[rustfmt::skip]
        let captured = [
            80, 0, 0, 0,  2, 0,  0, 3,  1, 0, 0, 0,  28, 2, 0, 0, // NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, sequence 1
            234, 255, 255, 255,                                   // -22: EINVAL
            44, 0, 0, 0,  24, 0,  5, 6,  1, 0, 0, 0,  0, 0, 0, 0,  // header of the refused RTM_NEWROUTE
            43, 0, 1, 0,                                          // NLMSGERR_ATTR_MSG
            73, 110, 118, 97, 108, 105, 100, 32, 112, 114, 101, 102, 105, 120, 32, 102, 111, 114, 32, 103,
            105, 118, 101, 110, 32, 112, 114, 101, 102, 105, 120, 32, 108, 101, 110, 103, 116, 104, 0, 0,
        ];
        let message = Messages::of(&captured).next().expect("one").expect("valid");
        let error = ErrorReply::of(&message).expect("an error");
        assert_eq!((message.sequence, error.errno), (1, libc::EINVAL));
        assert_eq!(error.words.as_deref(), Some("Invalid prefix for given prefix length"));
        assert_eq!(error.refused.len(), HEADER_BYTES);
    }

    /// Laid out by hand: a link that exists is to be made again, extended acknowledgements on.
    fn refusal() -> Vec<u8> {
        #[rustfmt::skip]
        let mut bytes = vec![
            0, 0, 0, 0,  2, 0,  0, 2,  7, 0, 0, 0,  0x39, 0x30, 0, 0, // NLMSG_ERROR, ACK_TLVS, sequence 7
            239, 255, 255, 255,                                       // -17: EEXIST
            20, 0, 0, 0,  16, 0,  5, 6,  7, 0, 0, 0,  0, 0, 0, 0,     // the request: RTM_NEWLINK, 20 bytes
            1, 2, 3, 4,                                               // its payload
            8, 0, 2, 0,  4, 0, 0, 0,                                  // NLMSGERR_ATTR_OFFS
            9, 0, 1, 0,  b't', b'h', b'e', b'r', b'e', 0, 0, 0,       // NLMSGERR_ATTR_MSG
        ];
        let length = u32::try_from(bytes.len()).expect("short");
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_error_with_the_whole_request_is_read() {
        let bytes = refusal();
        let message = Messages::of(&bytes).next().expect("one").expect("valid");
        let error = ErrorReply::of(&message).expect("an error");
        assert_eq!((message.sequence, error.errno), (7, libc::EEXIST));
        assert_eq!(error.words.as_deref(), Some("there"));
        assert!(matches!(Messages::of(&bytes[..30]).next(), Some(Err(_))));
        assert!(Messages::of(&[]).next().is_none());
    }

    proptest! {
        #[test]
        fn no_flipped_byte_makes_the_decoder_panic(at in 0_usize..60, value: u8) {
            let mut bytes = refusal();
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
            for message in Messages::of(&bytes).flatten() {
                let _ = ErrorReply::of(&message);
            }
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for (length, rest) in [(15_u32, 0), (17, 0), (u32::MAX, 8)] {
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.resize(16 + rest, 0);
            assert!(matches!(Messages::of(&bytes).next(), Some(Err(_))), "{length}");
        }
        for attribute in [&[3, 0, 1, 0][..], &[9, 0, 1, 0, 0, 0, 0, 0], &[4, 0, 1]] {
            let mut attributes = Attributes::of(attribute);
            assert!(matches!(attributes.next(), Some(Err(_))), "{attribute:?}");
            assert_eq!(attributes.next(), None, "an error is the end");
        }
    }

    #[test]
    fn a_positive_error_number_is_refused() {
        let mut content = [0; 20];
        content[0] = 1;
        content[4] = 16;
        let message = Message { kind: 2, flags: 0, sequence: 1, content: &content };
        assert!(ErrorReply::of(&message).is_err());
    }
}
