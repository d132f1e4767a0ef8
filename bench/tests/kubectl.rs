//! A stock `kubectl` against the API that `vipbench generate --serve` is: it lists, gets, selects,
//! watches, and is refused what it may not do.
//!
//! Needs `kubectl` (Debian: kubernetes-client); `scripts/test` runs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use apiserver::{Limits, Server, Site};
use generators::{Change, Cluster, EndpointCount, OnBadObject, SyntheticSpec, from_k8s, generate};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A running program, ended when dropped.
struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `vipbench generate --serve`, and kubectl with a home of its own, which it fills with caches.
struct Desk {
    home: TempDir,
    server: String,
    serving: Option<Running>,
}

impl Desk {
    /// kubectl against a server that runs already.
    fn at(address: SocketAddr) -> Self {
        Self { home: TempDir::new().unwrap(), server: format!("http://{address}"), serving: None }
    }

    /// kubectl against `vipbench generate OPTIONS --serve`, as the line says that it prints.
    fn serving(options: &[&str]) -> Self {
        let mut serving = Running::start(
            Command::new(env!("CARGO_BIN_EXE_vipbench"))
                .arg("generate")
                .args(options)
                .args(["--serve", "127.0.0.1:0"]),
        );
        let line = serving.line();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["kubectl", "--server", server, "get", "services,endpointslices", "-A"] = words[..]
        else {
            panic!("{line}")
        };
        let server = server.to_owned();
        Self { home: TempDir::new().unwrap(), server, serving: Some(serving) }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.home.path())
            .args(["--server", &self.server, "--request-timeout", "60s"])
            .args(words.split_whitespace());
        command
    }

    fn output(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// What kubectl prints when all is well.
    fn said(&self, words: &str) -> String {
        let output = self.output(words);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {words}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn spec() -> SyntheticSpec {
    let endpoints = EndpointCount::Fixed(3);
    SyntheticSpec { services: 30, endpoints, ..SyntheticSpec::default() }
}

const OPTIONS: [&str; 6] = ["--services", "30", "--endpoints", "3", "--node-address", "192.0.2.1"];

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn what_kubectl_gets_is_the_cluster() {
    let desk = Desk::serving(&OPTIONS);
    let cluster = generate(&spec(), 1).unwrap();
    for words in ["", "--chunk-size=7"] {
        let list = desk.said(&format!("get services,endpointslices -A -o json {words}"));
        let imported = from_k8s(list.as_bytes(), OnBadObject::Refuse).unwrap().cluster;
        assert_eq!(imported.services().len(), cluster.services().len());
        for service in cluster.services() {
            assert_eq!(imported.get(&service.id()), Some(service));
        }
    }
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn kubectl_prints_tables() {
    let desk = Desk::serving(&OPTIONS);
    let table = desk.said("get services,endpointslices -A");
    let heads: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("NAMESPACE"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let services = ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"];
    let slices = ["NAMESPACE", "NAME", "ADDRESSTYPE", "PORTS", "ENDPOINTS", "AGE"];
    assert_eq!(heads, [services.to_vec(), slices.to_vec()]);
    for service in generate(&spec(), 1).unwrap().services() {
        let name = service.name();
        let find = |kind: &str| {
            let wanted = [name.namespace(), kind];
            let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.find(|words| words.get(..2) == Some(&wanted)).unwrap()
        };
        let row = find(&format!("service/{}", name.name()));
        assert_eq!(row[3], service.vip().to_string());
        assert_eq!(row[5], format!("{}/TCP", service.port()));
        let row = find(&format!("endpointslice.discovery.k8s.io/{}-0", name.name()));
        assert_eq!(row[3], service.endpoints()[0].port.to_string());
        assert_eq!(row[4].split(',').count(), 3);
    }
    let nodes = desk.said("get nodes -o wide");
    assert!(
        nodes.contains("node") && nodes.contains("Ready") && nodes.contains("192.0.2.1"),
        "{nodes}"
    );
    assert!(desk.said("get servicecidrs").contains("10.96.0.0/12"));
    assert!(desk.said("get ns").contains("kube-system"));
    assert!(desk.said("api-resources").contains("endpointslices"));
    assert!(desk.said("version").contains("Server Version: v1."));
    assert_eq!(desk.said("get --raw /readyz"), "ok");
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn kubectl_gets_selects_and_describes_one() {
    let desk = Desk::serving(&OPTIONS);
    let cluster = generate(&spec(), 1).unwrap();
    let service = &cluster.services()[4];
    let (namespace, name) = (service.name().namespace(), service.name().name());
    let vip = desk.said(&format!("get svc {name} -n {namespace} -o jsonpath={{.spec.clusterIP}}"));
    assert_eq!(vip, service.vip().to_string());
    let slice = format!("endpointslice.discovery.k8s.io/{name}-0\n");
    let by_label = format!("get endpointslices -n {namespace} -o name");
    assert_eq!(desk.said(&format!("{by_label} -l kubernetes.io/service-name={name}")), slice);
    let by_field = format!("get svc -A -o name --field-selector metadata.name={name}");
    assert_eq!(desk.said(&by_field), format!("service/{name}\n"));
    let described = desk.said(&format!("describe service {name} -n {namespace}"));
    let endpoint = service.endpoints()[0].to_string();
    assert!(described.contains(&vip) && described.contains(&endpoint), "{described}");
    let none = desk.output("get services none -n default");
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(said.contains("Error from server (NotFound): services \"none\" not found"), "{said}");
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn kubectl_is_refused_writes_and_told_why() {
    let desk = Desk::serving(&OPTIONS);
    let cluster = generate(&spec(), 1).unwrap();
    let service = cluster.services()[0].name();
    let (namespace, name) = (service.namespace(), service.name());
    for words in [
        format!("delete service {name} -n {namespace} --wait=false"),
        format!("label service {name} -n {namespace} a=b"),
        "create service clusterip mine --tcp=80:80 --validate=false".to_owned(),
    ] {
        let output = desk.output(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("only vipbench changes what is served here"), "{words}: {said}");
    }
    assert_eq!(desk.said("get services -A -o name").lines().count(), 30);
}

/// Applies the Changes as a Step and returns the Cluster after it.
fn apply(server: &Server, cluster: &Cluster, changes: Vec<Change>) -> Cluster {
    let step = cluster.step(changes).unwrap();
    server.apply(&step).unwrap();
    step.into_after()
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn kubectl_watches_steps() {
    let all = generate(&SyntheticSpec { services: 4, ..spec() }, 1).unwrap();
    let [kept, changed, removed, added] = all.services() else { panic!("four Services") };
    let first = [kept, changed, removed].map(Clone::clone).to_vec();
    let cluster = Cluster::new(first).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(address, &cluster, &Site::default(), Limits::default()).unwrap();
    let desk = Desk::at(server.address());
    let watch = |resource: &str| {
        let words = format!("get {resource} -A --watch --output-watch-events --no-headers");
        let mut running = Running::start(&mut desk.command(&words));
        let initial: Vec<_> = (0..3).map(|_| running.line()).collect();
        assert!(initial.iter().all(|line| line.starts_with("ADDED ")), "{initial:?}");
        running
    };
    let (mut services, mut slices) = (watch("services"), watch("endpointslices"));
    let told = |running: &mut Running| {
        let line = running.line();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        words[..3].join(" ")
    };
    let service = |kind: &str, one: &generators::Service| {
        format!("{kind} {} {}", one.name().namespace(), one.name().name())
    };
    let slice = |kind: &str, one: &generators::Service| format!("{}-0", service(kind, one));

    let cluster = apply(&server, &cluster, vec![Change::ServiceRemoved(removed.id())]);
    assert_eq!(told(&mut services), service("DELETED", removed));
    assert_eq!(told(&mut slices), slice("DELETED", removed));
    let cluster = apply(&server, &cluster, vec![Change::ServiceAdded(added.clone())]);
    assert_eq!(told(&mut services), service("ADDED", added));
    assert_eq!(told(&mut slices), slice("ADDED", added));
    let (old, new) = (changed.endpoints()[0], "10.200.0.1:8080".parse::<SocketAddr>().unwrap());
    let replaced = changed.name().clone();
    let change = Change::EndpointReplaced { service: replaced, old, new: new.into() };
    apply(&server, &cluster, vec![change]);
    assert_eq!(told(&mut slices), slice("MODIFIED", changed));
    let list = desk.said("get endpointslices -A -o json");
    assert!(list.contains("10.200.0.1"), "{list}");
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn recorded_events_are_read_by_kubectl() {
    let desk = Desk::serving(&OPTIONS);
    let event = desk.home.path().join("event.json");
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "Starting", "message": "it works",
        "metadata": { "name": "node.1", "namespace": "default" },
        "involvedObject": { "kind": "Node", "name": "node" },
    });
    serde_json::to_writer(File::create(&event).unwrap(), &object).unwrap();
    desk.said(&format!("create --validate=false -f {}", event.display()));
    let events = desk.said("get events -A");
    assert!(events.contains("node/node") && events.contains("it works"), "{events}");
    let list: Value = serde_json::from_str(&desk.said("get events -o json")).unwrap();
    assert_eq!(list["items"][0]["involvedObject"]["kind"], "Node");
}

#[test]
#[ignore = "needs kubectl (Debian: kubernetes-client); run by scripts/test"]
fn ctrl_c_ends_serving_well_and_frees_the_port() {
    let mut desk = Desk::serving(&OPTIONS);
    let mut watch = Running::start(&mut desk.command("get services -A --watch --no-headers"));
    watch.line();
    let mut serving = desk.serving.take().unwrap();
    let pid = Pid::from_child(&serving.child);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    let address: SocketAddr = desk.server.trim_start_matches("http://").parse().unwrap();
    TcpListener::bind(address).unwrap();
}
