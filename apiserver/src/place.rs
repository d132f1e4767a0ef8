//! Where the API may be served: at a loopback address, or in a network namespace of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::error::ApiError;

/// A listener in the network namespace of the calling thread.
///
/// # Errors
/// [`ApiError::NotLoopback`], [`ApiError::Listen`].
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, ApiError> {
    if !address.ip().is_loopback() && !is_apart(network(THIS_THREAD), OTHERS.map(network)) {
        return Err(ApiError::NotLoopback { address });
    }
    let refused = |source: std::io::Error| {
        let remedy = match source.kind() {
            std::io::ErrorKind::AddrInUse => "stop who serves there, or take another port",
            std::io::ErrorKind::PermissionDenied => "take a port from 1024 on",
            _ => "take an address and port of this host",
        };
        ApiError::Listen { address, source, remedy }
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

const THIS_THREAD: &str = "/proc/thread-self/ns/net";
/// The process as it was started, and the machine's first one.
const OTHERS: [&str; 2] = ["/proc/self/ns/net", "/proc/1/ns/net"];

/// What names a network namespace; nothing without the right to ask.
fn network(file: &str) -> Option<PathBuf> {
    fs::read_link(file).ok()
}

/// Whether this thread is known to be in another namespace than one of those.
fn is_apart(own: Option<PathBuf>, others: [Option<PathBuf>; 2]) -> bool {
    own.is_some_and(|own| others.into_iter().flatten().any(|other| other != own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_can_reach_is_refused_with_the_remedy() {
        for address in ["0.0.0.0:8001", "[::]:8001", "192.0.2.1:8001"] {
            let error = listen(address.parse().unwrap()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("{address} can be reached from outside")),
                "{error}"
            );
            assert!(error.contains("such as 127.0.0.1:8001, or in a network namespace"), "{error}");
        }
    }

    #[test]
    fn a_namespace_is_one_of_its_own_only_if_that_is_known() {
        let (one, other) = (|| Some("net:[1]".into()), || Some("net:[2]".into()));
        for others in [[one(), other()], [other(), one()], [other(), None], [None, other()]] {
            assert!(is_apart(one(), others));
        }
        for others in [[one(), one()], [one(), None], [None, one()], [None, None]] {
            assert!(!is_apart(one(), others));
        }
        assert!(!is_apart(None, [one(), other()]));
    }

    #[test]
    fn an_address_in_use_is_named() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot serve at {address}: ")), "{error}");
        assert!(error.ends_with("stop who serves there, or take another port"), "{error}");
    }
}
