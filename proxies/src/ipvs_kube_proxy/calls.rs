//! IPVS by one request a call, each acknowledged, as kube-proxy's library makes them.
//!
//! `pkg/proxy/ipvs/util/ipvs_linux.go`, Kubernetes 1.36, which opens one socket and keeps it.

use generators::Family as AddressFamily;
use linux::netlink::socket::Family;
use linux::netlink::{Encoder, NetlinkError, Socket};

use crate::error::ProxyError;
use crate::ipvs::kernel::family_number;
use crate::ipvs::wire::{self, RealServer, Settings, Verb, VirtualKey, Writer};
use crate::netlink::failed;

/// A socket to IPVS.
pub(super) struct Calls {
    socket: Socket,
    /// The number of the family in this kernel.
    family: u16,
}

/// A real server, and how many connections the kernel keeps of it.
pub(super) type Listed = (RealServer, u32);

impl Calls {
    /// Opens a socket in the namespace of the calling thread.
    pub fn open() -> Result<Self, ProxyError> {
        let family = family_number()?;
        let socket = Socket::open(Family::Generic).map_err(failed("open", "a socket for IPVS"))?;
        Ok(Self { socket, family })
    }

    /// How a virtual server works, if it is there (`GetVirtualServer`).
    pub fn get(&mut self, key: VirtualKey) -> Result<Option<Settings>, ProxyError> {
        let mut found = None;
        let answer = self.socket.ask(&wire::get_service(self.family, key), |message| {
            found = wire::read_service(message)?.map(|(_, settings)| settings);
            Ok(())
        });
        match answer {
            Err(NetlinkError::Refused { first, .. })
                if first.iter().all(|refusal| refusal.errno == libc::ESRCH) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed("read", format!("virtual service {key}"))(error)),
            Ok(()) => Ok(found),
        }
    }

    /// The real servers of a virtual server (`GetRealServers`).
    pub fn reals(&mut self, key: VirtualKey) -> Result<Vec<Listed>, ProxyError> {
        let (mut reals, family) = (Vec::new(), AddressFamily::of(key.address));
        let answer = self.socket.ask(&wire::list_reals(self.family, key), |message| {
            reals.push((wire::read_real(message, family)?, wire::read_connections(message)?));
            Ok(())
        });
        match answer {
            Err(error) => Err(failed("list", format!("real servers of {key}"))(error)),
            Ok(()) => Ok(reals),
        }
    }

    /// Every virtual server, of both families (`GetVirtualServers`).
    pub fn list(&mut self) -> Result<Vec<VirtualKey>, ProxyError> {
        let mut keys = Vec::new();
        let answer = self.socket.ask(&wire::list_services(self.family), |message| {
            keys.extend(wire::read_service(message)?.map(|(key, _)| key));
            Ok(())
        });
        answer.map_err(failed("list", "virtual services"))?;
        Ok(keys)
    }

    /// Makes, changes or removes a virtual server.
    pub fn server(
        &mut self,
        verb: Verb,
        key: VirtualKey,
        settings: &Settings,
    ) -> Result<(), ProxyError> {
        let object = || format!("virtual service {key}");
        self.call(verb, object, |writer| writer.service(verb, key, &settings.written()))
    }

    /// Makes, changes or removes a real server.
    pub fn real(
        &mut self,
        verb: Verb,
        key: VirtualKey,
        real: &RealServer,
    ) -> Result<(), ProxyError> {
        let object = || format!("real server {} of virtual service {key}", real.socket());
        self.call(verb, object, |writer| writer.real(verb, key, real))
    }

    fn call(
        &mut self,
        verb: Verb,
        object: impl FnOnce() -> String,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<(), ProxyError> {
        let mut encoder = Encoder::default();
        write(&mut Writer { encoder: &mut encoder, family: self.family });
        let operation = match verb {
            Verb::Add => "add",
            Verb::Change => "change",
            Verb::Remove => "remove",
        };
        let sent = self.socket.submit(&encoder.finish());
        sent.map_err(|error| failed(operation, object())(error))
    }
}
