//! A netlink socket to the kernel: batches go out a chunk at a time, answers are matched to the
//! messages they are for.
//!
//! The socket belongs to the network namespace of the thread that opened it, so it is opened for
//! one act and dropped; then no answer of an earlier act can be taken for one of this. It knows
//! sequence numbers and nothing of Services.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt,
};

use super::decode::{ErrorReply, Messages};
use super::decode::{Malformed, Message};
use super::encode::Batch;
use super::encode::CHUNK_MESSAGES;
use super::numbers::{DONE, DUMP_INTR, ERROR};

/// How long one answer may take. The kernel answers before the send returns, so this only ends a
/// wait for an answer that was lost.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Room for what is sent at once: a chunk and its bookkeeping.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// Room for answers: one for every message of a chunk at 1 KiB of socket memory each (a capped
/// error takes 768 bytes, `skb->truesize`), since what does not fit is dropped, and one full ipset
/// message sent back.
const RECEIVE_BUFFER_BYTES: usize = CHUNK_MESSAGES * 1024 + (1 << 20);
/// The longest datagram that is read: above the largest dump part (32 KiB) and the largest error,
/// which holds a refused ipset message of up to 64 KiB.
const DATAGRAM_MAX: usize = 128 * 1024;
/// How many messages one act may bring in. A million Services with ten Endpoints each are within
/// it.
const MESSAGES_MAX: usize = 20_000_000;
/// How many refusals are kept; the rest are counted.
const REFUSALS_MAX: usize = 8;
/// How much of a refused message is kept, bytes: its fixed headers and first attributes.
const REFUSED_MAX: usize = 256;
/// How many signals may interrupt one wait.
const INTERRUPTIONS_MAX: usize = 16;

/// The protocols in use, with their names for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses, routes.
    Route,
    /// IPVS, and the controller that knows its number.
    Generic,
    /// ipset.
    Netfilter,
}

impl Family {
    fn protocol(self) -> Option<Protocol> {
        match self {
            // Protocol 0 of AF_NETLINK is NETLINK_ROUTE.
            Self::Route => None,
            Self::Generic => Some(netlink::GENERIC),
            Self::Netfilter => Some(netlink::NETFILTER),
        }
    }
}

/// One message that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its position in the batch, from 0.
    pub position: usize,
    /// The error number.
    pub errno: i32,
    /// The kernel's own words, if any.
    pub words: Option<String>,
    /// The start of the message as the kernel sent it back; only ipset sends more than its header.
    pub refused: Vec<u8>,
}

impl Refusal {
    fn of(sequence: usize, reply: ErrorReply<'_>) -> Self {
        let refused = reply.refused.get(..REFUSED_MAX).unwrap_or(reply.refused).to_vec();
        let position = sequence.saturating_sub(1);
        Self { position, errno: reply.errno, words: reply.words, refused }
    }
}

/// Why an act on a socket failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused messages; the others of the same chunk are done, later chunks were not
    /// sent.
    #[error("the kernel refuses: {}", in_words(first, *count))]
    Refused {
        /// The first of them, never empty.
        first: Vec<Refusal>,
        /// How many there are.
        count: usize,
    },
    /// A system call failed.
    #[error("{call}: {source}")]
    Io {
        /// The call.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The answer cannot be understood.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

fn in_words(first: &[Refusal], count: usize) -> String {
    let Some(refusal) = first.first() else { return String::new() };
    let words = refusal.words.as_ref().map(|words| format!(" ({words})")).unwrap_or_default();
    let more = if count > 1 { format!(", and {} more messages", count - 1) } else { String::new() };
    format!("{}{words}{more}", io::Error::from_raw_os_error(refusal.errno))
}

impl NetlinkError {
    /// Whether all that the kernel said is that what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { first, .. }
            if first.iter().all(|refusal| refusal.errno == libc::ENOENT))
    }
}

