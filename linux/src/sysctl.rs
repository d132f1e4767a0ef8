//! Reads and sets kernel parameters below `/proc/sys`, and remembers what was set for the record of
//! the environment.
//!
//! `/proc/sys/net` shows the network namespace of the calling thread (`net/sysctl_net.c`,
//! `net_ctl_header_lookup`, Linux 6.1), so these functions work on whatever namespace they are
//! called in. Which values a lab needs is decided in `topology`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

/// Longest parameter read back: all of those a lab sets are far shorter.
const VALUE_BYTES_MAX: u64 = 4096;
const NAME_BYTES_MAX: usize = 200;

/// Why a kernel parameter could not be read or set.
#[derive(Debug, thiserror::Error)]
#[error("kernel parameter `{name}`, {doing}: {source}; {}", remedy(source))]
pub struct SysctlError {
    /// The parameter.
    pub name: String,
    /// Reading, or setting to which value.
    pub doing: String,
    /// What the system says.
    pub source: io::Error,
}

fn remedy(refusal: &io::Error) -> &'static str {
    match refusal.kind() {
        io::ErrorKind::NotFound => {
            "this kernel has none of that name; load the module that brings it"
        }
        io::ErrorKind::InvalidFilename => "write it with dots, as in `net.ipv4.ip_forward`",
        _ => "root may do so, with a value this kernel knows",
    }
}

/// The value of the parameter `name`, runs of white space made one space.
///
/// # Errors
/// [`SysctlError`]: no such parameter, or not readable.
pub fn read(name: &str) -> Result<String, SysctlError> {
    let mut value = String::new();
    path(name)
        .and_then(File::open)
        .and_then(|file| file.take(VALUE_BYTES_MAX).read_to_string(&mut value))
        .map_err(|source| refused(name, "reading it".to_owned(), source))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn write(name: &str, value: &str) -> Result<(), SysctlError> {
    path(name)
        .and_then(|path| fs::write(path, value))
        .map_err(|source| refused(name, format!("setting `{value}`"), source))
}

/// `net.ipv4.ip_forward` is `/proc/sys/net/ipv4/ip_forward`; a slash stands for a dot inside one
/// part, as in sysctl(8).
fn path(name: &str) -> io::Result<PathBuf> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let valid = name.len() <= NAME_BYTES_MAX
        && name.bytes().all(known)
        // Two separators in a row would make the path component `..`.
        && name.split(['.', '/']).all(|part| !part.is_empty());
    if !valid {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let swapped = name.chars().map(|symbol| match symbol {
        '.' => '/',
        '/' => '.',
        other => other,
    });
    Ok(PathBuf::from("/proc/sys").join(swapped.collect::<String>()))
}

fn refused(name: &str, doing: String, source: io::Error) -> SysctlError {
    SysctlError { name: name.to_owned(), doing, source }
}

/// Parameters set in one namespace: what was set is remembered, and what was changed can be put
/// back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sysctls {
    values: BTreeMap<String, String>,
    before: Vec<(String, String)>,
}

impl Sysctls {
    /// Sets `name` in the namespace of the calling thread for as long as that exists, and remembers
    /// the value that the kernel then shows.
    ///
    /// # Errors
    /// [`SysctlError`]: no such parameter, or a value the kernel refuses.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        write(name, value)?;
        self.values.insert(name.to_owned(), read(name)?);
        Ok(())
    }

    /// As [`Sysctls::set`], but a parameter that this kernel lacks is left out.
    ///
    /// # Errors
    /// [`SysctlError`]: a value the kernel refuses.
    pub fn set_if_present(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        match self.set(name, value) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Every parameter of [`Sysctls::set`], by name, with the value in force after the last
    /// setting.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Gives `name` a value that it does not have, until [`Sysctls::restore`].
    ///
    /// # Errors
    /// [`SysctlError`]: no such parameter, or a value the kernel refuses; then nothing has changed.
    pub fn change(&mut self, name: &str, value: &str) -> Result<(), SysctlError> {
        let before = read(name)?;
        if before != value {
            write(name, value)?;
            self.before.push((name.to_owned(), before));
        }
        Ok(())
    }

    /// Puts back what was changed, the last first. Repeatable; goes on after an error and returns
    /// every one.
    pub fn restore(&mut self) -> Vec<SysctlError> {
        let changed = self.before.drain(..).rev();
        changed.filter_map(|(name, value)| write(&name, &value).err()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_name_becomes_a_path_and_a_slash_a_dot_inside_a_part() {
        assert_eq!(
            path("net.ipv4.ip_forward").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/ip_forward")
        );
        assert_eq!(
            path("net.ipv4.conf.eth0/5.rp_filter").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.5/rp_filter")
        );
    }

    #[test]
    fn a_name_cannot_leave_proc_sys() {
        for name in ["", ".", "..", "a..b", "/etc.passwd", "net.//.x", "net.x//.y", "a b", "net.é"]
        {
            let error = read(name).unwrap_err().to_string();
            assert!(error.ends_with("write it with dots, as in `net.ipv4.ip_forward`"), "{error}");
        }
        assert!(path(&"a".repeat(NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_value_is_read_with_single_spaces() {
        let range = read("net.ipv4.ip_local_port_range").unwrap();
        assert_eq!(range.split(' ').count(), 2, "{range}");
        assert!(range.split(' ').all(|port| port.parse::<u16>().is_ok()), "{range}");
    }

    #[test]
    fn a_parameter_that_no_kernel_has_is_missing() {
        let error = read("net.ipv4.no_such_thing").unwrap_err().to_string();
        assert!(error.ends_with("load the module that brings it"), "{error}");
        let mut sysctls = Sysctls::default();
        sysctls.set_if_present("net.ipv4.no_such_thing", "1").unwrap();
        assert_eq!(sysctls, Sysctls::default());
    }
}
