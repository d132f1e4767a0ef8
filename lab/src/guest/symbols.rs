//! Names of kernel functions, from the guest's own `/proc/kallsyms`: read inside, parsed with
//! suspicion outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};

/// More functions than any kernel has; a stock one with its modules has some 60,000.
const FUNCTIONS_MAX: usize = 2_000_000;
/// `KSYM_NAME_LEN` is 512 (`include/linux/kallsyms.h`, Linux 6.1).
const NAME_BYTES_MAX: usize = 512;
/// Text is sent on in pieces of this many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Inside the guest: hands every line about a function to `send`, in pieces.
pub(super) fn list(send: &dyn Fn(String) -> io::Result<()>) -> io::Result<()> {
    fs::write("/proc/sys/kernel/kptr_restrict", "0")?;
    let mut piece = String::new();
    for line in BufReader::new(File::open("/proc/kallsyms")?).lines() {
        let line = line?;
        if is_function(&line) {
            piece += &line;
            piece.push('\n');
        }
        if piece.len() >= PIECE_BYTES {
            send(std::mem::take(&mut piece))?;
        }
    }
    send(piece)
}

/// Text symbols, weak ones included (`nm`'s letters).
fn is_function(line: &str) -> bool {
    matches!(line.split_ascii_whitespace().nth(1), Some("t" | "T" | "w" | "W"))
}

/// A kernel function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Function {
    /// Name without the suffixes of compiler passes (`.isra.0`, `.constprop.0`, `.cold`), which
    /// differ from build to build.
    pub name: String,
    /// The module it is in; `None` for the kernel itself.
    pub module: Option<String>,
}

/// Functions by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    by_address: BTreeMap<u64, Function>,
}

/// Guest text that is no list of kernel symbols.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the guest's /proc/kallsyms is not understood at line {line}: {problem}")]
pub struct SymbolsError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: &'static str,
}

impl Symbols {
    /// Parses `ADDRESS TYPE NAME [MODULE]` lines (`kernel/kallsyms.c`, `s_show`, Linux 6.1). Of
    /// several names of one address, a global one wins, then the first.
    ///
    /// # Errors
    /// [`SymbolsError`]: a line of another form, too many of them, or addresses that the kernel
    /// hides.
    pub fn parse(text: &str) -> Result<Self, SymbolsError> {
        let mut ranked: BTreeMap<u64, (bool, Function)> = BTreeMap::new();
        for (line, whole) in (1..).zip(text.lines()) {
            let wrong = |problem| SymbolsError { line, problem };
            if line > FUNCTIONS_MAX || whole.len() > 2 * NAME_BYTES_MAX {
                return Err(wrong("too long"));
            }
            if !is_function(whole) {
                continue;
            }
            let (address, global, function) =
                parse_line(whole).ok_or_else(|| wrong("malformed"))?;
            let known = ranked.get(&address).is_some_and(|(known, _)| *known || !global);
            if !known {
                ranked.insert(address, (global, function));
            }
        }
        let by_address: BTreeMap<u64, Function> =
            ranked.into_iter().map(|(address, (_, function))| (address, function)).collect();
        if by_address.keys().all(|address| *address == 0) {
            return Err(SymbolsError { line: 1, problem: "it shows no addresses" });
        }
        Ok(Self { by_address })
    }

    /// The function that `address` is in: the last one that begins at or before it.
    pub fn find(&self, address: u64) -> Option<&Function> {
        self.by_address.range(..=address).next_back().map(|(_, function)| function)
    }
}

fn parse_line(line: &str) -> Option<(u64, bool, Function)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let global = words.next()? == "T";
    let name = words.next().filter(|name| name.len() <= NAME_BYTES_MAX)?;
    let module = match words.next() {
        None => None,
        Some(word) => Some(word.strip_prefix('[')?.strip_suffix(']')?.to_owned()),
    };
    Some((address, global, Function { name: without_suffix(name).to_owned(), module }))
}

fn without_suffix(name: &str) -> &str {
    match name.find('.') {
        Some(at) if at > 0 => name.get(..at).unwrap_or(name),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
ffffffff81000000 T _text
ffffffff81000100 t helper
ffffffff81000100 T tcp_connect.cold
ffffffff81000100 T later
ffffffff82000000 D data
ffffffffc0001000 t ip_vs_in.constprop.0\t[ip_vs]
";

    #[test]
    fn an_address_belongs_to_the_function_that_begins_before_it() {
        let symbols = Symbols::parse(TEXT).unwrap();
        let name = |address| symbols.find(address).map(|function| function.name.as_str());
        assert_eq!(name(0xffff_ffff_8100_00ff), Some("_text"));
        assert_eq!(name(0xffff_ffff_8100_0100), Some("tcp_connect"), "global, without suffix");
        assert_eq!(name(0xffff_ffff_82ff_ffff), Some("tcp_connect"), "data is no function");
        assert_eq!(name(0xffff_ffff_80ff_ffff), None);
        let module = symbols.find(0xffff_ffff_c000_1000).unwrap();
        assert_eq!((module.name.as_str(), module.module.as_deref()), ("ip_vs_in", Some("ip_vs")));
    }

    #[test]
    fn hidden_addresses_and_foreign_text_are_refused() {
        let hidden = "0000000000000000 T a\n0000000000000000 T b\n";
        assert_eq!(Symbols::parse(hidden).unwrap_err().problem, "it shows no addresses");
        assert!(Symbols::parse("").is_err());
        assert_eq!(Symbols::parse("xyz T a\n").unwrap_err().line, 1);
        assert!(Symbols::parse("ffffffff81000000 T a (mod)\n").is_err());
        assert!(Symbols::parse(&format!("1 T {}\n", "x".repeat(600))).is_err());
    }
}
