//! What is looked at: for each behaviour its Services, small and fixed. Whatever a Service has
//! (frontends, family) is dialled from everywhere; what must come is derived from it elsewhere.

use generators::{Endpoint, EndpointState, Extras, Hint, Protocol, Service, TrafficPolicy};
use results::check::Subject;

use super::lab::Site;

/// The port of Services.
const PORT: u16 = 80;
/// The port of Endpoints, and another.
pub const TARGET: u16 = 8080;
const OTHER_TARGET: u16 = 8081;
/// Where a program of the node's own network listens.
const HOST_TARGET: u16 = 9090;
/// The first node port.
const NODE_PORTS: u16 = 30_000;

/// One Service with the behaviour that it is there for.
pub struct Case {
    /// Name of the behaviour.
    pub subject: &'static str,
    /// The Service.
    pub service: Service,
}

/// A behaviour and its Services.
struct Row {
    name: &'static str,
    says: &'static str,
    services: fn(&mut Draft<'_>) -> anyhow::Result<()>,
}

/// Services of one family in the making.
struct Draft<'s> {
    site: &'s Site,
    subject: &'static str,
    cases: Vec<Case>,
}

/// Behaviours that have more to them than one dial after the other.
pub const SPREAD: &str = "spread";
/// See [`SPREAD`].
pub const AFFINITY: &str = "affinity";
/// See [`SPREAD`].
pub const AFFINITY_ENDS: &str = "affinity-ends";
/// See [`SPREAD`].
pub const UDP_REPLACED: &str = "udp-replaced";
/// See [`SPREAD`].
pub const ADDED: &str = "added";
/// See [`SPREAD`].
pub const REMOVED: &str = "removed";
/// See [`SPREAD`].
pub const DIRECT: &str = "pod-to-pod";
/// The behaviour over SCTP, which not every kernel and proxy has.
const SCTP: &str = "sctp";
/// The behaviour whose requests do not fit into one packet.
pub const LARGE: &str = "large";

/// How long affinity lasts, seconds.
pub const AFFINITY_S: u32 = 3;

