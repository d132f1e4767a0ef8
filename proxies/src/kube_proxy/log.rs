//! What a kube-proxy tells of its syncs in its log, and when all that is awaited has been synced.
//!
//! Nothing else tells it as cheaply: the log is a memory file that this process looks into, so
//! kube-proxy is not asked and not woken. A Change is in force once a sync has named its port and
//! ended (`SyncProxyRules complete`, pkg/proxy/iptables/proxier.go; the ports, in
//! pkg/proxy/servicechangetracker.go and endpointslicecache.go, Kubernetes 1.36).

use std::collections::HashSet;

use generators::{Change, Cluster, Family, Service, ServiceId, Step};

/// Flags that make it tell: ends of syncs are of verbosity 2 (of ipvs 4), ports of 3 and 4.
pub(super) const FLAGS: [&str; 2] =
    ["--v=2", "--vmodule=servicechangetracker=4,endpointslicecache=3"];
/// The same in mode ipvs, whose ends of syncs no `--vmodule` brings out: it does not reach loggers
/// that carry values (staging/src/k8s.io/component-base/logs, Kubernetes 1.36).
pub(super) const IPVS_FLAGS: [&str; 1] = ["--v=4"];

/// One thing that it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It serves this family alone.
    SingleStack(Family),
    /// A sync began.
    Started(Family),
    /// A sync ended.
    Ended(Family),
    /// A sync was refused by the kernel or a tool.
    Failed,
    /// A sync has this of a port in it; nothing where the line does not show the family.
    Named(Subject, Option<Family>),
}

/// What of a Service changed, and its port as kube-proxy writes it: `namespace/name:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// It came, went, or is another.
    Port(String),
    /// Its Endpoints, unless none is left.
    Endpoints(String),
}

impl Event {
    /// What a line tells, if it tells something.
    pub(super) fn of(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("] \"")?;
        let (message, values) = rest.split_once('"')?;
        let family =
            || Some(if value(values, "ipFamily=")? == "IPv6" { Family::V6 } else { Family::V4 });
        let port = || value(values, "portName=").map(str::to_owned);
        Some(match message {
            "kube-proxy running in single-stack mode" => Self::SingleStack(family()?),
            "Syncing iptables rules" | "Syncing nftables rules" | "Syncing ipvs proxier rules" => {
                Self::Started(family()?)
            }
            "SyncProxyRules complete" | "syncProxyRules complete" => Self::Ended(family()?),
            "Sync failed" => Self::Failed,
            "Adding new service port" | "Updating existing service port" => {
                let address = value(values, "servicePort=")?;
                Self::Named(Subject::Port(port()?), Some(of_address(address)))
            }
            "Removing service port" => Self::Named(Subject::Port(port()?), None),
            "Setting endpoints for service port name" => {
                let first = value(values, "endpoints=[")?;
                Self::Named(Subject::Endpoints(port()?), Some(of_address(first)))
            }
            _ => return None,
        })
    }
}

/// The first text in quotes behind `key`.
fn value<'a>(values: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = values.split_once(&format!("{key}\""))?;
    Some(rest.split_once('"')?.0)
}

/// Of `10.0.0.1:80`, `[fd00::1]:80` or, as Services are written, `fd00::1:80`.
fn of_address(text: &str) -> Family {
    if text.matches(':').count() > 1 { Family::V6 } else { Family::V4 }
}

/// What must have been synced, by family.
#[derive(Debug)]
pub(super) struct Awaited(Vec<(Family, HashSet<Subject>)>);

impl Awaited {
    /// The first sync of each family: there is none before all Services are known.
    pub(super) fn first_syncs() -> Self {
        Self(Family::ALL.map(|family| (family, HashSet::new())).into())
    }

    /// What a Step changes. kube-proxy syncs no family that nothing changes in.
    pub(super) fn of(step: &Step<'_>) -> Self {
        let ids: HashSet<ServiceId> = step.changes().iter().map(Change::service_id).collect();
        let mut families: Vec<(Family, HashSet<Subject>)> = Vec::new();
        for id in ids {
            let find = |cluster: &'_ Cluster| cluster.get(&id).cloned();
            let subjects = subjects(find(step.before()).as_ref(), find(step.after()).as_ref());
            match families.iter_mut().find(|(family, _)| *family == id.family) {
                Some((_, all)) => all.extend(subjects),
                None => families.push((id.family, subjects.into_iter().collect())),
            }
        }
        Self(families)
    }

    /// Goes on by what was told; whether nothing is awaited any more.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::SingleStack(only) => self.0.retain(|(family, _)| family == only),
            Event::Named(subject, of) => {
                for (family, subjects) in &mut self.0 {
                    if of.is_none_or(|of| of == *family) {
                        subjects.remove(subject);
                    }
                }
            }
            Event::Ended(of) => {
                self.0.retain(|(family, subjects)| family != of || !subjects.is_empty());
            }
            Event::Started(_) | Event::Failed => {}
        }
        self.0.is_empty()
    }
}

