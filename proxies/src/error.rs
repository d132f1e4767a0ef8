//! What can go wrong in a backend: operation, object, cause, and the remedy where there is one.

use std::io;

use generators::ServiceName;
use linux::sysctl::SysctlError;
use linux::{IoError, ToolError};

/// Why a proxy could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A tool ran and refused, took too long, or could not be run.
    #[error(transparent)]
    Tool(ToolError),
    /// The operating system refused a file or a process.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A kernel parameter could not be read or set.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The kernel refused a netlink message, or a netlink socket failed.
    #[error("netlink: cannot {operation} {object}: {source}")]
    Netlink {
        /// The verb.
        operation: &'static str,
        /// The virtual server, real server, address, ... it was about.
        object: String,
        /// The refusal.
        source: io::Error,
    },
    /// A tool or the kernel answered something that cannot be understood.
    #[error("cannot understand {what}: {reason}")]
    Malformed {
        /// The answer.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// This kernel, this machine or this backend cannot do it.
    #[error("{what} is not available: {reason}; {remedy}")]
    Unsupported {
        /// What was wanted.
        what: String,
        /// What is missing.
        reason: String,
        /// Where it would come from.
        remedy: String,
    },
    /// A request does not fit what this backend has programmed or prepared.
    #[error("the sync does not begin at what is programmed: {reason}")]
    Request {
        /// The contradiction.
        reason: String,
    },
    /// A program was given to a backend that did not render it.
    #[error("{proxy} was given a program that another proxy rendered")]
    ForeignProgram {
        /// The backend that refused it.
        proxy: &'static str,
    },
    /// The kernel does not hold what it should.
    #[error("the namespace differs from the Cluster in {count} places: {first}")]
    Mismatch {
        /// How many differences were found.
        count: u64,
        /// The first of them, in words, separated by "; ".
        first: String,
    },
    /// A program of somebody else that should run on does not do what it should.
    #[error("{program} {happened}; the end of its log: {log}")]
    Program {
        /// The backend that it is.
        program: String,
        /// What became of it, in words.
        happened: String,
        /// The last lines of its log.
        log: String,
    },
    /// Several steps of a teardown failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and "))]
    Several(Vec<ProxyError>),
}

impl ProxyError {
    /// There is no chain that a rule could be put into, and a slowdown that is none must not be
    /// measured as one.
    pub(crate) fn nothing_to_slow_down(tool: &str) -> Self {
        Self::Unsupported {
            what: format!("a slowdown by {tool}"),
            reason: "the backend has no chain that a rule could be put into".into(),
            remedy: "program a Cluster first".into(),
        }
    }

    /// An answer that is not what it should be.
    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), reason: reason.into() }
    }

    /// The same of an object that a Service needs.
    pub(crate) fn of_service(self, service: &ServiceName) -> Self {
        match self {
            Self::Netlink { operation, object, source } => {
                let object = format!("{object} of Service {service}");
                Self::Netlink { operation, object, source }
            }
            other => other,
        }
    }

    /// What a tool that refused a trial says of this machine; other failures say nothing of it.
    pub(crate) fn of_trial(self, what: &str, remedy: impl Into<String>) -> Self {
        match self {
            Self::Tool(ToolError::Failed { .. }) => Self::Unsupported {
                what: what.into(),
                reason: self.to_string(),
                remedy: remedy.into(),
            },
            other => other,
        }
    }

    /// Success if nothing failed, the one failure, or all of them.
    pub(crate) fn gather(results: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let errors: Vec<Self> = results.into_iter().filter_map(Result::err).collect();
        if errors.is_empty() { Ok(()) } else { Err(Self::several(errors)) }
    }

    /// The one failure, or all of them, of which there is at least one.
    pub(crate) fn several(mut errors: Vec<Self>) -> Self {
        match errors.pop() {
            Some(only) if errors.is_empty() => only,
            last => {
                errors.extend(last);
                Self::Several(errors)
            }
        }
    }
}

/// A missing tool is what this machine cannot do; everything else is a failure.
impl From<ToolError> for ProxyError {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::Missing { program } => Self::Unsupported {
                what: format!("`{program}`"),
                reason: "there is no such program in PATH".into(),
                remedy: "install the package that holds it".into(),
            },
            other => Self::Tool(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_unsupported_in_the_same_words() {
        let missing = || ToolError::Missing { program: "nft".into() };
        let error = ProxyError::from(missing());
        assert!(matches!(error, ProxyError::Unsupported { .. }));
        assert_eq!(error.to_string(), missing().to_string());
    }

    #[test]
    fn gathering_keeps_every_error_in_order() {
        let error = |reason: &str| ProxyError::Request { reason: reason.into() };
        assert!(ProxyError::gather([Ok(())]).is_ok());
        let one = ProxyError::gather([Ok(()), Err(error("a"))]).expect_err("one");
        assert!(matches!(one, ProxyError::Request { .. }));
        let two = ProxyError::gather([Err(error("a")), Err(error("b"))]);
        let two = two.expect_err("two").to_string();
        assert!(two.contains("a; and the sync") && two.ends_with('b'), "{two}");
    }
}
