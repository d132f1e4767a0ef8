//! A backend that is no part of the product: one nftables rule a Service, the whole table anew at
//! every sync, of IPv4 alone. It has no stages and no look at the kernel of its own, as a program
//! of somebody else would not.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use generators::{Cluster, Family, Protocol, Service, Step};
use linux::netlink::conntrack::{Connection, connections, forget};
use linux::netlink::{AddressFamily, NetlinkError};
use proxies::{Backend, Descriptor, ProxyError, Tool};

/// The backend `toy`.
pub static TOY: Descriptor = Descriptor {
    summary: "one nftables rule a Service",
    colour: "gold",
    tools: &[Tool { program: "nft", package: "nftables", also: &[] }],
    has_ipv4_alone: true,
    ..Descriptor::new("toy", "toys", |_, _| Box::new(Toy))
};

struct Toy;

const REMOVAL: &str = "add table ip toy\ndelete table ip toy\n";

impl Backend for Toy {
    fn probe(&mut self) -> Result<(), ProxyError> {
        nft(REMOVAL)
    }

    fn start(&mut self, cluster: &Cluster) -> Result<(), ProxyError> {
        let mut text = format!(
            "{REMOVAL}add table ip toy\nadd chain ip toy services\n\
             add chain ip toy in {{ type nat hook prerouting priority -100 ; }}\n\
             add chain ip toy out {{ type nat hook output priority -100 ; }}\n\
             add rule ip toy in jump services\nadd rule ip toy out jump services\n"
        );
        cluster.of_family(Family::V4).for_each(|service| rule(&mut text, service));
        nft(&text)
    }

    fn apply(&mut self, step: &Step<'_>) -> Result<(), ProxyError> {
        self.start(step.after())?;
        forget_flows().map_err(|error| refused(error.to_string()))
    }

    fn stop(&mut self) -> Result<(), ProxyError> {
        nft(REMOVAL)
    }
}

fn rule(text: &mut String, service: &Service) {
    let endpoints = service.endpoints();
    if endpoints.is_empty() {
        return;
    }
    let place = |(at, endpoint): (usize, &generators::Endpoint)| {
        format!("{at} : {} . {}", endpoint.address, endpoint.port)
    };
    let places: Vec<String> = endpoints.iter().enumerate().map(place).collect();
    let _ = writeln!(
        text,
        "add rule ip toy services ip daddr {} {} dport {} dnat ip addr . port to numgen random mod {} map {{ {} }}",
        service.vip(),
        service.protocol(),
        service.port(),
        endpoints.len(),
        places.join(", ")
    );
}

/// Every flow of UDP begins anew, so that none goes on to an Endpoint that is gone.
fn forget_flows() -> Result<(), NetlinkError> {
    let is_udp = |connection: &Connection| connection.original.transport == Protocol::Udp.number();
    let flows = connections(Some(AddressFamily::V4), is_udp)?;
    forget(flows.iter().map(|flow| &flow.original)).map(drop)
}

fn refused(reason: String) -> ProxyError {
    ProxyError::Unsupported { what: "toy".into(), reason, remedy: "run it as root with nft".into() }
}

/// Runs one transaction.
fn nft(text: &str) -> Result<(), ProxyError> {
    let run = || {
        let mut child = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(text.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| refused(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(String::from_utf8_lossy(&output.stderr).into_owned()))
}
