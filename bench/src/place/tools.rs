//! The programs a run needs, the packages they come in, and the facts about this machine that a comparison must match.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};

/// A program and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Program name.
    pub program: &'static str,
    /// Argument that prints its version.
    pub version: &'static str,
    /// Distribution package.
    pub package: &'static str,
    /// What cannot be done without it.
    pub purpose: &'static str,
}

/// Every program that vipbench starts.
pub const TOOLS: [Tool; 7] = [
    Tool {
        program: lab::guest::QEMU,
        version: "--version",
        package: "qemu-system-x86",
        purpose: "guest kernels and the instructions clock",
    },
    Tool {
        program: "iptables-legacy-restore",
        version: "--version",
        package: "iptables",
        purpose: "proxy iptables-legacy",
    },
    Tool {
        program: "iptables-nft-restore",
        version: "--version",
        package: "iptables",
        purpose: "proxies iptables-nft and ipvs",
    },
    Tool {
        program: "nft",
        version: "--version",
        package: "nftables",
        purpose: "proxies nftables-1.33, nftables-1.36 and nftables-1.37",
    },
    Tool { program: "ipset", version: "--version", package: "ipset", purpose: "proxy ipvs" },
    Tool {
        program: "ipvsadm",
        version: "--version",
        package: "ipvsadm",
        purpose: "comparison with ipvsadm -R",
    },
    Tool {
        program: "apt-get",
        version: "--version",
        package: "apt",
        purpose: "fetching guest kernels",
    },
];

impl Tool {
    /// Whether it can be started. `ipvsadm` then says nothing of its version where the kernel has no IPVS.
    pub fn is_installed(&self) -> bool {
        self.asked().is_some()
    }

    fn asked(&self) -> Option<Output> {
        Command::new(self.program).arg(self.version).stdin(Stdio::null()).output().ok()
    }

    /// First line of what the tool says of its version, or `None` if it is not installed or says nothing.
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
    let emulator = TOOLS.iter().find(|tool| tool.program == lab::guest::QEMU);
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
    TOOLS.iter().filter(|tool| tool.package != "apt").filter_map(known).collect()
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
