//! The messages of the generic netlink family `IPVS`, written and read. Opens no socket.
//!
//! Commands, attributes and structures are those of `include/uapi/linux/ip_vs.h`; what the kernel
//! requires of each is in `ip_vs_genl_parse_service` and `ip_vs_genl_parse_dest`,
//! `net/netfilter/ipvs/ip_vs_ctl.c`. Linux 6.1.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use generators::{Family, Protocol};
use linux::netlink::encode::Content;
use linux::netlink::genl::HEADER_BYTES;
use linux::netlink::{
    AddressFamily, Attributes, Batch, DUMP, Encoder, Malformed, Message, decode, encode,
};

use super::options::Forwarding;

/// `IPVS_GENL_NAME`
pub(super) const FAMILY_NAME: &str = "IPVS";
/// `IPVS_GENL_VERSION`
const VERSION: u8 = 1;

/// `IPVS_CMD_*`
const NEW_SERVICE: u8 = 1;
const SET_SERVICE: u8 = 2;
const DELETE_SERVICE: u8 = 3;
const GET_SERVICE: u8 = 4;
const NEW_DESTINATION: u8 = 5;
const SET_DESTINATION: u8 = 6;
const DELETE_DESTINATION: u8 = 7;
const GET_DESTINATION: u8 = 8;
const FLUSH: u8 = 17;

/// `IPVS_CMD_ATTR_*`
const SERVICE: u16 = 1;
const DESTINATION: u16 = 2;
/// `IPVS_SVC_ATTR_*`
const SERVICE_FAMILY: u16 = 1;
const SERVICE_PROTOCOL: u16 = 2;
const SERVICE_ADDRESS: u16 = 3;
const SERVICE_PORT: u16 = 4;
const SERVICE_FWMARK: u16 = 5;
const SERVICE_SCHEDULER: u16 = 6;
const SERVICE_FLAGS: u16 = 7;
const SERVICE_TIMEOUT: u16 = 8;
const SERVICE_NETMASK: u16 = 9;
/// `IPVS_DEST_ATTR_*`
const DESTINATION_ADDRESS: u16 = 1;
const DESTINATION_PORT: u16 = 2;
const DESTINATION_FORWARDING: u16 = 3;
const DESTINATION_WEIGHT: u16 = 4;
const DESTINATION_UPPER_THRESHOLD: u16 = 5;
const DESTINATION_LOWER_THRESHOLD: u16 = 6;
const DESTINATION_ACTIVE_CONNECTIONS: u16 = 7;
const DESTINATION_INACTIVE_CONNECTIONS: u16 = 8;

const IPV4: u16 = AddressFamily::V4 as u16;
const IPV6: u16 = AddressFamily::V6 as u16;
/// `IP_VS_SVC_F_PERSISTENT`: a client comes back to the same real server for a while.
pub(crate) const FLAG_PERSISTENT: u32 = 0x1;
/// `IP_VS_SVC_F_HASHED`: set by the kernel on every service.
const FLAG_HASHED: u32 = 0x2;
/// `IP_VS_SVC_F_SCHED_MH_PORT`: the scheduler `mh` hashes the source port too.
pub(crate) const FLAG_SOURCE_PORT: u32 = 0x10;
/// `IP_VS_CONN_F_FWD_MASK`
const FORWARDING_MASK: u32 = 0x7;
/// `IP_VS_SCHEDNAME_MAXLEN`, the zero byte included.
pub(crate) const SCHEDULER_MAX: usize = 16;

/// What tells one virtual service from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VirtualKey {
    /// The VIP, an external IP or an address of the node.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

impl fmt::Display for VirtualKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", SocketAddr::new(self.address, self.port), self.protocol)
    }
}

/// How a virtual service works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Name of the scheduler.
    pub scheduler: Box<str>,
    /// `IP_VS_SVC_F_*`, without the one that the kernel sets itself.
    pub flags: u32,
    /// Persistence, seconds.
    pub timeout_s: u32,
}

/// One real server of a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RealServer {
    /// Address of the Endpoint.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The forwarding method, as the kernel numbers it.
    pub forwarding: u32,
    /// The weight.
    pub weight: u32,
}

