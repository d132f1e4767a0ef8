//! Lists and watches as clients ask for them: versions, chunks, bookmarks, initial events,
//! selectors, tables, discovery.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;

use std::time::Duration;

use apiserver::{Limits, Server, Site};
use client::{Client, SERVICES, SLICES, name, names, run, version};
use generators::{Change, Cluster, Service, SyntheticSpec, generate};
use hyper::Method;
use serde_json::{Value, json};

fn cluster(services: u32) -> Cluster {
    generate(&SyntheticSpec { services, ..SyntheticSpec::default() }, 1).unwrap()
}

fn site() -> Site {
    Site {
        node_addresses: vec!["192.0.2.1".parse().unwrap()],
        pod_cidrs: vec!["10.128.0.0/9".parse().unwrap()],
        service_cidrs: vec!["10.96.0.0/12".parse().unwrap()],
    }
}

fn serve_with(cluster: &Cluster, limits: Limits) -> (Server, Client) {
    let server = Server::start("127.0.0.1:0".parse().unwrap(), cluster, &site(), limits).unwrap();
    let client = Client(server.address());
    (server, client)
}

fn serve(cluster: &Cluster) -> (Server, Client) {
    serve_with(cluster, Limits::default())
}

/// The Cluster without the first of its Services, served.
fn remove_first(server: &Server, cluster: &Cluster) -> Cluster {
    let removed = cluster.services()[0].id();
    let step = cluster.step(vec![Change::ServiceRemoved(removed)]).unwrap();
    server.apply(&step).unwrap();
    step.into_after()
}

/// All chunks of a list, each with the names in it.
async fn chunks(client: &Client, path: &str, first: &Value) -> Vec<Vec<String>> {
    let mut chunks = vec![names(first)];
    let mut next = first["metadata"]["continue"].as_str().map(str::to_owned);
    while let Some(token) = next {
        let list = client.get(&format!("{path}&continue={token}")).await;
        assert_eq!(version(&list), version(first), "chunks are of one version");
        chunks.push(names(&list));
        next = list["metadata"]["continue"].as_str().map(str::to_owned);
    }
    chunks
}

#[test]
fn chunks_are_of_one_version_whatever_changes_meanwhile() {
    run(async {
        let before = cluster(10);
        let (server, client) = serve(&before);
        let whole = names(&client.get(SERVICES).await);
        let path = format!("{SERVICES}?limit=4");
        let first = client.get(&path).await;
        assert_eq!(first["metadata"]["remainingItemCount"], 6);
        let mut after = before;
        for _ in 0..5 {
            after = remove_first(&server, &after);
        }
        let chunks = chunks(&client, &path, &first).await;
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(chunks.concat(), whole);
        assert_eq!(names(&client.get(SERVICES).await).len(), 5);
        let exact =
            format!("{SERVICES}?resourceVersion={}&resourceVersionMatch=Exact", version(&first));
        assert_eq!(names(&client.get(&exact).await), whole);
    });
}

#[test]
fn what_a_kube_proxy_waits_for_is_known_to_be_listed() {
    run(async {
        let (server, client) = serve(&cluster(300));
        client.get("/api/v1/nodes").await;
        client.get(SERVICES).await;
        assert_eq!(server.served(), None, "without the Endpoints of the Services");
        let before = std::time::Instant::now();
        client.get(SLICES).await;
        let first = server.served().unwrap();
        assert!(first.asked < before && before < first.listed);
        client.get(SLICES).await;
        assert_eq!(server.served(), Some(first), "of later lists nothing is said");
    });
}

