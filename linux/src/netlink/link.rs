//! Links: veth pairs and IPIP tunnels, made, brought up and waited for.
//!
//! Indices and hardware addresses are chosen by the caller, so that the same links are the same to
//! the last bit each time.

use std::fmt;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use neli::consts::rtnl::{Ifla, IflaInfo, Rtm};

use super::decode::Malformed;
use super::encode::Batch;
use super::encode::{self, Content};
use super::numbers::LOOPBACK_INDEX;
use super::rtnl::{Rtnl, RtnlError};

/// `enum { VETH_INFO_PEER = 1 }` of `include/uapi/linux/veth.h`, Linux 6.1.
const VETH_INFO_PEER: u16 = 1;
/// `IFLA_IPTUN_LOCAL` and `IFLA_IPTUN_REMOTE` of `include/uapi/linux/if_tunnel.h`, Linux 6.1.
const TUNNEL_LOCAL: u16 = 2;
const TUNNEL_REMOTE: u16 = 3;
/// `IF_OPER_UP` of `include/uapi/linux/if.h`, Linux 6.1.
const OPERSTATE_UP: u8 = 6;
/// Longest interface name: `IFNAMSIZ` less the closing NUL (`include/uapi/linux/if.h`).
const NAME_BYTES_MAX: usize = 15;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&bytes.join(":"))
    }
}

impl Mac {
    /// Refuses what is no unicast address (`is_valid_ether_addr`, include/linux/etherdevice.h).
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(self) -> Result<(), String> {
        if self.0[0] & 1 == 1 || self.0 == [0; 6] {
            return Err(format!("{self} is no unicast hardware address; begin it with 02"));
        }
        Ok(())
    }
}

/// Refuses an interface that no kernel would make (`dev_valid_name`, net/core/dev.c, Linux 6.1).
///
/// # Errors
/// What is wrong, and what would be right.
pub fn check_interface(name: &str, index: u32) -> Result<(), String> {
    let bad = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0;
    if !(1..=NAME_BYTES_MAX).contains(&name.len())
        || name == "."
        || name == ".."
        || name.bytes().any(bad)
    {
        return Err(format!(
            "`{name}` is no interface name; take 1 to {NAME_BYTES_MAX} letters and digits"
        ));
    }
    if index <= LOOPBACK_INDEX {
        return Err(format!("index {index} is taken by `lo`; take 2 or more"));
    }
    Ok(())
}

/// One end of a veth pair.
#[derive(Debug, Clone, Copy)]
pub struct VethEnd<'a> {
    /// Name, 1 to 15 bytes.
    pub name: &'a str,
    /// Index, free in its namespace, from 2 on.
    pub index: u32,
    /// Hardware address, unicast.
    pub mac: Mac,
    /// Longest packet that it sends, bytes; nothing: the driver's 1500.
    pub mtu_bytes: Option<u32>,
}

impl VethEnd<'_> {
    fn check(&self) -> Result<(), String> {
        check_interface(self.name, self.index)?;
        self.mac.check()
    }

    fn write(&self, content: &mut Content<'_>) {
        content.fixed(interface(self.index, 0));
        content.text(Ifla::Ifname.into(), self.name);
        content.bytes(Ifla::Address.into(), &self.mac.0);
        content.small([
            encode::u32(Ifla::NumTxQueues.into(), 1),
            encode::u32(Ifla::NumRxQueues.into(), 1),
        ]);
        if let Some(mtu) = self.mtu_bytes {
            content.small([encode::u32(Ifla::Mtu.into(), mtu)]);
        }
    }
}

impl Rtnl {
    /// Makes a veth pair, `peer` being born in `peer_namespace`: `ip link add NAME type veth peer
    /// name PEER netns FD`.
    ///
    /// One transmit and one receive queue an end, on every kernel: the default became one a
    /// possible processor (`drivers/net/veth.c`, `veth_get_num_queues`, since 5.17).
    ///
    /// # Errors
    /// [`RtnlError`]: a refusal, or a parameter that no kernel would accept.
    pub fn add_veth(
        &mut self,
        end: VethEnd<'_>,
        peer: VethEnd<'_>,
        peer_namespace: BorrowedFd<'_>,
    ) -> Result<(), RtnlError> {
        let object = || format!("veth `{}`, peer `{}`", end.name, peer.name);
        let checked = end.check().and_then(|()| peer.check());
        checked.map_err(|reason| RtnlError { object: object(), reason })?;
        self.create(object, Rtm::Newlink, |content| {
            end.write(content);
            driver(content, "veth", |data| {
                data.nest(VETH_INFO_PEER, |content| {
                    peer.write(content);
                    let namespace = peer_namespace.as_raw_fd().cast_unsigned();
                    content.small([encode::u32(Ifla::NetNsFd.into(), namespace)]);
                });
            });
        })
    }

