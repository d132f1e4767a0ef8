//! What every backend is held to, in a real kernel. One body a clause of the contract above
//! `proxies::Proxy`; `contract_tests!` makes the tests of a backend.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use generators::{Change, Cluster, Protocol, Service};
use proxies::{Options, Proxy, ProxyError, ProxyKind, SyncRequest, open};

use crate::golden;
use crate::netns::{in_new_namespace, make_network_10_local};

/// A backend under test.
#[derive(Clone, Copy)]
pub struct Backend {
    /// Its name.
    pub kind: ProxyKind,
    /// The options that it is opened with.
    pub options: fn() -> Options,
    /// What the calling thread's namespace holds of this backend, seen by other means than the
    /// backend's own. Equal states give equal lines; a namespace without proxy gives none.
    pub witness: fn() -> Vec<String>,
}

impl Backend {
    fn open(&self) -> Box<dyn Proxy> {
        open(self.kind, &(self.options)())
    }

    fn state(&self) -> Vec<String> {
        (self.witness)()
    }

    /// `none` programs nothing, so nothing of it can be missing or wrong.
    fn programs_the_kernel(&self) -> bool {
        self.kind != ProxyKind::None
    }
}

/// One whole sync.
pub fn sync(proxy: &mut dyn Proxy, request: &SyncRequest<'_>) -> Result<(), ProxyError> {
    proxy.prepare(request)?;
    let program = proxy.render(request)?;
    proxy.submit(&program)?;
    Ok(())
}

pub fn full_sync(proxy: &mut dyn Proxy, cluster: &Cluster) {
    sync(proxy, &SyncRequest::Full(cluster)).expect("a full sync");
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
fn changes() -> [Change; 4] {
    let name = |text: &str| text.parse().expect("a name");
    let endpoint = |text: &str| text.parse::<std::net::SocketAddrV4>().expect("ip:port").into();
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
        Change::ServiceAdded(golden::service("ns7/new:p80", "172.30.0.47", &["10.180.0.7:80"])),
        Change::ServiceRemoved(name("ns4/svc4:p80")),
    ]
}

/// A backend that is to be tested can work here, and probing leaves nothing behind.
pub fn probe_leaves_nothing(backend: Backend) {
    backend.open().probe().expect("this kernel and these tools can do it");
    assert_eq!(backend.state(), Vec::<String>::new());
}

/// After a full sync the kernel holds the Cluster, and no other.
pub fn a_full_sync_is_verified(backend: Backend) {
    let mut proxy = backend.open();
    let cluster = cluster();
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("the Cluster is in the kernel");
    for change in changes() {
        let other = cluster.apply(&change).expect("it fits");
        let verdict = proxy.verify(&other);
        assert_eq!(verdict.is_err(), backend.programs_the_kernel(), "{change:?}: {verdict:?}");
    }
}

/// A full sync by a new process onto the same Cluster leaves the kernel as it was.
pub fn a_restart_changes_nothing(backend: Backend) {
    let cluster = cluster();
    full_sync(&mut *backend.open(), &cluster);
    let before = backend.state();
    assert_ne!(before.is_empty(), backend.programs_the_kernel());
    let mut restarted = backend.open();
    full_sync(&mut *restarted, &cluster);
    assert_eq!(backend.state(), before);
    restarted.verify(&cluster).expect("the Cluster is still there");
}

/// A full sync by a new process onto another Cluster leaves nothing of that one.
pub fn a_full_sync_replaces_another_cluster(backend: Backend) {
    full_sync(&mut *backend.open(), &golden::endpoint_replaced().0);
    let cluster = cluster();
    let mut proxy = backend.open();
    full_sync(&mut *proxy, &cluster);
    proxy.verify(&cluster).expect("only the new Cluster is there");
}

/// Each Change leads to the state that a full sync of the Cluster after it leads to.
pub fn a_change_equals_a_full_sync(backend: Backend) {
    let mut proxy = backend.open();
    let mut before = cluster();
    full_sync(&mut *proxy, &before);
    for change in changes() {
        let after = before.apply(&change).expect("it fits");
        let changes = [change];
        let request =
            SyncRequest::Incremental { before: &before, after: &after, changes: &changes };
        sync(&mut *proxy, &request).expect("an incremental sync");
        proxy.verify(&after).expect("the Change is in the kernel");
        let fresh = in_new_namespace(|| {
            full_sync(&mut *backend.open(), &after);
            backend.state()
        });
        assert_eq!(backend.state(), fresh, "{changes:?}");
        before = after;
    }
}

