//! What every backend is held to, in a real kernel: one function a clause of the contract above
//! `proxies::Backend`. `every_backend` runs them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use generators::{
    Change, ChangeKind, Cluster, EndpointCount, Families, Kinds, Position, Protocol, Protocols,
    Service, SyntheticSpec, changes as changes_of, generate,
};
use proxies::{Backend, Descriptor, Options, ProxyError, SyncRequest, find};

pub use crate::flows::a_udp_flow_leaves_an_endpoint_that_is_gone;
use crate::golden;
use crate::netns::{in_new_namespace, make_network_10_local};
use crate::witness;

/// A backend under test.
#[derive(Clone, Copy)]
pub struct Subject {
    /// The backend.
    pub backend: &'static Descriptor,
    /// The options that it is opened with.
    pub options: fn() -> Options,
}

impl Subject {
    /// One of them, fresh.
    pub fn open(&self) -> Box<dyn Backend> {
        self.backend.open(&(self.options)())
    }

    /// Whether an audit must find what is missing or wrong: `none` programs nothing.
    fn programs_the_kernel(&self) -> bool {
        !self.backend.is_control()
    }
}

/// What its own look at the kernel says; nothing where it has none.
fn audit(backend: &mut dyn Backend, cluster: &Cluster) -> Option<Result<(), ProxyError>> {
    backend.audit().map(|audit| audit.verify(cluster))
}

fn assert_audit(backend: &mut dyn Backend, cluster: &Cluster, what: &str) {
    if let Some(verdict) = audit(backend, cluster) {
        verdict.expect(what);
    }
}

fn full_sync(backend: &mut dyn Backend, cluster: &Cluster) {
    backend.start(cluster).expect("a full sync");
}

/// The Cluster of the golden cases and one UDP Service with three Endpoints.
fn cluster() -> Cluster {
    let endpoints = ["10.180.1.1:53", "10.180.1.2:53", "10.180.1.10:53"];
    let udp = golden::service("ns5/dns:udp", "172.30.0.45", &endpoints);
    let udp =
        Service::new(udp.name().clone(), udp.vip(), 53, Protocol::Udp, udp.endpoints().into())
            .expect("a UDP Service");
    golden::overall().apply(&Change::ServiceAdded(udp)).expect("it fits")
}

/// A Change of each kind, to be applied one after the other.
fn changes() -> [Change; 5] {
    let name = |text: &str| text.parse().expect("a name");
    let endpoint = |text: &str| text.parse::<SocketAddr>().expect("ip:port").into();
    [
        Change::EndpointReplaced {
            service: name("ns5/dns:udp"),
            old: endpoint("10.180.1.2:53"),
            new: endpoint("10.180.1.20:53"),
        },
        Change::EndpointReplaced {
            service: name("ns3/svc3:p80"),
            old: endpoint("10.180.0.3:80"),
            new: endpoint("10.180.0.33:80"),
        },
        Change::EndpointsSet {
            service: "ns5/dns:udp".parse().expect("a name"),
            endpoints: ["10.180.1.1:53", "10.180.1.30:53"].map(endpoint).into(),
        },
        Change::ServiceAdded(golden::service("ns7/new:p80", "172.30.0.47", &["10.180.0.7:80"])),
        Change::ServiceRemoved("ns4/svc4:p80".parse().expect("a name")),
    ]
}

/// A backend that is to be tested can work here, and probing leaves nothing behind.
pub fn probe_leaves_nothing(subject: Subject) {
    subject.open().probe().expect("this kernel and these tools can do it");
    assert_eq!(witness::state(), Vec::<String>::new());
}

/// After settling, the kernel holds the same, and a Step can follow.
pub fn settling_changes_no_answer(subject: Subject) {
    let mut proxy = subject.open();
    let before = cluster();
    full_sync(&mut *proxy, &before);
    let state = witness::state();
    proxy.settle(&before).expect("it settles");
    assert_eq!(witness::state(), state);
    let [change, ..] = changes();
    let step = before.step(vec![change]).expect("it fits");
    proxy.apply(&step).expect("an incremental sync");
    assert_audit(&mut *proxy, step.after(), "the Change is in the kernel");
}

/// After a full sync the kernel holds the Cluster, and no other.
pub fn a_full_sync_is_verified(subject: Subject) {
    let mut proxy = subject.open();
    let cluster = cluster();
    full_sync(&mut *proxy, &cluster);
    assert_audit(&mut *proxy, &cluster, "the Cluster is in the kernel");
    for change in changes() {
        let other = cluster.apply(&change).expect("it fits");
        if let Some(verdict) = audit(&mut *proxy, &other) {
            assert_eq!(verdict.is_err(), subject.programs_the_kernel(), "{change:?}: {verdict:?}");
        }
    }
}

