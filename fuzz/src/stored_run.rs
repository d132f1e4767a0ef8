//! Any bytes as a results folder, `run.json` up to the first NUL and `cells.jsonl` behind it: an
//! error, or a run that can be exported and reported on.

use std::fs;

use results::{CELLS_FILE, RUN_FILE, Run};

/// One input.
pub fn try_input(bytes: &[u8]) {
    let (run, cells) = match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    // In memory where there is such a folder, for a file system would be what is measured.
    let place = if fs::metadata("/dev/shm").is_ok() { "/dev/shm" } else { "/tmp" };
    let folder = tempfile::tempdir_in(place).expect("a folder for the run");
    fs::write(folder.path().join(RUN_FILE), run).expect("room for run.json");
    fs::write(folder.path().join(CELLS_FILE), cells).expect("room for cells.jsonl");
    if let Ok(run) = Run::read(folder.path()) {
        let _ = results::export::csv(&run, std::io::sink());
        if let Ok(report) = results::report::document(&[run], None, folder.path()) {
            let _ = results::print::terminal(&report, Some(80));
        }
    }
}
