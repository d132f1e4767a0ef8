//! The command line, plan, runner, places, cells and load clients of `vipbench`. The binary adds
//! only `main`.
#![warn(clippy::print_stdout, clippy::print_stderr)] // `console` prints

pub mod check;
pub mod cli;
pub mod command;
pub mod console;
pub mod explain;
pub mod features;
pub mod files;
mod hosts;
pub mod imported;
pub mod kube_proxy;
pub mod load;
pub mod measure;
pub mod place;
pub mod run;
pub mod scenario;
mod sockets;
pub mod trace;

/// An error with its causes in one line. A message that already quotes its cause is not followed by
/// it again.
pub fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.contains(&cause) {
            continue;
        }
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&cause);
    }
    words
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("lab: {source}")]
    struct Quoting {
        source: std::io::Error,
    }

    #[test]
    fn a_cause_that_is_quoted_already_is_not_repeated() {
        let error = Err::<(), _>(Quoting { source: std::io::Error::other("busy") })
            .context("cell")
            .unwrap_err();
        assert_eq!(in_words(&error), "cell: lab: busy");
    }
}
