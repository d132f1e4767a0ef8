//! The `Name: value` stanzas of package descriptions and package sources (deb822). Reads text;
//! decides nothing.

use std::fmt;

/// One stanza: fields in their order, values with their continuation lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stanza {
    pub(super) fields: Vec<(String, String)>,
}

/// One package another one needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// The version it must have, when one is prescribed by `=`.
    pub(super) exact_version: Option<String>,
}

impl Dependency {
    /// Whether this version of the package `name` is what is needed.
    pub(super) fn is(&self, name: &str, version: &str) -> bool {
        self.name == name && self.exact_version.as_ref().is_none_or(|exact| exact == version)
    }
}

/// As apt takes it: `NAME`, or `NAME=VERSION`.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.exact_version.iter().map(|version| format!("={version}"));
        write!(f, "{}{}", self.name, version.collect::<String>())
    }
}

impl Stanza {
    /// Value of the field called `name`, in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Name and version of the package that it describes.
    pub(super) fn key(&self) -> Option<(String, String)> {
        Some((self.get("Package")?.to_owned(), self.get("Version")?.to_owned()))
    }

    /// The words of a field; none when it is absent.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        self.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// Packages named by `Depends`; of alternatives the first.
    pub(super) fn depends(&self) -> Vec<Dependency> {
        let clauses = self.get("Depends").unwrap_or_default().split(',');
        clauses.filter_map(|clause| dependency(clause.split('|').next()?)).collect()
    }
}

fn dependency(text: &str) -> Option<Dependency> {
    let (name, relation) = text.split_once('(').unwrap_or((text, ""));
    let name = name.trim().split([':', '[', ' ']).next()?;
    let version = relation.trim_end().trim_end_matches(')').trim().strip_prefix('=');
    (!name.is_empty()).then(|| Dependency {
        name: name.to_owned(),
        exact_version: version.map(|version| version.trim().to_owned()),
    })
}

/// All stanzas of `text`; lines that are neither field, continuation nor comment are passed over.
pub(super) fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = vec![Stanza::default()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(current) = all.last_mut() else { break };
        if line.trim().is_empty() {
            all.push(Stanza::default());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = current.fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            current.fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    all.retain(|stanza| !stanza.fields.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dependencies_keep_their_exact_version_and_first_alternative() {
        let text = "Package: linux-image-7.2\nDepends: dracut | initramfs-tools (>= 0.1),\n linux-binary-7.2:amd64 \
                    (= 7.2.13-1), kmod\n";
        let stanza = stanzas(text).remove(0);
        let names: Vec<_> = stanza.depends();
        assert_eq!(names.len(), 3);
        assert_eq!(names[0], Dependency { name: "dracut".into(), exact_version: None });
        assert_eq!(
            names[1],
            Dependency { name: "linux-binary-7.2".into(), exact_version: Some("7.2.13-1".into()) }
        );
    }

    #[test]
    fn stanzas_are_split_at_empty_lines_and_comments_are_skipped() {
        let text = "# a comment\nTypes: deb\nSuites: a\n# inside\n b\n\n\nTypes: deb-src\n";
        let all = stanzas(text);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].words("suites"), ["a", "b"]);
        assert_eq!(all[1].get("types"), Some("deb-src"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
            for stanza in stanzas(&text.replace('§', "\n")) {
                let _ = stanza.depends();
            }
        }
    }
}
