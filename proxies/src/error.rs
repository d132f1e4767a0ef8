//! What can go wrong in a backend: operation, object, cause, and the remedy where there is one.

use std::io;

use crate::ProxyKind;

/// Why a proxy could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A tool ran and refused.
    #[error("`{command}` failed ({status}): {stderr}{}", at_input(input.as_deref()))]
    Tool {
        /// The command line.
        command: String,
        /// Exit code or signal, in words.
        status: String,
        /// The start of what it said, at most 2 KiB.
        stderr: String,
        /// The line of its input that it named, if it named one: number and text.
        input: Option<String>,
    },
    /// A tool did not end in time; it was killed, and what it had already committed stays in the
    /// namespace.
    #[error(
        "`{command}` did not end within {limit_s} s and was killed; raise the limit or take a smaller size"
    )]
    Timeout {
        /// The command line.
        command: String,
        /// The limit, seconds.
        limit_s: u64,
    },
    /// The operating system refused a file or a process.
    #[error("cannot {operation} {object}: {source}")]
    Io {
        /// The verb.
        operation: &'static str,
        /// What it was about.
        object: String,
        /// The refusal.
        source: io::Error,
    },
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
    /// An incremental request contradicts itself.
    #[error("the changes do not lead from `before` to `after`: {reason}")]
    Request {
        /// The contradiction.
        reason: String,
    },
    /// A program was given to a backend that did not render it.
    #[error("{proxy} was given a program that another proxy rendered")]
    ForeignProgram {
        /// The backend that refused it.
        proxy: ProxyKind,
    },
    /// The kernel does not hold what it should.
    #[error("the namespace differs from the Cluster in {count} places: {first}")]
    Mismatch {
        /// How many differences were found.
        count: usize,
        /// The first of them, in words, separated by "; ".
        first: String,
    },
    /// Several steps of a teardown failed.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and "))]
    Several(Vec<ProxyError>),
}

impl ProxyError {
    /// Makes `map_err` short: names the verb and the object of an I/O error.
    pub(crate) fn io(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(io::Error) -> Self {
        let object = object.into();
        move |source| Self::Io { operation, object, source }
    }

    /// Success if nothing failed, the one failure, or all of them.
    pub(crate) fn gather(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.pop() {
            None => Ok(()),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(Self::Several(errors))
            }
        }
    }
}

fn at_input(line: Option<&str>) -> String {
    line.map_or_else(String::new, |line| format!(", at input {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_error_names_the_input_line() {
        let error = ProxyError::Tool {
            command: "iptables-nft-restore".into(),
            status: "exit status: 1".into(),
            stderr: "no such chain".into(),
            input: Some("line 3 `-A X -j Y`".into()),
        };
        assert_eq!(
            error.to_string(),
            "`iptables-nft-restore` failed (exit status: 1): no such chain, at input line 3 `-A X -j Y`"
        );
    }

    #[test]
    fn gathering_keeps_every_error_in_order() {
        let error = |reason: &str| ProxyError::Request { reason: reason.into() };
        assert!(ProxyError::gather(Vec::new()).is_ok());
        let one = ProxyError::gather(vec![error("a")]).expect_err("one");
        assert!(matches!(one, ProxyError::Request { .. }));
        let two = ProxyError::gather(vec![error("a"), error("b")]).expect_err("two").to_string();
        assert!(two.contains("a; and the changes") && two.ends_with('b'), "{two}");
    }
}
