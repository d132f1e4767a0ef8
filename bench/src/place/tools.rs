//! The programs a run needs, the packages they come in, and the facts about this machine that a
//! comparison must match.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output, Stdio};

use proxies::Descriptor;

/// A program and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Program name. It prints its version with `--version`.
    pub program: &'static str,
    /// Distribution package.
    pub package: &'static str,
    /// What cannot be done without it.
    pub purpose: String,
}

/// Every program that vipbench starts: its own, then those of the backends.
pub fn tools() -> Vec<Tool> {
    let tool = |program, package, purpose: String| Tool { program, package, purpose };
    let emulation = "guest kernels and the instructions clock".into();
    let started = proxies::backends()
        .flat_map(|backend| backend.tools)
        .map(|one| tool(one.program, one.package, users_of(one.program)));
    let compared = proxies::backends().filter_map(|backend| backend.admin).map(|admin| {
        let purpose = format!("comparison with {} {}", admin.program, admin.args.join(" "));
        tool(admin.program, admin.package, purpose)
    });
    let all = [tool(lab::guest::QEMU, "qemu-system-x86", emulation)].into_iter();
    let all = all.chain(started).chain(compared);
    let mut seen = BTreeSet::new();
    all.chain([tool("apt-get", "apt", "fetching guest kernels".into())])
        .filter(|tool| seen.insert(tool.program))
        .collect()
}

/// `proxies A, B and C`: the backends that start a program.
fn users_of(program: &str) -> String {
    let starts = |backend: &&Descriptor| backend.tools.iter().any(|tool| tool.program == program);
    let names: Vec<&str> = proxies::backends().filter(starts).map(|one| one.name).collect();
    match names.as_slice() {
        [only] => format!("proxy {only}"),
        [first @ .., last] => format!("proxies {} and {last}", first.join(", ")),
        [] => String::new(),
    }
}

/// Every program that a guest needs beside this one, in the order of their names.
pub(super) fn guest_tools() -> Vec<String> {
    let of_backends = proxies::backends().flat_map(|backend| {
        let started = backend.tools.iter();
        let started = started.flat_map(|tool| tool.also.iter().copied().chain([tool.program]));
        started.chain(backend.admin.map(|admin| admin.program))
    });
    let names: BTreeSet<&str> = of_backends.collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Every kernel module that a backend needs, in the order in which they are to be loaded.
pub(super) fn guest_modules() -> Vec<String> {
    let mut modules: Vec<String> = Vec::new();
    let needed = proxies::backends().flat_map(|backend| backend.modules);
    for module in needed.copied().flatten() {
        if modules.iter().all(|known| known != module) {
            modules.push((*module).to_owned());
        }
    }
    modules
}

impl Tool {
    /// Whether it can be started. `ipvsadm` then says nothing of its version where the kernel has
    /// no IPVS.
    pub fn is_installed(&self) -> bool {
        self.asked().is_some()
    }

    fn asked(&self) -> Option<Output> {
        Command::new(self.program).arg("--version").stdin(Stdio::null()).output().ok()
    }

    /// First line of what the tool says of its version, or `None` if it is not installed or says
    /// nothing.
    pub fn installed_version(&self) -> Option<String> {
        let output = self.asked()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().next().map(|line| line.trim().chars().take(120).collect())
    }
}

/// Guests need an emulator: said before anything is fetched or created.
///
/// # Errors
/// It is not installed.
pub fn require_emulator() -> anyhow::Result<()> {
    let tools = tools();
    let emulator = tools.iter().find(|tool| tool.program == lab::guest::QEMU);
    anyhow::ensure!(
        emulator.is_some_and(|tool| tool.installed_version().is_some()),
        "a guest kernel needs {}, which is not in PATH; run scripts/setup or install the package qemu-system-x86, or \
         use --place host",
        lab::guest::QEMU
    );
    Ok(())
}

/// Versions of the installed tools, by `tool.NAME`.
pub fn tool_versions() -> BTreeMap<String, String> {
    let known = |tool: &Tool| Some((format!("tool.{}", tool.program), tool.installed_version()?));
    tools().iter().filter(|tool| tool.package != "apt").filter_map(known).collect()
}

/// What is known of this machine. Facts that cannot be read are left out.
pub(super) fn host_facts() -> BTreeMap<String, String> {
    let mut facts = tool_versions();
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = |key: &str| {
        let line = cpu_info.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let file = |path: &str| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    let name = rustix::system::uname();
    let cores = std::thread::available_parallelism().ok().map(|cores| cores.to_string());
    let memory = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| Some(text.lines().next()?.split_once(':')?.1.trim().to_owned()));
    let known = [
        ("host.kernel", Some(name.release().to_string_lossy().into_owned())),
        ("host.cpu", cpu("model name")),
        ("host.microcode", cpu("microcode")),
        ("host.cores", cores),
        ("host.memory", memory),
        ("host.load", file("/proc/loadavg")),
        ("host.governor", file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        (
            "host.clocksource",
            file("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        ),
        ("vipbench.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("vipbench.sha256", own_sha256()),
    ];
    facts.extend(known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    facts
}

/// The tool is part of the environment: another build changes what user space costs.
fn own_sha256() -> Option<String> {
    use sha2::Digest;
    let binary = fs::read("/proc/self/exe").ok()?;
    Some(data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(binary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_that_sets_up_installs_what_backends_need() {
        let script = include_str!("../../../scripts/setup");
        for tool in tools().into_iter().filter(|tool| tool.package != "apt") {
            let packages = script.lines().filter_map(|line| line.trim().split_once(':'));
            assert!(packages.clone().any(|(_, package)| package == tool.package), "{tool:?}");
        }
    }

    #[test]
    fn a_program_is_told_with_all_that_start_it() {
        let purpose = |program: &str| {
            tools().into_iter().find(|tool| tool.program == program).unwrap().purpose
        };
        assert_eq!(
            purpose("iptables-nft-restore"),
            "proxies iptables-nft, ipvs and ipvs-kube-proxy"
        );
        assert_eq!(purpose("nft"), "proxies nftables-1.33, nftables-1.36 and nftables-1.37");
        assert_eq!(purpose("ipvsadm"), "comparison with ipvsadm -R");
    }

    #[test]
    fn a_guest_has_each_module_once_and_connection_tracking_first() {
        let modules = guest_modules();
        let distinct: BTreeSet<&String> = modules.iter().collect();
        assert_eq!(distinct.len(), modules.len());
        let at = |name: &str| modules.iter().position(|module| module == name).unwrap();
        assert!(at("nf_conntrack") < at("ip_tables") && at("ip_set") < at("ip_vs"));
        assert!(guest_tools().contains(&"ipset".to_owned()));
    }
}
