//! What a sync is asked to do, what it is rendered to, and how large that is.

use std::any::Any;

use generators::{Cluster, Step};

use crate::conntrack::Cleanup;
use crate::error::ProxyError;

/// What a sync is asked to do.
#[derive(Debug, Clone, Copy)]
pub enum SyncRequest<'a> {
    /// Program the whole Cluster, whatever the namespace holds already (full sync and restart).
    Full(&'a Cluster),
    /// Go from the Cluster before, which this backend has programmed, to the one after.
    Incremental(&'a Step<'a>),
}

impl SyncRequest<'_> {
    /// The Cluster that is programmed after it.
    pub(crate) fn after(&self) -> &Cluster {
        match self {
            Self::Full(cluster) => cluster,
            Self::Incremental(step) => step.after(),
        }
    }
}

/// Size of a rendered program, before it is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rules (iptables, nftables) written, or 0.
    pub rules: u64,
    /// Netlink messages (IPVS, addresses, ...) written, or 0.
    pub messages: u64,
    /// Bytes of text and messages.
    pub bytes: u64,
}

impl std::iter::Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), |sum, one| Self {
            rules: sum.rules + one.rules,
            messages: sum.messages + one.messages,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// A rendered sync, ready to submit to a backend of the family that rendered it.
#[derive(Debug)]
pub struct Program {
    /// How much there is to hand over.
    pub size: Size,
    text: Option<Vec<u8>>,
    /// What only the family knows, in a type of its own.
    private: Box<dyn Any>,
    /// What is done about tracked connections once the rest is in force.
    cleanups: Vec<Cleanup>,
}

impl Program {
    /// A program that is text. `private` is the family's own part, of a type that no other has.
    pub fn of_text<T: Any>(text: Vec<u8>, rules: u64, private: T) -> Self {
        let size = Size { rules, messages: 0, bytes: text.len() as u64 };
        Self { size, text: Some(text), private: Box::new(private), cleanups: Vec::new() }
    }

    /// A program that is no text.
    pub fn of<T: Any>(size: Size, private: T) -> Self {
        Self { size, text: None, private: Box::new(private), cleanups: Vec::new() }
    }

    /// The program with what this sync asks to be done about tracked connections.
    pub(crate) fn with_cleanup(self, request: &SyncRequest<'_>) -> Self {
        Self { cleanups: Cleanup::after(request), ..self }
    }

    /// Does it. Called at the end of a submit.
    pub(crate) fn forget_stale_connections(&self) -> Result<(), ProxyError> {
        self.cleanups.iter().try_for_each(Cleanup::run)
    }

    /// The text of a program that is text (input of a tool), else nothing.
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// The family's own part; `proxy` is the name of the backend that asks.
    ///
    /// # Errors
    /// [`ProxyError::ForeignProgram`] if another family rendered it.
    pub fn private<T: Any>(&self, proxy: &'static str) -> Result<&T, ProxyError> {
        self.private.downcast_ref().ok_or(ProxyError::ForeignProgram { proxy })
    }
}
