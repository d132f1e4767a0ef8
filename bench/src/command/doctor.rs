//! `vipbench doctor`: what can run here, what is missing, and the command that installs it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use proxies::backends;
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::console;
use crate::place::{self, Probed, WorkDir, known_kvm, missing_on_host, probe_kvm};
use crate::run::progress::during;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    good: bool,
    detail: String,
}

/// Everything that was looked at, and what follows.
#[derive(Debug, Serialize)]
struct Diagnosis {
    tools: Vec<Finding>,
    host: Vec<Finding>,
    kvm: Finding,
    /// Command that installs what is missing; empty if nothing is.
    install: String,
    /// What `vipbench run` would do.
    conclusion: String,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let diagnosis = diagnose(args.probe);
    if args.json {
        console::json(&diagnosis)?;
    } else {
        console::line(in_words(&diagnosis))?;
    }
    Ok(if diagnosis.install.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn diagnose(probe_again: bool) -> Diagnosis {
    let mut missing = BTreeSet::new();
    let mut tools = Vec::new();
    for tool in place::tools() {
        let detail = if tool.is_installed() {
            tool.installed_version()
                .unwrap_or_else(|| "installed; does not tell its version on this kernel".into())
        } else {
            missing.insert(tool.package);
            format!("not installed; needed for {}", tool.purpose)
        };
        tools.push(Finding {
            what: tool.program.into(),
            good: !missing.contains(tool.package),
            detail,
        });
    }
    let host: Vec<Finding> = backends().map(|backend| host_finding(backend.name)).collect();
    let kvm = kvm_finding(probe_again, missing.contains("qemu-system-x86"));
    let install = match missing.into_iter().collect::<Vec<_>>().join(" ") {
        none if none.is_empty() => none,
        packages => format!("apt-get install --no-install-recommends {packages}"),
    };
    let conclusion = conclude(&host, &kvm, &install);
    Diagnosis { tools, host, kvm, install, conclusion }
}

fn host_finding(name: &str) -> Finding {
    let found = missing_on_host(&[name.to_owned()]);
    let detail = match &found {
        Ok(missing) if missing.is_empty() => "works in this machine's own kernel".to_owned(),
        Ok(missing) => missing.join("; "),
        Err(error) => crate::in_words(error),
    };
    Finding { what: name.to_owned(), good: found.is_ok_and(|missing| missing.is_empty()), detail }
}

fn kvm_finding(again: bool, no_qemu: bool) -> Finding {
    let what = "KVM, probed by booting".to_owned();
    if no_qemu {
        return Finding { what, good: false, detail: "not probed: QEMU is not installed".into() };
    }
    let (good, detail) = match during(|progress| probed_kvm(again, progress)) {
        Ok(probed) => (probed.works, probed.in_words()),
        Err(error) => (false, format!("could not be probed: {}", crate::in_words(&error))),
    };
    Finding { what, good, detail }
}

fn probed_kvm(again: bool, progress: &dyn Fn(&str)) -> anyhow::Result<Probed> {
    match known_kvm()? {
        Some(known) if !again => Ok(known),
        _ => probe_kvm("default", WorkDir::new()?.path(), progress),
    }
}

fn conclude(host: &[Finding], kvm: &Finding, install: &str) -> String {
    if !install.is_empty() {
        return "install what is missing, then ask again".into();
    }
    let lacking: Vec<&str> =
        host.iter().filter(|finding| !finding.good).map(|finding| finding.what.as_str()).collect();
    if lacking.is_empty() {
        return "all proxies run on this machine's own kernel: `vipbench run` uses it, on the wall clock".into();
    }
    let clock = if kvm.good { "wall clock, under KVM" } else { "instructions clock, emulated" };
    format!(
        "not on this machine's own kernel: {}; `vipbench run` uses a guest kernel ({clock})",
        lacking.join(", ")
    )
}

fn in_words(diagnosis: &Diagnosis) -> String {
    let Diagnosis { tools, host, kvm, install, conclusion } = diagnosis;
    let sections = [
        ("Programs", tools.as_slice()),
        ("Proxies on this machine's own kernel", host),
        ("Guest kernels", std::slice::from_ref(kvm)),
    ];
    let mut text = String::new();
    for (title, findings) in sections {
        let _ = writeln!(text, "{title}");
        for Finding { what, good, detail } in findings {
            let _ = writeln!(text, "  {} {what:<24} {detail}", if *good { "ok" } else { "--" });
        }
    }
    if !install.is_empty() {
        let _ = writeln!(text, "Install what is missing: {install}");
    }
    text + "So: " + conclusion
}
