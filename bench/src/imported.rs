//! A Cluster from a file in place of generated ones: read, checked, and moved to where the lab can
//! carry it.
//!
//! How Kubernetes objects become such a file is the business of `generators`.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER;
use generators::{Cluster, Family, MAX_SERVICES, Protocol, Service, SyntheticSpec};
use sha2::{Digest, Sha256};

use crate::files;
use crate::measure::dialable::{is_dialable, target_ports_of};

/// The fact of a run that says which file it was.
pub const CLUSTER_FACT: &str = "cluster.sha256";
/// Most distinct ports of Endpoints: each is a listening socket on every endpoint host.
const PORTS_MAX: usize = 10_000;

/// An imported Cluster that the lab can carry.
#[derive(Debug)]
pub struct ImportedCluster {
    cluster: Arc<Cluster>,
    sha256: String,
    warnings: Vec<String>,
}

impl ImportedCluster {
    /// Reads a file that `vipbench import` or `generate` wrote, for these proxies. Addresses of
    /// IPv4 outside of the ranges in `lab` are moved into them; those of IPv6 are programmed alone,
    /// and nobody dials them.
    ///
    /// # Errors
    /// An unreadable file, one that is no Cluster, addresses that find no room, nothing that a
    /// client could dial.
    pub fn read(path: &Path, lab: &SyntheticSpec, proxies: &[String]) -> anyhow::Result<Self> {
        let mut file = Hashing { input: files::open(path)?, hash: Sha256::new() };
        let mut cluster = generators::from_json(&mut file)
            .context("write it with `vipbench import`, which reads Kubernetes objects")?;
        let sha256 = HEXLOWER.encode(&file.hash.finalize());
        let mut warnings = Vec::new();
        let mut leave_out = |what: &str, why: &str, is_left_out: &dyn Fn(&Service) -> bool| {
            let all = cluster.services().iter().cloned();
            let (left_out, kept): (Vec<_>, Vec<_>) = all.partition(is_left_out);
            if !left_out.is_empty() {
                let count = left_out.len();
                warnings.push(format!("{count} Services of {what} are not programmed: {why}"));
                cluster = Cluster::new(kept)?;
            }
            anyhow::Ok(())
        };
        // One rule that is refused takes the others with it.
        let why = "guests of a run do not load the match of iptables for it";
        leave_out("SCTP", why, &|service| service.protocol() == Protocol::Sctp)?;
        if let Some(proxy) = proxies.iter().find(|proxy| has_ipv4_alone(proxy)) {
            let why = format!("{proxy} programs IPv4 alone");
            leave_out("IPv6", &why, &|service| service.family() == Family::V6)?;
        }
        let (services, endpoints) = (lab.service_cidr, lab.endpoint_cidr);
        let moved = cluster.relocated(services, endpoints).context(
            "[cluster] service_cidr and endpoint_cidr are where the lab has VIPs and endpoints",
        )?;
        if let Some(moved) = moved {
            warnings.push(format!(
                "addresses outside of the lab's {services} (VIPs) and {endpoints} (endpoints) were moved there, by whole networks"
            ));
            cluster = moved;
        }
        let count = cluster.services().len();
        ensure!(
            count <= MAX_SERVICES as usize,
            "{count} Services are too many (limit {MAX_SERVICES}); import parts of it"
        );
        let ports = target_ports_of(&cluster, lab.target_port).len();
        ensure!(
            ports <= PORTS_MAX,
            "endpoints listen at {ports} different ports, of which the lab has {PORTS_MAX}; import parts of it"
        );
        Ok(Self { cluster: Arc::new(cluster), sha256, warnings })
    }

    /// SHA-256 of the file's content, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What was changed so that the lab can carry it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The number of its Services.
    pub fn services(&self) -> u32 {
        // Bounded when it was read.
        u32::try_from(self.cluster.services().len()).unwrap_or(MAX_SERVICES)
    }

    /// Whether its first `services` Services can be measured.
    ///
    /// # Errors
    /// It has fewer, or no client could dial any of them.
    pub fn check(&self, services: u32) -> anyhow::Result<()> {
        let all = self.cluster.services();
        ensure!(
            (1..=self.services()).contains(&services),
            "services = {services}: it has {}; write 1 to {0}, or leave `services` out for all",
            all.len()
        );
        ensure!(
            all.iter().take(services as usize).any(is_dialable),
            "none of its first {services} Services speaks TCP and has an endpoint, so no client can dial one"
        );
        Ok(())
    }

    /// Its first `services` Services.
    ///
    /// # Errors
    /// It has no such number of Services.
    pub fn first(&self, services: u32) -> anyhow::Result<Arc<Cluster>> {
        self.check(services)?;
        if services == self.services() {
            return Ok(Arc::clone(&self.cluster));
        }
        let first = self.cluster.services().iter().take(services as usize);
        Ok(Arc::new(Cluster::new(first.cloned().collect())?))
    }
}

