//! Runs `nft`.

use linux::{CpuTime, Tool, ToolError};

use crate::error::ProxyError;
use crate::options::TOOL_DEADLINE;

/// How many errors of one `nft` are told.
const ERRORS_MAX: usize = 3;

/// Runs one transaction.
pub(super) fn apply(text: &[u8]) -> Result<CpuTime, ProxyError> {
    Ok(nft(&["-f", "-"]).feed(text).map_err(shortened)?)
}

/// What a `list` prints; nothing if what is listed does not exist.
pub(super) fn list(args: &[&str]) -> Result<Option<Vec<u8>>, ProxyError> {
    match nft(args).read() {
        Err(ToolError::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {
            Ok(None)
        }
        other => Ok(Some(other?)),
    }
}

fn nft<'a>(args: &'a [&'a str]) -> Tool<'a> {
    Tool { program: "nft", args, env: None, deadline: TOOL_DEADLINE }
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
