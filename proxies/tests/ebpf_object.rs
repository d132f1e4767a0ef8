//! That the committed object of the backend `ebpf` is what its source makes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

#[test]
fn the_object_is_what_its_source_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ebpf");
    let compiler = Command::new("clang-14").arg("--version").output();
    if !compiler.is_ok_and(|output| output.status.success()) {
        // Past the harness, which keeps what tests that pass print.
        let why = "skipped: the object of eBPF is not made again: clang-14 is not here";
        writeln!(std::io::stderr(), "{why}").expect("a place to say it");
        return;
    }
    let made = tempfile::tempdir().expect("a folder");
    let made = made.path().join("connect.bpf.o");
    let status = Command::new(folder.join("build-object")).arg(&made).status();
    assert!(status.expect("it runs").success());
    let [made, committed] = [made, folder.join("connect.bpf.o")].map(fs::read);
    assert!(
        made.expect("it was made") == committed.expect("it is committed"),
        "make it again: proxies/src/ebpf/build-object"
    );
}
