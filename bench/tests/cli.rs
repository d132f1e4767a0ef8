//! Bad input at the command line: a message with thing, place and remedy, exit code 1, and nothing
//! created. No root.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const GOOD: &str = "name = 'tiny'\nservices = [10]\nproxies = ['none']\n";

fn vipbench(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
    command.current_dir(dir).env("VIPBENCH_CACHE", dir.join("cache"));
    command
}

/// Runs `vipbench run` on a scenario and returns what it says; it must fail with 1 and leave
/// nothing but the scenario.
fn refused(scenario: &str, options: &[&str]) -> String {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("s.toml"), scenario).unwrap();
    let output =
        vipbench(dir.path()).args(["run", "s.toml", "-o", "out"]).args(options).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!dir.path().join("out").exists(), "nothing may be created: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_says(said: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(said.contains(words), "`{words}` is missing in: {said}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    assert_says(&refused(&format!("{GOOD}colour = 'red'\n"), &[]), &["s.toml", "colour", "line 4"]);
}

#[test]
fn no_services_at_all_is_refused() {
    assert_says(
        &refused("name = 'x'\nservices = [0]\nproxies = ['none']\n", &[]),
        &["s.toml", "services = 0"],
    );
}

#[test]
fn overlapping_address_ranges_are_refused() {
    let cluster = "[cluster]\nservice_cidr = '10.128.0.0/12'\nendpoint_cidr = '10.128.0.0/9'\n";
    assert_says(
        &refused(&format!("{GOOD}{cluster}"), &[]),
        &["s.toml", "service_cidr", "endpoint_cidr"],
    );
}

#[test]
fn a_range_that_the_lab_itself_uses_is_refused() {
    let cluster = "[cluster]\nendpoint_cidr = '172.16.0.0/12'\n";
    assert_says(&refused(&format!("{GOOD}{cluster}"), &[]), &["s.toml", "172.16.0.0/12"]);
}

#[test]
fn an_unknown_proxy_is_refused_with_the_known_ones() {
    assert_says(&refused(GOOD, &["--proxy", "envoy"]), &["envoy", "iptables-legacy", "ipvs"]);
}

#[test]
fn a_check_of_what_there_is_not_is_refused_with_what_there_is() {
    let dir = TempDir::new().unwrap();
    for (options, wanted) in [
        (["--proxy", "envoy"], ["no proxy is called `envoy`", "iptables-nft"]),
        (["--topology", "mesh"], ["mesh", "two-nodes-ipip"]),
        (["--family", "ipx"], ["ipx", "ipv6"]),
    ] {
        let output = vipbench(dir.path()).args(["check", "-o", "out"]).args(options).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_says(&String::from_utf8(output.stderr).unwrap(), &wanted);
        assert!(!dir.path().join("out").exists());
    }
}

#[test]
fn a_missing_kernel_file_is_refused_by_name() {
    let said = refused(
        GOOD,
        &["--place", "guest", "--clock", "instructions", "--kernel", "/nowhere/linux.deb"],
    );
    assert_says(&said, &["/nowhere/linux.deb"]);
}

#[test]
fn an_unreadable_kernel_image_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let image = dir.path().join("broken.deb");
    fs::write(&image, b"not an archive").unwrap();
    let kernel = image.to_str().unwrap();
    let said = refused(GOOD, &["--place", "guest", "--clock", "instructions", "--kernel", kernel]);
    assert_says(&said, &["broken.deb"]);
}

const IN_GUEST: [&str; 5] = ["--place", "guest", "--clock", "instructions", "--kernel"];

#[test]
fn a_list_with_a_wrong_word_is_refused_before_anything_is_fetched() {
    for (list, wanted) in
        [("6.1,newest", "`newest` names no kernel"), ("7.3..5.10", "from the newer to the older")]
    {
        assert_says(&refused(GOOD, &[&IN_GUEST[..], &[list]].concat()), &[wanted, "kernels"]);
    }
}

