//! What `nft list table` prints after `nft -f` has run a text of commands in an empty namespace.
//!
//! In the words of nft 1.0.6: marks have eight digits, a set of one element stands without braces,
//! networks have no host bits, a translation to an address and a port does not say so. Comments are
//! kept; priorities are numbers, as they were written.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ipnet::IpNet;

use super::dump::{ContainerDump, Dump};

/// What the kernel takes as the size of a set that packets add to (`NFT_SET_EVAL` without a size:
/// `netlink_delinearize.c` and `set_evaluate` in src/evaluate.c, nft 1.0.6).
const DYNAMIC_SET_SIZE: &str = "size 65535";

impl Dump {
    /// What `table` (family and name) holds after the commands of a full sync. Left out are
    /// commands for other tables, and those that do nothing where there was nothing before.
    pub(super) fn after(commands: &str, table: &str) -> Self {
        let mut dump = Self::default();
        for line in commands.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(verb), Some(kind), Some(rest)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let Some(rest) = rest.strip_prefix(table).and_then(|rest| rest.strip_prefix(' ')) {
                let (name, definition) = rest.split_once(' ').unwrap_or((rest, ""));
                dump.run((verb, kind), name, definition);
            }
        }
        dump
    }

    fn run(&mut self, command: (&str, &str), name: &str, definition: &str) {
        match command {
            ("add", "chain") => {
                let chain = self.chains.entry(name.into()).or_default();
                chain.extend(parts(definition).map(chain_line));
            }
            ("flush", "chain") => {
                self.chains.entry(name.into()).or_default().retain(|line| is_head(line));
            }
            ("delete", "chain") => drop(self.chains.remove(name)),
            ("add", "rule") => {
                self.chains.entry(name.into()).or_default().push(listed_rule(definition));
            }
            ("add", "set" | "map") => {
                let container = self.containers.entry(name.into()).or_default();
                *container = ContainerDump {
                    kind: command.1.into(),
                    head: head(definition),
                    elements: std::mem::take(&mut container.elements),
                };
            }
            ("delete", "set" | "map") => drop(self.containers.remove(name)),
            ("add", "element") => {
                let container = self.containers.entry(name.into()).or_default();
                let elements = inner(definition).split(", ").map(str::trim);
                container.elements.extend(elements.map(str::to_owned));
            }
            _ => {}
        }
    }
}

/// What is inside the braces of a definition.
fn inner(definition: &str) -> &str {
    let inner = definition.strip_prefix('{').and_then(|inner| inner.strip_suffix('}'));
    inner.unwrap_or_default().trim()
}

/// The parts of a definition, each of which ends with a semicolon.
fn parts(definition: &str) -> impl Iterator<Item = &str> {
    inner(definition).split(';').map(str::trim).filter(|part| !part.is_empty())
}

/// Comment or hook of a chain.
fn chain_line(part: &str) -> String {
    if part.starts_with("type ") { format!("{part}; policy accept;") } else { part.to_owned() }
}

/// Whether a line of a chain is no rule.
fn is_head(line: &str) -> bool {
    line.starts_with("type ") || line.starts_with("comment ")
}

fn head(definition: &str) -> BTreeSet<String> {
    let mut head: BTreeSet<String> = parts(definition).map(head_line).collect();
    let is = |start| head.iter().any(|line| line.starts_with(start));
    if is("flags dynamic") && !is("size ") {
        head.insert(DYNAMIC_SET_SIZE.into());
    }
    head
}

/// One thing that is said of a set. `timeout 10800s` is listed as `timeout 3h` (`time_print` in
/// src/datatype.c, nft 1.0.6).
fn head_line(part: &str) -> String {
    let seconds = part.strip_prefix("timeout ").and_then(|time| time.strip_suffix('s'));
    let Some(Ok(seconds)) = seconds.map(str::parse::<u64>) else { return part.to_owned() };
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let mut listed = String::from("timeout ");
    let mut left = seconds;
    for (unit, name) in units {
        if left >= unit {
            // Writing to a `String` cannot fail.
            let _ = write!(listed, "{}{name}", left / unit);
            left %= unit;
        }
    }
    listed
}

/// A rule as it is listed.
pub(crate) fn listed_rule(rule: &str) -> String {
    let (rule, comment) = match rule.find(" comment \"") {
        Some(at) => rule.split_at(at),
        None => (rule, ""),
    };
    let words: Vec<&str> = rule.split_whitespace().collect();
    let mut listed = String::with_capacity(rule.len() + comment.len() + 32);
    let mut rest = words.as_slice();
    while let [first, behind @ ..] = rest {
        if *first != "," && !listed.is_empty() {
            listed.push(' ');
        }
        rest = match rest {
            ["mark", "set", "mark", operator @ ("or" | "xor"), mark, behind @ ..] => {
                let sign = if *operator == "or" { "|" } else { "^" };
                listed.extend(["meta mark set meta mark ", sign, " ", &number(mark)]);
                behind
            }
            ["mark", "and", bits, compare, mark, behind @ ..] => {
                listed.extend(["meta mark & ", &number(bits), " ", compare, " ", &number(mark)]);
                behind
            }
            ["dnat", family, "addr", ".", "port", "to", behind @ ..] => {
                listed.extend(["dnat ", family, " to"]);
                behind
            }
            ["{", only, "}", behind @ ..] => {
                listed.push_str(&network(only));
                behind
            }
            _ => {
                listed.push_str(&network(first));
                behind
            }
        };
    }
    listed + comment
}

