//! A guest kernel as a place: resolved and unpacked once, booted once to a snapshot, restored for
//! every cell.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use lab::guest::{
    Accelerator, Bounds, GuestError, GuestReport, Job, Limit, Machine, Profile, Profiler, Snapshot,
    Symbols, Task,
};
use lab::image::{Cache, Held, InitramfsSpec, Kernel, KernelSpec, Kernels};
use results::{GuestRecord, Outcome};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::tools::{guest_modules, guest_tools};
use crate::kube_proxy;
use crate::measure::spec::{CellAnswer, CellSpec};
use crate::scenario::Limits;

/// One guest kernel, ready to run cells.
pub struct GuestPlace {
    kernel: Kernel,
    machine: Machine,
    /// Content of the initramfs: the tools with their libraries, and this program.
    initramfs_sha256: String,
    cache: Cache,
    /// What this place uses of the cache, so that nobody removes it.
    held: Vec<Held>,
    snapshot: Option<Snapshot>,
    boot_limit: Limit,
    /// Why this kernel does not boot, once that was tried: no cell of it can be measured.
    dead: Option<String>,
    /// From the start of the emulator to the saved guest; nothing when it was saved already.
    boot: Option<Duration>,
    /// How long each cell's restore took.
    restores: Mutex<Vec<Duration>>,
}

/// What is asked of a guest place.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// How instructions are executed.
    pub accelerator: Accelerator,
    /// Memory, MiB.
    pub memory_mib: u32,
    /// More words for the kernel's command line.
    pub kernel_cmdline: String,
    /// What the boot to the snapshot point may take.
    pub boot_limit: Limit,
    /// Kernel modules that the guest loads besides those of backends.
    pub modules: Vec<String>,
    /// Files of this machine that the guest needs besides the tools: path here, path there.
    pub files: Vec<(PathBuf, PathBuf)>,
}

impl GuestOptions {
    /// An emulated guest within these limits that needs nothing but the kube-proxies that are
    /// known.
    pub fn emulated(limits: &Limits) -> Self {
        Self {
            accelerator: Accelerator::Tcg,
            memory_mib: limits.guest_memory_mib,
            kernel_cmdline: String::new(),
            boot_limit: Limit::Processor(Duration::from_secs(limits.boot_s)),
            modules: Vec::new(),
            files: kube_proxy::files_of_guests(),
        }
    }
}

impl GuestPlace {
    /// Finds (downloads, if need be) the kernel and builds its initramfs; boots nothing yet.
    ///
    /// # Errors
    /// An unknown or unreachable kernel, an unreadable image, a missing tool.
    pub fn open(
        spec: &KernelSpec,
        options: &GuestOptions,
        progress: &dyn Fn(&str),
    ) -> anyhow::Result<Self> {
        let cache = Cache::open()?;
        let kernel = Kernels { cache: &cache, progress }.resolve(spec)?;
        let kernel_held = cache.hold(kernel.folder())?;
        progress(&format!("building the initramfs for {}", kernel.release));
        let init = std::env::current_exe().context("finding this program's own file")?;
        let files = options.files.clone();
        let (tools, mut modules) = (guest_tools(), guest_modules());
        modules.extend(options.modules.iter().cloned());
        let initramfs = InitramfsSpec { init, tools, files, modules };
        let initramfs = lab::image::build_initramfs(&kernel, &initramfs, &cache)?;
        let held = vec![kernel_held, cache.hold(&initramfs)?];
        cache.trim()?;
        // The cache names an image by its content.
        let initramfs_sha256 = initramfs.file_stem().unwrap_or_default().to_string_lossy().into();
        let machine = Machine {
            accelerator: options.accelerator,
            kernel: kernel.vmlinux.clone(),
            initramfs,
            memory_mib: options.memory_mib,
            kernel_arguments: Some(options.kernel_cmdline.clone())
                .filter(|words| !words.trim().is_empty())
                .into_iter()
                .collect(),
        };
        Ok(Self {
            kernel,
            machine,
            initramfs_sha256,
            cache,
            held,
            snapshot: None,
            boot_limit: options.boot_limit,
            dead: None,
            boot: None,
            restores: Mutex::default(),
        })
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        &self.kernel.release
    }

    /// Whether it is the same kernel with the same modules as `other`.
    pub fn is_same_kernel(&self, other: &Self) -> bool {
        self.kernel == other.kernel
    }

    /// Where its kernel came from.
    pub fn source(&self) -> &str {
        &self.kernel.source
    }