const ROWS: &[Row] = &[
    Row {
        name: "cluster-ip",
        says: "a cluster IP leads to the Endpoints, over TCP and UDP; pods keep their address",
        services: |draft| draft.both(Draft::everyone, |_| {}),
    },
    Row {
        name: "ports",
        says: "several ports of one Service, one number for TCP and UDP",
        services: ports,
    },
    Row {
        name: "shared-endpoints",
        says: "several Services with the same Endpoints",
        services: |draft| (0..2).try_for_each(|_| draft.tcp(draft.everyone(), |_| {})),
    },
    Row {
        name: "target-ports",
        says: "a target port that is another number at each Endpoint",
        services: |draft| {
            let endpoints = vec![draft.here(0, TARGET), draft.here(1, OTHER_TARGET)];
            draft.tcp(endpoints, |_| {})
        },
    },
    Row {
        name: "external-ip",
        says: "an external IP that no node has",
        services: |draft| draft.external_ip(|_| {}),
    },
    Row {
        name: "load-balancer-ip",
        says: "a load balancer's address, without a node port",
        services: |draft| draft.load_balancer(|_| {}),
    },
    Row {
        name: "node-port",
        says: "a node port, one number for TCP and UDP; masqueraded",
        services: |draft| draft.node_ports(Draft::everyone, |_| {}),
    },
    Row {
        name: "external-local",
        says: "external policy Local: only Endpoints here, which see the client's address",
        services: |draft| {
            draft.all_frontends(draft.everyone(), |extras| {
                extras.external_policy = TrafficPolicy::Local;
            })
        },
    },
    Row {
        name: "external-local-away",
        says: "external policy Local without an Endpoint here: dropped from outside, not from here",
        services: |draft| {
            let endpoints = vec![draft.site.endpoint_away(0, TARGET)];
            draft.all_frontends(endpoints, |extras| extras.external_policy = TrafficPolicy::Local)
        },
    },
    Row {
        name: "internal-local",
        says: "internal policy Local: only Endpoints here",
        services: |draft| draft.tcp(draft.everyone(), internal_local),
    },
    Row {
        name: "internal-local-away",
        says: "internal policy Local without an Endpoint here: dropped",
        services: |draft| draft.tcp(vec![draft.site.endpoint_away(0, TARGET)], internal_local),
    },
    Row {
        name: "no-endpoints",
        says: "a Service without Endpoints is refused at once, at each of its addresses",
        services: |draft| {
            draft.all_frontends(Vec::new(), |_| {})?;
            draft.node_ports(|_| Vec::new(), |_| {})
        },
    },
    Row {
        name: "not-ready",
        says: "Endpoints that are not ready are not used; if none is, refused",
        services: |draft| {
            let mixed = vec![draft.here(0, TARGET), not_ready(draft.here(1, TARGET))];
            draft.tcp(mixed, |_| {})?;
            draft.all_frontends(vec![not_ready(draft.here(0, TARGET))], |_| {})
        },
    },
    Row {
        name: "terminating",
        says: "Endpoints that end are used where no other is ready, under each policy",
        services: terminating,
    },
    Row {
        name: "source-ranges",
        says: "source ranges admit some to a load balancer's address and drop others",
        services: |draft| {
            let clients = draft.site.clients();
            draft.load_balancer(|extras| extras.source_ranges = vec![clients])?;
            let others = draft.site.service_network();
            draft.load_balancer(|extras| extras.source_ranges = vec![others])
        },
    },
    Row {
        name: "hairpin",
        says: "an Endpoint reaches itself through its own Service",
        services: |draft| {
            draft.all_frontends(vec![draft.here(0, TARGET)], |_| {})?;
            draft.udp(vec![draft.here(0, TARGET)], |_| {})
        },
    },
    Row {
        name: "host-network",
        says: "an Endpoint on the node's own network",
        services: |draft| {
            let endpoint = Endpoint::new(draft.site.node, HOST_TARGET);
            draft.all_frontends(vec![endpoint], |_| {})
        },
    },
    Row {
        name: "hints",
        says: "topology hints: Endpoints for this zone, and before those for this node",
        services: hints,
    },
    Row {
        name: LARGE,
        says: "requests that do not fit into one packet, over TCP and UDP",
        services: |draft| draft.both(Draft::everyone, |_| {}),
    },
    Row {
        name: SCTP,
        says: "over SCTP: cluster IPs and node ports, hairpin, refused without Endpoints",
        services: sctp,
    },
    Row {
        name: DIRECT,
        says: "pod to pod without translation of the source",
        services: |_| Ok(()),
    },
    Row {
        name: SPREAD,
        says: "2,000 connections are spread over the Endpoints as the proxy's law has it",
        services: |draft| draft.tcp(draft.everyone(), |_| {}),
    },
    Row {
        name: AFFINITY,
        says: "session affinity: a client gets the same Endpoint again, under each policy",
        services: |draft| {
            let with = |extras: &mut Extras| extras.affinity_s = Some(AFFINITY_S);
            draft.all_frontends(draft.everyone(), with)?;
            draft.all_frontends(draft.everyone(), |extras| {
                with(extras);
                extras.external_policy = TrafficPolicy::Local;
            })
        },
    },
    Row { name: AFFINITY_ENDS, says: "session affinity ends with its time", services: |_| Ok(()) },
    Row {
        name: UDP_REPLACED,
        says: "a UDP client goes on to the new Endpoint when its own is replaced",
        services: |draft| draft.node_port(Protocol::Udp, vec![draft.here(0, TARGET)], |_| {}),
    },
    Row { name: ADDED, says: "a Service that is added answers", services: |_| Ok(()) },
    Row {
        name: REMOVED,
        says: "a Service that is removed answers no more, and its node port is free",
        services: |draft| draft.all_frontends(draft.everyone(), |_| {}),
    },
];