/// A mark with eight digits; anything else as it is.
fn number(word: &str) -> String {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_or_else(|_| word.to_owned(), |number| format!("{number:#010x}"))
}

/// A network without host bits, and without its length if it is one address; anything else as it
/// is.
fn network(word: &str) -> String {
    match word.parse::<IpNet>() {
        Ok(network) if network.prefix_len() == network.max_prefix_len() => {
            network.addr().to_string()
        }
        Ok(network) => network.trunc().to_string(),
        Err(_) => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::golden;

    #[test]
    fn written_rules_have_their_listed_form() {
        for (written, listed) in [
            ("reject", "reject"),
            (
                "mark set mark or 0x4000 comment \"a , b\"",
                "meta mark set meta mark | 0x00004000 comment \"a , b\"",
            ),
            ("mark and 0x4000 == 0 return", "meta mark & 0x00004000 == 0x00000000 return"),
            (
                "mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random",
                "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
            ),
            ("ip daddr { 10.97.0.0/12 } drop", "ip daddr 10.96.0.0/12 drop"),
            ("ip saddr != 10.1.2.3/32 jump a", "ip saddr != 10.1.2.3 jump a"),
            (
                "ip6 saddr != { fd00::/8 , fe80::/10 } drop",
                "ip6 saddr != { fd00::/8, fe80::/10 } drop",
            ),
            (
                "update @affinity-X-a/b/c__1/2 { ip saddr }",
                "update @affinity-X-a/b/c__1/2 { ip saddr }",
            ),
            (
                "numgen random mod 2 vmap { 0 : goto a/b , 1 : goto c/d }",
                "numgen random mod 2 vmap { 0 : goto a/b, 1 : goto c/d }",
            ),
            (
                "meta l4proto tcp dnat ip6 addr . port to numgen random mod 1 map { 0 : fd00::1 . 80 }",
                "meta l4proto tcp dnat ip6 to numgen random mod 1 map { 0 : fd00::1 . 80 }",
            ),
            ("meta l4proto tcp dnat to [fd00::1]:80", "meta l4proto tcp dnat to [fd00::1]:80"),
        ] {
            assert_eq!(listed_rule(written), listed);
        }
    }

    #[test]
    fn commands_make_empty_and_delete() {
        let commands = "\
add table ip t { comment \"x\" ; }
add chain ip t gone
delete chain ip t gone
add chain ip t hook { type nat hook output priority -100 ; }
add rule ip t hook jump old
flush chain ip t hook
add rule ip t hook jump new
add rule ip6 t hook jump other
add set ip t s { type ipv4_addr ; flags dynamic,timeout ; timeout 94200s ; comment \"c\" ; }
add set ip t none { type ipv4_addr ; }
delete set ip t none
add map ip t m { type inet_proto . inet_service : verdict ; }
add element ip t m { tcp . 1 : goto a }
add element ip t m { tcp . 2 comment \"ns/a:b\" : goto b , udp . 3 : drop }
";
        let dump = Dump::after(commands, "ip t");
        let hook = "type nat hook output priority -100; policy accept;";
        assert_eq!(
            dump.chains.into_iter().collect::<Vec<_>>(),
            [("hook".to_owned(), vec![hook.to_owned(), "jump new".to_owned()])]
        );
        assert_eq!(dump.containers.keys().collect::<Vec<_>>(), ["m", "s"]);
        let (map, set) = (&dump.containers["m"], &dump.containers["s"]);
        assert_eq!(map.kind, "map");
        assert_eq!(
            map.elements.iter().collect::<Vec<_>>(),
            ["tcp . 1 : goto a", "tcp . 2 comment \"ns/a:b\" : goto b", "udp . 3 : drop"]
        );
        assert_eq!(
            set.head.iter().collect::<Vec<_>>(),
            [
                "comment \"c\"",
                "flags dynamic,timeout",
                "size 65535",
                "timeout 1d2h10m",
                "type ipv4_addr"
            ]
        );
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(at in 0..golden::OVERALL_NFT[0].len(), byte: u8) {
            let mut commands = golden::OVERALL_NFT[0].as_bytes().to_vec();
            commands[at] = byte;
            let _ = Dump::after(&String::from_utf8_lossy(&commands), "ip kube-proxy");
        }
    }
}