    /// What it took so far.
    pub fn record(&self) -> GuestRecord {
        let mut restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner).clone();
        restores.sort();
        let snapshot = self.snapshot.as_ref().and_then(|saved| fs::metadata(&saved.path).ok());
        let seconds = |duration: Duration| duration.as_secs_f64();
        GuestRecord {
            release: self.kernel.release.clone(),
            boot_s: self.boot.map(seconds),
            snapshot_bytes: snapshot.map(|file| file.len()),
            restore_s: restores.get(restores.len() / 2).copied().map(seconds),
        }
    }

    /// What a comparison with another run must match.
    pub fn facts(&self) -> BTreeMap<String, String> {
        let release = self.release();
        BTreeMap::from([
            ("guest.cpu_model".into(), self.machine.cpu_model().into()),
            ("guest.memory_mib".into(), self.machine.memory_mib.to_string()),
            (format!("guest.{release}.command_line"), self.machine.command_line()),
            (format!("guest.{release}.source"), self.kernel.source.clone()),
            (format!("guest.{release}.kernel_sha256"), self.kernel.manifest.vmlinuz_sha256.clone()),
            (format!("guest.{release}.initramfs_sha256"), self.initramfs_sha256.clone()),
        ])
    }

    /// Boots to the snapshot point, unless the cache holds exactly this guest already. A kernel
    /// that dies or hangs on the way is no error here: it makes every cell of this place invalid.
    ///
    /// # Errors
    /// QEMU that does not start, a full disk, an image that is another kernel's.
    pub fn prepare(&mut self, work: &Path, progress: &dyn Fn(&str)) -> anyhow::Result<()> {
        if self.machine.accelerator != Accelerator::Tcg {
            return Ok(());
        }
        let snapshots = self.cache.root().join("snapshots");
        fs::create_dir_all(&snapshots).with_context(|| snapshots.display().to_string())?;
        let path = snapshots.join(self.snapshot_key()?);
        if lab::image::sealed(&path).is_some() {
            self.held.push(self.cache.hold(&path)?);
            self.snapshot = Some(Snapshot { path, release: self.kernel.release.clone() });
            return Ok(());
        }
        if path.exists() {
            progress(&format!("{} is damaged, and is made again", path.display()));
        }
        progress(&format!("booting {} once", self.kernel.release));
        let dir = tempfile::tempdir_in(work)?;
        let bounds =
            Bounds { dir: dir.path(), limit: self.boot_limit, aborted: &AtomicBool::new(false) };
        let started = Instant::now();
        let snapshot = match lab::guest::save(&self.machine, &path, bounds) {
            Ok(snapshot) => snapshot,
            Err(
                fault @ (GuestError::Died { .. }
                | GuestError::Hung { .. }
                | GuestError::Still { .. }
                | GuestError::Deadline { .. }),
            ) => {
                self.dead = Some(format!("kernel {} did not boot: {fault}", self.kernel.release));
                return Ok(());
            }
            Err(error) => {
                let context = format!("booting kernel {}", self.kernel.release);
                return Err(anyhow::Error::from(error).context(context));
            }
        };
        self.boot = Some(started.elapsed());
        if snapshot.release != self.kernel.release {
            let _ = fs::remove_file(&path);
            bail!(
                "the image of kernel {} boots as {}; name the right files",
                self.kernel.release,
                snapshot.release
            );
        }
        lab::image::seal(&path)?;
        self.held.push(self.cache.hold(&path)?);
        self.cache.trim()?;
        self.snapshot = Some(snapshot);
        Ok(())
    }

    /// A name that changes whenever anything that the saved guest depends on does.
    fn snapshot_key(&self) -> anyhow::Result<String> {
        let qemu = super::tool_versions()
            .remove(&format!("tool.{}", lab::guest::QEMU))
            .unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(format!("{:?}|{qemu}|{}", self.machine, self.machine.command_line()));
        hash.update(self.machine.cpu_model());
        for path in [&self.machine.kernel, &self.machine.initramfs] {
            hash.update(Sha256::digest(
                fs::read(path).with_context(|| path.display().to_string())?,
            ));
        }
        let digest = HEXLOWER.encode(&hash.finalize());
        Ok(format!("{}-{digest:.24}", self.kernel.release))
    }

    /// Runs a task that is no cell, in a folder of its own in `work`.
    ///
    /// # Errors
    /// [`lab::guest::GuestError`].
    pub fn ask(
        &self,
        task: Task,
        seed: u64,
        work: &Path,
        limit: Limit,
        on_output: &mut dyn FnMut(&str),
    ) -> anyhow::Result<GuestReport> {
        let dir = tempfile::tempdir_in(work)?;
        let bounds = Bounds { dir: dir.path(), limit, aborted: &AtomicBool::new(false) };
        self.run_job(&Job { seed, limit_s: None, task }, bounds, on_output)
    }

    fn run_job(
        &self,
        job: &Job,
        bounds: Bounds<'_>,
        on_output: &mut dyn FnMut(&str),
    ) -> anyhow::Result<GuestReport> {
        let report =
            lab::guest::run(&self.machine, self.snapshot.as_ref(), job, bounds, on_output)?;
        let mut restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner);
        restores.extend(report.restored_in);
        drop(restores);
        Ok(report)
    }

    /// Runs one cell.
    ///
    /// # Errors
    /// [`lab::guest::GuestError`], or an answer that is not one.
    pub fn run(
        &self,
        spec: &CellSpec,
        dir: &Path,
        limits: &Limits,
        aborted: &AtomicBool,
    ) -> anyhow::Result<CellAnswer> {
        if let Some(reason) = &self.dead {
            let outcome = Outcome::Invalid { reason: reason.clone() };
            return Ok(CellAnswer::without_numbers(outcome));
        }
        let (guest_s, limit) = match self.machine.accelerator {
            Accelerator::Tcg => (Some(limits.cell_guest_s), limits.around_cell()),
            Accelerator::Kvm => (None, Limit::Wall(Duration::from_secs(limits.cell_s))),
        };
        let job = job_of(spec, guest_s)?;
        answer(self.run_job(&job, Bounds { dir, limit, aborted }, &mut |_| {})?)
    }

    /// Runs one emulated cell with the profiler looking on. [`Self::prepare`] comes first. The job
    /// is that of [`Self::run`] to the byte.
    ///
    /// # Errors
    /// As [`Self::run`]; no snapshot to start from.
    pub fn run_profiled(
        &self,
        spec: &CellSpec,
        limits: &Limits,
        bounds: Bounds<'_>,
        profiler: &Profiler,
    ) -> anyhow::Result<(CellAnswer, Profile)> {
        let snapshot = self.snapshot.as_ref().context("a guest is profiled from its snapshot")?;
        let job = job_of(spec, Some(limits.cell_guest_s))?;
        let (report, profile) =
            lab::guest::run_profiled(&self.machine, snapshot, &job, bounds, profiler)?;
        Ok((answer(report)?, profile))
    }

    /// The files of the guest that code of user space is from, by the addresses of its blocks;
    /// paths have no leading slash.
    ///
    /// # Errors
    /// The initramfs cannot be read.
    pub fn files_of(&self, profile: &Profile) -> anyhow::Result<HashMap<u64, String>> {
        Ok(lab::guest::files_of(&self.machine.initramfs, &profile.code)?)
    }

    /// The kernel's functions, as every guest restored from the snapshot has them.
    ///
    /// # Errors
    /// A guest that does not run, a list that is not understood.
    pub fn symbols(&self, work: &Path) -> anyhow::Result<Symbols> {
        let mut text = String::new();
        let mut add = |piece: &str| text.push_str(piece);
        let report = self.ask(Task::Symbols, 1, work, self.boot_limit, &mut add)?;
        match report.error.or(report.splat) {
            Some(error) => bail!("reading /proc/kallsyms in the guest: {error}"),
            None => Ok(Symbols::parse(&text)?),
        }
    }
}

