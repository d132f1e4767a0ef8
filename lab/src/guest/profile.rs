//! The profiler: QEMU's plugin compiled at first use, what to ask of it, and what it wrote, read
//! with suspicion.
//!
//! The plugin itself is `lab/plugin/profile.c`; addresses of the kernel get names in `symbols`,
//! code of user space in `programs`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use linux::{IoError, Tool, ToolError};
use sha2::{Digest, Sha256};

use super::machine::comma_escaped;
use super::mark::{LABELS, OUTSIDE, REGIONS};
use super::run::refused;

const SOURCE: &str = include_str!("../../plugin/profile.c");
const COMPILER: &str = "cc";
const FLAGS: [&str; 7] = ["-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-xc", "-"];
const COMPILE_LIMIT: Duration = Duration::from_mins(2);
/// Every block of every label and region: some hundred thousand short lines at the very
/// most.
const FILE_BYTES_MAX: u64 = 512 << 20;
const SAMPLES_MAX: usize = 2_000_000;
const COUNTS_MAX: usize = 20_000_000;
const LINE_BYTES_MAX: u64 = 400;
/// Where the kernel's half of the address space begins.
const KERNEL_FIRST: u64 = 1 << 63;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No compiler, or one that refuses our source.
    #[error("cannot build the profiler: {0}; run scripts/setup, which installs gcc and libc6-dev")]
    Compiler(#[from] ToolError),
    /// A file of the profiler.
    #[error(transparent)]
    File(#[from] IoError),
    /// The profiler wrote something else than this version of it does, or did not finish.
    #[error(
        "the profile is not understood at line {line}: {problem}; the guest or QEMU ended early"
    )]
    Malformed {
        /// Line in the file, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
}

/// Which samples to profile: those whose region took `least` to `most` instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Only {
    /// The region looked at.
    pub region: u8,
    /// Instructions, inclusive.
    pub least: u64,
    /// Instructions, inclusive.
    pub most: u64,
}

/// The compiled plugin and what to ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiler {
    plugin: PathBuf,
    only: Option<Only>,
}

impl Profiler {
    /// Compiles the plugin into `folder`, unless exactly it is there already.
    ///
    /// # Errors
    /// [`ProfileError`]: no compiler, no room.
    pub fn build(folder: &Path, only: Option<Only>) -> Result<Self, ProfileError> {
        let mut hash = Sha256::new();
        hash.update(FLAGS.join(" "));
        hash.update(SOURCE);
        let plugin = folder.join(format!("{:.24}.so", HEXLOWER.encode(&hash.finalize())));
        if !plugin.exists() {
            fs::create_dir_all(folder).map_err(refused("create", folder))?;
            let fresh =
                tempfile::NamedTempFile::new_in(folder).map_err(refused("write in", folder))?;
            let path = fresh.path().to_string_lossy();
            let args = [&FLAGS[..], &["-o", &path]].concat();
            Tool { program: COMPILER, args: &args, env: None, deadline: COMPILE_LIMIT }
                .feed(SOURCE.as_bytes())?;
            fresh.persist(&plugin).map_err(|error| refused("create", &plugin)(error.error))?;
        }
        Ok(Self { plugin, only })
    }

    /// QEMU's options for a process that writes its profile to `out`.
    pub(super) fn qemu_arguments(&self, out: &Path) -> [OsString; 2] {
        let (plugin, out) = (comma_escaped(&self.plugin), comma_escaped(out));
        let mut words = format!("file={plugin},out={out}");
        if let Some(Only { region, least, most }) = self.only {
            // Writing to a string cannot fail.
            let _ = write!(words, ",keep_region={region},keep_min={least},keep_max={most}");
        }
        ["-plugin".into(), words.into()]
    }
}

/// One kept or passed-over sample: what the guest marked as such (`mark::keep`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfiledSample {
    /// Its label.
    pub label: u8,
    /// Whether its instructions are among the counts.
    pub kept: bool,
    /// Instructions by region; [`OUTSIDE`] is always zero.
    pub by_region: [u64; REGIONS as usize],
    /// How often the guest halted in each region, to wait.
    pub halts: [u64; REGIONS as usize],
}

/// Instructions of all kept samples of a label that a region spent in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCount {
    /// Label of the samples.
    pub label: u8,
    /// Region of the samples.
    pub region: u8,
    /// Address of the block's first instruction; of user space, where that lies in the memory of
    /// the emulator, or 0 if it lies nowhere.
    pub address: u64,
    /// Instructions executed.
    pub instructions: u64,
}

impl BlockCount {
    /// Whether it is one of user space.
    pub fn is_user(&self) -> bool {
        self.address < KERNEL_FIRST
    }
}

/// What the profiler counted in one guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Samples in the order they were taken.
    pub samples: Vec<ProfiledSample>,
    /// Counts by block.
    pub blocks: Vec<BlockCount>,
    /// How blocks of user space begin, by address.
    pub code: BTreeMap<u64, Vec<u8>>,
}

