//! A real kube-proxy: that it is fed, and that what it programs follows.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use generators::{Change, Cluster};
use proxies::kube_proxy::{Mode, know, version_of};
use proxies::{Account, Backend, Descriptor, Options, SyncRequest};

use crate::golden;
use crate::netns::in_new_namespace;

/// The one that the environment names. `scripts/test` counts these tests as skipped without it.
fn of_environment(mode: Mode) -> &'static Descriptor {
    let path = std::env::var_os("VIPBENCH_KUBE_PROXY").map(PathBuf::from);
    let path = path.expect("VIPBENCH_KUBE_PROXY names a kube-proxy");
    let version = version_of(&path).expect("it tells its version");
    let mut all = know(&path, &version).into_iter();
    all.find(|one| one.binary.is_some_and(|binary| binary.mode == mode)).expect("its modes")
}

fn options() -> Options {
    let mut options =
        Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() };
    options.nftables.service_cidrs = vec!["172.30.0.0/16".parse().expect("a range")];
    options
}

/// All that is programmed, in text.
fn programmed() -> String {
    let of = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect(program);
        String::from_utf8(output.stdout).expect("text")
    };
    let all =
        [of("iptables-save", &[]), of("ip6tables-save", &[]), of("nft", &["list", "ruleset"])];
    let lines = all.iter().flat_map(|text| text.lines());
    let is_content =
        |line: &&str| ["KUBE-S", "172.30.", "10.180."].iter().any(|part| line.contains(part));
    lines.filter(is_content).collect::<Vec<_>>().join("\n")
}

fn replaced() -> Change {
    let endpoint = |text: &str| text.parse::<std::net::SocketAddr>().expect("ip:port").into();
    Change::EndpointReplaced {
        service: "ns3/svc3:p80".parse().expect("a name"),
        old: endpoint("10.180.0.3:80"),
        new: endpoint("10.180.0.33:80"),
    }
}

fn added() -> Change {
    Change::ServiceAdded(golden::service("ns7/svc7:p80", "172.30.0.47", &["10.180.0.7:80"]))
}

fn removed() -> Change {
    Change::ServiceRemoved("ns7/svc7:p80".parse().expect("a name"))
}

/// Syncs a Step as the measurement does.
fn sync(proxy: &mut dyn Backend, cluster: &Cluster, change: Change) -> Cluster {
    let step = cluster.step(vec![change]).expect("it fits");
    proxy.ready(&SyncRequest::Incremental(&step)).expect("it rests");
    proxy.apply(&step).expect("an incremental sync");
    step.into_after()
}

fn audit(proxy: &mut dyn Backend, cluster: &Cluster) {
    let verdict = proxy.audit().map_or(Ok(()), |audit| audit.verify(cluster));
    verdict.expect("what is programmed is what ours programs");
}

fn account(proxy: &mut dyn Backend) -> Account {
    let account = proxy.account().expect("it answers").expect("a program of somebody else");
    assert!(account.cpu.ns > 0 && account.memory_peak_bytes > account.heap_bytes, "{account:?}");
    assert!(account.heap_bytes > 1 << 20, "{account:?}");
    account
}

/// Whether a sync of this family took its time.
fn tells(account: &Account, family: &str) -> bool {
    account.syncs.iter().any(|(label, took)| label.starts_with(family) && !took.is_zero())
}

fn follows_changes(mode: Mode) {
    in_new_namespace(|| {
        let before = programmed();
        let mut proxy = of_environment(mode).open(&options());
        proxy.probe().expect("this machine can do it");
        let cluster = golden::overall();
        proxy.ready(&SyncRequest::Full(&cluster)).expect("the API");
        proxy.start(&cluster).expect("a full sync");
        assert!(programmed().contains("172.30.0.41"));
        let account = account(&mut *proxy);
        assert!(account.served.is_some_and(|served| served.asked < served.listed));
        let families = ["ipv4", "ipv6"].map(|family| tells(&account, family));
        assert_eq!(families, [true; 2], "{account:?}");
        audit(&mut *proxy, &cluster);
        let cluster = sync(&mut *proxy, &cluster, replaced());
        assert!(programmed().contains("10.180.0.33"));
        let account = self::account(&mut *proxy);
        let is_partial = |(label, _): &(String, Duration)| label == "ipv4.partial";
        assert!(account.served.is_none() && account.syncs.iter().all(is_partial), "{account:?}");
        assert!(tells(&account, "ipv4"), "{account:?}");
        let cluster = sync(&mut *proxy, &cluster, added());
        let now = programmed();
        assert!(now.contains("172.30.0.47") && now.contains("10.180.0.7"));
        let cluster = sync(&mut *proxy, &cluster, removed());
        audit(&mut *proxy, &cluster);
        assert!(!programmed().contains("172.30.0.47"));
        proxy.stop().expect("it cleans up");
        assert_eq!(programmed(), before);
    });
}

#[test]
#[ignore = "needs root and a kube-proxy; run by scripts/test"]
fn iptables_follows_changes() {
    follows_changes(Mode::Iptables);
}

#[test]
#[ignore = "needs root and a kube-proxy; run by scripts/test"]
fn nftables_follows_changes() {
    follows_changes(Mode::Nftables);
}
