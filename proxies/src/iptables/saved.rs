//! What `iptables-save` prints of the rules that a text for `iptables-restore` holds.
//!
//! Legacy and nft print rules alike (iptables 1.8.9): addresses with their prefix length come first
//! and `-p` before the matches, which stay in their order; options of a match or target have an
//! order of their own, defaults are spelled out, and numbers are as the kernel keeps them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use generators::{Family, Protocol};
use ipnet::IpNet;

/// Matches without an extension, in the order in which they are printed.
const BASICS: [&str; 5] = ["-s", "-d", "-i", "-o", "-p"];

/// Options of the match `recent`, in the order in which they are printed.
const RECENT: [&str; 9] = [
    "--set",
    "--rcheck",
    "--update",
    "--remove",
    "--seconds",
    "--reap",
    "--hitcount",
    "--name",
    "--mask",
];

/// Options of the match `ipvs`, in the order in which they are printed.
const IPVS: [&str; 3] = ["--vproto", "--vaddr", "--vport"];

/// The saved form of a text for `iptables-restore`, or `ip6tables-restore`: the same tables and
/// chains, with their rules as the tool of the same family prints them. Lines that are neither a
/// table nor a chain nor a rule at the end of one are left out.
pub(crate) fn text(restore: &str, family: Family) -> String {
    let mut saved = String::with_capacity(restore.len() * 5 / 4);
    for line in restore.lines() {
        match line.strip_prefix("-A ").map(|rule| rule.split_once(' ').unwrap_or((rule, ""))) {
            Some((chain, rule)) => {
                saved.extend(["-A ", chain]);
                Rule::parse(rule, family).write(&mut saved);
            }
            None if line.starts_with(['*', ':']) || line == "COMMIT" => saved.push_str(line),
            None => continue,
        }
        saved.push('\n');
    }
    saved
}

/// One rule, taken apart.
#[derive(Default)]
struct Rule {
    /// What every rule may match, in the order of [`BASICS`].
    basics: [String; BASICS.len()],
    /// Matches and the target, by `-m NAME` or `-j NAME`, each with its options.
    parts: Vec<(String, Vec<String>)>,
}

impl Rule {
    fn parse(text: &str, family: Family) -> Self {
        let mut rule = Self::default();
        let mut words = words(text).into_iter().peekable();
        let mut not = "";
        while let Some(word) = words.next() {
            if word == "!" {
                not = "! ";
                continue;
            }
            let is_value = |next: &Cow<'_, str>| !next.starts_with('-') && next != "!";
            let values = std::iter::from_fn(|| words.next_if(is_value));
            let value = values.collect::<Vec<_>>().join(" ");
            if let Some(at) = BASICS.iter().position(|basic| *basic == word) {
                rule.basics[at] = format!(" {not}{word} {}", network(&value));
            } else if !word.starts_with("--") {
                rule.parts.push((format!(" {word} {value}"), Vec::new()));
            } else if let Some((_, options)) = rule.parts.last_mut() {
                options.push(format!(" {not}{}", option(&word, &value)));
            }
            not = "";
        }
        for (name, options) in &mut rule.parts {
            complete(name, options, family);
        }
        rule
    }

    fn write(&self, text: &mut String) {
        text.extend(self.basics.iter().map(String::as_str));
        for (name, options) in &self.parts {
            text.push_str(name);
            text.extend(options.iter().map(String::as_str));
        }
    }
}

/// Puts options in their order, and what was not given behind them.
fn complete(name: &str, options: &mut Vec<String>, family: Family) {
    let is_ipv6 = family == Family::V6;
    match name {
        " -m recent" => {
            let place = |option: &String| RECENT.iter().position(|name| option.contains(name));
            options.sort_by_key(|option| place(option).unwrap_or(RECENT.len()));
            let mask = [Ipv4Addr::BROADCAST.into(), IpAddr::from([0xff; 16])];
            let mask = mask[usize::from(is_ipv6)];
            for default in [format!(" --mask {mask}"), " --rsource".into()] {
                if !options.contains(&default) {
                    options.push(default);
                }
            }
        }
        " -m ipvs" => {
            let place = |option: &String| IPVS.iter().position(|name| option.contains(name));
            options.sort_by_key(|option| place(option).unwrap_or(IPVS.len()));
        }
        " -j REJECT" if options.is_empty() => {
            let icmp = if is_ipv6 { "icmp6" } else { "icmp" };
            options.push(format!(" --reject-with {icmp}-port-unreachable"));
        }
        _ => {}
    }
}