/// All behaviours, as rows of a matrix.
pub fn subjects() -> Vec<Subject> {
    let row = |row: &Row| Subject { name: row.name.to_owned(), says: row.says.to_owned() };
    ROWS.iter().map(row).collect()
}

/// The Services of every behaviour, of one family; those of SCTP where there is such.
///
/// # Errors
/// A Service that cannot be; this is a fault of the table above.
pub fn cases(site: &Site, has_sctp: bool) -> anyhow::Result<Vec<Case>> {
    let mut draft = Draft { site, subject: "", cases: Vec::new() };
    for row in ROWS.iter().filter(|row| has_sctp || row.name != SCTP) {
        draft.subject = row.name;
        (row.services)(&mut draft)?;
    }
    Ok(draft.cases)
}

/// A Service that is none of a Cluster's `count` yet.
///
/// # Errors
/// As for [`cases`].
pub fn added(site: &Site, count: usize) -> anyhow::Result<Service> {
    let endpoints = vec![site.endpoint(0, TARGET), site.endpoint(1, TARGET)];
    let name = format!("check/{ADDED}").parse()?;
    Ok(Service::new(name, site.vip(count)?, PORT, Protocol::Tcp, endpoints)?)
}

impl Draft<'_> {
    fn here(&self, at: usize, port: u16) -> Endpoint {
        self.site.endpoint(at, port)
    }

    /// Two Endpoints here and one on another node.
    fn everyone(&self) -> Vec<Endpoint> {
        let here = [0, 1].map(|at| self.here(at, TARGET));
        [&here[..], &[self.site.endpoint_away(0, TARGET)]].concat()
    }

    /// The number of the next Service, from which its addresses follow.
    fn number(&self) -> usize {
        self.cases.len()
    }

    fn tcp(
        &mut self,
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        self.add(Protocol::Tcp, endpoints, set)
    }

    fn udp(
        &mut self,
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        self.add(Protocol::Udp, endpoints, set)
    }

    fn both(
        &mut self,
        endpoints: fn(&Self) -> Vec<Endpoint>,
        set: fn(&mut Extras),
    ) -> anyhow::Result<()> {
        self.tcp(endpoints(self), set)?;
        self.udp(endpoints(self), set)
    }

    fn add(
        &mut self,
        protocol: Protocol,
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        let number = self.number();
        let name = format!("{}-{number}", self.subject);
        self.named(&name, (self.site.vip(number)?, PORT, protocol), endpoints, set)
    }

    fn named(
        &mut self,
        name: &str,
        (vip, port, protocol): (std::net::IpAddr, u16, Protocol),
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        let name = format!("check/{name}").parse()?;
        let service = Service::new(name, vip, port, protocol, endpoints)?.with(set)?;
        self.cases.push(Case { subject: self.subject, service });
        Ok(())
    }

    fn external_ip(&mut self, set: fn(&mut Extras)) -> anyhow::Result<()> {
        let address = self.site.external(self.number())?;
        self.tcp(self.everyone(), |extras| {
            extras.external_ips = vec![address];
            set(extras);
        })
    }

    fn load_balancer(&mut self, set: impl FnOnce(&mut Extras)) -> anyhow::Result<()> {
        let address = self.site.external(self.number())?;
        self.tcp(self.everyone(), |extras| {
            extras.load_balancer_ips = vec![address];
            set(extras);
        })
    }

    fn node_port(
        &mut self,
        protocol: Protocol,
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        let port = self.next_node_port();
        self.add(protocol, endpoints, |extras| {
            extras.node_port = Some(port);
            set(extras);
        })
    }

    /// One node port, for TCP and for UDP.
    fn node_ports(
        &mut self,
        endpoints: fn(&Self) -> Vec<Endpoint>,
        set: fn(&mut Extras),
    ) -> anyhow::Result<()> {
        let port = self.next_node_port();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            self.add(protocol, endpoints(self), |extras| {
                extras.node_port = Some(port);
                set(extras);
            })?;
        }
        Ok(())
    }

    /// Cluster IP, external IP, load balancer's address and node port.
    fn all_frontends(
        &mut self,
        endpoints: Vec<Endpoint>,
        set: impl FnOnce(&mut Extras),
    ) -> anyhow::Result<()> {
        let (number, port) = (self.number(), self.next_node_port());
        // External IPs count from the front, load balancers behind them.
        let (external, balancer) =
            (self.site.external(number)?, self.site.external(1_000 + number)?);
        self.tcp(endpoints, |extras| {
            extras.node_port = Some(port);
            extras.external_ips = vec![external];
            extras.load_balancer_ips = vec![balancer];
            set(extras);
        })
    }

    fn next_node_port(&self) -> u16 {
        NODE_PORTS + u16::try_from(self.number()).unwrap_or_default()
    }
}

