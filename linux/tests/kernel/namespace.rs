//! Namespaces, kernel parameters and `/proc/net`.

use linux::netns::Namespace;
use linux::sysctl::{Sysctls, read as read_sysctl};

use crate::in_new_namespace;

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_changed_sysctl_is_put_back_and_only_once() {
    in_new_namespace(|| {
        let before = read_sysctl("net.ipv4.ip_default_ttl").unwrap();
        let mut sysctls = Sysctls::default();
        for value in ["7", "7", "8"] {
            sysctls.change("net.ipv4.ip_default_ttl", value).unwrap();
            assert_eq!(read_sysctl("net.ipv4.ip_default_ttl").unwrap(), value);
        }
        assert!(sysctls.restore().is_empty());
        assert_eq!(read_sysctl("net.ipv4.ip_default_ttl").unwrap(), before);
        Sysctls::default().set("net.ipv4.ip_default_ttl", "9").unwrap();
        assert!(sysctls.restore().is_empty());
        assert_eq!(read_sysctl("net.ipv4.ip_default_ttl").unwrap(), "9");
    });
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn a_panic_inside_a_namespace_reaches_the_caller() {
    let host = Namespace::new("panicking").unwrap();
    let caught = std::panic::catch_unwind(|| host.enter(|| panic!("inside")));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"inside"));
}

#[test]
#[ignore = "needs root; run by scripts/test"]
fn tables_are_those_of_the_calling_threads_namespace() {
    let devices = in_new_namespace(|| linux::procnet::read("dev").unwrap());
    assert_eq!(devices.lines().filter(|line| line.contains("lo:")).count(), 1, "{devices}");
    assert_eq!(devices.lines().count(), 3 + devices.matches("tunl0:").count(), "{devices}");
    let sent = in_new_namespace(|| linux::procnet::counter("snmp", "Tcp", "OutSegs").unwrap());
    assert_eq!(sent, Some(0));
}