/// An option as its match or target prints it (`extensions/`, iptables 1.8.9).
fn option(name: &str, value: &str) -> String {
    match name {
        _ if value.is_empty() => name.to_owned(),
        "--comment" => format!("{name} {}", quoted(value)),
        "--nfacct-name" => format!("{name}  {}", quoted(value)),
        "--mark" | "--set-xmark" => {
            format!("{name} {}", value.split('/').map(number).collect::<Vec<_>>().join("/"))
        }
        "--or-mark" => format!("--set-xmark {0}/{0}", number(value)),
        "--xor-mark" => format!("--set-xmark {}/0x0", number(value)),
        "--vproto" => format!("{name} {}", protocol_number(value)),
        "--probability" => format!("{name} {}", probability(value)),
        _ => format!("{name} {value}"),
    }
}

/// An address or network as a network without host bits; anything else as it is.
fn network(word: &str) -> String {
    let network = word.parse::<IpNet>().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
    network.map_or_else(|_| word.to_owned(), |network| network.trunc().to_string())
}

/// A number in hexadecimal without leading zeros; anything else as it is.
fn number(word: &str) -> String {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_or_else(|_| word.to_owned(), |number| format!("{number:#x}"))
}

/// The number of a protocol that kube-proxy names; anything else as it is.
fn protocol_number(word: &str) -> String {
    let named = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let named = named.into_iter().find(|protocol| protocol.as_str() == word);
    named.map_or_else(|| word.to_owned(), |protocol| protocol.number().to_string())
}

/// A share as the kernel keeps it, in 31 bits (`extensions/libxt_statistic.c`, iptables 1.8.9).
fn probability(word: &str) -> String {
    const ONE: f64 = 2_147_483_648.0;
    let parsed = word.parse::<f64>();
    parsed.map_or_else(|_| word.to_owned(), |share| format!("{:.11}", (share * ONE).round() / ONE))
}

/// Text in quotes, unless all of it is letters, digits, `_` and `-` (`xtables_save_string`,
/// libxtables/xtables.c, iptables 1.8.9).
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

/// The words of a rule. Double quotes hold words together; a backslash in them makes the next
/// character a plain one (`add_param_to_argv`, iptables/xshared.c, iptables 1.8.9).
fn words(rule: &str) -> Vec<Cow<'_, str>> {
    let mut words = Vec::new();
    let mut rest = rule.trim_start();
    while !rest.is_empty() {
        let word;
        if let Some(inner) = rest.strip_prefix('"') {
            (word, rest) = quoted_word(inner);
        } else {
            let (plain, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            (word, rest) = (plain.into(), behind);
        }
        words.push(word);
        rest = rest.trim_start();
    }
    words
}