fn job_of(spec: &CellSpec, limit_s: Option<u32>) -> anyhow::Result<Job> {
    let payload = serde_json::to_string(spec)?;
    Ok(Job { seed: spec.labels.seed, limit_s, task: Task::Call { payload } })
}

/// The cell's answer in what a guest left behind.
fn answer(report: GuestReport) -> anyhow::Result<CellAnswer> {
    if let Some(splat) = report.splat {
        let outcome = Outcome::Invalid { reason: format!("kernel splat: {splat}") };
        return Ok(CellAnswer {
            warnings: report.kernel_log,
            ..CellAnswer::without_numbers(outcome)
        });
    }
    answer_of(report)
}

/// The answer of a guest whose kernel and job both ended well.
///
/// # Errors
/// What [`ended_well`] says, or an answer that is not one.
pub fn answer_of<T: DeserializeOwned>(report: GuestReport) -> anyhow::Result<T> {
    let answer = ended_well(report)?.context("the guest ended well but gave no answer")?;
    serde_json::from_str(&answer).context("the guest's answer is not understood")
}

/// The answer, if any, of a guest whose kernel and job both ended well.
///
/// # Errors
/// The kernel's splat or the job's error.
pub fn ended_well(report: GuestReport) -> anyhow::Result<Option<String>> {
    if let Some(splat) = report.splat {
        bail!("kernel splat: {splat}");
    }
    match report.error {
        Some(error) => bail!("{error}"),
        None => Ok(report.answer),
    }
}
