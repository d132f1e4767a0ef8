//! Netlink for backends: messages handed over at once, and errors that name the object and the
//! remedy.

use std::io;

use linux::netlink::socket::Family;
use linux::netlink::{AddressFamily, Encoder, NetlinkError, Refusal, Socket, ipset};

use crate::error::ProxyError;

/// As the kernel numbers them.
pub(crate) const fn address_family(family: generators::Family) -> AddressFamily {
    match family {
        generators::Family::V4 => AddressFamily::V4,
        generators::Family::V6 => AddressFamily::V6,
    }
}

/// Hands over the messages that `write` writes, if there are any. Verb and object are for an error.
pub(crate) fn send(
    family: Family,
    operation: &'static str,
    object: impl Into<String>,
    write: impl FnOnce(&mut Encoder),
) -> Result<(), ProxyError> {
    let mut encoder = Encoder::default();
    write(&mut encoder);
    if encoder.len() == 0 {
        return Ok(());
    }
    Socket::open(family)
        .and_then(|mut socket| socket.submit(&encoder.finish()))
        .map_err(failed(operation, object))
}

/// Names verb and object of an act that was no batch.
pub(crate) fn failed(
    operation: &'static str,
    object: impl Into<String>,
) -> impl FnOnce(NetlinkError) -> ProxyError {
    let object = object.into();
    move |error| {
        let source = match error {
            NetlinkError::Malformed(malformed) => {
                let what = format!("the kernel's answer to `{operation} {object}`");
                return ProxyError::malformed(what, malformed.to_string());
            }
            NetlinkError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOBUFS) => {
                io::Error::other("answers did not fit the socket's buffer and were lost")
            }
            NetlinkError::Io { call, source } => {
                io::Error::new(source.kind(), format!("{call}: {source}"))
            }
            NetlinkError::Refused { first, .. } => {
                first.first().map_or_else(|| io::Error::other("refused"), refused)
            }
        };
        ProxyError::Netlink { operation, object, source }
    }
}

/// The kernel's error number, its words and, where it is known, what to do.
pub(crate) fn refused(refusal: &Refusal) -> io::Error {
    let error = io::Error::from_raw_os_error(refusal.errno);
    let kernel = match (ipset::own_error(refusal.errno), &refusal.words) {
        (Some(meaning), _) => meaning.to_owned(),
        (None, Some(words)) => format!("{error}: {words}"),
        (None, None) => error.to_string(),
    };
    let remedy = match refusal.errno {
        libc::ENOENT => {
            "; the kernel lacks a module, or the object is gone: for a virtual service load \
             ip_vs_SCHEDULER"
        }
        libc::EEXIST => "; it is there already: something else programs this namespace",
        libc::ESRCH => "; it is not there: something else programs this namespace",
        libc::EPERM => "; CAP_NET_ADMIN is missing",
        _ => "",
    };
    io::Error::new(error.kind(), format!("{kernel}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words_are_passed_on() {
        let words = Some("Invalid prefix for given prefix length".to_owned());
        let refusal = Refusal { position: 0, errno: libc::EINVAL, words, refused: Vec::new() };
        let error = NetlinkError::Refused { first: vec![refusal], count: 1 };
        let error = failed("add", "a route")(error).to_string();
        assert!(
            error.ends_with(
                "Invalid argument (os error 22): Invalid prefix for given prefix length"
            ),
            "{error}"
        );
    }

    #[test]
    fn lost_answers_are_told_in_words() {
        let source = io::Error::from_raw_os_error(libc::ENOBUFS);
        let error = NetlinkError::Io { call: "recv", source };
        let error = failed("submit", "virtual services")(error).to_string();
        assert!(error.contains("answers did not fit"), "{error}");
    }
}