/// A full sync by a new process onto the same Cluster leaves the kernel as it was.
pub fn a_restart_changes_nothing(subject: Subject) {
    let cluster = cluster();
    full_sync(&mut *subject.open(), &cluster);
    let before = witness::state();
    assert_ne!(before.is_empty(), subject.programs_the_kernel());
    let mut restarted = subject.open();
    full_sync(&mut *restarted, &cluster);
    assert_eq!(witness::state(), before);
    assert_audit(&mut *restarted, &cluster, "the Cluster is still there");
}

/// A full sync by a new process onto another Cluster leaves nothing of that one.
pub fn a_full_sync_replaces_another_cluster(subject: Subject) {
    full_sync(&mut *subject.open(), &golden::endpoint_replaced().0);
    let cluster = cluster();
    let mut proxy = subject.open();
    full_sync(&mut *proxy, &cluster);
    assert_audit(&mut *proxy, &cluster, "only the new Cluster is there");
}

/// Each Change leads to the state that a full sync of the Cluster after it leads to.
pub fn a_change_equals_a_full_sync(subject: Subject) {
    let mut proxy = subject.open();
    let mut before = cluster();
    full_sync(&mut *proxy, &before);
    for change in changes() {
        let step = before.step(vec![change]).expect("it fits");
        proxy.apply(&step).expect("an incremental sync");
        let changes = step.changes().to_vec();
        let after = step.into_after();
        assert_audit(&mut *proxy, &after, "the Change is in the kernel");
        let fresh = in_new_namespace(|| {
            full_sync(&mut *subject.open(), &after);
            witness::state()
        });
        assert_eq!(witness::state(), fresh, "{changes:?}");
        before = after;
    }
}

/// Several Changes in one sync do what they do one by one.
pub fn changes_can_be_batched(subject: Subject) {
    let mut proxy = subject.open();
    let before = cluster();
    full_sync(&mut *proxy, &before);
    let step = before.step(changes().into()).expect("they fit");
    proxy.apply(&step).expect("an incremental sync");
    assert_audit(&mut *proxy, step.after(), "all Changes are in the kernel");
}

/// A Cluster with Services of every kind.
fn of_all_kinds(seed: u64) -> (SyntheticSpec, Cluster) {
    let spec = SyntheticSpec {
        services: 30,
        endpoints: EndpointCount::Uniform { min: 1, max: 4 },
        protocols: Protocols { tcp: 3, udp: 1, sctp: 0 },
        service_cidr: "172.30.0.0/16".parse().expect("a network"),
        families: Families::Dual,
        kinds: Kinds { cluster_ip: 2, ..Kinds::ONE_EACH },
        remote_endpoints: 0.5,
        ..SyntheticSpec::default()
    };
    let cluster = generate(&spec, seed).expect("a Cluster");
    (spec, cluster)
}

/// After any sequence of Steps the kernel holds what a full sync of the Cluster would make,
/// whatever its Services are; then nothing is left.
pub fn steps_over_all_kinds_equal_full_syncs(subject: Subject) {
    const STEPS: u32 = 12;
    let mut proxy = subject.open();
    let (spec, mut cluster) = of_all_kinds(7);
    full_sync(&mut *proxy, &cluster);
    assert_audit(&mut *proxy, &cluster, "every kind is in the kernel");
    for (number, kind) in (1..=STEPS).zip(ChangeKind::ALL.into_iter().cycle()) {
        let (seed, count) = (number.into(), 1 + number % 4);
        let made = changes_of(&cluster, &spec, seed, kind, Position::Random, count);
        let step = cluster.step(made.expect("Changes")).expect("they fit");
        proxy.apply(&step).expect("an incremental sync");
        assert_audit(&mut *proxy, step.after(), "all Changes are in the kernel");
        cluster = step.into_after();
    }
    let mut restarted = subject.open();
    full_sync(&mut *restarted, &of_all_kinds(8).1);
    assert_audit(&mut *restarted, &of_all_kinds(8).1, "only the other Cluster is there");
    // The first one knows what the node was like.
    proxy.stop().expect("it stops");
    assert_eq!(witness::state(), Vec::<String>::new());
}

