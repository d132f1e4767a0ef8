//! What the probe of features says of the kernel that the tests run in, held against what that
//! kernel does for others.

use std::process::Command;

use proxies::features::{Feature, try_all};

use crate::netns::in_new_namespace;

fn find<'f>(features: &'f [Feature], group: &str, name: &str) -> &'f Feature {
    let found = features.iter().find(|feature| feature.group == group && feature.name == name);
    found.expect("it was tried")
}

#[test]
#[ignore = "needs root and iptables; run by scripts/test"]
fn features_are_what_the_tools_themselves_can_do() {
    let (features, listed) = in_new_namespace(|| {
        let features = try_all();
        let listed = Command::new("iptables-nft").args(["-t", "nat", "-S"]).output();
        (features, String::from_utf8(listed.expect("it runs").stdout).expect("text"))
    });
    let masquerade = find(&features, "nft target", "MASQUERADE");
    assert_eq!(masquerade.missing.is_none(), listed.contains("-j MASQUERADE"), "{masquerade:?}");
    assert_eq!(find(&features, "proxy", "none").missing, None);
}

#[test]
#[ignore = "needs root and a kernel with IPVS; run by scripts/test in a guest"]
fn ipvs_schedulers_are_tried_by_name() {
    let features = in_new_namespace(try_all);
    assert_eq!(find(&features, "scheduler", "rr").missing, None);
    let unknown = in_new_namespace(|| proxies::ipvs::try_scheduler("no-such"));
    let error = unknown.expect_err("no kernel has it").to_string();
    assert!(error.contains("scheduler no-such"), "{error}");
}