/// A word up to the quote that closes it, and what is behind it.
fn quoted_word(inner: &str) -> (Cow<'_, str>, &str) {
    match inner.split_once('"') {
        Some((word, rest)) if !word.contains('\\') => return (word.into(), rest),
        _ => {}
    }
    let mut word = String::new();
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => word.extend(characters.next()),
            _ => word.push(c),
        }
    }
    (word.into(), characters.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::golden;
    use crate::iptables::{jumps, restore_text};
    use crate::options::Options;

    fn saved(rule: &str) -> String {
        text(&format!("-A X {rule}\n"), Family::V4)
    }

    #[test]
    fn a_whole_sync_is_saved_as_iptables_save_is_known_to_print_it() {
        let options =
            Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() };
        let restore = restore_text(&golden::overall(), &options);
        let restore = String::from_utf8(restore).expect("rules are ASCII");
        let mut table = "";
        let mut rules = Vec::new();
        let saved = text(&restore, Family::V4) + &jumps::saved();
        for line in saved.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if line.starts_with("-A ") {
                rules.push(format!("{table} {line}\n"));
            }
        }
        rules.sort_unstable();
        assert_eq!(rules.concat(), golden::OVERALL_SAVED);
    }

    #[test]
    fn written_rules_have_their_saved_form() {
        for (written, printed) in [
            ("", ""),
            ("-d 10.0.0.1 ! -s 10.140.1.2/9", " ! -s 10.128.0.0/9 -d 10.0.0.1/32"),
            ("-m sctp -p sctp -o eth0 --dport 9", " -o eth0 -p sctp -m sctp --dport 9"),
            ("-m comment --comment probe", " -m comment --comment probe"),
            ("-m comment --comment ns/svc:p", " -m comment --comment \"ns/svc:p\""),
            (r#"-m comment --comment "a 'b\" -j""#, r#" -m comment --comment "a \'b\" -j""#),
            ("-m mark ! --mark 0x00004000/16384", " -m mark ! --mark 0x4000/0x4000"),
            (
                "-s 10.0.0.1 -m ipvs --vaddr 10.0.0.1 --vproto tcp --vport 80 -j DROP",
                " -s 10.0.0.1/32 -m ipvs --vproto 6 --vaddr 10.0.0.1 --vport 80 -j DROP",
            ),
            ("-j MARK --or-mark 0x00004000", " -j MARK --set-xmark 0x4000/0x4000"),
            ("-j MARK --xor-mark 0x00004000", " -j MARK --set-xmark 0x4000/0x0"),
            ("-j REJECT", " -j REJECT --reject-with icmp-port-unreachable"),
            ("-j REJECT --reject-with tcp-reset", " -j REJECT --reject-with tcp-reset"),
            ("-j MASQUERADE --random-fully", " -j MASQUERADE --random-fully"),
            ("-m set --match-set A dst,dst -j RETURN", " -m set --match-set A dst,dst -j RETURN"),
            ("-m nfacct --nfacct-name a_b -j X", " -m nfacct --nfacct-name  a_b -j X"),
            (
                "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL",
                " -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL",
            ),
            (
                "-m recent --name A --rcheck --seconds 9 --reap -j A",
                " -m recent --rcheck --seconds 9 --reap --name A --mask 255.255.255.255 --rsource -j A",
            ),
            (
                "-m recent --name A --set -m tcp -p tcp -j DNAT --to-destination 10.0.0.1:80",
                " -p tcp -m recent --set --name A --mask 255.255.255.255 --rsource -m tcp \
                 -j DNAT --to-destination 10.0.0.1:80",
            ),
        ] {
            assert_eq!(saved(written), format!("-A X{printed}\n"));
        }
    }

    #[test]
    fn ipv6_has_its_own_prefix_mask_and_refusal() {
        let written = "-A X -m recent --set -d fd00::1 -m tcp -p tcp --dport 80 -j REJECT\n";
        let mask = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let printed = format!(
            "-A X -d fd00::1/128 -p tcp -m recent --set --mask {mask} --rsource -m tcp --dport 80 \
             -j REJECT --reject-with icmp6-port-unreachable\n"
        );
        assert_eq!(text(written, Family::V6), printed);
    }

    #[test]
    fn shares_are_printed_as_the_kernel_keeps_them() {
        for (left, kept) in [
            (2, "0.50000000000"),
            (3, "0.33333333349"),
            (5, "0.20000000019"),
            (6, "0.16666666651"),
            (7, "0.14285714272"),
            (9, "0.11111111101"),
            (10, "0.10000000009"),
        ] {
            assert_eq!(probability(&format!("{:.10}", 1.0 / f64::from(left))), kept);
        }
    }

    #[test]
    fn a_saved_rule_stays_as_it_is() {
        let rules = golden::OVERALL_SAVED.lines().filter_map(|line| line.split_once(' '));
        for (_, rule) in rules {
            assert_eq!(text(rule, Family::V4), format!("{rule}\n"));
        }
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(at in 0..golden::OVERALL_RESTORE.len(), byte: u8) {
            let mut restore = golden::OVERALL_RESTORE.as_bytes().to_vec();
            restore[at] = byte;
            let _ = text(&String::from_utf8_lossy(&restore), Family::V4);
        }
    }
}
