//! `vipbench trace`: traces one connection here or in a guest, prints it, and writes its files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice::from_ref;
use std::time::Duration;

use anyhow::{Context, bail};
use generators::{Family, Protocol};
use lab::guest::{Limit, Task};
use lab::image::KernelSpec;
use proxies::ipvs::Forwarding;
use results::Place;
use results::trace::{self, Record};

use crate::cli::{OneFamily, TraceArgs, Transport};
use crate::console;
use crate::kube_proxy::{self, KubeProxyFile};
use crate::place::{GuestOptions, GuestPlace, WorkDir, answer_of};
use crate::run::progress::during;
use crate::scenario::Limits;
use crate::trace::QUESTION;
use crate::trace::spec::TraceSpec;

/// One connection takes an emulated guest some seconds.
const LIMIT: Limit = Limit::Processor(Duration::from_mins(3));
/// The kernel of this machine.
const HOST: &str = "host";

pub(super) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let spec = spec(args)?;
    let record = if args.kernel == HOST {
        crate::trace::run(&spec).context(
            "on this machine's own kernel (a guest kernel has all that is needed: --kernel default)",
        )?
    } else {
        let kernel = args.kernel.parse().with_context(|| format!("kernel {:?}", args.kernel))?;
        during(|progress| in_guest(&kernel, &spec, progress))?
    };
    let text = trace::text(&record);
    let files = match &args.output {
        Some(dir) => write(&record, &text, dir)?,
        None => Vec::new(),
    };
    if args.json {
        console::json(&record)?;
    } else {
        console::print(text)?;
    }
    for file in files {
        console::note(file.display());
    }
    Ok(if record.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The arguments as a spec.
///
/// # Errors
/// An unknown proxy, or a forwarding that it does not have.
fn spec(args: &TraceArgs) -> anyhow::Result<TraceSpec> {
    let forwarding = args.forwarding.into();
    let mut files: Vec<PathBuf> = args.kube_proxy.iter().cloned().collect();
    let names = kube_proxy::name(&mut files, from_ref(&args.proxy)).context("--kube-proxy")?;
    let [name] = names.as_slice() else {
        bail!("--kube-proxy: name its mode, as in --proxy kube-proxy-nftables");
    };
    let proxy = proxies::find(name)?;
    let place = if args.kernel == HOST { Place::Host } else { Place::Guest };
    anyhow::ensure!(
        proxy.forwarding.contains(&forwarding),
        "--forwarding {}: proxy {} translates addresses; only ipvs forwards otherwise",
        Forwarding::as_str(forwarding),
        name
    );
    Ok(TraceSpec {
        proxy: name.clone(),
        kube_proxy: KubeProxyFile::of(proxy, place),
        forwarding,
        topology: args.topology,
        source: args.source,
        frontend: args.frontend,
        family: match args.family {
            OneFamily::Ipv4 => Family::V4,
            OneFamily::Ipv6 => Family::V6,
        },
        protocol: match args.protocol {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        },
    })
}

fn in_guest(
    kernel: &KernelSpec,
    spec: &TraceSpec,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Record> {
    let work = WorkDir::new()?;
    let options = GuestOptions::emulated(&Limits::default());
    let mut place = GuestPlace::open(kernel, &options, progress)?;
    place.prepare(work.path(), progress)?;
    progress(&format!("tracing in {}", place.release()));
    let payload = format!("{QUESTION}{}", serde_json::to_string(spec)?);
    let report = place.ask(Task::Call { payload }, 1, work.path(), LIMIT, &mut |_| {})?;
    answer_of(report).with_context(|| format!("in the guest ({})", place.release()))
}

/// The files of a trace, in a folder that is made when it is not there.
fn write(record: &Record, text: &str, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let json = serde_json::to_string_pretty(record).context("encoding JSON")? + "\n";
    let files: [(&str, Vec<u8>); 4] = [
        ("trace.txt", text.as_bytes().to_vec()),
        ("trace.svg", trace::picture(record)?.into_bytes()),
        ("trace.pcapng", trace::pcapng(record)?),
        ("trace.json", json.into_bytes()),
    ];
    let mut written = Vec::new();
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        written.push(path);
    }
    Ok(written)
}