#[test]
fn versions_that_are_forgotten_or_to_come_are_refused_as_clients_know() {
    run(async {
        let limits = Limits { history: 3, ..Limits::default() };
        let before = cluster(10);
        let (server, client) = serve_with(&before, limits);
        let first = client.get(&format!("{SERVICES}?limit=4")).await;
        let old = version(&first);
        let after = remove_first(&server, &before);
        remove_first(&server, &after);
        let token = first["metadata"]["continue"].as_str().unwrap();
        for path in [
            format!("{SERVICES}?limit=4&continue={token}"),
            format!("{SERVICES}?resourceVersion={old}&resourceVersionMatch=Exact"),
        ] {
            let (code, status) = client.try_get(&path).await;
            assert_eq!((code, &status["reason"]), (410, &json!("Expired")), "{path}");
            assert_eq!(status["kind"], "Status");
        }
        let mut watch = client.watch(&format!("{SERVICES}?watch=1&resourceVersion={old}")).await;
        let (kind, status) = watch.next().await.unwrap();
        assert_eq!((kind.as_str(), &status["code"]), ("ERROR", &json!(410)));
        assert_eq!(watch.next().await, None, "the watch ends then");
        let (code, status) =
            client.try_get(&format!("{SERVICES}?resourceVersion={}", server.version() + 1)).await;
        assert_eq!((code, &status["reason"]), (504, &json!("Timeout")));
        assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    });
}

#[test]
fn a_watch_that_falls_behind_what_is_kept_is_told_so() {
    run(async {
        let limits = Limits { history: 3, ..Limits::default() };
        let now = cluster(200);
        let (server, client) = serve_with(&now, limits);
        let path = format!("{SERVICES}?watch=1&resourceVersion={}", server.version());
        let mut watch = client.watch(&path).await;
        let removed = now.services().iter().take(100).map(|one| Change::ServiceRemoved(one.id()));
        server.apply(&now.step(removed.collect()).unwrap()).unwrap();
        let (kind, status) = watch.next().await.unwrap();
        assert_eq!((kind.as_str(), &status["reason"]), ("ERROR", &json!("Expired")));
        assert_eq!(watch.next().await, None);
    });
}

#[test]
fn a_streaming_list_is_what_is_there_and_a_bookmark_that_says_so() {
    run(async {
        let now = cluster(5);
        let (server, client) = serve(&now);
        let listed = names(&client.get(SERVICES).await);
        let path = format!(
            "{SERVICES}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
             &allowWatchBookmarks=true&resourceVersion="
        );
        let mut watch = client.watch(&path).await;
        let mut added = Vec::new();
        let bookmark = loop {
            let (kind, object) = watch.next().await.unwrap();
            if kind == "BOOKMARK" {
                break object;
            }
            assert_eq!(kind, "ADDED");
            added.push(name(&object));
        };
        assert_eq!(added, listed);
        assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        assert_eq!((version(&bookmark), &bookmark["kind"]), (server.version(), &json!("Service")));
        remove_first(&server, &now);
        let (kind, object) = watch.next().await.unwrap();
        assert_eq!((kind.as_str(), version(&object) > version(&bookmark)), ("DELETED", true));
        let wrong = format!("{SERVICES}?watch=true&sendInitialEvents=true");
        assert_eq!(client.try_get(&wrong).await.0, 422);
    });
}

#[test]
fn watches_start_as_their_version_says() {
    run(async {
        let now = cluster(3);
        let (server, client) = serve(&now);
        let initial = ["", "&resourceVersion=", "&resourceVersion=0"];
        for start in initial {
            let mut watch = client.watch(&format!("{SERVICES}?watch=1{start}")).await;
            for _ in 0..3 {
                assert_eq!(watch.next().await.unwrap().0, "ADDED", "{start}");
            }
        }
        let start = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan";
        let mut watch = client.watch(&format!("{SERVICES}?watch=1{start}")).await;
        remove_first(&server, &now);
        assert_eq!(watch.next().await.unwrap().0, "DELETED");
    });
}

#[test]
fn bookmarks_come_now_and_then_and_when_the_time_is_over() {
    run(async {
        let limits = Limits { bookmark: Duration::from_millis(50), ..Limits::default() };
        let (server, client) = serve_with(&cluster(3), limits);
        let start = format!("watch=1&resourceVersion={}&timeoutSeconds=1", server.version());
        let mut watch = client.watch(&format!("{SERVICES}?{start}&allowWatchBookmarks=1")).await;
        let mut bookmarks = 0;
        while let Some((kind, object)) = watch.next().await {
            assert_eq!((kind.as_str(), version(&object)), ("BOOKMARK", server.version()));
            bookmarks += 1;
        }
        assert!(bookmarks >= 2, "{bookmarks}");
        let mut watch = client.watch(&format!("{SERVICES}?{start}")).await;
        assert_eq!(watch.next().await, None, "none without being asked for");
    });
}

