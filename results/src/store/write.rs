//! Writes a results folder so that a crash, a full disk or a lost machine costs at most the cell
//! being written.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::folder::{CELLS_FILE, LINE_MAX_BYTES, RUN_FILE, StoreError, invalid, io_error};
use super::read::{StoredCells, read_cells, read_record};
use crate::facts;
use crate::record::{CellRecord, Clock, RunRecord};
use crate::validate;

const CHANGE: &str = "change the scenario so that each cell differs from every other";
pub(super) const OUR_FAULT: &str =
    "this is a fault of vipbench: please report it with the scenario";

/// Appends cells to a results folder; one at a time has it (the file of cells is locked).
#[derive(Debug)]
pub struct RunWriter {
    path: PathBuf,
    file: File,
    planned: HashSet<String>,
    done: Vec<CellRecord>,
    done_ids: HashSet<String>,
    good_bytes: u64,
    torn: bool,
    warnings: Vec<String>,
}

impl RunWriter {
    /// Makes the folder (and its parents) into a run: `run.json` appears whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::AlreadyHoldsRun`] when there is one, [`StoreError::Invalid`] when `record`
    /// breaks a rule of the format, and [`StoreError::Io`].
    pub fn create(dir: &Path, record: &RunRecord) -> Result<Self, StoreError> {
        let run_path = dir.join(RUN_FILE);
        validate::run(record).map_err(invalid(&run_path, 0, CHANGE))?;
        fs::create_dir_all(dir).map_err(io_error("create folder", dir))?;
        if run_path.exists() || dir.join(CELLS_FILE).exists() {
            return Err(StoreError::AlreadyHoldsRun(dir.to_owned()));
        }
        write_record(dir, record, false)?;
        let (path, file) = open_cells(dir, OpenOptions::new().create_new(true))?;
        sync_folder(dir)?;
        Ok(Self::holding(path, file, record, StoredCells::default()))
    }

    fn holding(path: PathBuf, file: File, record: &RunRecord, stored: StoredCells) -> Self {
        Self {
            path,
            file,
            planned: record.cells.iter().cloned().collect(),
            done_ids: stored.cells.iter().map(|cell| cell.id.clone()).collect(),
            done: stored.cells,
            good_bytes: stored.good_bytes,
            torn: false,
            warnings: Vec::new(),
        }
    }

    /// Continues a run: the stored plan must be that of `record`. A torn last line is cut off;
    /// that, and facts of the environment that changed meanwhile, are in [`Self::warnings`]. Stored
    /// cells that are to run again are removed.
    ///
    /// # Errors
    /// [`StoreError::Differs`] naming the first thing that differs, [`StoreError::Busy`], and what
    /// reading can fail with.
    pub fn resume(
        dir: &Path,
        record: &RunRecord,
        is_again: impl Fn(&CellRecord) -> bool,
    ) -> Result<Self, StoreError> {
        validate::run(record).map_err(invalid(&dir.join(RUN_FILE), 0, CHANGE))?;
        let stored = read_record(dir)?;
        same_plan(dir, &stored, record)?;
        let (path, file) = open_cells(dir, OpenOptions::new().create(true))?;
        let cells = read_cells(dir, &stored)?;
        let mut warnings = changed_facts(&stored, record);
        if cells.torn_bytes > 0 {
            file.set_len(cells.good_bytes).map_err(io_error("cut the torn line off", &path))?;
            file.sync_data().map_err(io_error("flush", &path))?;
            warnings.push(format!(
                "the last line of {CELLS_FILE} was cut off while being written ({} bytes) and was removed; its cell will run again",
                cells.torn_bytes
            ));
        }
        let mut writer = Self { warnings, ..Self::holding(path, file, &stored, cells) };
        writer.forget(dir, is_again)?;
        Ok(writer)
    }

    /// The file of cells.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Cells that were stored when the run was resumed, in the order of the file.
    pub fn resumed(&self) -> &[CellRecord] {
        &self.done
    }

