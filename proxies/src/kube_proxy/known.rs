//! A file that somebody names, as kube-proxy: what it says it is, and the backends that it makes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use linux::process::{Limits, output};

use super::KubeProxy;
use super::binary::{Binary, Mode, PREFIX};
use crate::backends::also_known;
use crate::descriptor::Descriptor;
use crate::error::ProxyError;

/// What its version may take to tell.
const LIMITS: Limits = Limits { deadline: Duration::from_secs(30), output_bytes_max: 64 << 10 };
/// Longest version.
const VERSION_MAX: usize = 64;

/// Asks a file for its version.
///
/// # Errors
/// [`ProxyError::Unsupported`] tells what is wrong with the file, and the remedy.
pub fn version_of(path: &Path) -> Result<String, ProxyError> {
    check(path)?;
    let mut command = Command::new(path);
    command.arg("--version");
    let said = output(command, LIMITS).map_err(|error| not_started(path, &error.to_string()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let version = text.trim().strip_prefix("Kubernetes v").filter(|version| is_version(version));
    version.map(str::to_owned).ok_or_else(|| {
        let first: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
        let expected = "it does not answer `--version` with `Kubernetes v...`";
        let reason = format!("{expected}, but with `{first}`");
        refused(path, reason, "name the file of a kube-proxy")
    })
}

/// Makes the backends of a file known to this process, one a mode, and tells their names.
pub fn know(path: &Path, version: &str) -> Vec<&'static Descriptor> {
    let of_mode = |mode| {
        let binary = Binary { path: path.to_owned(), version: version.to_owned(), mode };
        descriptor(Box::leak(Box::new(binary)))
    };
    // A process knows a few of them, for as long as it lives.
    let all: Vec<&'static Descriptor> =
        Mode::ALL.map(|mode| &*Box::leak(Box::new(of_mode(mode)))).into();
    also_known(&all);
    all
}

/// The same of the one whose backend has this name: `kube-proxy-MODE@VERSION`.
///
/// # Errors
/// [`ProxyError::Request`]: no such name.
pub fn know_by_name(path: &Path, name: &str) -> Result<(), ProxyError> {
    let version = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('@'));
    let Some((_, version)) = version.filter(|(_, version)| is_version(version)) else {
        let reason = format!("{name} is no name of a kube-proxy");
        return Err(ProxyError::Request { reason });
    };
    know(path, version);
    Ok(())
}

fn descriptor(binary: &'static Binary) -> Descriptor {
    let mode = binary.mode;
    let name = Box::leak(binary.name().into_boxed_str());
    Descriptor {
        summary: mode.summary(),
        colour: mode.colour(),
        tools: mode.tools(),
        modules: mode.modules(),
        spread: mode.spread(),
        deviations: mode.deviations(),
        cost: mode.cost(),
        binary: Some(binary),
        ..Descriptor::new(name, mode.as_str(), |descriptor, options| {
            Box::new(KubeProxy::new(descriptor, options))
        })
    }
}

fn is_version(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    (1..=VERSION_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether it is a file that can be started.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(path: &Path) -> Result<(), ProxyError> {
    let about = fs::metadata(path)
        .map_err(|error| refused(path, error.to_string(), "name the file of a kube-proxy"))?;
    if !about.is_file() {
        return Err(refused(path, "it is no file", "name the file of a kube-proxy"));
    }
    if about.permissions().mode() & 0o111 == 0 {
        return Err(refused(path, "it is not executable", "make it so: chmod +x"));
    }
    let machine =
        |path: &Path| machine_of(path).map_err(|error| not_started(path, &error.to_string()));
    match (machine(path)?, machine(Path::new("/proc/self/exe"))?) {
        (Some(its), Some(own)) if its != own => {
            Err(not_started(path, "it is built for another processor"))
        }
        _ => Ok(()),
    }
}

/// Class, byte order and machine in the header of an ELF file (elf(5)); nothing of other files,
/// such as scripts. The system itself is not asked: `execvp` starts a shell with what it refuses.
fn machine_of(path: &Path) -> io::Result<Option<[u8; 4]>> {
    let mut header = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut header)?;
    Ok(match header.as_slice() {
        [0x7f, b'E', b'L', b'F', class, order, .., low, high] if header.len() == 20 => {
            Some([*class, *order, *low, *high])
        }
        _ => None,
    })
}

/// Why a file that is there does not start.
pub(super) fn not_started(path: &Path, why: &str) -> ProxyError {
    let remedy = "name a kube-proxy that is built for this machine's processor";
    refused(path, why.to_owned(), remedy)
}

fn refused(path: &Path, reason: impl Into<String>, remedy: &str) -> ProxyError {
    ProxyError::Unsupported {
        what: format!("kube-proxy {}", path.display()),
        reason: reason.into(),
        remedy: remedy.into(),
    }
}