impl RealServer {
    /// Where it listens.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl Forwarding {
    /// `IP_VS_CONN_F_MASQ`, `_DROUTE`, `_TUNNEL`.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Nat => 0,
            Self::Tunnel => 2,
            Self::DirectRoute => 3,
        }
    }
}

/// What is to become of a virtual service or real server, in the order of the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It is made.
    Add,
    /// It is there and works in another way from now on.
    Change,
    /// It is removed; a virtual service with its real servers.
    Remove,
}

/// Writes commands for the family of that number. A message's place in the encoder is the caller's
/// to remember.
pub(crate) struct Writer<'a> {
    /// Where the messages go.
    pub encoder: &'a mut Encoder,
    /// The number of the family in this kernel.
    pub family: u16,
}

impl Writer<'_> {
    /// Removes every virtual service of the namespace.
    pub fn flush(&mut self) {
        self.command(FLUSH, |_| {});
    }

    /// Makes, changes or removes a virtual service. `settings` are those of [`Settings::written`].
    pub fn service(&mut self, verb: Verb, key: VirtualKey, settings: &[u8]) {
        self.command(NEW_SERVICE + verb as u8, |content| {
            content.nest(SERVICE, |service| {
                write_key(service, key);
                if verb != Verb::Remove {
                    service.raw(settings);
                    service.small([encode::u32(SERVICE_NETMASK, whole_address(key.address))]);
                }
            });
        });
    }

    /// Makes, changes or removes a real server of a virtual service.
    pub fn real(&mut self, verb: Verb, key: VirtualKey, real: &RealServer) {
        self.command(NEW_DESTINATION + verb as u8, |content| {
            content.nest(SERVICE, |service| write_key(service, key));
            content.nest(DESTINATION, |destination| {
                let port = encode::be16(DESTINATION_PORT, real.port);
                match real.address {
                    IpAddr::V4(address) => {
                        destination.small([encode::ipv4(DESTINATION_ADDRESS, address), port]);
                    }
                    IpAddr::V6(address) => {
                        destination.bytes(DESTINATION_ADDRESS, &address.octets());
                        destination.small([port]);
                    }
                }
                // Without an address family, the kernel takes that of the virtual service.
                if verb != Verb::Remove {
                    destination.small([
                        encode::u32(DESTINATION_FORWARDING, real.forwarding),
                        encode::u32(DESTINATION_WEIGHT, real.weight),
                        encode::u32(DESTINATION_UPPER_THRESHOLD, 0),
                        encode::u32(DESTINATION_LOWER_THRESHOLD, 0),
                    ]);
                }
            });
        });
    }

    fn command(&mut self, command: u8, content: impl FnOnce(&mut Content<'_>)) {
        self.encoder.message(self.family, 0, |message| {
            message.fixed([command, VERSION, 0, 0]);
            content(message);
        });
    }
}

fn write_key(service: &mut Content<'_>, key: VirtualKey) {
    let protocol = encode::u16(SERVICE_PROTOCOL, key.protocol.number().into());
    let port = encode::be16(SERVICE_PORT, key.port);
    match key.address {
        IpAddr::V4(address) => {
            let family = encode::u16(SERVICE_FAMILY, IPV4);
            service.small([family, protocol, encode::ipv4(SERVICE_ADDRESS, address), port]);
        }
        IpAddr::V6(address) => {
            service.small([encode::u16(SERVICE_FAMILY, IPV6), protocol]);
            service.bytes(SERVICE_ADDRESS, &address.octets());
            service.small([port]);
        }
    }
}

/// The netmask by which all of a client's address counts for persistence: bits of IPv4, and the
/// length of a prefix of IPv6 (`ip_vs_add_service`, `net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.1).
const fn whole_address(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => u32::MAX,
        IpAddr::V6(_) => 128,
    }
}

impl Settings {
    /// As attributes but for the netmask, written once for all virtual services that have them.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut service = Content::of(&mut bytes);
        service.text(SERVICE_SCHEDULER, &self.scheduler);
        // struct ip_vs_flags: the flags and the mask of those that are meant.
        let mut flags = [0; 8];
        flags[..4].copy_from_slice(&self.flags.to_ne_bytes());
        flags[4..].copy_from_slice(&(!FLAG_HASHED).to_ne_bytes());
        service.bytes(SERVICE_FLAGS, &flags);
        service.small([encode::u32(SERVICE_TIMEOUT, self.timeout_s)]);
        bytes
    }
}

