//! The control: no proxy at all. Every stage of a sync succeeds and does nothing.

use generators::Cluster;
use linux::CpuTime;

use crate::backend::{Audit, Backend, Maker, Staged};
use crate::descriptor::{CONTROL, Cost, Descriptor};
use crate::differences::Differences;
use crate::error::ProxyError;
use crate::program::{Program, Size, SyncRequest};

/// The backend `none`.
pub(crate) static NONE: Descriptor = Descriptor {
    summary: "no proxy: clients dial Endpoints",
    colour: "grey",
    cost: |_, _| Cost::NOTHING,
    ..Descriptor::new(CONTROL, "none", |_, _| Box::new(NoProxy))
};

/// The client dials the Endpoint, so the namespace needs nothing.
///
/// It is the floor under every number: what a connection, or a sync, costs the harness alone.
#[derive(Debug)]
struct NoProxy;

/// Marks the empty program.
struct Nothing;

impl Backend for NoProxy {
    /// Works everywhere.
    fn probe(&mut self) -> Result<(), ProxyError> {
        Ok(())
    }

    fn stop(&mut self) -> Result<(), ProxyError> {
        Ok(())
    }

    fn staged(&mut self) -> Option<&mut dyn Staged> {
        Some(self)
    }

    fn audit(&mut self) -> Option<&mut dyn Audit> {
        Some(self)
    }
}

impl Staged for NoProxy {
    /// There is no fixed state.
    fn prepare(&mut self, _request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        Ok(())
    }

    /// The empty program, of size zero, whatever the request.
    fn render(&self, _request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        Ok(Program::of(Size::default(), Nothing))
    }

    /// Hands nothing over, at no cost; refuses the program of another backend.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        program.private::<Nothing>(CONTROL)?;
        Ok(CpuTime::default())
    }
}

impl Audit for NoProxy {
    /// Any namespace serves any Cluster when clients dial Endpoints; there is nothing to compare.
    fn compare(&mut self, _: &Cluster, _: Maker<'_>) -> Result<Differences, ProxyError> {
        Ok(Differences::default())
    }
}
