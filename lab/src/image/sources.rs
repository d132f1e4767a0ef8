//! Which package sources this machine is configured to use, and the suites beside them that may
//! hold other kernels. Fetches nothing; names no archive of its own.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::control::{Stanza, stanzas};
use super::error::{ImageError, at};

/// Suites that a distribution may offer, by the names that move with each release (Debian's; others
/// lack them).
const MOVING_SUITES: [&str; 6] =
    ["stable", "oldstable", "oldoldstable", "testing", "unstable", "experimental"];
/// Names of suites besides those of releases, for machines that follow no release.
const ROLLING_SUITES: [&str; 2] = ["sid", "rc-buggy"];
/// What may follow the name of a release: where corrections and newer packages for it are.
const SIDE_SUITES: [&str; 3] = ["-updates", "-backports", "-security"];
const FILES_MAX: usize = 1000;

/// One package source: an archive, its suites, and how it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) uri: String,
    pub(super) suites: Vec<String>,
    /// Fields that say how signatures are checked, as configured.
    trust: Vec<(String, String)>,
}

impl Source {
    /// Whether it is an archive of corrections, without releases proper.
    pub(super) fn is_corrections_only(&self) -> bool {
        self.suites.iter().all(|suite| suite.ends_with("-security"))
    }

    /// Suites of this archive worth asking for, its own among them. An archive of corrections has
    /// no releases proper, and the other way round. Such an archive may know an old release by its
    /// own name only: `releases` are the names that other archives told.
    pub(super) fn possible_suites(&self, releases: &[String]) -> Vec<String> {
        let has_security = self.suites.iter().any(|suite| suite.ends_with("-security"));
        let has_releases = !self.is_corrections_only();
        let is_here = |side: &&str| if *side == "-security" { has_security } else { has_releases };
        let sides = ["", "-updates", "-backports", "-security"].into_iter().filter(is_here);
        let sides: Vec<&str> = sides.collect();
        let moving = MOVING_SUITES
            .iter()
            .flat_map(|suite| sides.iter().map(move |side| format!("{suite}{side}")));
        let is_release = |name: &&String| {
            has_security && !name.contains('-') && !MOVING_SUITES.contains(&name.as_str())
        };
        let told = releases.iter().filter(is_release).map(|name| format!("{name}-security"));
        let mut possible: Vec<String> =
            moving.chain(told).chain(self.suites.iter().cloned()).collect();
        let mut seen = BTreeSet::new();
        possible.retain(|suite| seen.insert(suite.clone()));
        possible
    }

    /// This source as a stanza for apt (sources.list(5), "deb822-style format").
    pub(super) fn stanza(&self) -> String {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nArchitectures: amd64\n",
            self.uri,
            self.suites.join(" ")
        );
        for (name, value) in &self.trust {
            let _ = writeln!(text, "{name}: {value}");
        }
        text
    }
}

/// The sources for the distribution itself among all configured ones: those whose suite is the
/// release `codename`, or one of the moving names.
///
/// # Errors
/// When the configuration cannot be read, or names no such source.
pub(super) fn configured(
    list: &Path,
    parts: &Path,
    codename: Option<&str>,
) -> Result<Vec<Source>, ImageError> {
    let mut all: Vec<Source> = Vec::new();
    for file in source_files(list, parts) {
        let text = fs::read_to_string(&file).map_err(at("read", &file))?;
        let is_deb822 = file.extension().is_some_and(|ending| ending == "sources");
        let found =
            if is_deb822 { stanzas(&text) } else { text.lines().filter_map(stanza_of).collect() };
        for mut source in found.iter().flat_map(from_stanza) {
            source.suites.retain(|suite| is_distribution(suite, codename));
            let known = all.iter_mut().find(|s| s.uri == source.uri && s.trust == source.trust);
            match known {
                Some(known) => known.suites.extend(source.suites),
                None if source.suites.is_empty() => {}
                None => all.push(source),
            }
        }
    }
    if all.is_empty() {
        let problem = format!(
            "none in `{}` or `{}` is for this distribution ({})",
            list.display(),
            parts.display(),
            codename.unwrap_or("no release name in os-release")
        );
        let remedy = "configure one, or pass a kernel as `PATH.deb` or `vmlinuz=PATH,modules=DIR`";
        return Err(ImageError::source(problem, remedy));
    }
    for source in &mut all {
        let unique: BTreeSet<String> = source.suites.drain(..).collect();
        source.suites = unique.into_iter().collect();
    }
    Ok(all)
}

fn source_files(list: &Path, parts: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parts).into_iter().flatten().take(FILES_MAX);
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "sources" || e == "list"))
        .collect();
    files.extend(list.is_file().then(|| list.to_owned()));
    files.sort();
    files
}

