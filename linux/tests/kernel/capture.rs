//! Captured packets and the chains that they meet, over `lo`.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use linux::capture::{Capture, Framing, TIMES_BEGIN};
use linux::netlink::trace::Steps;
use linux::netlink::{LOOPBACK_INDEX, Rtnl};

use crate::{in_new_namespace, printed};

/// Sends one datagram to itself and gives the port that it came from.
fn send(text: &[u8]) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(text, socket.local_addr().unwrap()).unwrap();
    socket.recv(&mut [0; 16]).unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_packet_is_captured_where_it_is_sent_and_where_it_comes_in() {
    in_new_namespace(|| {
        Rtnl::open().unwrap().set_up(LOOPBACK_INDEX).unwrap();
        let capture = Capture::begin().unwrap();
        std::thread::sleep(TIMES_BEGIN);
        let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        send(b"captured");
        let captured = capture.end().unwrap();
        let own = captured.packets.iter().filter(|packet| packet.bytes.ends_with(b"captured"));
        let own: Vec<_> = own.collect();
        let [sent, received] = own[..] else { panic!("{captured:?}") };
        assert!(sent.is_outgoing && !received.is_outgoing);
        assert!(before <= sent.time && sent.time <= received.time);
        assert!(received.time < before + Duration::from_mins(1), "a time, and not one of reading");
        for packet in own {
            assert_eq!((packet.device.as_str(), packet.framing), ("lo", Framing::Ethernet));
            assert_eq!((packet.length, packet.bytes.len()), (50, 50));
        }
        assert_eq!(captured.lost, 0);
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn what_does_not_fit_is_counted() {
    in_new_namespace(|| {
        Rtnl::open().unwrap().set_up(LOOPBACK_INDEX).unwrap();
        let capture = Capture::begin().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..40_000 {
            socket.send_to(b"flood", socket.local_addr().unwrap()).unwrap();
        }
        let captured = capture.end().unwrap();
        assert_eq!(captured.packets.len(), 4_096, "what is read is bounded");
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn marked_packets_tell_the_chains_that_they_meet() {
    in_new_namespace(|| {
        Rtnl::open().unwrap().set_up(LOOPBACK_INDEX).unwrap();
        for rule in [
            "add table ip t",
            "add chain ip t marks { type filter hook output priority -400 ; }",
            "add rule ip t marks udp length 11 meta nftrace set 1",
            "add chain ip t other",
            "add rule ip t other accept",
            "add chain ip t looks { type filter hook output priority 0 ; }",
            "add rule ip t looks jump other",
        ] {
            printed("nft", rule);
        }
        let steps = Steps::begin().unwrap();
        send(b"no");
        let port = send(b"yes");
        let steps = steps.end().unwrap();
        let looked: Vec<_> = steps.iter().filter(|step| step.chain != "marks").collect();
        let told: Vec<(&str, &str, bool)> = looked
            .iter()
            .map(|step| (step.chain.as_str(), step.verdict.as_str(), step.by_rule))
            .collect();
        assert_eq!(told, [("looks", "jump other", true), ("other", "accept", true)]);
        assert_eq!((looked[0].family, looked[0].table.as_str()), (2, "t"));
        // An IPv4 header, then that of UDP, which begins with the port.
        assert_eq!(looked[0].header[20..22], port.to_be_bytes());
        assert!(looked[1].header.is_empty());
    });
}
