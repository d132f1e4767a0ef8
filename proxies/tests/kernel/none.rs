//! The control `none`: the contract, and that it puts nothing into the kernel.

use generators::Cluster;
use proxies::{Options, ProxyKind, Size, SyncRequest, open};

use crate::contract::{Backend, contract_tests};
use crate::golden;

const NONE: Backend = Backend {
    kind: ProxyKind::None,
    options: Options::default,
    witness: || [crate::iptables::saved("legacy"), crate::iptables::saved("nft")].concat(),
};

contract_tests!(NONE);

#[test]
fn its_program_is_empty() {
    let cluster: Cluster = golden::overall();
    let program = open(ProxyKind::None, &Options::default())
        .render(&SyncRequest::Full(&cluster))
        .expect("it renders");
    assert_eq!(program.size, Size::default());
    assert_eq!(program.text(), None);
}
