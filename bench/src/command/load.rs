//! `vipbench load`: dials an address as often as asked, shows how it goes, and says what came of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use itertools::Itertools as _;
use lab::IpNet;
use linux::netns::{self, Namespace};
use linux::open_files;
use results::Clock;
use results::load::{Load, document};

use super::page;
use crate::cli::{ClientChoice, EndingChoice, LoadArgs, QuestionChoice, RateArg, TargetArg};
use crate::console;
use crate::load::open::{
    self, Client, DatagramServer, Dialled, Ending, Origin, Outcome, Pace, Plan, Question, Slice,
};
use crate::load::{BareServer, HttpServer, MeasureClock, Priority, listen};
use crate::run::Interrupt;
use crate::run::progress::during;
use record::{load_of, so_far};

mod record;

/// Connections open at a time where nobody says otherwise: as many as a server of ours takes.
const OPEN_MAX: u32 = 1_000;
/// The same where as many as come through are wanted.
const OPEN_SATURATED: u32 = 64;
/// Descriptors beside those of connections.
const FILES_BESIDE: u64 = 128;
/// How often the live view is drawn anew.
const REDRAW: Duration = Duration::from_millis(250);

pub(super) fn run(args: &LoadArgs) -> anyhow::Result<ExitCode> {
    let (load, log) = match &args.netns {
        Some(name) => {
            let namespace = Namespace::open(&path_of(name))
                .with_context(|| format!("--netns {}", name.display()))?;
            namespace.enter(|| in_namespace(args))??
        }
        None => in_namespace(args)?,
    };
    if let Some(dir) = &args.page.output {
        write_log(dir, &log)?;
    }
    page::show(&document(&load), &load, "load", &args.page)?;
    Ok(ExitCode::from(match () {
        () if load.counts.completed == 0 => 1,
        () if !load.is_valid() => 4,
        () if !load.counts.errors.is_empty() => 2,
        () => 0,
    }))
}

/// Lateness by intervals, beside the page.
fn write_log(dir: &Path, log: &[u8]) -> anyhow::Result<()> {
    let path = dir.join("lateness.hlog");
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, log));
    written.with_context(|| path.display().to_string())
}

/// Where a named namespace is (ip-netns(8)).
fn path_of(name: &Path) -> PathBuf {
    if name.components().count() > 1 { name.to_owned() } else { Path::new("/run/netns").join(name) }
}

/// Everything that happens in the namespace of the load.
fn in_namespace(args: &LoadArgs) -> anyhow::Result<(Load, Vec<u8>)> {
    must_be_safe(&args.targets)?;
    let question = question(args)?;
    let plan = plan(args, question)?;
    let files = u64::from(plan.open_max) * if args.serve { 2 } else { 1 };
    open_files::make_room(files + FILES_BESIDE)?;
    let _server = args.serve.then(|| serve(args, &plan.question)).transpose()?;
    let client = match args.client {
        ClientChoice::Sockets => Client::Sockets,
        ClientChoice::Hyper => Client::Hyper,
    };
    let clock = MeasureClock::open(Clock::Wall)?;
    let outcome = watched(plan.clone(), client, clock)?;
    let load = load_of(&plan, client, clock, &outcome, args.late)?;
    Ok((load, outcome.lateness_log))
}

/// Traffic leaves neither this machine nor a namespace of its own.
fn must_be_safe(targets: &[TargetArg]) -> anyhow::Result<()> {
    let Some(outside) = targets.iter().find(|target| !target.address.ip().is_loopback()) else {
        return Ok(());
    };
    ensure!(
        !netns::is_machines_own()?,
        "{} is not loopback, and this is the machine's own network namespace: load stays inside \
         namespaces; name one by --netns",
        outside.address
    );
    Ok(())
}

