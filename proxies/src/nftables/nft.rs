//! Runs `nft`.

use std::time::Duration;

use linux::{CpuTime, Tool, ToolError};

use super::options::NftablesOptions;
use crate::error::ProxyError;

/// How many errors of one `nft` are told.
const ERRORS_MAX: usize = 3;

/// The tool.
#[derive(Debug)]
pub(super) struct Nft {
    deadline: Duration,
}

impl Nft {
    /// Nothing is run.
    pub(super) fn new(options: &NftablesOptions) -> Self {
        Self { deadline: options.deadline }
    }

    /// Runs one transaction.
    pub(super) fn apply(&self, text: &[u8]) -> Result<CpuTime, ProxyError> {
        Ok(self.tool(&["-f", "-"]).feed(text).map_err(shortened)?)
    }

    /// What a `list` prints; nothing if what is listed does not exist.
    pub(super) fn list(&self, args: &[&str]) -> Result<Option<Vec<u8>>, ProxyError> {
        match self.tool(args).read() {
            Err(ToolError::Failed { stderr, .. })
                if stderr.contains("No such file or directory") =>
            {
                Ok(None)
            }
            other => Ok(Some(other?)),
        }
    }

    fn tool<'a>(&self, args: &'a [&'a str]) -> Tool<'a> {
        Tool { program: "nft", args, env: None, deadline: self.deadline }
    }
}

/// `nft` repeats each refused command and underlines it, which says nothing that the quoted line of
/// the input does not.
fn shortened(error: ToolError) -> ToolError {
    match error {
        ToolError::Failed { command, status, input, stderr } => {
            let errors: Vec<&str> =
                stderr.lines().filter(|line| line.contains("Error: ")).take(ERRORS_MAX).collect();
            let stderr = if errors.is_empty() { stderr } else { errors.join("; ") };
            ToolError::Failed { command, status, input, stderr }
        }
        other => other,
    }
}
