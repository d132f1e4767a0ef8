//! Our own programming against the tool that an administrator would use, with the same content from the same state.
//!
//! `vipbench` is the proxy's `submit`; `tool` is a plain `iptables-restore`, `ipvsadm -R` or `nft -f` reading a
//! file.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use proxies::ipvs::{IpvsOptions, VipBinder, VipBinding};
use proxies::{Options, ProxyKind, SyncRequest};
use results::metrics::{self, MetricKind};

use super::bench_lab::BenchLab;
use super::{CellSpec, Measured};

/// What it measures.
pub(super) const EMITS: &[MetricKind] = &[metrics::BASELINE];

/// Both sides, each in a lab of its own.
pub(super) fn measure(lab: &BenchLab, spec: &CellSpec) -> anyhow::Result<Measured> {
    let options = bare_options(lab);
    let (ours, text) = submit(lab, &options)?;
    let other = BenchLab::build(spec)?;
    let tool = other.topology.node().enter(|| {
        let mut proxy = other.open_with(&options)?;
        let request = SyncRequest::Full(&other.cluster);
        proxy.prepare(&request)?;
        if other.kind == ProxyKind::Ipvs {
            bind_vips(&other, &options)?;
        }
        let taken = run_tool(&other, &text)?;
        proxy.verify(&other.cluster)?;
        anyhow::Ok(taken)
    })??;
    let sides = [("vipbench", ours), ("tool", tool)];
    let metrics = sides
        .map(|(label, taken)| metrics::BASELINE.of(label, lab.clock.kind(), vec![taken]))
        .into();
    Ok(Measured { verified: 0, metrics })
}

/// IPVS alone, since that is all that `ipvsadm` writes; VIPs by one route, so that addresses do not hide the rest.
fn bare_options(lab: &BenchLab) -> Options {
    let ipvs = IpvsOptions {
        masquerade: false,
        vip_binding: VipBinding::LocalRoute,
        ..lab.options.ipvs.clone()
    };
    Options { ipvs, ..lab.options.clone() }
}

/// What our `submit` takes, and the same content as the tool's input.
fn submit(lab: &BenchLab, options: &Options) -> anyhow::Result<(u64, Vec<u8>)> {
    let mut proxy = lab.open_with(options)?;
    let request = SyncRequest::Full(&lab.cluster);
    proxy.prepare(&request)?;
    let program = proxy.render(&request)?;
    let started = lab.clock.now();
    proxy.submit(&program)?;
    let taken = lab.clock.now() - started;
    proxy.verify(&lab.cluster)?;
    let text = match program.text() {
        Some(text) => text.to_vec(),
        None => proxies::ipvs::save_text(&lab.cluster, options).into_bytes(),
    };
    Ok((taken, text))
}

/// What `ipvsadm` leaves to others.
fn bind_vips(lab: &BenchLab, options: &Options) -> anyhow::Result<()> {
    let mut binder = VipBinder::new(options);
    binder.prepare()?;
    let program = binder.render(&lab.cluster)?;
    binder.submit(&program)?;
    Ok(())
}

/// What the tool takes, from its start to its end.
fn run_tool(lab: &BenchLab, text: &[u8]) -> anyhow::Result<u64> {
    let (program, arguments): (&str, &[&str]) = match lab.kind {
        ProxyKind::IptablesLegacy => {
            ("iptables-legacy-restore", &["-w", "5", "--noflush", "--counters"])
        }
        ProxyKind::IptablesNft => ("iptables-nft-restore", &["-w", "5", "--noflush", "--counters"]),
        ProxyKind::Ipvs => ("ipvsadm", &["-R"]),
        ProxyKind::Nftables1_33 | ProxyKind::Nftables1_36 | ProxyKind::Nftables1_37 => {
            ("nft", &["-f", "-"])
        }
        ProxyKind::None => bail!("no tool does what `none` does"),
    };
    let mut file = tempfile::NamedTempFile::new().context("a file for the tool's input")?;
    file.write_all(text)?;
    let input = File::open(file.path())?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(input).stdout(Stdio::null());
    let started = lab.clock.now();
    let status = command.status().with_context(|| format!("starting {program}"))?;
    let taken = lab.clock.now() - started;
    ensure!(status.success(), "{program}: {status}");
    Ok(taken)
}