/// Whether a proxy of this name cannot be given Services of IPv6.
pub fn has_ipv4_alone(proxy: &str) -> bool {
    proxies::find(proxy).is_ok_and(|backend| backend.has_ipv4_alone)
}

/// Hashes what is read through it.
struct Hashing<R> {
    input: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hash.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use generators::{IpNet, Protocols, generate, to_json};

    use super::*;

    fn written(cluster: &Cluster) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        to_json(cluster, File::create(file.path()).unwrap()).unwrap();
        file
    }

    fn read(cluster: &Cluster, lab: &SyntheticSpec) -> anyhow::Result<ImportedCluster> {
        ImportedCluster::read(written(cluster).path(), lab, &["ipvs".to_owned()])
    }

    #[test]
    fn a_generated_cluster_comes_back_as_it_was_with_the_hash_of_its_file() {
        let spec = SyntheticSpec { services: 20, ..SyntheticSpec::default() };
        let cluster = generate(&spec, 1).unwrap();
        let file = written(&cluster);
        let imported = ImportedCluster::read(file.path(), &spec, &[]).unwrap();
        assert_eq!(*imported.first(20).unwrap(), cluster);
        assert_eq!(imported.first(7).unwrap().services(), &cluster.services()[..7]);
        assert_eq!(imported.warnings(), [""; 0]);
        let content = fs::read(file.path()).unwrap();
        assert_eq!(imported.sha256(), HEXLOWER.encode(&Sha256::digest(content)));
    }

    #[test]
    fn a_size_that_it_does_not_have_is_refused() {
        let spec = SyntheticSpec { services: 20, ..SyntheticSpec::default() };
        let imported = read(&generate(&spec, 1).unwrap(), &spec).unwrap();
        for services in [0, 21] {
            let error = imported.first(services).unwrap_err().to_string();
            assert!(error.contains("it has 20; write 1 to 20"), "{error}");
        }
    }

    #[test]
    fn addresses_are_moved_and_sctp_is_left_out_and_both_are_said() {
        let elsewhere = SyntheticSpec {
            services: 20,
            protocols: Protocols { tcp: 1, udp: 0, sctp: 1 },
            service_cidr: "172.20.0.0/16".parse().unwrap(),
            endpoint_cidr: "172.31.0.0/16".parse().unwrap(),
            ..SyntheticSpec::default()
        };
        let imported = read(&generate(&elsewhere, 1).unwrap(), &SyntheticSpec::default()).unwrap();
        assert_eq!(imported.services(), 10);
        let [sctp, moved] = imported.warnings() else { panic!("{:?}", imported.warnings()) };
        assert!(sctp.contains("10 Services of SCTP"), "{sctp}");
        assert!(moved.contains("moved"), "{moved}");
        let lab = SyntheticSpec::default();
        let (vips, endpoints) = (IpNet::V4(lab.service_cidr), IpNet::V4(lab.endpoint_cidr));
        for service in imported.first(10).unwrap().services() {
            assert!(vips.contains(&service.vip()));
            let is_there = |endpoint: &generators::Endpoint| endpoints.contains(&endpoint.address);
            assert!(service.endpoints().iter().all(is_there));
        }
    }

    #[test]
    fn ipv6_is_programmed_unless_a_proxy_cannot_which_is_said() {
        let spec = SyntheticSpec {
            services: 4,
            families: generators::Families::Dual,
            ..SyntheticSpec::default()
        };
        let file = written(&generate(&spec, 1).unwrap());
        let read = |proxies: [&str; 2]| {
            let proxies = proxies.map(str::to_owned);
            ImportedCluster::read(file.path(), &SyntheticSpec::default(), &proxies).unwrap()
        };
        let (both, one) = (read(["none", "ipvs"]), read(["ipvs", "userspace"]));
        assert_eq!((both.services(), one.services()), (8, 4));
        assert_eq!(both.warnings(), [""; 0]);
        let warning = "4 Services of IPv6 are not programmed: userspace programs IPv4 alone";
        assert_eq!(one.warnings(), [warning]);
    }

    #[test]
    fn a_cluster_that_no_client_can_dial_is_refused() {
        let spec = SyntheticSpec {
            services: 3,
            protocols: Protocols { tcp: 0, udp: 1, sctp: 0 },
            ..SyntheticSpec::default()
        };
        let imported = read(&generate(&spec, 1).unwrap(), &spec).unwrap();
        let error = imported.check(3).unwrap_err().to_string();
        assert!(error.contains("none of its first 3 Services speaks TCP"), "{error}");
    }
}
