//! The client of bare sockets: many connections of one thread, by non-blocking system calls and
//! epoll.
//!
//! A connection takes as few calls as it can: what the kernel does at once, as a handshake on one
//! machine, is never waited for. Nothing is allocated once it runs, but for answers that come in
//! pieces.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send, socket_with,
};

use super::answer::{Progress, Reading};
use super::journal::Ended;
use super::ledger::{Due, Ledger, timespec};
use super::plan::Ending;
use super::source::Ports;
use super::tally::ErrorKind;
use crate::load::server::family_of;

/// Events that one look at the kernel gives.
const EVENTS_MAX: usize = 128;
/// Connections begun before answers are looked at again, so that a client which is late does not
/// let those wait too.
const BEGUN_MAX: u32 = 4;
/// Where answers are read to.
const READ_BYTES: usize = 64 << 10;
/// How long before a moment the thread wakes to meet it by looking at the clock.
const SPIN_NS: u64 = 200_000;
/// Source ports that are tried before a connection is given up.
const PORTS_TRIED: u32 = 64;

/// A connection, or room for one.
#[derive(Default)]
struct Slot {
    socket: Option<OwnedFd>,
    /// Counts the connections of this slot, so that a late event of an earlier one is known.
    generation: u32,
    target: usize,
    is_established: bool,
    planned: u64,
    sent: u64,
    /// When the present request was sent.
    asked: u64,
    /// Requests that are still to be answered.
    left: u32,
    /// Who answered last, where answers tell.
    who: Option<SocketAddr>,
    reading: Reading,
}

/// One worker's connections.
pub(super) struct Sockets {
    ledger: Ledger,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// When connections time out, in the order they began: moment, slot, generation.
    deadlines: VecDeque<(u64, usize, u32)>,
    ports: Ports,
    request: Vec<u8>,
    buffer: Vec<u8>,
    timeout_ns: u64,
}