fn ports(draft: &mut Draft<'_>) -> anyhow::Result<()> {
    let vip = draft.site.vip(draft.number())?;
    for (name, port, protocol, target) in [
        ("ports:http", PORT, Protocol::Tcp, TARGET),
        ("ports:dns", 53, Protocol::Udp, TARGET),
        ("ports:dns-tcp", 53, Protocol::Tcp, OTHER_TARGET),
    ] {
        let endpoints = vec![draft.here(0, target), draft.here(1, target)];
        draft.named(name, (vip, port, protocol), endpoints, |_| {})?;
    }
    Ok(())
}

fn sctp(draft: &mut Draft<'_>) -> anyhow::Result<()> {
    draft.add(Protocol::Sctp, draft.everyone(), |_| {})?;
    for endpoints in [draft.everyone(), vec![draft.here(0, TARGET)], Vec::new()] {
        draft.node_port(Protocol::Sctp, endpoints, |_| {})?;
    }
    Ok(())
}

fn terminating(draft: &mut Draft<'_>) -> anyhow::Result<()> {
    let ends = |endpoint: Endpoint| Endpoint { state: EndpointState::Terminating, ..endpoint };
    let (here, away) = (draft.here(0, TARGET), draft.site.endpoint_away(0, TARGET));
    let second = draft.here(1, TARGET);
    let local = |extras: &mut Extras| {
        internal_local(extras);
        extras.external_policy = TrafficPolicy::Local;
    };
    draft.all_frontends(vec![ends(here), ends(away)], |_| {})?;
    draft.all_frontends(vec![here, ends(second)], |_| {})?;
    draft.all_frontends(vec![ends(here), away], local)?;
    draft.all_frontends(vec![ends(here), second, away], local)
}

fn hints(draft: &mut Draft<'_>) -> anyhow::Result<()> {
    let hinted =
        |endpoint: Endpoint, node_hint, zone_hint| Endpoint { node_hint, zone_hint, ..endpoint };
    let [first, second] = [0, 1].map(|at| draft.here(at, TARGET));
    let away = draft.site.endpoint_away(0, TARGET);
    let by_zone = [
        hinted(first, Hint::None, Hint::Here),
        hinted(second, Hint::None, Hint::Elsewhere),
        hinted(away, Hint::None, Hint::Here),
    ];
    draft.tcp(by_zone.to_vec(), |_| {})?;
    let by_node = [
        hinted(first, Hint::Elsewhere, Hint::Here),
        hinted(second, Hint::Here, Hint::Here),
        hinted(away, Hint::Elsewhere, Hint::Elsewhere),
    ];
    draft.tcp(by_node.to_vec(), |_| {})?;
    // No hint of one: all are used.
    draft.tcp(vec![by_zone[0], by_zone[1], away], |_| {})
}

fn internal_local(extras: &mut Extras) {
    extras.internal_policy = TrafficPolicy::Local;
}

fn not_ready(endpoint: Endpoint) -> Endpoint {
    Endpoint { state: EndpointState::NotReady, ..endpoint }
}
