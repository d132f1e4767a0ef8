//! Control groups, of version 2.

use std::os::fd::OwnedFd;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::IoError;

/// The root of all groups that the calling thread can see. It is mounted for the returned
/// descriptor alone: no path leads to it.
///
/// # Errors
/// Not root, or a kernel before 5.2.
pub fn root() -> Result<OwnedFd, IoError> {
    let mounted = || {
        let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    };
    let mounted: rustix::io::Result<OwnedFd> = mounted();
    mounted.map_err(|errno| IoError::of("mount", "the control groups (cgroup2)")(errno.into()))
}
