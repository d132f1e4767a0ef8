//! Reads answers as they come, in however many pieces.

use std::net::SocketAddr;

use super::plan::Question;
use super::tally::ErrorKind;
use crate::load::server::{answer_bytes, decode_answer};

/// Longest head of an HTTP answer that is read.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 64;

/// What has been read of one answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The beginning of an answer that came in pieces, until enough is there to understand it.
    held: Vec<u8>,
    /// Bytes of the body that are still to come, once the head is understood.
    left: Option<Left>,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Bytes(u64),
    /// Until the server closes.
    UntilEnd,
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to come.
    Partial,
    /// All of it is here; who answered, where answers tell.
    Complete(Option<SocketAddr>),
}

impl Reading {
    /// Forgets what was read, keeping memory.
    pub(super) fn clear(&mut self) {
        self.held.clear();
        self.left = None;
    }

    /// Takes the next bytes of an answer from `from`; none means that the server has closed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn take(
        &mut self,
        question: &Question,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<Progress, ErrorKind> {
        match question {
            Question::Nothing => Ok(Progress::Complete(None)),
            Question::Who | Question::WhoByDatagram => self.take_who(from, bytes),
            Question::Http { .. } => self.take_http(bytes),
        }
    }

    fn take_who(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<Progress, ErrorKind> {
        let wanted = answer_bytes(from);
        let whole = if self.held.is_empty() && bytes.len() == wanted {
            decode_answer(bytes)
        } else {
            self.hold(bytes, wanted)?;
            if self.held.len() < wanted {
                return Ok(Progress::Partial);
            }
            decode_answer(&self.held)
        };
        whole.map(|who| Progress::Complete(Some(who))).ok_or(ErrorKind::BadAnswer)
    }

    fn take_http(&mut self, bytes: &[u8]) -> Result<Progress, ErrorKind> {
        match (self.left, bytes.is_empty()) {
            (Some(Left::UntilEnd), true) => return Ok(Progress::Complete(None)),
            (_, true) => return Err(ErrorKind::Reset),
            (Some(left), false) => return self.take_body(left, bytes),
            (None, false) => {}
        }
        if self.held.is_empty()
            && let Some((head, left)) = parse_head(bytes)?
        {
            return self.take_body(left, bytes.get(head..).unwrap_or_default());
        }
        self.hold(bytes, HEAD_BYTES_MAX)?;
        let Some((head, left)) = parse_head(&self.held)? else { return Ok(Progress::Partial) };
        let body = self.held.split_off(head);
        self.take_body(left, &body)
    }

    fn take_body(&mut self, left: Left, bytes: &[u8]) -> Result<Progress, ErrorKind> {
        let count = bytes.len() as u64;
        let left = match left {
            Left::UntilEnd => Left::UntilEnd,
            Left::Bytes(left) if left == count => return Ok(Progress::Complete(None)),
            // More than was announced.
            Left::Bytes(left) if left < count => return Err(ErrorKind::BadAnswer),
            Left::Bytes(left) => Left::Bytes(left - count),
        };
        self.left = Some(left);
        Ok(Progress::Partial)
    }

    /// Keeps a piece. An end before the whole is there is a broken answer.
    fn hold(&mut self, bytes: &[u8], most: usize) -> Result<(), ErrorKind> {
        if bytes.is_empty() {
            return Err(ErrorKind::Reset);
        }
        if self.held.len() + bytes.len() > most {
            return Err(ErrorKind::BadAnswer);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

/// The length of a head and what follows it; nothing if it is not whole yet.
fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Left)>, ErrorKind> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|_| ErrorKind::BadAnswer)?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    if !response.code.is_some_and(|code| (200..400).contains(&code)) {
        return Err(ErrorKind::BadAnswer);
    }
    let is = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value)
    };
    if is("transfer-encoding").is_some() {
        // Chunks end with the connection, which is asked for; their sizes are not read.
        return Ok(Some((length, Left::UntilEnd)));
    }
    let Some(told) = is("content-length") else { return Ok(Some((length, Left::UntilEnd))) };
    let bytes = std::str::from_utf8(told).ok().and_then(|text| text.trim().parse().ok());
    Ok(Some((length, Left::Bytes(bytes.ok_or(ErrorKind::BadAnswer)?))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

    fn http() -> Question {
        Question::Http { path: "/".into(), host: "vip".into() }
    }

    fn address() -> SocketAddr {
        "10.0.0.1:80".parse().unwrap()
    }

    fn read(question: &Question, pieces: &[&[u8]]) -> Result<Progress, ErrorKind> {
        let mut reading = Reading::default();
        let mut last = Ok(Progress::Partial);
        for piece in pieces {
            last = reading.take(question, address(), piece);
            if last != Ok(Progress::Partial) {
                break;
            }
        }
        last
    }

    proptest! {
        #[test]
        fn an_answer_is_complete_however_it_is_cut(first in 1..WHOLE.len(), second in 1..WHOLE.len()) {
            let (low, high) = (first.min(second), first.max(second));
            let cut = [&WHOLE[..low], &WHOLE[low..high], &WHOLE[high..]];
            let pieces: Vec<&[u8]> = cut.into_iter().filter(|piece| !piece.is_empty()).collect();
            prop_assert_eq!(read(&http(), &pieces), Ok(Progress::Complete(None)));
            prop_assert_eq!(read(&http(), &pieces[..pieces.len() - 1]), Ok(Progress::Partial));
        }

        #[test]
        fn nonsense_is_refused_or_waited_for_and_never_a_panic(bytes: Vec<u8>, more: Vec<u8>) {
            let _ = read(&http(), &[&bytes, &more]);
            let _ = read(&Question::Who, &[&bytes, &more]);
        }
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told() {
        let read = |bytes: &[u8]| read(&http(), &[bytes]);
        assert_eq!(read(b"HTTP/1.1 503 No\r\n\r\n"), Err(ErrorKind::BadAnswer));
        assert_eq!(
            read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab"),
            Err(ErrorKind::BadAnswer)
        );
        assert_eq!(read(b"SSH-2.0-OpenSSH\r\n"), Err(ErrorKind::BadAnswer));
        assert_eq!(read(b""), Err(ErrorKind::Reset));
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let pieces: [&[u8]; 3] = [b"HTTP/1.0 200 OK\r\n\r\n", b"some", b""];
        assert_eq!(read(&http(), &pieces), Ok(Progress::Complete(None)));
    }

    #[test]
    fn who_answers_is_read_in_pieces_too() {
        let answer = [10, 0, 0, 2, 0, 80];
        let who = Ok(Progress::Complete(Some("10.0.0.2:80".parse().unwrap())));
        assert_eq!(read(&Question::Who, &[&answer]), who);
        assert_eq!(read(&Question::Who, &[&answer[..1], &answer[1..]]), who);
        assert_eq!(read(&Question::Who, &[&answer[..1], &[0; 7]]), Err(ErrorKind::BadAnswer));
    }
}