/// The question for every virtual service.
pub(crate) fn list_services(family: u16) -> Batch {
    Batch::single(family, DUMP, |content| content.fixed([GET_SERVICE, VERSION, 0, 0]))
}

/// The question for one virtual service, which is refused with `ESRCH` if there is none.
pub(crate) fn get_service(family: u16, key: VirtualKey) -> Batch {
    Batch::single(family, 0, |content| {
        content.fixed([GET_SERVICE, VERSION, 0, 0]);
        content.nest(SERVICE, |service| write_key(service, key));
    })
}

/// The question for the real servers of one virtual service.
pub(crate) fn list_reals(family: u16, key: VirtualKey) -> Batch {
    Batch::single(family, DUMP, |content| {
        content.fixed([GET_DESTINATION, VERSION, 0, 0]);
        content.nest(SERVICE, |service| write_key(service, key));
    })
}

/// Reads a listed virtual service; nothing if it is of a kind that no Cluster has (firewall mark,
/// protocol).
pub(crate) fn read_service(
    message: &Message<'_>,
) -> Result<Option<(VirtualKey, Settings)>, Malformed> {
    let (_, attributes) = message.fixed::<HEADER_BYTES>()?;
    let service = attributes.find(SERVICE)?.ok_or(Malformed("a virtual service is missing"))?;
    let Some(key) = read_key(service)? else { return Ok(None) };
    let mut settings = Settings::default();
    for attribute in Attributes::of(service) {
        match attribute? {
            (SERVICE_SCHEDULER, value) => settings.scheduler = decode::text(value)?.into(),
            (SERVICE_FLAGS, value) => {
                let (first, _) =
                    value.split_at_checked(4).ok_or(Malformed("service flags are cut short"))?;
                settings.flags = decode::u32(first)? & !FLAG_HASHED;
            }
            (SERVICE_TIMEOUT, value) => settings.timeout_s = decode::u32(value)?,
            _ => {}
        }
    }
    Ok(Some((key, settings)))
}

/// Reads which virtual service a nest is about.
fn read_key(service: &[u8]) -> Result<Option<VirtualKey>, Malformed> {
    let (mut family, mut protocol, mut address, mut port) = (None, None, None, None);
    for attribute in Attributes::of(service) {
        match attribute? {
            (SERVICE_FAMILY, value) => family = Some(decode::u16(value)?),
            (SERVICE_PROTOCOL, value) => protocol = protocol_of(value)?,
            (SERVICE_ADDRESS, value) => address = Some(value),
            (SERVICE_PORT, value) => port = Some(decode::be16(value)?),
            (SERVICE_FWMARK, _) => return Ok(None),
            _ => {}
        }
    }
    let family = match family.ok_or(Malformed("a virtual service has no address family"))? {
        IPV4 => Family::V4,
        IPV6 => Family::V6,
        _ => return Ok(None),
    };
    match (protocol, address, port) {
        (Some(protocol), Some(address), Some(port)) => {
            Ok(Some(VirtualKey { address: read_address(family, address)?, port, protocol }))
        }
        _ => Ok(None),
    }
}

/// Reads a `union nf_inet_addr`, or as much of it as an address needs.
fn read_address(family: Family, value: &[u8]) -> Result<IpAddr, Malformed> {
    Ok(match family {
        Family::V4 => decode::ipv4(value)?.into(),
        Family::V6 => decode::ipv6(value)?.into(),
    })
}

fn protocol_of(value: &[u8]) -> Result<Option<Protocol>, Malformed> {
    Ok(u8::try_from(decode::u16(value)?).ok().and_then(Protocol::of_number))
}

/// Reads a listed real server of a virtual service of that family.
pub(crate) fn read_real(message: &Message<'_>, family: Family) -> Result<RealServer, Malformed> {
    read_destination(destination_of(message)?, family)
}

