//! Looking at the node from a thread of its own while something is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// From one look to the next: seldom enough that a node with one processor does its work, and as
/// exact as that is what is seen.
const LOOKS_APART: Duration = Duration::from_millis(1);

/// Does `work` and calls `look` again and again meanwhile, and once afterwards.
///
/// # Errors
/// Those of `work` and of `look`.
pub(super) fn while_at(
    mut look: impl FnMut() -> anyhow::Result<()> + Send,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                look()?;
                thread::sleep(LOOKS_APART);
            }
            look()
        });
        let worked = work();
        over.store(true, Ordering::Relaxed);
        let watched = watching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        worked.and(watched)
    })
}
