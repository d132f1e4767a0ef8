//! Requests that mean no good: each gets a clear answer, or a closed connection, and the next
//! client is served.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod client;

use std::time::Duration;

use apiserver::{Limits, Server, Site};
use client::{Client, LIMIT, SERVICES, run};
use generators::{SyntheticSpec, generate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

fn serve(services: u32, limits: Limits) -> (Server, Client) {
    let cluster = generate(&SyntheticSpec { services, ..SyntheticSpec::default() }, 1).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(address, &cluster, &Site::default(), limits).unwrap();
    let client = Client(server.address());
    (server, client)
}

/// Sends bytes as they are and returns what is said until the connection ends.
async fn say(client: &Client, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(client.0).await.unwrap();
    // The server may have answered and closed before it has read everything.
    let _ = stream.write_all(text).await;
    let mut said = Vec::new();
    let _ = timeout(LIMIT, stream.read_to_end(&mut said)).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

fn short() -> Limits {
    Limits { idle: Duration::from_millis(500), ..Limits::default() }
}

#[test]
fn huge_heads_many_headers_and_long_paths_are_refused() {
    run(async {
        let (_server, client) = serve(3, short());
        let get = format!("GET {SERVICES} HTTP/1.1\r\nhost: a\r\n");
        let huge = format!("{get}x: {}\r\n\r\n", "y".repeat(1 << 20));
        assert!(say(&client, huge.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let many = format!("{get}{}\r\n", "x: y\r\n".repeat(10_000));
        assert!(say(&client, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(1 << 20));
        let said = say(&client, long.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 414 ") || said.starts_with("HTTP/1.1 431 "), "{said}");
        assert_eq!(client.get(SERVICES).await["kind"], "ServiceList");
    });
}

#[test]
fn ten_thousand_parameters_and_long_selectors_are_refused() {
    run(async {
        let (_server, client) = serve(3, short());
        let path = format!("{SERVICES}?{}", "a=1&".repeat(10_000));
        let (code, status) = client.try_get(&path).await;
        assert_eq!((code, status["reason"].as_str()), (400, Some("BadRequest")));
        assert!(status["message"].as_str().unwrap().contains("at most 64 parameters"));
        for selector in ["a,".repeat(10_000), "(".repeat(10_000), "%ff".to_owned()] {
            let (code, _) = client.try_get(&format!("{SERVICES}?labelSelector={selector}")).await;
            assert_eq!(code, 400);
        }
    });
}

#[test]
fn what_is_no_http_ends_the_connection() {
    run(async {
        let (_server, client) = serve(3, short());
        for text in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
            b"nonsense\r\n\r\n",
            b"\0\0\0\0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let said = say(&client, text).await;
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
        }
        assert_eq!(client.get(SERVICES).await["kind"], "ServiceList");
    });
}

#[test]
fn bodies_without_end_are_cut_and_slow_ones_given_up() {
    run(async {
        let (_server, client) = serve(3, short());
        let head = "POST /api/v1/namespaces/default/events HTTP/1.1\r\nhost: a\r\n\
                    content-type: application/json\r\n";
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let endless = format!("{head}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(100));
        let said = say(&client, endless.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
        assert!(said.contains("\"reason\":\"RequestEntityTooLarge\""), "{said}");
        let announced = format!("{head}content-length: 99999999999\r\n\r\n{{");
        let said = say(&client, announced.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 4"), "{said}");
        let slow = format!("{head}content-length: 100\r\n\r\n{{");
        let said = say(&client, slow.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        let wrong = format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n");
        let said = say(&client, wrong.as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    });
}

#[test]
fn clients_that_say_nothing_are_let_go() {
    run(async {
        let (_server, client) = serve(3, short());
        assert_eq!(say(&client, b"").await, "");
        assert_eq!(say(&client, b"GET /api/v1/serv").await, "");
        let said = say(&client, b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(said.ends_with("\r\n\r\nok"), "idle after an answer, it is closed: {said}");
    });
}

#[test]
fn a_client_that_takes_no_more_of_a_list_is_let_go() {
    run(async {
        let limits = Limits { connections: 1, ..short() };
        let (_server, client) = serve(20_000, limits);
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stalled = socket.connect(client.0).await.unwrap();
        let get = format!("GET {SERVICES} HTTP/1.1\r\nhost: a\r\n\r\n");
        stalled.write_all(get.as_bytes()).await.unwrap();
        // The one connection that there may be is free only when that one is given up.
        assert_eq!(client.get("/api").await["kind"], "APIVersions");
        drop(stalled);
    });
}

#[test]
fn connections_beyond_the_limit_wait_for_their_turn() {
    run(async {
        let (_server, client) = serve(3, Limits { connections: 2, ..short() });
        let silent = [TcpStream::connect(client.0).await, TcpStream::connect(client.0).await];
        assert_eq!(client.get("/api").await["kind"], "APIVersions");
        drop(silent);
    });
}
