//! Connection tracking, with connections over `lo` and a rule that makes the kernel track them.

use std::net::{TcpListener, TcpStream};

use linux::netlink::conntrack::{connections, forget};
use linux::netlink::{AddressFamily, LOOPBACK_INDEX, Rtnl};

use crate::{in_new_namespace, printed};

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_connection_is_listed_until_it_is_forgotten() {
    in_new_namespace(|| {
        Rtnl::open().unwrap().set_up(LOOPBACK_INDEX).unwrap();
        for rule in [
            "add table inet t",
            "add chain inet t c { type filter hook output priority 0 ; }",
            "add rule inet t c ct state new accept",
        ] {
            printed("nft", rule);
        }
        for (any, own, other) in [
            ("127.0.0.1:0", AddressFamily::V4, AddressFamily::V6),
            ("[::1]:0", AddressFamily::V6, AddressFamily::V4),
        ] {
            let listener = TcpListener::bind(any).unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let [from, to] = [stream.local_addr().unwrap(), stream.peer_addr().unwrap()];
            let ours = |of| {
                let found = connections(of, |found| found.original.source_port == from.port());
                found.unwrap().into_iter().next()
            };
            let found = ours(Some(own)).unwrap();
            assert_eq!((ours(None), ours(Some(other))), (Some(found), None));
            assert_eq!((found.original.source, found.original.destination), (from.ip(), to.ip()));
            assert_eq!((found.original.transport, found.original.destination_port), (6, to.port()));
            assert_eq!((found.reply.source, found.reply.source_port), (to.ip(), to.port()));
            let twice = [found.original, found.original];
            assert_eq!(forget(&twice).unwrap(), 1, "the second is gone");
            assert_eq!(ours(None), None);
        }
    });
}
