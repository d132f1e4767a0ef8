//! `vipbench generate`: a synthetic Cluster, or one from a file, in one of its text forms.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use generators::{Cluster, EndpointCount, SyntheticSpec};
use proxies::{Options, ProxyKind, SyncRequest};

use crate::cli::{ClusterFormat, GenerateArgs};
use crate::scenario::Scenario;
use crate::{console, files};

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    write(&cluster(args)?, args.format, args.output.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

fn cluster(args: &GenerateArgs) -> anyhow::Result<Cluster> {
    if let Some(path) = &args.cluster {
        return read(path);
    }
    let mut spec = SyntheticSpec {
        endpoints: EndpointCount::Fixed(args.endpoints),
        ..SyntheticSpec::default()
    };
    if let Some(path) = &args.scenario {
        let scenario = Scenario::read(path)?;
        if let Some(path) = &scenario.cluster_file {
            return read(path);
        }
        spec = scenario.cluster;
    }
    spec.services = args.services;
    Ok(generators::generate(&spec, args.seed)?)
}

fn read(path: &Path) -> anyhow::Result<Cluster> {
    let place = || format!("cluster file {}", path.display());
    generators::from_json(files::open(path).with_context(place)?).with_context(place)
}

/// Writes a Cluster in one of its forms to a file, or to standard output.
///
/// # Errors
/// A Cluster that has no such form, a file that cannot be written.
pub(super) fn write(
    cluster: &Cluster,
    format: ClusterFormat,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("{}", path.display()))?),
        None => Box::new(console::stdout()),
    };
    let mut out = BufWriter::new(&mut out);
    match format {
        ClusterFormat::Json => generators::to_json(cluster, &mut out)?,
        ClusterFormat::K8s => generators::to_k8s(cluster, &mut out)?,
        ClusterFormat::Iptables => write_text(ProxyKind::IptablesLegacy, cluster, &mut out)?,
        ClusterFormat::Nft1_33 => write_text(ProxyKind::Nftables1_33, cluster, &mut out)?,
        ClusterFormat::Nft1_36 => write_text(ProxyKind::Nftables1_36, cluster, &mut out)?,
        ClusterFormat::Nft1_37 => write_text(ProxyKind::Nftables1_37, cluster, &mut out)?,
        ClusterFormat::Ipvs => {
            out.write_all(proxies::ipvs::save_text(cluster, &Options::default()).as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

/// What a full sync of a proxy hands to its tool in an empty namespace.
fn write_text(kind: ProxyKind, cluster: &Cluster, out: &mut impl Write) -> anyhow::Result<()> {
    let proxy = proxies::open(kind, &Options::default());
    let program = proxy.render(&SyncRequest::Full(cluster))?;
    Ok(out.write_all(program.text().with_context(|| format!("{kind} renders no text"))?)?)
}
