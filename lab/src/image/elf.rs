//! Finds the loader and the shared libraries that programs need, by asking the loader itself. Runs
//! no program, and does not see what one opens by itself later, unless it is told (plug-ins).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use linux::process::{Limits, run};
use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use super::error::{ImageError, read_file};

/// Folders a loader looks in without being told, on the distributions in use (ld.so(8)). It finds
/// nothing elsewhere when there is no `/etc/ld.so.cache`.
const DEFAULT_FOLDERS: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
const C_LIBRARY: &str = "libc.so.6";
/// Largest program read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Reading a program and its libraries takes milliseconds.
const LIMITS: Limits = Limits { deadline: Duration::from_mins(1), output_bytes_max: 1 << 20 };

/// What a program needs to start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needed {
    /// Loader and libraries.
    pub(super) files: BTreeSet<PathBuf>,
    /// Links by which a loader without a cache finds those libraries that are in none of its
    /// folders: beside the C library, and where they lead.
    pub(super) links: BTreeMap<PathBuf, PathBuf>,
}

/// What `program` needs, with `plug_ins` that it may open later.
///
/// # Errors
/// When the program cannot be read, or a library of its is not installed.
pub(super) fn needed(program: &Path, plug_ins: &[PathBuf]) -> Result<Needed, ImageError> {
    let remedy = "install the package it belongs to again";
    let bytes = read_file(program, FILE_BYTES_MAX)?;
    let loader = loader(&bytes).map_err(|error| {
        ImageError::file(program, format!("no usable program: {error}"), remedy)
    })?;
    // A script, or linked statically.
    let Some(loader) = loader else { return Ok(Needed::default()) };
    let plug_ins: Vec<_> = plug_ins.iter().map(|path| path.to_string_lossy()).collect();
    if let Some(path) = plug_ins.iter().find(|path| path.contains([' ', ':'])) {
        let problem = "the loader cannot be asked about a path with a blank or a colon";
        return Err(ImageError::file(Path::new(&**path), problem, remedy));
    }
    let mut command = Command::new(&loader);
    command.arg("--list").arg(program).env_remove("LD_LIBRARY_PATH");
    command.env("LD_PRELOAD", plug_ins.join(":"));
    let listed = run(command, LIMITS).map_err(|error| ImageError::file(program, error, remedy))?;
    // The loader passes over a plug-in that it cannot read, and ends well.
    let said = String::from_utf8_lossy(&listed.stderr);
    if let Some(line) = said.lines().find(|line| line.contains("cannot be preloaded")) {
        return Err(ImageError::file(program, line.trim(), remedy));
    }
    let mut needed = parse(&String::from_utf8_lossy(&listed.stdout));
    needed.files.insert(loader);
    Ok(needed)
}

/// Reads lines such as `NAME => PATH (ADDRESS)` and `PATH (ADDRESS)`.
fn parse(listing: &str) -> Needed {
    let lines: Vec<(Option<&str>, &Path)> = listing.lines().filter_map(library).collect();
    let c_library = lines.iter().find(|(name, _)| *name == Some(C_LIBRARY));
    let c_folder = c_library.and_then(|(_, path)| path.parent());
    let is_default =
        |path: &Path| DEFAULT_FOLDERS.iter().any(|folder| path.parent() == Some(Path::new(folder)));
    let foreign = lines.iter().filter(|(_, path)| !is_default(path));
    let link =
        |(name, path): &(Option<&str>, &Path)| Some((c_folder?.join((*name)?), (*path).to_owned()));
    Needed {
        links: foreign.filter_map(link).collect(),
        files: lines.iter().map(|(_, path)| (*path).to_owned()).collect(),
    }
}

fn library(line: &str) -> Option<(Option<&str>, &Path)> {
    let (found, _address) = line.trim().rsplit_once(" (")?;
    let named = found.split_once(" => ");
    let (name, path) = named.map_or((None, found), |(name, path)| (Some(name), path));
    path.starts_with('/').then_some((name, Path::new(path)))
}

/// The loader that an ELF program names.
fn loader(bytes: &[u8]) -> object::read::Result<Option<PathBuf>> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return Ok(None);
    }
    let header = FileHeader64::<LittleEndian>::parse(bytes)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, bytes)? {
        if let Some(loader) = segment.interpreter(endian, bytes)? {
            return Ok(Some(String::from_utf8_lossy(loader).into_owned().into()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn shell() -> Vec<u8> {
        fs::read("/bin/sh").unwrap()
    }

    #[test]
    fn the_loader_and_the_libraries_of_libraries_are_found() {
        let found = needed(Path::new("/bin/sh"), &[]).unwrap();
        assert!(found.files.contains(&loader(&shell()).unwrap().unwrap()));
        let c_library = found.files.iter().find(|path| path.ends_with(C_LIBRARY)).unwrap();
        assert!(found.files.iter().all(|path| path.is_file()), "{found:?}");
        let alone = needed(Path::new("/bin/sh"), std::slice::from_ref(c_library)).unwrap();
        assert_eq!(alone.files, found.files, "a plug-in that is needed anyway");
    }

    #[test]
    fn what_only_the_loaders_cache_finds_is_linked_beside_the_c_library() {
        let found = parse(
            "\tlinux-vdso.so.1 (0x1)\n\tlibextra.so.1 => /usr/local/lib/libextra.so.1 (0x2)\n\
             \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x3)\n\t/lib64/ld-linux-x86-64.so.2 (0x4)\n\
             \t/usr/lib/x86_64-linux-gnu/xtables/libxt_a.so (0x5)\n",
        );
        let files = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/x86_64-linux-gnu/xtables/libxt_a.so",
            "/usr/local/lib/libextra.so.1",
        ];
        assert_eq!(found.files, files.map(PathBuf::from).into());
        let link = ["/lib/x86_64-linux-gnu/libextra.so.1", "/usr/local/lib/libextra.so.1"];
        let [link, target] = link.map(PathBuf::from);
        assert_eq!(found.links, BTreeMap::from([(link, target)]));
    }

    #[test]
    fn a_library_that_is_not_installed_is_named() {
        let root = TempDir::new().unwrap();
        let tool = root.path().join("tool");
        let mut bytes = shell();
        let at = bytes.windows(9).position(|name| name == C_LIBRARY.as_bytes()).unwrap();
        bytes[at + 3] = b'q';
        fs::write(&tool, bytes).unwrap();
        let error = needed(&tool, &[]).unwrap_err().to_string();
        assert!(error.contains("tool") && error.contains("libq.so.6"), "{error}");
    }

    #[test]
    fn scripts_need_nothing_and_damaged_programs_are_errors() {
        let root = TempDir::new().unwrap();
        let tool = root.path().join("tool");
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        assert_eq!(needed(&tool, &[]).unwrap(), Needed::default());
        fs::write(&tool, b"\x7fELF\x02").unwrap();
        assert!(needed(&tool, &[]).unwrap_err().to_string().contains("no usable program"));
        fs::write(&tool, &shell()[..4096]).unwrap();
        assert!(needed(&tool, &[]).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_program_never_panics(at in 0_usize..1024, bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            let mut program = shell();
            for (offset, byte) in bytes.iter().enumerate() {
                program[at + offset] = *byte;
            }
            let _either = loader(&program);
            let _any = parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
