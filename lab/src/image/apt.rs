//! Asks the machine's package sources through apt, with indexes of our own, so that the system's
//! stay as they are. apt itself checks signatures and hashes. Chooses no package.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use linux::ToolError;
use linux::process::{Limits, output, run};

use super::control::{Stanza, stanzas};
use super::error::{ImageError, MAKE_ROOM, at};
use super::sources::Source;

/// Name and version of a package.
pub(super) type Key = (String, String);

/// Indexes of a dozen suites are 60 MB.
const UPDATE: Limits = limits(Duration::from_mins(10));
/// A kernel package is up to 110 MB.
const DOWNLOAD: Limits = limits(Duration::from_mins(15));
/// apt first reads all indexes into a form of its own: a second, or minutes on a machine whose
/// cores are taken by others.
const QUERY: Limits = limits(Duration::from_mins(10));
/// How long fetched indexes are good enough.
const INDEX_AGE_MAX: Duration = Duration::from_hours(6);
/// How many lines of apt's own words an error repeats.
const COMPLAINTS_MAX: usize = 3;
const NO_NETWORK: &str = "see that the network and `apt-get update` work, or pass a kernel as `PATH.deb` or \
                          `vmlinuz=PATH,modules=DIR`";
const NO_APT: &str = "install apt, or pass a kernel as `PATH.deb` or `vmlinuz=PATH,modules=DIR`";
/// What apt says of a suite that an archive does not have.
const NO_SUCH_SUITE: &str = "does not have a Release file";
/// What apt says of a full disk.
const NO_ROOM: [&str; 3] = ["No space left on device", "enough free space", "Disk quota exceeded"];
/// Code name of Debian's `experimental`, by which the archives do not answer.
const EXPERIMENTS: &str = "rc-buggy";
/// What apt says of suites that are there and cannot be trusted: no key for them here, or withdrawn
/// long ago.
const NO_TRUSTED_SUITE: [&str; 3] = ["is not signed", "GPG error", "is expired"];