/// Reads how many connections the kernel keeps of a listed real server, the ended ones whose
/// addresses are still in use included.
pub(crate) fn read_connections(message: &Message<'_>) -> Result<u32, Malformed> {
    let mut connections: u32 = 0;
    for attribute in Attributes::of(destination_of(message)?) {
        let (kind, value) = attribute?;
        if matches!(kind, DESTINATION_ACTIVE_CONNECTIONS | DESTINATION_INACTIVE_CONNECTIONS) {
            connections = connections.saturating_add(decode::u32(value)?);
        }
    }
    Ok(connections)
}

fn destination_of<'a>(message: &Message<'a>) -> Result<&'a [u8], Malformed> {
    let (_, attributes) = message.fixed::<HEADER_BYTES>()?;
    attributes.find(DESTINATION)?.ok_or(Malformed("a real server is missing"))
}

fn read_destination(destination: &[u8], family: Family) -> Result<RealServer, Malformed> {
    let (mut address, mut port, mut forwarding, mut weight) = (None, None, 0, 0);
    for attribute in Attributes::of(destination) {
        match attribute? {
            (DESTINATION_ADDRESS, value) => address = Some(read_address(family, value)?),
            (DESTINATION_PORT, value) => port = Some(decode::be16(value)?),
            (DESTINATION_FORWARDING, value) => forwarding = decode::u32(value)? & FORWARDING_MASK,
            (DESTINATION_WEIGHT, value) => weight = decode::u32(value)?,
            _ => {}
        }
    }
    match (address, port) {
        (Some(address), Some(port)) => Ok(RealServer { address, port, forwarding, weight }),
        _ => Err(Malformed("a real server has no address or port")),
    }
}

