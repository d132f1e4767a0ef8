//! What is known of proxies: outcomes that differ from what must come, each with its reason and
//! source.

use lab::topology::Source;
use proxies::{Descriptor, Sees};
use results::check::{Probe, Verdict};

use super::expectation::Peer;
use super::paths::Dialled;

/// Marks an unexpected probe that is known of this proxy, and a good one where the proxy is known
/// to show an Endpoint somebody else than it must.
pub fn known(proxy: &Descriptor, probe: &mut Probe) {
    if let (Verdict::Good, Some(reason)) = (probe.verdict, other_peer(proxy, probe)) {
        probe.verdict = Verdict::Known;
        probe.reason = Some(reason.to_owned());
    }
    if probe.verdict != Verdict::Unexpected {
        return;
    }
    let names = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
    let deviation = proxy.deviations.iter().find(|one| {
        names(one.subjects, &probe.subject)
            && names(one.sources, &probe.source)
            && names(one.frontends, &probe.frontend)
            && probe.came.starts_with(one.came)
    });
    if let Some(deviation) = deviation {
        probe.verdict = Verdict::Known;
        probe.reason = Some(deviation.reason.to_owned());
    }
}

/// Why an Endpoint sees somebody else than it must.
fn other_peer(proxy: &Descriptor, probe: &Probe) -> Option<&'static str> {
    let is_proxied = probe.frontend != Dialled::Endpoint.to_string();
    let must_see = |peer: Peer| is_proxied && probe.expected.contains(&peer.to_string());
    match proxy.endpoints_see {
        Sees::Node(reason) if must_see(Peer::Caller) => Some(reason),
        // The node's own connections come from the node.
        Sees::Client(reason)
            if must_see(Peer::Node) && probe.source != Source::Node.to_string() =>
        {
            Some(reason)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe of a Service without Endpoints, from this source.
    fn probe(source: &str, came: &str) -> Probe {
        let words = |text: &str| text.to_owned();
        Probe {
            subject: words("no-endpoints"),
            source: words(source),
            frontend: words("external IP"),
            protocol: words("tcp"),
            family: words("IPv4"),
            service: words("check/none"),
            addresses: String::new(),
            expected: words("refused"),
            came: words(came),
            verdict: Verdict::Unexpected,
            reason: None,
        }
    }

    /// The same, judged for a proxy.
    fn judged(proxy: &str, source: &str, came: &str) -> Verdict {
        let mut probe = probe(source, came);
        known(proxies::find(proxy).unwrap(), &mut probe);
        assert_eq!(probe.reason.is_some(), probe.verdict == Verdict::Known);
        probe.verdict
    }

    #[test]
    fn another_peer_is_known_where_it_must_not_be_and_of_that_proxy_alone() {
        let verdict = |proxy: &str, expected: &str| {
            let mut probe = probe("pod", "an answer by 10.128.0.2:8080, which saw 10.128.0.1");
            (probe.expected, probe.verdict) = (expected.to_owned(), Verdict::Good);
            known(proxies::find(proxy).unwrap(), &mut probe);
            probe.verdict
        };
        let [caller, node] = ["the caller's address", "the node's"]
            .map(|peer| format!("by 10.128.0.2:8080, which sees {peer}"));
        let of = |proxy: &str| [verdict(proxy, &caller), verdict(proxy, &node)];
        assert_eq!(of("userspace"), [Verdict::Known, Verdict::Good]);
        assert_eq!(of("ebpf"), [Verdict::Good, Verdict::Known]);
        assert_eq!(of("ipvs"), [Verdict::Good; 2]);
    }

    #[test]
    fn a_deviation_is_known_of_its_proxy_source_and_outcome_alone() {
        let came = "nothing came (dial 1 of 1)";
        assert_eq!(judged("iptables-nft", "node", came), Verdict::Known);
        assert_eq!(judged("iptables-nft", "outside", came), Verdict::Unexpected);
        assert_eq!(judged("nftables-1.36", "node", came), Verdict::Unexpected);
        assert_eq!(judged("iptables-nft", "node", "an answer by"), Verdict::Unexpected);
    }
}
