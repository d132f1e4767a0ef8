//! A rendered sync of IPVS: messages for three kernel subsystems, each with the Service that it is
//! for, how they are handed over, and what a refusal says.

use std::io;

use generators::ServiceName;
use linux::netlink::decode::Messages;
use linux::netlink::socket::Family;
use linux::netlink::{Batch, NetlinkError, Refusal, Socket, ipset, route};
use linux::{CpuTime, usage};

use super::wire;
use crate::error::ProxyError;
use crate::netlink;
use crate::program::Size;

/// What addresses messages in this kernel and namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KernelIds {
    /// The number of the family `IPVS`.
    pub family: u16,
    /// The index of the dummy link; 0 if VIPs are bound by routes.
    pub link: u32,
}

/// A batch and, for each message, the position of its Service among the names.
#[derive(Debug, Default)]
pub(super) struct LabelledBatch {
    /// The messages.
    pub batch: Batch,
    /// As long as the batch, or empty if no message has a label.
    pub labels: Vec<u32>,
}

/// A rendered sync: one batch for each kernel subsystem, handed over in this order.
///
/// Members of sets come first, so that no VIP answers before its traffic can be masqueraded; they
/// name themselves, and need no labels. Then virtual services with their real servers; local
/// addresses or routes come last, so that no VIP is local before it answers.
#[derive(Debug)]
pub(super) struct IpvsProgram {
    /// Where the messages belong.
    pub ids: KernelIds,
    /// Netfilter, Generic, Route.
    pub batches: [(Family, LabelledBatch); 3],
    /// The Services that labels point at.
    pub names: Vec<ServiceName>,
}

impl IpvsProgram {
    /// How much there is to hand over.
    pub fn size(&self) -> Size {
        let sum = |of: fn(&Batch) -> usize| {
            self.batches.iter().map(|(_, messages)| of(&messages.batch) as u64).sum()
        };
        Size { rules: 0, messages: sum(Batch::len), bytes: sum(|batch| batch.bytes().len()) }
    }

    /// Hands the messages over and returns when the kernel has taken them.
    ///
    /// # Errors
    /// The first refusals, each with what the message asked for and the Service it was for.
    pub fn submit(&self) -> Result<CpuTime, ProxyError> {
        let before = usage::of_this_thread();
        for (family, messages) in &self.batches {
            if messages.batch.len() > 0 {
                Socket::open(*family)
                    .and_then(|mut socket| socket.submit(&messages.batch))
                    .map_err(|error| batch_failed(error, *family, messages, &self.names))?;
            }
        }
        Ok(usage::of_this_thread() - before)
    }
}

/// The error for a batch: its first refusals, each with what the message asked for and the Service
/// it was for.
fn batch_failed(
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
        return netlink::failed("submit", what)(error);
    };
    let name = |refusal: &Refusal| {
        let label = usize::try_from(*messages.labels.get(refusal.position)?).ok()?;
        names.get(label)
    };
    let told = first.iter().map(|refusal| {
        let (operation, mut object) = describe(family, &messages.batch, refusal)
            .unwrap_or_else(|| ("submit", what.to_owned()));
        if let Some(name) = name(refusal) {
            object = format!("{object} of Service {name}");
        }
        ProxyError::Netlink { operation, object, source: netlink::refused(refusal) }
    });
    let further = (count > first.len()).then(|| {
        let source = io::Error::other(format!("{} more were refused", count - first.len()));
        ProxyError::Netlink { operation: "submit", object: what.into(), source }
    });
    ProxyError::several(told.chain(further).collect())
}

/// What the refused message asked for, read back from its bytes.
fn describe(family: Family, batch: &Batch, refusal: &Refusal) -> Option<(&'static str, String)> {
    let message = Messages::of(batch.message(refusal.position)?).next()?.ok()?;
    match family {
        Family::Route => route::describe(&message),
        Family::Generic => wire::describe(&message),
        Family::Netfilter => ipset::describe(&message, &refusal.refused),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use linux::netlink::Encoder;

    use super::*;

    fn refusal(position: usize, errno: i32) -> Refusal {
        Refusal { position, errno, words: None, refused: Vec::new() }
    }

    /// What the message at a position asks for.
    pub fn describe_position(
        family: Family,
        batch: &Batch,
        position: usize,
    ) -> Option<(&'static str, String)> {
        describe(family, batch, &refusal(position, 0))
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
    fn a_refusal_of_an_unknown_message_still_is_an_error() {
        let messages = LabelledBatch::default();
        let error = NetlinkError::Refused { first: vec![refusal(9, libc::EINVAL)], count: 1 };
        let error = batch_failed(error, Family::Generic, &messages, &[]).to_string();
        assert!(error.contains("cannot submit virtual services"), "{error}");
    }
}
