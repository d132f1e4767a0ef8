//! Slowdowns put in on purpose, after a proxy is synced: rules that no packet matches, at the head of its chains.
//!
//! For measuring the gate. The delay of a server is in `load::server`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use proxies::ProxyKind;

use super::bench_lab::BenchLab;

/// An address of a documentation network (RFC 5737): nothing in a lab has it.
const NOBODY: &str = "192.0.2.1/32";

/// Puts the wanted rules in; call it on a thread in the node's namespace. Proxies without chains stay as they are.
pub(super) fn rules(lab: &BenchLab) -> anyhow::Result<()> {
    let count = lab.inject.rules_per_chain;
    let tool = match lab.kind {
        ProxyKind::IptablesLegacy => "iptables-legacy",
        ProxyKind::IptablesNft => "iptables-nft",
        ProxyKind::None | ProxyKind::Ipvs => return Ok(()),
    };
    if count == 0 {
        return Ok(());
    }
    let save = format!("{tool}-save");
    let output = Command::new(&save).output().with_context(|| format!("starting {save}"))?;
    ensure!(output.status.success(), "{save}: {}", output.status);
    let text = insertions(&String::from_utf8_lossy(&output.stdout), count);
    feed(&format!("{tool}-restore"), &text)
}

fn feed(program: &str, text: &str) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(["-w", "5", "--noflush"])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let mut input = child.stdin.take().context("the tool's input")?;
    input.write_all(text.as_bytes()).with_context(|| format!("feeding {program}"))?;
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}

/// Input of `iptables-restore` that puts `count` rules at the head of every chain of a proxy in `saved`.
fn insertions(saved: &str, count: u32) -> String {
    let mut text = String::new();
    for line in saved.lines() {
        if line.starts_with('*') || line == "COMMIT" {
            text.push_str(line);
            text.push('\n');
        } else if let Some(chain) = line.strip_prefix(":KUBE-") {
            let chain = chain.split(' ').next().unwrap_or_default();
            for _ in 0..count {
                let _ = writeln!(text, "-I KUBE-{chain} 1 -d {NOBODY} -j RETURN");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_of_a_proxy_gets_its_rules_and_no_other() {
        let saved = "# saved\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j KUBE-X\n\
                     COMMIT\n*filter\n:KUBE-FORWARD - [1:2]\nCOMMIT\n";
        assert_eq!(
            insertions(saved, 2),
            "*nat\n-I KUBE-SERVICES 1 -d 192.0.2.1/32 -j RETURN\n-I KUBE-SERVICES 1 -d 192.0.2.1/32 -j RETURN\nCOMMIT\n\
             *filter\n-I KUBE-FORWARD 1 -d 192.0.2.1/32 -j RETURN\n-I KUBE-FORWARD 1 -d 192.0.2.1/32 -j RETURN\nCOMMIT\n"
        );
    }
}