fn is_distribution(suite: &str, codename: Option<&str>) -> bool {
    let base = SIDE_SUITES.iter().find_map(|side| suite.strip_suffix(side)).unwrap_or(suite);
    Some(base) == codename || MOVING_SUITES.contains(&base) || ROLLING_SUITES.contains(&base)
}

fn from_stanza(stanza: &Stanza) -> Vec<Source> {
    let has = |name: &str, wanted: &str| {
        let words = stanza.words(name);
        words.is_empty() || words.iter().any(|word| word == wanted)
    };
    let enabled = stanza.get("Enabled").is_none_or(|value| !value.eq_ignore_ascii_case("no"));
    if !(enabled
        && stanza.words("Types").iter().any(|kind| kind == "deb")
        && has("Components", "main")
        && has("Architectures", "amd64"))
    {
        return Vec::new();
    }
    let trust = ["Signed-By", "Trusted"];
    let trust = trust.iter().filter_map(|&n| Some((n.to_owned(), stanza.get(n)?.to_owned())));
    let trust: Vec<_> = trust.collect();
    let suites = stanza.words("Suites");
    let source = |uri| Source { uri, suites: suites.clone(), trust: trust.clone() };
    stanza.words("URIs").into_iter().map(source).collect()
}

/// A line such as `deb [signed-by=KEYS] URI SUITE COMPONENT...` as a stanza.
fn stanza_of(line: &str) -> Option<Stanza> {
    let (kind, rest) = line.split('#').next()?.trim().split_once([' ', '\t'])?;
    let (options, rest) = match rest.trim_start().strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components = words.collect::<Vec<_>>().join(" ");
    if components.is_empty() {
        return None;
    }
    let named = [("Types", kind), ("URIs", uri), ("Suites", suite), ("Components", &components)];
    let options = options.split_whitespace().filter_map(|option| option.split_once('='));
    let options = options.map(|(name, value)| {
        let name = if name == "arch" { "Architectures" } else { name };
        (name.to_owned(), value.replace(',', " "))
    });
    let named = named.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Stanza { fields: named.chain(options).collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn read(files: &[(&str, &str)], codename: Option<&str>) -> Result<Vec<Source>, ImageError> {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        configured(&folder.path().join("sources.list"), folder.path(), codename)
    }

    const STANZA: &str = "Types: deb deb-src\nURIs: http://a.test/d\nSuites: bookworm bookworm-updates other\n\
                          Components: main\nSigned-By:\n -----BEGIN\n .\n key\n";

    #[test]
    fn the_distributions_own_sources_are_kept_with_their_keys() {
        let list = "# none\ndeb [arch=amd64 signed-by=/k.gpg] http://a.test/s bookworm-security main # why\n\
                    deb http://b.test/x stuff-bookworm main\ndeb-src http://a.test/d bookworm main\n\
                    deb [arch=arm64] http://c.test bookworm main\n";
        let all = read(&[("d.sources", STANZA), ("sources.list", list)], Some("bookworm")).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].suites, ["bookworm", "bookworm-updates"]);
        assert!(all[0].stanza().ends_with("Signed-By: \n -----BEGIN\n .\n key\n"), "{all:?}");
        assert_eq!(all[1].uri, "http://a.test/s");
        assert!(all[1].stanza().contains("Signed-By: /k.gpg\n"));
    }

    #[test]
    fn an_archive_of_corrections_is_asked_for_corrections_only() {
        let line = |suite: &str| {
            let stanza = stanza_of(&format!("deb http://a.test {suite} main")).unwrap();
            from_stanza(&stanza).remove(0)
        };
        let told = ["bullseye", "bullseye-updates", "experimental"].map(str::to_owned);
        let security = line("bookworm-security").possible_suites(&told);
        assert!(security.iter().all(|suite| suite.ends_with("-security")), "{security:?}");
        assert!(security.contains(&"bullseye-security".to_owned()));
        assert_eq!(security.iter().filter(|suite| suite.contains("experimental")).count(), 1);
        let releases = line("bookworm").possible_suites(&told);
        assert!(releases.contains(&"oldstable-backports".to_owned()));
        assert!(!releases.iter().any(|suite| suite.ends_with("-security")), "{releases:?}");
    }

    #[test]
    fn disabled_and_foreign_sources_are_no_sources() {
        let disabled = format!("Enabled: no\n{STANZA}");
        let error = read(&[("d.sources", &disabled)], Some("bookworm")).unwrap_err().to_string();
        assert!(error.contains("configure one"), "{error}");
        assert!(read(&[("d.sources", STANZA)], Some("noble")).is_err());
        let rolling = STANZA.replace("bookworm bookworm-updates other", "sid");
        assert_eq!(read(&[("d.sources", &rolling)], None).unwrap()[0].suites, ["sid"]);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "deb \\PC{0,80}") {
            let _either = stanza_of(&line).map(|stanza| from_stanza(&stanza));
        }
    }
}
