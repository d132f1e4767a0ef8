//! vipbench's own JSON form of a Cluster, `vipbench.cluster/1`: written and read as a stream.
//!
//! One Service a line, so that an error's line number is a Service and a diff is readable:
//!
//! ```json
//! {"schema":"vipbench.cluster/1","services":[
//! {"name":"shop/cart:http","vip":"10.96.0.1","port":80,"protocol":"tcp","endpoints":["10.128.0.7:8080"]}
//! ]}
//! ```
//!
//! What else a Service has ([`Extras`](crate::Extras)) follows `protocol` by name, and an Endpoint of
//! which more is to be said than where it is is an object. As a part of another document a Cluster
//! has the same form.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::cluster::Cluster;
use crate::endpoint::{Endpoint, is_default};
use crate::error::ClusterError;
use crate::extras::{Extras, TrafficPolicy};
use crate::service::{Protocol, Service};
use crate::service_name::ServiceName;

/// The name and version of the form.
pub const SCHEMA: &str = "vipbench.cluster/1";

/// Most bytes that [`from_json`] reads: 1 GiB, enough for 1,000,000 Services with 40 Endpoints.
/// It bounds memory too: a Cluster takes at most a few times the memory of its text.
pub const MAX_JSON_BYTES: u64 = 1 << 30;

/// Why a Cluster could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Writing failed.
    #[error("cannot write the Cluster: {0}")]
    Write(#[from] io::Error),
    /// Ports of one Kubernetes Service disagree on what the Service has once.
    #[error(
        "{first} and {second} are ports of one Kubernetes Service but differ in {part}: \
         give them the same or rename one"
    )]
    PortsDisagree {
        /// The port that comes first in the Cluster.
        first: ServiceName,
        /// The port that comes later.
        second: ServiceName,
        /// What differs.
        part: &'static str,
    },
    /// One of several ports of a Kubernetes Service has no name.
    #[error("{name} is one of several ports of a Kubernetes Service and has no name: name it")]
    UnnamedPort {
        /// The name without a port.
        name: ServiceName,
    },
}

/// Why a Cluster could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// More than [`MAX_JSON_BYTES`].
    #[error("the Cluster's JSON is longer than {limit} bytes: split it")]
    TooLong {
        /// The most bytes that are read.
        limit: u64,
    },
    /// Not JSON, not `vipbench.cluster/1`, or not a valid Service; says at which line.
    #[error("the Cluster's JSON cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Every Service is valid, but together they are not.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// Writes a Cluster as `vipbench.cluster/1`. Equal Clusters give equal bytes.
///
/// # Errors
/// [`ExportError::Write`] if `out` fails.
pub fn to_json(cluster: &Cluster, mut out: impl Write) -> Result<(), ExportError> {
    write!(out, "{{\"schema\":\"{SCHEMA}\",\"services\":[")?;
    let mut separator = "\n";
    for service in cluster.services() {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut out, service).map_err(io::Error::from)?;
        separator = ",\n";
    }
    out.write_all(b"\n]}\n")?;
    Ok(out.flush()?)
}

/// Reads what [`to_json`] writes. The input may be hostile: its length is bounded, everything in it
/// is validated, and only valid Services are kept while reading.
///
/// # Errors
/// [`ImportError`]; the text names the line, which is the Service.
pub fn from_json(input: impl Read) -> Result<Cluster, ImportError> {
    read_json(input, MAX_JSON_BYTES)
}

fn read_json(input: impl Read, limit: u64) -> Result<Cluster, ImportError> {
    // One byte more than allowed tells a text that is too long from one that just fits.
    let mut limited = input.take(limit.saturating_add(1));
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(&mut limited));
    let document = Document::deserialize(&mut json).and_then(|document| {
        json.end()?;
        Ok(document)
    });
    drop(json);
    if limited.limit() == 0 {
        return Err(ImportError::TooLong { limit });
    }
    let Document { schema: Schema::V1, services } = document?;
    Ok(Cluster::new(services.into_owned())?)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    schema: Schema,
    services: Cow<'a, [Service]>,
}

#[derive(Serialize, Deserialize)]
enum Schema {
    #[serde(rename = "vipbench.cluster/1")]
    V1,
}

impl Serialize for Cluster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document { schema: Schema::V1, services: self.services().into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cluster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Document { schema: Schema::V1, services } = Document::deserialize(deserializer)?;
        Self::new(services.into_owned()).map_err(D::Error::custom)
    }
}

