//! What is known of proxies: outcomes that differ from what must come, each with its reason and
//! source.

use proxies::Descriptor;
use results::check::{Probe, Verdict};

/// Marks an unexpected probe that is known of this proxy.
pub fn known(proxy: &Descriptor, probe: &mut Probe) {
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

    /// A probe of a Service without Endpoints, from this source, judged for a proxy.
    fn judged(proxy: &str, source: &str, came: &str) -> Verdict {
        let words = |text: &str| text.to_owned();
        let mut probe = Probe {
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
        };
        known(proxies::find(proxy).unwrap(), &mut probe);
        assert_eq!(probe.reason.is_some(), probe.verdict == Verdict::Known);
        probe.verdict
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
