//! The thread that copies, and how it is told what to do. It runs in the network namespace of the
//! thread that starts it, and there is one a namespace.
//!
//! It holds a name: an abstract Unix socket, which is of a network namespace (unix(7)). Whoever
//! connects to it asks it to end, and is answered by the end of that connection when every socket
//! is closed. So a proxy that starts takes over from one that is there, also of another process.

use std::io::{self, ErrorKind, Read as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, Builder, JoinHandle};
use std::time::{Duration, Instant};

use linux::{CpuTime, IoError, usage};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::listeners::{At, Listeners, Target};
use super::site::Site;
use crate::error::ProxyError;

/// The name that it holds.
const NAME: &str = "vipbench-userspace";
/// How long another one has to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// A proxy that runs. It ends when this drops: its sockets are closed then.
#[derive(Debug)]
pub(super) struct Worker {
    commands: Option<UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Command {
    Change {
        close: Vec<At>,
        open: Vec<(At, Target)>,
        done: SyncSender<(Result<(), ProxyError>, CpuTime)>,
    },
    Tell(SyncSender<Listeners>),
}

impl Worker {
    /// Starts one in the place of any that is there.
    ///
    /// # Errors
    /// One that is there does not end; no thread, no socket.
    pub fn start() -> Result<Self, ProxyError> {
        let cannot = |what: &'static str| IoError::of(what, "the userspace proxy");
        let name = take_name()?;
        name.set_nonblocking(true).map_err(cannot("set up the name of"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(cannot("make the runtime of"))?;
        let (commands, received) = unbounded_channel();
        let run = move || {
            let successor = runtime.block_on(serve(name, received));
            // Closes every socket; then the one who asked for it may know.
            drop(runtime);
            drop(successor);
        };
        let thread = Builder::new().name("userspace".into()).spawn(run);
        let thread = Some(thread.map_err(cannot("start the thread of"))?);
        Ok(Self { commands: Some(commands), thread })
    }

    /// Whether it still runs: another may have taken over.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Closes and opens listeners. Returns what that took of the thread that copies.
    ///
    /// # Errors
    /// The first address at which it cannot listen; it has ended.
    pub fn change(&self, close: Vec<At>, open: Vec<(At, Target)>) -> Result<CpuTime, ProxyError> {
        let (result, taken) = self.ask(|done| Command::Change { close, open, done })?;
        result.map(|()| taken)
    }

    /// What it works by.
    ///
    /// # Errors
    /// It has ended.
    pub fn listeners(&self) -> Result<Listeners, ProxyError> {
        self.ask(Command::Tell)
    }

    /// Waits for the answer, which comes or the thread has ended.
    fn ask<T>(&self, command: impl FnOnce(SyncSender<T>) -> Command) -> Result<T, ProxyError> {
        let (answer, answered) = sync_channel(1);
        let sent = self.commands.as_ref().and_then(|all| all.send(command(answer)).ok());
        sent.and_then(|()| answered.recv().ok()).ok_or_else(|| ProxyError::Request {
            reason: "the userspace proxy of this namespace has ended; a full sync starts one"
                .into(),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // No sender is the signal.
        drop(self.commands.take());
        // A panic of it was printed, and what it had open is closed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Ends the proxy of this namespace, if there is one.
///
/// # Errors
/// It does not end.
pub(super) fn end() -> Result<(), ProxyError> {
    let ask = || {
        let mut stream = UnixStream::connect_addr(&name()?)?;
        stream.set_read_timeout(Some(END_LIMIT))?;
        stream.read(&mut [0]).map(drop)
    };
    let mut asked = ask();
    // A signal to this process says nothing of that one.
    while asked.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
        asked = ask();
    }
    match asked {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        // It ended before it could say so.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => Ok(other.map_err(IoError::of("end", "the userspace proxy of this namespace"))?),
    }
}

/// Takes the name from any that has it. One that has ended may leave it taken for a moment: a child
/// process that was forked meanwhile holds every file until it executes its program.
fn take_name() -> Result<UnixListener, ProxyError> {
    let began = Instant::now();
    loop {
        end()?;
        match name().and_then(|name| UnixListener::bind_addr(&name)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && began.elapsed() < END_LIMIT => {
                thread::sleep(Duration::from_millis(1));
            }
            other => {
                return Ok(other.map_err(IoError::of("take the name of", "the userspace proxy"))?);
            }
        }
    }
}

fn name() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(NAME)
}

/// Does what it is told until nobody can tell it any more, or until it is asked to end.
async fn serve(
    name: UnixListener,
    mut commands: UnboundedReceiver<Command>,
) -> Option<tokio::net::UnixStream> {
    let name = tokio::net::UnixListener::from_std(name).ok()?;
    let mut site = Site::new();
    loop {
        let command = tokio::select! {
            command = commands.recv() => command?,
            Ok((successor, _)) = name.accept() => return Some(successor),
        };
        match command {
            Command::Change { close, open, done } => {
                let before = usage::of_this_thread();
                let result = site.change(&close, open).await;
                // Whoever asked waits, or is gone.
                let _ = done.send((result, usage::of_this_thread() - before));
            }
            Command::Tell(answer) => {
                let _ = answer.send(site.listeners());
            }
        }
    }
}
