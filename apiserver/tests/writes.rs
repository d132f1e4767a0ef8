//! Events are recorded, everything else that would write is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;

use apiserver::{Limits, Server, Site};
use client::{Client, SERVICES, names, run};
use generators::{SyntheticSpec, generate};
use hyper::Method;
use serde_json::{Value, json};

fn serve(limits: Limits) -> (Server, Client) {
    let cluster = generate(&SyntheticSpec { services: 3, ..SyntheticSpec::default() }, 1).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(address, &cluster, &Site::default(), limits).unwrap();
    let client = Client(server.address());
    (server, client)
}

const EVENTS: &str = "/api/v1/namespaces/default/events";
const NEW_EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

fn event(name: &str) -> String {
    json!({
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": { "name": name, "namespace": "default" },
        "involvedObject": { "kind": "Node", "name": "node" },
        "reason": "Starting",
        "message": "",
        "type": "Normal",
    })
    .to_string()
}

#[test]
fn events_of_both_groups_are_recorded_and_read_as_one() {
    run(async {
        let (_server, client) = serve(Limits::default());
        let (code, recorded) = client.post(EVENTS, event("node.1")).await;
        assert_eq!((code, &recorded["metadata"]["name"]), (201, &json!("node.1")));
        let new = json!({
            "kind": "Event",
            "apiVersion": "events.k8s.io/v1",
            "metadata": { "generateName": "node." },
            "regarding": { "kind": "Node", "name": "node" },
            "note": "began",
            "reason": "Starting",
            "action": "StartKubeProxy",
            "eventTime": "2026-01-01T00:00:00.000000Z",
        });
        let (code, recorded) = client.post(NEW_EVENTS, new.to_string()).await;
        assert_eq!(
            (code, &recorded["note"]),
            (201, &json!("began")),
            "it is answered as it was sent"
        );
        assert!(recorded["metadata"]["resourceVersion"].is_string());
        let list = client.get("/api/v1/events").await;
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        let began = client.get("/api/v1/events?fieldSelector=involvedObject.kind=Node").await;
        let items = began["items"].as_array().unwrap();
        assert!(items.iter().any(|event| event["message"] == "began"), "{began}");
        let (code, status) = client.post(EVENTS, event("node.1")).await;
        assert_eq!((code, &status["reason"]), (409, &json!("AlreadyExists")));
    });
}

#[test]
fn a_repeated_event_is_counted_by_a_patch() {
    run(async {
        let limits = Limits { body_bytes: 2000, ..Limits::default() };
        let (server, client) = serve(limits);
        let new = json!({
            "metadata": { "name": "node.1" }, "note": "began", "reason": "Starting",
        });
        assert_eq!(client.post(NEW_EVENTS, new.to_string()).await.0, 201);
        let (one, before) = (format!("{NEW_EVENTS}/node.1"), server.version());
        let patch = async |path: &str, kind: &str, body: String| {
            let headers = [("content-type", kind)];
            let response = client.send(Method::PATCH, path, &headers, body).await;
            let code = response.status().as_u16();
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            (code, serde_json::from_slice::<Value>(&body.to_bytes()).unwrap())
        };
        let merge = "application/strategic-merge-patch+json";
        let series = json!({ "series": { "count": 2 }, "note": "again", "reason": null,
            "metadata": { "name": "other", "labels": { "a": "b" } } });
        let (code, answered) = patch(&one, merge, series.to_string()).await;
        assert_eq!((code, &answered["apiVersion"]), (200, &json!("events.k8s.io/v1")));
        assert_eq!((&answered["note"], &answered["series"]["count"]), (&json!("again"), &json!(2)));
        assert!(answered.get("reason").is_none());
        assert_eq!(server.version(), before + 1);
        let kept = client.get(&format!("{EVENTS}/node.1")).await;
        assert_eq!((&kept["message"], &kept["series"]["count"]), (&json!("again"), &json!(2)));
        assert_eq!(kept["metadata"]["labels"]["a"], "b");
        let grown = json!({ "note": "x".repeat(1900) }).to_string();
        for (path, kind, body, wanted) in [
            (format!("{NEW_EVENTS}/node.2"), merge, "{}".to_owned(), 404),
            (one.clone(), merge, "[]".to_owned(), 400),
            (one.clone(), merge, "{".to_owned(), 400),
            (one.clone(), merge, r#"{"metadata":null}"#.to_owned(), 422),
            (one.clone(), merge, r#"{"metadata":7}"#.to_owned(), 422),
            (one.clone(), merge, grown, 413),
            (one.clone(), "application/json-patch+json", "[]".to_owned(), 415),
            (format!("{SERVICES}/a"), merge, "{}".to_owned(), 404),
        ] {
            let (code, status) = patch(&path, kind, body).await;
            assert_eq!((code, &status["kind"]), (wanted, &json!("Status")), "{path}: {status}");
        }
        assert_eq!(server.version(), before + 1);
    });
}

#[test]
fn the_oldest_events_go() {
    run(async {
        let (_server, client) = serve(Limits { recorded: 3, ..Limits::default() });
        for number in 0..6 {
            assert_eq!(client.post(EVENTS, event(&format!("node.{number}"))).await.0, 201);
        }
        let kept = names(&client.get(EVENTS).await);
        assert_eq!(kept, [3, 4, 5].map(|number| format!("Event default/node.{number}")));
    });
}

#[test]
fn events_that_are_none_are_refused() {
    run(async {
        let (_server, client) = serve(Limits::default());
        for (body, code) in [
            ("", 400),
            ("{", 400),
            ("[]", 400),
            ("nonsense", 400),
            (r#"{"kind":"Pod","metadata":{"name":"a"}}"#, 400),
            (r#"{"apiVersion":"v2","metadata":{"name":"a"}}"#, 400),
            (r#"{"metadata":{"name":"a","namespace":"other"}}"#, 400),
            (r#"{"kind":"Event"}"#, 422),
            (r#"{"metadata":[]}"#, 422),
            (r#"{"metadata":{}}"#, 422),
            (r#"{"metadata":{"name":"../a"}}"#, 422),
            (r#"{"metadata":{"name":7}}"#, 422),
        ] {
            let (found, status) = client.post(EVENTS, body).await;
            assert_eq!((found, &status["kind"]), (code, &json!("Status")), "{body}: {status}");
        }
        let deep = "[".repeat(50_000);
        assert_eq!(client.post(EVENTS, deep).await.0, 400);
        let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
        let response = client.send(Method::POST, EVENTS, &protobuf, "k8s\0").await;
        assert_eq!(response.status(), 415);
    });
}

#[test]
fn other_writes_are_refused_with_a_status() {
    run(async {
        let (server, client) = serve(Limits::default());
        let version = server.version();
        let one = "/api/v1/namespaces/default/services/a";
        for (method, path) in [
            (Method::POST, "/api/v1/namespaces/default/services"),
            (Method::POST, "/api/v1/events"),
            (Method::PUT, one),
            (Method::PATCH, one),
            (Method::DELETE, one),
            (Method::DELETE, SERVICES),
            (Method::PATCH, "/api/v1/namespaces/default/events/node.1"),
        ] {
            let response = client.send(method.clone(), path, &[], "{}").await;
            assert_eq!(response.status(), 405, "{method} {path}");
            let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
            let status: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
            assert_eq!(
                (&status["kind"], &status["reason"]),
                (&json!("Status"), &json!("MethodNotAllowed"))
            );
        }
        assert_eq!(server.version(), version);
    });
}
