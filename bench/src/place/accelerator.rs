//! Which accelerator works: found out by booting, never by looking at `/dev/kvm`. That it works is
//! remembered until this machine boots; that it does not may have been a bad moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::guest::{Accelerator, Limit, Task};
use lab::image::Cache;
use serde::{Deserialize, Serialize};

use super::guest::{GuestOptions, GuestPlace};
use crate::scenario::Limits;

/// A guest under KVM reaches PID 1 in a second or two of processor time, however busy the machine
/// is.
const LIMIT: Limit = Limit::Processor(Duration::from_secs(20));

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Boot id of this machine's kernel: the answer holds no longer than it.
    boot_id: String,
    /// Whether a guest ran to its end under KVM.
    pub works: bool,
    /// Why not, or how long it took.
    pub detail: String,
    /// How long ago this was found, if not just now.
    #[serde(skip)]
    pub age: Option<Duration>,
}

impl Probed {
    /// What was found, and when, if that was not just now.
    pub fn in_words(&self) -> String {
        let Some(age) = self.age else { return self.detail.clone() };
        let minutes = age.as_secs() / 60;
        let ago =
            if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes / 60) };
        format!("{} (found {ago} ago; `vipbench doctor --probe` looks again)", self.detail)
    }
}

/// Boots `kernel` under KVM with a limit, and keeps a good answer.
///
/// # Errors
/// A kernel that cannot be found, a cache that cannot be written. KVM that does not work is an
/// answer, not an error.
pub fn probe_kvm(kernel: &str, work: &Path, progress: &dyn Fn(&str)) -> anyhow::Result<Probed> {
    let boot_id = boot_id()?;
    if let Some(absent) = absent(&boot_id) {
        return Ok(absent);
    }
    progress("probing KVM by booting a guest");
    let (works, detail) = boot(kernel, work, progress)?;
    let probed = Probed { boot_id, works, detail, age: None };
    keep(&cached_answer(&Cache::open()?), &probed)?;
    Ok(probed)
}

/// What is known of KVM without booting: there is no device, or it was probed since this machine
/// booted.
///
/// # Errors
/// A cache that has no place.
pub fn known_kvm() -> anyhow::Result<Option<Probed>> {
    let boot_id = boot_id()?;
    if let Some(absent) = absent(&boot_id) {
        return Ok(Some(absent));
    }
    Ok(kept(&cached_answer(&Cache::open()?), &boot_id))
}

fn absent(boot_id: &str) -> Option<Probed> {
    let opened = fs::File::options().read(true).write(true).open("/dev/kvm");
    let detail = "/dev/kvm cannot be opened".to_owned();
    opened.is_err().then(|| Probed { boot_id: boot_id.to_owned(), works: false, detail, age: None })
}

fn boot_id() -> anyhow::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn cached_answer(cache: &Cache) -> PathBuf {
    cache.root().join("kvm.json")
}

/// Keeps a good answer. A bad one makes the earlier one void.
fn keep(file: &Path, probed: &Probed) -> anyhow::Result<()> {
    if probed.works {
        fs::write(file, serde_json::to_vec(probed)?)?;
    } else if file.exists() {
        fs::remove_file(file)?;
    }
    Ok(())
}

/// The good answer that was found since this machine booted, and its age.
fn kept(file: &Path, boot_id: &str) -> Option<Probed> {
    let probed: Probed = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let age = fs::metadata(file).ok()?.modified().ok()?.elapsed().unwrap_or_default();
    (probed.works && probed.boot_id == boot_id).then_some(Probed { age: Some(age), ..probed })
}

fn boot(kernel: &str, work: &Path, progress: &dyn Fn(&str)) -> anyhow::Result<(bool, String)> {
    let options = GuestOptions {
        accelerator: Accelerator::Kvm,
        memory_mib: 1024,
        boot_limit: LIMIT,
        ..GuestOptions::emulated(&Limits::default())
    };
    let place = GuestPlace::open(&kernel.parse()?, &options, progress)?;
    let task = Task::Exec { argv: vec!["/usr/sbin/ipset".into(), "--version".into()] };
    let started = Instant::now();
    Ok(match place.ask(task, 1, work, LIMIT, &mut |_| {}) {
        Ok(report) if report.error.is_none() => {
            (true, format!("a guest booted and ended in {:.1} s", started.elapsed().as_secs_f64()))
        }
        Ok(report) => (false, report.error.unwrap_or_default()),
        Err(error) => (false, crate::in_words(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_is_kept_and_only_until_the_machine_boots() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("kvm.json");
        let probed =
            |works| Probed { boot_id: "this".into(), works, detail: "x".into(), age: None };
        keep(&file, &probed(true)).unwrap();
        assert!(kept(&file, "this").unwrap().age.is_some());
        assert_eq!(kept(&file, "next"), None);
        let old = Probed { age: Some(Duration::from_hours(5)), ..probed(true) };
        assert!(old.in_words().starts_with("x (found 5 h ago; "));
        assert_eq!(probed(true).in_words(), "x");
        keep(&file, &probed(false)).unwrap();
        assert_eq!(kept(&file, "this"), None);
        // One of a version that kept bad answers too.
        fs::write(&file, serde_json::to_vec(&probed(false)).unwrap()).unwrap();
        assert_eq!(kept(&file, "this"), None);
    }
}