#[test]
fn damaged_and_foreign_kernels_are_refused_with_file_and_remedy() {
    let dir = TempDir::new().unwrap();
    let modules = dir.path().join("modules");
    fs::create_dir(&modules).unwrap();
    fs::write(modules.join("modules.builtin"), "kernel/net/ipv6/ipv6.ko\n").unwrap();
    // The start of a 64-bit ELF file for aarch64, of a package that was cut, and of nothing in
    // particular.
    let mut aarch64 = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0".to_vec();
    aarch64.resize(64, 0);
    let kernels: [(&str, &[u8], &[&str]); 3] = [
        ("vmlinux", &aarch64, &["machine 183", "pass an x86 boot image"]),
        ("noise", b"MZ no kernel", &["no x86 setup header", "pass an x86 boot image"]),
        (
            "cut.deb",
            b"!<arch>\ndebian-binary",
            &["no usable kernel package", "fetch the package again"],
        ),
    ];
    for (name, bytes, wanted) in kernels {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let spec = if name == "cut.deb" {
            path.display().to_string()
        } else {
            format!("vmlinuz={},modules={}", path.display(), modules.display())
        };
        let said = vipbench(dir.path()).args(["kernels", "fetch", &spec]).output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        let said = String::from_utf8(said.stderr).unwrap();
        assert_says(&said, &[name]);
        assert_says(&said, wanted);
        let cache = dir.path().join("cache");
        for folder in ["kernels", "answers", "partial", "downloads"] {
            assert_eq!(fs::read_dir(cache.join(folder)).unwrap().count(), 0, "{name}: {folder}");
        }
    }
}

#[test]
fn a_folder_without_modules_is_refused() {
    let dir = TempDir::new().unwrap();
    let spec = format!("vmlinuz=/x,modules={}", dir.path().display());
    let output = vipbench(dir.path()).args(["kernels", "fetch", &spec]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &["neither a kernel module"]);
}

#[test]
fn an_unreachable_package_source_is_an_error_with_a_remedy() {
    let dir = TempDir::new().unwrap();
    // A source that is a folder which does not exist: no network is asked.
    let sources = dir.path().join("sources.list");
    let nowhere = dir.path().join("nowhere");
    fs::write(&sources, format!("deb [trusted=yes] file:{} sid main\n", nowhere.display()))
        .unwrap();
    let config = dir.path().join("apt.conf");
    let places = format!(
        "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"/dev/null\";\n",
        sources.display()
    );
    fs::write(&config, places).unwrap();
    for arguments in [&["list"][..], &["fetch", "6.1"], &["fetch", "5.10..6.1"]] {
        let output = vipbench(dir.path())
            .env("APT_CONFIG", &config)
            .arg("kernels")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_says(&String::from_utf8(output.stderr).unwrap(), &["package source:", "PATH.deb"]);
    }
}

#[test]
fn cleaning_the_cache_tells_sizes_and_leaves_other_files() {
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    fs::create_dir_all(cache.join("kernels/k")).unwrap();
    fs::write(cache.join("kernels/k/vmlinuz"), vec![0; 2_000_000]).unwrap();
    fs::write(cache.join("other"), b"mine").unwrap();
    let clean = |more: &[&str]| {
        let output = vipbench(dir.path()).args(["clean", "--cache"]).args(more).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_says(&clean(&["--dry-run"]), &["would remove", "kernels (2.0 MB)", "in all"]);
    assert!(cache.join("kernels/k/vmlinuz").exists());
    assert_says(&clean(&[]), &["kernels (2.0 MB)"]);
    let left: Vec<_> = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["other"]);
}

