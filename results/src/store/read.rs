//! Reads a results folder, trusting nothing in it: sizes are bounded, every record is validated,
//! every histogram decoded once.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::folder::{
    CELLS_FILE, CELLS_MAX_BYTES, LINE_MAX_BYTES, RUN_FILE, RUN_MAX_BYTES, StoreError, invalid,
    io_error,
};
use crate::record::{CellRecord, RUN_SCHEMA, RunRecord};
use crate::validate;

const RESTORE: &str = "restore the file, or run the scenario again into another folder";
const REMOVE_LINE: &str = "remove the line and continue the run with --resume, or restore the file";

/// A results folder in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Where it was read from.
    pub dir: PathBuf,
    /// `run.json`.
    pub record: RunRecord,
    /// The cells that are there, in the order of the plan.
    pub cells: Vec<CellRecord>,
    /// What a reader of this run should know, each with its remedy.
    pub warnings: Vec<String>,
}

impl Run {
    /// Reads and checks the folder. A last line that was cut off while being written is left out
    /// with a warning.
    ///
    /// # Errors
    /// [`StoreError`] naming file, line and remedy.
    pub fn read(dir: &Path) -> Result<Self, StoreError> {
        let record = read_record(dir)?;
        let StoredCells { mut cells, torn_bytes, .. } = read_cells(dir, &record)?;
        let order: HashMap<&str, usize> =
            record.cells.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
        cells.sort_by_key(|cell| order.get(cell.id.as_str()).copied());
        let mut run = Self { dir: dir.to_owned(), record, cells, warnings: Vec::new() };
        let (planned, missing) = (run.record.cells.len(), run.missing().len());
        if torn_bytes > 0 {
            run.warnings.push(format!(
                "the last line of {CELLS_FILE} was cut off while being written and is left out; continue the run with --resume"
            ));
        }
        if let Some(shard) = &run.record.shard {
            run.warnings.push(format!(
                "this is shard {} of {}: {planned} of {} cells; `vipbench merge` makes one run of the shards",
                shard.index,
                shard.count,
                shard.planned.len()
            ));
        }
        if missing > 0 {
            run.warnings.push(format!(
                "{missing} of {planned} planned cells are not in this run; continue it with --resume"
            ));
        }
        Ok(run)
    }

    /// Its folder, as it may be shown.
    pub(crate) fn folder(&self) -> String {
        crate::format::plain(&self.dir.display().to_string())
    }

    /// Ids of planned cells that have no record, in the order of the plan.
    pub fn missing(&self) -> Vec<&str> {
        let there: HashSet<&str> = self.cells.iter().map(|cell| cell.id.as_str()).collect();
        self.record.cells.iter().map(String::as_str).filter(|id| !there.contains(id)).collect()
    }
}

/// Cells in the order of the file, and where its good part ends.
#[derive(Default)]
pub(super) struct StoredCells {
    pub cells: Vec<CellRecord>,
    /// Bytes of complete lines.
    pub good_bytes: u64,
    /// Bytes of an incomplete last line.
    pub torn_bytes: u64,
}

/// Reads and checks `run.json`.
pub(super) fn read_record(dir: &Path) -> Result<RunRecord, StoreError> {
    let path = dir.join(RUN_FILE);
    let invalid = invalid(&path, 0, RESTORE);
    let bytes = read_bounded(&path, RUN_MAX_BYTES)?;
    let bytes = bytes.ok_or_else(|| StoreError::NoRun(dir.to_owned()))?;
    // The version first: a record of another version may lack fields that this one has.
    let damaged = |error: serde_json::Error| invalid(error.to_string());
    let whole: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    match whole.get("schema").and_then(serde_json::Value::as_str) {
        Some(RUN_SCHEMA) => {}
        Some(other) => {
            let found = other.chars().take(80).collect();
            return Err(StoreError::Schema { path: path.clone(), found, expected: RUN_SCHEMA });
        }
        None => return Err(invalid("it has no schema".to_owned())),
    }
    // From the bytes again, not from `whole`: only then does an error name line and column.
    let record: RunRecord = serde_json::from_slice(&bytes).map_err(damaged)?;
    validate::run(&record).map_err(invalid)?;
    Ok(record)
}

