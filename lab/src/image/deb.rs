//! Reads a Debian package: its control fields, and of its files those that belong to a kernel. Runs
//! no script of it, and verifies no signature (apt has done so for packages it fetched).

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use object::read::archive::ArchiveFile;
use tar::EntryType;

use super::compressed::{decompressed, read_all};
use super::control::{Stanza, stanzas};
use super::error::{ImageError, at, read_file};

/// Largest package read, in bytes (kernels: 14 to 110 MB).
const PACKAGE_BYTES_MAX: u64 = 512 << 20;
/// Most a package may unpack to, in bytes.
const UNPACKED_BYTES_MAX: u64 = 2 << 30;
/// Most files a package may hold (the largest kernel packages: about 5,000).
const ENTRIES_MAX: usize = 100_000;
const CONTROL_BYTES_MAX: u64 = 4 << 20;

/// A package in memory.
pub(super) struct Deb {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Deb {
    /// Reads the package at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than a kernel package is.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        Ok(Self { path: path.to_owned(), bytes: read_file(path, PACKAGE_BYTES_MAX)? })
    }

    /// The package file's bytes, as read.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its control fields: name, version, dependencies.
    ///
    /// # Errors
    /// When the package is damaged.
    pub(super) fn control(&self) -> Result<Stanza, ImageError> {
        let tarball = self.member("control.tar")?;
        let text = || -> io::Result<Option<String>> {
            let tarball = read_all(tarball, CONTROL_BYTES_MAX)?;
            let mut archive = tar::Archive::new(&tarball[..]);
            for entry in archive.entries()?.take(ENTRIES_MAX) {
                let entry = entry?;
                if entry.path()?.file_name().is_some_and(|name| name == "control") {
                    return io::read_to_string(entry).map(Some);
                }
            }
            Ok(None)
        };
        let text = text().map_err(|error| self.malformed(error))?.unwrap_or_default();
        let stanza = stanzas(&text).into_iter().next();
        stanza.ok_or_else(|| self.malformed("it has no control file, or an empty one"))
    }

    /// Writes the kernel image, its configuration and its modules into the folder `into`, as
    /// `vmlinuz`, `config` and `modules/`; all else in the package is passed over. Returns the
    /// release that its module folder names, if it has one, and the bytes written.
    ///
    /// # Errors
    /// When the package is damaged, holds unsafe paths or links among the kernel's files, or is
    /// absurdly large.
    pub(super) fn unpack(&self, into: &Path) -> Result<(Option<String>, u64), ImageError> {
        let data = decompressed(self.member("data.tar")?).map_err(|error| self.malformed(error))?;
        let mut archive = tar::Archive::new(data.take(UNPACKED_BYTES_MAX));
        let (mut known, mut bytes) = (None, 0);
        let entries = archive.entries().map_err(|error| self.malformed(error))?;
        for (index, entry) in entries.enumerate() {
            let mut entry = entry.map_err(|error| self.malformed(error))?;
            if index >= ENTRIES_MAX {
                return Err(self.malformed("it has more files than any kernel package"));
            }
            let path = entry.path().map_err(|error| self.malformed(error))?.into_owned();
            let place = kernel_file(&path).map_err(|problem| self.malformed(problem))?;
            let Some((target, release)) = place else { continue };
            match entry.header().entry_type() {
                EntryType::Directory => continue,
                EntryType::Regular => {}
                other => {
                    let problem = format!("`{}` is no plain file but {other:?}", path.display());
                    return Err(self.malformed(problem));
                }
            }
            if let (Some(known), Some(new)) = (&known, &release)
                && known != new
            {
                return Err(self.malformed(format!("it holds two kernels, {known} and {new}")));
            }
            known = known.or(release);
            bytes += write_file(&mut entry, &into.join(target))?;
        }
        Ok((known, bytes))
    }

    /// The archive member whose name starts with `prefix`, compressed as it is.
    fn member(&self, prefix: &str) -> Result<&[u8], ImageError> {
        let archive = ArchiveFile::parse(&*self.bytes).map_err(|error| self.malformed(error))?;
        for member in archive.members() {
            let member = member.map_err(|error| self.malformed(error))?;
            if member.name().starts_with(prefix.as_bytes()) {
                return member.data(&*self.bytes).map_err(|error| self.malformed(error));
            }
        }
        Err(self.malformed(format!("it has no {prefix}")))
    }

    fn malformed(&self, problem: impl fmt::Display) -> ImageError {
        let remedy = "fetch the package again, or unpack it by `dpkg-deb -x` and pass \
                      `vmlinuz=PATH,modules=DIR`";
        ImageError::file(&self.path, format!("no usable kernel package: {problem}"), remedy)
    }
}

/// Where the package file `path` goes, if it belongs to a kernel, and the release that it names.
/// Debian up to Linux 6.18 has
/// `boot/vmlinuz-RELEASE` and `lib/modules/RELEASE/`, from 6.19 on
/// `usr/lib/modules/RELEASE/vmlinuz` beside the modules.
fn kernel_file(path: &Path) -> Result<Option<(PathBuf, Option<String>)>, String> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            _ => return Err(format!("the path `{}` leads out of the package", path.display())),
        }
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let parts = if parts.first() == Some(&"usr") { parts.get(1..) } else { Some(&*parts) };
    let place =
        |target: &str, release: Option<&str>| Ok(Some((target.into(), release.map(str::to_owned))));
    match parts.unwrap_or_default() {
        ["boot", file] if file.starts_with("vmlinuz-") => place("vmlinuz", None),
        ["boot", file] if file.starts_with("config-") => place("config", None),
        ["lib", "modules", release, file @ ("vmlinuz" | "config")] => place(file, Some(release)),
        // Pointers to headers that the package does not hold.
        ["lib", "modules", _, "build" | "source"] => Ok(None),
        ["lib", "modules", release, rest @ ..] if !rest.is_empty() => {
            place(&format!("modules/{}", rest.join("/")), Some(release))
        }
        _ => Ok(None),
    }
}

