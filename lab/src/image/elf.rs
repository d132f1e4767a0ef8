//! Finds the loader and the shared libraries that programs need, the way the dynamic loader does.
//! Runs nothing, and does not see what a program opens by itself later (plug-ins).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile, FileHeader, ProgramHeader};

use super::error::{ImageError, at};

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
const LOADER_CONFIGURATION: &str = "/etc/ld.so.conf";
/// Largest program or library read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Most libraries followed (iptables, nft, ipset and ipvsadm together: about 20).
const LIBRARIES_MAX: usize = 1000;
const CONFIGURATION_FILES_MAX: usize = 100;

/// What a program or library asks of the loader.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    loader: Option<String>,
    libraries: Vec<String>,
    folders: Vec<String>,
}

/// Where to look for libraries.
#[derive(Debug, Clone)]
pub(super) struct LibraryFolders {
    configured: Vec<PathBuf>,
    default: Vec<PathBuf>,
}

/// A file a program needs: where it is here, and where the guest's loader will look for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needed {
    pub(super) host: PathBuf,
    pub(super) guest: PathBuf,
}

impl LibraryFolders {
    /// The folders of this machine.
    pub(super) fn of_this_machine() -> Self {
        Self {
            configured: configured_folders(Path::new(LOADER_CONFIGURATION)),
            default: DEFAULT_FOLDERS.iter().map(PathBuf::from).collect(),
        }
    }

    /// Where the library `name`, needed by a file in the folder `origin`, is.
    fn find(&self, name: &str, run_path: &[String], origin: &Path) -> Option<Needed> {
        let at_same_place =
            |path: PathBuf| path.is_file().then(|| Needed { guest: path.clone(), host: path });
        if name.contains('/') {
            return at_same_place(PathBuf::from(name));
        }
        let own = run_path.iter().map(|f| f.replace("$ORIGIN", &origin.to_string_lossy()));
        if let Some(found) = own.map(|folder| Path::new(&folder).join(name)).find_map(at_same_place)
        {
            return Some(found);
        }
        if let Some(host) = find_in(&self.configured, name)
            && !host.parent().is_some_and(|folder| self.default.iter().any(|known| known == folder))
        {
            // The guest has no loader cache: what is found by configuration alone goes where its C
            // library is.
            let guest = self.c_library_folder().map_or_else(|| host.clone(), |f| f.join(name));
            return Some(Needed { host, guest });
        }
        find_in(&self.default, name).and_then(at_same_place)
    }

    fn c_library_folder(&self) -> Option<&PathBuf> {
        self.default.iter().find(|folder| folder.join("libc.so.6").is_file())
    }
}

fn find_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Everything the programs and libraries `files` need to start: loaders and libraries, sorted.
///
/// # Errors
/// When a file cannot be read, or a library is not installed.
pub(super) fn closure(
    files: &[PathBuf],
    folders: &LibraryFolders,
) -> Result<BTreeSet<Needed>, ImageError> {
    let mut found: BTreeMap<PathBuf, Needed> = BTreeMap::new();
    let mut open: Vec<PathBuf> = files.to_vec();
    while let Some(file) = open.pop() {
        let needs = needs(&file)?;
        let origin = file.parent().unwrap_or(Path::new("/"));
        let libraries = needs.libraries.iter().map(|name| {
            let place = folders.find(name, &needs.folders, origin);
            place
                .ok_or_else(|| malformed(&file, format!("it needs {name}, which is not installed")))
        });
        let loader =
            needs.loader.iter().map(|path| Ok(Needed { host: path.into(), guest: path.into() }));
        for needed in libraries.chain(loader) {
            let needed = needed?;
            if !found.contains_key(&needed.guest) {
                open.push(needed.host.clone());
                found.insert(needed.guest.clone(), needed);
            }
        }
        if found.len() > LIBRARIES_MAX {
            return Err(malformed(&file, "it needs more libraries than any tool does".to_owned()));
        }
    }
    Ok(found.into_values().collect())
}

fn needs(file: &Path) -> Result<Needs, ImageError> {
    let size = fs::metadata(file).map_err(at("look at", file))?.len();
    if size > FILE_BYTES_MAX {
        return Err(malformed(file, format!("{size} bytes are too many for a program")));
    }
    let bytes = fs::read(file).map_err(at("read", file))?;
    if !bytes.starts_with(&elf::ELFMAG) {
        // A script, or data: its interpreter is the business of whoever asks for it.
        return Ok(Needs::default());
    }
    needs_of(&bytes).map_err(|error| malformed(file, format!("no usable program: {error}")))
}

fn needs_of(bytes: &[u8]) -> object::read::Result<Needs> {
    let header = FileHeader64::<LittleEndian>::parse(bytes)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, bytes)? {
        if let Some(loader) = segment.interpreter(endian, bytes)? {
            needs.loader = Some(String::from_utf8_lossy(loader).into_owned());
        }
    }
    let file = ElfFile::<FileHeader64<LittleEndian>>::parse(bytes)?;
    let table = file.elf_dynamic_table()?;
    for entry in &table {
        if ![elf::DT_NEEDED, elf::DT_RUNPATH, elf::DT_RPATH].contains(&entry.tag) {
            continue;
        }
        let text = String::from_utf8_lossy(table.string(entry)?).into_owned();
        if entry.tag == elf::DT_NEEDED {
            needs.libraries.push(text);
        } else {
            needs.folders.extend(text.split(':').filter(|f| !f.is_empty()).map(str::to_owned));
        }
    }
    Ok(needs)
}

