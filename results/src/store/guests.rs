//! Adds to a finished `run.json` what its guests took. Changes nothing else of it.

use std::path::Path;

use super::folder::{RUN_FILE, StoreError, invalid};
use super::read::read_record;
use super::write::{OUR_FAULT, RunWriter, write_record};
use crate::record::GuestRecord;
use crate::validate;

impl RunWriter {
    /// Stores what guests took, in `run.json` as a whole or not at all. What an earlier part of a
    /// resumed run knows of a guest, and this one does not, stays.
    ///
    /// # Errors
    /// [`StoreError`]: a `run.json` that cannot be read or written.
    pub fn store_guests(&self, guests: Vec<GuestRecord>) -> Result<(), StoreError> {
        let dir = self.path().parent().unwrap_or(Path::new("."));
        let mut record = read_record(dir)?;
        for guest in guests {
            match record.guests.iter_mut().find(|known| known.release == guest.release) {
                Some(known) => {
                    let before = std::mem::replace(known, guest);
                    known.boot_s = known.boot_s.or(before.boot_s);
                    known.snapshot_bytes = known.snapshot_bytes.or(before.snapshot_bytes);
                    known.restore_s = known.restore_s.or(before.restore_s);
                }
                None => record.guests.push(guest),
            }
        }
        validate::run(&record).map_err(invalid(&dir.join(RUN_FILE), 0, OUR_FAULT))?;
        write_record(dir, &record, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Run, fixture};

    fn guest(boot_s: Option<f64>, restore_s: Option<f64>) -> GuestRecord {
        GuestRecord {
            release: "6.1.0-56-cloud-amd64".into(),
            boot_s,
            snapshot_bytes: Some(1),
            restore_s,
        }
    }

    #[test]
    fn what_guests_took_is_added_and_a_resumed_run_keeps_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let dir = folder.path().join("run");
        let (record, cells) = fixture::run();
        let mut writer = RunWriter::create(&dir, &record).unwrap();
        for cell in &cells {
            writer.append(cell).unwrap();
        }
        writer.store_guests(vec![guest(Some(11.5), None)]).unwrap();
        writer.store_guests(vec![guest(None, Some(0.25))]).unwrap();
        let run = Run::read(&dir).unwrap();
        assert_eq!(run.record.guests, [guest(Some(11.5), Some(0.25))]);
        assert_eq!(run.cells.len(), cells.len());
        let left = std::fs::read_dir(&dir).unwrap().count();
        assert_eq!(left, 2, "run.json and cells.jsonl, nothing half-written");
    }
}
