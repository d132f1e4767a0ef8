//! Which file of a guest code of its user space is from: the code that the profiler saw, looked for
//! in the guest's initramfs.
//!
//! The pages of a file that is executed are in memory as they are in the file: what is at one place
//! of a page, in several places, tells the file. Symbols are not read.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use cpio::newc;
use linux::IoError;

use super::run::refused;

const PAGE_BYTES: usize = 4096;
const ELF: &[u8] = b"\x7fELF";
/// What fewer bytes than these say of a page may be so by chance.
const TOLD_BYTES_MIN: usize = 8;

/// A file that may be executed.
struct Executable {
    name: String,
    content: Vec<u8>,
}

/// Code of one page: where in it, and what.
type Seen<'a> = Vec<(usize, &'a [u8])>;

/// Paths in the guest, without the leading slash, of the files that blocks of code are from, by the
/// blocks' addresses. What is from none (the vDSO) is left out.
///
/// # Errors
/// The archive cannot be read.
pub fn files_of(
    initramfs: &Path,
    code: &BTreeMap<u64, Vec<u8>>,
) -> Result<HashMap<u64, String>, IoError> {
    let executables = executables(initramfs).map_err(refused("read", initramfs))?;
    let mut pages: BTreeMap<u64, Seen<'_>> = BTreeMap::new();
    for (address, bytes) in code {
        let within = usize::try_from(address % PAGE_BYTES as u64).unwrap_or_default();
        pages.entry(address / PAGE_BYTES as u64).or_default().push((within, bytes));
    }
    let mut found = HashMap::new();
    for (page, mut seen) in pages {
        // What tells most is compared first.
        seen.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
        let Some(file) = executables.iter().find(|file| file.has_page(&seen)) else { continue };
        let addresses = seen.iter().map(|(within, _)| page * PAGE_BYTES as u64 + *within as u64);
        found.extend(addresses.map(|address| (address, file.name.clone())));
    }
    Ok(found)
}

impl Executable {
    fn has_page(&self, seen: &Seen<'_>) -> bool {
        let told: usize = seen.iter().map(|(_, bytes)| bytes.len()).sum();
        let fits = |page: usize| {
            seen.iter().all(|(within, bytes)| {
                self.content.get(page + within..).is_some_and(|rest| rest.starts_with(bytes))
            })
        };
        told >= TOLD_BYTES_MIN && (0..self.content.len()).step_by(PAGE_BYTES).any(fits)
    }
}

/// The executables of an archive.
fn executables(initramfs: &Path) -> std::io::Result<Vec<Executable>> {
    let mut rest = BufReader::new(File::open(initramfs)?);
    let mut all = Vec::new();
    loop {
        let mut reader = newc::Reader::new(rest)?;
        if reader.entry().is_trailer() {
            return Ok(all);
        }
        let name = reader.entry().name().to_owned();
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        // Modules are code of the kernel.
        if content.starts_with(ELF) && Path::new(&name).extension() != Some("ko".as_ref()) {
            all.push(Executable { name, content });
        }
        rest = reader.finish()?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let mut bytes = Vec::new();
        for (name, content) in files {
            let size = u32::try_from(content.len()).unwrap();
            let mut writer = newc::Builder::new(name).write(&mut bytes, size);
            writer.write_all(content).unwrap();
            writer.finish().unwrap();
        }
        newc::trailer(&mut bytes).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn code_is_of_the_file_that_has_all_of_a_page() {
        let (mut program, mut library) = (vec![0; 3 * PAGE_BYTES], vec![0; PAGE_BYTES + 100]);
        for file in [&mut program, &mut library] {
            file[..4].copy_from_slice(ELF);
        }
        program[PAGE_BYTES + 16..][..8].copy_from_slice(b"the same");
        program[PAGE_BYTES + 64..][..6].copy_from_slice(b"unlike");
        library[PAGE_BYTES + 16..][..8].copy_from_slice(b"the same");
        library[PAGE_BYTES + 64..][..5].copy_from_slice(b"other");
        let text = b"the same, but no executable".repeat(400);
        let initramfs = archive(&[("text", &text), ("bin/program", &program), ("lib", &library)]);
        let seen: [(u64, &[u8]); 6] = [
            (0x5010, b"the same"),
            (0x5040, b"other"),
            (0x9010, b"the same"),
            (0x9040, b"unlike"),
            (0xd010, b"the same"),
            (0xd040, b"neither"),
        ];
        let code = seen.map(|(address, bytes)| (address, bytes.to_vec())).into();
        let found = files_of(initramfs.path(), &code).unwrap();
        let wanted =
            [(0x5010, "lib"), (0x5040, "lib"), (0x9010, "bin/program"), (0x9040, "bin/program")];
        assert_eq!(found, wanted.map(|(address, name)| (address, name.to_owned())).into());
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"no archive at all, and long enough for a header, which has 110 bytes or so, as the format has it, and more").unwrap();
        assert!(files_of(file.path(), &BTreeMap::new()).is_err());
    }
}