/// Reads and checks `cells.jsonl`; a run that has none yet has no cells.
pub(super) fn read_cells(dir: &Path, record: &RunRecord) -> Result<StoredCells, StoreError> {
    let path = dir.join(CELLS_FILE);
    let bytes = read_bounded(&path, CELLS_MAX_BYTES)?.unwrap_or_default();
    let good = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = bytes.split_at_checked(good).unwrap_or((&bytes, &[]));
    let planned: HashSet<&str> = record.cells.iter().map(String::as_str).collect();
    let mut seen = HashSet::new();
    let mut cells = Vec::new();
    for (at, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let cell = parse_line(&path, at + 1, line)?;
        let problem = match cell.id.as_str() {
            id if !planned.contains(id) => "is not in the plan of this run",
            id if !seen.insert(id.to_owned()) => "is there twice",
            _ => {
                cells.push(cell);
                continue;
            }
        };
        return Err(invalid(&path, at + 1, REMOVE_LINE)(format!("cell {} {problem}", cell.id)));
    }
    Ok(StoredCells { cells, good_bytes: good as u64, torn_bytes: torn.len() as u64 })
}

fn parse_line(path: &Path, line: usize, bytes: &[u8]) -> Result<CellRecord, StoreError> {
    let invalid = invalid(path, line, REMOVE_LINE);
    if bytes.len() > LINE_MAX_BYTES {
        return Err(invalid(format!("it is longer than {LINE_MAX_BYTES} bytes")));
    }
    let cell: CellRecord = serde_json::from_slice(bytes).map_err(|error| {
        // serde_json counts lines itself, and here always from 1: keep only its column.
        let text = error.to_string().replace(" at line 1 column", " at column");
        invalid(text)
    })?;
    validate::cell(&cell).map_err(invalid)?;
    for metric in &cell.metrics {
        metric.data.samples().map_err(|source| StoreError::Values {
            path: path.to_owned(),
            line,
            metric: format!("{} {}", metric.name, metric.label),
            source,
        })?;
    }
    Ok(cell)
}

