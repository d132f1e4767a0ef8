//! Rows for people: the columns that `kubectl get` prints
//! (`pkg/printers/internalversion/printers.go`, Kubernetes 1.35).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::query::Include;
use crate::resource::Resource;

/// Most ports or endpoints that a cell names.
const NAMED_MAX: usize = 3;

/// Columns of a resource, and whether only `-o wide` shows them.
const fn names(resource: Resource) -> &'static [(&'static str, bool)] {
    match resource {
        Resource::Services => &[
            ("Name", false),
            ("Type", false),
            ("Cluster-IP", false),
            ("External-IP", false),
            ("Port(s)", false),
            ("Age", false),
            ("Selector", true),
        ],
        Resource::EndpointSlices => &[
            ("Name", false),
            ("AddressType", false),
            ("Ports", false),
            ("Endpoints", false),
            ("Age", false),
        ],
        Resource::Nodes => {
            &[("Name", false), ("Status", false), ("Age", false), ("Internal-IP", true)]
        }
        Resource::Namespaces => &[("Name", false), ("Status", false), ("Age", false)],
        Resource::ServiceCidrs => &[("Name", false), ("CIDRs", false), ("Age", false)],
        Resource::Events | Resource::NewEvents => &[
            ("Last Seen", false),
            ("Type", false),
            ("Reason", false),
            ("Object", false),
            ("Message", false),
            ("Name", true),
        ],
    }
}

/// `columnDefinitions` of a resource.
pub(crate) fn columns(resource: Resource) -> Value {
    let column = |(name, is_wide): &(&str, bool)| {
        json!({
            "name": name,
            "type": "string",
            "format": if *name == "Name" { "name" } else { "" },
            "description": "",
            "priority": u8::from(*is_wide),
        })
    };
    names(resource).iter().map(column).collect()
}

/// The row of an object.
pub(crate) fn row(resource: Resource, object: &Value, include: Include) -> Value {
    let included = match include {
        Include::Object => object.clone(),
        Include::None => Value::Null,
        Include::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": object["metadata"],
        }),
    };
    json!({ "cells": cells(resource, object), "object": included })
}

fn cells(resource: Resource, object: &Value) -> Vec<String> {
    let name = text(&object["metadata"]["name"]);
    let age = age(&object["metadata"]["creationTimestamp"]);
    let spec = &object["spec"];
    match resource {
        Resource::Services => vec![
            name,
            text(&spec["type"]),
            or(text(&spec["clusterIP"]), "<none>"),
            or(external(object), "<none>"),
            or(service_ports(&spec["ports"]), "<none>"),
            age,
            "<none>".to_owned(),
        ],
        Resource::EndpointSlices => vec![
            name,
            text(&object["addressType"]),
            some(&object["ports"], |port| text(&port["port"])),
            some(&object["endpoints"], |endpoint| texts(&endpoint["addresses"]).join(",")),
            age,
        ],
        Resource::Nodes => {
            let addresses = items(&object["status"]["addresses"]);
            let mut internal = addresses.filter(|address| address["type"] == "InternalIP");
            let internal = internal.next().map(|address| text(&address["address"]));
            vec![name, "Ready".to_owned(), age, or(internal.unwrap_or_default(), "<none>")]
        }
        Resource::Namespaces => vec![name, text(&object["status"]["phase"]), age],
        Resource::ServiceCidrs => vec![name, texts(&spec["cidrs"]).join(","), age],
        Resource::Events | Resource::NewEvents => {
            let about = &object["involvedObject"];
            let kind = text(&about["kind"]).to_ascii_lowercase();
            let about = format!("{kind}/{}", text(&about["name"]));
            vec![
                age,
                text(&object["type"]),
                text(&object["reason"]),
                about,
                text(&object["message"]),
                name,
            ]
        }
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn texts(list: &Value) -> Vec<String> {
    items(list).map(text).collect()
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// Addresses of load balancers, then external IPs.
fn external(service: &Value) -> String {
    let ingress = items(&service["status"]["loadBalancer"]["ingress"]);
    let balancers = ingress.map(|ingress| text(&ingress["ip"]));
    let all: Vec<String> = balancers.chain(texts(&service["spec"]["externalIPs"])).collect();
    let is_pending = all.is_empty() && service["spec"]["type"] == "LoadBalancer";
    if is_pending { "<pending>".to_owned() } else { all.join(",") }
}

/// `80/TCP,443:30443/TCP`.
fn service_ports(ports: &Value) -> String {
    let port = |port: &Value| {
        let node_port = or(text(&port["nodePort"]), "");
        let colon = if node_port.is_empty() { "" } else { ":" };
        format!("{}{colon}{node_port}/{}", text(&port["port"]), text(&port["protocol"]))
    };
    items(ports).map(port).collect::<Vec<_>>().join(",")
}

/// The first of a list, and how many more there are.
fn some(list: &Value, named: impl Fn(&Value) -> String) -> String {
    let count = items(list).count();
    let first: Vec<String> = items(list).take(NAMED_MAX).map(named).collect();
    let first = first.join(",");
    match count.saturating_sub(NAMED_MAX) {
        0 => or(first, "<unset>"),
        more => format!("{first} + {more} more..."),
    }
}

/// How long ago a time was, in one unit.
fn age(time: &Value) -> String {
    let Ok(time) = text(time).parse::<Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = (Timestamp::now().as_second() - time.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_row() {
        let service = json!({
            "metadata": { "name": "cart", "namespace": "shop" },
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": "10.96.0.1",
                "externalIPs": ["192.0.2.1"],
                "ports": [
                    { "port": 80, "protocol": "TCP", "nodePort": 30080 },
                    { "port": 53, "protocol": "UDP" },
                ],
            },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.9" }] } },
        });
        let row = row(Resource::Services, &service, Include::Metadata);
        let cells = json!([
            "cart",
            "LoadBalancer",
            "10.96.0.1",
            "192.0.2.9,192.0.2.1",
            "80:30080/TCP,53/UDP",
            "<unknown>",
            "<none>",
        ]);
        assert_eq!(row["cells"], cells);
        assert_eq!(row["object"]["metadata"]["namespace"], "shop");
    }

    #[test]
    fn a_slice_names_three_endpoints_and_counts_the_others() {
        let endpoints: Vec<Value> =
            (1..=5).map(|number| json!({ "addresses": [format!("10.0.0.{number}")] })).collect();
        let slice = |endpoints: &[Value]| {
            let slice = json!({ "ports": [{ "port": 80 }], "endpoints": endpoints });
            cells(Resource::EndpointSlices, &slice)[2..4].join(" ")
        };
        assert_eq!(slice(&endpoints), "80 10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...");
        assert_eq!(slice(&endpoints[..1]), "80 10.0.0.1");
        assert_eq!(slice(&[]), "80 <unset>");
    }

    #[test]
    fn every_row_has_a_cell_for_each_column() {
        for resource in Resource::ALL {
            let columns = columns(resource);
            assert_eq!(cells(resource, &json!({})).len(), columns.as_array().unwrap().len());
        }
    }

    #[test]
    fn ages_are_in_one_unit() {
        let ago = |seconds: i64| {
            let then = Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap();
            age(&then.to_string().into())
        };
        assert_eq!([ago(300), ago(7_200), ago(200_000)], ["5m", "2h", "2d"]);
        assert_eq!(ago(-100), "0s");
    }
}
