//! What a sync reads of the namespace before it writes: names of chains, and on a full sync
//! elements of sets and maps.
//!
//! Read as a kube-proxy reads it, since it pays for it on every sync (the end of `syncProxyRules`
//! in pkg/proxy/nftables/proxier.go and `List` of sigs.k8s.io/knftables): the three ways are in
//! `options.rs`. What `nft` prints is not trusted.

use std::collections::HashMap;
use std::net::IpAddr;

use generators::{Family, Protocol};
use linux::netlink::NetlinkError;
use linux::netlink::nftables as netlink;
use serde::Deserialize;
use serde_json::Value;

use super::elements::{Container, Key};
use super::layout::Layout;
use super::names::{is_affinity_set, is_service_chain};
use super::nft;
use super::options::Listing;
use super::render::Found;
use super::text::{self, TABLE_NAME};
use crate::error::ProxyError;
use crate::netlink::failed;

/// What `nft --json` prints, as far as it is wanted.
#[derive(Deserialize)]
struct Output {
    nftables: Vec<Object>,
}

/// One object: at most one of these, or something else.
#[derive(Deserialize)]
struct Object {
    chain: Option<Named>,
    set: Option<Elements>,
    map: Option<Elements>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    table: String,
    name: String,
}

#[derive(Deserialize)]
struct Elements {
    #[serde(flatten)]
    named: Named,
    #[serde(default)]
    elem: Vec<Value>,
}

/// What a full sync has to know.
///
/// # Errors
/// A tool that failed, or an answer that is not understood.
pub(super) fn found(layout: Layout, listing: Listing, family: Family) -> Result<Found, ProxyError> {
    let mut elements = HashMap::new();
    for container in Container::of(layout) {
        let listed = match listing {
            Listing::ChainsAndSets | Listing::Terse => by_tool(container, family)?,
            Listing::Netlink => by_netlink(container, family)?,
        };
        elements.extend(listed.into_iter().map(|(key, leads_to)| ((container, key), leads_to)));
    }
    let Listed { chains, affinity_sets } = listed(listing, family)?;
    Ok(Found { chains, affinity_sets, elements })
}

/// What Services and Endpoints have in the table, by name.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Their chains.
    pub chains: Vec<String>,
    /// The sets in which Endpoints remember clients.
    pub affinity_sets: Vec<String>,
}

/// The chains of Services and Endpoints that are there, and the sets of their clients.
///
/// # Errors
/// As for [`found`].
pub(super) fn listed(listing: Listing, family: Family) -> Result<Listed, ProxyError> {
    let ip = text::ip(family);
    match listing {
        Listing::ChainsAndSets => {
            let Listed { chains, .. } = named(&["--json", "list", "chains", ip])?;
            let Listed { affinity_sets, .. } = named(&["--json", "list", "sets", ip])?;
            Ok(Listed { chains, affinity_sets })
        }
        Listing::Terse => named(&["--json", "--terse", "list", "table", ip, TABLE_NAME]),
        Listing::Netlink => {
            let chains =
                netlink::chains(protocol_family(family), TABLE_NAME).map_err(unlisted("chains"))?;
            let sets =
                netlink::sets(protocol_family(family), TABLE_NAME).map_err(unlisted("sets"))?;
            Ok(Listed {
                chains: chains.into_iter().filter(|name| is_service_chain(name)).collect(),
                affinity_sets: sets.into_iter().filter(|name| is_affinity_set(name)).collect(),
            })
        }
    }
}

fn unlisted(what: &str) -> impl FnOnce(NetlinkError) -> ProxyError {
    failed("list", format!("{what} of table {TABLE_NAME}"))
}

fn named(args: &[&str]) -> Result<Listed, ProxyError> {
    let Some(text) = nft::list(args)? else { return Ok(Listed::default()) };
    let mut listed = Listed::default();
    for object in objects(&text)? {
        let set = object.set.map(|set| set.named);
        match (object.chain, set) {
            (Some(Named { table, name }), _) if table == TABLE_NAME && is_service_chain(&name) => {
                listed.chains.push(name);
            }
            (_, Some(Named { table, name })) if table == TABLE_NAME && is_affinity_set(&name) => {
                listed.affinity_sets.push(name);
            }
            _ => {}
        }
    }
    Ok(listed)
}

