//! What a guest boots: stock distribution kernels, found through the machine's own package sources,
//! unpacked and kept, and the initial file system with this program, the tools and the kernel
//! modules.
//!
//! Starts no guest. Nothing here names an archive; what is fetched is checked by apt against the
//! distribution's keys.

mod apt;
mod cache;
mod catalogue;
mod choose;
mod compressed;
mod control;
mod deb;
mod elf;
mod error;
mod initramfs;
mod kernel;
mod kernels;
mod modules;
mod package;
mod seal;
mod selection;
mod sources;
mod spec;
mod stock;
mod tree;
mod vmlinux;

pub use cache::{Cache, Held};
pub use catalogue::OfferedKernel;
pub use error::ImageError;
pub use initramfs::{InitramfsSpec, build_initramfs};
pub use kernel::{Kernel, Manifest, cached_kernels};
pub use kernels::Kernels;
pub use package::PackageRecord;
pub use seal::{remove_sealed, seal, sealed};
pub use selection::{Selected, Selection, parse_all};
pub use spec::KernelSpec;
pub use stock::Removed;
