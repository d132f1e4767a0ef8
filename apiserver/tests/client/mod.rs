//! A client of our own over hyper: requests, and watches line by line.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes nearly as long.
pub const LIMIT: Duration = Duration::from_secs(30);

pub const SERVICES: &str = "/api/v1/services";
pub const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// Runs a test on a runtime of one thread.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test)
}

pub struct Client(pub SocketAddr);

impl Client {
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let stream = TcpStream::connect(self.0).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "api");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let mut response = timeout(LIMIT, sender.send_request(request)).await.unwrap().unwrap();
        // The connection lives as long as its answer.
        response.extensions_mut().insert(std::sync::Arc::new(sender));
        response
    }

    pub async fn text(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, Vec<u8>) {
        let response = self.send(Method::GET, path, headers, "").await;
        let status = response.status();
        let body = timeout(LIMIT, response.into_body().collect()).await.unwrap().unwrap();
        (status, body.to_bytes().to_vec())
    }

    /// The status code and JSON of a path.
    pub async fn try_get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.text(path, &[]).await;
        (status.as_u16(), serde_json::from_slice(&text).unwrap())
    }

    /// The JSON of a path that is there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, value) = self.try_get(path).await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let headers = [("content-type", "application/json")];
        let response = self.send(Method::POST, path, &headers, body).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.send(Method::GET, path, &[], "").await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { response, text: Vec::new() }
    }
}

/// One watch; its lines as they come.
pub struct Watch {
    response: Response<Incoming>,
    text: Vec<u8>,
}

impl Watch {
    /// The type and object of the next line; nothing when the watch has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line).unwrap();
                let kind = event["type"].as_str().unwrap().to_owned();
                return Some((kind, event["object"].take()));
            }
            let frame = timeout(LIMIT, self.response.body_mut().frame()).await.unwrap()?;
            self.text.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }

    /// Lines up to the object that has this version.
    pub async fn up_to(&mut self, wanted: u64) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            let is_last = version(&event.1) >= wanted;
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

/// `metadata.resourceVersion`.
pub fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// `KIND namespace/name`.
pub fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

pub fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().unwrap().iter().map(name).collect()
}
