//! `vipbench check`: each proxy checked apart, on the host or in a guest of its own, and a matrix
//! of them all.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, bail};
use lab::guest::{Limit, Task};
use lab::image::Cache;
use results::Place;
use results::check::{CHECK_SCHEMA, Check, CheckedProxy, Verdict, document, write_junit};

use super::page::show;
use crate::check::{Job, Part, not_covered, subjects};
use crate::cli::{CheckArgs, FamilyChoice};
use crate::console;
use crate::kube_proxy::{self, KubeProxyFile};
use crate::place::{
    GuestOptions, GuestPlace, HostPlace, WorkDir, answer_of, require_emulator, select_kernels,
};
use crate::run::progress::Progress;
use crate::scenario::Limits;

/// The kernel of this machine.
const HOST: &str = "host";
/// What one proxy may take; they take some 20 s.
const LIMIT: Duration = Duration::from_mins(5);
/// What the emulator may take for one proxy.
const GUEST_LIMIT: Limit = Limit::Processor(Duration::from_mins(10));

/// What guests need for Services of SCTP: sockets, and the match of iptables. Cells have neither,
/// so that the digits of theirs stay.
const SCTP_MODULES: [&str; 2] = ["sctp", "xt_sctp"];

/// Where proxies are checked.
enum Where {
    Host(HostPlace),
    Guest(Box<GuestPlace>),
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let jobs = jobs(args)?;
    let progress = Progress::start();
    let check = checked(args, jobs, &progress);
    progress.clear();
    let check = check?;
    if let Some(dir) = &args.page.output {
        write_junit(&check, dir)?;
    }
    show(&document(&check), &check, "check", &args.page)?;
    if check.probes().next().is_none() {
        console::error("nothing was checked: see what was skipped, and why");
    } else if check.count(Verdict::Unexpected) > 0 {
        console::error("not all is as expected");
    }
    Ok(ExitCode::from(check.exit_code()))
}

/// One a proxy, and one for what VIPs cost.
fn jobs(args: &CheckArgs) -> anyhow::Result<VecDeque<Job>> {
    let all = || {
        let programming = proxies::backends().filter(|backend| !backend.is_control());
        programming.map(|backend| backend.name.to_owned()).collect()
    };
    let names: Vec<String> = if args.proxies.is_empty() { all() } else { args.proxies.clone() };
    let names = kube_proxy::name(&mut args.kube_proxies.clone(), &names).context("--kube-proxy")?;
    let place = if args.kernel == HOST { Place::Host } else { Place::Guest };
    let topology = args.topology.parse().context("--topology")?;
    let (ipv4, ipv6) = (args.family != FamilyChoice::Ipv6, args.family != FamilyChoice::Ipv4);
    let mut jobs = VecDeque::new();
    for proxy in names {
        let descriptor = proxies::find(&proxy).context("--proxy")?;
        let kube_proxy = KubeProxyFile::of(descriptor, place);
        let job = Job { proxy, part: Part::Behaviours, kube_proxy, topology, ipv4, ipv6 };
        if ipv4 && descriptor.has_forwardings() {
            // First, since it takes longest.
            jobs.push_front(Job { part: Part::Costs, ..job.clone() });
        }
        jobs.push_back(job);
    }
    Ok(jobs)
}

fn checked(args: &CheckArgs, jobs: VecDeque<Job>, progress: &Progress) -> anyhow::Result<Check> {
    let work = WorkDir::new()?;
    let place = open(&args.kernel, &work, &|what| progress.preparing(what))?;
    let order = jobs.iter().filter(|job| job.part == Part::Behaviours);
    let order: Vec<String> = order.map(|job| job.proxy.clone()).collect();
    progress.expect(jobs.iter().map(|job| (job.to_string(), 1)), "checks");
    let mut proxies =
        all_checked(jobs, |job| progress.counting(&job.to_string(), || place.check(job, &work)));
    proxies.sort_by_key(|proxy| order.iter().position(|name| *name == proxy.name));
    proxies.dedup_by(|part, proxy| {
        let is_same = part.name == proxy.name;
        if is_same {
            proxy.take(part.clone());
        }
        is_same
    });
    Ok(Check {
        schema: CHECK_SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: place.release().to_owned(),
        place: match place {
            Where::Host(_) => Place::Host,
            Where::Guest(_) => Place::Guest,
        },
        topology: args.topology.clone(),
        subjects: subjects(),
        proxies,
        not_covered: not_covered(),
    })
}

fn open(kernel: &str, work: &WorkDir, progress: &dyn Fn(&str)) -> anyhow::Result<Where> {
    if kernel == HOST {
        let host = HostPlace::open();
        return host.map(Where::Host).context("--kernel 6.1 checks in a guest, without root");
    }
    require_emulator()?;
    let kernels = select_kernels(&[kernel.to_owned()], &Cache::open()?, progress)?;
    let [kernel] = kernels.as_slice() else {
        bail!("--kernel {kernel} names {} kernels; name one", kernels.len());
    };
    let modules = SCTP_MODULES.map(str::to_owned).to_vec();
    let options = GuestOptions { modules, ..GuestOptions::emulated(&Limits::default()) };
    let mut guest = GuestPlace::open(kernel, &options, progress)?;
    guest.prepare(work.path(), progress)?;
    Ok(Where::Guest(Box::new(guest)))
}

/// One job a core at a time.
fn all_checked(
    jobs: VecDeque<Job>,
    check: impl Fn(&Job) -> CheckedProxy + Sync,
) -> Vec<CheckedProxy> {
    let cores = available_parallelism().map_or(1, usize::from);
    let (jobs, checked) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|threads| {
        for _ in 0..cores {
            threads.spawn(|| {
                while let Some(job) = next() {
                    let one = check(&job);
                    checked.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                }
            });
        }
    });
    checked.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Where {
    fn release(&self) -> &str {
        match self {
            Self::Host(host) => host.release(),
            Self::Guest(guest) => guest.release(),
        }
    }

    /// Checks one proxy; whatever goes wrong is in the answer.
    fn check(&self, job: &Job, work: &WorkDir) -> CheckedProxy {
        self.ask(job, work).unwrap_or_else(|error| CheckedProxy {
            name: job.proxy.clone(),
            probes: Vec::new(),
            trials: Vec::new(),
            programmed: None,
            skipped: Vec::new(),
            failed: Some(crate::in_words(&error)),
        })
    }

    fn ask(&self, job: &Job, work: &WorkDir) -> anyhow::Result<CheckedProxy> {
        let payload = job.payload()?;
        match self {
            Self::Host(host) => {
                let dir = tempfile::tempdir_in(work.path())?;
                host.ask(&payload, dir.path(), LIMIT)
            }
            Self::Guest(guest) => {
                let task = Task::Call { payload };
                answer_of(guest.ask(task, 1, work.path(), GUEST_LIMIT, &mut |_| {})?)
            }
        }
    }
}
