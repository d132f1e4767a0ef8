//! What an import found besides plain Services: counted by what became of it, never silently
//! dropped.
//!
//! Words and counts only; who finds what is in `collect` and `join`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::error::KUBECTL;

/// Most objects at fault that are named; the others are counted.
pub const BAD_OBJECTS_NAMED: usize = 20;

/// Longest name or reason of an object at fault, characters.
const TEXT_MAX: usize = 200;

/// What became of a part of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is no part of what a Service proxy programs.
    #[strum(to_string = "skipped")]
    Skipped,
    /// It is in the Cluster and programmed like the rest, but no client dials it.
    #[strum(to_string = "kept, not dialled")]
    NotDialled,
    /// It is in the Cluster, in a way that a reader should know.
    #[strum(to_string = "kept")]
    Noted,
}

macro_rules! findings {
    ($($variant:ident $unit:literal $fate:ident $what:literal),* $(,)?) => {
        /// What an import counts besides plain Services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Finding {
            $(#[doc = $what] $variant,)*
        }

        impl Finding {
            /// Every finding, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What is counted: `Services`, `ports`, `endpoints`, ...
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }

            /// What became of it.
            pub const fn fate(self) -> Fate {
                match self { $(Self::$variant => Fate::$fate,)* }
            }

            /// The finding in words.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what,)* }
            }
        }
    };
}

findings! {
    ExternalName "Services" Skipped "that are DNS aliases (`ExternalName`)",
    Headless "Services" Skipped "headless: no cluster IP",
    NoClusterIp "Services" Skipped "without a cluster IP yet",
    OtherProxy "Services" Skipped "that another proxy programs (label service.kubernetes.io/service-proxy-name)",
    FqdnSlice "slices" Skipped "of host names: no proxy programs them",
    SliceWithoutService "slices" Skipped "without the label kubernetes.io/service-name",
    SliceOfUnknownService "slices" Skipped "whose Service is not in the input",
    SliceOfSkippedService "slices" Skipped "whose Service was skipped or left out",
    MirroredEndpoints "Endpoints objects" Skipped "whose Service has slices, which say the same",
    OtherEndpoints "Endpoints objects" Skipped "whose Service is not in the Cluster",
    SlicePortWithoutNumber "slice ports" Skipped "without a number, as kube-proxy does",
    OtherKind "objects" Skipped "of other kinds",
    RepeatedObject "objects" Skipped "that stand in the input twice",
    OtherFile "files" Skipped "of a folder: no Kubernetes objects",
    OtherLine "lines" Skipped "that belong to no object, such as logs",
    FurtherAddress "addresses" Skipped "of endpoints beyond the first, as kube-proxy does",
    FromEndpoints "Services" Noted "without slices: their endpoints are those of `Endpoints` objects",
    TruncatedEndpoints "Endpoints objects" Noted "that the cluster cut off at 1,000 addresses",
    RepeatedAddress "addresses" Noted "of load balancers that the Service has already: taken once",
    RepeatedEndpoint "endpoints" Noted "that stand in several slices: taken once",
    NoEndpointObjects "ports" Noted "of which nothing tells the endpoints: no slice is in the input",
    RemoteEndpoint "endpoints" Noted "that are not on this node",
    TopologyHints "endpoints" Noted "meant for certain nodes or zones",
    NotReady "endpoints" Noted "that are not ready: a proxy passes them over",
    Terminating "endpoints" Noted "that are terminating: taken where no others are ready",
    WithoutEndpoints "ports" Noted "without endpoints: connections are refused",
    SessionAffinity "ports" Noted "with session affinity",
    InternalTrafficPolicyLocal "ports" Noted "with internalTrafficPolicy Local",
    ExternalTrafficPolicyLocal "ports" Noted "with externalTrafficPolicy Local",
    SourceRanges "ports" Noted "with load balancer source ranges",
    UdpPort "ports" NotDialled "of UDP",
    SctpPort "ports" Noted "of SCTP: in the Cluster, but left out of runs",
    Ipv6Port "ports" Noted "of IPv6: in the Cluster, but left out of runs",
    NodePort "ports" NotDialled "with a node port",
    ExternalIp "addresses" NotDialled "external IPs",
    LoadBalancerIp "addresses" NotDialled "of load balancers",
}

