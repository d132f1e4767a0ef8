//! Guests that die, by kernel command lines that make a stock kernel die for real: their cells are
//! invalid with the kernel's own words, and the run ends well.
//!
//! Needs QEMU and a kernel package; `scripts/test` runs it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// Far more than a boot takes, also on a busy machine.
const BOOT_S: u32 = 180;
/// Size of the program in every guest, more than any build of it.
const PROGRAM_BYTES: u64 = 128 << 20;

/// Runs a scenario with guests that boot with `kernel_cmdline`; gives standard output, the report
/// and the cells.
fn run(kernel_cmdline: &str, boot_s: u32) -> (String, String, Vec<Value>) {
    let desk = TempDir::new().unwrap();
    // What the program takes of a guest's memory shall not depend on the build.
    let program = desk.path().join("vipbench");
    fs::copy(env!("CARGO_BIN_EXE_vipbench"), &program).unwrap();
    fs::File::options().append(true).open(&program).unwrap().set_len(PROGRAM_BYTES).unwrap();
    let scenario = format!(
        "name = 'splats'\nservices = [10]\nproxies = ['iptables-legacy']\nmeasures = ['connect']\n\
         [load]\nconnections = 3\nkeepalive_requests = 1\npositions = ['first']\n[limits]\nboot_s = {boot_s}\n"
    );
    fs::write(desk.path().join("s.toml"), scenario).unwrap();
    let output = Command::new(program)
        .current_dir(desk.path())
        .args(["run", "s.toml", "--clock", "instructions", "-o", "out"])
        .args(["--kernel-cmdline", kernel_cmdline])
        .output()
        .unwrap();
    // Nothing was measured.
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(desk.path().join("out").join(name)).unwrap();
    assert!(read("run.json").contains(kernel_cmdline), "it is part of the environment");
    let cells =
        read("cells.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (String::from_utf8(output.stdout).unwrap(), read("report.md"), cells)
}

/// Asserts that the only cell is invalid, and that its reason is told wherever a reader looks.
fn dies_with(kernel_cmdline: &str, boot_s: u32, wanted: &[&str]) {
    let (said, report, cells) = run(kernel_cmdline, boot_s);
    assert_eq!(cells.len(), 1);
    assert_eq!(cells[0]["outcome"]["kind"], "invalid", "{said}");
    let reason = cells[0]["outcome"]["reason"].as_str().unwrap();
    // A long reason is wrapped in its column.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in wanted {
        assert!(reason.contains(words), "`{words}` is missing in: {reason}");
        assert!(said.contains(words) && report.contains(words), "`{words}` is not shown");
    }
    assert!(said.contains("cells: 0 measured, 1 invalid"), "{said}");
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn a_panic_at_boot() {
    dies_with("rdinit=/none", BOOT_S, &["did not boot", "Kernel panic - not syncing: VFS"]);
}

/// RAM that is not there: the kernel's first allocations read what nobody wrote. It does not get as
/// far as ending itself.
#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn an_oops_after_which_the_kernel_hangs() {
    let words = ["did not boot", "hung", "BUG: kernel NULL pointer dereference"];
    dies_with("memmap=256M@16G earlyprintk=ttyS0", BOOT_S, &words);
}

#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn a_hang_without_a_word() {
    let words = ["did not boot", "did not finish within 30 s", "Waiting for root device"];
    dies_with("rdinit=/none root=/dev/none rootwait loglevel=7", 30, &words);
}

/// `panic=0` keeps a kernel that has panicked waiting for ever, where it would end the guest
/// otherwise.
#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn a_panic_that_never_ends() {
    let words = ["did not boot", "hung", "Kernel panic - not syncing: VFS"];
    dies_with("rdinit=/none panic=0", BOOT_S, &words);
}

/// Huge pages take all memory there is before the guest's files are unpacked: nothing is left, and
/// nothing to kill.
#[test]
#[ignore = "needs QEMU and a kernel package; run by scripts/test"]
fn a_guest_without_memory() {
    let words = ["did not boot", "System is deadlocked on memory"];
    dies_with("hugepages=4096", BOOT_S, &words);
}