/// What a message of ours asks for, read back from its bytes: the verb and the object, for an
/// error.
pub(crate) fn describe(message: &Message<'_>) -> Option<(&'static str, String)> {
    let ([command, ..], attributes) = message.fixed::<HEADER_BYTES>().ok()?;
    let verb = match *command {
        NEW_SERVICE | NEW_DESTINATION => "add",
        SET_SERVICE | SET_DESTINATION => "change",
        DELETE_SERVICE | DELETE_DESTINATION => "remove",
        FLUSH => return Some(("remove", "all virtual services".into())),
        _ => "list",
    };
    let Ok(Some(service)) = attributes.find(SERVICE) else {
        return Some((verb, "virtual services".into()));
    };
    let key = read_key(service).ok()??;
    let Some(destination) = attributes.find(DESTINATION).ok()? else {
        return Some((verb, format!("virtual service {key}")));
    };
    let real = read_destination(destination, Family::of(key.address)).ok()?;
    Some((verb, format!("real server {} of virtual service {key}", real.socket())))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use linux::netlink::decode::Messages;
    use neli::consts::nl::{NlType, NlmF};
    use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, Nlattr, NlattrBuilder};
    use neli::nl::{NlPayload, Nlmsghdr, NlmsghdrBuilder};
    use neli::types::{Buffer, GenlBuffer};
    use neli::{Size, ToBytes};
    use proptest::prelude::*;

    use super::*;

    const FAMILY: u16 = 0x20;

    /// The messages that `ipvsadm -A -t 10.96.0.1:80 -s rr` and `-a -t 10.96.0.1:80 -r
    /// 10.128.0.1:8080 -m -w 1` led to in the answers to `ipvsadm -S -n`, Linux 6.1 (strace), the
    /// statistics cut off.
    #[rustfmt::skip]
    const LISTED_SERVICE: &[u8] = &[
        0x60, 0, 0, 0,  0x20, 0,  2, 0,  4, 0xe1, 0x0b, 0x5e,  0x88, 0, 0x80, 0x7c, // family 0x20, NLM_F_MULTI
        1, 1, 0, 0,                                            // IPVS_CMD_NEW_SERVICE, version 1
        0x4c, 0, 1, 0,                                         // service
        6, 0, 1, 0,  2, 0, 0, 0,                               // AF_INET
        6, 0, 2, 0,  6, 0, 0, 0,                               // TCP
        0x14, 0, 3, 0,  10, 96, 0, 1,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // address, in a union of 16 bytes
        6, 0, 4, 0,  0, 80, 0, 0,                              // port, big-endian
        7, 0, 6, 0,  b'r', b'r', 0, 0,                         // scheduler
        12, 0, 7, 0,  2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,      // flags: hashed
        8, 0, 8, 0,  0, 0, 0, 0,                               // timeout
    ];
    #[rustfmt::skip]
    const LISTED_REAL: &[u8] = &[
        0x6c, 0, 0, 0,  0x20, 0,  2, 0,  4, 0xe1, 0x0b, 0x5e,  0x88, 0, 0x40, 0xa7,
        5, 1, 0, 0,                                            // IPVS_CMD_NEW_DEST, version 1
        0x58, 0, 2, 0,                                         // destination
        0x14, 0, 1, 0,  10, 128, 0, 1,  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 2, 0,  0x1f, 0x90, 0, 0,                         // port 8080
        8, 0, 3, 0,  0, 0, 0, 0,                               // masquerading
        8, 0, 4, 0,  1, 0, 0, 0,                               // weight 1
        5, 0, 13, 0,  0, 0, 0, 0,                              // tunnel type
        6, 0, 14, 0,  0, 0, 0, 0,                              // tunnel port
        6, 0, 15, 0,  0, 0, 0, 0,                              // tunnel flags
        8, 0, 5, 0,  0, 0, 0, 0,                               // thresholds
        8, 0, 6, 0,  0, 0, 0, 0,
    ];
    fn message(bytes: &[u8]) -> Message<'_> {
        Messages::of(bytes).next().expect("one").expect("valid")
    }

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Batch {
        let mut encoder = Encoder::default();
        write(&mut Writer { encoder: &mut encoder, family: FAMILY });
        encoder.finish()
    }

    #[test]
    fn a_captured_virtual_service_is_read() {
        let listed = read_service(&message(LISTED_SERVICE)).expect("valid").expect("IPv4");
        let key = VirtualKey { address: [10, 96, 0, 1].into(), port: 80, protocol: Protocol::Tcp };
        assert_eq!(listed, (key, Settings { scheduler: "rr".into(), flags: 0, timeout_s: 0 }));
    }

    #[test]
    fn a_captured_real_server_is_read() {
        let address = [10, 128, 0, 1].into();
        let expected = RealServer { address, port: 8080, forwarding: 0, weight: 1 };
        assert_eq!(read_real(&message(LISTED_REAL), Family::V4), Ok(expected));
        assert_eq!(read_connections(&message(LISTED_REAL)), Ok(0));
        let counts = [8, 0, 7, 0, 2, 0, 0, 0, 8, 0, 8, 0, 3, 0, 0, 0];
        let mut counted = [LISTED_REAL, &counts].concat();
        counted[0] += 16;
        counted[20] += 16;
        assert_eq!(read_connections(&message(&counted)), Ok(5));
    }

    #[test]
    fn a_service_by_firewall_mark_or_of_another_family_is_passed_over() {
        let batch = Batch::single(FAMILY, 0, |content| {
            content.fixed([NEW_SERVICE, VERSION, 0, 0]);
            content.nest(SERVICE, |service| {
                service.small([encode::u16(SERVICE_FAMILY, 2), encode::u32(SERVICE_FWMARK, 7)]);
            });
        });
        assert_eq!(read_service(&message(batch.bytes())), Ok(None));
        let batch = Batch::single(FAMILY, 0, |content| {
            content.fixed([NEW_SERVICE, VERSION, 0, 0]);
            content.nest(SERVICE, |service| service.small([encode::u16(SERVICE_FAMILY, 10)]));
        });
        assert_eq!(read_service(&message(batch.bytes())), Ok(None));
    }

    #[test]
    fn a_message_is_described_by_what_it_asks_for() {
        let key = VirtualKey { address: [10, 96, 0, 1].into(), port: 53, protocol: Protocol::Udp };
        let real =
            RealServer { address: [10, 128, 0, 1].into(), port: 5353, forwarding: 0, weight: 1 };
        let words = |batch: &Batch| {
            let (verb, object) = describe(&message(batch.bytes())).expect("a description");
            format!("{verb} {object}")
        };
        assert_eq!(
            words(&written(|writer| writer.real(Verb::Remove, key, &real))),
            "remove real server 10.128.0.1:5353 of virtual service 10.96.0.1:53/udp"
        );
        assert_eq!(
            words(&written(|writer| writer.service(Verb::Remove, key, &[]))),
            "remove virtual service 10.96.0.1:53/udp"
        );
        let mut encoder = Encoder::default();
        Writer { encoder: &mut encoder, family: FAMILY }.flush();
        assert_eq!(words(&encoder.finish()), "remove all virtual services");
    }

    /// The same messages as `neli` writes them.
    mod oracle {
        use super::*;

        type Attribute = Nlattr<u16, Buffer>;

        pub fn attribute(kind: u16, payload: impl Size + ToBytes) -> Attribute {
            let kind = AttrTypeBuilder::default().nla_type(kind).build().expect("a type");
            NlattrBuilder::default().nla_type(kind).nla_payload(payload).build().expect("fits")
        }

        pub fn nest(kind: u16, attributes: &[Attribute]) -> Attribute {
            let kind = AttrTypeBuilder::default().nla_nested(true).nla_type(kind).build();
            let empty: [u8; 0] = [];
            let nest = NlattrBuilder::default().nla_type(kind.expect("a type"));
            let nest = nest.nla_payload(&empty[..]).build().expect("empty");
            attributes.iter().fold(nest, |nest, attribute| nest.nest(attribute).expect("fits"))
        }

        pub fn octets(address: IpAddr) -> Vec<u8> {
            match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            }
        }

        pub fn key(key: VirtualKey) -> Vec<Attribute> {
            vec![
                attribute(SERVICE_FAMILY, if key.address.is_ipv4() { 2_u16 } else { 10 }),
                attribute(SERVICE_PROTOCOL, u16::from(key.protocol.number())),
                attribute(SERVICE_ADDRESS, &octets(key.address)[..]),
                attribute(SERVICE_PORT, key.port.to_be()),
            ]
        }

        /// One message with sequence number 1 that asks for an acknowledgement, as the last of a
        /// batch does.
        pub fn message(command: u8, attributes: Vec<Attribute>) -> Vec<u8> {
            let payload: Genlmsghdr<u8, u16> = GenlmsghdrBuilder::default()
                .cmd(command)
                .version(VERSION)
                .attrs(attributes.into_iter().collect::<GenlBuffer<_, _>>())
                .build()
                .expect("a payload");
            bytes(
                &NlmsghdrBuilder::default()
                    .nl_type(FAMILY)
                    .nl_flags(NlmF::REQUEST | NlmF::ACK)
                    .nl_seq(1)
                    .nl_payload(NlPayload::Payload(payload))
                    .build()
                    .expect("a message"),
            )
        }

        fn bytes<T: NlType, P: Size + ToBytes>(message: &Nlmsghdr<T, P>) -> Vec<u8> {
            let mut buffer = Cursor::new(vec![0; message.padded_size()]);
            message.to_bytes(&mut buffer).expect("it is written");
            buffer.into_inner()
        }
    }

    fn address(is_ipv4: bool, bits: u128) -> IpAddr {
        let [.., a, b, c, d] = bits.to_be_bytes();
        if is_ipv4 { [a, b, c, d].into() } else { bits.to_be_bytes().into() }
    }

    prop_compose! {
        fn any_key()(is_ipv4: bool, bits: u128, port: u16, protocol in prop::sample::select(vec![
            Protocol::Tcp, Protocol::Udp, Protocol::Sctp,
        ])) -> VirtualKey {
            VirtualKey { address: address(is_ipv4, bits), port, protocol }
        }
    }

    prop_compose! {
        fn any_real()(
            is_ipv4: bool, bits: u128, port: u16, forwarding in 0_u32..8, weight: u32,
        ) -> RealServer {
            RealServer { address: address(is_ipv4, bits), port, forwarding, weight }
        }
    }

    proptest! {
        #[test]
        fn services_are_written_as_neli_writes_them(
            key in any_key(), scheduler in "[a-z]{1,15}", flags: u32, timeout_s: u32,
        ) {
            let settings = Settings { scheduler: scheduler.as_str().into(), flags, timeout_s };
            let settings = settings.written();
            let mut mask = flags.to_ne_bytes().to_vec();
            mask.extend((!2_u32).to_ne_bytes());
            let mut attributes = oracle::key(key);
            attributes.extend([
                oracle::attribute(SERVICE_SCHEDULER, scheduler.as_str()),
                oracle::attribute(SERVICE_FLAGS, &mask[..]),
                oracle::attribute(SERVICE_TIMEOUT, timeout_s),
                oracle::attribute(SERVICE_NETMASK, if key.address.is_ipv4() { u32::MAX } else { 128 }),
            ]);
            let expected = |command| oracle::message(command, vec![oracle::nest(SERVICE, &attributes)]);
            let new = written(|writer| writer.service(Verb::Add, key, &settings));
            prop_assert_eq!(new.bytes(), expected(NEW_SERVICE));
            let set = written(|writer| writer.service(Verb::Change, key, &settings));
            prop_assert_eq!(set.bytes(), expected(SET_SERVICE));
            let delete = written(|writer| writer.service(Verb::Remove, key, &[]));
            let expected = oracle::message(DELETE_SERVICE, vec![oracle::nest(SERVICE, &oracle::key(key))]);
            prop_assert_eq!(delete.bytes(), expected);
        }

        #[test]
        fn real_servers_are_written_as_neli_writes_them(key in any_key(), real in any_real()) {
            let expected = |command, attributes: Vec<_>| oracle::message(command, vec![
                oracle::nest(SERVICE, &oracle::key(key)),
                oracle::nest(DESTINATION, &attributes),
            ]);
            let which = || vec![
                oracle::attribute(DESTINATION_ADDRESS, &oracle::octets(real.address)[..]),
                oracle::attribute(DESTINATION_PORT, real.port.to_be()),
            ];
            let whole = || [which(), vec![
                oracle::attribute(DESTINATION_FORWARDING, real.forwarding),
                oracle::attribute(DESTINATION_WEIGHT, real.weight),
                oracle::attribute(DESTINATION_UPPER_THRESHOLD, 0_u32),
                oracle::attribute(DESTINATION_LOWER_THRESHOLD, 0_u32),
            ]].concat();
            let new = written(|writer| writer.real(Verb::Add, key, &real));
            prop_assert_eq!(new.bytes(), expected(NEW_DESTINATION, whole()));
            let set = written(|writer| writer.real(Verb::Change, key, &real));
            prop_assert_eq!(set.bytes(), expected(SET_DESTINATION, whole()));
            let delete = written(|writer| writer.real(Verb::Remove, key, &real));
            prop_assert_eq!(delete.bytes(), expected(DELETE_DESTINATION, which()));
        }

        #[test]
        fn what_is_written_is_read(
            key in any_key(), real in any_real(), scheduler in "[a-z]{1,15}", timeout_s: u32,
        ) {
            let settings = Settings { scheduler: scheduler.into(), flags: 0x10, timeout_s };
            let written_settings = settings.written();
            let service = written(|writer| writer.service(Verb::Add, key, &written_settings));
            let listed = read_service(&message(service.bytes())).expect("valid").expect("a key");
            prop_assert_eq!(listed, (key, settings));
            let destination = written(|writer| writer.real(Verb::Add, key, &real));
            let read = read_real(&message(destination.bytes()), Family::of(real.address));
            prop_assert_eq!(read, Ok(real));
        }

        #[test]
        fn arbitrary_content_never_panics(content: Vec<u8>) {
            let message = Message { kind: FAMILY, flags: 0, sequence: 1, content: &content };
            let _ = (read_service(&message), read_connections(&message), describe(&message));
            let _ = Family::ALL.map(|family| read_real(&message, family));
        }

        #[test]
        fn damaged_answers_never_panic(at in 0_usize..500, byte: u8) {
            for captured in [LISTED_SERVICE, LISTED_REAL] {
                let mut bytes = captured.to_vec();
                let place = at % bytes.len();
                bytes[place] = byte;
                for message in Messages::of(&bytes).flatten() {
                    let _ = (read_service(&message), read_connections(&message), describe(&message));
                    let _ = Family::ALL.map(|family| read_real(&message, family));
                }
            }
        }
    }
}
