//! The targets of `fuzz/`, which need a nightly toolchain to run for long: that they compile, and
//! that they hold for their seeds and for what is left of these when they are cut and damaged.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a target fails by panicking")]

#[path = "../../fuzz/src/import.rs"]
mod import;
#[path = "../../fuzz/src/netlink.rs"]
mod netlink;
#[path = "../../fuzz/src/stored_run.rs"]
mod stored_run;
#[path = "../../fuzz/src/trace.rs"]
mod trace;

use std::fs;
use std::path::{Path, PathBuf};

/// Damaged copies of each seed.
const COPIES: u64 = 24;

/// Every file of a folder.
fn seeds(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new("..").join(folder);
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// Gives a target each seed whole, and copies with some bytes changed and the end cut off.
fn hold(folder: &str, try_input: fn(&[u8])) {
    for seed in seeds(folder) {
        let whole = fs::read(seed).unwrap();
        try_input(&whole);
        // SplitMix64: the same copies every time.
        let mut state = whole.len() as u64;
        let mut random = |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            usize::try_from(mixed >> 33).unwrap() % below.max(1)
        };
        for _ in 0..COPIES {
            let mut copy = whole.clone();
            for _ in 0..=random(4) {
                let at = random(copy.len());
                copy[at] = u8::try_from(random(256)).unwrap();
            }
            if random(2) == 0 {
                copy.truncate(random(whole.len()));
            }
            try_input(&copy);
        }
    }
}

#[test]
fn imports_hold() {
    hold("generators/tests/import-cases", import::try_input);
}

#[test]
fn stored_runs_hold() {
    hold("fuzz/seeds/stored_run", stored_run::try_input);
}

#[test]
fn traces_hold() {
    hold("fuzz/seeds/trace", trace::try_input);
}

#[test]
fn netlink_holds() {
    hold("fuzz/seeds/netlink", netlink::try_input);
}
