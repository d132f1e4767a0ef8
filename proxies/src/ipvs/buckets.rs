//! How the virtual services of the namespace are spread over the hash table in which IPVS looks for
//! them.
//!
//! From Linux 7.1 on the kernel tells. Before, the buckets are worked out by the kernel's hash, and
//! the order in which the kernel lists its services, bucket by bucket, must agree with the result.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use generators::Protocol;
use linux::IoError;

use super::kernel::family_number;
use super::observe;
use super::wire::VirtualKey;
use crate::error::ProxyError;

/// Written by kernels whose tables grow (`ip_vs_status_show`, `net/netfilter/ipvs/ip_vs_ctl.c`,
/// Linux 7.2).
const STATUS: &str = "/proc/thread-self/net/ip_vs_status";
/// Buckets of a table that does not grow (`IP_VS_SVC_TAB_SIZE`, `ip_vs_ctl.c`, Linux 6.1).
const FIXED_BUCKETS: u64 = 256;

/// How many buckets hold how many virtual services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// From the number of services in a bucket to the number of such buckets, the empty ones
    /// included.
    pub by_length: BTreeMap<u64, u64>,
    /// Whether the kernel said so itself.
    pub told_by_kernel: bool,
}

impl Buckets {
    /// Those of the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`ProxyError`]: a kernel without IPVS, a file that cannot be read, or one that is not what
    /// it should be.
    pub fn read() -> Result<Self, ProxyError> {
        match fs::read_to_string(STATUS) {
            Ok(text) => Self::of_status(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::of_listing(&observe::keys_as_listed(family_number()?)?)
            }
            Err(error) => Err(IoError::of("read", STATUS)(error).into()),
        }
    }

    /// The number of services of each bucket, the shortest first.
    pub(super) fn lengths(&self) -> Vec<u64> {
        let all = self.by_length.iter();
        all.flat_map(|(length, count)| (0..*count).map(|_| *length)).collect()
    }

    /// `Service buckets empty: 230 (89%)`, `Service buckets len-1: 25 (96%)`, ...
    fn of_status(text: &str) -> Result<Self, ProxyError> {
        let malformed = |line: &str| ProxyError::Malformed {
            what: STATUS.into(),
            reason: format!("the line {line:?} is not understood"),
        };
        let mut by_length = BTreeMap::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("Service buckets ") else { continue };
            let parsed = rest.split_once(':').and_then(|(kind, amount)| {
                let length = match kind.strip_prefix("len-") {
                    Some(length) => length.parse().ok()?,
                    None if kind == "empty" => 0,
                    None => return None,
                };
                Some((length, amount.split_whitespace().next()?.parse::<u64>().ok()?))
            });
            let (length, buckets) = parsed.ok_or_else(|| malformed(line))?;
            by_length.insert(length, buckets);
        }
        Ok(Self { by_length, told_by_kernel: true })
    }

    /// Of a table that does not grow, from its services as the kernel lists them.
    fn of_listing(keys: &[VirtualKey]) -> Result<Self, ProxyError> {
        let mut lengths: BTreeMap<u64, u64> = BTreeMap::new();
        let mut current = None;
        for key in keys {
            let bucket = bucket_of(*key);
            if current != Some(bucket) && lengths.contains_key(&bucket) {
                return Err(ProxyError::Malformed {
                    what: "the kernel's list of virtual services".into(),
                    reason: format!(
                        "{key} is not listed with the others of its bucket; this kernel hashes in \
                         another way"
                    ),
                });
            }
            current = Some(bucket);
            *lengths.entry(bucket).or_default() += 1;
        }
        let mut by_length = BTreeMap::from([(0, FIXED_BUCKETS - lengths.len() as u64)]);
        for length in lengths.into_values() {
            *by_length.entry(length).or_default() += 1;
        }
        Ok(Self { by_length, told_by_kernel: false })
    }
}

/// The bucket of a service, but for a constant of the namespace that is mixed into all alike
/// (`ip_vs_svc_hashkey`, `ip_vs_ctl.c`, Linux 6.1).
fn bucket_of(key: VirtualKey) -> u64 {
    let protocol = match key.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    let port = u64::from(key.port);
    (protocol ^ u64::from(u32::from(key.address)) ^ (port >> 8) ^ port) % FIXED_BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(addresses: impl Iterator<Item = u32>) -> Vec<VirtualKey> {
        let key = |address| VirtualKey { address, port: 80, protocol: Protocol::Tcp };
        addresses.map(|address| key(address.into())).collect()
    }

    #[test]
    fn addresses_256_apart_share_a_bucket_and_consecutive_ones_do_not() {
        let found = Buckets::of_listing(&keys((0..20).map(|n| 0x0a60_0001 + n * 256))).unwrap();
        assert_eq!(found.by_length, BTreeMap::from([(0, 255), (20, 1)]));
        let found = Buckets::of_listing(&keys((0..20).map(|n| 0x0a60_0001 + n))).unwrap();
        assert_eq!(found.by_length, BTreeMap::from([(0, 236), (1, 20)]));
        assert!(!found.told_by_kernel);
    }

    #[test]
    fn a_listing_that_contradicts_the_hash_is_refused() {
        let listed = keys([0x0a60_0001, 0x0a60_0002, 0x0a60_0101].into_iter());
        let error = Buckets::of_listing(&listed).unwrap_err().to_string();
        assert!(error.contains("10.96.1.1") && error.contains("hashes in another way"), "{error}");
    }

    #[test]
    fn the_kernels_own_account_is_read() {
        let text = "Conn buckets empty:\t9 (1%)\nServices:\t27\nService buckets:\t256 (8 bits, lfactor -3)\n\
                    Service buckets empty:\t230 (89%)\nService buckets len-1:\t25 (96%)\nService buckets len-2:\t1 (3%)\n";
        let found = Buckets::of_status(text).unwrap();
        assert_eq!(found.by_length, BTreeMap::from([(0, 230), (1, 25), (2, 1)]));
        assert!(found.told_by_kernel);
        let error = Buckets::of_status("Service buckets long:\t1\n").unwrap_err().to_string();
        assert!(error.contains("long"), "{error}");
    }
}