#[test]
fn what_is_cleaned_is_said_and_nothing_else_goes() {
    let dir = TempDir::new().unwrap();
    let (cache, desk) = (dir.path().join("cache"), dir.path().join("tmp"));
    fs::create_dir_all(cache.join("apt/own")).unwrap();
    fs::write(cache.join("apt/own/index"), b"packages").unwrap();
    fs::create_dir_all(cache.join("snapshots")).unwrap();
    fs::create_dir(&desk).unwrap();
    let unfinished = cache.join(format!("snapshots/6.1.partial-{}", u32::MAX));
    fs::write(&unfinished, b"half").unwrap();
    let clean = || {
        let output = vipbench(dir.path()).arg("clean").env("TMPDIR", &desk).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_says(&clean(), &["removing", "snapshots/6.1.partial-", "removed"]);
    assert!(!unfinished.exists());
    assert_eq!(clean(), "nothing to clean\n");
    assert!(cache.join("apt/own/index").exists());
    // While another run fills the cache, nobody knows what there is left over.
    fs::write(&unfinished, b"half").unwrap();
    let lock = lab::image::Cache::at(&cache).unwrap().try_lock().unwrap();
    clean();
    assert!(unfinished.exists());
    drop(lock);
}

#[test]
fn a_host_has_no_instructions_clock() {
    assert_says(
        &refused(GOOD, &["--place", "host", "--clock", "instructions"]),
        &["--place guest"],
    );
}

#[test]
fn a_scenario_that_is_not_there_says_where_scenarios_are() {
    let dir = TempDir::new().unwrap();
    let output = vipbench(dir.path()).args(["run", "no.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_says(&String::from_utf8(output.stderr).unwrap(), &["no.toml", "scenarios/"]);
}

#[test]
fn a_truncated_run_folder_is_refused_with_the_file() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("run.json"), b"{\"schema\": \"vipbench.run/1\", ").unwrap();
    for command in ["export", "report", "compare"] {
        let output = vipbench(dir.path()).args([command, "."]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_says(&String::from_utf8(output.stderr).unwrap(), &["run.json"]);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing may be created");
}

#[test]
fn generate_gives_the_same_bytes_for_the_same_seed() {
    let dir = TempDir::new().unwrap();
    for format in ["json", "k8s", "iptables", "ipvs"] {
        let bytes = |seed: &str| {
            let args = ["generate", "--services", "20", "--seed", seed, "--format", format];
            let output = vipbench(dir.path()).args(args).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        assert_eq!(bytes("7"), bytes("7"), "{format}");
        assert_ne!(bytes("7"), bytes("8"), "{format}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let dir = TempDir::new().unwrap();
    let output = vipbench(dir.path()).arg("--help").output().unwrap();
    assert_says(&String::from_utf8(output.stdout).unwrap(), &["Examples:", "Exit codes:"]);
}

/// The run that is committed with the sources.
fn reference_run() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference/quick-6.1")
}

#[test]
fn a_run_compared_with_itself_shows_no_change_and_succeeds() {
    let (dir, run) = (TempDir::new().unwrap(), reference_run());
    let compare = |option: &str| {
        let args = ["compare".as_ref(), run.as_os_str(), run.as_os_str(), option.as_ref()];
        let output = vipbench(dir.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_says(&compare("--all"), &["(none) changes by 0%", "0 larger, 0 smaller"]);
    assert_says(&compare("--markdown"), &["# kernel 6.1.0-57-cloud-amd64 of "]);
    let parsed: serde_json::Value = serde_json::from_str(&compare("--json")).unwrap();
    assert_eq!(parsed["schema"], "vipbench.compare/1");
    assert_eq!(parsed["effects"][0]["proxy"], "none");
    assert_eq!(parsed["effects"][0]["gross"]["difference"]["max"], 0.0);
}

#[test]
fn show_prints_a_screenful_with_the_answer_first_and_writes_nothing() {
    let (dir, run) = (TempDir::new().unwrap(), reference_run());
    let show = |options: &[&str]| {
        let output = vipbench(dir.path()).arg("show").arg(&run).args(options).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let page = || fs::metadata(run.join("report.html")).unwrap().modified().unwrap();
    let before = page();
    let (brief, full) = (show(&[]), show(&["--full"]));
    assert_says(
        &brief,
        &["At 10,000 Services on Linux 6.1: nftables-1.37 or ipvs. Past the limit"],
    );
    assert!(brief.lines().count() <= 40 && full.lines().count() > 60, "{brief}");
    assert_eq!(page(), before);
    let nothing = vipbench(dir.path()).args(["show", "."]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    assert_says(&String::from_utf8(nothing.stderr).unwrap(), &["holds no run"]);
}

#[test]
fn a_kernel_that_a_run_does_not_hold_is_refused_with_those_it_holds() {
    let dir = TempDir::new().unwrap();
    for options in [&["--base-kernel", "6.1", "--new-kernel", "5.10"][..], &[]] {
        let output = vipbench(dir.path())
            .arg("compare")
            .arg(reference_run())
            .args(options)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_says(&String::from_utf8(output.stderr).unwrap(), &["6.1.0-57-cloud-amd64"]);
    }
    assert!(!dir.path().join("out").exists(), "nothing may be created");
}

const RUN: &str = r#"{"schema":"vipbench.run/1","tool_version":"0.1.0","command":[],"started":"2026-01-01T00:00:00Z",
"scenario_name":"x","scenario":{},"cells":["6.1.guest.wall.none.10.s1.connect","6.1.guest.instructions.none.10.s1.connect","6.1.guest.instructions.ipvs.10.s1.http"],
"environment":{"facts":{}}}"#;

/// A cell as it is stored, on one line.
fn stored_cell(clock: &str, unit: &str, proxy: &str, measure: &str, metric: &str) -> String {
    format!(
        r#"{{"id":"6.1.guest.{clock}.{proxy}.10.s1.{measure}","labels":{{"kernel":"6.1","place":"guest","clock":"{clock}","proxy":"{proxy}","services":10,"endpoints":10,"seed":1,"measure":"{measure}"}},"outcome":{{"kind":"measured"}},"verified":1,"metrics":[{{"name":"{metric}","label":"last","unit":"{unit}","data":{{"kind":"values","values":[5]}}}}],"warnings":[],"duration_ms":1}}"#
    ) + "\n"
}

#[test]
fn explain_refuses_what_cannot_be_explained() {
    let dir = TempDir::new().unwrap();
    let cells = stored_cell("wall", "ns", "none", "connect", "connect")
        + &stored_cell("instructions", "instructions", "none", "connect", "connect")
        + &stored_cell("instructions", "instructions", "ipvs", "http", "http.connect");
    fs::write(dir.path().join("run.json"), RUN).unwrap();
    fs::write(dir.path().join("cells.jsonl"), cells).unwrap();
    let refused = |options: &[&str]| {
        let output = vipbench(dir.path()).args(["explain", "."]).args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_says(&refused(&["--cell", "wall"]), &["--cell", "only cells on the instructions clock"]);
    assert_says(
        &refused(&["--cell", "ebpf"]),
        &["fits `ebpf`", "6.1.guest.wall.none.10.s1.connect"],
    );
    assert_says(&refused(&["--cell", "none"]), &["fits 2 cells", "write more of the id"]);
    assert_says(&refused(&["--cell", "ipvs"]), &["has no metric connect", "http.connect"]);
    let metric = ["--cell", "proxy=ipvs,services=10", "--metric", "http.connect"];
    assert_says(&refused(&metric), &["http.connect cannot be explained", "sync.full"]);
    assert_says(&refused(&["--cell", "colour=red"]), &["`colour` is unknown", "services"]);
    assert_says(&refused(&["--cell", "ipvs", "--between", "9..5"]), &["--between 9..5"]);
    assert!(!dir.path().join("explain").exists(), "nothing may be created");
}

#[test]
fn a_reader_who_has_enough_ends_a_command_without_a_word() {
    let script = format!(
        "{} export {} --format csv | head -n 1",
        env!("CARGO_BIN_EXE_vipbench"),
        reference_run().display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("cell,kernel,"));
}

#[test]
fn standard_output_that_is_full_or_closed_is_an_error() {
    let dir = TempDir::new().unwrap();
    let run = reference_run().canonicalize().unwrap().display().to_string();
    let full = |command: &str| (format!("{command} > /dev/full"), "No space left on device");
    let commands = [
        full("doctor"),
        full("--help"),
        full("completions bash"),
        full("generate --services 10"),
        full(&format!("export {run}")),
        full(&format!("compare {run} {run}")),
        full(&format!("gate {run} {run}")),
        (format!("export {run} >&-"), "Bad file descriptor"),
    ];
    for (command, wanted) in commands {
        let said = std::process::Command::new("/bin/bash")
            .current_dir(dir.path())
            .env("VIPBENCH_CACHE", dir.path())
            .env("PATH", "/nowhere")
            .args(["-c", &format!("{} {command}", env!("CARGO_BIN_EXE_vipbench"))])
            .output()
            .unwrap();
        let error = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(1), "{command}: {error}");
        let wanted = format!("writing to standard output: {wanted}");
        assert!(error.contains(&wanted), "{command}: {error}");
    }
}

#[test]
fn a_file_that_may_never_end_is_refused_wherever_a_user_names_one() {
    let dir = TempDir::new().unwrap();
    let run = reference_run().canonicalize().unwrap().display().to_string();
    std::process::Command::new("mkfifo").arg(dir.path().join("fifo")).status().unwrap();
    fs::write(dir.path().join("large"), vec![b' '; (1 << 20) + 1]).unwrap();
    let commands: [&[&str]; 7] = [
        &["run"],
        &["replicate"],
        &["generate", "--scenario"],
        &["generate", "--cluster"],
        &["gate", &run, &run, "--thresholds"],
        &["capacity", &run, "--slo", "connect.p50 < 150k", "--cluster"],
        &["run", "s.toml", "--place", "host", "--dry-run", "--cluster"],
    ];
    fs::write(dir.path().join("s.toml"), GOOD).unwrap();
    for command in commands {
        for file in ["/dev/zero", "fifo", "large"] {
            let output = vipbench(dir.path()).args(command).arg(file).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?} {file}: {said}");
            let is_cluster = command.contains(&"--cluster");
            match file {
                "large" if is_cluster => {}
                "large" => assert_says(&said, &["large", "too many bytes"]),
                _ => assert_says(&said, &[file, "a pipe or a device"]),
            }
        }
    }
}

#[test]
fn numbers_may_be_written_as_people_write_them() {
    let said = refused(GOOD, &["--services", "100,1_000", "--seeds", "1,2..3", "--proxy", "envoy"]);
    assert_says(&said, &["envoy"]);
    assert_says(&refused(GOOD, &["--services", "1k"]), &["write a number, such as 1000 or 1_000"]);
    assert_says(&refused(GOOD, &["--seeds", "1-3"]), &["write a seed, or a range as 1..20"]);
}

#[test]
fn a_missing_place_for_files_is_named_by_its_variable() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("s.toml"), GOOD).unwrap();
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let mut homeless = vipbench(dir.path());
    homeless.env_remove("HOME").env_remove("VIPBENCH_CACHE").env_remove("XDG_CACHE_HOME");
    assert_says(&said(homeless.args(["kernels", "fetch", "6.1"])), &["set VIPBENCH_CACHE"]);
    let mut without_room = vipbench(dir.path());
    without_room.env("TMPDIR", "/nowhere");
    let guest = ["guest", "--kernel", "vmlinuz=s.toml,modules=.", "--", "/bin/true"];
    assert_says(&said(without_room.args(guest)), &["/nowhere", "TMPDIR"]);
}

#[test]
fn cells_are_tried_again_only_when_a_run_goes_on() {
    assert_says(&refused(GOOD, &["--retry", "failed"]), &["--resume"]);
    let said = refused(GOOD, &["--resume", "--retry", "failed,slow"]);
    assert_says(&said, &["slow", "censored"]);
}

#[test]
fn a_merged_run_that_lacks_cells_exits_with_one() {
    let dir = TempDir::new().unwrap();
    let part = dir.path().join("part");
    fs::create_dir(&part).unwrap();
    fs::copy(reference_run().join("run.json"), part.join("run.json")).unwrap();
    let cells = fs::read_to_string(reference_run().join("cells.jsonl")).unwrap();
    let first: Vec<&str> = cells.lines().take(1).collect();
    fs::write(part.join("cells.jsonl"), format!("{}\n", first[0])).unwrap();
    let output = vipbench(dir.path()).args(["merge", "part", "-o", "whole"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_says(&said, &["missing: ", "--resume -o whole"]);
}

#[test]
fn a_run_without_an_emulator_says_what_to_install_and_creates_nothing() {
    let dir = TempDir::new().unwrap();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/quick.toml");
    let output = vipbench(dir.path())
        .env("PATH", dir.path())
        .args(["run".as_ref(), scenario.as_os_str()])
        .args(["--place", "guest", "-o", "out"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_says(&said, &["qemu-system-x86_64", "scripts/setup", "--place host"]);
    assert!(!dir.path().join("out").exists(), "nothing may be created");
}

#[test]
fn a_capacity_plan_is_tables_json_or_files_and_a_wrong_budget_is_an_error() {
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/../results/reference/quick-6.1");
    let capacity = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_vipbench"))
            .args(["capacity", run])
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, tables, _) = capacity(&["--slo", "connect.p50 < 150k", "--at", "5000"]);
    assert_eq!(code, Some(0));
    assert!(tables.contains("Largest number of Services within connect.p50 < 150k"), "{tables}");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let (code, json, _) = capacity(&["--slo", "connect.p50 < 2x none", "--json", "-o", folder]);
    assert_eq!(code, Some(0));
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["schema"], "vipbench.capacity/1");
    assert!(["capacity.html", "capacity.md"].iter().all(|name| dir.path().join(name).is_file()));
    let (code, _, error) = capacity(&["--slo", "connect.p50 < 500us"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--instructions-per-ns"), "{error}");
}

/// A copy of a recorded run of the gate, recorded at another time.
fn dated(name: &str, started: &str, into: &Path) -> String {
    let from = reference_run().join("../gate-instructions-6.1").join(name);
    fs::create_dir(into).unwrap();
    fs::copy(from.join("cells.jsonl"), into.join("cells.jsonl")).unwrap();
    let mut run: serde_json::Value =
        serde_json::from_slice(&fs::read(from.join("run.json")).unwrap()).unwrap();
    run["started"] = started.into();
    fs::write(into.join("run.json"), run.to_string()).unwrap();
    into.display().to_string()
}

#[test]
fn a_trend_ends_with_2_while_the_newest_run_is_after_a_step_for_the_worse() {
    let dir = TempDir::new().unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let trend = |more: &[&str]| {
        let output = vipbench(dir.path()).args(["trend", "--store", "store"]).args(more).output();
        let output = output.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let add = |name: &str, day: u32| {
        let (started, folder) = (format!("2026-01-{day:02}T00:00:00Z"), format!("day-{day}"));
        dated(name, &started, &store.join(folder))
    };
    for day in 1..=12 {
        add(&format!("same-{day}"), day);
    }
    let (code, said) = trend(&[]);
    assert!(code == 0 && said.contains("No step for the worse stands"), "{said}");
    add("rules-5", 13);
    let (code, said) = trend(&["-o", "page"]);
    assert!(code == 2 && said.contains("scenario.inject.rules_per_chain"), "{said}");
    for file in ["trend.html", "trend.md", "trend.json", "plots/trend-1-connect.svg"] {
        assert!(dir.path().join("page").join(file).exists(), "{file}");
    }
    add("same-13", 14);
    let (code, said) = trend(&["--json"]);
    let parsed: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, parsed["schema"].as_str()), (0, Some("vipbench.trend/1")));
}

#[test]
fn a_trend_of_what_is_none_is_refused_with_the_remedy() {
    let dir = TempDir::new().unwrap();
    let run = reference_run().canonicalize().unwrap().display().to_string();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&[&run], "a trend needs two runs"),
        (&[&run, &run], "named twice"),
        (&[&run, "nowhere"], "nowhere holds no run"),
        (&["--store", "empty"], "no folder in it holds a run"),
        (&["--store", "nowhere"], "nowhere"),
    ];
    for (arguments, wanted) in cases {
        let output = vipbench(dir.path()).arg("trend").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_says(&said, &[wanted]);
    }
}

#[test]
fn advice_is_read_off_a_run_and_bad_input_is_refused_before_anything_is_measured() {
    let dir = TempDir::new().unwrap();
    let run = reference_run().canonicalize().unwrap().display().to_string();
    let advise = |arguments: &[&str]| {
        let output = vipbench(dir.path()).arg("advise").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, said, _) = advise(&[&run, "--services", "1000", "-o", "out"]);
    assert_eq!(code, 0, "{said}");
    assert_says(&said, &["At 1,000 Services use ", "What was not looked at", "the default"]);
    assert!(dir.path().join("out/advise.html").exists());
    let (_, said, _) = advise(&[&run, "--services", "1000", "--json"]);
    let parsed: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(parsed["schema"], "vipbench.advise/1");
    let cases: [(&[&str], &str); 7] = [
        (&[&run], "--services"),
        (&["--services", "0"], "services = 0"),
        (&["--services", "9", "--budget", "pods=1s"], "connect, change, start"),
        (&["--services", "9", "--proxy", "envoy"], "choose among none"),
        (&["--services", "9", "--instructions-per-ns", "fast"], "fast"),
        (&["--cluster", "nowhere.json"], "nowhere.json"),
        (&[&run, "--services", "9", "--dry-run"], "cannot be used with"),
    ];
    for (arguments, wanted) in cases {
        let (code, _, said) = advise(arguments);
        assert_eq!(code, 1, "{arguments:?}: {said}");
        assert_says(&said, &[wanted]);
        assert!(!dir.path().join("runs").exists(), "nothing may be created: {arguments:?}");
    }
}