/// What a sync that goes from one to the other tells of a Service.
fn subjects(before: Option<&Service>, after: Option<&Service>) -> Vec<Subject> {
    let Some(service) = after.or(before) else { return Vec::new() };
    let name = service.name().as_str();
    let port = Subject::Port(name.to_owned());
    let Some(after) = after else { return vec![port] };
    let has_endpoints = !after.endpoints().is_empty();
    let endpoints = has_endpoints.then(|| Subject::Endpoints(name.to_owned()));
    match before {
        None => [port].into_iter().chain(endpoints).collect(),
        Some(before) if before.endpoints() != after.endpoints() => endpoints.into_iter().collect(),
        Some(_) => vec![port],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "I1130 07:13:50.689112   10646 proxier.go:241] ";

    fn event(text: &str) -> Option<Event> {
        Event::of(&format!("{HEAD}{text}"))
    }

    fn named(subject: Subject, family: Option<Family>) -> Event {
        Event::Named(subject, family)
    }

    #[test]
    fn lines_of_syncs_and_of_ports_are_understood() {
        let port = || Subject::Port("ns/web:http".into());
        for (text, expected) in [
            (
                r#""SyncProxyRules complete" ipFamily="IPv4" elapsed="1ms""#,
                Some(Event::Ended(Family::V4)),
            ),
            (
                r#""syncProxyRules complete" ipFamily="IPv6" elapsed="1ms""#,
                Some(Event::Ended(Family::V6)),
            ),
            (
                r#""Syncing nftables rules" ipFamily="IPv6" fullSync=true"#,
                Some(Event::Started(Family::V6)),
            ),
            (r#""Sync failed" ipFamily="IPv4" retryingTime="30s""#, Some(Event::Failed)),
            (
                r#""kube-proxy running in single-stack mode" ipFamily="IPv4""#,
                Some(Event::SingleStack(Family::V4)),
            ),
            (
                r#""Adding new service port" portName="ns/web:http" servicePort="10.0.0.1:80/TCP""#,
                Some(named(port(), Some(Family::V4))),
            ),
            (
                r#""Adding new service port" portName="ns/web:http" servicePort="fd00::1:80/TCP""#,
                Some(named(port(), Some(Family::V6))),
            ),
            (
                r#""Setting endpoints for service port name" portName="ns/web:http" endpoints=["10.1.0.1:80","10.1.0.2:80"]"#,
                Some(named(Subject::Endpoints("ns/web:http".into()), Some(Family::V4))),
            ),
            (r#""Removing service port" portName="ns/web:http""#, Some(named(port(), None))),
            (
                r#""Setting endpoints for service port name" portName="ns/web:http" endpoints=["[fd00::1]:80"]"#,
                Some(named(Subject::Endpoints("ns/web:http".into()), Some(Family::V6))),
            ),
            (r#""SyncProxyRules complete""#, None),
            (r#""Caches are synced" controller="node config""#, None),
            ("", None),
        ] {
            assert_eq!(event(text), expected, "{text}");
        }
        assert_eq!(Event::of("panic: \"SyncProxyRules complete\""), None);
    }

    #[test]
    fn a_family_is_over_with_the_sync_that_ends_behind_the_last_port() {
        let service = |name: &str, vip: &str| {
            let ends = if vip.contains(':') { "[fd00::9]:80" } else { "10.1.0.1:80" };
            let endpoint = ends.parse::<std::net::SocketAddr>().unwrap().into();
            let (name, vip, tcp) =
                (name.parse().unwrap(), vip.parse().unwrap(), generators::Protocol::Tcp);
            Service::new(name, vip, 80, tcp, vec![endpoint]).unwrap()
        };
        let before = Cluster::new(vec![service("ns/other:http", "10.0.0.9")]).unwrap();
        let added = ["10.0.0.1", "fd00::1"].map(|vip| service("ns/web:http", vip));
        let step = before.step(added.map(Change::ServiceAdded).into()).unwrap();
        let mut awaited = Awaited::of(&step);
        let (port, endpoints) =
            (Subject::Port("ns/web:http".into()), Subject::Endpoints("ns/web:http".into()));
        let [four, six] = Family::ALL;
        let named = |subject: &Subject, family| Event::Named(subject.clone(), Some(family));
        assert!(!awaited.take(&Event::Ended(four)), "it was under way");
        assert!(!awaited.take(&named(&port, four)));
        assert!(!awaited.take(&Event::Ended(four)), "without its Endpoints");
        assert!(!awaited.take(&named(&endpoints, four)));
        assert!(!awaited.take(&Event::Ended(six)), "the other family's");
        assert!(!awaited.take(&named(&port, six)));
        assert!(!awaited.take(&named(&endpoints, six)));
        assert!(!awaited.take(&Event::Ended(six)));
        assert!(awaited.take(&Event::Ended(four)));
    }

    #[test]
    fn of_one_family_the_other_is_not_awaited() {
        let mut awaited = Awaited::first_syncs();
        assert!(!awaited.take(&Event::SingleStack(Family::V4)));
        assert!(awaited.take(&Event::Ended(Family::V4)));
    }
}