/// Folders named in the loader's configuration and the files it includes, in order.
fn configured_folders(configuration: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut open = vec![configuration.to_owned()];
    let mut read = BTreeSet::new();
    for _ in 0..CONFIGURATION_FILES_MAX {
        let Some(file) = open.pop() else { break };
        if !read.insert(file.clone()) {
            continue;
        }
        for line in fs::read_to_string(&file).unwrap_or_default().lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(pattern) = line.strip_prefix("include ") {
                open.extend(included(Path::new(pattern.trim())));
            } else if line.starts_with('/') {
                folders.push(PathBuf::from(line));
            }
        }
    }
    folders
}

/// Files that `FOLDER/*.conf` names, last first: the pattern every distribution uses.
fn included(pattern: &Path) -> Vec<PathBuf> {
    let Some(folder) = pattern.parent() else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|p| p.extension().is_some_and(|e| e == "conf")).collect();
    paths.sort_by(|a, b| b.cmp(a));
    paths
}

fn malformed(file: &Path, problem: String) -> ImageError {
    ImageError::Malformed {
        path: file.to_owned(),
        problem,
        remedy: "install the package it belongs to again",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::test_elf::TestElf;
    use super::*;

    /// A program or library with a loader, needed libraries and a run path.
    fn elf(loader: Option<&str>, needed: &[&str], run_path: Option<&str>) -> Vec<u8> {
        let (mut strings, mut entries) = (vec![0], Vec::new());
        let needed = needed.iter().map(|text| (elf::DT_NEEDED, *text));
        for (tag, text) in needed.chain(run_path.map(|text| (elf::DT_RUNPATH, text))) {
            entries.extend([tag.0, i64::try_from(strings.len()).unwrap()]);
            strings.extend(text.bytes().chain([0]));
        }
        entries.extend([0, 0]);
        let entries: Vec<u8> = entries.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut built = TestElf::default();
        if let Some(loader) = loader {
            built = built.segment(elf::PT_INTERP.0, format!("{loader}\0").as_bytes());
        }
        built
            .section(".dynstr", elf::SHT_STRTAB.0, 0, &strings)
            .section(".dynamic", elf::SHT_DYNAMIC.0, 1, &entries)
            .build()
    }

    fn folders(root: &Path) -> LibraryFolders {
        let made = |name: &str| {
            fs::create_dir_all(root.join(name)).unwrap();
            vec![root.join(name)]
        };
        LibraryFolders { configured: made("local"), default: made("lib") }
    }

    #[test]
    fn libraries_of_libraries_and_the_loader_are_found() {
        let root = TempDir::new().unwrap();
        let folders = folders(root.path());
        let at = |name: &str| root.path().join(name);
        let loader = at("lib/ld.so").to_string_lossy().into_owned();
        fs::write(at("tool"), elf(Some(&loader), &["libown.so", "liba.so"], Some("$ORIGIN/own")))
            .unwrap();
        fs::create_dir(at("own")).unwrap();
        fs::write(at("own/libown.so"), elf(None, &[], None)).unwrap();
        fs::write(at("lib/liba.so.1"), elf(None, &["libc.so.6", "libextra.so"], None)).unwrap();
        symlink("liba.so.1", at("lib/liba.so")).unwrap();
        fs::write(at("lib/libc.so.6"), elf(None, &["liba.so"], None)).unwrap();
        fs::write(at("lib/ld.so"), elf(None, &[], None)).unwrap();
        fs::write(at("local/libextra.so"), elf(None, &[], None)).unwrap();

        let found = closure(&[at("tool")], &folders).unwrap();
        let expected = [
            ("lib/ld.so", "lib/ld.so"),
            ("lib/liba.so", "lib/liba.so"),
            ("lib/libc.so.6", "lib/libc.so.6"),
            // Only the loader's configuration leads there, so it moves beside the C library.
            ("local/libextra.so", "lib/libextra.so"),
            ("own/libown.so", "own/libown.so"),
        ];
        let expected = expected.map(|(host, guest)| Needed { host: at(host), guest: at(guest) });
        assert_eq!(found, BTreeSet::from(expected));
    }

    #[test]
    fn a_library_that_is_not_installed_is_named() {
        let root = TempDir::new().unwrap();
        let tool = root.path().join("tool");
        fs::write(&tool, elf(None, &["libnone.so"], None)).unwrap();
        let error = closure(&[tool], &folders(root.path())).unwrap_err().to_string();
        assert!(error.contains("tool") && error.contains("libnone.so"), "{error}");
    }

    #[test]
    fn scripts_need_nothing_and_damaged_programs_are_errors() {
        let root = TempDir::new().unwrap();
        let tool = root.path().join("tool");
        fs::write(&tool, "#!/bin/sh\n").unwrap();
        assert!(closure(std::slice::from_ref(&tool), &folders(root.path())).unwrap().is_empty());
        fs::write(&tool, b"\x7fELF\x02").unwrap();
        assert!(closure(&[tool], &folders(root.path())).is_err());
    }

    #[test]
    fn included_configuration_is_read_in_the_order_of_names() {
        let root = TempDir::new().unwrap();
        fs::write(root.path().join("b.conf"), "/b\n").unwrap();
        fs::write(root.path().join("a.conf"), "# first\n/a # why\n").unwrap();
        let top = root.path().join("ld.so.conf");
        fs::write(&top, format!("include {}/*.conf\n/own\n", root.path().display())).unwrap();
        assert_eq!(configured_folders(&top), ["/own", "/a", "/b"].map(PathBuf::from));
    }

    proptest! {
        #[test]
        fn a_damaged_program_never_panics(at in 0_usize..700, bytes in prop::collection::vec(any::<u8>(), 0..8)) {
            let mut program = elf(Some("/lib/ld.so"), &["liba.so"], Some("/own"));
            for (offset, byte) in bytes.iter().enumerate() {
                if let Some(place) = program.get_mut(at + offset) { *place = *byte }
            }
            let _either = needs_of(&program);
        }
    }
}
