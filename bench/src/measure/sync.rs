//! Rule-sync time: full syncs into an empty namespace and each kind of Change, in parts, with what
//! was handed over and what it cost.
//!
//! Parts: `prepare` (fixed state, reading what there is), `render` (user space makes text or
//! messages), `submit` (until the kernel has taken it), `effective` (from then until a new
//! connection is answered by the right Endpoint), `aftermath` (what the kernel still does for it
//! until the node is quiet; not by wall clock, which cannot tell work from waiting). A sync of
//! somebody else's program has no stages, but `start` (of its process, until it asks for what to
//! program), `list` (until it has it), `sync` (until it says that it is done), and the last two.

use std::borrow::Cow;
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, bail};
use generators::{Change, ChangeKind, Cluster, Families, Family, Position, Step};
use lab::guest::mark;
use linux::CpuTime;
use proxies::{Account, Backend, Size, Staged, SyncRequest};
use results::metrics::{self, MetricKind};
use results::{Clock, Metric};

use super::account::{self, Beginning};
use super::kind::{Kind, Measured};
use super::lab::{BenchLab, CLIENT_TIMEOUT, Dialled, audit};
use super::memory_kernel::KernelMemory;
use super::path::PathSpec;
use super::spec::CellSpec;
use crate::load::{BareClient, LoadClient, Sample, Watch, region};

/// The measure `sync`.
pub(super) const SYNC: Kind = Kind {
    applies: |proxy| !proxy.is_control(),
    takes_paths: true,
    cost: |cell| 2 * cell.sync() + u64::from(cell.spec().load.changes) * cell.changes(),
    emits: &[
        metrics::SYNC_FULL,
        metrics::SYNC_ENDPOINT_CHANGE,
        metrics::SYNC_SERVICE_ADD,
        metrics::SYNC_SERVICE_REMOVE,
        metrics::MEMORY_KERNEL,
        metrics::RULES,
        metrics::MESSAGES,
        metrics::BYTES,
        metrics::CPU,
    ],
    emits_of_programs: &account::EMITS,
    run: |lab, spec| with_client(lab, |syncs| syncs.full_and_changes(spec)),
};

/// Attempts until a Change must have become effective; a lost SYN takes one second each.
const PROBES_MAX: usize = 20;

/// Nothing is repeated when what was done before has taken so long: nanoseconds or instructions.
pub(super) const REPEATED_MAX: u64 = 2_000_000_000;

/// What each part of one sync took.
#[derive(Debug, Clone, Copy)]
struct Parts {
    /// The parts of a sync that has stages.
    stages: Option<Stages>,
    /// How the first sync of somebody else's process began.
    beginning: Option<Beginning>,
    /// All of them together, or a sync without stages.
    synced: u64,
    /// Missing where no new connection can show it: a removed Service.
    effective: Option<u64>,
    /// Missing by wall clock.
    aftermath: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Stages {
    prepare: u64,
    render: u64,
    submit: u64,
}

/// One kind of sync, measured once or several times.
#[derive(Debug, Default)]
struct Series {
    parts: Vec<Parts>,
    sizes: Vec<Size>,
    spent: Vec<CpuTime>,
    accounts: Vec<Account>,
}

/// Runs `work` with servers up and a client that can be told to dial.
pub(super) fn with_client<'a>(
    lab: &'a BenchLab,
    work: impl FnOnce(&mut Syncs<'a>) -> anyhow::Result<Vec<Metric>>,
) -> anyhow::Result<Measured> {
    let _servers = lab.bare_servers()?;
    std::thread::scope(|scope| {
        let (dialler, requests) = mpsc::channel::<Dialled>();
        let (answers, answered) = mpsc::channel::<anyhow::Result<u64>>();
        let host = lab.client()?;
        let client = scope.spawn(move || host.enter(move || probe(lab, &requests, &answers)));
        let mut syncs =
            Syncs { lab, dialler, answered, watch: Watch::open(lab.clock), verified: 0 };
        let measured = work(&mut syncs);
        let verified = syncs.verified;
        // The client ends when nobody can ask it any more.
        drop(syncs);
        match client.join() {
            Ok(ended) => ended??,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(Measured { verified, metrics: measured? })
    })
}

/// The client's side: dials until the right Endpoint answers, then tells the reading of the clock.
fn probe(
    lab: &BenchLab,
    requests: &mpsc::Receiver<Dialled>,
    answers: &mpsc::Sender<anyhow::Result<u64>>,
) -> anyhow::Result<()> {
    let clock = lab.clock;
    let mut client = BareClient::new(clock, CLIENT_TIMEOUT);
    let mut sources = lab.sources()?;
    for dialled in requests {
        let mut reached = client.connection(&mut sources, &dialled.target());
        let mut now = clock.now();
        for _ in 1..PROBES_MAX {
            if reached.is_ok() {
                break;
            }
            reached = client.connection(&mut sources, &dialled.target());
            now = clock.now();
        }
        if answers.send(reached.map(|_| now).map_err(anyhow::Error::from)).is_err() {
            break;
        }
    }
    Ok(())
}

/// The node's side.
pub(super) struct Syncs<'a> {
    lab: &'a BenchLab,
    dialler: mpsc::Sender<Dialled>,
    answered: mpsc::Receiver<anyhow::Result<u64>>,
    watch: Option<Watch>,
    verified: u64,
}

impl Syncs<'_> {
    fn full_and_changes(&mut self, spec: &CellSpec) -> anyhow::Result<Vec<Metric>> {
        let mut cluster = self.lab.cluster.clone();
        let mut metrics = Vec::new();
        let mut proxy = self.full_syncs(spec.load.full_syncs, &mut metrics)?;
        for kind in ChangeKind::ALL {
            // What earlier syncs, of another kind here, left to the next is no cost of a Change.
            proxy.settle(&cluster)?;
            self.wait_until_quiet()?;
            let series = self.changes(proxy.as_mut(), &mut cluster, kind, spec)?;
            self.report(&series, metric_of(kind), &mut metrics);
        }
        audit(proxy.as_mut(), &cluster)?;
        proxy.stop()?;
        Ok(metrics)
    }