fn objects(text: &[u8]) -> Result<Vec<Object>, ProxyError> {
    let output: Output =
        serde_json::from_slice(text).map_err(|error| malformed(&error.to_string()))?;
    Ok(output.nftables)
}

fn malformed(reason: &str) -> ProxyError {
    ProxyError::malformed("what `nft --json list` prints", reason)
}

fn by_tool(container: Container, family: Family) -> Result<Vec<(Key, String)>, ProxyError> {
    let kind = container.definition().kind;
    let args = ["--json", "list", kind, text::ip(family), TABLE_NAME, container.name()];
    let Some(text) = nft::list(&args)? else { return Ok(Vec::new()) };
    elements(&text)
}

/// The elements in what `nft --json list set` or `list map` prints.
fn elements(text: &[u8]) -> Result<Vec<(Key, String)>, ProxyError> {
    let listed = objects(text)?.into_iter().filter_map(|object| object.set.or(object.map));
    listed.flat_map(|listed| listed.elem).map(|element| read(&element)).collect()
}

/// `KEY`, `[KEY, VERDICT]`, and either with a comment around the key.
fn read(element: &Value) -> Result<(Key, String), ProxyError> {
    let (key, leads_to) = match element.as_array().map(Vec::as_slice) {
        Some([key, verdict]) => (key, verdict_of(verdict)),
        _ => (element, String::new()),
    };
    let key = key.pointer("/elem/val").unwrap_or(key);
    key_of(key).map(|key| (key, leads_to)).ok_or_else(|| malformed(&format!("element {element}")))
}

fn verdict_of(verdict: &Value) -> String {
    match verdict.pointer("/goto/target").and_then(Value::as_str) {
        Some(target) => format!("goto {target}"),
        None if verdict.get("drop").is_some() => "drop".to_owned(),
        None => verdict.to_string(),
    }
}

fn key_of(key: &Value) -> Option<Key> {
    if let Some(address) = key.as_str() {
        return Some(Key::Address(address.parse().ok()?));
    }
    let address = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    match key.get("concat")?.as_array()?.as_slice() {
        [at, protocol, number] => {
            Some(Key::Destination(address(at)?, protocol_of(protocol)?, port(number)?))
        }
        [protocol, number] => Some(Key::Port(protocol_of(protocol)?, port(number)?)),
        [at, other, protocol, number] if at == other => {
            Some(Key::Hairpin(address(at)?, protocol_of(protocol)?, port(number)?))
        }
        _ => None,
    }
}

/// By name, or by number where the machine has no /etc/protocols.
fn protocol_of(value: &Value) -> Option<Protocol> {
    match value.as_u64() {
        Some(number) => Protocol::of_number(number.try_into().ok()?),
        None => Protocol::deserialize(value).ok(),
    }
}

/// The number that netlink has for a family.
const fn protocol_family(family: Family) -> u8 {
    match family {
        Family::V4 => netlink::IPV4,
        Family::V6 => netlink::IPV6,
    }
}

fn by_netlink(container: Container, family: Family) -> Result<Vec<(Key, String)>, ProxyError> {
    let listed = netlink::elements(protocol_family(family), TABLE_NAME, container.name());
    let listed = listed.map_err(unlisted("elements"))?;
    let read = |element: netlink::Element| {
        let key = binary_key(container, family, &element.key);
        let key = key.ok_or_else(|| {
            let reason = format!("its key is {:?}", element.key);
            ProxyError::malformed(format!("an element of {}", container.name()), reason)
        })?;
        let leads_to = match element.verdict {
            None => String::new(),
            Some(netlink::Verdict::Goto(chain)) => format!("goto {chain}"),
            Some(netlink::Verdict::Drop) => "drop".to_owned(),
        };
        Ok((key, leads_to))
    };
    listed.into_iter().map(read).collect()
}

