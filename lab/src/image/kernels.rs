//! What every step from a SPEC to a kernel is given.

use super::cache::Cache;

/// Kernels in a cache, and the machine's package sources behind it.
#[derive(Clone, Copy)]
pub struct Kernels<'a> {
    /// Where they are kept.
    pub cache: &'a Cache,
    /// Is told what is being done, for people.
    pub progress: &'a dyn Fn(&str),
}