fn write_file(content: &mut impl Read, target: &Path) -> Result<u64, ImageError> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(at("create", folder))?;
    }
    let mut file = File::create_new(target).map_err(at("create", target))?;
    io::copy(content, &mut file).map_err(at("write", target))
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// One `ar` member.
    fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut out =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 644, bytes.len())
                .into_bytes();
        out.extend(bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
        out
    }

    fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(EntryType::Regular);
            // Written by hand: `set_path` refuses the paths that a hostile package may hold.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// A package with `control` fields and `files`, its data compressed by gzip.
    pub(in super::super) fn package(control: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut data = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        data.write_all(&tarball(files)).unwrap();
        package_of(control, "data.tar.gz", &data.finish().unwrap())
    }

    fn package_of(control: &str, data_name: &str, data: &[u8]) -> Vec<u8> {
        [
            b"!<arch>\n".to_vec(),
            member("debian-binary", b"2.0\n"),
            member("control.tar", &tarball(&[("./control", control.as_bytes())])),
            member(data_name, data),
        ]
        .concat()
    }

    fn deb(bytes: Vec<u8>) -> Deb {
        Deb { path: "test.deb".into(), bytes }
    }

    #[test]
    fn kernel_files_are_kept_and_others_passed_over() {
        let bytes = package(
            "Package: linux-image-6.1.0-1-amd64\nVersion: 6.1.5-1\n",
            &[
                ("./boot/vmlinuz-6.1.0-1-amd64", b"image"),
                ("./boot/config-6.1.0-1-amd64", b"CONFIG_PVH=y"),
                ("./boot/System.map-6.1.0-1-amd64", b"map"),
                ("./lib/modules/6.1.0-1-amd64/kernel/net/a.ko", b"module"),
                ("./usr/share/doc/copyright", b"text"),
            ],
        );
        let deb = deb(bytes);
        let folder = TempDir::new().unwrap();
        let (release, bytes) = deb.unpack(folder.path()).unwrap();
        assert_eq!(deb.control().unwrap().get("Version"), Some("6.1.5-1"));
        assert_eq!(release.as_deref(), Some("6.1.0-1-amd64"));
        assert_eq!(bytes, 5 + 12 + 6);
        assert_eq!(fs::read(folder.path().join("vmlinuz")).unwrap(), b"image");
        assert_eq!(fs::read(folder.path().join("modules/kernel/net/a.ko")).unwrap(), b"module");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_image_beside_its_modules_is_found() {
        let place = kernel_file(Path::new("./usr/lib/modules/7.2-amd64/vmlinuz")).unwrap();
        assert_eq!(place, Some(("vmlinuz".into(), Some("7.2-amd64".to_owned()))));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["./lib/modules/../../../x", "/lib/modules/6.1/kernel/a.ko"] {
            let deb = deb(package("Package: x\n", &[(path, b"x")]));
            let error = deb.unpack(TempDir::new().unwrap().path()).unwrap_err();
            assert!(error.to_string().contains("leads out of the package"), "{error}");
        }
    }

    #[test]
    fn links_among_the_kernels_files_are_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "lib/modules/6.1/kernel", "/etc").unwrap();
        let deb = deb(package_of("Package: x\n", "data.tar", &builder.into_inner().unwrap()));
        let error = deb.unpack(TempDir::new().unwrap().path()).unwrap_err();
        assert!(error.to_string().contains("is no plain file but Symlink"), "{error}");
    }

    #[test]
    fn two_kernels_in_one_package_are_refused() {
        let files: [(&str, &[u8]); 2] = [("lib/modules/6.1/a", b""), ("lib/modules/6.2/b", b"")];
        let error = deb(package("Package: x\n", &files))
            .unpack(TempDir::new().unwrap().path())
            .unwrap_err();
        assert!(error.to_string().contains("two kernels, 6.1 and 6.2"), "{error}");
    }

    #[test]
    fn a_cut_package_is_an_error_with_a_remedy() {
        let whole = package("Package: x\n", &[("./boot/vmlinuz-6.1", &[7; 4000])]);
        for length in 0..whole.len() - 1 {
            let cut = deb(whole[..length].to_vec());
            let error = cut.unpack(TempDir::new().unwrap().path()).unwrap_err();
            assert!(error.to_string().contains("fetch the package again"), "{length}: {error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let folder = TempDir::new().unwrap();
            for data in [bytes.clone(), [b"!<arch>\n".to_vec(), bytes.clone()].concat(),
                         package_of("Package: x\n", "data.tar", &bytes)] {
                let deb = deb(data);
                let _either = deb.control();
                let _either = deb.unpack(folder.path());
            }
        }

        #[test]
        fn a_damaged_package_never_panics(at in 0_usize..900, value in any::<u8>()) {
            let mut bytes = package("Package: x\n", &[("./boot/vmlinuz-6.1", b"image")]);
            if let Some(byte) = bytes.get_mut(at) { *byte = value }
            let deb = deb(bytes);
            let _either = deb.control();
            let _either = deb.unpack(TempDir::new().unwrap().path());
        }
    }
}
