//! `net.ipv4.conf.all.route_localnet` of the calling thread's namespace: on for `NodePort`s on
//! 127.0.0.1, and back to what it was.

use linux::IoError;
use std::fs;

use crate::error::ProxyError;

/// `/proc/sys/net` shows the namespace of the thread that opens it
/// (`net_ctl_header_lookup`, `net/sysctl_net.c`, Linux 6.1).
const PATH: &str = "/proc/sys/net/ipv4/conf/all/route_localnet";

/// Remembers whether this process switched the setting on.
#[derive(Debug, Default)]
pub(super) struct RouteLocalnet {
    was_switched_on: bool,
}

impl RouteLocalnet {
    /// Switches it on if it is off.
    ///
    /// # Errors
    /// The file could not be read or written.
    pub(super) fn enable(&mut self) -> Result<(), ProxyError> {
        let value = fs::read_to_string(PATH).map_err(IoError::of("read", PATH))?;
        if value.trim() == "0" {
            fs::write(PATH, "1").map_err(IoError::of("write 1 to", PATH))?;
            self.was_switched_on = true;
        }
        Ok(())
    }

    /// Switches it off if it was switched on here. Repeatable.
    ///
    /// # Errors
    /// The file could not be written.
    pub(super) fn reset(&mut self) -> Result<(), ProxyError> {
        if self.was_switched_on {
            fs::write(PATH, "0").map_err(IoError::of("write 0 to", PATH))?;
            self.was_switched_on = false;
        }
        Ok(())
    }
}