/// Several Changes in one sync do what they do one by one.
pub fn changes_can_be_batched(backend: Backend) {
    let mut proxy = backend.open();
    let before = cluster();
    full_sync(&mut *proxy, &before);
    let changes = changes();
    let after = changes
        .iter()
        .try_fold(before.clone(), |cluster, change| cluster.apply(change))
        .expect("they fit");
    let request = SyncRequest::Incremental { before: &before, after: &after, changes: &changes };
    sync(&mut *proxy, &request).expect("an incremental sync");
    proxy.verify(&after).expect("all Changes are in the kernel");
}

/// Teardown leaves the namespace as it was found, can be repeated, and a sync can follow.
pub fn teardown_leaves_nothing(backend: Backend) {
    let mut proxy = backend.open();
    proxy.teardown().expect("a teardown of nothing");
    assert_eq!(backend.state(), Vec::<String>::new());
    let cluster = cluster();
    for _ in 0..2 {
        full_sync(&mut *proxy, &cluster);
        for _ in 0..2 {
            proxy.teardown().expect("a teardown");
            assert_eq!(backend.state(), Vec::<String>::new());
        }
    }
}

/// A new process can tear down what an ended one has left.
pub fn teardown_works_without_memory(backend: Backend) {
    full_sync(&mut *backend.open(), &cluster());
    let mut proxy = backend.open();
    proxy.teardown().expect("a teardown");
    let verdict = proxy.verify(&cluster());
    assert_eq!(verdict.is_err(), backend.programs_the_kernel(), "{verdict:?}");
}

/// A program is taken only by a backend of the family that rendered it.
pub fn foreign_programs_are_refused(backend: Backend) {
    let cluster = cluster();
    let stranger = match backend.kind {
        ProxyKind::None => ProxyKind::IptablesLegacy,
        _ => ProxyKind::None,
    };
    let program = open(stranger, &Options::default())
        .render(&SyncRequest::Full(&cluster))
        .expect("rendering needs no kernel");
    let verdict = backend.open().submit(&program);
    assert!(matches!(verdict, Err(ProxyError::ForeignProgram { .. })), "{verdict:?}");
    assert_eq!(backend.state(), Vec::<String>::new());
}

/// Connections to a VIP are answered by each of its Endpoints and by nobody else; a Service without
/// Endpoints answers nobody. All is local to one namespace, so no link is needed.
pub fn connections_reach_the_endpoints(backend: Backend) {
    if !backend.programs_the_kernel() {
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
    let mut proxy = backend.open();
    full_sync(&mut *proxy, &cluster);
    let answers = |vip| (0..40).filter_map(|_| ask(vip)).collect::<BTreeSet<_>>();
    assert_eq!(answers([10, 96, 0, 1]), BTreeSet::from([addresses[0].to_string()]));
    let both = addresses[1..].iter().map(ToString::to_string).collect();
    assert_eq!(answers([10, 96, 0, 2]), both, "40 fair draws miss one of two once in 10^12");
    assert_eq!(ask([10, 96, 0, 3]), None);
}

/// A server that tells its address to whoever connects. Ends with its guard.
struct Server {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(address: SocketAddr) -> Self {
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

/// Makes a test of each clause for a backend: `contract_tests!(BACKEND)` in the backend's module.
macro_rules! contract_tests {
    ($backend:expr) => {
        $crate::contract::contract_tests!($backend;
            probe_leaves_nothing,
            a_full_sync_is_verified,
            a_restart_changes_nothing,
            a_full_sync_replaces_another_cluster,
            a_change_equals_a_full_sync,
            changes_can_be_batched,
            teardown_leaves_nothing,
            teardown_works_without_memory,
            foreign_programs_are_refused,
            connections_reach_the_endpoints,
        );
    };
    ($backend:expr; $($clause:ident,)+) => {
        $(
            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn $clause() {
                $crate::netns::in_new_namespace(|| $crate::contract::$clause($backend));
            }
        )+
    };
}
pub(crate) use contract_tests;
