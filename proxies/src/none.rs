//! The control: no proxy at all. Every stage of a sync succeeds and does nothing.

use generators::Cluster;
use linux::CpuTime;

use crate::error::ProxyError;
use crate::proxy::{Payload, Program, Proxy, ProxyKind, Size, SyncRequest};

/// The backend `none`: the client dials the Endpoint, so the namespace needs nothing.
///
/// It is the floor under every number: what a connection, or a sync, costs the harness alone.
#[derive(Debug)]
pub(crate) struct NoProxy;

impl Proxy for NoProxy {
    fn kind(&self) -> ProxyKind {
        ProxyKind::None
    }

    /// Works everywhere.
    fn probe(&mut self) -> Result<(), ProxyError> {
        Ok(())
    }

    /// There is no fixed state.
    fn prepare(&mut self, _request: &SyncRequest<'_>) -> Result<(), ProxyError> {
        Ok(())
    }

    /// The empty program, of size zero, whatever the request.
    fn render(&self, _request: &SyncRequest<'_>) -> Result<Program, ProxyError> {
        Ok(Program { size: Size::default(), payload: Payload::Nothing })
    }

    /// Hands nothing over, at no cost; refuses the program of another backend.
    fn submit(&mut self, program: &Program) -> Result<CpuTime, ProxyError> {
        if matches!(program.payload, Payload::Nothing) {
            return Ok(CpuTime::default());
        }
        Err(ProxyError::ForeignProgram { proxy: self.kind() })
    }

    /// Any namespace serves any Cluster when clients dial Endpoints; there is nothing to compare.
    fn verify(&mut self, _cluster: &Cluster) -> Result<(), ProxyError> {
        Ok(())
    }

    /// There is nothing to remove.
    fn teardown(&mut self) -> Result<(), ProxyError> {
        Ok(())
    }
}