#[test]
fn selectors_choose_what_is_listed_and_watched() {
    run(async {
        let now = cluster(5);
        let (server, client) = serve(&now);
        let kube_proxys = "labelSelector=%21service.kubernetes.io%2Fheadless%2C\
                           %21service.kubernetes.io%2Fservice-proxy-name";
        assert_eq!(names(&client.get(&format!("{SERVICES}?{kube_proxys}")).await).len(), 5);
        let service = &now.services()[0];
        let (namespace, own) = (service.name().namespace(), service.name().name());
        let by_label = format!("labelSelector=kubernetes.io/service-name={own}");
        let slice = format!("EndpointSlice {namespace}/{own}-0");
        assert_eq!(names(&client.get(&format!("{SLICES}?{by_label}")).await), [&*slice]);
        let node = client.get("/api/v1/nodes?fieldSelector=metadata.name%3Dnode").await;
        assert_eq!(names(&node), ["Node /node"]);
        assert_eq!(
            names(&client.get("/api/v1/nodes?fieldSelector=metadata.name%3Dx").await).len(),
            0
        );
        let path = format!("{SLICES}?watch=1&resourceVersion={}&{by_label}", server.version());
        let mut watch = client.watch(&path).await;
        let mut others = now.services().iter().skip(1).map(Service::id);
        let changes = [others.next().unwrap(), service.id()].map(Change::ServiceRemoved);
        server.apply(&now.step(changes.to_vec()).unwrap()).unwrap();
        let (kind, object) = watch.next().await.unwrap();
        assert_eq!((kind.as_str(), name(&object)), ("DELETED", slice));
    });
}

#[test]
fn objects_are_read_by_name_and_namespaces_apart() {
    run(async {
        let now = cluster(20);
        let (_server, client) = serve(&now);
        let service = now.services()[3].name();
        let (namespace, own) = (service.namespace(), service.name());
        let object = client.get(&format!("/api/v1/namespaces/{namespace}/services/{own}")).await;
        assert_eq!(object["spec"]["clusterIP"], now.services()[3].vip().to_string());
        assert!(
            object["metadata"]["uid"].is_string()
                && object["metadata"]["creationTimestamp"].is_string()
        );
        let of_namespace = client.get(&format!("/api/v1/namespaces/{namespace}/services")).await;
        let expected = now.services().iter().filter(|one| one.name().namespace() == namespace);
        assert_eq!(names(&of_namespace).len(), expected.count());
        let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        let slice = client.get(&format!("{slices}/{own}-0")).await;
        assert_eq!(slice["endpoints"][0]["nodeName"], "node");
        let (code, status) = client.try_get(&format!("{slices}/none")).await;
        assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
        assert_eq!(status["message"], "endpointslices.discovery.k8s.io \"none\" not found");
        let node = client.get("/api/v1/nodes/node").await;
        assert_eq!(node["status"]["addresses"][0]["address"], "192.0.2.1");
        assert_eq!(node["spec"]["podCIDR"], "10.128.0.0/9");
        let cidrs = client.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await;
        assert_eq!(cidrs["spec"]["cidrs"], json!(["10.96.0.0/12"]));
        assert_eq!(
            client.get(&format!("/api/v1/namespaces/{namespace}")).await["status"]["phase"],
            "Active"
        );
    });
}

#[test]
fn tables_have_a_row_for_each_object_and_columns_once() {
    run(async {
        let now = cluster(3);
        let (server, client) = serve(&now);
        let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
        let (_, text) = client.text(SERVICES, &accept).await;
        let table: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&table["kind"], version(&table)), (&json!("Table"), server.version()));
        assert_eq!(table["columnDefinitions"][2]["name"], "Cluster-IP");
        let rows = table["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["cells"][1]), (3, &json!("ClusterIP")));
        assert_eq!(rows[0]["object"]["kind"], "PartialObjectMetadata");
        let (_, text) = client.text(&format!("{SERVICES}?includeObject=Object"), &accept).await;
        let table: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(table["rows"][0]["object"]["kind"], "Service");
    });
}