/// The whole file, or an error when it is longer than `limit`; what it claims to be long is not
/// believed. Nothing where no file is.
fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::TempDir;

    /// A folder holding `cells` as its lines, one line replaced by `change`.
    fn folder(change: impl Fn(usize, String) -> String) -> TempDir {
        let (record, cells) = fixture::run();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(RUN_FILE), serde_json::to_vec(&record).unwrap()).unwrap();
        let text: String = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| change(at, serde_json::to_string(cell).unwrap()) + "\n")
            .collect();
        fs::write(dir.path().join(CELLS_FILE), text).unwrap();
        dir
    }

    fn error_of(dir: &TempDir) -> String {
        let error = Run::read(dir.path()).unwrap_err().to_string();
        error.replace(&dir.path().display().to_string(), "DIR")
    }

    #[test]
    fn cells_come_in_the_order_of_the_plan() {
        let (record, mut cells) = fixture::run();
        cells.reverse();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join(RUN_FILE), serde_json::to_vec(&record).unwrap()).unwrap();
        let lines: String =
            cells.iter().map(|cell| serde_json::to_string(cell).unwrap() + "\n").collect();
        fs::write(dir.path().join(CELLS_FILE), lines).unwrap();
        let run = Run::read(dir.path()).unwrap();
        let ids: Vec<&String> = run.cells.iter().map(|cell| &cell.id).collect();
        assert_eq!(ids, run.record.cells.iter().collect::<Vec<_>>());
        assert!(run.warnings.is_empty() && run.missing().is_empty());
    }

    #[test]
    fn a_torn_last_line_is_left_out_with_a_warning() {
        let dir = folder(|_, line| line);
        let path = dir.path().join(CELLS_FILE);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
        let run = Run::read(dir.path()).unwrap();
        assert_eq!(run.cells.len() + 1, run.record.cells.len());
        assert!(run.warnings[0].contains("cut off"), "{:?}", run.warnings);
        assert_eq!(run.missing().len(), 1);
    }

    #[test]
    fn a_folder_without_a_run_says_so() {
        let dir = TempDir::new().unwrap();
        assert!(matches!(Run::read(dir.path()), Err(StoreError::NoRun(_))));
    }

    #[test]
    fn another_schema_is_named() {
        let dir = folder(|_, line| line);
        fs::write(dir.path().join(RUN_FILE), r#"{"schema":"vipbench.run/9","new":1}"#).unwrap();
        assert_eq!(
            error_of(&dir),
            "DIR/run.json has schema \"vipbench.run/9\", this vipbench reads \"vipbench.run/1\"; read it with the version that wrote it"
        );
    }

    #[test]
    fn every_kind_of_damage_names_file_line_and_remedy() {
        let cases: [(&str, &dyn Fn(String) -> String); 6] = [
            ("negative", &|line| line.replacen("\"services\":", "\"services\":-", 1)),
            ("unknown variant", &|line| line.replacen("\"measured\"", "\"splendid\"", 1)),
            ("NaN", &|line| line.replacen("\"verified\":", "\"verified\":NaN,\"x\":", 1)),
            ("EOF", &|line| line[..line.len() / 2].to_owned()),
            ("not in the plan", &|line| {
                line.replace(".s1.", ".s999.").replace("\"seed\":1,", "\"seed\":999,")
            }),
            ("not a name", &|line| line.replacen("\"proxy\":\"", "\"proxy\":\"<script>", 1)),
        ];
        for (what, damage) in cases {
            let dir = folder(|at, line| if at == 2 { damage(line) } else { line });
            let error = error_of(&dir);
            assert!(error.starts_with("DIR/cells.jsonl line 3: "), "{what}: {error}");
            assert!(error.contains("restore the file"), "{what}: {error}");
        }
    }

    #[test]
    fn a_cell_may_not_be_there_twice() {
        let dir = folder(|_, line| line);
        let path = dir.path().join(CELLS_FILE);
        let mut text = fs::read_to_string(&path).unwrap();
        let first = text.lines().next().unwrap().to_owned();
        text.push_str(&first);
        text.push('\n');
        fs::write(&path, text).unwrap();
        assert!(error_of(&dir).contains("is there twice"));
    }

    #[test]
    fn an_altered_histogram_is_found() {
        let connect = fixture::run().1.iter().position(|cell| cell.labels.measure == "connect");
        let dir = folder(|at, line| {
            if Some(at) == connect {
                line.replacen("\"count\":1000", "\"count\":1001", 1)
            } else {
                line
            }
        });
        let error = error_of(&dir);
        assert!(error.contains("but 1001 is stored beside it"), "{error}");
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read_bounded(Path::new("/dev/zero"), 1 << 16).unwrap_err();
        assert!(matches!(error, StoreError::TooLarge { .. }));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let dir = folder(|_, line| line);
        fs::write(dir.path().join(RUN_FILE), "[".repeat(200_000)).unwrap();
        assert!(error_of(&dir).contains("recursion limit"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_mutated_line_never_panics(position in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
            let (_, cells) = fixture::run();
            let cell = cells.iter().find(|cell| !cell.metrics.is_empty()).unwrap();
            let mut line = serde_json::to_vec(cell).unwrap();
            let at = position.index(line.len());
            line[at] = byte;
            let _ = parse_line(Path::new("cells.jsonl"), 1, &line);
            let end = cut.index(line.len());
            let _ = parse_line(Path::new("cells.jsonl"), 1, &line[..end]);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let dir = TempDir::new().unwrap();
            let (record, _) = fixture::run();
            fs::write(dir.path().join(RUN_FILE), serde_json::to_vec(&record).unwrap()).unwrap();
            fs::write(dir.path().join(CELLS_FILE), &bytes).unwrap();
            let _ = Run::read(dir.path());
            fs::write(dir.path().join(RUN_FILE), &bytes).unwrap();
            let _ = Run::read(dir.path());
        }
    }
}