    /// Whether the cell is stored.
    pub fn holds(&self, id: &str) -> bool {
        self.done_ids.contains(id)
    }

    /// What the person who resumes should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Removes stored cells; those that stay are safe at any moment.
    fn forget(
        &mut self,
        dir: &Path,
        is_meant: impl Fn(&CellRecord) -> bool,
    ) -> Result<(), StoreError> {
        let stored = self.done.len();
        self.done.retain(|cell| !is_meant(cell));
        if self.done.len() == stored {
            return Ok(());
        }
        let mut text = Vec::new();
        for cell in &self.done {
            serde_json::to_writer(&mut text, cell).map_err(encode_error(&self.path))?;
            text.push(b'\n');
        }
        let file = flushed(dir, &text, &self.path)?;
        lock(file.as_file(), &self.path)?;
        let replaced = file.persist(&self.path).map_err(|error| error.error);
        self.file = replaced.map_err(io_error("replace", &self.path))?;
        sync_folder(dir)?;
        self.good_bytes = text.len() as u64;
        self.done_ids = self.done.iter().map(|cell| cell.id.clone()).collect();
        Ok(())
    }

    /// Stores one cell; when this returns, it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Append`] when the disk refuses: the cells before it are safe, and the folder
    /// stays readable. [`StoreError::Invalid`] when the record breaks a rule of the format, is not
    /// in the plan, or is stored already.
    pub fn append(&mut self, cell: &CellRecord) -> Result<(), StoreError> {
        let line = self.line_of(cell)?;
        self.write_line(&line).map_err(|source| StoreError::Append {
            path: self.path.clone(),
            id: cell.id.clone(),
            safe: self.done_ids.len(),
            source,
        })?;
        self.good_bytes += line.len() as u64;
        self.done_ids.insert(cell.id.clone());
        Ok(())
    }

    /// Writes and flushes a line; what a failed attempt left behind is cut off before the next one,
    /// so that the file always consists of whole lines and at most one torn one at its end.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.good_bytes)?;
            self.torn = false;
        }
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            self.torn = self.file.set_len(self.good_bytes).is_err();
        }
        written
    }

    /// The bytes to store: a reader must accept them, so the reader's rules are applied first.
    fn line_of(&self, cell: &CellRecord) -> Result<Vec<u8>, StoreError> {
        let invalid = invalid(&self.path, 0, OUR_FAULT);
        validate::cell(cell).map_err(|detail| invalid(format!("cell {}: {detail}", cell.id)))?;
        if !self.planned.contains(&cell.id) {
            return Err(invalid(format!("cell {} is not in the plan of this run", cell.id)));
        }
        if self.done_ids.contains(&cell.id) {
            return Err(invalid(format!("cell {} is stored already", cell.id)));
        }
        let mut line = serde_json::to_vec(cell).map_err(|error| invalid(error.to_string()))?;
        line.push(b'\n');
        if line.len() > LINE_MAX_BYTES {
            return Err(invalid(format!("cell {} is longer than {LINE_MAX_BYTES} bytes", cell.id)));
        }
        Ok(line)
    }
}

/// The file of cells, for this writer alone.
fn open_cells(dir: &Path, how: &mut OpenOptions) -> Result<(PathBuf, File), StoreError> {
    let path = dir.join(CELLS_FILE);
    let file = how.append(true).open(&path).map_err(io_error("open", &path))?;
    lock(&file, &path)?;
    Ok((path, file))
}

/// Writes `run.json` beside its place, flushes it and renames it; over another one only if that is
/// meant.
pub(super) fn write_record(dir: &Path, record: &RunRecord, over: bool) -> Result<(), StoreError> {
    let path = dir.join(RUN_FILE);
    let mut text = serde_json::to_vec_pretty(record).map_err(encode_error(&path))?;
    text.push(b'\n');
    let file = flushed(dir, &text, &path)?;
    let renamed = if over { file.persist(&path) } else { file.persist_noclobber(&path) };
    match renamed.map_err(|error| error.error) {
        Ok(_) => sync_folder(dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::AlreadyHoldsRun(dir.to_owned()))
        }
        Err(error) => Err(io_error(if over { "replace" } else { "create" }, &path)(error)),
    }
}

