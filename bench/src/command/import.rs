//! `vipbench import`: a real cluster's Kubernetes objects, from any number of files and folders, as
//! one Cluster, and a summary of what else they held.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow, ensure};
use generators::{
    BadObjects, Cluster, Fate, Finding, ImportSummary, Imported, Importer, K8sError, KUBECTL,
    OnBadObject, Service, Viewpoint,
};
use serde::Serialize;

use super::generate;
use crate::cli::ImportArgs;
use crate::{console, files};

/// Endings of files in a folder that are looked into.
const ENDINGS: [&str; 4] = ["json", "yaml", "yml", "gz"];

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let on_bad = if args.lenient { OnBadObject::Skip } else { OnBadObject::Refuse };
    let Imported { mut cluster, summary, from } = read(args, on_bad)?;
    if args.anonymise {
        cluster = cluster.anonymised(args.seed)?;
    }
    if summary.found.contains_key(&Finding::NoEndpointObjects) {
        console::note(format_args!(
            "nothing tells the endpoints of the Services: write both with `{KUBECTL}`, unless there are none"
        ));
    }
    generate::write(&cluster, None, &args.form, args.output.as_deref())?;
    let report = Report::new(&cluster, &summary, &from);
    if args.json {
        console::json(&report)?;
    } else if let Some(path) = &args.output {
        console::line(format_args!("{report}\nCluster written to {}", path.display()))?;
    } else {
        console::note(report);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(args: &ImportArgs, on_bad: OnBadObject) -> anyhow::Result<Imported> {
    let inputs = args.inputs.as_slice();
    let [node, zone] = [&args.node, &args.zone].map(|name| name.as_deref().map(Into::into));
    let mut importer = Importer::seen_from(Viewpoint { node, zone });
    for path in inputs {
        if is_standard_input(path) {
            importer.read(&name(path), io::stdin().lock()).with_context(|| name(path))?;
        } else if path.is_dir() {
            read_folder(&mut importer, path)?;
        } else {
            let file = files::open(path).with_context(|| name(path))?;
            importer.read(&name(path), file).with_context(|| name(path))?;
        }
    }
    importer.finish(on_bad).map_err(|error| {
        let place = match inputs {
            [one] => name(one),
            several => format!("{} inputs", several.len()),
        };
        match error {
            K8sError::Bad { .. } => anyhow!("{place}: {error}\n--lenient leaves them out"),
            error => anyhow!(error).context(place),
        }
    })
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}

fn name(path: &Path) -> String {
    if is_standard_input(path) { "standard input".into() } else { path.display().to_string() }
}

/// Reads what may be Kubernetes objects in a folder, as support bundles and `kubectl cluster-info
/// dump --output-directory` write it.
fn read_folder(importer: &mut Importer, folder: &Path) -> anyhow::Result<()> {
    let is_wanted =
        |path: &Path| path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it));
    let files = files::files_of(folder, is_wanted)?;
    ensure!(
        !files.is_empty(),
        "{}: there is no file that ends with .json, .yaml, .yml or .gz",
        folder.display()
    );
    for path in files {
        let name = name(&path);
        let file = files::open(&path).with_context(|| name.clone())?;
        let read = importer.read_of_folder(&name, file);
        read.with_context(|| format!("{name} (move it away, or name the files that you mean)"))?;
    }
    Ok(())
}

/// What is told of an import.
#[derive(Debug, Serialize)]
struct Report<'a> {
    read: ReadObjects,
    cluster: Size,
    /// The node that it is seen from.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<&'a str>,
    found: Vec<Found>,
    bad: &'a BadObjects,
}

#[derive(Debug, Serialize)]
struct ReadObjects {
    services: u64,
    endpoint_slices: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<u64>,
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
    fn new(cluster: &Cluster, summary: &'a ImportSummary, from: &'a Viewpoint) -> Self {
        let services = cluster.services();
        let namespaces: BTreeSet<&str> =
            services.iter().map(|service| service.name().namespace()).collect();
        let vips: BTreeSet<IpAddr> = services.iter().map(Service::vip).collect();
        let most = services.iter().map(|service| service.endpoints().len()).max();
        let found = summary.found.iter().map(|(&finding, &count)| Found {
            finding,
            count,
            unit: finding.unit(),
            fate: finding.fate(),
            what: finding.what(),
        });
        Self {
            read: ReadObjects {
                services: summary.services,
                endpoint_slices: summary.slices,
                endpoints: Some(summary.endpoints).filter(|&count| count > 0),
            },
            cluster: Size {
                services: services.len(),
                endpoints: cluster.endpoint_count(),
                namespaces: namespaces.len(),
                vips: vips.len(),
                most_endpoints: most.unwrap_or(0),
            },
            node: from.node.as_deref(),
            found: found.collect(),
            bad: &summary.bad,
        }
    }
}

/// For people: what there is, then what became of the rest.
impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { services, endpoints, namespaces, vips, most_endpoints } = &self.cluster;
        let ReadObjects { services: objects, endpoint_slices, endpoints: old } = &self.read;
        write!(f, "read: {objects} Services, {endpoint_slices} EndpointSlices")?;
        if let Some(old) = old {
            write!(f, ", {old} Endpoints objects")?;
        }
        writeln!(f)?;
        write!(
            f,
            "Cluster: {services} Services (ports) at {vips} VIPs in {namespaces} namespaces, {endpoints} endpoints, \
             at most {most_endpoints} a Service"
        )?;
        if let Some(node) = self.node {
            write!(f, ", seen from node {node} (--node names another)")?;
        }
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