fn question(args: &LoadArgs) -> anyhow::Result<Question> {
    let url = args.targets.iter().find(|target| target.path.is_some());
    let choice = args.question.unwrap_or(match url {
        None if args.serve => QuestionChoice::Who,
        _ => QuestionChoice::Http,
    });
    if let Some(url) = url {
        ensure!(
            choice == QuestionChoice::Http,
            "--question: http://{} asks by HTTP; write {} for another question",
            url.host,
            url.address
        );
        ensure!(
            args.targets.iter().all(|target| target.path == url.path),
            "targets: all URLs of a load have the same path"
        );
    }
    Ok(match choice {
        QuestionChoice::Connect => Question::Nothing,
        QuestionChoice::Who => Question::Who,
        QuestionChoice::Udp => Question::WhoByDatagram,
        QuestionChoice::Http => {
            let Some(first) = args.targets.first() else { bail!("name a target") };
            let path = url.and_then(|url| url.path.clone()).unwrap_or_else(|| "/".into());
            Question::Http { path, host: first.host.clone() }
        }
    })
}

fn plan(args: &LoadArgs, question: Question) -> anyhow::Result<Plan> {
    let targets: Vec<Dialled> = args
        .targets
        .iter()
        .map(|target| Dialled { address: target.address, allowed: Vec::new() })
        .collect();
    ensure!(
        targets.iter().map(|target| target.address.is_ipv4()).all_equal(),
        "targets: all addresses of a load are of one family"
    );
    let (pace, open_max) = match args.rate {
        RateArg::PerSecond(per_s) => {
            let arrivals = args.arrivals.into();
            (Pace::Rate { per_s, arrivals }, args.open.unwrap_or(OPEN_MAX))
        }
        RateArg::Max => {
            let open = args.open.unwrap_or(OPEN_SATURATED);
            (Pace::Saturated { open }, open)
        }
    };
    let from = if args.kernel_ports {
        Origin::Kernel
    } else {
        let addresses = match args.source {
            Some(prefix) => prefix,
            None => IpNet::from(source_for(targets.first().map(|target| target.address))?),
        };
        Origin::Chosen { addresses, ports: args.ports.0..=args.ports.1 }
    };
    Ok(Plan {
        targets,
        question,
        requests: args.requests,
        pace,
        duration: args.duration,
        timeout: args.timeout,
        ending: match args.ending {
            EndingChoice::Reset => Ending::Reset,
            EndingChoice::Finish => Ending::Finish,
        },
        from,
        open_max,
        workers: args.workers,
        cores: args.cores.clone(),
        spins: !args.sleep,
        journal_max: 0,
        seed: args.seed,
    })
}

/// The address that the kernel dials a target from. Nothing is sent.
fn source_for(target: Option<SocketAddr>) -> anyhow::Result<IpAddr> {
    let Some(target) = target else { bail!("name a target") };
    let any = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let chosen = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(target)?;
        socket.local_addr()
    });
    let chosen = chosen.with_context(|| format!("finding a way to {target}"))?;
    Ok(chosen.ip())
}

/// A server for the question, until it drops.
fn serve(args: &LoadArgs, question: &Question) -> anyhow::Result<Box<dyn Send>> {
    let addresses: Vec<SocketAddr> = args.targets.iter().map(|target| target.address).collect();
    Ok(match question {
        Question::WhoByDatagram => Box::new(DatagramServer::start(&addresses, Priority::Normal)?),
        Question::Http { .. } => {
            Box::new(HttpServer::start(listen(&addresses)?, Priority::Normal)?)
        }
        Question::Who | Question::Nothing => {
            Box::new(BareServer::start(listen(&addresses)?, Priority::Normal)?)
        }
    })
}

/// Runs it, and shows how it goes. Ctrl-C ends it early, with what there is.
fn watched(plan: Plan, client: Client, clock: MeasureClock) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::catch()?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = plan.pace;
    let mut sum = Slice::new()?;
    let mut drawn: Option<Instant> = None;
    let outcome = during(|progress| {
        open::run(plan, client, clock, &stop, &mut |from_ns, slice| {
            sum.add(slice);
            if interrupt.is_asked() {
                stop.store(true, Ordering::Relaxed);
            }
            if drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
                drawn = Some(Instant::now());
                progress(&so_far(&sum, asked, from_ns));
            }
        })
    })?;
    if interrupt.is_asked() {
        console::warn("ended early by a signal; what follows is what there is");
    }
    Ok(outcome)
}
