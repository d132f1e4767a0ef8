//! Makes a Cluster from a spec and a seed: the same bytes on any machine.
//!
//! Each property (names, VIPs, addresses, counts, protocols) has its own stream of random numbers,
//! so that changing one field of a spec leaves the others' draws alone.

use crate::addresses::{Scatter, Vips};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::names::Names;
use crate::random::{Permutation, SplitMix64};
use crate::service::{Endpoint, Service};
use crate::spec::{CountShares, ProtocolShares, SpecErrors, SyntheticSpec};

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
    let vips = Vips::new(spec.service_cidr, spec.vip_layout, Purpose::Vips.stream(seed));
    let addresses = Scatter::new(spec.endpoint_cidr, Purpose::Endpoints.stream(seed));
    let counts = Dealt::new(services, Purpose::EndpointCounts.stream(seed));
    let endpoint_counts = CountShares::new(spec.endpoints);
    let protocols = Dealt::new(services, Purpose::Protocols.stream(seed));
    let protocol_shares = ProtocolShares::new(spec.protocols);

    let mut made = Vec::with_capacity(usize::try_from(spec.services).unwrap_or(0));
    let mut next_endpoint = 0_u64;
    for index in 0..services {
        let protocol = protocol_shares.at_rank(protocols.rank(index), spec.services);
        let count = endpoint_counts.at_rank(counts.rank(index), spec.services);
        let end = next_endpoint + u64::from(count);
        let endpoints = (next_endpoint..end)
            .map(|number| Endpoint { address: addresses.at(number), port: spec.target_port })
            .collect();
        next_endpoint = end;
        let name = names.at(index, protocol)?;
        made.push(Service::new(name, vips.at(index), spec.port, protocol, endpoints)?);
    }
    Ok(Cluster::new(made)?)
}

/// Deals ranks to Services in random order.
struct Dealt(Permutation);

impl Dealt {
    fn new(services: u64, random: SplitMix64) -> Self {
        Self(Permutation::new(services, random))
    }

    /// The rank of a Service: each from 0 to the number of Services less one is dealt once.
    fn rank(&self, service: u64) -> u32 {
        u32::try_from(self.0.at(service)).unwrap_or(u32::MAX)
    }
}
