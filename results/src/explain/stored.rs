//! Explanations that `vipbench explain` left in a run's folder.

use std::fs;
use std::path::Path;

use super::explanation::Explanation;

/// Largest file that is read, bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The function that most of a difference lies in, and its share: of what is stored in `run` about
/// these two cells, whichever was set against the other. Nothing where nothing is stored, or where
/// it does not add up.
pub(crate) fn main_part(run: &Path, one: &str, other: &str) -> Option<(String, f64)> {
    let names = [(one, other), (other, one)].map(|(a, b)| format!("explain/{a}--{b}.json"));
    let path = names.iter().map(|name| run.join(name)).find(|path| path.is_file())?;
    let small = fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_BYTES);
    let explanation: Explanation =
        serde_json::from_slice(&small.then(|| fs::read(&path).ok()).flatten()?).ok()?;
    explanation.main_part().filter(|_| explanation.adds_up())
}

impl Explanation {
    /// The function with the largest difference, and its share of the whole.
    fn main_part(&self) -> Option<(String, f64)> {
        self.against.as_ref()?;
        let lines = self.lines();
        let whole: f64 = lines.iter().map(super::explanation::ProfileLine::difference).sum();
        let first = lines.first()?;
        let share = first.difference() / whole;
        (share.is_finite() && share > 0.0).then(|| (first.function.clone(), share))
    }
}
