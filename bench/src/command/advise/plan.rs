//! What is measured: the few cells that decide, as a request for a run.

use std::path::Path;

use anyhow::Context;
use generators::EndpointCount;

use super::candidates;
use crate::cli::AdviseArgs;
use crate::command::run::{clock, place};
use crate::imported::ImportedCluster;
use crate::run::RunRequest;
use crate::run::check::Overrides;
use crate::scenario::Scenario;

const SCENARIO: &str = include_str!("advise.toml");

/// The scenario, and what is changed in it.
pub(super) struct Plan {
    pub scenario: Scenario,
    /// All Services that are asked about.
    pub services: u32,
}

impl Plan {
    /// # Errors
    /// A Cluster that cannot be read.
    pub fn of(args: &AdviseArgs) -> anyhow::Result<Self> {
        let mut scenario: Scenario = toml::from_str(SCENARIO).context("the scenario of advise")?;
        scenario.cluster.endpoints = EndpointCount::Fixed(args.endpoints);
        scenario.proxies = candidates::proxies(args);
        let services = match (&args.cluster, args.services) {
            (Some(file), _) => ImportedCluster::read(file, &scenario.cluster, &scenario.proxies)
                .with_context(|| format!("--cluster {}", file.display()))?
                .services(),
            (None, services) => services.context("--services: say how many Services you have")?,
        };
        scenario.services = sizes(services);
        Ok(Self { scenario, services })
    }

    /// Measures into `folder`, or goes on there.
    pub fn request(&self, args: &AdviseArgs, folder: &Path) -> RunRequest {
        RunRequest {
            overrides: Overrides {
                kube_proxies: args.kube_proxies.clone(),
                kernels: args.kernels.clone(),
                cluster_file: args.cluster.clone(),
                // An imported Cluster takes the place of sizes, unless they are asked for.
                services: self.scenario.services.clone(),
                ..Overrides::default()
            },
            place: place(args.place),
            clock: clock(args.clock),
            output: Some(folder.to_owned()),
            resume: folder.exists(),
            dry_run: args.dry_run,
            ..RunRequest::default()
        }
    }
}

/// A quarter, half and all of the Services: a fit needs three sizes, and nothing larger than all is
/// as sure as what was measured.
fn sizes(services: u32) -> Vec<u32> {
    let mut sizes = vec![services.div_ceil(4), services.div_ceil(2), services];
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::check::validated;

    #[test]
    fn sizes_end_with_all_and_none_is_there_twice() {
        assert_eq!(sizes(3_000), [750, 1_500, 3_000]);
        assert_eq!(sizes(5), [2, 3, 5]);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(u32::MAX).len(), 3);
    }

    #[test]
    fn the_scenario_is_one_that_runs() {
        let mut scenario: Scenario = toml::from_str(SCENARIO).unwrap();
        scenario.services = sizes(100);
        let scenario = validated(scenario, Overrides::default()).unwrap();
        assert_eq!(scenario.name, "advise");
    }
}