#[test]
fn clients_find_out_what_there_is() {
    run(async {
        let (_server, client) = serve(&cluster(3));
        for path in ["/healthz", "/livez", "/readyz"] {
            assert_eq!(client.text(path, &[]).await.1, b"ok");
        }
        assert!(client.get("/version").await["gitVersion"].as_str().unwrap().starts_with("v1."));
        assert_eq!(client.get("/api").await["versions"], json!(["v1"]));
        let groups = client.get("/apis").await;
        assert_eq!(groups["groups"].as_array().unwrap().len(), 3);
        for group in groups["groups"].as_array().unwrap() {
            let name = group["name"].as_str().unwrap();
            assert_eq!(client.get(&format!("/apis/{name}")).await["name"], name);
            let list = client.get(&format!("/apis/{name}/v1")).await;
            assert!(!list["resources"].as_array().unwrap().is_empty());
        }
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert_eq!(client.text("/apis", &[("accept", aggregated)]).await.0, 406);
        let accept = [("accept", &*format!("{aggregated},application/json"))];
        let response = client.send(Method::GET, "/apis", &accept, "").await;
        assert_eq!(response.headers()["content-type"], "application/json");
    });
}

#[test]
fn protobuf_alone_is_refused_and_json_beside_it_is_given() {
    run(async {
        let (_server, client) = serve(&cluster(3));
        let protobuf = "application/vnd.kubernetes.protobuf";
        let (code, text) = client.text(SERVICES, &[("accept", protobuf)]).await;
        let status: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((code.as_u16(), &status["reason"]), (406, &json!("NotAcceptable")));
        let both = format!("{protobuf}, application/json");
        assert_eq!(client.text(SERVICES, &[("accept", &both)]).await.0, 200);
    });
}

#[test]
fn one_watch_too_many_is_refused_and_its_place_is_free_again() {
    run(async {
        let limits = Limits { watches: 1, ..Limits::default() };
        let (_server, client) = serve_with(&cluster(3), limits);
        let path = format!("{SERVICES}?watch=1");
        let watch = client.watch(&path).await;
        let (code, status) = client.try_get(&path).await;
        assert_eq!((code, &status["reason"]), (429, &json!("TooManyRequests")));
        drop(watch);
        let mut tries = 0;
        while client.send(Method::GET, &path, &[], "").await.status() != 200 {
            tries += 1;
            assert!(tries < 1_000, "the place of a watch that is gone stays taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_stopped_server_has_let_go_of_its_port_and_ends_watches() {
    run(async {
        let (server, client) = serve(&cluster(3));
        let mut watch = client.watch(&format!("{SERVICES}?watch=1&resourceVersion=0")).await;
        for _ in 0..3 {
            watch.next().await.unwrap();
        }
        assert!(!server.is_ended());
        server.stop().unwrap();
        assert!(tokio::net::TcpStream::connect(client.0).await.is_err());
    });
}

#[test]
#[ignore = "prints how long a list of 50,000 Services takes; run by hand with --release --nocapture"]
fn fifty_thousand_services_are_listed() {
    run(async {
        let started = std::time::Instant::now();
        let now = cluster(50_000);
        let made = started.elapsed();
        let (server, client) = serve(&now);
        println!("made in {made:?}, served after {:?}", started.elapsed());
        for path in [SERVICES, SLICES, SERVICES, SLICES] {
            let started = std::time::Instant::now();
            let (status, text) = client.text(path, &[]).await;
            println!("{path}: {} bytes in {:?}", text.len(), started.elapsed());
            assert_eq!(status, 200);
            let list: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(list["items"].as_array().unwrap().len(), 50_000);
        }
        let started = std::time::Instant::now();
        remove_first(&server, &now);
        println!("a Step: {:?}", started.elapsed());
    });
}
