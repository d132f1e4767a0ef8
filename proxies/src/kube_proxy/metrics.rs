//! What a kube-proxy tells of itself at `/metrics`: how long its syncs took by its own clock, and
//! its heap.
//!
//! To answer costs it more than some syncs do, so it is asked outside of timed windows alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use linux::IoError;

use super::config::METRICS;
use crate::error::ProxyError;

/// Histograms of syncs and the kind that each counts: all, or those of one kind where kube-proxy
/// tells them apart, which are iptables and nftables (pkg/proxy/metrics/metrics.go, Kubernetes
/// 1.36).
const SYNCS: [(&str, &str); 3] = [
    ("kubeproxy_sync_full_proxy_rules_duration_seconds", "full"),
    ("kubeproxy_sync_partial_proxy_rules_duration_seconds", "partial"),
    ("kubeproxy_sync_proxy_rules_duration_seconds", ALL),
];
const ALL: &str = "";
/// Spans of the heap that are in use (Go's `runtime.MemStats`, `HeapInuse`).
const HEAP: &str = "go_memstats_heap_inuse_bytes";
/// Longest wait for a part of the answer, and its length: several times what 1.36 says.
const PATIENCE: Duration = Duration::from_secs(10);
const BYTES_MAX: u64 = 8 << 20;

/// What was told at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Told {
    /// Time of all syncs until then, by family and kind; the latter is empty for all together.
    syncs: BTreeMap<(String, &'static str), Duration>,
    /// Heap in use, bytes.
    pub(super) heap_bytes: u64,
}

impl Told {
    /// Asks the one of the calling thread's namespace.
    ///
    /// # Errors
    /// It does not answer, or nothing that can be understood.
    pub(super) fn ask() -> Result<Self, ProxyError> {
        let answer = get().map_err(IoError::of("read", format!("http://{METRICS}/metrics")))?;
        let parsed = match answer.split_once("\r\n\r\n") {
            Some((head, body)) if is_ok(head) => Self::parse(body),
            _ => Err("the answer is none of HTTP with status 200".into()),
        };
        let what = || "metrics of a kube-proxy".into();
        parsed.map_err(|reason| ProxyError::Malformed { what: what(), reason })
    }

    /// Of the text format of Prometheus.
    fn parse(text: &str) -> Result<Self, String> {
        let (mut told, mut heap) = (Self::default(), None);
        for line in text.lines() {
            if let Some(value) = line.strip_prefix(HEAP) {
                heap = Some(number(value, line)?);
            }
            for (name, kind) in SYNCS {
                let sum = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_sum"));
                let Some(rest) = sum else { continue };
                let (labels, value) = rest.rsplit_once('}').unwrap_or(("", rest));
                let took = Duration::try_from_secs_f64(number(value, line)?);
                let took = took.map_err(|error| format!("{error}: {}", shortened(line)))?;
                told.syncs.insert((family(labels), kind), took);
            }
        }
        let heap = heap.ok_or_else(|| format!("there is no {HEAP}"))?;
        told.heap_bytes =
            Duration::try_from_secs_f64(heap).map_err(|error| error.to_string())?.as_secs();
        Ok(told)
    }

    /// The syncs since an earlier moment: `ipv4.partial`, or `ipv4` where it tells no kinds.
    pub(super) fn since(&self, earlier: &Self) -> Vec<(String, Duration)> {
        let took = |key: &(String, &'static str)| {
            let [now, before] = [self, earlier].map(|told| told.syncs.get(key).copied());
            let took = now?.saturating_sub(before.unwrap_or_default());
            (!took.is_zero()).then_some(took)
        };
        let kinds = |family: &str| {
            let of_kind = |kind| Some((kind, took(&(family.to_owned(), kind))?));
            let kinds: Vec<_> = ["full", "partial"].into_iter().filter_map(of_kind).collect();
            if kinds.is_empty() { of_kind(ALL).into_iter().collect() } else { kinds }
        };
        let families = self.syncs.keys().map(|(family, _)| family.as_str());
        let families: BTreeSet<&str> = families.collect();
        let named = families.into_iter().flat_map(|family| {
            kinds(family).into_iter().map(move |(kind, took)| (label(family, kind), took))
        });
        named.collect()
    }
}

