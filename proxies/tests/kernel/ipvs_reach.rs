//! Who reaches a VIP through IPVS, and from which address it looks: a client outside the pod
//! network, the node itself, an Endpoint, and an Endpoint that is sent back to itself. Each has a
//! namespace of its own, joined to the node's.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use generators::{Cluster, Endpoint, Service};
use proxies::{Backend, Options};

use crate::drive::{Drive, full_sync, open};
use crate::golden;
use crate::ipvs::{kernel_tests, local_route, options};
use crate::netns::in_new_namespace;
use crate::witness::output;

/// Off the pod network, with an address that the node has on their link.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const NODE_TO_CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// In the pod network, each with an address that the node has on their link.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 180, 1, 2);
const NODE_TO_FIRST: Ipv4Addr = Ipv4Addr::new(10, 180, 1, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 180, 2, 2);
const NODE_TO_SECOND: Ipv4Addr = Ipv4Addr::new(10, 180, 2, 1);

/// VIPs by the Endpoints behind them.
const BOTH: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
const ONLY_FIRST: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
const ONLY_SECOND: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);
const NOBODY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 4);
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const NODE_PORT: u16 = 30_080;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a namespace of its own that runs what it is given.
struct Host {
    jobs: mpsc::Sender<Job>,
    thread_id: i32,
}

impl Host {
    /// A host with one link to the calling thread's namespace, whose end there is called `name`. It
    /// ends with the last sender of jobs.
    fn joined(name: &str, address: Ipv4Addr, gateway: Ipv4Addr) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            in_new_namespace(|| {
                tell.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("a listener");
                for job in queue {
                    job();
                }
            });
        });
        let host = Self { jobs, thread_id: told.recv().expect("a thread id") };
        let thread_id = host.thread_id;
        output(&format!("ip link add {name} type veth peer name eth0 netns {thread_id}"));
        output(&format!("ip addr add {gateway}/24 dev {name}"));
        output(&format!("ip link set {name} up"));
        host.run(move || {
            output(&format!("ip addr add {address}/24 dev eth0"));
            output("ip link set eth0 up");
            output(&format!("ip route add default via {gateway}"));
        });
        host
    }

    /// Runs a closure there and returns what it returns.
    fn run<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        let job = Box::new(move || tell.send(body()).expect("a listener"));
        self.jobs.send(job).expect("the host is there");
        told.recv().expect("the job did not panic")
    }

    /// Starts a server there that tells its own address and whom it sees, as long as the test runs.
    fn serve(&self, address: Ipv4Addr) {
        let listener = self.run(move || TcpListener::bind((address, 8080)).expect("a listener"));
        std::thread::spawn(move || {
            while let Ok((mut stream, seen)) = listener.accept() {
                let _ = write!(stream, "{address} sees {}", seen.ip());
            }
        });
    }
}

/// The node is the calling thread's namespace.
struct Topology {
    client: Host,
    first: Host,
    second: Host,
    proxy: Box<dyn Backend>,
    cluster: Cluster,
}

impl Topology {
    fn with(options: &Options) -> Self {
        let client = Host::joined("client", CLIENT, NODE_TO_CLIENT);
        let first = Host::joined("first", FIRST, NODE_TO_FIRST);
        let second = Host::joined("second", SECOND, NODE_TO_SECOND);
        first.serve(FIRST);
        second.serve(SECOND);
        let cluster = cluster();
        let mut proxy = open("ipvs", options);
        full_sync(&mut *proxy, &cluster);
        Self { client, first, second, proxy, cluster }
    }
}

fn cluster() -> Cluster {
    let service = |name: &str, vip: Ipv4Addr, addresses: &[Ipv4Addr]| -> Service {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|&address| Endpoint::new(address.into(), 8080).to_string())
            .collect();
        let endpoints: Vec<_> = endpoints.iter().map(String::as_str).collect();
        golden::service(name, &vip.to_string(), &endpoints)
    };
    Cluster::new(vec![
        service("ns/both:p80", BOTH, &[FIRST, SECOND]),
        service("ns/first:p80", ONLY_FIRST, &[FIRST])
            .with(|extras| extras.node_port = Some(NODE_PORT))
            .and_then(|service| service.with(|extras| extras.external_ips = vec![EXTERNAL.into()]))
            .expect("a NodePort and an external IP"),
        service("ns/second:p80", ONLY_SECOND, &[SECOND]),
        service("ns/nobody:p80", NOBODY, &[]),
    ])
    .expect("a Cluster")
}

