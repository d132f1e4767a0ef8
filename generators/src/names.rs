//! Names of Services as teams give them: `payments-prod/checkout-api:http`.
//!
//! Their length matters: kube-proxy writes the name into the comment of nearly every iptables rule.

use crate::error::ClusterError;
use crate::random::{Permutation, SplitMix64};
use crate::service::Protocol;
use crate::service_name::ServiceName;

#[rustfmt::skip] // one word a line would be a long way to read
const TEAMS: [&str; 32] = [
    "accounts", "ads", "analytics", "billing", "catalog", "chat", "checkout", "content",
    "data-platform", "delivery", "fraud", "growth", "identity", "inventory", "logistics",
    "marketing", "media", "messaging", "mobile", "monitoring", "onboarding", "orders", "partners",
    "payments", "platform", "pricing", "recommendations", "search", "security", "shipping",
    "storefront", "subscriptions",
];

const ENVIRONMENTS: [&str; 4] = ["prod", "staging", "canary", "dev"];

#[rustfmt::skip] // one word a line would be a long way to read
const APPS: [&str; 64] = [
    "account", "address", "ad-server", "alert", "audit-log", "auth", "availability", "banner",
    "basket", "bulk-import", "calendar", "campaign", "cart", "category", "checkout", "comment",
    "config", "consent", "coupon", "currency", "customer", "dashboard", "discount", "document",
    "email", "event", "experiment", "export", "feature-flag", "feed", "fulfilment", "geo",
    "identity-provider", "image", "invoice", "label", "ledger", "loyalty", "merchant", "metrics",
    "notification", "offer", "order", "payment", "permission", "preview", "price", "product",
    "profile", "quota", "rating", "refund", "report", "review", "schedule", "session", "settings",
    "stock", "tax", "token", "translation", "upload", "wallet", "webhook",
];

#[rustfmt::skip] // one word a line would be a long way to read
const ROLES: [&str; 32] = [
    "admin", "aggregator", "api", "backend", "batch", "broker", "cache", "collector", "consumer",
    "controller", "db", "db-replica", "dispatcher", "exporter", "frontend", "gateway", "indexer",
    "ingest", "manager", "processor", "proxy", "publisher", "queue", "reader", "scheduler",
    "service", "store", "stream", "sync", "web", "worker", "writer",
];

/// How many names there are before numbers must be added: 262,144.
const PLAIN: u64 = (TEAMS.len() * ENVIRONMENTS.len() * APPS.len() * ROLES.len()) as u64;

/// A random order of more names than are asked for, all distinct.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    order: Permutation,
    capacity: u64,
}

impl Names {
    /// More than `count` names.
    pub(crate) fn more_than(count: u64, random: SplitMix64) -> Self {
        let capacity = (count / PLAIN + 1) * PLAIN;
        Self { order: Permutation::new(capacity, random), capacity }
    }

    /// How many distinct names there are.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The name number `index`. Distinct below the capacity.
    pub(crate) fn at(&self, index: u64, protocol: Protocol) -> Result<ServiceName, ClusterError> {
        let mut rest = self.order.at(index);
        let mut word = |words: &[&'static str]| {
            let count = words.len() as u64;
            let word = usize::try_from(rest % count).ok().and_then(|at| words.get(at));
            rest /= count;
            word.copied().unwrap_or_default()
        };
        let namespace = [word(&TEAMS), "-", word(&ENVIRONMENTS)].concat();
        let (app, role) = (word(&APPS), word(&ROLES));
        let name = match rest {
            0 => [app, "-", role].concat(),
            further => format!("{app}-{role}-{}", further + 1),
        };
        let port_name = match protocol {
            Protocol::Tcp => "http",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        ServiceName::new(&namespace, &name, port_name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all(names: &Names) -> HashSet<String> {
        (0..names.capacity())
            .map(|index| names.at(index, Protocol::Tcp).unwrap().to_string())
            .collect()
    }

    #[test]
    fn every_name_is_valid_and_distinct() {
        let names = Names::more_than(10, SplitMix64::new(1));
        assert_eq!(names.capacity(), PLAIN);
        assert_eq!(all(&names).len() as u64, PLAIN);
    }

    #[test]
    fn numbers_are_added_when_plain_names_run_out() {
        let names = Names::more_than(PLAIN, SplitMix64::new(1));
        assert_eq!(names.capacity(), 2 * PLAIN);
        let all = all(&names);
        assert_eq!(all.len() as u64, names.capacity());
        assert_eq!(all.iter().filter(|name| name.ends_with("-2:http")).count() as u64, PLAIN);
    }

    #[test]
    fn names_are_about_as_long_as_real_ones() {
        let names = Names::more_than(10, SplitMix64::new(1));
        let lengths: Vec<usize> = all(&names).iter().map(String::len).collect();
        let mean = lengths.iter().sum::<usize>() / lengths.len();
        assert!((28..=36).contains(&mean), "mean {mean}");
        assert!(lengths.iter().all(|length| (18..=60).contains(length)));
    }

    #[test]
    fn the_port_is_named_after_its_protocol() {
        let names = Names::more_than(10, SplitMix64::new(1));
        let port_name = |protocol| names.at(3, protocol).unwrap().port_name().to_owned();
        assert_eq!(port_name(Protocol::Tcp), "http");
        assert_eq!(port_name(Protocol::Udp), "udp");
        assert_eq!(port_name(Protocol::Sctp), "sctp");
    }
}