    /// `count` syncs of the whole Cluster, each into an empty namespace, fewer where they take
    /// long; what the last has programmed is there afterwards.
    fn full_syncs(
        &mut self,
        count: u32,
        metrics: &mut Vec<Metric>,
    ) -> anyhow::Result<Box<dyn Backend>> {
        let (mut series, mut grown) = (Series::default(), None);
        let memory = || Some(KernelMemory::read()?.total());
        let before = memory();
        let proxy = loop {
            let mut proxy = self.lab.open()?;
            // Of what the last sync left, and of probing, nothing belongs to this one.
            self.wait_until_quiet()?;
            self.full(proxy.as_mut(), &self.lab.cluster, &mut series)?;
            Sample::Full.keep();
            // Of the first alone: the kernel keeps some of what the others then take.
            grown = grown.or_else(|| Some(memory()?.saturating_sub(before?)));
            let taken: u64 = series.parts.iter().map(Parts::total).sum();
            if series.parts.len() >= count as usize || taken > REPEATED_MAX {
                break proxy;
            }
            proxy.stop()?;
        };
        self.report(&series, metrics::SYNC_FULL, metrics);
        if let Some(grown) = grown {
            let (label, clock) = (metrics::SYNC_FULL.name, self.lab.clock.kind());
            metrics.push(metrics::MEMORY_KERNEL.of(label, clock, vec![grown]));
        }
        Ok(proxy)
    }

    /// As after a restart of the proxy's process: it remembers nothing, and everything is in the
    /// kernel.
    pub(super) fn restart(&mut self) -> anyhow::Result<Vec<Metric>> {
        let (mut metrics, mut series) = (Vec::new(), Series::default());
        let mut proxy = self.lab.open()?;
        self.wait_until_quiet()?;
        self.full(proxy.as_mut(), &self.lab.cluster, &mut series)?;
        Sample::Restart.keep();
        self.report(&series, metrics::SYNC_RESTART, &mut metrics);
        audit(proxy.as_mut(), &self.lab.cluster)?;
        Ok(metrics)
    }

    /// By wall clock nobody can tell.
    fn wait_until_quiet(&self) -> anyhow::Result<()> {
        self.watch.map(Watch::until_quiet).transpose()?;
        Ok(())
    }

    fn report(&self, series: &Series, sync: MetricKind, metrics: &mut Vec<Metric>) {
        series.report(sync, self.lab.clock.kind(), metrics);
    }

    fn full(
        &mut self,
        proxy: &mut dyn Backend,
        cluster: &Cluster,
        series: &mut Series,
    ) -> anyhow::Result<()> {
        let dialled = self.lab.dialled(Position::Last, 0)?;
        self.sync(proxy, &SyncRequest::Full(cluster), Some(dialled), series)
    }

