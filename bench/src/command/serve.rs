//! `vipbench generate --serve`: a Cluster as a Kubernetes API, until Ctrl-C.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use apiserver::{Limits, Server, Site};
use generators::Cluster;

use crate::console;
use crate::run::Interrupt;

/// How often it is looked whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Serves until a signal comes, and prints how to ask.
///
/// # Errors
/// The address cannot be served at, or the server ended by itself.
pub(super) fn serve(cluster: &Cluster, site: &Site, address: SocketAddr) -> anyhow::Result<()> {
    let interrupt = Interrupt::catch()?;
    let server = Server::start(address, cluster, site, Limits::default()).context("--serve")?;
    let count = cluster.services().len();
    console::note(format_args!("serving {count} Services until Ctrl-C; ask with:"));
    console::line(format_args!(
        "kubectl --server http://{} get services,endpointslices -A",
        server.address()
    ))?;
    while !interrupt.is_asked() && !server.is_ended() {
        thread::sleep(LOOK);
    }
    Ok(server.stop()?)
}