fn get() -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&METRICS, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // By HTTP/1.0 the answer is in one piece, and ends with the connection.
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {METRICS}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_ok(head: &str) -> bool {
    head.starts_with("HTTP/1.") && head.split(' ').nth(1) == Some("200")
}

/// The value behind a name and its labels; a time may follow it.
fn number(text: &str, line: &str) -> Result<f64, String> {
    let value = text.split_whitespace().next().and_then(|value| value.parse().ok());
    value.ok_or_else(|| format!("there is no number: {}", shortened(line)))
}

/// The value of `ip_family` in lower case; empty where there is none.
fn family(labels: &str) -> String {
    let value = labels.split_once("ip_family=\"").and_then(|(_, rest)| rest.split_once('"'));
    value.map_or_else(String::new, |(value, _)| {
        value.chars().take(8).collect::<String>().to_lowercase()
    })
}

fn label(family: &str, kind: &str) -> String {
    let parts = [family, kind].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

fn shortened(line: &str) -> String {
    line.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP_LINE: &str = "go_memstats_heap_inuse_bytes 1.2345e+07\n";

    fn told(lines: &[&str]) -> Told {
        Told::parse(&(lines.join("\n") + "\n" + HEAP_LINE)).unwrap()
    }

    fn sum(name: &str, family: &str, seconds: &str) -> String {
        format!("kubeproxy_{name}_duration_seconds_sum{{ip_family=\"{family}\"}} {seconds}")
    }

    #[test]
    fn syncs_are_told_by_family_and_kind() {
        let four = |seconds: &str| sum("sync_partial_proxy_rules", "IPv4", seconds);
        let full = sum("sync_full_proxy_rules", "IPv4", "0.5");
        let all = |seconds: &str| sum("sync_proxy_rules", "IPv4", seconds);
        let bucket =
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family=\"IPv4\",le=\"+Inf\"} 4";
        let before = told(&["# HELP x y", &four("0"), &full, &all("0.5"), bucket]);
        assert_eq!(before.heap_bytes, 12_345_000);
        assert_eq!(
            before.since(&Told::default()),
            [("ipv4.full".into(), Duration::from_millis(500))]
        );
        let after = told(&[&four("0.000250001"), &full, &all("0.500250001")]);
        let took = Duration::from_nanos(250_001);
        assert_eq!(after.since(&before), [("ipv4.partial".to_owned(), took)]);
        assert_eq!(after.since(&after), []);
    }

    #[test]
    fn one_that_tells_no_kinds_or_no_family_is_understood() {
        let ipvs = told(&[&sum("sync_proxy_rules", "IPv6", "1.5e-05")]);
        let took = Duration::from_micros(15);
        assert_eq!(ipvs.since(&Told::default()), [("ipv6".to_owned(), took)]);
        let old = told(&["kubeproxy_sync_proxy_rules_duration_seconds_sum 1.5e-05"]);
        assert_eq!(old.since(&Told::default()), [(String::new(), took)]);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for text in [
            "",
            "<html>",
            "go_memstats_heap_inuse_bytes\n",
            "go_memstats_heap_inuse_bytes -1\n",
            "go_memstats_heap_inuse_bytes NaN\n",
        ] {
            assert!(Told::parse(text).is_err(), "{text}");
        }
        for value in ["", "x", "-1", "NaN", "+Inf", "1e300"] {
            let text = sum("sync_proxy_rules", "IPv4", value) + "\n" + HEAP_LINE;
            assert!(Told::parse(&text).is_err(), "{value}");
        }
        assert!(
            is_ok("HTTP/1.0 200 OK\r\nx: y") && !is_ok("HTTP/1.0 404 Not Found") && !is_ok("200")
        );
    }
}
