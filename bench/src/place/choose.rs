//! Chooses where cells run and on which clock, from what is asked and what this machine can do, and opens every place.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use lab::guest::Accelerator;
use lab::image::{Cache, KernelSpec};
use results::{Clock, Place};

use super::{
    GuestOptions, GuestPlace, HostPlace, Places, WorkDir, missing_on_host, probe_kvm,
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

/// Decides place and clock, as far as neither is asked for, and opens every place; lists and ranges of kernels in the
/// scenario become single ones. Downloads kernels if need be, boots only to probe KVM.
///
/// # Errors
/// Place, clock and kernels that do not go together; what this machine lacks.
pub fn open_places(
    scenario: &mut Scenario,
    place: Option<Place>,
    clock: Option<Clock>,
    progress: &dyn Fn(&str),
) -> anyhow::Result<(Places, Setting)> {
    if is_on_host(scenario, place.or(scenario.place), clock)? {
        let setting = Setting { place: Place::Host, clock: Clock::Wall };
        return Ok((Places::host(HostPlace::open()?)?, setting));
    }
    require_emulator()?;
    let kernels = select_kernels(&scenario.kernels, &Cache::open()?, progress)?;
    scenario.kernels = kernels.iter().map(ToString::to_string).collect();
    let kernel = scenario.kernels.first().context("kernels: name at least one")?;
    let accelerator = accelerator(kernel, clock, progress)?;
    let options = GuestOptions {
        accelerator,
        memory_mib: scenario.limits.guest_memory_mib,
        kernel_cmdline: scenario.kernel_cmdline.clone(),
        boot_limit: Duration::from_secs(scenario.limits.boot_s),
        files: Vec::new(),
    };
    let guests: anyhow::Result<Vec<GuestPlace>> = scenario
        .kernels
        .iter()
        .map(|kernel| GuestPlace::open(kernel, &options, progress))
        .collect();
    let clock = if accelerator == Accelerator::Tcg { Clock::Instructions } else { Clock::Wall };
    Ok((Places::guests(guests?)?, Setting { place: Place::Guest, clock }))
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

fn accelerator(
    kernel: &str,
    clock: Option<Clock>,
    progress: &dyn Fn(&str),
) -> anyhow::Result<Accelerator> {
    if clock == Some(Clock::Instructions) {
        return Ok(Accelerator::Tcg);
    }
    let work = WorkDir::new()?;
    let probed = probe_kvm(kernel, false, work.path(), progress)?;
    match (probed.works, clock) {
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
    let selected = lab::image::select(lists, cache, progress)?;
    for warning in &selected.warnings {
        console::warn(warning);
    }
    Ok(selected.specs)
}
