//! Stored runs from a hostile source: whatever is done to the files of a real run, they are refused
//! in words that name a file, or everything that reads runs gets along with what is left.
//!
//! Damage is drawn from fixed seeds, so that a failure can be looked at again: its message holds
//! the number of the case. Each test ends after a while, however slow the machine is.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use results::compare::{self, Side, compare};
use results::document::Detail;
use results::document::Document;
use results::{CELLS_FILE, RUN_FILE, Run, StoreError, export, merge, print, report};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(15);
/// Cells of the stored run that are kept: connections, syncs and the others, of several proxies, in
/// little text.
const CELLS: usize = 10;
/// Longest message that is of use.
const MESSAGE_MAX: usize = 20_000;

/// A generator of numbers that is the same everywhere (xorshift64*, Vigna 2014).
struct Draws(u64);

impl Draws {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % end.max(1)
    }
}

/// `run.json` and some lines of `cells.jsonl` of a published run.
fn real() -> (Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/quick-6.1");
    let cells = fs::read_to_string(folder.join(CELLS_FILE)).unwrap();
    let lines: Vec<&str> = cells.lines().collect();
    let some = lines.iter().step_by(lines.len().div_ceil(CELLS));
    let cells = some.copied().chain([""]).collect::<Vec<_>>().join("\n");
    (fs::read(folder.join(RUN_FILE)).unwrap(), cells.into_bytes())
}

/// What a value may be replaced by.
const STRANGE: [&str; 26] = [
    "-1",
    "0",
    "-0.0",
    "1e308",
    "1e999",
    "18446744073709551615",
    "18446744073709551616",
    "9007199254740993",
    "NaN",
    "-Infinity",
    "null",
    "true",
    "[]",
    "{}",
    "[0,-1]",
    "\"\"",
    "\"vipbench.run/2\"",
    "\"../../../tmp/evil\"",
    "\"/etc/passwd\"",
    "\"a/../../b\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\u001b[2J\"",
    "\"<script>alert(1)</script>\"",
    "\"AAAAAAAAAAAAAAAAAAAA\"",
    "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
];

/// The text with damage of one kind.
fn damaged(text: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let at = draws.below(bytes.len());
    match draws.below(8) {
        0 => bytes.truncate(at),
        1 => {
            for _ in 0..=draws.below(6) {
                let place = draws.below(bytes.len());
                bytes[place] ^= 1 << draws.below(8);
            }
        }
        2 => {
            let length = draws.below(300);
            let piece: Vec<u8> =
                bytes.iter().skip(draws.below(text.len())).take(length).copied().collect();
            bytes.splice(at..at, piece);
        }
        3 => {
            let end = text.len().min(at + draws.below(200));
            bytes.drain(at..end);
        }
        4 => {
            let (depth, word) = (draws.below(3_000), [b"[", b"{", b"\""][draws.below(3)]);
            bytes.splice(at..at, word.repeat(depth));
        }
        5 => {
            let line =
                bytes.split(|&byte| byte == b'\n').nth(draws.below(CELLS)).unwrap_or_default();
            let line = [line, b"\n"].concat();
            bytes.splice(0..0, line);
        }
        _ => {
            // A value in place of another: what follows a colon, up to the next comma or end.
            let colons: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b':').collect();
            let from = colons[draws.below(colons.len())] + 1;
            let length = bytes[from..].iter().position(|byte| b",}]\n".contains(byte)).unwrap_or(0);
            bytes.splice(from..from + length, STRANGE[draws.below(STRANGE.len())].bytes());
        }
    }
    bytes
}

fn stored(run: &[u8], cells: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::write(dir.path().join("run").join(RUN_FILE), run).unwrap();
    fs::write(dir.path().join("run").join(CELLS_FILE), cells).unwrap();
    dir
}

fn read(run: &[u8], cells: &[u8]) -> Result<Run, StoreError> {
    Run::read(&stored(run, cells).path().join("run"))
}

fn report_of(run: &Run, dir: &Path) -> Option<Document> {
    report::document(std::slice::from_ref(run), None, dir).ok()
}

/// Everything that reads runs.
fn use_run(run: &Run) {
    let mut csv = Vec::new();
    let exported = export::csv(run, &mut csv);
    assert!(exported.is_err() || csv.starts_with(b"cell,kernel,"));
    let _ = merge::merge(vec![run.clone(), run.clone()], Vec::new());
    if let Some(report) = report_of(run, Path::new("report")) {
        is_tame(&print::terminal(&report, Some(100)));
    }
    let sides = (Side::of(std::slice::from_ref(run)), Side::of(std::slice::from_ref(run)));
    if let (Ok(base), Ok(new)) = sides
        && let Ok(comparison) = compare(&base, &new)
    {
        let document = compare::document(&comparison, Detail::All);
        is_tame(&print::terminal(&document, Some(100)));
        is_tame(&print::markdown(&document));
    }
}

