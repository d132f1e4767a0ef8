//! How connections spread over the Endpoints of a Service, held against the law of the proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context;
use itertools::Itertools as _;
use lab::topology::Source;
use proxies::Spread;
use results::check::{Probe, Verdict};
use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use super::client::{self, Came};
use super::expectation::Expected;
use super::lab::Site;
use super::paths::{Path, to_cluster_ip};
use super::subjects::{Case, SPREAD};

/// Connections of one test.
const CONNECTIONS: usize = 2_000;
/// How rarely a fair draw is called unfair.
const FALSE_ALARMS: f64 = 1e-6;

/// Tests every Service that is there for it.
///
/// # Errors
/// No namespace to dial from, no descriptors left.
pub fn probes(site: &Site, cases: &[Case], law: Spread) -> anyhow::Result<Vec<Probe>> {
    let cases = cases.iter().filter(|case| case.subject == SPREAD);
    cases
        .map(|case| {
            let path = to_cluster_ip(site, Source::Pod, SPREAD, &case.service)?;
            let dialer = site.dialer(path.caller.source)?;
            let dials = vec![path.dial; CONNECTIONS];
            let came = client::inside(&dialer.namespace, || client::all(dials))??;
            judged(site, &path, &came, law)
        })
        .collect()
}

fn judged(site: &Site, path: &Path, came: &[Came], law: Spread) -> anyhow::Result<Probe> {
    if let Some(fault) = came.iter().find(|one| !path.admits(site, one)) {
        return Ok(path.probe(Verdict::Unexpected, fault.to_string()));
    }
    let Expected::Answered(all) = &path.expected else {
        anyhow::bail!("{} has no Endpoints to spread over", path.service);
    };
    let counted = came.iter().filter_map(Came::answered_by).counts();
    let counts: BTreeMap<SocketAddr, usize> = all
        .iter()
        .map(|one| (one.endpoint, counted.get(&one.endpoint).copied().unwrap_or_default()))
        .collect();
    let numbers: Vec<usize> = counts.values().copied().collect();
    let (is_good, words) = match law {
        Spread::Even => {
            let chance = chance_of(&numbers)?;
            (chance >= FALSE_ALARMS, format!("an even draw gives this with p = {chance:.2e}"))
        }
        Spread::InTurn => {
            let spread = numbers.iter().minmax().into_option().map_or(0, |(low, high)| high - low);
            (spread <= 1, format!("taken in turn: at most {spread} apart"))
        }
    };
    let verdict = if is_good { Verdict::Good } else { Verdict::Unexpected };
    Ok(path.probe(verdict, format!("{} answers; {words}", numbers.iter().join(" + "))))
}

/// How likely an even draw strays so far or farther: Pearson's chi-squared test.
fn chance_of(counts: &[usize]) -> anyhow::Result<f64> {
    let total: usize = counts.iter().sum();
    let even = total as f64 / counts.len() as f64;
    let strays: f64 = counts.iter().map(|count| (*count as f64 - even).powi(2) / even).sum();
    let freedom = counts.len().saturating_sub(1) as f64;
    let law = ChiSquared::new(freedom).context("a spread over one Endpoint")?;
    Ok(law.sf(strays))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chance_of_a_draw_is_that_of_the_chi_squared_law() {
        // 5.991 is the critical value of 5 % for two degrees of freedom, 13.816 that of 0.1 %
        // (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4).
        let chance = |counts: &[usize]| chance_of(counts).unwrap();
        assert!((chance(&[1_000, 1_000, 1_000]) - 1.0).abs() < 1e-12);
        // Strays 2 * x^2 / 1000.
        assert!(chance(&[1_054, 946, 1_000]) > 0.05 && chance(&[1_055, 945, 1_000]) < 0.05);
        assert!(chance(&[1_083, 917, 1_000]) > 1e-3 && chance(&[1_084, 916, 1_000]) < 1e-3);
        assert!(chance(&[1_000, 1_000, 0]) < FALSE_ALARMS);
        assert!(chance_of(&[7]).is_err());
    }
}
