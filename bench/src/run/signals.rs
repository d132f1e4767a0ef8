//! What ends a run early: Ctrl-C, a polite kill, a terminal that goes away. A second one ends it at
//! once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console;
use crate::place::remove_work_folders;

/// One request may arrive as several signals: `timeout` sends one to the process and one to its
/// group.
const SAME_REQUEST: Duration = Duration::from_millis(300);

/// Whether the user wants to stop, and where what is left can go on.
#[derive(Debug, Default)]
pub struct Interrupt {
    asked: AtomicBool,
    folder: Mutex<Option<PathBuf>>,
}

impl Interrupt {
    /// From now on the first signal asks the run to stop, and a second one ends this process.
    /// Signals that whoever started it wants ignored, as `nohup` does, stay so.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub fn catch() -> anyhow::Result<Arc<Self>> {
        let interrupt = Arc::new(Self::default());
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];
        let mut signals = Signals::new(wanted.into_iter().filter(|signal| !is_ignored(*signal)))?;
        let caught = Arc::clone(&interrupt);
        std::thread::spawn(move || {
            let mut first: Option<Instant> = None;
            for _ in signals.forever() {
                let since = first.get_or_insert_with(Instant::now);
                if caught.asked.swap(true, Ordering::Relaxed) && since.elapsed() > SAME_REQUEST {
                    caught.end_at_once();
                }
            }
        });
        Ok(interrupt)
    }

    /// Whether a signal came.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The results folder that a run can go on in.
    pub fn resumes_in(&self, folder: &Path) {
        *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.to_owned());
    }

    fn end_at_once(&self) -> ! {
        remove_work_folders();
        if let Some(folder) = &*self.folder.lock().unwrap_or_else(PoisonError::into_inner) {
            console::note(format_args!("ended at once; {}", how_to_resume(folder)));
        }
        std::process::exit(1)
    }
}

/// What is left of a run can be done later.
pub fn how_to_resume(folder: &Path) -> String {
    let folder = folder.display();
    format!("what is done is in {folder} and `--resume -o {folder}` goes on")
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeros are a value of this plain C struct; the call writes to it and changes
    // nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}
