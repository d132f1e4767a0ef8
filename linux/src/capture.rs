//! Packets as the devices of a namespace see them: one socket for all of them (packet(7)).
//!
//! Nothing runs while packets pass: the kernel keeps copies in the socket's buffer, which are read
//! when what was to be seen is over. What is in a packet is not looked at.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    recvmsg, setsockopt, socket,
};
use nix::sys::time::TimeSpec;
use rustix::net::netdevice::index_to_name;

use crate::IoError;

/// Room for copies; each takes some 800 bytes beside its content (`skb->truesize`). What does not
/// fit is dropped and counted.
const BUFFER_BYTES: usize = 16 << 20;
/// What is kept of a packet. Those that are longer are cut.
const PACKET_BYTES_MAX: usize = 2048;
/// How many packets are read; more are left behind.
const PACKETS_MAX: usize = 4096;
/// How many signals may interrupt one read.
const INTERRUPTIONS_MAX: usize = 16;
/// How long after the first capture has begun the kernel surely puts times on packets. It switches
/// that on in a work queue; until then a packet gets the time of its reading
/// (`net_enable_timestamp`, net/core/dev.c, and `__sock_recv_timestamp`, net/socket.c, Linux 6.1).
pub const TIMES_BEGIN: Duration = Duration::from_millis(50);
/// `PACKET_OUTGOING` (`include/uapi/linux/if_packet.h`, Linux 6.1)
const OUTGOING: u8 = 4;
/// `ARPHRD_ETHER` and `ARPHRD_LOOPBACK` (`include/uapi/linux/if_arp.h`, Linux 6.1): devices whose
/// packets begin with an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];

/// What a packet begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// An Ethernet header.
    Ethernet,
    /// The IP header: the device is a tunnel.
    Ip,
}

/// One packet at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// When the device saw it, since 1970.
    pub time: Duration,
    /// The device's name.
    pub device: String,
    /// What it begins with.
    pub framing: Framing,
    /// Whether the device sent it; else it received it.
    pub is_outgoing: bool,
    /// Its length, bytes.
    pub length: usize,
    /// Its content, at most 2,048 bytes of it.
    pub bytes: Vec<u8>,
}

/// Everything that was captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// In the order in which the kernel took them.
    pub packets: Vec<Packet>,
    /// How many were lost for lack of room.
    pub lost: u64,
}

/// A capture that is going on.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
}

impl Capture {
    /// Begins to capture on every device of the calling thread's namespace, those that come later
    /// too. Times are right after [`TIMES_BEGIN`].
    ///
    /// # Errors
    /// A refused system call; it takes `CAP_NET_RAW` and `CAP_NET_ADMIN`.
    pub fn begin() -> Result<Self, IoError> {
        let begin = || -> Result<OwnedFd, Errno> {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )?;
            setsockopt(&socket, RcvBufForce, &BUFFER_BYTES)?;
            setsockopt(&socket, ReceiveTimestampns, &true)?;
            setsockopt(&socket, RxqOvfl, &1)?;
            Ok(socket)
        };
        Ok(Self { socket: begin().map_err(refused("open"))? })
    }

    /// Ends, and gives what was captured.
    ///
    /// # Errors
    /// A refused system call.
    pub fn end(self) -> Result<Captured, IoError> {
        let mut captured = Captured::default();
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        while captured.packets.len() < PACKETS_MAX {
            let Some((packet, lost)) = self.next(&mut buffer).map_err(refused("read"))? else {
                break;
            };
            captured.packets.push(packet);
            captured.lost = lost;
        }
        Ok(captured)
    }

    /// The next packet, and how many were lost before it.
    fn next(&self, buffer: &mut [u8]) -> Result<Option<(Packet, u64)>, Errno> {
        let mut control = nix::cmsg_space!(TimeSpec, u32);
        for _ in 0..INTERRUPTIONS_MAX {
            let mut parts = [IoSliceMut::new(&mut *buffer)];
            let (descriptor, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_TRUNC);
            let received =
                match recvmsg::<LinkAddr>(descriptor, &mut parts, Some(&mut control), flags) {
                    Ok(received) => received,
                    Err(Errno::EAGAIN) => return Ok(None),
                    Err(Errno::EINTR) => continue,
                    Err(errno) => return Err(errno),
                };
            let (mut time, mut lost) = (Duration::ZERO, 0);
            for message in received.cmsgs()? {
                match message {
                    ControlMessageOwned::ScmTimestampns(stamp) => time = stamp.into(),
                    ControlMessageOwned::RxqOvfl(count) => lost = u64::from(count),
                    _ => {}
                }
            }
            // With MSG_TRUNC the length is that of the packet.
            let (length, address) = (received.bytes, received.address);
            let packet = self.packet(time, address, length, buffer)?;
            return Ok(Some((packet, lost)));
        }
        Err(Errno::EINTR)
    }

    fn packet(
        &self,
        time: Duration,
        address: Option<LinkAddr>,
        length: usize,
        buffer: &[u8],
    ) -> Result<Packet, Errno> {
        let address = address.ok_or(Errno::EAFNOSUPPORT)?;
        let index = u32::try_from(address.ifindex()).map_err(|_| Errno::ENODEV)?;
        // One that is gone meanwhile is known by its number.
        let device =
            index_to_name(&self.socket, index).unwrap_or_else(|_| format!("device{index}"));
        let is_ethernet = ETHERNET.contains(&address.hatype());
        Ok(Packet {
            time,
            device,
            framing: if is_ethernet { Framing::Ethernet } else { Framing::Ip },
            is_outgoing: address.pkttype() == OUTGOING,
            length,
            bytes: buffer.get(..length).unwrap_or(buffer).to_vec(),
        })
    }
}

fn refused(operation: &'static str) -> impl FnOnce(Errno) -> IoError {
    move |errno| IoError::of(operation, "a packet socket")(io::Error::from(errno))
}
