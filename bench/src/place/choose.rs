//! Chooses where cells run and on which clock, from what is asked and what this machine can do, and
//! opens every place of a run.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use lab::guest::Accelerator;
use lab::image::{Cache, KernelSpec, Kernels};
use results::{Clock, Place};

use super::{
    GuestOptions, GuestPlace, HostPlace, Places, WorkDir, known_kvm, missing_on_host, probe_kvm,
    require_emulator,
};
use crate::console;
use crate::scenario::Scenario;

/// Where and how a plan's cells run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Host or guest.
    pub place: Place,
    /// What timings count.
    pub clock: Clock,
}

/// Where a run's cells run. Nothing of it is opened.
pub struct Chosen {
    /// The same for every cell.
    pub setting: Setting,
    /// Whether the clock is one of KVM, which was only looked for and may turn out not to work.
    pub is_kvm_untried: bool,
    /// Single kernels and how to run them; nothing on the host.
    guests: Option<(Vec<KernelSpec>, GuestOptions)>,
}

/// What is asked for. What is not, the scenario decides, or else this machine.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Host or guest.
    pub place: Option<Place>,
    /// What timings count.
    pub clock: Option<Clock>,
    /// Whether nothing may be downloaded or booted: KVM that was not probed yet is then believed to
    /// work.
    pub only_look: bool,
}

/// Decides place and clock; lists and ranges of kernels in the scenario become single ones. Boots
/// only to probe KVM.
///
/// # Errors
/// Place, clock and kernels that do not go together; what this machine lacks.
pub fn choose(
    scenario: &mut Scenario,
    asked: Asked,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Chosen> {
    if is_on_host(scenario, asked.place.or(scenario.place), asked.clock)? {
        let setting = Setting { place: Place::Host, clock: Clock::Wall };
        return Ok(Chosen { setting, is_kvm_untried: false, guests: None });
    }
    require_emulator()?;
    let kernels = select_kernels(&scenario.kernels, &Cache::open()?, progress)?;
    scenario.kernels = kernels.iter().map(ToString::to_string).collect();
    let kernel = scenario.kernels.first().context("kernels: name at least one")?;
    let accelerator = accelerator(kernel, asked, progress)?;
    let options = GuestOptions {
        accelerator,
        kernel_cmdline: scenario.kernel_cmdline.clone(),
        ..GuestOptions::emulated(&scenario.limits)
    };
    let clock = if accelerator == Accelerator::Tcg { Clock::Instructions } else { Clock::Wall };
    let setting = Setting { place: Place::Guest, clock };
    let is_kvm_untried = accelerator == Accelerator::Kvm && known_kvm()?.is_none();
    Ok(Chosen { setting, is_kvm_untried, guests: Some((kernels, options)) })
}

impl Chosen {
    /// Opens every place. Downloads kernels if need be.
    ///
    /// # Errors
    /// Not root (host); a kernel that cannot be had (guest).
    pub fn open(&self, progress: &dyn Fn(&str)) -> anyhow::Result<Places> {
        let Some((kernels, options)) = &self.guests else {
            return Places::host(HostPlace::open()?);
        };
        let guests = kernels.iter().map(|kernel| GuestPlace::open(kernel, options, progress));
        Places::guests(guests.collect::<anyhow::Result<_>>()?)
    }

    /// The kernel releases that [`Self::open`] would find, from the cache and the package indexes
    /// alone.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn releases(&self, progress: &dyn Fn(&str)) -> anyhow::Result<Vec<String>> {
        let Some((kernels, _)) = &self.guests else {
            return Ok(vec![HostPlace::open()?.release().to_owned()]);
        };
        let known = Kernels { cache: &Cache::open()?, progress };
        let releases = kernels.iter().map(|kernel| known.look_up(kernel));
        Ok(releases.collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
    }
}

fn is_on_host(
    scenario: &Scenario,
    place: Option<Place>,
    clock: Option<Clock>,
) -> anyhow::Result<bool> {
    let is_host = place == Some(Place::Host);
    let has_own_cmdline = !scenario.kernel_cmdline.is_empty();
    let needs_instructions = clock == Some(Clock::Instructions);
    ensure!(
        !(is_host && needs_instructions),
        "--place host has no instructions clock; use --place guest, or --clock wall"
    );
    ensure!(
        !(is_host && has_own_cmdline),
        "kernel_cmdline is for guest kernels: the host's has booted already; use --place guest"
    );
    if place.is_some() {
        return Ok(is_host);
    }
    let names_kernel = scenario.kernels.iter().any(|kernel| kernel != "default");
    // Not being root is no reason to stop here: a guest needs no rights.
    let host_serves = || missing_on_host(&scenario.proxies).is_ok_and(|missing| missing.is_empty());
    Ok(!needs_instructions && !names_kernel && !has_own_cmdline && host_serves())
}

fn accelerator(kernel: &str, asked: Asked, progress: &dyn Fn(&str)) -> anyhow::Result<Accelerator> {
    if asked.clock == Some(Clock::Instructions) {
        return Ok(Accelerator::Tcg);
    }
    let probed = match known_kvm()? {
        Some(probed) => probed,
        None if asked.only_look => return Ok(Accelerator::Kvm),
        None => probe_kvm(kernel, WorkDir::new()?.path(), progress)?,
    };
    match (probed.works, asked.clock) {
        (true, _) => Ok(Accelerator::Kvm),
        (false, None) => Ok(Accelerator::Tcg),
        (false, Some(_)) => bail!(
            "--clock wall in a guest needs working KVM, and here {}; use --clock instructions or --place host",
            probed.detail
        ),
    }
}

/// Lists and ranges as single kernels; what is passed over is said on standard error.
///
/// # Errors
/// A kernel that there is not, an unreachable package source.
pub fn select_kernels(
    lists: &[String],
    cache: &Cache,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Vec<KernelSpec>> {
    let selected = Kernels { cache, progress }.select(lists)?;
    for warning in &selected.warnings {
        console::warn(warning);
    }
    Ok(selected.specs)
}