fn encode_error(path: &Path) -> impl FnOnce(serde_json::Error) -> StoreError {
    let error = io_error("encode", path);
    move |source| error(io::Error::other(source))
}

/// A flushed file in `dir` that is to become `path`; what is written to it later goes to its end.
fn flushed(dir: &Path, text: &[u8], path: &Path) -> Result<tempfile::NamedTempFile, StoreError> {
    let mut file = tempfile::Builder::new()
        .prefix(".vipbench.")
        .permissions(Permissions::from_mode(0o666)) // less the umask, as for any other file
        .append(true)
        .tempfile_in(dir)
        .map_err(io_error("create a file in", dir))?;
    file.write_all(text).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("flush", path))?;
    Ok(file)
}

/// A new name in a folder survives a crash only when the folder is flushed too.
fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(io_error("flush folder", dir))
}

fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path)(source)),
    }
}

/// Refuses to continue a run whose cells would not be comparable with those that are stored.
/// Another build of the tool counts: its user-space part is measured too.
fn same_plan(dir: &Path, stored: &RunRecord, wanted: &RunRecord) -> Result<(), StoreError> {
    let differs = |what, detail| Err(StoreError::Differs { dir: dir.to_owned(), what, detail });
    let words = |stored: &str, wanted: &str| format!("stored {stored}, now {wanted}");
    if stored.scenario_name != wanted.scenario_name {
        return differs("scenario", words(&stored.scenario_name, &wanted.scenario_name));
    }
    if stored.tool_version != wanted.tool_version {
        return differs("version of vipbench", words(&stored.tool_version, &wanted.tool_version));
    }
    if let Some((key, before, now)) = first_difference("", &stored.scenario, &wanted.scenario) {
        return differs("content of the scenario", format!("{key}: {}", words(&before, &now)));
    }
    let facts = (&stored.environment.facts, &wanted.environment.facts);
    if let Some(key) = facts::first_unlike(facts.0, facts.1, Clock::Instructions) {
        let value = |facts| facts::value(facts, key);
        let detail = format!("{key}: {}", words(&value(facts.0), &value(facts.1)));
        return differs("guest, tool or build of vipbench", detail);
    }
    if stored.cells != wanted.cells {
        let pair = stored.cells.iter().zip(&wanted.cells).enumerate().find(|(_, (a, b))| a != b);
        let count = |record: &RunRecord| format!("{} cells", record.cells.len());
        let detail = match pair {
            Some((at, (a, b))) => format!("cell {} of the plan: {}", at + 1, words(a, b)),
            None => words(&count(stored), &count(wanted)),
        };
        return differs("plan", detail);
    }
    Ok(())
}

/// What a cell may take changes no number that it gives: memory, which might, is a fact of the
/// guest.
const LIMITS: &str = "limits";

/// Key and values of the first place where two scenarios differ, limits apart. Depth is bounded by
/// the parser's recursion limit.
pub(crate) fn first_difference(
    at: &str,
    stored: &serde_json::Value,
    wanted: &serde_json::Value,
) -> Option<(String, String, String)> {
    use serde_json::Value::Object;
    if stored == wanted || at == LIMITS {
        return None;
    }
    if let (Object(stored), Object(wanted)) = (stored, wanted) {
        let null = serde_json::Value::Null;
        return stored.keys().chain(wanted.keys()).find_map(|key| {
            let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            let [stored, wanted] = [stored, wanted].map(|all| all.get(key).unwrap_or(&null));
            first_difference(&path, stored, wanted)
        });
    }
    let short = |value: &serde_json::Value| value.to_string().chars().take(120).collect::<String>();
    let name = if at.is_empty() { "scenario" } else { at };
    Some((name.to_owned(), short(stored), short(wanted)))
}