fn ask_at(address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    let limit = Duration::from_secs(3);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, port)), limit)
        .map_err(|error| error.kind())?;
    stream.set_read_timeout(Some(limit)).expect("a timeout");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.kind())?;
    Ok(answer)
}

fn ask(vip: Ipv4Addr) -> Result<String, ErrorKind> {
    ask_at(vip, 80)
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what `ask` returns")]
fn sees(server: Ipv4Addr, source: Ipv4Addr) -> Result<String, ErrorKind> {
    Ok(format!("{server} sees {source}"))
}

fn everybody_reaches_every_vip(options: &Options) {
    let Topology { client, first, second, mut proxy, cluster } = Topology::with(options);
    proxy.verify(&cluster).expect("it is in the kernel");
    // Round robin: two connections meet both Endpoints, each behind the node's address.
    let answers: BTreeSet<_> = client.run(|| [ask(BOTH), ask(BOTH)]).into();
    assert_eq!(answers, BTreeSet::from([sees(FIRST, NODE_TO_FIRST), sees(SECOND, NODE_TO_SECOND)]));
    assert_eq!(ask(ONLY_FIRST), sees(FIRST, NODE_TO_FIRST), "the node reaches its own VIP");
    assert_eq!(ask(ONLY_SECOND), sees(SECOND, NODE_TO_SECOND), "the node reaches its own VIP");
    assert_eq!(second.run(|| ask(ONLY_FIRST)), sees(FIRST, SECOND), "a pod keeps its address");
    assert_eq!(first.run(|| ask(ONLY_FIRST)), sees(FIRST, NODE_TO_FIRST), "a pod reaches itself");
    let node_port = client.run(|| ask_at(NODE_TO_CLIENT, NODE_PORT));
    assert_eq!(node_port, sees(FIRST, NODE_TO_FIRST), "the NodePort");
    assert_eq!(client.run(|| ask(EXTERNAL)), sees(FIRST, NODE_TO_FIRST), "the external IP");
    assert_eq!(client.run(|| ask(NOBODY)), Err(ErrorKind::ConnectionRefused));
    assert_eq!(client.run(|| ask_at(BOTH, 81)), Err(ErrorKind::ConnectionRefused));
    proxy.stop().expect("a teardown");
    assert!(client.run(|| ask(BOTH)).is_err());
}

kernel_tests! {
    fn everybody_reaches_every_vip_on_a_dummy_link() {
        everybody_reaches_every_vip(&options());
    }

    fn everybody_reaches_every_vip_by_a_local_route() {
        everybody_reaches_every_vip(&local_route());
    }

    /// Else a server of the node's own would answer at every address of the range.
    fn an_address_of_the_range_that_no_service_has_is_refused() {
        let topology = Topology::with(&local_route());
        let own = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8022)).expect("a server of the node");
        let nowhere = Ipv4Addr::new(172, 30, 200, 1);
        let refused = topology.client.run(move || ask_at(nowhere, 8022));
        assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
        drop(own);
    }

    /// Without a pod network to compare with, only the node's own connections and hairpins are
    /// masqueraded.
    fn the_node_reaches_its_vips_without_a_pod_network_too() {
        let topology = Topology::with(&Options { local_cidrs: Vec::new(), ..options() });
        assert_eq!(ask(ONLY_FIRST), sees(FIRST, NODE_TO_FIRST));
        assert_eq!(topology.client.run(|| ask(ONLY_FIRST)), sees(FIRST, CLIENT));
        assert_eq!(topology.first.run(|| ask(ONLY_FIRST)), sees(FIRST, NODE_TO_FIRST));
    }

    /// What the sets and rules are for: IPVS alone serves clients, but no Endpoint reaches itself.
    fn a_pod_does_not_reach_itself_without_masquerading() {
        let mut options = options();
        options.ipvs.masquerade = false;
        let topology = Topology::with(&options);
        assert_eq!(topology.client.run(|| ask(ONLY_FIRST)), sees(FIRST, CLIENT));
        assert_eq!(topology.second.run(|| ask(ONLY_FIRST)), sees(FIRST, SECOND));
        assert!(topology.first.run(|| ask(ONLY_FIRST)).is_err());
    }
}