/// A key as the kernel keeps it: every part in network order, padded to four bytes.
fn binary_key(container: Container, family: Family, key: &[u8]) -> Option<Key> {
    let address = |bytes: &[u8]| -> Option<IpAddr> {
        match family {
            Family::V4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
            Family::V6 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        }
    };
    let length = usize::from(family.address_bits() / 8);
    let port = |rest: &[u8]| match rest {
        [protocol, _, _, _, high, low, _, _] => {
            Some((Protocol::of_number(*protocol)?, u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    };
    match container {
        Container::ClusterIps => Some(Key::Address(address(key)?)),
        Container::ServiceNodePorts | Container::NoEndpointNodePorts => {
            let (protocol, number) = port(key)?;
            Some(Key::Port(protocol, number))
        }
        Container::HairpinConnections => {
            let (at, rest) = key.split_at_checked(length)?;
            let rest = rest.strip_prefix(at)?;
            let (protocol, number) = port(rest)?;
            Some(Key::Hairpin(address(at)?, protocol, number))
        }
        _ => {
            let (at, rest) = key.split_at_checked(length)?;
            let (protocol, number) = port(rest)?;
            Some(Key::Destination(address(at)?, protocol, number))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As nft 1.0.6 prints a map.
    const MAP: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}}, {"map": {"family": "ip", "name": "x",
        "table": "kube-proxy", "type": ["ipv4_addr", "inet_proto", "inet_service"], "handle": 13, "map": "verdict",
        "elem": [[{"concat": ["172.30.0.41", "tcp", 80]}, {"goto": {"target": "service-A-ns/a/tcp/p"}}],
                 [{"elem": {"val": {"concat": ["172.30.0.46", "udp", 53]}, "comment": "ns6/svc6:p80"}},
                  {"goto": {"target": "reject-chain"}}], [{"concat": ["sctp", 3003]}, {"drop": null}]]}}]}"#;

    #[test]
    fn elements_are_read_with_where_they_lead() {
        let read = elements(MAP.as_bytes()).expect("understood");
        let expected = [
            (
                Key::Destination([172, 30, 0, 41].into(), Protocol::Tcp, 80),
                "goto service-A-ns/a/tcp/p",
            ),
            (Key::Destination([172, 30, 0, 46].into(), Protocol::Udp, 53), "goto reject-chain"),
            (Key::Port(Protocol::Sctp, 3003), "drop"),
        ];
        assert_eq!(read, expected.map(|(key, leads_to)| (key, leads_to.to_owned())));
    }

    #[test]
    fn elements_of_sets_lead_nowhere() {
        let text = r#"{"nftables": [{"set": {"elem": ["172.30.0.4", {"concat": ["10.1.1.1", "10.1.1.1", "tcp", 8080]}]}}]}"#;
        let read = elements(text.as_bytes()).expect("understood");
        let keys: Vec<_> = read.iter().map(|(key, leads_to)| (*key, leads_to.as_str())).collect();
        assert_eq!(
            keys,
            [
                (Key::Address([172, 30, 0, 4].into()), ""),
                (Key::Hairpin([10, 1, 1, 1].into(), Protocol::Tcp, 8080), ""),
            ]
        );
        assert!(elements(br#"{"nftables": [{"set": {}}]}"#).expect("understood").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"nftables": [{"set": {"elem": ["not an address"]}}]}"#,
            r#"{"nftables": [{"set": {"elem": [{"concat": ["10.1.1.1", "10.1.1.2", "tcp", 80]}]}}]}"#,
            r#"{"nftables": [{"map": {"elem": [[{"concat": ["10.1.1.1", "ipip", 80]}, {}]]}}]}"#,
        ] {
            let error = elements(text.as_bytes()).expect_err(text);
            assert!(matches!(error, ProxyError::Malformed { .. }), "{error}");
        }
    }

    #[test]
    fn keys_of_the_kernel_are_those_of_the_tool() {
        let destination = [172, 30, 0, 41, 6, 0, 0, 0, 0, 80, 0, 0];
        let expected = Key::Destination([172, 30, 0, 41].into(), Protocol::Tcp, 80);
        assert_eq!(binary_key(Container::ServiceIps, Family::V4, &destination), Some(expected));
        let node_port = Key::Port(Protocol::Udp, 0x0102);
        assert_eq!(
            binary_key(Container::ServiceNodePorts, Family::V4, &[17, 0, 0, 0, 1, 2, 0, 0]),
            Some(node_port)
        );
        for wrong in [&destination[..11], &destination[..8], &[0; 12]] {
            assert_eq!(binary_key(Container::ServiceIps, Family::V4, wrong), None);
        }
    }

    proptest! {
        #[test]
        fn damaged_text_never_panics(at in 0..MAP.len(), byte: u8) {
            let mut text = MAP.as_bytes().to_vec();
            text[at] = byte;
            let _ = elements(&text);
        }
    }
}