/// One warning for each fact of the environment that is no longer what `run.json` says.
fn changed_facts(stored: &RunRecord, wanted: &RunRecord) -> Vec<String> {
    let (before, now) = (&stored.environment.facts, &wanted.environment.facts);
    facts::differing(before, now)
        // The load of a machine is never the same twice.
        .filter(|key| *key != facts::LOAD)
        .map(|key| {
            format!(
                "{key} was {} when the run began and is {} now; if it matters to the numbers, start anew in another folder",
                facts::value(before, key),
                facts::value(now, key)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::store::Run;
    use tempfile::TempDir;

    #[test]
    fn what_is_written_is_what_is_read() {
        let (record, cells) = fixture::run();
        let dir = TempDir::new().unwrap();
        let at = dir.path().join("deep/run");
        let mut writer = RunWriter::create(&at, &record).unwrap();
        for cell in &cells {
            writer.append(cell).unwrap();
        }
        let run = Run::read(&at).unwrap();
        assert_eq!((run.record, run.cells), (record, cells));
        let names: Vec<_> =
            fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn a_folder_that_holds_a_run_is_refused() {
        let (record, _) = fixture::run();
        let dir = TempDir::new().unwrap();
        drop(RunWriter::create(dir.path(), &record).unwrap());
        let error = RunWriter::create(dir.path(), &record).unwrap_err();
        assert!(matches!(error, StoreError::AlreadyHoldsRun(_)));
        fs::remove_file(dir.path().join(RUN_FILE)).unwrap();
        let error = RunWriter::create(dir.path(), &record).unwrap_err();
        assert!(
            matches!(error, StoreError::AlreadyHoldsRun(_)),
            "cells without a run are somebody's too"
        );
    }

    #[test]
    fn a_run_is_resumed_after_a_torn_line() {
        let (record, cells) = fixture::run();
        let dir = TempDir::new().unwrap();
        let mut writer = RunWriter::create(dir.path(), &record).unwrap();
        writer.append(&cells[0]).unwrap();
        writer.append(&cells[1]).unwrap();
        drop(writer);
        let path = dir.path().join(CELLS_FILE);
        let length = fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 1).unwrap();

        let mut writer = RunWriter::resume(dir.path(), &record, |_| false).unwrap();
        assert!(writer.holds(&cells[0].id) && !writer.holds(&cells[1].id));
        assert_eq!(writer.resumed(), &cells[..1]);
        assert!(writer.warnings()[0].contains("run again"), "{:?}", writer.warnings());
        for cell in &cells[1..] {
            writer.append(cell).unwrap();
        }
        assert_eq!(Run::read(dir.path()).unwrap().cells, cells);
    }

    #[test]
    fn resuming_another_plan_names_what_differs() {
        let (record, _) = fixture::run();
        let dir = TempDir::new().unwrap();
        drop(RunWriter::create(dir.path(), &record).unwrap());
        let refused = |change: &dyn Fn(&mut RunRecord)| {
            let mut other = record.clone();
            change(&mut other);
            match RunWriter::resume(dir.path(), &other, |_| false).unwrap_err() {
                StoreError::Differs { what, detail, .. } => (what, detail),
                error => panic!("{error}"),
            }
        };
        let (what, detail) = refused(&|other| other.scenario["connections"] = 301.into());
        assert_eq!(what, "content of the scenario");
        assert_eq!(detail, "connections: stored 300, now 301");
        let (what, detail) = refused(&|other| {
            other.cells.pop();
        });
        assert_eq!(what, "plan");
        assert!(detail.ends_with("cells"), "{detail}");
        assert_eq!(refused(&|other| other.tool_version = "9.9.9".into()).0, "version of vipbench");
        assert_eq!(refused(&|other| other.scenario_name = "x".into()).0, "scenario");

        let mut other = record.clone();
        other.environment.facts.insert("host.cpu".into(), "another".into());
        other.environment.facts.insert("host.load".into(), "0.5".into());
        let writer = RunWriter::resume(dir.path(), &other, |_| false).unwrap();
        assert_eq!(writer.warnings().len(), 1);
        assert!(writer.warnings()[0].starts_with("host.cpu was \"Example CPU, 2 cores\""));
        let (what, detail) = refused(&|other| {
            other.environment.facts.insert("guest.cpu_model".into(), "max".into());
        });
        assert_eq!(what, "guest, tool or build of vipbench");
        assert!(detail.ends_with("now \"max\""), "{detail}");
    }

    #[test]
    fn limits_may_be_others_when_a_run_goes_on() {
        let (mut record, _) = fixture::run();
        let dir = TempDir::new().unwrap();
        record.scenario["limits"] = serde_json::json!({ "cell_s": 600 });
        drop(RunWriter::create(dir.path(), &record).unwrap());
        record.scenario["limits"]["cell_s"] = 60.into();
        RunWriter::resume(dir.path(), &record, |_| false).unwrap();
    }

    #[test]
    fn cells_that_are_to_run_again_are_removed_and_may_be_stored_again() {
        let (record, cells) = fixture::run();
        let dir = TempDir::new().unwrap();
        let mut writer = RunWriter::create(dir.path(), &record).unwrap();
        for cell in &cells {
            writer.append(cell).unwrap();
        }
        drop(writer);
        let again = |cell: &CellRecord| cell.id == cells[0].id;
        let mut writer = RunWriter::resume(dir.path(), &record, again).unwrap();
        assert!(!writer.holds(&cells[0].id));
        assert_eq!(writer.resumed(), &cells[1..]);
        assert_eq!(Run::read(dir.path()).unwrap().cells, cells[1..]);
        let busy = RunWriter::resume(dir.path(), &record, |_| false).unwrap_err();
        assert!(matches!(busy, StoreError::Busy(_)), "{busy}");
        writer.append(&cells[0]).unwrap();
        assert_eq!(Run::read(dir.path()).unwrap().cells, cells);
    }

    #[test]
    fn two_writers_never_share_a_folder() {
        let (record, _) = fixture::run();
        let dir = TempDir::new().unwrap();
        let _first = RunWriter::create(dir.path(), &record).unwrap();
        let error = RunWriter::resume(dir.path(), &record, |_| false).unwrap_err();
        assert!(matches!(error, StoreError::Busy(_)), "{error}");
    }

    #[test]
    fn a_full_disk_says_what_is_safe() {
        let (record, cells) = fixture::run();
        let dir = TempDir::new().unwrap();
        let mut writer = RunWriter::create(dir.path(), &record).unwrap();
        writer.append(&cells[0]).unwrap();
        writer.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = writer.append(&cells[1]).unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        assert!(error.contains("the 1 cells before it are safe"), "{error}");
        assert!(!writer.holds(&cells[1].id));
        assert_eq!(Run::read(dir.path()).unwrap().cells, cells[..1]);

        // Room again, after a part of the line had reached the disk.
        let path = dir.path().join(CELLS_FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":").unwrap();
        writer.file = file;
        writer.append(&cells[1]).unwrap();
        assert_eq!(Run::read(dir.path()).unwrap().cells, cells[..2]);
    }

    #[test]
    fn a_cell_outside_the_plan_or_stored_already_is_refused() {
        let (mut record, cells) = fixture::run();
        record.cells.retain(|id| *id != cells[1].id);
        let dir = TempDir::new().unwrap();
        let mut writer = RunWriter::create(dir.path(), &record).unwrap();
        writer.append(&cells[0]).unwrap();
        assert!(writer.append(&cells[0]).unwrap_err().to_string().contains("stored already"));
        assert!(writer.append(&cells[1]).unwrap_err().to_string().contains("not in the plan"));
    }
}