fn failed(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> NetlinkError {
    move |errno| NetlinkError::Io { call, source: errno.into() }
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread, large buffers and all.
    ///
    /// # Errors
    /// A refused system call; raising the buffers takes `CAP_NET_ADMIN`, as does all that follows.
    pub fn open(family: Family) -> Result<Self, NetlinkError> {
        let protocol = family.protocol();
        let flags = SocketFlags::CLOEXEC;
        let descriptor =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)
                .map_err(failed("socket"))?;
        sockopt::set_socket_send_buffer_size_force(&descriptor, SEND_BUFFER_BYTES)
            .map_err(failed("setsockopt SO_SNDBUFFORCE"))?;
        sockopt::set_socket_recv_buffer_size_force(&descriptor, RECEIVE_BUFFER_BYTES)
            .map_err(failed("setsockopt SO_RCVBUFFORCE"))?;
        sockopt::set_socket_timeout(&descriptor, sockopt::Timeout::Recv, Some(ANSWER_DEADLINE))
            .map_err(failed("setsockopt SO_RCVTIMEO"))?;
        // Errors need not carry the refused message, and should carry the kernel's words.
        for option in [libc::NETLINK_CAP_ACK, libc::NETLINK_EXT_ACK] {
            switch_on(&descriptor, option)?;
        }
        // To the kernel (port id 0), so that nobody else's message is taken for an answer.
        rustix::net::connect(&descriptor, &SocketAddrNetlink::new(0, 0))
            .map_err(failed("connect"))?;
        Ok(Self { descriptor, buffer: vec![0; DATAGRAM_MAX] })
    }

    /// Hands a batch over, one send a chunk, and returns when the kernel has taken all of it.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] after the first chunk in which a message was refused.
    pub fn submit(&mut self, batch: &Batch) -> Result<(), NetlinkError> {
        for (bytes, positions) in batch.chunks() {
            self.exchange(bytes, positions.end, |_| Ok(()))?;
        }
        Ok(())
    }

    /// Sends one request (the only message of `request`) and passes every message of the answer to
    /// `each`.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`], or what `each` found malformed. A list that changed meanwhile is
    /// an error too.
    pub fn ask(
        &mut self,
        request: &Batch,
        each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        self.exchange(request.bytes(), request.len(), each)
    }

    /// Sends `bytes` and reads until the message with sequence number `last` is answered or a list
    /// has ended.
    fn exchange(
        &mut self,
        bytes: &[u8],
        last: usize,
        mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), NetlinkError> {
        let sent = rustix::net::send(&self.descriptor, bytes, SendFlags::empty())
            .map_err(failed("send"))?;
        if sent != bytes.len() {
            return Err(NetlinkError::Io { call: "send", source: io::ErrorKind::WriteZero.into() });
        }
        let (mut first, mut count, mut seen) = (Vec::new(), 0, 0);
        while seen < MESSAGES_MAX {
            let length = self.receive()?;
            for message in Messages::of(self.buffer.get(..length).unwrap_or_default()) {
                let message = message?;
                seen += 1;
                if message.flags & DUMP_INTR != 0 && message.kind != ERROR {
                    return Err(Malformed("the objects changed while they were listed").into());
                }
                let sequence = usize::try_from(message.sequence).unwrap_or(0);
                let (reply, is_end) = match message.kind {
                    ERROR => (ErrorReply::of(&message)?, sequence == last),
                    DONE => (ErrorReply::of_end_of_list(&message)?, true),
                    _ => {
                        each(&message)?;
                        continue;
                    }
                };
                if reply.errno != 0 {
                    count += 1;
                    if first.len() < REFUSALS_MAX {
                        first.push(Refusal::of(sequence, reply));
                    }
                }
                if is_end {
                    let refused = NetlinkError::Refused { first, count };
                    return if count == 0 { Ok(()) } else { Err(refused) };
                }
            }
        }
        Err(Malformed("the answer has no end").into())
    }

    /// Reads one datagram into the buffer and returns its length.
    fn receive(&mut self) -> Result<usize, NetlinkError> {
        for _ in 0..INTERRUPTIONS_MAX {
            match rustix::net::recv(&self.descriptor, self.buffer.as_mut_slice(), RecvFlags::TRUNC)
            {
                Ok((_, length)) if length > DATAGRAM_MAX => {
                    return Err(Malformed("a datagram is longer than 128 KiB").into());
                }
                Ok((_, 0)) => return Err(Malformed("a datagram is empty").into()),
                Ok((_, length)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(failed("recv")(errno)),
            }
        }
        Err(failed("recv")(rustix::io::Errno::INTR))
    }
}

/// Everything that `read` finds in the answer to `request`, by a socket of its own.
pub(super) fn list<T, F: IntoIterator<Item = T>>(
    family: Family,
    request: &Batch,
    read: impl Fn(&Message<'_>) -> Result<F, Malformed>,
) -> Result<Vec<T>, NetlinkError> {
    let mut found = Vec::new();
    Socket::open(family)?.ask(request, |message| {
        found.extend(read(message)?);
        Ok(())
    })?;
    Ok(found)
}

/// Switches on a `SOL_NETLINK` option, for which `rustix` has no call.
fn switch_on(descriptor: &impl AsFd, option: libc::c_int) -> Result<(), NetlinkError> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the value is a live c_int, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            descriptor.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(NetlinkError::Io { call: "setsockopt SOL_NETLINK", source: io::Error::last_os_error() })
}