impl Sockets {
    /// All that a worker needs, allocated.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn new(ledger: Ledger, ports: Ports) -> Result<Self, Errno> {
        let room = ledger.open_max() as usize;
        let timeout_ns = u64::try_from(ledger.plan.timeout.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: std::iter::repeat_with(Slot::default).take(room).collect(),
            free: (0..room).rev().collect(),
            deadlines: VecDeque::with_capacity(room),
            ports,
            request: ledger.plan.question.bytes(ledger.plan.requests),
            buffer: vec![0; READ_BYTES],
            timeout_ns,
            ledger,
        })
    }

    /// Makes connections until the end of the plan, and waits for those that are open.
    ///
    /// # Errors
    /// The kernel does not tell events any more.
    pub(super) fn run(mut self) -> Result<(), Errno> {
        let none = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [none; EVENTS_MAX];
        loop {
            let now = self.begin_due();
            self.expire(now);
            self.ledger.hand_over(now);
            if self.ledger.is_idle() && self.ledger.next_at(now) == u64::MAX {
                self.ledger.finish();
                return Ok(());
            }
            for event in self.wait(&mut events)? {
                let data = event.data.u64();
                let (generation, slot) = ((data >> 32) as u32, (data & 0xffff_ffff) as usize);
                self.handle(slot, generation, event.flags);
            }
        }
    }

    /// Begins what is due, and tells the time.
    fn begin_due(&mut self) -> u64 {
        for _ in 0..BEGUN_MAX {
            let now = self.ledger.clock.now();
            match self.ledger.take_due(now) {
                Some(due) => self.begin(due),
                None => return now,
            }
        }
        self.ledger.clock.now()
    }

    fn begin(&mut self, due: Due) {
        let Some(at) = self.free.pop() else { return };
        if let Err(kind) = self.open(at, due) {
            let now = self.ledger.clock.now();
            let Due { planned, target } = due;
            let outcome = Err(kind);
            self.ledger.write(Ended { target, planned, sent: now, ended: now, outcome });
            self.ledger.failed(kind);
            self.free.push(at);
        }
    }

    /// Opens a connection and, where the handshake is over at once, asks.
    fn open(&mut self, at: usize, due: Due) -> Result<(), ErrorKind> {
        let dialled = self.ledger.plan.targets.get(due.target).ok_or(ErrorKind::Other)?;
        let to = dialled.address;
        let socket = self.socket(to)?;
        let sent = self.ledger.clock.now();
        let connected = connect(&socket, &to);
        let Some(slot) = self.slots.get_mut(at) else { return Ok(()) };
        slot.generation = slot.generation.wrapping_add(1);
        (slot.target, slot.planned, slot.sent) = (due.target, due.planned, sent);
        (slot.is_established, slot.left) = (false, self.ledger.plan.requests.max(1));
        slot.who = None;
        slot.reading.clear();
        self.ledger.opened(sent);
        self.ledger.begun(due.planned, sent);
        match connected {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => {
                self.ledger.closed(sent, self.ledger.clock.now());
                return Err(errno.into());
            }
        }
        slot.socket = Some(socket);
        self.ask_if_established(at);
        self.watch(at);
        Ok(())
    }

    /// From now on events of a connection, if it is still open, and its timeout are told. What is
    /// there already is told by the first look.
    fn watch(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let Some(socket) = &slot.socket else { return };
        let readable = EventFlags::IN | EventFlags::ET;
        let flags = if slot.is_established { readable } else { readable | EventFlags::OUT };
        let data = EventData::new_u64(u64::from(slot.generation) << 32 | at as u64);
        let deadline = (slot.sent.saturating_add(self.timeout_ns), at, slot.generation);
        if epoll::add(&self.epoll, socket, data, flags).is_err() {
            return self.end(at, Err(ErrorKind::NoDescriptor));
        }
        self.deadlines.push_back(deadline);
    }

    /// A socket that can be dialled with.
    fn socket(&mut self, to: SocketAddr) -> Result<OwnedFd, ErrorKind> {
        let plan = &self.ledger.plan;
        let is_datagram = plan.question.is_datagram();
        let kind = if is_datagram { SocketType::DGRAM } else { SocketType::STREAM };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family_of(to), kind, flags, None).map_err(ErrorKind::from)?;
        match plan.ending {
            Ending::Reset if !is_datagram => {
                set_socket_linger(&socket, Some(Duration::ZERO)).map_err(ErrorKind::from)?;
            }
            // A port may be taken again while the connection before is remembered.
            Ending::Finish => set_socket_reuseaddr(&socket, true).map_err(ErrorKind::from)?,
            Ending::Reset => {}
        }
        for _ in 0..PORTS_TRIED {
            let Some(from) = self.ports.next() else { return Ok(socket) };
            match bind(&socket, &from) {
                Ok(()) => return Ok(socket),
                Err(Errno::ADDRINUSE) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(ErrorKind::NoPort)
    }

    /// Sends the first request, if the connection is there.
    fn ask_if_established(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Some(socket) = &slot.socket else { return };
        let connected = self.ledger.clock.now();
        // One of no bytes tells whether a connection is there all the same (`tcp_sendmsg_locked`,
        // net/ipv4/tcp.c, Linux 6.1).
        let sent = send(socket, &self.request, SendFlags::NOSIGNAL);
        match sent {
            Ok(_) => {
                slot.is_established = true;
                slot.asked = connected;
                self.ledger.connected(slot.planned, slot.sent, connected);
                if self.request.is_empty() {
                    self.end(at, Ok(()));
                }
            }
            Err(Errno::AGAIN) => {}
            Err(errno) => self.end(at, Err(errno.into())),
        }
    }

    fn handle(&mut self, at: usize, generation: u32, flags: EventFlags) {
        let Some(slot) = self.slots.get(at) else { return };
        if slot.generation != generation || slot.socket.is_none() {
            return;
        }
        if !slot.is_established {
            self.ask_if_established(at);
        } else if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(at);
        }
    }

    /// Reads what is there.
    fn read(&mut self, at: usize) {
        loop {
            let Some(slot) = self.slots.get_mut(at) else { return };
            let Some(socket) = &slot.socket else { return };
            let count = match recv(socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((_, count)) => count,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(errno) => return self.end(at, Err(errno.into())),
            };
            let bytes = self.buffer.get(..count).unwrap_or_default();
            if slot.asked != 0 {
                self.ledger.first_byte(slot.planned, slot.sent, slot.asked, slot.left);
                slot.asked = 0;
            }
            let plan = &self.ledger.plan;
            let Some(target) = plan.targets.get(slot.target) else { return };
            match slot.reading.take(&plan.question, target.address, bytes) {
                Ok(Progress::Partial) => {}
                Ok(Progress::Complete(Some(who)))
                    if !target.allowed.is_empty() && !target.allowed.contains(&who) =>
                {
                    return self.end(at, Err(ErrorKind::WrongEndpoint));
                }
                Ok(Progress::Complete(who)) => {
                    slot.who = who;
                    return self.answered(at);
                }
                Err(kind) => return self.end(at, Err(kind)),
            }
        }
    }

    /// One answer is complete: the next request, or the end.
    fn answered(&mut self, at: usize) {
        self.ledger.tally.answers += 1;
        let Some(slot) = self.slots.get_mut(at) else { return };
        slot.left -= 1;
        if slot.left == 0 {
            return self.end(at, Ok(()));
        }
        slot.reading.clear();
        slot.asked = self.ledger.clock.now();
        let Some(socket) = &slot.socket else { return };
        if let Err(errno) = send(socket, &self.request, SendFlags::NOSIGNAL) {
            self.end(at, Err(errno.into()));
        }
    }

    /// Closes a connection, whatever it came to.
    fn end(&mut self, at: usize, outcome: Result<(), ErrorKind>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let Some(socket) = slot.socket.take() else { return };
        let before = self.ledger.clock.now();
        drop(socket);
        let now = self.ledger.clock.now();
        let (target, planned, sent, who) = (slot.target, slot.planned, slot.sent, slot.who);
        self.ledger.write(Ended {
            target,
            planned,
            sent,
            ended: now,
            outcome: outcome.map(|()| who),
        });
        self.free.push(at);
        self.ledger.closed(sent, now);
        match outcome {
            Ok(()) => self.ledger.completed(planned, sent, before, now),
            Err(kind) => self.ledger.failed(kind),
        }
    }

    /// Gives up connections whose time is over.
    fn expire(&mut self, now: u64) {
        while let Some(&(deadline, at, generation)) = self.deadlines.front() {
            let is_open = self
                .slots
                .get(at)
                .is_some_and(|slot| slot.generation == generation && slot.socket.is_some());
            if is_open && deadline > now {
                return;
            }
            self.deadlines.pop_front();
            if is_open {
                self.end(at, Err(ErrorKind::TimedOut));
            }
        }
    }

    /// Waits until something happened or is to be done.
    fn wait<'e>(
        &mut self,
        events: &'e mut [epoll::Event; EVENTS_MAX],
    ) -> Result<&'e [epoll::Event], Errno> {
        let deadline = self.deadlines.front().map_or(u64::MAX, |(deadline, ..)| *deadline);
        let now = self.ledger.clock.now();
        let left = self.ledger.wakes_at(now).min(deadline).saturating_sub(now);
        let spin = if self.ledger.plan.spins { SPIN_NS } else { 0 };
        if left > spin {
            let timeout = timespec(left - spin);
            let mut fds = [PollFd::from_borrowed_fd(self.epoll.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        match epoll::wait(&self.epoll, &mut events[..], Some(&Timespec::default())) {
            Ok(count) => Ok(events.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => Ok(&[]),
            Err(errno) => Err(errno),
        }
    }
}
