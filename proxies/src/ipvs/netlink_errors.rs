//! Turns what a socket says into an error that names the Service, the object and the remedy.

use std::io;

use generators::ServiceName;
use linux::netlink::decode::Messages;
use linux::netlink::socket::Family;
use linux::netlink::{NetlinkError, Refusal, ipset, route};

use super::render::LabelledBatch;
use super::wire;
use crate::error::ProxyError;

/// Names verb and object of an act that was no batch.
pub(super) fn netlink_failed(
    operation: &'static str,
    object: impl Into<String>,
) -> impl FnOnce(NetlinkError) -> ProxyError {
    let object = object.into();
    move |error| match error {
        NetlinkError::Malformed(malformed) => ProxyError::Malformed {
            what: format!("the kernel's answer to `{operation} {object}`"),
            reason: malformed.to_string(),
        },
        NetlinkError::Io { call, source } => {
            let source = if source.raw_os_error() == Some(libc::ENOBUFS) {
                io::Error::other("answers did not fit the socket's buffer and were lost")
            } else {
                io::Error::new(source.kind(), format!("{call}: {source}"))
            };
            ProxyError::Netlink { operation, object, source }
        }
        NetlinkError::Refused { first, .. } => match first.first() {
            Some(refusal) => ProxyError::Netlink { operation, object, source: refused(refusal) },
            None => ProxyError::Netlink { operation, object, source: io::Error::other("refused") },
        },
    }
}

/// The error for a batch: its first refusals, each with what the message asked for and the Service
/// it was for.
pub(super) fn batch_failed(
    error: NetlinkError,
    family: Family,
    messages: &LabelledBatch,
    names: &[ServiceName],
) -> ProxyError {
    let what = match family {
        Family::Route => "local addresses",
        Family::Generic => "virtual services",
        Family::Netfilter => "members of sets",
    };
    let NetlinkError::Refused { first, count } = error else {
        return netlink_failed("submit", what)(error);
    };
    let name = |refusal: &Refusal| {
        let label = usize::try_from(*messages.labels.get(refusal.position)?).ok()?;
        names.get(label)
    };
    let mut errors: Vec<_> = first
        .iter()
        .map(|refusal| {
            let (operation, mut object) =
                describe(family, messages, refusal).unwrap_or_else(|| ("submit", what.to_owned()));
            if let Some(name) = name(refusal) {
                object = format!("{object} of Service {name}");
            }
            ProxyError::Netlink { operation, object, source: refused(refusal) }
        })
        .collect();
    if count > errors.len() {
        let source = io::Error::other(format!("{} more were refused", count - errors.len()));
        errors.push(ProxyError::Netlink { operation: "submit", object: what.into(), source });
    }
    match ProxyError::gather(errors) {
        Err(error) => error,
        // There is at least one refusal; the types cannot say so.
        Ok(()) => netlink_failed("submit", what)(NetlinkError::Refused { first, count }),
    }
}

/// What the refused message asked for, read back from its bytes.
fn describe(
    family: Family,
    messages: &LabelledBatch,
    refusal: &Refusal,
) -> Option<(&'static str, String)> {
    let message = Messages::of(messages.batch.message(refusal.position)?).next()?.ok()?;
    match family {
        Family::Route => route::describe(&message),
        Family::Generic => wire::describe(&message),
        Family::Netfilter => ipset::describe(&message, &refusal.refused),
    }
}

/// The kernel's error number, its words and, where it is known, what to do.
fn refused(refusal: &Refusal) -> io::Error {
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
pub(super) use tests::describe_position;

#[cfg(test)]
mod tests {
    use linux::netlink::{Batch, Encoder};

    use super::*;

    fn refusal(position: usize, errno: i32) -> Refusal {
        Refusal { position, errno, words: None, refused: Vec::new() }
    }

    /// What the message at a position asks for.
    pub fn describe_position(
        family: Family,
        messages: &LabelledBatch,
        position: usize,
    ) -> Option<(&'static str, String)> {
        describe(family, messages, &refusal(position, 0))
    }

    fn addresses(count: u8) -> (LabelledBatch, Vec<ServiceName>) {
        let mut encoder = Encoder::default();
        let mut names = Vec::new();
        for last in 0..count {
            route::address(&mut encoder, route::NEW_ADDRESS, 3, [10, 96, 0, last].into());
            names.push(ServiceName::new("ns", &format!("svc-{last}"), "").expect("a name"));
        }
        (LabelledBatch { batch: encoder.finish(), labels: (0..count.into()).collect() }, names)
    }

    #[test]
    fn a_refusal_names_the_object_the_service_and_the_remedy() {
        let (messages, names) = addresses(3);
        let error = NetlinkError::Refused { first: vec![refusal(1, libc::EPERM)], count: 1 };
        let error = batch_failed(error, Family::Route, &messages, &names).to_string();
        let expected = "netlink: cannot add address 10.96.0.1 of Service ns/svc-1: \
                        Operation not permitted (os error 1); CAP_NET_ADMIN is missing";
        assert_eq!(error, expected);
    }

    #[test]
    fn further_refusals_are_counted() {
        let (messages, names) = addresses(3);
        let first = vec![refusal(0, libc::EEXIST), refusal(2, libc::EEXIST)];
        let error = NetlinkError::Refused { first, count: 40 };
        let error = batch_failed(error, Family::Route, &messages, &names).to_string();
        assert!(error.contains("ns/svc-0") && error.contains("ns/svc-2"), "{error}");
        assert!(error.contains("38 more were refused"), "{error}");
    }

    #[test]
    fn the_kernels_own_words_are_passed_on() {
        let words = Some("Invalid prefix for given prefix length".to_owned());
        let refusal = Refusal { words, ..refusal(0, libc::EINVAL) };
        let error = NetlinkError::Refused { first: vec![refusal], count: 1 };
        let error = netlink_failed("add", "a route")(error).to_string();
        assert!(
            error.ends_with(
                "Invalid argument (os error 22): Invalid prefix for given prefix length"
            ),
            "{error}"
        );
    }

    #[test]
    fn a_refusal_of_an_unknown_message_still_is_an_error() {
        let messages = LabelledBatch { batch: Batch::default(), labels: Vec::new() };
        let error = NetlinkError::Refused { first: vec![refusal(9, libc::EINVAL)], count: 1 };
        let error = batch_failed(error, Family::Generic, &messages, &[]).to_string();
        assert!(error.contains("cannot submit virtual services"), "{error}");
    }

    #[test]
    fn lost_answers_are_told_in_words() {
        let source = io::Error::from_raw_os_error(libc::ENOBUFS);
        let error = NetlinkError::Io { call: "recv", source };
        let error = netlink_failed("submit", "virtual services")(error).to_string();
        assert!(error.contains("answers did not fit"), "{error}");
    }
}
