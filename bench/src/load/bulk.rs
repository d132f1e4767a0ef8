//! Bytes through one connection, as many as come: what is left of a proxy's cost when a connection
//! is long.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::background::Background;

/// What is written and read at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Longest wait for the other side.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads whatever comes, from one client at a time, and then closes. It stops when it drops.
#[derive(Debug)]
pub struct Sink {
    _thread: Background,
}

impl Sink {
    /// Serves a listener on a thread of its own.
    ///
    /// # Errors
    /// No descriptor or thread left.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let serve = move |stopped| swallow_all(&listener, &stopped);
        Ok(Self { _thread: Background::start("sink", serve)? })
    }
}

fn swallow_all(listener: &TcpListener, stopped: &OwnedFd) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) {
            return;
        }
        let [_, stop] = &fds;
        if !stop.revents().is_empty() {
            return;
        }
        if let Ok((client, _)) = listener.accept() {
            // What becomes of one client is seen by that client.
            let _ = swallow(client, &mut buffer);
        }
    }
}

fn swallow(mut client: TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(PATIENCE))?;
    while client.read(buffer)? > 0 {}
    Ok(())
}

/// Sends `bytes` to a [`Sink`] in the namespace of the calling thread, and returns when all have
/// been read.
///
/// # Errors
/// Nobody is there, or nothing moves for ten seconds.
pub fn send(to: SocketAddr, bytes: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let piece = vec![0; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let written = stream.write(piece.get(..most).unwrap_or_default())?;
        left -= written as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The sink closes when it has read the end.
    stream.read(&mut [0]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_again_and_again_until_the_sink_stops() {
        let listener = TcpListener::bind("127.72.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sink = Sink::start(listener).unwrap();
        for bytes in [0, 1, 3 << 20] {
            send(address, bytes).unwrap();
        }
        drop(sink);
        assert!(send(address, 1).is_err());
    }
}