/// Where an object stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the input; empty if it has none.
    pub file: Arc<str>,
    /// From 1.
    pub number: u64,
}

/// An object that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadObject {
    /// Name of the input that it is in, if it has one.
    pub file: String,
    /// Which object of the input it is, from 1; 0 where several objects together are wrong.
    pub number: u64,
    /// `Service`, `EndpointSlice` or `Endpoints`; `object` if it does not say.
    pub kind: String,
    /// `namespace/name`, or `number N` of the input if it has none.
    pub name: String,
    /// Path of the field that is wrong; empty if it is the object as a whole.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl BadObject {
    /// Untrusted text is made printable and short.
    pub(super) fn new(kind: &str, name: &str, place: &Place, field: &str, why: &str) -> Self {
        let tame = |text: &str| text.escape_debug().take(TEXT_MAX).collect::<String>();
        // Reasons are this program's own words, which quote what they quote already.
        let why = why.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        let Place { file, number } = place;
        Self {
            file: tame(file),
            number: *number,
            kind: tame(kind),
            name: tame(name),
            field: tame(field),
            why,
        }
    }
}

impl fmt::Display for BadObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, number, kind, name, field, why } = self;
        let separator = if field.is_empty() { "" } else { ": " };
        write!(f, "{kind} {name}: {field}{separator}{why}")?;
        match number {
            _ if file.is_empty() => Ok(()),
            0 => write!(f, " ({file})"),
            _ => write!(f, " (object {number} of {file})"),
        }
    }
}

/// The objects that cannot be imported: the first ones by name, all by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BadObjects {
    /// How many there are.
    pub count: u64,
    /// The first [`BAD_OBJECTS_NAMED`].
    pub named: Vec<BadObject>,
}

impl BadObjects {
    pub(super) fn add(&mut self, bad: BadObject) {
        self.count += 1;
        if self.named.len() < BAD_OBJECTS_NAMED {
            self.named.push(bad);
        }
    }
}

impl fmt::Display for BadObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, bad) in self.named.iter().enumerate() {
            write!(f, "{}{bad}", if at == 0 { "" } else { "\n" })?;
        }
        match self.count.saturating_sub(self.named.len() as u64) {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}

/// What was read, and what became of what is not a plain Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Service objects.
    pub services: u64,
    /// `EndpointSlice` objects.
    pub slices: u64,
    /// `Endpoints` objects, which were in use before there were `EndpointSlice`s.
    pub endpoints: u64,
    /// By finding, how many; none is zero.
    pub found: BTreeMap<Finding, u64>,
    /// Objects that were passed over because they are wrong.
    pub bad: BadObjects,
}

impl ImportSummary {
    pub(super) fn count(&mut self, finding: Finding, count: usize) {
        if count > 0 {
            *self.found.entry(finding).or_default() += count as u64;
        }
    }

    /// Why there is no Service to program, of objects that are good.
    pub(super) fn nothing(&self) -> String {
        let Self { services, slices, endpoints, found, .. } = self;
        let reasons = [
            (Finding::Headless, "headless ", ""),
            (Finding::ExternalName, "ExternalName ", ""),
            (Finding::NoClusterIp, "", " without a cluster IP yet"),
            (Finding::OtherProxy, "", " of another proxy"),
        ];
        let reasons = reasons.into_iter().filter_map(|(finding, before, after)| {
            let count = found.get(&finding)?;
            let plural = if *count == 1 { "" } else { "s" };
            Some(format!("{count} {before}Service{plural}{after}"))
        });
        let reasons: Vec<String> = reasons.collect();
        if !reasons.is_empty() {
            return format!("{}: nothing for a Service proxy to do", reasons.join(", "));
        }
        let others = found.get(&Finding::OtherKind).unwrap_or(&0);
        format!(
            "among {services} Services, {slices} EndpointSlices, {endpoints} Endpoints objects and \
             {others} other objects there is no Service that can be imported; write them with \
             `{KUBECTL}`"
        )
    }
}