/// Text for a terminal holds no characters that steer it, but for the colours of a heading.
fn is_tame(text: &str) {
    assert!(!text.contains("\u{1b}[2J") && !text.contains('\0'), "{text}");
}

/// A message that says which file, and is short.
fn is_clear(error: &StoreError, case: u64) {
    let said = error.to_string();
    assert!(said.contains("run.json") || said.contains("cells.jsonl"), "case {case}: {said}");
    assert!(said.len() < MESSAGE_MAX, "case {case}: {} bytes", said.len());
    is_tame(&said);
}

/// Damages one of the two files again and again until the time is over; gives how many cases were
/// refused and how many read.
fn hammer(
    cases: u64,
    damage: impl Fn(&[u8], &[u8], &mut Draws) -> (Vec<u8>, Vec<u8>),
) -> (u64, u64) {
    let started = Instant::now();
    let (run, cells) = real();
    use_run(&read(&run, &cells).unwrap());
    let (mut refused, mut taken) = (0, 0);
    for case in 0..cases {
        let (run, cells) = damage(&run, &cells, &mut Draws::new(case));
        match read(&run, &cells) {
            Err(error) => {
                is_clear(&error, case);
                refused += 1;
            }
            Ok(run) => {
                use_run(&run);
                taken += 1;
            }
        }
        if started.elapsed() > LIMIT {
            break;
        }
    }
    (refused, taken)
}

#[test]
fn damaged_cells_are_refused_clearly_or_read_in_full() {
    let (refused, taken) = hammer(400, |run, cells, draws| (run.to_vec(), damaged(cells, draws)));
    assert!(refused > taken, "{refused} refused, {taken} read: most damage must be found");
}

#[test]
fn a_damaged_record_is_refused_clearly_or_read_in_full() {
    let (refused, taken) = hammer(400, |run, cells, draws| (damaged(run, draws), cells.to_vec()));
    assert!(refused + taken > 0);
}

#[test]
fn reports_of_damaged_runs_stay_in_their_folder() {
    let started = Instant::now();
    let (run, cells) = real();
    let mut written = 0;
    for case in 1_000..1_400 {
        let mut draws = Draws::new(case);
        let (run, cells) = match draws.below(2) {
            0 => (damaged(&run, &mut draws), cells.clone()),
            _ => (run.clone(), damaged(&cells, &mut draws)),
        };
        let dir = stored(&run, &cells);
        let Ok(run) = Run::read(&dir.path().join("run")) else { continue };
        let folder = dir.path().join("report");
        let Some(report) = report_of(&run, &folder) else { continue };
        let Ok(paths) = print::write(&report, &folder, "report") else { continue };
        let inside = folder.canonicalize().unwrap();
        for path in paths {
            assert!(
                path.canonicalize().unwrap().starts_with(&inside),
                "case {case}: {}",
                path.display()
            );
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "case {case}: run and report");
        let page = fs::read_to_string(inside.join("report.html")).unwrap();
        assert!(!page.contains("<script>alert"), "case {case}");
        written += 1;
        if started.elapsed() > LIMIT {
            break;
        }
    }
    assert!(written > 0, "some damage is none: a torn last line, a fact");
}

#[test]
fn each_trick_is_refused_with_its_own_reason() {
    let (run, cells) = real();
    let (run, cells) = (String::from_utf8(run).unwrap(), String::from_utf8(cells).unwrap());
    let first = |from: &str, to: &str| (run.clone(), cells.replacen(from, to, 1));
    let record = |from: &str, to: &str| (run.replacen(from, to, 1), cells.clone());
    let giant = format!("{{\"id\":\"{}\"}}\n{cells}", "x".repeat(33 << 20));
    let cases: [((String, String), &str); 10] = [
        (record("vipbench.run/1", "vipbench.run/2"), "read it with the version that wrote it"),
        (("[".repeat(1 << 20), cells.clone()), "recursion limit"),
        (("{}".to_owned(), cells.clone()), "it has no schema"),
        ((String::new(), cells.clone()), "EOF"),
        (first("\"verified\":", "\"verified\":-"), "invalid value: integer `-"),
        (first("\"verified\":", "\"verified\":NaN,\"x\":"), "expected value"),
        (first("\"seed\":1", "\"seed\":1e400"), "number out of range"),
        (first("\"proxy\":\"", "\"proxy\":\"../../"), "is not a name"),
        ((run.clone(), giant), "longer than 33554432 bytes"),
        ((run.clone(), cells.repeat(2)), "is there twice"),
    ];
    for ((run, cells), wanted) in cases {
        let error = read(run.as_bytes(), cells.as_bytes()).unwrap_err();
        is_clear(&error, 0);
        let said = error.to_string();
        assert!(said.contains(wanted), "{wanted}: {said:.300}");
    }
}
