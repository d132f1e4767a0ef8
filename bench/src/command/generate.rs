//! `vipbench generate`: a synthetic Cluster in one of its text forms.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use generators::{EndpointCount, SyntheticSpec};
use proxies::{Options, ProxyKind, SyncRequest};

use crate::cli::{ClusterFormat, GenerateArgs};
use crate::scenario::Scenario;

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    crate::out::end_with_reader();
    let mut spec = match &args.scenario {
        Some(path) => Scenario::read(path)?.cluster,
        None => SyntheticSpec {
            endpoints: EndpointCount::Fixed(args.endpoints),
            ..SyntheticSpec::default()
        },
    };
    spec.services = args.services;
    let cluster = generators::generate(&spec, args.seed)?;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("{}", path.display()))?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::new(&mut out);
    match args.format {
        ClusterFormat::Json => generators::to_json(&cluster, &mut out)?,
        ClusterFormat::K8s => generators::to_k8s(&cluster, &mut out)?,
        ClusterFormat::Iptables => {
            let proxy = proxies::open(ProxyKind::IptablesLegacy, &Options::default());
            let program = proxy.render(&SyncRequest::Full(&cluster))?;
            out.write_all(program.text().context("iptables renders text")?)?;
        }
        ClusterFormat::Ipvs => {
            out.write_all(proxies::ipvs::save_text(&cluster, &Options::default()).as_bytes())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