/// Stopping leaves the namespace as it was found, can be repeated, and a sync can follow.
pub fn stopping_leaves_nothing(subject: Subject) {
    let mut proxy = subject.open();
    proxy.stop().expect("stopping nothing");
    assert_eq!(witness::state(), Vec::<String>::new());
    let cluster = cluster();
    for _ in 0..2 {
        full_sync(&mut *proxy, &cluster);
        for _ in 0..2 {
            proxy.stop().expect("it stops");
            assert_eq!(witness::state(), Vec::<String>::new());
        }
    }
}

/// A new process can remove what an ended one has left.
pub fn stopping_works_without_memory(subject: Subject) {
    full_sync(&mut *subject.open(), &cluster());
    let mut proxy = subject.open();
    proxy.stop().expect("it stops");
    if let Some(verdict) = audit(&mut *proxy, &cluster()) {
        assert_eq!(verdict.is_err(), subject.programs_the_kernel(), "{verdict:?}");
    }
}

/// A program is taken only by a backend of the family that rendered it.
pub fn foreign_programs_are_refused(subject: Subject) {
    let mut backend = subject.open();
    let Some(staged) = backend.staged() else { return };
    let stranger = if subject.backend.is_control() { "iptables-legacy" } else { "none" };
    let mut stranger = find(stranger).expect("it is there").open(&Options::default());
    let stranger = stranger.staged().expect("it has stages");
    let program = stranger.render(&SyncRequest::Full(&cluster())).expect("no kernel is needed");
    let verdict = staged.submit(&program);
    assert!(matches!(verdict, Err(ProxyError::ForeignProgram { .. })), "{verdict:?}");
    assert_eq!(witness::state(), Vec::<String>::new());
}

/// Connections to a VIP are answered by each of its Endpoints and by nobody else; a Service without
/// Endpoints answers nobody. All is local to one namespace, so no link is needed.
pub fn connections_reach_the_endpoints(subject: Subject) {
    if !subject.programs_the_kernel() {
        return;
    }
    make_network_10_local();
    let addresses: Vec<SocketAddr> =
        (1..=3).map(|host| SocketAddr::from(([10, 180, 2, host], 8080))).collect();
    let _servers: Vec<_> = addresses.iter().copied().map(Server::start).collect();
    let cluster = Cluster::new(vec![
        golden::service("ns/one:p80", "10.96.0.1", &["10.180.2.1:8080"]),
        golden::service("ns/two:p80", "10.96.0.2", &["10.180.2.2:8080", "10.180.2.3:8080"]),
        golden::service("ns/silent:p80", "10.96.0.3", &[]),
    ])
    .expect("a Cluster");
    let mut proxy = subject.open();
    full_sync(&mut *proxy, &cluster);
    let answers = |vip| (0..40).filter_map(|_| ask(vip)).collect::<BTreeSet<_>>();
    assert_eq!(answers([10, 96, 0, 1]), BTreeSet::from([addresses[0].to_string()]));
    let both = addresses[1..].iter().map(ToString::to_string).collect();
    assert_eq!(answers([10, 96, 0, 2]), both, "40 fair draws miss one of two once in 10^12");
    assert_eq!(ask([10, 96, 0, 3]), None);
}

/// A server that tells its address to whoever connects. Ends with its guard.
pub struct Server {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens, and answers until the guard is dropped.
    pub fn start(address: SocketAddr) -> Self {
        let listener = Arc::new(TcpListener::bind(address).expect("a listener"));
        let accepting = Arc::clone(&listener);
        let thread = thread::spawn(move || {
            while let Ok((mut stream, _)) = accepting.accept() {
                // A client that is gone needs no answer.
                let _ = stream.write_all(address.to_string().as_bytes());
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Makes `accept` fail, which ends the thread and lets the namespace go.
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The address that answers at port 80 of a VIP.
fn ask(vip: [u8; 4]) -> Option<String> {
    let limit = Duration::from_secs(10);
    let address = SocketAddr::from((Ipv4Addr::from(vip), 80));
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).expect("a timeout");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    Some(answer)
}

/// Calls a macro with the name of every clause.
macro_rules! with_clauses {
    ($callback:ident) => {
        $callback! {
            probe_leaves_nothing,
            a_full_sync_is_verified,
            a_restart_changes_nothing,
            a_full_sync_replaces_another_cluster,
            a_change_equals_a_full_sync,
            changes_can_be_batched,
            steps_over_all_kinds_equal_full_syncs,
            settling_changes_no_answer,
            stopping_leaves_nothing,
            stopping_works_without_memory,
            foreign_programs_are_refused,
            connections_reach_the_endpoints,
            a_udp_flow_leaves_an_endpoint_that_is_gone,
        }
    };
}
pub(crate) use with_clauses;
