//! A real kube-proxy: that it is fed, and that what it programs follows.

use std::path::PathBuf;
use std::process::Command;

use generators::{Change, Cluster};
use proxies::kube_proxy::{Mode, know, version_of};
use proxies::{Backend, Descriptor, Options, SyncRequest};

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

fn follows_changes(mode: Mode) {
    in_new_namespace(|| {
        let before = programmed();
        let mut proxy = of_environment(mode).open(&options());
        proxy.probe().expect("this machine can do it");
        let cluster = golden::overall();
        proxy.ready(&SyncRequest::Full(&cluster)).expect("the API");
        proxy.start(&cluster).expect("a full sync");
        assert!(programmed().contains("172.30.0.41"));
        audit(&mut *proxy, &cluster);
        let cluster = sync(&mut *proxy, &cluster, replaced());
        assert!(programmed().contains("10.180.0.33"));
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