/// Package indexes of our own, in a folder.
#[derive(Debug)]
pub(super) struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Indexes of `sources` in `folder`; fetched if there are none, or old ones, or others.
    ///
    /// # Errors
    /// When apt is absent, or no index could be fetched.
    pub(super) fn open(folder: PathBuf, sources: &[Source]) -> Result<Self, ImageError> {
        let apt = Self { folder };
        let text: Vec<String> = sources.iter().map(Source::stanza).collect();
        apt.prepare(&text.join("\n"))?;
        apt.refresh(&[], &[])?;
        Ok(apt)
    }

    /// Names of the suites that `source` has among its `suites`, by their own names: `stable` is
    /// answered by the name of the release, which the archives keep more current than the moving
    /// names.
    ///
    /// # Errors
    /// When apt is absent, or the archive does not answer at all.
    pub(super) fn suites(folder: PathBuf, source: &Source) -> Result<Vec<String>, ImageError> {
        let apt = Self { folder };
        apt.prepare(&source.stanza())?;
        // Only the signed index of indexes of each suite.
        let options = ["-o", "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false"];
        apt.refresh(&options, &NO_TRUSTED_SUITE)?;
        let lists = apt.folder.join("lists");
        let mut suites = Vec::new();
        for entry in fs::read_dir(&lists).map_err(at("list", &lists))? {
            let path = entry.map_err(at("list", &lists))?.path();
            let name = path.to_string_lossy();
            if !name.ends_with("InRelease") && !name.ends_with("_Release") {
                continue;
            }
            let text = fs::read(&path).map_err(at("read", &path))?;
            let text = String::from_utf8_lossy(&text);
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
            // The suite of experiments has the code name of no folder.
            let name = value("Codename: ").filter(|name| *name != EXPERIMENTS).or(value("Suite: "));
            suites.extend(name.map(str::to_owned));
        }
        suites.sort();
        suites.dedup();
        Ok(suites)
    }

    /// Names of all packages that match the regular expression `pattern`.
    pub(super) fn search(&self, pattern: &str) -> Result<Vec<String>, ImageError> {
        let text = self.query(&["search", "--names-only", pattern])?;
        let first_word = |line: &str| Some(line.split_whitespace().next()?.to_owned());
        Ok(text.lines().filter_map(first_word).collect())
    }

    /// Every version of the packages `names` that is offered, with the suite that holds it.
    pub(super) fn suites_of(&self, names: &[String]) -> Result<BTreeMap<Key, String>, ImageError> {
        let names = names.iter().map(String::as_str);
        let text = self.query(&["madison"].into_iter().chain(names).collect::<Vec<_>>())?;
        // Of several suites that hold the same, the first.
        Ok(text.lines().rev().filter_map(offer).collect())
    }

    /// Descriptions of those of `packages` (each `NAME` or `NAME=VERSION`) that are on offer;
    /// without a version, of the one that this machine would install.
    pub(super) fn show(
        &self,
        packages: impl IntoIterator<Item = String>,
    ) -> Result<Vec<Stanza>, ImageError> {
        let packages: BTreeSet<String> = packages.into_iter().collect();
        let words = ["show", "--no-all-versions"].into_iter();
        let words: Vec<&str> = words.chain(packages.iter().map(String::as_str)).collect();
        // Those that are not on offer are said on standard error, and by a bad exit if there is no
        // other.
        let output = output(self.command("apt-cache", &words), QUERY)?;
        Ok(stanzas(&String::from_utf8_lossy(&output.stdout)))
    }

    /// Fetches a package (`NAME` or `NAME=VERSION`) into the folder `into`, continuing what an
    /// earlier try left there.
    ///
    /// # Errors
    /// When it cannot be fetched, or its hash is not the one in the signed index.
    pub(super) fn download(&self, wanted: &str, into: &Path) -> Result<PathBuf, ImageError> {
        let mut command = self.command("apt-get", &["download", wanted]);
        command.current_dir(into);
        run(command, DOWNLOAD)?;
        let name = wanted.split('=').next().unwrap_or(wanted);
        package_file(into, name)?.ok_or_else(|| {
            ImageError::source(format!("apt-get fetched {wanted} and left no file"), NO_NETWORK)
        })
    }

    fn prepare(&self, sources: &str) -> Result<(), ImageError> {
        for folder in ["etc", "lists/partial", "cache/archives/partial"] {
            let path = self.folder.join(folder);
            fs::create_dir_all(&path).map_err(at("create", &path))?;
        }
        let configuration = self.configuration()?;
        for (name, text) in [("status", ""), ("apt.conf", configuration.as_str())] {
            let path = self.folder.join(name);
            fs::write(&path, text).map_err(at("write", &path))?;
        }
        let file = self.folder.join("etc/vipbench.sources");
        if fs::read_to_string(&file).is_ok_and(|old| old == sources) {
            return Ok(());
        }
        let stamp = self.folder.join("fetched");
        if stamp.exists() {
            fs::remove_file(&stamp).map_err(at("remove", &stamp))?;
        }
        fs::write(&file, sources).map_err(at("write", &file))
    }

    fn is_fresh(&self) -> bool {
        let fetched = fs::metadata(self.folder.join("fetched")).and_then(|meta| meta.modified());
        let age = fetched.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age < INDEX_AGE_MAX)
    }

    /// Fetches indexes, unless those that are here are fresh. A suite that does not exist is passed
    /// over, and so is one that apt speaks of in `tolerated` words; apt reports these by a bad
    /// exit, as everything else.
    fn refresh(&self, options: &[&str], tolerated: &[&str]) -> Result<(), ImageError> {
        if self.is_fresh() {
            return Ok(());
        }
        let output = output(self.command("apt-get", &[&["update"], options].concat()), UPDATE)?;
        let words = String::from_utf8_lossy(&output.stderr);
        let is_serious = |line: &&str| {
            (line.starts_with("E: ") || line.starts_with("W: Failed to fetch"))
                && !line.contains(NO_SUCH_SUITE)
                && !tolerated.iter().any(|words| line.contains(words))
        };
        let mut complaints: Vec<&str> = words.lines().filter(is_serious).collect();
        let lists = self.folder.join("lists");
        let mut files = fs::read_dir(&lists).map_err(at("list", &lists))?.filter_map(Result::ok);
        let has_index = files.any(|file| file.file_name().to_string_lossy().ends_with("Release"));
        if complaints.is_empty() && has_index {
            let stamp = self.folder.join("fetched");
            return fs::write(&stamp, b"").map_err(at("write", &stamp));
        }
        if complaints.is_empty() {
            complaints = words.lines().collect();
        }
        complaints.truncate(COMPLAINTS_MAX);
        let problem =
            format!("`apt-get update` gave no complete indexes: {}", complaints.join(" "));
        Err(ImageError::source(problem, remedy_for(&words, NO_NETWORK)))
    }

    fn query(&self, words: &[&str]) -> Result<String, ImageError> {
        let output = run(self.command("apt-cache", words), QUERY)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `program` of apt with our configuration.
    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-c").arg(self.folder.join("apt.conf")).args(words);
        command
    }

    /// Our sources and folders in place of the system's (apt.conf(5)); of the system's
    /// configuration the proxy settings and the like remain, its pins do not.
    fn configuration(&self) -> Result<String, ImageError> {
        let folder = self.folder.to_string_lossy();
        if folder.contains(['"', '\n']) {
            return Err(ImageError::cache(
                &self.folder,
                "apt takes no folder with a quotation mark or a line break",
                "set VIPBENCH_CACHE to another folder",
            ));
        }
        Ok(format!(
            r#"Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
// Switched off in container images, where each query would then read all indexes again.
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{folder}/etc";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
"#
        ))
    }
}