    /// Makes a tunnel that carries IPv4 in IPv4:
    /// `ip link add NAME type ipip local LOCAL remote REMOTE`. It needs the module `ipip`.
    ///
    /// # Errors
    /// As for [`Rtnl::add_veth`].
    pub fn add_ipip(
        &mut self,
        name: &str,
        index: u32,
        local: Ipv4Addr,
        remote: Ipv4Addr,
    ) -> Result<(), RtnlError> {
        let object = || format!("IPIP tunnel `{name}` from {local} to {remote}");
        check_interface(name, index).map_err(|reason| RtnlError { object: object(), reason })?;
        self.create(object, Rtm::Newlink, |content| {
            content.fixed(interface(index, 0));
            content.text(Ifla::Ifname.into(), name);
            driver(content, "ipip", |data| {
                data.small([
                    encode::ipv4(TUNNEL_LOCAL, local),
                    encode::ipv4(TUNNEL_REMOTE, remote),
                ]);
            });
        })
    }

    /// Brings a link up: `ip link set dev INDEX up`.
    ///
    /// # Errors
    /// [`RtnlError`]: a refusal.
    pub fn set_up(&mut self, index: u32) -> Result<(), RtnlError> {
        let up = libc::IFF_UP.cast_unsigned();
        let request =
            Batch::single(Rtm::Newlink.into(), 0, |content| content.fixed(interface(index, up)));
        self.ask(|| format!("link {index}"), &request, |_| Ok(()))
    }

    /// Waits until a link has a carrier and its queue is active: before that, the kernel drops what
    /// is sent. A tunnel never gets there: its state stays unknown.
    ///
    /// A carrier comes by the link watch's work queue, which may put it off for a second
    /// (`net/core/link_watch.c`, `linkwatch_schedule_work`, Linux 6.1).
    ///
    /// # Errors
    /// [`RtnlError`]: no such link, or no carrier within `limit`.
    pub fn wait_up(&mut self, index: u32, limit: Duration) -> Result<(), RtnlError> {
        const POLL: Duration = Duration::from_micros(100);
        let object = || format!("link {index}");
        let request =
            Batch::single(Rtm::Getlink.into(), 0, |content| content.fixed(interface(index, 0)));
        let started = Instant::now();
        while started.elapsed() < limit {
            let mut is_up = false;
            self.ask(object, &request, |message| {
                let (_, attributes) = message.fixed::<16>()?;
                let state = attributes.find(Ifla::Operstate.into())?;
                is_up =
                    state.ok_or(Malformed("a link has no operational state"))? == [OPERSTATE_UP];
                Ok(())
            })?;
            if is_up {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(RtnlError { object: object(), reason: format!("no carrier within {limit:?}") })
    }
}

/// `struct ifinfomsg` (include/uapi/linux/rtnetlink.h, Linux 6.1) with flags to set.
fn interface(index: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn driver(content: &mut Content<'_>, kind: &str, data: impl FnOnce(&mut Content<'_>)) {
    content.nest(Ifla::Linkinfo.into(), |info| {
        info.text(IflaInfo::Kind.into(), kind);
        info.nest(IflaInfo::Data.into(), data);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{CREATE, EXCL};

    const END: VethEnd<'_> =
        VethEnd { name: "eth0", index: 2, mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: None };

    #[test]
    fn a_veth_message_is_encoded_byte_for_byte() {
        let batch = Batch::single(Rtm::Newlink.into(), CREATE | EXCL, |content| END.write(content));
        #[rustfmt::skip]
        let expected = [
            72, 0, 0, 0,  16, 0,  5, 6,  1, 0, 0, 0,  0, 0, 0, 0, // length, RTM_NEWLINK, flags, sequence, port
            0, 0,  0, 0,  2, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,   // ifinfomsg: family, type, index 2, flags, change
            9, 0, 3, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0,       // IFLA_IFNAME
            10, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0,                  // IFLA_ADDRESS
            8, 0, 31, 0, 1, 0, 0, 0,                              // IFLA_NUM_TX_QUEUES
            8, 0, 32, 0, 1, 0, 0, 0,                              // IFLA_NUM_RX_QUEUES
        ];
        assert_eq!(batch.bytes(), expected);
        let shorter = VethEnd { mtu_bytes: Some(1480), ..END };
        let batch =
            Batch::single(Rtm::Newlink.into(), CREATE | EXCL, |content| shorter.write(content));
        // IFLA_MTU, 1480.
        assert_eq!(batch.bytes()[72..], [8, 0, 4, 0, 0xc8, 5, 0, 0]);
    }

    #[test]
    fn an_end_that_no_kernel_takes_is_refused_with_a_remedy() {
        assert_eq!(END.check(), Ok(()));
        for name in ["", "..", "a/b", "a b", "sixteen-bytes-xy"] {
            let error = VethEnd { name, ..END }.check().unwrap_err();
            assert!(error.contains("no interface name"), "{name}");
        }
        let error = VethEnd { index: 1, ..END }.check().unwrap_err();
        assert!(error.contains("take 2 or more"));
        let multicast = VethEnd { mac: Mac([1, 0, 0, 0, 0, 1]), ..END };
        assert!(multicast.check().unwrap_err().contains("begin it with 02"));
    }
}
