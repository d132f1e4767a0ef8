//! The client of tokio and hyper: what a program built on them would see. One runtime of one thread
//! a worker, each connection a task of it.
//!
//! tokio's own timers tick once a millisecond, so the next connection is waited for by a timer of
//! the kernel.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::event::Timespec;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::net::TcpSocket;
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::ledger::{Ledger, timespec};
use super::plan::{Dialled, Ending, Plan, Question};
use super::source::Ports;
use super::tally::ErrorKind;

/// Longest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What the tasks of one worker share.
struct Shared {
    ledger: RefCell<Ledger>,
    /// Wakes the worker: a connection has ended.
    ended: Notify,
}

impl Shared {
    fn now(&self) -> u64 {
        self.ledger.borrow().clock.now()
    }
}

/// Makes connections until the end of the plan, and waits for those that are open.
///
/// # Errors
/// No descriptor left for a runtime or its timer.
pub(super) fn run(ledger: Ledger, ports: Ports) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let shared = Rc::new(Shared { ledger: RefCell::new(ledger), ended: Notify::new() });
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(drive(Rc::clone(&shared), ports)))?;
    drop(tasks);
    if let Some(shared) = Rc::into_inner(shared) {
        shared.ledger.into_inner().finish();
    }
    Ok(())
}

async fn drive(shared: Rc<Shared>, mut ports: Ports) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
    // SAFETY: the descriptor is owned by what is registered, and closed with it.
    let timer = unsafe { AsyncFd::register(timer) }?;
    let plan = shared.ledger.borrow().plan.clone();
    loop {
        let now = shared.now();
        loop {
            let Some(due) = shared.ledger.borrow_mut().take_due(now) else { break };
            let Some(target) = plan.targets.get(due.target) else { continue };
            shared.ledger.borrow_mut().opened(now);
            let connection = Connection {
                shared: Rc::clone(&shared),
                planned: due.planned,
                opened: now,
                sent: Cell::new(now),
                from: ports.next(),
                target: target.clone(),
            };
            tokio::task::spawn_local(connection.run());
        }
        let until = {
            let mut ledger = shared.ledger.borrow_mut();
            ledger.hand_over(now);
            if ledger.is_idle() && ledger.next_at(now) == u64::MAX {
                return Ok(());
            }
            ledger.wakes_at(now)
        };
        tokio::select! {
            outcome = sleep(&timer, until.saturating_sub(shared.now())) => outcome?,
            () = shared.ended.notified() => {}
        }
    }
}

/// Waits for so many nanoseconds, punctually.
async fn sleep(timer: &AsyncFd<OwnedFd>, ns: u64) -> io::Result<()> {
    // Of nothing it would never come.
    let value = timespec(ns.max(1));
    let setting = Itimerspec { it_interval: Timespec::default(), it_value: value };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &setting)?;
    timer.readable().await?.clear_ready();
    Ok(())
}

/// One connection.
struct Connection {
    shared: Rc<Shared>,
    planned: u64,
    /// When it was counted as open.
    opened: u64,
    /// When it was dialled.
    sent: Cell<u64>,
    from: Option<SocketAddr>,
    target: Dialled,
}

impl Connection {
    async fn run(self) {
        let plan = self.shared.ledger.borrow().plan.clone();
        let attempt = tokio::time::timeout(plan.timeout, self.attempt(&plan)).await;
        let outcome = attempt.unwrap_or(Err(ErrorKind::TimedOut));
        let now = self.shared.now();
        let mut ledger = self.shared.ledger.borrow_mut();
        ledger.closed(self.opened, now);
        match outcome {
            Ok(closing) => ledger.completed(self.planned, self.sent.get(), closing, now),
            Err(kind) => ledger.failed(kind),
        }
        self.shared.ended.notify_one();
    }

    /// All of it; when closing began.
    async fn attempt(&self, plan: &Plan) -> Result<u64, ErrorKind> {
        let stream = self.dial(plan).await?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| kind_of(&error))?;
        let driver = tokio::task::spawn_local(connection.without_shutdown());
        for left in (1..=plan.requests.max(1)).rev() {
            self.ask(plan, &mut sender, left).await?;
        }
        drop(sender);
        let parts = driver.await.map_err(|_| ErrorKind::Other)?.map_err(|error| kind_of(&error))?;
        let closing = self.shared.now();
        drop(parts.io);
        Ok(closing)
    }

    async fn dial(&self, plan: &Plan) -> Result<tokio::net::TcpStream, ErrorKind> {
        let to = self.target.address;
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        match plan.ending {
            Ending::Reset => socket.set_zero_linger()?,
            Ending::Finish => socket.set_reuseaddr(true)?,
        }
        if let Some(from) = self.from {
            socket.bind(from)?;
        }
        let sent = self.shared.now();
        self.sent.set(sent);
        self.shared.ledger.borrow_mut().begun(self.planned, sent);
        let stream = socket.connect(to).await?;
        let connected = self.shared.now();
        self.shared.ledger.borrow_mut().connected(self.planned, sent, connected);
        Ok(stream)
    }

    /// One request and its answer.
    async fn ask(
        &self,
        plan: &Plan,
        sender: &mut SendRequest<Empty<Bytes>>,
        left: u32,
    ) -> Result<(), ErrorKind> {
        let Question::Http { path, host } = &plan.question else { return Err(ErrorKind::Other) };
        let request = Request::get(path).header(HOST, host).body(Empty::new());
        let request = request.map_err(|_| ErrorKind::Other)?;
        let asked = self.shared.now();
        let answer = sender.send_request(request).await.map_err(|error| kind_of(&error))?;
        self.shared.ledger.borrow_mut().first_byte(self.planned, self.sent.get(), asked, left);
        self.read(answer).await?;
        self.shared.ledger.borrow_mut().tally.answers += 1;
        Ok(())
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<(), ErrorKind> {
        if !(answer.status().is_success() || answer.status().is_redirection()) {
            return Err(ErrorKind::BadAnswer);
        }
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|_| ErrorKind::BadAnswer)?.to_bytes();
        if self.target.allowed.is_empty() {
            return Ok(());
        }
        let who = std::str::from_utf8(&body).ok().and_then(|text| text.parse().ok());
        let who: SocketAddr = who.ok_or(ErrorKind::BadAnswer)?;
        if self.target.allowed.contains(&who) { Ok(()) } else { Err(ErrorKind::WrongEndpoint) }
    }
}

fn kind_of(error: &hyper::Error) -> ErrorKind {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.and_then(io::Error::raw_os_error) {
        Some(number) => rustix::io::Errno::from_raw_os_error(number).into(),
        None if error.is_parse() => ErrorKind::BadAnswer,
        None if error.is_closed() || error.is_incomplete_message() => ErrorKind::Reset,
        None => ErrorKind::Other,
    }
}
