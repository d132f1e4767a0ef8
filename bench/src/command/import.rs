//! `vipbench import`: a real cluster's Kubernetes objects as a Cluster, and a summary of what else
//! they held.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use generators::{
    BadObjects, Cluster, Fate, Finding, ImportSummary, Imported, K8sError, OnBadObject, Service,
};
use serde::Serialize;

use super::generate;
use crate::cli::ImportArgs;
use crate::console;

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let on_bad = if args.lenient { OnBadObject::Skip } else { OnBadObject::Refuse };
    let Imported { mut cluster, summary } = read(&args.input, on_bad)?;
    if args.anonymise {
        cluster = cluster.anonymised(args.seed)?;
    }
    generate::write(&cluster, args.format, args.output.as_deref())?;
    let report = Report::new(&cluster, &summary);
    if args.json {
        console::json(&report)?;
    } else if let Some(path) = &args.output {
        console::line(format_args!("{report}\nCluster written to {}", path.display()))?;
    } else {
        console::note(report);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path, on_bad: OnBadObject) -> anyhow::Result<Imported> {
    let is_standard_input = path == Path::new("-");
    let place =
        if is_standard_input { "standard input".into() } else { path.display().to_string() };
    let input: Box<dyn Read> = if is_standard_input {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| place.clone())?)
    };
    match generators::from_k8s(input, on_bad) {
        Ok(imported) => Ok(imported),
        Err(error @ K8sError::Bad { .. }) => {
            bail!("{place}: {error}\n--lenient leaves them out")
        }
        Err(error) => Err(anyhow!(error).context(place)),
    }
}

/// What is told of an import.
#[derive(Debug, Serialize)]
struct Report<'a> {
    read: ReadObjects,
    cluster: Size,
    found: Vec<Found>,
    bad: &'a BadObjects,
}

#[derive(Debug, Serialize)]
struct ReadObjects {
    services: u64,
    endpoint_slices: u64,
}

#[derive(Debug, Serialize)]
struct Size {
    services: usize,
    endpoints: usize,
    namespaces: usize,
    vips: usize,
    most_endpoints: usize,
}

/// One thing besides plain Services.
#[derive(Debug, Serialize)]
struct Found {
    finding: Finding,
    count: u64,
    unit: &'static str,
    fate: Fate,
    what: &'static str,
}

impl<'a> Report<'a> {
    fn new(cluster: &Cluster, summary: &'a ImportSummary) -> Self {
        let services = cluster.services();
        let namespaces: BTreeSet<&str> =
            services.iter().map(|service| service.name().namespace()).collect();
        let vips: BTreeSet<Ipv4Addr> = services.iter().map(Service::vip).collect();
        let most = services.iter().map(|service| service.endpoints().len()).max();
        let found = summary.found.iter().map(|(&finding, &count)| Found {
            finding,
            count,
            unit: finding.unit(),
            fate: finding.fate(),
            what: finding.what(),
        });
        Self {
            read: ReadObjects { services: summary.services, endpoint_slices: summary.slices },
            cluster: Size {
                services: services.len(),
                endpoints: cluster.endpoint_count(),
                namespaces: namespaces.len(),
                vips: vips.len(),
                most_endpoints: most.unwrap_or(0),
            },
            found: found.collect(),
            bad: &summary.bad,
        }
    }
}

/// For people: what there is, then what became of the rest.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { services, endpoints, namespaces, vips, most_endpoints } = &self.cluster;
        let ReadObjects { services: objects, endpoint_slices } = &self.read;
        writeln!(f, "read: {objects} Services, {endpoint_slices} EndpointSlices")?;
        write!(
            f,
            "Cluster: {services} Services (ports) at {vips} VIPs in {namespaces} namespaces, {endpoints} endpoints, \
             at most {most_endpoints} a Service"
        )?;
        if !self.found.is_empty() {
            let mut table = console::table(["count", "of", "", "what became of it"]);
            for found in &self.found {
                let (count, fate) = (found.count.to_string(), found.fate.to_string());
                table.add_row([count, found.unit.to_owned(), found.what.to_owned(), fate]);
            }
            write!(f, "\n{}", table.trim_fmt())?;
        }
        if self.bad.count > 0 {
            write!(
                f,
                "\nobjects that are wrong and left out, {} in all:\n{}",
                self.bad.count, self.bad
            )?;
        }
        Ok(())
    }
}
