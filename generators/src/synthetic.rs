//! Makes a Cluster from a spec and a seed: the same bytes on any machine.
//!
//! Each property (names, VIPs, addresses, counts, protocols) has its own stream of random numbers,
//! so that changing one field of a spec leaves the others' draws alone.

use crate::addresses::{Addresses, VipLayout};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::names::Names;
use crate::random::{Permutation, SplitMix64};
use crate::service::{Endpoint, Protocol, Service};
use crate::spec::{SpecErrors, SyntheticSpec};

/// What a stream of random numbers is for. The numbers are part of what a seed means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Names = 1,
    Vips = 2,
    Endpoints = 3,
    EndpointCounts = 4,
    Protocols = 5,
    Changes = 6,
    Anonymous = 7,
}

impl Purpose {
    /// The random numbers of this purpose.
    pub(crate) const fn stream(self, seed: u64) -> SplitMix64 {
        SplitMix64::stream(seed, self as u64)
    }
}

/// Why no Cluster was generated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GenerateError {
    /// The spec has mistakes.
    #[error(transparent)]
    Spec(#[from] SpecErrors),
    /// The Cluster that was made is not valid, although its spec is.
    #[error("the generator made an invalid Cluster, please report it: {0}")]
    Cluster(#[from] ClusterError),
}

/// The Cluster that `spec` describes, with `seed` deciding what `spec` leaves open.
///
/// 1,000,000 Services with 10 Endpoints each take a few seconds and 290 MB (`benches/generate.rs`).
///
/// # Errors
/// [`GenerateError::Spec`] with every mistake in `spec`, before anything is made.
pub fn generate(spec: &SyntheticSpec, seed: u64) -> Result<Cluster, GenerateError> {
    spec.validate()?;
    let services = u64::from(spec.services);
    let names = Names::more_than(services, Purpose::Names.stream(seed));
    let vips = Addresses::new(spec.service_cidr, spec.vip_layout, Purpose::Vips.stream(seed));
    let addresses = Purpose::Endpoints.stream(seed);
    let addresses = Addresses::new(spec.endpoint_cidr, VipLayout::Random, addresses);
    // Ranks are dealt to Services in random order, each once.
    let dealt = |purpose: Purpose| Permutation::new(services, purpose.stream(seed));
    let rank = |dealt: &Permutation, service| u32::try_from(dealt.at(service)).unwrap_or(u32::MAX);
    let (counts, protocols) = (dealt(Purpose::EndpointCounts), dealt(Purpose::Protocols));
    let (endpoint_counts, protocol_shares) =
        (spec.endpoints.quantiles(), spec.protocols.quantiles());

    let mut made = Vec::with_capacity(usize::try_from(spec.services).unwrap_or(0));
    let mut next_endpoint = 0_u64;
    for index in 0..services {
        let protocol = protocol_shares.at_rank(rank(&protocols, index), spec.services);
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        let count = endpoint_counts.at_rank(rank(&counts, index), spec.services);
        let end = next_endpoint + u64::from(count.unwrap_or(0));
        let endpoints = (next_endpoint..end)
            .map(|number| Endpoint { address: addresses.at(number), port: spec.target_port })
            .collect();
        next_endpoint = end;
        let name = names.at(index, protocol)?;
        made.push(Service::new(name, vips.at(index), spec.port, protocol, endpoints)?);
    }
    Ok(Cluster::new(made)?)
}
