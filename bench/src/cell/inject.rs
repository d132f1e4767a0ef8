//! Slowdowns put in on purpose, after a proxy is synced: rules that no packet matches, at the head of its chains.
//!
//! For measuring the gate. The delay of a server is in `load::server`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use proxies::ProxyKind;

use super::bench_lab::BenchLab;
use super::tool::printed;

/// An address of a documentation network (RFC 5737): nothing in a lab has it.
const NOBODY: &str = "192.0.2.1/32";

/// Puts the wanted rules in; call it on a thread in the node's namespace. Proxies without chains stay as they are.
pub(super) fn rules(lab: &BenchLab) -> anyhow::Result<()> {
    let count = lab.inject.rules_per_chain;
    if count == 0 {
        return Ok(());
    }
    let tool = match lab.kind {
        ProxyKind::IptablesLegacy => "iptables-legacy",
        ProxyKind::IptablesNft => "iptables-nft",
        ProxyKind::None | ProxyKind::Ipvs => return Ok(()),
        ProxyKind::Nftables1_33 | ProxyKind::Nftables1_36 | ProxyKind::Nftables1_37 => {
            let listed = printed("nft", &["list", "chains", "ip"])?;
            return feed("nft", &["-f", "-"], &not_empty(nft_insertions(&listed, count))?);
        }
    };
    let save = format!("{tool}-save");
    let text = not_empty(insertions(&printed(&save, &[])?, count))?;
    feed(&format!("{tool}-restore"), &["-w", "5", "--noflush"], &text)
}

/// A slowdown that is none would be measured as one.
fn not_empty(text: String) -> anyhow::Result<String> {
    ensure!(text.contains(NOBODY), "the proxy has no chain that a rule could be put into");
    Ok(text)
}

fn feed(program: &str, args: &[&str], text: &str) -> anyhow::Result<()> {
    let mut child = Command::new(program)
        .args(args)
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

/// Input of `nft -f` that puts `count` rules at the head of every chain of the table that `nft list chains` lists.
fn nft_insertions(listed: &str, count: u32) -> String {
    let mut text = String::new();
    let lines = listed.lines().skip_while(|line| *line != "table ip kube-proxy {");
    let own = lines.skip(1).take_while(|line| *line != "}");
    for chain in own.filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {")) {
        for _ in 0..count {
            let _ = writeln!(text, "insert rule ip kube-proxy {chain} ip daddr {NOBODY} return");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_of_the_table_gets_its_rules_and_no_other_table() {
        let listed = "table ip other {\n\tchain x {\n\t}\n}\ntable ip kube-proxy {\n\tchain services {\n\t}\n\
                      \tchain service-A-ns/a/tcp/p {\n\t}\n}\ntable ip last {\n\tchain y {\n\t}\n}\n";
        assert_eq!(
            nft_insertions(listed, 1),
            "insert rule ip kube-proxy services ip daddr 192.0.2.1/32 return\n\
             insert rule ip kube-proxy service-A-ns/a/tcp/p ip daddr 192.0.2.1/32 return\n"
        );
    }

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
