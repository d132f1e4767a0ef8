//! Reading what `nft list table` prints: sets, maps and chains, by name. It judges nothing.
//!
//! The text comes from outside and is not trusted: whatever does not look like it should is an
//! error with its line number.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::ProxyError;

/// A set or map.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerDump {
    /// `set` or `map`.
    pub kind: String,
    /// What is said of it besides its elements: type, flags, comment.
    pub head: BTreeSet<String>,
    /// Its elements.
    pub elements: BTreeSet<String>,
}

/// One table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dump {
    /// Sets and maps by name.
    pub containers: BTreeMap<String, ContainerDump>,
    /// What chains hold, line by line: comment, hook, rules.
    pub chains: BTreeMap<String, Vec<String>>,
}

/// The block that a line is in.
enum Open<'a> {
    Container(&'a mut ContainerDump),
    Chain(&'a mut Vec<String>),
}

impl Dump {
    /// Takes the text of one table apart, in time linear in its length but for sorting.
    ///
    /// # Errors
    /// [`ProxyError::Malformed`] with the first line that is not understood.
    pub(super) fn parse(text: &[u8]) -> Result<Self, ProxyError> {
        let text = std::str::from_utf8(text).map_err(|error| malformed(0, &error.to_string()))?;
        let mut lines = text.lines().enumerate();
        let mut dump = Self::default();
        match lines.next() {
            Some((_, first)) if first.starts_with("table ") && first.ends_with(" {") => {}
            _ => return Err(malformed(0, "it is no table")),
        }
        let mut open: Option<Open<'_>> = None;
        while let Some((at, line)) = lines.next() {
            let line = line.trim();
            match (&mut open, line) {
                (None, "}") => return Ok(dump),
                (None, "") => {}
                (None, line) if line.starts_with("comment ") => {}
                (None, line) => open = Some(dump.begin(line).ok_or_else(|| unknown(at))?),
                (Some(_), "}") => open = None,
                (Some(Open::Chain(rules)), rule) => rules.push(rule.to_owned()),
                (Some(Open::Container(container)), line) => match line.strip_prefix("elements = {")
                {
                    Some(first) => read_elements(first, &mut lines, &mut container.elements)?,
                    None => drop(container.head.insert(line.to_owned())),
                },
            }
        }
        Err(malformed(text.lines().count(), "the table is cut off"))
    }

    /// A block of which only the name is known so far.
    fn begin(&mut self, line: &str) -> Option<Open<'_>> {
        let (kind, name) = line.strip_suffix(" {")?.split_once(' ')?;
        match kind {
            "chain" => Some(Open::Chain(self.chains.entry(name.to_owned()).or_default())),
            "set" | "map" => {
                let container = self.containers.entry(name.to_owned()).or_default();
                kind.clone_into(&mut container.kind);
                Some(Open::Container(container))
            }
            _ => None,
        }
    }
}

/// The rest of the line after `elements = {`, and the lines up to the closing brace.
fn read_elements<'a>(
    first: &'a str,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
    elements: &mut BTreeSet<String>,
) -> Result<(), ProxyError> {
    let mut line = first;
    let mut number = 0;
    loop {
        let (inner, is_last) = match line.trim().strip_suffix('}') {
            Some(inner) => (inner, true),
            None => (line.trim(), false),
        };
        let parts = inner.split(", ").map(|part| part.trim_end_matches(',').trim());
        elements.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
        if is_last {
            return Ok(());
        }
        (number, line) = lines.next().ok_or_else(|| malformed(number, "elements are cut off"))?;
    }
}

fn unknown(line: usize) -> ProxyError {
    malformed(line, "it is neither a set nor a map nor a chain")
}

fn malformed(line: usize, reason: &str) -> ProxyError {
    ProxyError::malformed(format!("nft list table, line {}", line.saturating_add(1)), reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As nft 1.0.6 prints it.
    const TEXT: &str = "table ip kube-proxy {\n\tcomment \"rules for kube-proxy\"\n\tset cluster-ips {\n\t\ttype ipv4_addr\n\
        \t\tcomment \"Active ClusterIPs\"\n\t\telements = { 172.30.0.4, 172.30.0.41,\n\t\t\t     172.30.0.42 }\n\t}\n\n\
        \tmap empty {\n\t\ttype inet_proto . inet_service : verdict\n\t}\n\n\
        \tchain reject-chain {\n\t\treject\n\t\tnumgen random mod 2 vmap { 0 : goto a, 1 : goto b }\n\t}\n}\n";

    #[test]
    fn blocks_are_found_by_name_with_what_is_in_them() {
        let dump = Dump::parse(TEXT.as_bytes()).expect("well formed");
        let set = &dump.containers["cluster-ips"];
        assert_eq!((set.kind.as_str(), set.head.len()), ("set", 2));
        assert_eq!(
            set.elements.iter().collect::<Vec<_>>(),
            ["172.30.0.4", "172.30.0.41", "172.30.0.42"]
        );
        assert!(dump.containers["empty"].elements.is_empty());
        assert_eq!(
            dump.chains["reject-chain"],
            ["reject", "numgen random mod 2 vmap { 0 : goto a, 1 : goto b }"]
        );
    }

    #[test]
    fn what_is_not_understood_is_named_by_line() {
        for (text, line) in [
            ("", "line 1"),
            ("table ip x {\n\tflowtable y {\n\t}\n}\n", "line 2"),
            ("table ip x {\n\tchain y {\n", "line 3"),
            ("table ip x {\n\tset y {\n\t\telements = { 1,\n", "cut off"),
        ] {
            let error = Dump::parse(text.as_bytes()).expect_err("malformed").to_string();
            assert!(error.contains(line), "{error}");
        }
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(at in 0..TEXT.len(), byte: u8) {
            let mut text = TEXT.as_bytes().to_vec();
            text[at] = byte;
            let _ = Dump::parse(&text);
        }
    }
}
