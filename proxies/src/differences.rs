//! What an audit found: how much is as it should be, all differences counted, the first put into
//! words.

use linux::sysctl;

use crate::error::ProxyError;

/// How many differences are put into words.
const REPORTED_MAX: usize = 3;

/// What is the same is counted, and what is not; the first of it has words.
#[derive(Debug, Default)]
pub struct Differences {
    same: u64,
    count: u64,
    first: Vec<String>,
}

impl Differences {
    /// How many rules, elements, servers, entries or addresses are as they should be.
    pub fn same(&self) -> u64 {
        self.same
    }

    /// How many are not, as far as was looked.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first differences, in words.
    pub fn first(&self) -> &[String] {
        &self.first
    }

    /// So many more are as they should be.
    pub(crate) fn add_same(&mut self, more: usize) {
        self.same = self.same.saturating_add(more as u64);
    }

    /// One more difference; its words are only made if they will be reported.
    pub(crate) fn add(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < REPORTED_MAX {
            self.first.push(words());
        }
    }

    /// Compares rules in their order. The first that is not as it should be is told, with its place
    /// (its number, from 1, in words), and hides those behind it.
    pub(crate) fn compare_rules<W: AsRef<str>, F: AsRef<str>>(
        &mut self,
        wanted: &[W],
        mut found: impl Iterator<Item = F>,
        is_same: impl Fn(&str, &str) -> bool,
        place: impl Fn(usize) -> String,
    ) {
        let quoted = |rule: Option<&str>| rule.map_or("nothing".into(), |rule| format!("`{rule}`"));
        let mut wanted = wanted.iter();
        for number in 1.. {
            let (wanted, found) = (wanted.next(), found.next());
            match (wanted.map(W::as_ref), found.as_ref().map(F::as_ref)) {
                (None, None) => return,
                (Some(wanted), Some(found)) if is_same(wanted, found) => self.add_same(1),
                (wanted, found) => {
                    let (wanted, found) = (quoted(wanted), quoted(found));
                    self.add(|| format!("{} should be {wanted}, is {found}", place(number)));
                    return;
                }
            }
        }
    }

    /// Compares kernel parameters of the current namespace.
    ///
    /// # Errors
    /// One that cannot be read.
    pub(crate) fn compare_sysctls<'a>(
        &mut self,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ProxyError> {
        for (name, value) in wanted {
            let found = sysctl::read(name)?;
            if found == value {
                self.add_same(1);
            } else {
                self.add(|| format!("kernel parameter {name} should be {value}, is {found}"));
            }
        }
        Ok(())
    }

    /// Nothing, or [`ProxyError::Mismatch`].
    ///
    /// # Errors
    /// The first differences.
    pub fn into_result(self) -> Result<(), ProxyError> {
        if self.count == 0 {
            return Ok(());
        }
        Err(ProxyError::Mismatch { count: self.count, first: self.first.join("; ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_parameter_that_is_set_otherwise_is_told() {
        let name = "net.ipv4.ip_forward";
        let value = sysctl::read(name).unwrap();
        let mut differences = Differences::default();
        differences.compare_sysctls([(name, value.as_str()), (name, "7")]).unwrap();
        assert_eq!((differences.same(), differences.count()), (1, 1));
        let expected = format!("kernel parameter {name} should be 7, is {value}");
        assert_eq!(differences.first(), [expected]);
    }
}