    /// Changes of one kind, so many of them in each sync.
    fn changes(
        &mut self,
        proxy: &mut dyn Backend,
        cluster: &mut Cluster,
        kind: ChangeKind,
        spec: &CellSpec,
    ) -> anyhow::Result<Series> {
        let mut shape = self.lab.shape.clone();
        shape.protocols = generators::Protocols { tcp: 1, udp: 0, sctp: 0 };
        shape.families = match self.lab.path.family {
            Family::V4 => Families::Ipv4,
            Family::V6 => Families::Ipv6,
        };
        let count =
            spec.load.changes.min(u32::try_from(cluster.services().len() - 1).unwrap_or(u32::MAX));
        let part = match kind {
            ChangeKind::EndpointChange => dialable_part(cluster, self.lab.path)?,
            ChangeKind::ServiceAdd | ChangeKind::ServiceRemove => Cow::Borrowed(&*cluster),
        };
        let changes =
            generators::changes(&part, &shape, spec.labels.seed, kind, Position::Random, count)?;
        drop(part);
        let mut series = Series::default();
        for batch in changes.chunks(spec.load.changes_per_sync.max(1) as usize) {
            let step = cluster.step(batch.to_vec())?;
            let dialled = self.answer_to(&step)?;
            self.sync(proxy, &SyncRequest::Incremental(&step), dialled, &mut series)?;
            Sample::Change(kind).keep();
            *cluster = step.into_after();
        }
        Ok(series)
    }

    /// Whom to dial after a Step, if a new connection can show that its last Change is in effect.
    fn answer_to(&self, step: &Step<'_>) -> anyhow::Result<Option<Dialled>> {
        let last = step.changes().last().context("a Step without Changes")?;
        if matches!(last, Change::ServiceRemoved(_)) {
            return Ok(None);
        }
        let service = step.after().get(&last.service_id());
        let service = service.context("the changed Service is gone")?;
        if !self.lab.path.reaches(service) {
            return Ok(None);
        }
        Ok(Some(expected_answer(service, step.changes(), self.lab)?))
    }

    fn sync(
        &mut self,
        proxy: &mut dyn Backend,
        request: &SyncRequest<'_>,
        dialled: Option<Dialled>,
        series: &mut Series,
    ) -> anyhow::Result<()> {
        proxy.ready(request)?;
        let begun = Instant::now();
        let (mut parts, ended) = match proxy.staged() {
            Some(staged) => self.by_stages(staged, request, series)?,
            None => self.as_a_whole(proxy, request)?,
        };
        if let Some(dialled) = dialled {
            mark::enter::<{ region::EFFECTIVE }>();
            if self.dialler.send(dialled).is_err() {
                bail!("the client ended early");
            }
            let answered = self.answered.recv().context("the client ended early")?;
            mark::enter::<{ mark::OUTSIDE }>();
            parts.effective = Some(answered.context("after a sync")?.saturating_sub(ended));
            self.verified += 1;
        }
        parts.aftermath = self.watch.map(Watch::until_quiet).transpose()?;
        if let Some(account) = proxy.account()? {
            parts.beginning = Beginning::of(&account, begun);
            series.accounts.push(account);
        }
        series.parts.push(parts);
        Ok(())
    }

    /// Each stage timed apart. The second value is the reading of the clock at the end.
    fn by_stages(
        &self,
        staged: &mut dyn Staged,
        request: &SyncRequest<'_>,
        series: &mut Series,
    ) -> anyhow::Result<(Parts, u64)> {
        let clock = self.lab.clock;
        mark::begin();
        mark::enter::<{ region::PREPARE }>();
        let started = clock.now();
        staged.prepare(request)?;
        let prepared = clock.now();
        mark::enter::<{ region::RENDER }>();
        let program = staged.render(request)?;
        let rendered = clock.now();
        mark::enter::<{ region::SUBMIT }>();
        let spent = staged.submit(&program)?;
        let submitted = clock.now();
        mark::enter::<{ mark::OUTSIDE }>();
        series.sizes.push(program.size);
        series.spent.push(spent);
        let parts = Stages {
            prepare: prepared - started,
            render: rendered - prepared,
            submit: submitted - rendered,
        };
        let synced = submitted - started;
        Ok((Parts { stages: Some(parts), ..Parts::of(synced) }, submitted))
    }

