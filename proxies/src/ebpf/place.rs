//! What the maps hold, as bytes: the structures of `connect.bpf.c`.

use std::net::{IpAddr, SocketAddr};

/// An address, a port and a transport protocol (`struct place`): IPv4 as `::ffff:0:0/96`, port in
/// network order.
pub(super) type Place = [u8; 20];
/// A Service's place in a scope (`struct key`).
pub(super) type Key = [u8; 24];
/// Its number and how many Endpoints it has (`struct service`).
pub(super) type Value = [u32; 2];
/// A Service's number and that of an Endpoint (`struct slot`).
pub(super) type Slot = [u32; 2];

/// A place.
pub(super) fn place(at: SocketAddr, protocol: u8) -> Place {
    let address = match at.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let mut bytes = Place::default();
    let (of_address, rest) = bytes.split_at_mut(16);
    of_address.copy_from_slice(&address.octets());
    let (of_port, of_protocol) = rest.split_at_mut(2);
    of_port.copy_from_slice(&at.port().to_be_bytes());
    of_protocol.copy_from_slice(&u16::from(protocol).to_ne_bytes());
    bytes
}

/// A place in words.
pub(super) fn words(place: &Place) -> String {
    let [address @ .., p, q, low, high] = place;
    let address = IpAddr::from(*address).to_canonical();
    let at = SocketAddr::new(address, u16::from_be_bytes([*p, *q]));
    format!("{at}/{}", u16::from_ne_bytes([*low, *high]))
}

/// A Service's key.
pub(super) fn key(place: &Place, scope: u32) -> Key {
    let mut bytes = Key::default();
    let (of_place, of_scope) = bytes.split_at_mut(20);
    of_place.copy_from_slice(place);
    of_scope.copy_from_slice(&scope.to_ne_bytes());
    bytes
}

/// The place of a key, if it is of a scope.
pub(super) fn of_scope(key: &Key, scope: u32) -> Option<Place> {
    let (place, rest) = key.split_first_chunk::<20>()?;
    (rest == scope.to_ne_bytes()).then_some(*place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_a_socket_has_of_it() {
        let at = place(([10, 96, 0, 1], 80).into(), 6);
        assert_eq!(at[..10], [0; 10]);
        assert_eq!(at[10..], [0xff, 0xff, 10, 96, 0, 1, 0, 80, 6, 0]);
        assert_eq!(words(&at), "10.96.0.1:80/6");
        let at = place("[fd00::1]:53".parse().expect("an address"), 17);
        assert_eq!((at[0], at[15], words(&at).as_str()), (0xfd, 1, "[fd00::1]:53/17"));
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let at = place(([10, 96, 0, 1], 80).into(), 6);
        assert_eq!(of_scope(&key(&at, 7), 7), Some(at));
        assert_eq!(of_scope(&key(&at, 7), 8), None);
    }
}
