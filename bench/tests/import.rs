//! `vipbench import` from outside, and runs on what it gives. The run in a guest needs root, QEMU
//! and a kernel package; `scripts/test` runs it. Nothing here asserts a timing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Objects as a real cluster has them: VIPs and Pods outside of the lab's ranges, several ports, a
/// Service of each kind that is not programmed, and an Endpoint on a node.
fn objects() -> Value {
    let service = |namespace: &str, name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": name}, "spec": spec});
    let slice = |namespace: &str, service: &str, addresses: &[&str], ports: Value| {
        let endpoints: Vec<Value> = addresses
            .iter()
            .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
            .collect();
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"namespace": namespace, "name": format!("{service}-a"), "labels": {"kubernetes.io/service-name": service}},
            "endpoints": endpoints, "ports": ports})
    };
    let web = json!([{"name": "http", "port": 80, "targetPort": 3000}, {"name": "metrics", "port": 9090}]);
    let dns =
        json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53}]);
    let items = [
        service(
            "default",
            "kubernetes",
            json!({"clusterIP": "172.20.0.1", "ports": [{"name": "https", "port": 443}]}),
        ),
        slice("default", "kubernetes", &["192.168.7.4"], json!([{"name": "https", "port": 6443}])),
        service("kube-system", "kube-dns", json!({"clusterIP": "172.20.0.10", "ports": dns})),
        slice(
            "kube-system",
            "kube-dns",
            &["10.244.0.2", "10.244.0.3"],
            json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]),
        ),
        service(
            "shop",
            "web",
            json!({"type": "NodePort", "clusterIP": "172.20.77.3", "ports": web, "sessionAffinity": "ClientIP",
            "externalIPs": ["203.0.113.5"]}),
        ),
        slice(
            "shop",
            "web",
            &["10.244.1.2", "10.244.1.3", "10.244.2.9"],
            json!([{"name": "http", "port": 3000}, {"name": "metrics", "port": 9100}]),
        ),
        service(
            "shop",
            "idle",
            json!({"clusterIP": "172.20.77.4", "ports": [{"port": 80, "nodePort": 30080}]}),
        ),
        service("shop", "db", json!({"clusterIP": "None", "ports": [{"port": 5432}]})),
        service("shop", "away", json!({"type": "ExternalName", "externalName": "example.org"})),
    ];
    json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("objects.json"), objects().to_string()).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vipbench"));
        command.current_dir(self.path()).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn succeeds(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &[&str], wanted: &[&str]) {
        let output = self.call(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in wanted {
            assert!(said.contains(words), "`{words}` is missing in: {said}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn the_summary_counts_what_is_not_a_plain_service() {
    let desk = Desk::new();
    let said = desk.succeeds(&["import", "objects.json", "-o", "mine.json", "--json"]);
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["read"], json!({"services": 6, "endpoint_slices": 3}));
    assert_eq!(
        summary["cluster"],
        json!({"services": 6, "endpoints": 11, "namespaces": 3, "vips": 4, "most_endpoints": 3})
    );
    let found: Vec<(&str, u64, &str)> = summary["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["finding"].as_str().unwrap(),
                one["count"].as_u64().unwrap(),
                one["fate"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("external_name", 1, "skipped"),
            ("headless", 1, "skipped"),
            ("without_endpoints", 1, "noted"),
            ("session_affinity", 2, "noted"),
            ("udp_port", 1, "not_dialled"),
            ("node_port", 1, "not_dialled"),
            ("external_ip", 2, "not_dialled"),
        ]
    );
    let table = desk.succeeds(&["import", "objects.json", "-o", "mine.json"]);
    for words in
        ["read: 6 Services, 3 EndpointSlices", "with session affinity", "kept", "mine.json"]
    {
        assert!(table.contains(words), "`{words}` is missing in: {table}");
    }
}

#[test]
fn the_cluster_goes_to_standard_output_alone_where_no_file_is_named() {
    let desk = Desk::new();
    let cluster = desk.succeeds(&["import", "objects.json"]);
    assert_eq!(generators::from_json(cluster.as_bytes()).unwrap().services().len(), 6);
    fs::write(desk.path().join("mine.json"), &cluster).unwrap();
    for format in ["json", "k8s", "iptables", "ipvs"] {
        let direct = desk.succeeds(&["import", "objects.json", "--format", format]);
        assert_eq!(
            direct,
            desk.succeeds(&["generate", "--cluster", "mine.json", "--format", format]),
            "{format}"
        );
    }
}

#[test]
fn nothing_of_the_objects_is_in_an_anonymous_cluster() {
    let desk = Desk::new();
    let anonymous =
        |seed| desk.succeeds(&["import", "objects.json", "--anonymise", "--seed", seed]);
    let text = anonymous("4");
    assert_eq!(text, anonymous("4"));
    assert_ne!(text, anonymous("5"));
    let words = [
        "default",
        "kubernetes",
        "kube",
        "system",
        "dns",
        "shop",
        "web",
        "idle",
        "http",
        "metrics",
        "172.20.",
        "10.244.",
        "192.168.",
        "203.0.113.",
    ];
    for word in words {
        assert!(!text.contains(word), "{word} is in {text}");
    }
}

#[test]
fn bad_objects_are_named_and_left_out_on_request() {
    let desk = Desk::new();
    let bad = objects().to_string().replace("\"port\":9100", "\"port\":91000");
    fs::write(desk.path().join("bad.json"), bad).unwrap();
    let wanted = ["bad.json", "EndpointSlice shop/web-a: ports[1].port", "91000", "--lenient"];
    desk.refuses(&["import", "bad.json", "-o", "mine.json"], &wanted);
    assert!(!desk.path().join("mine.json").exists(), "nothing may be written");
    let said = desk.succeeds(&["import", "bad.json", "-o", "mine.json", "--lenient"]);
    assert!(said.contains("left out, 1 in all") && said.contains("shop/web-a"), "{said}");
    desk.refuses(&["import", "nowhere.json"], &["nowhere.json"]);
    fs::write(desk.path().join("empty.json"), "").unwrap();
    desk.refuses(&["import", "empty.json"], &["no Service that can be imported", "kubectl"]);
}

#[test]
fn files_and_folders_are_read_as_one_cluster() {
    let desk = Desk::new();
    let whole = desk.succeeds(&["import", "objects.json"]);
    let objects = objects();
    let (services, slices): (Vec<&Value>, Vec<&Value>) =
        objects["items"].as_array().unwrap().iter().partition(|item| item["kind"] == "Service");
    let write = |name: &str, text: &str| {
        let path = desk.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("bundle/all/services.json", &json!(services).to_string());
    write("bundle/all/slices.yaml", &json!({"kind": "List", "items": slices}).to_string());
    write("bundle/all/web/logs.txt", "{\"kind\": \"Service\"");
    write("bundle/values.yaml", "replicas: 3\nimage: &a x\n");
    assert_eq!(desk.succeeds(&["import", "bundle"]), whole);
    let files = ["import", "bundle/all/services.json", "bundle/all/slices.yaml"];
    assert_eq!(desk.succeeds(&files), whole);
    let twice = desk.succeeds(&["import", "bundle", "objects.json", "-o", "m.json"]);
    assert!(twice.contains("9  objects") || twice.contains("12 "), "{twice}");
    write("bundle/all/more.json", "{\"kind\": \"Pod\"}\n{\"kind\": ");
    desk.refuses(&["import", "bundle"], &["bundle/all/more.json (move it away", "at line 2"]);
    desk.refuses(&["import", "bundle/all/web"], &["no file that ends with .json"]);
}

#[test]
fn what_need_not_end_is_refused_and_not_waited_for() {
    let desk = Desk::new();
    let fifo = desk.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in ["/dev/zero", "/dev/null", "fifo"] {
        desk.refuses(&["import", path], &[path, "a pipe or a device"]);
        desk.refuses(&["generate", "--cluster", path], &[path, "a pipe or a device"]);
    }
}

#[test]
fn rules_have_the_ranges_of_the_cluster_itself() {
    let desk = Desk::new();
    desk.succeeds(&["import", "objects.json", "-o", "mine.json"]);
    let text = |arguments: &[&str]| {
        let output =
            desk.call(&[&["generate", "--cluster", "mine.json", "--format"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [rules, said] = text(&["iptables"]);
    assert!(rules.contains("! -s 10.244.0.0/16") && !rules.contains("10.128."), "{rules}");
    assert!(said.contains("10.244.0.0/16") && said.contains("--pod-cidr"), "{said}");
    for layout in ["nft-1.33", "nft-1.36", "nft-1.37"] {
        let [rules, said] = text(&[layout]);
        assert!(rules.contains("172.20.0.0/16") && !rules.contains("10.96."), "{rules}");
        assert!(rules.contains("10.244.0.0/16") && said.contains("172.20.0.0/16"), "{rules}{said}");
        let asked = [layout, "--pod-cidr", "10.0.0.0/8", "--service-cidr", "172.16.0.0/12"];
        let [rules, said] = text(&asked);
        assert!(rules.contains("10.0.0.0/8") && rules.contains("172.16.0.0/12"), "{rules}");
        assert_eq!(said, "");
    }
    let [rules, said] = text(&["ipvs"]);
    assert!(
        !rules.contains(":30080") && said.contains("1 node ports are not in the text"),
        "{said}"
    );
    let [rules, said] = text(&["ipvs", "--node-address", "192.0.2.10"]);
    assert!(rules.contains("-A -t 192.0.2.10:30080"), "{rules}");
    assert_eq!(said, "");
}

#[test]
fn generated_clusters_have_the_ranges_that_are_asked_for_and_room_without() {
    let desk = Desk::new();
    let asked = ["generate", "--services", "9", "--service-cidr", "172.20.0.0/16", "--pod-cidr"];
    let rules = desk.succeeds(&[&asked[..], &["10.42.0.0/16", "--format", "nft-1.37"]].concat());
    assert!(rules.contains("172.20.0.0/16") && rules.contains("10.42.0.0/16"), "{rules}");
    desk.refuses(&[&asked[..], &["10.42.0.0/30"]].concat(), &["room for 2", "--pod-cidr"]);
    desk.refuses(&[&asked[..], &["10.42.0.0"]].concat(), &["--pod-cidr"]);
    desk.succeeds(&["generate", "--services", "900", "--endpoints", "10000", "-o", "large.json"]);
    let mut first = String::new();
    let large = fs::File::open(desk.path().join("large.json")).unwrap();
    large.take(300).read_to_string(&mut first).unwrap();
    assert!(
        first.contains("\"endpoints\":[\"24") || first.contains("\"endpoints\":[\"25"),
        "{first}"
    );
}

#[test]
fn services_of_which_no_endpoints_are_known_are_told_and_not_run() {
    let desk = Desk::new();
    let mut alone = objects();
    alone["items"].as_array_mut().unwrap().retain(|item| item["kind"] == "Service");
    fs::write(desk.path().join("alone.json"), alone.to_string()).unwrap();
    let output = desk.call(&["import", "alone.json", "-o", "mine.json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("kubectl get services,endpointslices"), "{said}");
    let counted = String::from_utf8(output.stdout).unwrap();
    assert!(counted.contains("nothing tells the endpoints"), "{counted}");
    let scenario = "name = 's'\nproxies = ['none']\ncluster_file = 'mine.json'";
    fs::write(desk.path().join("s.toml"), scenario).unwrap();
    desk.refuses(&["run", "s.toml", "-o", "out", "--dry-run"], &["mine.json"]);
}

#[test]
fn a_scenario_cannot_ask_more_of_a_cluster_file_than_it_has() {
    let desk = Desk::new();
    desk.succeeds(&["import", "objects.json", "-o", "mine.json"]);
    let scenario = |rest: &str| {
        fs::create_dir_all(desk.path().join("sub")).unwrap();
        fs::write(
            desk.path().join("sub/s.toml"),
            format!("name = 's'\nproxies = ['none']\n{rest}"),
        )
        .unwrap();
    };
    let run = ["run", "sub/s.toml", "-o", "out", "--dry-run"];
    scenario("services = [7]\ncluster_file = '../mine.json'");
    desk.refuses(&run, &["sub/../mine.json", "services = 7: it has 6; write 1 to 6"]);
    scenario("cluster_file = 'mine.json'");
    desk.refuses(&run, &["sub/mine.json", "No such file"]);
    scenario("cluster_file = '../objects.json'");
    desk.refuses(&run, &["sub/../objects.json", "vipbench import"]);
    scenario("services = [5]\nmeasures = ['vip_layout']\n[cluster]\nvip_layout = 'random'");
    desk.refuses(
        &[&run[..], &["--cluster", "mine.json"]].concat(),
        &["vip_layout", "cluster_file"],
    );
    scenario("");
    desk.refuses(&run, &["services = []"]);
}

#[test]
#[ignore = "needs root, QEMU and a kernel package; run by scripts/test"]
fn every_proxy_programs_an_imported_cluster_and_every_cell_repeats_to_the_byte() {
    let desk = Desk::new();
    desk.succeeds(&["import", "objects.json", "-o", "mine.json"]);
    let scenario = "name = 's'\nproxies = ['none', 'iptables-legacy', 'iptables-nft', 'ipvs']\ncluster_file = 'mine.json'\n\
        [load]\nconnections = 10\nhttp_connections = 3\nkeepalive_requests = 5\nchanges = 1\n";
    fs::write(desk.path().join("s.toml"), scenario).unwrap();
    let run = |folder: &str| {
        desk.succeeds(&["run", "s.toml", "--clock", "instructions", "-o", folder]);
        desk.succeeds(&["export", folder])
    };
    let rows = run("one");
    assert!(!rows.contains(",outcome,"), "every cell has numbers: {rows}");
    assert!(rows.contains(",ipvs,6,11,1,connect,last,instructions,10,"), "{rows}");
    assert_eq!(rows, run("two"));
    // The run says which file it was, and goes on with no other.
    let stored = fs::read_to_string(desk.path().join("one/run.json")).unwrap();
    assert!(stored.contains("\"cluster.sha256\""), "{stored}");
    desk.succeeds(&["import", "objects.json", "--anonymise", "-o", "mine.json"]);
    let resumed = ["run", "s.toml", "--clock", "instructions", "-o", "one", "--resume"];
    desk.refuses(&resumed, &["cluster.sha256"]);
}