    /// A sync that cannot be taken apart: to `explain`, all of it is `submit`.
    fn as_a_whole(
        &self,
        proxy: &mut dyn Backend,
        request: &SyncRequest<'_>,
    ) -> anyhow::Result<(Parts, u64)> {
        let clock = self.lab.clock;
        mark::begin();
        mark::enter::<{ region::SUBMIT }>();
        let started = clock.now();
        match request {
            SyncRequest::Full(cluster) => proxy.start(cluster)?,
            SyncRequest::Incremental(step) => proxy.apply(step)?,
        }
        let ended = clock.now();
        mark::enter::<{ mark::OUTSIDE }>();
        Ok((Parts::of(ended - started), ended))
    }
}

/// The metric of a sync that carries one Change.
pub(crate) fn metric_of(kind: ChangeKind) -> MetricKind {
    match kind {
        ChangeKind::EndpointChange => metrics::SYNC_ENDPOINT_CHANGE,
        ChangeKind::ServiceAdd => metrics::SYNC_SERVICE_ADD,
        ChangeKind::ServiceRemove => metrics::SYNC_SERVICE_REMOVE,
    }
}

/// The Services that a client can dial: whether a replaced Endpoint is in effect shows in no
/// others.
fn dialable_part(cluster: &Cluster, path: PathSpec) -> anyhow::Result<Cow<'_, Cluster>> {
    let services = cluster.services();
    if services.iter().all(|service| path.reaches(service)) {
        return Ok(Cow::Borrowed(cluster));
    }
    let dialable = services.iter().filter(|service| path.reaches(service)).cloned().collect();
    Ok(Cow::Owned(Cluster::new(dialable)?))
}

/// After a replaced Endpoint any Endpoint of the Service may answer, so only the old ones must not.
fn expected_answer(
    service: &generators::Service,
    changes: &[Change],
    lab: &BenchLab,
) -> anyhow::Result<Dialled> {
    let mut dialled = lab.dialled_at(service)?;
    for change in changes.iter().filter(|change| change.service_id() == service.id()) {
        if let Change::EndpointReplaced { old, .. } = change {
            dialled.allowed.retain(|endpoint| *endpoint != old.socket());
        }
    }
    Ok(dialled)
}

impl Parts {
    fn of(synced: u64) -> Self {
        Self { stages: None, beginning: None, synced, effective: None, aftermath: None }
    }

    /// Of a sync without stages, all that is no beginning.
    fn rest(&self) -> Option<u64> {
        let begun = self.beginning.map_or(0, |Beginning { start, list }| start + list);
        self.stages.is_none().then(|| self.synced.saturating_sub(begun))
    }

    fn total(&self) -> u64 {
        self.synced + self.effective.unwrap_or(0) + self.aftermath.unwrap_or(0)
    }
}

impl Series {
    fn report(&self, sync: MetricKind, clock: Clock, metrics: &mut Vec<Metric>) {
        if self.parts.is_empty() {
            return;
        }
        let mut part = |label: &str, value: fn(&Parts) -> Option<u64>| {
            let values: Vec<u64> = self.parts.iter().filter_map(value).collect();
            if !values.is_empty() {
                metrics.push(sync.of(label, clock, values));
            }
        };
        part(metrics::TOTAL, |p| Some(p.total()));
        part("start", |p| Some(p.beginning?.start));
        part("list", |p| Some(p.beginning?.list));
        part("sync", Parts::rest);
        part("prepare", |p| Some(p.stages?.prepare));
        part("render", |p| Some(p.stages?.render));
        part("submit", |p| Some(p.stages?.submit));
        part("effective", |p| p.effective);
        part("aftermath", |p| p.aftermath);
        account::report(&self.accounts, sync, clock, metrics);
        if self.sizes.is_empty() {
            return;
        }
        let mut size = |kind: MetricKind, value: fn(&Size) -> u64| {
            metrics.push(kind.of(sync.name, clock, self.sizes.iter().map(value).collect()));
        };
        size(metrics::RULES, |size| size.rules);
        size(metrics::MESSAGES, |size| size.messages);
        size(metrics::BYTES, |size| size.bytes);
        // The kernel accounts in its own nanoseconds, which on the instructions clock are
        // instructions.
        let spent = self.spent.iter().map(|cpu| cpu.ns).collect();
        metrics.push(metrics::CPU.of(sync.name, clock, spent));
    }
}
