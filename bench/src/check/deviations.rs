//! What is known of proxies: outcomes that differ from what must come, each with its reason and
//! source.

use proxies::Descriptor;
use results::check::{Probe, Verdict};

use super::expectation::Peer;
use super::paths::Dialled;

/// Marks an unexpected probe that is known of this proxy, and a good one of a proxy that hides
/// clients where a client must be seen.
pub fn known(proxy: &Descriptor, probe: &mut Probe) {
    let must_see = || {
        let is_proxied = probe.frontend != Dialled::Endpoint.to_string();
        is_proxied && probe.expected.contains(&Peer::Caller.to_string())
    };
    if let (Verdict::Good, Some(reason)) = (probe.verdict, proxy.hides_clients)
        && must_see()
    {
        probe.verdict = Verdict::Known;
        probe.reason = Some(reason.to_owned());
    }
    if probe.verdict != Verdict::Unexpected {
        return;
    }
    let names = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
    let deviation = proxy.deviations.iter().find(|one| {
        one.subjects.contains(&probe.subject.as_str())
            && names(one.sources, &probe.source)
            && names(one.frontends, &probe.frontend)
            && probe.came.starts_with(one.came)
    });
    if let Some(deviation) = deviation {
        probe.verdict = Verdict::Known;
        probe.reason = Some(deviation.reason.to_owned());
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
    fn a_hidden_client_is_known_where_it_must_be_seen_and_of_that_proxy_alone() {
        let verdict = |proxy: &str, expected: &str| {
            let mut probe = probe("pod", "an answer by 10.128.0.2:8080, which saw 10.128.0.1");
            (probe.expected, probe.verdict) = (expected.to_owned(), Verdict::Good);
            known(proxies::find(proxy).unwrap(), &mut probe);
            probe.verdict
        };
        let (caller, node) = ("by 10.128.0.2:8080, which sees the caller's address", "refused");
        assert_eq!(verdict("userspace", caller), Verdict::Known);
        assert_eq!(verdict("userspace", node), Verdict::Good);
        assert_eq!(verdict("ipvs", caller), Verdict::Good);
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
