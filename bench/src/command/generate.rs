//! `vipbench generate`: a synthetic Cluster, or one from a file, in one of its text forms, or as an
//! API.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use apiserver::Site;
use generators::{Cluster, EndpointCount, Family, IpNet, Ipv4Net, Ipv6Net, Ranges, SyntheticSpec};
use proxies::{NftablesOptions, Options};

use super::serve;
use crate::cli::{ClusterFormat, FormArgs, GenerateArgs};
use crate::scenario::Scenario;
use crate::{console, files};

/// Range of the endpoints where the default one has no room: Linux routes it like any other.
const LARGE_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4);

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let file = match (&args.cluster, &args.scenario) {
        (Some(path), _) => Some(path.clone()),
        (None, Some(path)) => Scenario::read(path)?.cluster_file,
        (None, None) => None,
    };
    let (cluster, spec) = match file {
        Some(path) => (read(&path)?, None),
        None => synthetic(args).map(|(cluster, spec)| (cluster, Some(spec)))?,
    };
    match args.serve {
        Some(address) => {
            let site = site(&cluster, spec.as_ref(), &args.form);
            serve::serve(&cluster, &site, address)?;
        }
        None => write(&cluster, spec.as_ref(), &args.form, args.output.as_deref())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The node and ranges that the API tells of beside the Services.
fn site(cluster: &Cluster, known: Option<&SyntheticSpec>, form: &FormArgs) -> Site {
    let mut site = Site {
        node_addresses: form.node_addresses.clone(),
        pod_cidrs: form.pod_cidrs.clone(),
        service_cidrs: form.service_cidrs.clone(),
    };
    for family in families(cluster) {
        let found = ranges(cluster, known, family);
        for (ranges, found) in
            [(&mut site.pod_cidrs, found.pods), (&mut site.service_cidrs, found.services)]
        {
            if !has_family(ranges, family) {
                ranges.extend(found);
            }
        }
    }
    site
}

fn families(cluster: &Cluster) -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| cluster.of_family(*family).next().is_some())
}

/// The ranges of a family that are known, else those that the addresses tell.
fn ranges(cluster: &Cluster, known: Option<&SyntheticSpec>, family: Family) -> Ranges {
    known.map_or_else(|| cluster.ranges(family), |spec| spec.ranges(family))
}

fn has_family(ranges: &[IpNet], family: Family) -> bool {
    ranges.iter().any(|range| Family::of(range.addr()) == family)
}

/// A synthetic Cluster and what it was made from.
fn synthetic(args: &GenerateArgs) -> anyhow::Result<(Cluster, SyntheticSpec)> {
    let mut spec = match &args.scenario {
        Some(path) => Scenario::read(path)?.cluster,
        None => SyntheticSpec {
            endpoints: EndpointCount::Fixed(args.endpoints),
            ..SyntheticSpec::default()
        },
    };
    spec.services = args.services;
    let room = spec.endpoint_cidr.hosts().count() as u64;
    if args.scenario.is_none() && spec.endpoint_count() > room {
        spec.endpoint_cidr = LARGE_CIDR;
    }
    let form = &args.form;
    set_ranges(&form.service_cidrs, &mut spec.service_cidr, &mut spec.service_cidr_v6);
    set_ranges(&form.pod_cidrs, &mut spec.endpoint_cidr, &mut spec.endpoint_cidr_v6);
    let cluster = generators::generate(&spec, args.seed)
        .context("--service-cidr sets service_cidr, --pod-cidr sets endpoint_cidr")?;
    Ok((cluster, spec))
}

/// Takes the range of each family that is given.
fn set_ranges(given: &[IpNet], ipv4: &mut Ipv4Net, ipv6: &mut Ipv6Net) {
    for range in given {
        match range {
            IpNet::V4(range) => *ipv4 = *range,
            IpNet::V6(range) => *ipv6 = *range,
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Cluster> {
    let place = || format!("cluster file {}", path.display());
    generators::from_json(files::open(path).with_context(place)?).with_context(place)
}

/// Writes a Cluster in one of its forms to a file, or to standard output. The rules have the ranges
/// that are asked for, else those that are known, else those that the addresses tell.
///
/// # Errors
/// A Cluster that has no such form, a file that cannot be written.
pub(super) fn write(
    cluster: &Cluster,
    known: Option<&SyntheticSpec>,
    form: &FormArgs,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(File::create(path).with_context(|| format!("{}", path.display()))?),
        None => Box::new(console::stdout()),
    };
    let mut out = BufWriter::new(&mut out);
    let options = options(cluster, known, form);
    match form.format {
        ClusterFormat::Json => generators::to_json(cluster, &mut out)?,
        ClusterFormat::K8s => generators::to_k8s(cluster, &mut out)?,
        ClusterFormat::Admin(_, format) => out.write_all(&(format.text)(cluster, &options))?,
    }
    Ok(out.flush()?)
}

/// How the rules are written; says on standard error what was guessed, and what the form lacks.
fn options(cluster: &Cluster, known: Option<&SyntheticSpec>, form: &FormArgs) -> Options {
    let ClusterFormat::Admin(admin, _) = form.format else { return Options::default() };
    let (mut pods, mut services) = (form.pod_cidrs.clone(), form.service_cidrs.clone());
    for family in families(cluster) {
        let found = ranges(cluster, known, family);
        let wanted = [
            (admin.says_pods, &mut pods, found.pods, "Pods", "--pod-cidr"),
            (admin.says_services, &mut services, found.services, "VIPs", "--service-cidr"),
        ];
        for (is_said, ranges, found, what, option) in wanted {
            if has_family(ranges, family) {
                continue;
            }
            ranges.extend(found);
            if is_said && known.is_none() {
                let found = found.map_or("none".to_owned(), |range| range.to_string());
                console::note(format_args!(
                    "range of the {what}, by their addresses: {found} ({option} sets another)"
                ));
            }
        }
    }
    let has_node_port = |service: &&generators::Service| service.extras().node_port.is_some();
    let node_ports = cluster.services().iter().filter(has_node_port).count();
    if admin.needs_node_addresses && node_ports > 0 && form.node_addresses.is_empty() {
        console::note(format_args!(
            "{node_ports} node ports are not in the text: IPVS has them at each address of the node; name it with \
             --node-address"
        ));
    }
    Options {
        local_cidrs: pods,
        node_addresses: form.node_addresses.clone(),
        nftables: NftablesOptions { service_cidrs: services, ..NftablesOptions::default() },
        ..Options::default()
    }
}
