//! Where things are inside a guest.

/// Where the initramfs lists the modules to load: one absolute path a line, in load order.
pub const MODULE_LIST: &str = "/etc/vipbench/modules";
/// Where a guest looks for tools, and where they are looked for on the host to be put there.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