/// A Service as one line has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    name: Cow<'a, str>,
    vip: IpAddr,
    port: u16,
    protocol: Protocol,
    #[serde(default, skip_serializing_if = "is_default")]
    node_port: Option<u16>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    external_ips: Cow<'a, [IpAddr]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    load_balancer_ips: Cow<'a, [IpAddr]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    source_ranges: Cow<'a, [IpNet]>,
    #[serde(default, skip_serializing_if = "is_default")]
    affinity_s: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    internal_policy: TrafficPolicy,
    #[serde(default, skip_serializing_if = "is_default")]
    external_policy: TrafficPolicy,
    #[serde(default, skip_serializing_if = "is_default")]
    health_check_node_port: Option<u16>,
    endpoints: Cow<'a, [Endpoint]>,
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let extras = self.extras();
        let line = Line {
            name: self.name().as_str().into(),
            vip: self.vip(),
            port: self.port(),
            protocol: self.protocol(),
            node_port: extras.node_port,
            external_ips: (&extras.external_ips).into(),
            load_balancer_ips: (&extras.load_balancer_ips).into(),
            source_ranges: (&extras.source_ranges).into(),
            affinity_s: extras.affinity_s,
            internal_policy: extras.internal_policy,
            external_policy: extras.external_policy,
            health_check_node_port: extras.health_check_node_port,
            endpoints: self.endpoints().into(),
        };
        line.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ServiceVisitor)
    }
}

/// Validates before the closing brace is passed: `#[serde(try_from)]` would do so after it, and
/// its errors would name the line of the next Service.
struct ServiceVisitor;

impl<'de> Visitor<'de> for ServiceVisitor {
    type Value = Service;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Service")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Service, A::Error> {
        Line::deserialize(MapAccessDeserializer::new(map))?.validated().map_err(A::Error::custom)
    }
}