impl Profile {
    /// Reads the profiler's file.
    pub(super) fn read(path: &Path) -> Result<Self, ProfileError> {
        let file = File::open(path).map_err(refused("open", path))?;
        Self::parse(&mut BufReader::new(file.take(FILE_BYTES_MAX)))
    }

    fn parse(reader: &mut impl BufRead) -> Result<Self, ProfileError> {
        let mut profile = Self::default();
        let mut text = String::new();
        for line in 1.. {
            text.clear();
            reader
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_line(&mut text)
                .map_err(IoError::of("read", "the profile"))?;
            let wrong = |problem| ProfileError::Malformed { line, problem };
            let Some(whole) = text.strip_suffix('\n') else {
                return Err(wrong("it is cut off"));
            };
            let mut words = whole.split(' ');
            match words.next() {
                Some("sample") if profile.samples.len() < SAMPLES_MAX => {
                    profile.samples.push(sample(words).ok_or_else(|| wrong("no sample"))?);
                }
                Some("count") if profile.blocks.len() < COUNTS_MAX => {
                    profile.blocks.push(block(words).ok_or_else(|| wrong("no count"))?);
                }
                Some("code") if profile.code.len() < COUNTS_MAX => {
                    profile.code.extend([code(words).ok_or_else(|| wrong("no code"))?]);
                }
                Some("end") if whole == "end 0" => return Ok(profile),
                Some("end") => return Err(wrong("the profiler had no room for all blocks")),
                _ => return Err(wrong("an unknown word, or too many lines")),
            }
        }
        Ok(profile)
    }
}

/// `LABEL KEPT R1 .. R9 H1 .. H9`.
fn sample<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<ProfiledSample> {
    let label = below(words.next()?, LABELS)?;
    let kept = words.next()? == "1";
    let [mut by_region, mut halts] = [[0; REGIONS as usize]; 2];
    for counts in [&mut by_region, &mut halts] {
        for count in counts.iter_mut().skip(usize::from(OUTSIDE) + 1) {
            *count = words.next()?.parse().ok()?;
        }
    }
    words.next().is_none().then_some(ProfiledSample { label, kept, by_region, halts })
}

/// `LABEL REGION ADDRESS COUNT`, the address in hexadecimal digits.
fn block<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<BlockCount> {
    let label = below(words.next()?, LABELS)?;
    let region = below(words.next()?, REGIONS)?;
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let instructions = words.next()?.parse().ok()?;
    words.next().is_none().then_some(BlockCount { label, region, address, instructions })
}

/// `ADDRESS BYTES`, both in hexadecimal digits.
fn code<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<(u64, Vec<u8>)> {
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let bytes = HEXLOWER.decode(words.next()?.as_bytes()).ok()?;
    words.next().is_none().then_some((address, bytes))
}

fn below(word: &str, limit: u8) -> Option<u8> {
    word.parse().ok().filter(|number| *number < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profile, ProfileError> {
        Profile::parse(&mut text.as_bytes())
    }

    #[test]
    fn samples_and_counts_come_back() {
        let profile =
            parse("sample 4 1 43000 2 3 0 0 0 0 0 7 0 0 1 0 0 0 0 0 0\ncount 4 1 ffffffff81000000 99\ncode 7f00 c3\nend 0\n")
                .unwrap();
        let by_region = [0, 43_000, 2, 3, 0, 0, 0, 0, 0, 7];
        let mut halts = [0; REGIONS as usize];
        halts[3] = 1;
        assert_eq!(profile.samples, [ProfiledSample { label: 4, kept: true, by_region, halts }]);
        let address = 0xffff_ffff_8100_0000;
        let block = BlockCount { label: 4, region: 1, address, instructions: 99 };
        assert!(!block.is_user() && BlockCount { address: 0x7f00, ..block }.is_user());
        assert_eq!(profile.blocks, [block]);
        assert_eq!(profile.code, BTreeMap::from([(0x7f00, vec![0xc3])]));
    }

    #[test]
    fn a_profile_that_is_cut_off_or_foreign_is_refused() {
        for text in [
            "",
            "end",
            "end 1\n",
            "sample 16 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nend 0\n",
            "sample 1 1 0 0 0\nend 0\n",
            "sample 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nend 0\n",
            "count 1 10 0 1\nend 0\n",
            "count 1 1 0 -1\nend 0\n",
            "code 7f00 c\nend 0\n",
            "code 7f00\nend 0\n",
            "hello\nend 0\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&format!("{}\nend 0\n", "x".repeat(1000))).is_err());
    }

    #[test]
    fn the_plugin_is_told_where_to_write_and_what_to_keep() {
        let only = Some(Only { region: 1, least: 5, most: 9 });
        let profiler = Profiler { plugin: "/a,b.so".into(), only };
        assert_eq!(
            profiler.qemu_arguments(Path::new("/out")),
            ["-plugin", "file=/a,,b.so,out=/out,keep_region=1,keep_min=5,keep_max=9"]
        );
    }
}
