//! The kernel's interfaces, each once: netlink, network namespaces, packets, kernel parameters,
//! processes.
//!
//! Everything acts on the network namespace of the calling thread. Nothing here knows Services,
//! labs or results.

pub mod capture;
pub mod cgroup;
mod error;
pub mod netlink;
pub mod netns;
pub mod open_files;
pub mod process;
pub mod procnet;
pub mod sctp;
pub mod sysctl;
pub mod tool;
pub mod usage;

pub use error::IoError;
pub use process::ToolError;
pub use tool::Tool;
pub use usage::CpuTime;
