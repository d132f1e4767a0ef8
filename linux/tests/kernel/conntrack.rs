//! Connection tracking, with connections over `lo` and a rule that makes the kernel track them.

use std::net::{TcpListener, TcpStream};

use linux::netlink::conntrack::{connections, forget};
use linux::netlink::{LOOPBACK_INDEX, Rtnl};

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
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(any).unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let [from, to] = [stream.local_addr().unwrap(), stream.peer_addr().unwrap()];
            let ours = || {
                let all = connections().unwrap();
                all.into_iter().find(|found| found.original.source_port == from.port())
            };
            let found = ours().unwrap();
            assert_eq!((found.original.source, found.original.destination), (from.ip(), to.ip()));
            assert_eq!((found.original.transport, found.original.destination_port), (6, to.port()));
            assert_eq!((found.reply.source, found.reply.source_port), (to.ip(), to.port()));
            forget(&found.original).unwrap();
            assert_eq!(ours(), None);
            assert!(forget(&found.original).unwrap_err().is_not_found());
        }
    });
}