impl Drop for Apt {
    /// Removes what apt computes again from the indexes in a moment: it is larger than they are.
    fn drop(&mut self) {
        // If it cannot be removed, `vipbench clean` tries again.
        let _ = fs::remove_dir_all(self.folder.join("cache"));
    }
}

/// The file of the package `name` in `folder`, by the naming that every package tool follows.
pub(super) fn package_file(folder: &Path, name: &str) -> Result<Option<PathBuf>, ImageError> {
    let start = format!("{name}_");
    let entries = fs::read_dir(folder).map_err(at("list", folder))?.filter_map(Result::ok);
    let mut paths = entries.map(|entry| entry.path());
    Ok(paths.find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&start) && path.extension().is_some_and(|ending| ending == "deb")
    }))
}

/// The files where apt keeps its list of sources: the file, and the folder of further ones.
pub(super) fn source_places() -> Result<(PathBuf, PathBuf), ImageError> {
    let mut command = Command::new("apt-config");
    command.env("LC_ALL", "C");
    command.args(["shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"]);
    let output = run(command, QUERY)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str, usual: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(found.map_or(usual, |value| value.trim_matches('\'')))
    };
    Ok((value("LIST", "/etc/apt/sources.list"), value("PARTS", "/etc/apt/sources.list.d")))
}

/// Whether the package version `a` is newer than `b`, as dpkg compares them.
pub(super) fn is_newer(a: &str, b: &str) -> Result<bool, ImageError> {
    let mut command = Command::new("dpkg");
    command.args(["--compare-versions", a, "gt", b]);
    Ok(output(command, QUERY)?.status.success())
}

/// Reads a line of `apt-cache madison`: ` NAME | VERSION | URI SUITE/COMPONENT ARCHITECTURE
/// Packages`.
fn offer(line: &str) -> Option<(Key, String)> {
    let mut fields = line.split('|').map(str::trim);
    let (name, version, place) = (fields.next()?, fields.next()?, fields.next()?);
    let (suite, _) = place.split_whitespace().nth(1)?.rsplit_once('/')?;
    let [name, version, suite] = [name, version, suite].map(str::to_owned);
    place.ends_with(" Packages").then_some(((name, version), suite))
}

const fn limits(deadline: Duration) -> Limits {
    Limits { deadline, output_bytes_max: 64 << 20 }
}

impl From<ToolError> for ImageError {
    fn from(error: ToolError) -> Self {
        let usual = if matches!(error, ToolError::Missing { .. }) { NO_APT } else { NO_NETWORK };
        let remedy = remedy_for(&error.to_string(), usual);
        Self::source(error, remedy)
    }
}

/// What to do about a complaint of apt's.
fn remedy_for(words: &str, usual: &'static str) -> &'static str {
    if NO_ROOM.iter().any(|said| words.contains(said)) { MAKE_ROOM } else { usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_madison_are_read_and_others_passed_over() {
        let line = " linux-image-6.1-cloud-amd64 | 6.1.4-1~bpo1 | http://a.test/d s-backports/main amd64 Packages";
        let key = ("linux-image-6.1-cloud-amd64".to_owned(), "6.1.4-1~bpo1".to_owned());
        assert_eq!(offer(line), Some((key, "s-backports".to_owned())));
        for line in ["", "a | b", "a | b | c", "a | 1 | http://a.test s/main Sources"] {
            assert_eq!(offer(line), None);
        }
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_network() {
        let full = "E: Write error - write (28: No space left on device)";
        assert_eq!(remedy_for(full, NO_NETWORK), MAKE_ROOM);
        assert_eq!(remedy_for("E: Could not connect", NO_NETWORK), NO_NETWORK);
    }

    #[test]
    fn other_sources_make_fetched_indexes_stale() {
        let folder = tempfile::TempDir::new().unwrap();
        let apt = Apt { folder: folder.path().to_owned() };
        apt.prepare("Types: deb\n").unwrap();
        assert!(!apt.is_fresh());
        fs::write(folder.path().join("fetched"), b"").unwrap();
        apt.prepare("Types: deb\n").unwrap();
        assert!(apt.is_fresh());
        apt.prepare("Types: deb\nSuites: x\n").unwrap();
        assert!(!apt.is_fresh());
    }
}
