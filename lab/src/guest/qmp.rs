//! The few words of QEMU's monitor protocol that a snapshot needs. Every wait has an end.
//!
//! One request at a time over a Unix socket, one JSON object a line (`docs/interop/qmp-spec.txt`,
//! QEMU 7.2).

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::patience::Patience;

/// Pause between two looks at something that has no notification.
const POLL: Duration = Duration::from_millis(3);
/// How often someone who waits for an event looks up from it.
const LOOK: Duration = Duration::from_millis(500);
/// Events that may arrive between a request and its answer.
const EVENTS_MAX: usize = 1000;

/// A monitor connection, past its greeting.
#[derive(Debug)]
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
    /// The beginning of an object whose rest has not come yet.
    pending: Vec<u8>,
    patience: Patience,
}

impl Monitor {
    /// Connects to the socket, which QEMU may not have made yet, for as long as QEMU runs.
    pub(super) fn connect(
        socket: &Path,
        mut patience: Patience,
        is_running: &dyn Fn() -> bool,
    ) -> io::Result<Self> {
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if patience.over().is_some() || !is_running() => return Err(error),
                Err(_) => std::thread::sleep(POLL),
            }
        };
        let mut monitor = Self { reader: BufReader::new(stream), pending: Vec::new(), patience };
        monitor.read_answer()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Sends one command and returns what it answered.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<Value> {
        let mut request = json!({ "execute": command, "arguments": arguments }).to_string();
        request.push('\n');
        self.reader.get_mut().write_all(request.as_bytes())?;
        for _ in 0..EVENTS_MAX {
            let mut answer = self.read_answer()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refused `{command}`: {error}")));
            }
        }
        Err(io::Error::other(format!("QEMU did not answer `{command}`")))
    }

    /// Waits until `query` answers with a `status` that `wanted` accepts. For a guest that does not
    /// run: each question is work for QEMU's main loop.
    pub(super) fn wait_status(
        &mut self,
        query: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> io::Result<()> {
        loop {
            let answer = self.execute(query, &json!({}))?;
            let status = answer.get("status").and_then(Value::as_str).unwrap_or("none");
            if wanted(status) {
                return Ok(());
            }
            if status == "failed" || status == "internal-error" {
                return Err(io::Error::other(format!("QEMU: {query} says {answer}")));
            }
            self.in_time(&|| format!("{query} still says `{status}`"))?;
            std::thread::sleep(POLL);
        }
    }

    /// Waits until QEMU tells of `event` by itself. `look` is asked now and then whether waiting is
    /// still worth it.
    pub(super) fn wait_event(
        &mut self,
        event: &str,
        look: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            self.in_time(&|| format!("`{event}` did not happen"))?;
            let object = self.read_object()?;
            if object.is_some_and(|object| object.get("event").is_some_and(|name| name == event)) {
                return Ok(());
            }
            look()?;
        }
    }

    /// Threads that the guest's processors are, as the host's system knows them.
    pub(super) fn processor_threads(&mut self) -> io::Result<Vec<i32>> {
        let answer = self.execute("query-cpus-fast", &json!({}))?;
        let threads = thread_ids(&answer);
        if threads.is_empty() {
            return Err(io::Error::other(format!("QEMU names no thread of a processor: {answer}")));
        }
        Ok(threads)
    }

    fn read_answer(&mut self) -> io::Result<Value> {
        loop {
            if let Some(object) = self.read_object()? {
                return Ok(object);
            }
            self.in_time(&|| "it does not answer".to_owned())?;
        }
    }

    /// # Errors
    /// Waiting is over; `what` is still the case.
    fn in_time(&mut self, what: &dyn Fn() -> String) -> io::Result<()> {
        if self.patience.over().is_none() {
            return Ok(());
        }
        let problem = format!("QEMU: {} at the deadline", what());
        Err(io::Error::new(ErrorKind::TimedOut, problem))
    }

    /// The next object, or nothing if none is complete soon.
    fn read_object(&mut self) -> io::Result<Option<Value>> {
        self.reader.get_ref().set_read_timeout(Some(LOOK))?;
        match self.reader.read_until(b'\n', &mut self.pending) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "QEMU closed its monitor")),
            Ok(_) => Ok(Some(serde_json::from_slice(&std::mem::take(&mut self.pending))?)),
            // What the system says of a socket on which nothing came in time (`socket(7)`,
            // `SO_RCVTIMEO`).
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Every `thread-id` of an answer to `query-cpus-fast` (`qapi/machine.json`, QEMU 7.2).
fn thread_ids(answer: &Value) -> Vec<i32> {
    let processors = answer.as_array().into_iter().flatten();
    let ids = processors.filter_map(|processor| processor.get("thread-id")?.as_i64());
    ids.filter_map(|id| i32::try_from(id).ok().filter(|id| *id > 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::patience::Limit;
    use super::*;

    /// A monitor of which the other end is ours.
    fn connected(patience: Duration) -> (Monitor, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        let patience = Patience::new(Limit::Wall(patience), std::process::id());
        (Monitor { reader: BufReader::new(here), pending: Vec::new(), patience }, there)
    }

    #[test]
    fn an_event_is_waited_for_past_others_and_past_an_object_in_two_pieces() {
        let (mut monitor, mut qemu) = connected(Duration::from_mins(1));
        qemu.write_all(b"{\"event\": \"RESUME\"}\n{\"event\":").unwrap();
        let mut rest = Some(b" \"GUEST_PANICKED\"}\n");
        let mut looks = 0;
        let mut look = || {
            looks += 1;
            if looks > 1
                && let Some(rest) = rest.take()
            {
                qemu.write_all(rest)?;
            }
            Ok(())
        };
        monitor.wait_event("GUEST_PANICKED", &mut look).unwrap();
        assert_eq!(looks, 2, "after the first event, and after a wait in vain");
    }

    #[test]
    fn waiting_for_an_event_ends_with_the_deadline_with_the_looker_or_with_qemu() {
        let (mut monitor, qemu) = connected(Duration::ZERO);
        let late = monitor.wait_event("X", &mut || Ok(())).unwrap_err();
        assert_eq!(late.to_string(), "QEMU: `X` did not happen at the deadline");
        let minute = Limit::Wall(Duration::from_mins(1));
        monitor.patience = Patience::new(minute, std::process::id());
        let hung = monitor.wait_event("X", &mut || Err(io::Error::other("hung"))).unwrap_err();
        assert_eq!(hung.to_string(), "hung");
        drop(qemu);
        let gone = monitor.wait_event("X", &mut || Ok(())).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn processors_name_their_threads_and_nonsense_names_none() {
        let answer = json!([{"cpu-index": 0, "target": "x86_64", "thread-id": 4711, "qom-path": "/machine/x"}]);
        assert_eq!(thread_ids(&answer), [4711]);
        for nonsense in [json!({}), json!([{"thread-id": -1}]), json!([{"thread-id": "x"}, 7])] {
            assert_eq!(thread_ids(&nonsense), [0_i32; 0], "{nonsense}");
        }
    }
}
