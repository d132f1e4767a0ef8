//! What a results folder consists of, and what can be wrong with it.

use std::io;
use std::path::{Path, PathBuf};

use crate::distribution::DistributionError;

/// Name of the file that makes a folder a run.
pub const RUN_FILE: &str = "run.json";
/// Name of the file of cells.
pub const CELLS_FILE: &str = "cells.jsonl";

/// Largest `run.json`, bytes.
pub(super) const RUN_MAX_BYTES: u64 = 64 << 20;
/// Largest `cells.jsonl`, bytes.
pub(super) const CELLS_MAX_BYTES: u64 = 1 << 30;
/// Longest line of `cells.jsonl`, bytes.
pub(super) const LINE_MAX_BYTES: usize = 32 << 20;

/// Why a results folder cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a file failed.
    #[error("cannot {operation} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Creating a run where one is.
    #[error("{} already holds a run; choose another folder with -o, or continue it with --resume", .0.display())]
    AlreadyHoldsRun(PathBuf),
    /// Reading or resuming where there is none.
    #[error("{} holds no run (there is no {RUN_FILE}); name the folder that `vipbench run -o` wrote", .0.display())]
    NoRun(PathBuf),
    /// Another process has the folder open for writing.
    #[error("another vipbench is writing to {}; wait for it to end", .0.display())]
    Busy(PathBuf),
    /// Resuming with another plan.
    #[error("{} was started with another {what} ({detail}); repeat its own command, or start anew in another folder", .dir.display())]
    Differs {
        /// The folder.
        dir: PathBuf,
        /// What differs.
        what: &'static str,
        /// How it differs.
        detail: String,
    },
    /// A file is larger than any run of this tool.
    #[error("{} is larger than {limit} bytes; it was not written by vipbench or is damaged", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// `run.json` is of another version.
    #[error("{} has schema {found:?}, this vipbench reads {expected:?}; read it with the version that wrote it", .path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version reads.
        expected: &'static str,
    },
    /// A record is not valid.
    #[error("{}{}: {}; {remedy}", .path.display(), line_suffix(*.line), crate::format::plain(.detail))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1; 0 when the whole file is meant.
        line: usize,
        /// What is wrong.
        detail: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A metric's values cannot be trusted.
    #[error("{} line {line}, metric {metric}: {source}", .path.display())]
    Values {
        /// The file.
        path: PathBuf,
        /// Line in it, from 1.
        line: usize,
        /// Name and label.
        metric: String,
        /// What is wrong.
        source: DistributionError,
    },
    /// A cell could not be stored.
    #[error(
        "cannot store cell {id} in {}: {source}; the {safe} cells before it are safe: make room, then continue with --resume",
        .path.display()
    )]
    Append {
        /// The file.
        path: PathBuf,
        /// The cell.
        id: String,
        /// Cells that are stored.
        safe: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// `" line 7"`, or nothing when a whole file is meant.
fn line_suffix(line: usize) -> String {
    if line == 0 { String::new() } else { format!(" line {line}") }
}

/// What makes [`StoreError::Invalid`] of what is wrong in a line; in the whole file, if it is 0.
pub(super) fn invalid<'p>(
    path: &'p Path,
    line: usize,
    remedy: &'static str,
) -> impl Fn(String) -> StoreError + Copy + use<'p> {
    move |detail| StoreError::Invalid { path: path.to_owned(), line, detail, remedy }
}

pub(super) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { operation, path, source }
}
