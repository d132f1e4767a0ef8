//! A thread that serves until what holds it drops.

use std::io;
use std::os::fd::OwnedFd;
use std::thread::{Builder, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};

/// The thread, and what tells it to stop.
#[derive(Debug)]
pub(super) struct Background {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts it. It is to end when the descriptor that it is given becomes readable.
    ///
    /// # Errors
    /// No descriptor or thread left.
    pub(super) fn start(
        name: &str,
        serve: impl FnOnce(OwnedFd) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = rustix::io::dup(&stop)?;
        let thread = Builder::new().name(name.to_owned()).spawn(move || serve(stopped))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A thread that cannot be told to stop is left to the end of the process.
        if rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}