impl Line<'_> {
    fn validated(self) -> Result<Service, ClusterError> {
        let endpoints = self.endpoints.into_owned();
        let service =
            Service::new(self.name.parse()?, self.vip, self.port, self.protocol, endpoints)?;
        service.with(|extras| {
            *extras = Extras {
                node_port: self.node_port,
                external_ips: self.external_ips.into_owned(),
                load_balancer_ips: self.load_balancer_ips.into_owned(),
                source_ranges: self.source_ranges.into_owned(),
                affinity_s: self.affinity_s,
                internal_policy: self.internal_policy,
                external_policy: self.external_policy,
                health_check_node_port: self.health_check_node_port,
            };
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = concat!(
        "{\"schema\":\"vipbench.cluster/1\",\"services\":[\n",
        "{\"name\":\"shop/cart:http\",\"vip\":\"10.96.0.1\",\"port\":80,\"protocol\":\"tcp\",",
        "\"endpoints\":[\"10.128.0.10:8080\",\"10.128.0.7:8080\"]},\n",
        "{\"name\":\"shop/dns\",\"vip\":\"10.96.0.2\",\"port\":53,\"protocol\":\"udp\",",
        "\"node_port\":30053,\"external_ips\":[\"192.0.2.2\",\"192.0.2.1\"],\"endpoints\":[]}\n",
        "]}\n"
    );

    fn written(cluster: &Cluster) -> String {
        let mut out = Vec::new();
        to_json(cluster, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn error(text: &str) -> String {
        from_json(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn json_is_read_and_written_back_byte_for_byte() {
        let cluster = from_json(TWO.as_bytes()).unwrap();
        assert_eq!(written(&cluster), TWO);
        let [cart, dns] = cluster.services() else { panic!("two Services") };
        assert_eq!((cart.extras(), cart.endpoints().len()), (&Extras::NONE, 2));
        let extras = dns.extras();
        assert_eq!((extras.node_port, extras.external_ips.len()), (Some(30_053), 2));
        assert_eq!(dns.protocol(), Protocol::Udp);
    }

    #[test]
    fn everything_that_a_service_may_have_is_read_and_written_back() {
        let line = concat!(
            "{\"name\":\"shop/dns\",\"vip\":\"fd00::2\",\"port\":53,\"protocol\":\"udp\",",
            "\"load_balancer_ips\":[\"2001:db8::9\"],\"source_ranges\":[\"2001:db8:1::/48\"],",
            "\"affinity_s\":10800,\"internal_policy\":\"local\",\"external_policy\":\"local\",",
            "\"health_check_node_port\":32000,",
            "\"endpoints\":[{\"address\":\"[fd01::1]:53\",\"remote\":true}]}",
        );
        let text = format!("{{\"schema\":\"{SCHEMA}\",\"services\":[\n{line}\n]}}\n");
        assert_eq!(written(&from_json(text.as_bytes()).unwrap()), text);
    }

    #[test]
    fn a_cluster_within_another_document_has_the_same_form_and_is_validated() {
        let cluster = from_json(TWO.as_bytes()).unwrap();
        let inside = serde_json::to_string(&(1, &cluster)).unwrap();
        assert_eq!(inside, format!("[1,{}]", TWO.replace('\n', "")));
        let (_, read): (u8, Cluster) = serde_json::from_str(&inside).unwrap();
        assert_eq!(read, cluster);
        let twice = inside.replace("shop/dns", "shop/cart:http");
        let error = serde_json::from_str::<(u8, Cluster)>(&twice).unwrap_err().to_string();
        assert!(error.contains("two Services are named shop/cart:http"), "{error}");
    }

    #[test]
    fn every_error_names_the_line() {
        let cases = [
            (("cart:http", "Cart:http"), "not a DNS-1123 label"),
            (("shop/dns", "dns"), "does not name a Service"),
            (("\"port\":53", "\"port\":0"), "port is 0"),
            (("\"port\":53", "\"port\":65536"), "65536"),
            (("10.128.0.7:8080", "10.128.0.7"), "invalid socket address"),
            (("10.128.0.7:8080", "10.128.0.10:8080"), "given twice"),
            (("192.0.2.1", "192.0.2.2"), "given twice"),
            (("\"udp\"", "\"UDP\""), "unknown variant `UDP`"),
            (("30053", "0"), "node port is 0"),
            (("\"node_port\"", "\"nodePort\""), "unknown field `nodePort`"),
            (("\"vip\":\"10.96.0.2\"", "\"vip\":\"10.96\""), "invalid IP address"),
            (("\"vip\":\"10.96.0.2\"", "\"vip\":\"fd00::2\""), "is not of IPv6"),
        ];
        for ((from, to), expected) in cases {
            let text = TWO.replace(from, to);
            let changed = text.lines().zip(TWO.lines()).position(|(after, before)| after != before);
            let line = 1 + changed.unwrap();
            let error = error(&text);
            assert!(error.contains(expected), "{error}");
            assert!(error.contains(&format!("line {line} ")), "{error}: not line {line}");
        }
    }

    #[test]
    fn services_that_cannot_be_together_are_refused() {
        let text = TWO.replace("shop/dns", "shop/cart:http");
        assert_eq!(error(&text), "two Services are named shop/cart:http: rename or remove one");
        let empty = "{\"schema\":\"vipbench.cluster/1\",\"services\":[]}";
        assert!(matches!(
            from_json(empty.as_bytes()),
            Err(ImportError::Cluster(ClusterError::Empty))
        ));
    }

    #[test]
    fn another_schema_is_refused() {
        let error = error(&TWO.replace("cluster/1", "cluster/2"));
        assert!(error.contains("`vipbench.cluster/2`, expected `vipbench.cluster/1`"), "{error}");
    }

    #[test]
    fn text_before_or_after_the_document_and_half_documents_are_refused() {
        assert!(error(&format!("{TWO}{TWO}")).contains("trailing characters at line 5"));
        assert!(error("").contains("EOF"));
        for length in 1..TWO.len() - 1 {
            assert!(from_json(&TWO.as_bytes()[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn input_over_the_limit_is_refused_and_input_at_the_limit_is_not() {
        let length = TWO.len() as u64;
        assert!(read_json(TWO.as_bytes(), length).is_ok());
        for limit in [0, 1, length - 1] {
            let error = read_json(TWO.as_bytes(), limit).unwrap_err();
            assert!(matches!(error, ImportError::TooLong { limit: found } if found == limit));
        }
        // Space without end is read up to the limit, not for ever.
        let error = read_json(io::repeat(b' '), 1 << 16).unwrap_err();
        assert_eq!(error.to_string(), "the Cluster's JSON is longer than 65536 bytes: split it");
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_stack_overflow() {
        let deep = format!("{{\"schema\":{}", "[".repeat(1_000_000));
        assert!(from_json(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let cluster = from_json(TWO.as_bytes()).unwrap();
        let mut space = [0_u8; 100];
        let error = to_json(&cluster, &mut space[..]).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the Cluster: "), "{error}");
    }
}
