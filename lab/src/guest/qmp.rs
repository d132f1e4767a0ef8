//! The few words of QEMU's monitor protocol that a snapshot needs. Every wait has a deadline.
//!
//! One request at a time over a Unix socket, one JSON object a line (`docs/interop/qmp-spec.txt`, QEMU 7.2).

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Pause between two looks at something that has no notification.
const POLL: Duration = Duration::from_millis(3);
/// Events that may arrive between a request and its answer.
const EVENTS_MAX: usize = 1000;

/// A monitor connection, past its greeting.
#[derive(Debug)]
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
    deadline: Instant,
}

impl Monitor {
    /// Connects to the socket, which QEMU may not have made yet, for as long as QEMU runs.
    pub(super) fn connect(
        socket: &Path,
        deadline: Instant,
        is_running: &dyn Fn() -> bool,
    ) -> io::Result<Self> {
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline || !is_running() => return Err(error),
                Err(_) => std::thread::sleep(POLL),
            }
        };
        let mut monitor = Self { reader: BufReader::new(stream), deadline };
        monitor.read_object()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Sends one command and returns what it answered.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> io::Result<Value> {
        let mut request = json!({ "execute": command, "arguments": arguments }).to_string();
        request.push('\n');
        self.reader.get_mut().write_all(request.as_bytes())?;
        for _ in 0..EVENTS_MAX {
            let mut answer = self.read_object()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("QEMU refused `{command}`: {error}")));
            }
        }
        Err(io::Error::other(format!("QEMU did not answer `{command}`")))
    }

    /// Waits until `query` answers with a `status` that `wanted` accepts, or `wanted` finds waiting pointless.
    pub(super) fn wait_status(
        &mut self,
        query: &str,
        wanted: &mut dyn FnMut(&str) -> io::Result<bool>,
    ) -> io::Result<()> {
        loop {
            let answer = self.execute(query, &json!({}))?;
            let status = answer.get("status").and_then(Value::as_str).unwrap_or("none");
            if wanted(status)? {
                return Ok(());
            }
            if status == "failed" || status == "internal-error" {
                return Err(io::Error::other(format!("QEMU: {query} says {answer}")));
            }
            if Instant::now() >= self.deadline {
                let message = format!("QEMU: {query} still says `{status}` at the deadline");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            std::thread::sleep(POLL);
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

    fn read_object(&mut self) -> io::Result<Value> {
        let left = self.deadline.saturating_duration_since(Instant::now()).max(POLL);
        self.reader.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "QEMU closed its monitor"));
        }
        Ok(serde_json::from_str(&line)?)
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
    use super::*;

    #[test]
    fn processors_name_their_threads_and_nonsense_names_none() {
        let answer = json!([{"cpu-index": 0, "target": "x86_64", "thread-id": 4711, "qom-path": "/machine/x"}]);
        assert_eq!(thread_ids(&answer), [4711]);
        for nonsense in [json!({}), json!([{"thread-id": -1}]), json!([{"thread-id": "x"}, 7])] {
            assert_eq!(thread_ids(&nonsense), [0_i32; 0], "{nonsense}");
        }
    }
}
