//! How the virtual services of the namespace are spread over the hash table in which IPVS looks for
//! them.
//!
//! From Linux 7.1 on the kernel tells. Before, the buckets are worked out by the kernel's hash, and
//! the order in which the kernel lists its services, bucket by bucket, must agree with the result.

use std::fs;
use std::io;
use std::net::IpAddr;

use linux::IoError;

use super::kernel::family_number;
use super::observe;
use super::wire::VirtualKey;
use crate::error::ProxyError;

/// Written by kernels whose tables grow (`ip_vs_status_show`, `net/netfilter/ipvs/ip_vs_ctl.c`,
/// Linux 7.2).
const STATUS: &str = "/proc/thread-self/net/ip_vs_status";
/// Buckets of a table that does not grow (`IP_VS_SVC_TAB_SIZE`, `ip_vs_ctl.c`, Linux 6.1).
const FIXED_BUCKETS: usize = 256;

/// How many virtual services of the network namespace of the calling thread each bucket holds, the
/// shortest first, the empty ones included.
///
/// # Errors
/// [`ProxyError`]: a kernel without IPVS, a file that cannot be read, or one that is not what it
/// should be.
pub(crate) fn lengths() -> Result<Vec<u64>, ProxyError> {
    match fs::read_to_string(STATUS) {
        Ok(text) => of_status(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            of_listing(&observe::keys_as_listed(family_number()?)?)
        }
        Err(error) => Err(IoError::of("read", STATUS)(error).into()),
    }
}

/// `Service buckets empty: 230 (89%)`, `Service buckets len-1: 25 (96%)`, ...
fn of_status(text: &str) -> Result<Vec<u64>, ProxyError> {
    let mut lengths = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("Service buckets ") else { continue };
        let parsed = rest.split_once(':').and_then(|(kind, amount)| {
            let length: u64 = match kind.strip_prefix("len-") {
                Some(length) => length.parse().ok()?,
                None if kind == "empty" => 0,
                None => return None,
            };
            Some((length, amount.split_whitespace().next()?.parse().ok()?))
        });
        let (length, buckets) = parsed.ok_or_else(|| {
            ProxyError::malformed(STATUS, format!("the line {line:?} is not understood"))
        })?;
        lengths.extend(std::iter::repeat_n(length, buckets));
    }
    lengths.sort_unstable();
    Ok(lengths)
}

/// Of a table that does not grow, from its services as the kernel lists them.
fn of_listing(keys: &[VirtualKey]) -> Result<Vec<u64>, ProxyError> {
    let mut lengths = vec![0; FIXED_BUCKETS];
    let mut current = None;
    for key in keys {
        let bucket = bucket_of(*key);
        if current != Some(bucket) && lengths[bucket] > 0 {
            let reason = format!(
                "{key} is not listed with the others of its bucket; this kernel hashes in another \
                 way"
            );
            return Err(ProxyError::malformed("the kernel's list of virtual services", reason));
        }
        current = Some(bucket);
        lengths[bucket] += 1;
    }
    lengths.sort_unstable();
    Ok(lengths)
}

/// The bucket of a service, but for a constant of the namespace that is mixed into all alike
/// (`ip_vs_svc_hashkey`, `ip_vs_ctl.c`, Linux 6.1).
fn bucket_of(key: VirtualKey) -> usize {
    // The lowest byte of each: there are as many buckets as a byte has values. The words of an IPv6
    // address are folded into one.
    let [high, low] = key.port.to_be_bytes();
    let address = match key.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets().iter().skip(3).step_by(4).fold(0, |a, b| a ^ b),
    };
    (key.protocol.number() ^ address ^ high ^ low).into()
}

#[cfg(test)]
mod tests {
    use generators::Protocol;

    use super::*;

    fn keys(addresses: impl Iterator<Item = u32>) -> Vec<VirtualKey> {
        let key = |address| VirtualKey { address, port: 80, protocol: Protocol::Tcp };
        addresses.map(|bits| key(IpAddr::from(bits.to_be_bytes()))).collect()
    }

    #[test]
    fn addresses_256_apart_share_a_bucket_and_consecutive_ones_do_not() {
        let found = of_listing(&keys((0..20).map(|n| 0x0a60_0001 + n * 256))).unwrap();
        assert_eq!(found, [vec![0; 255], vec![20]].concat());
        let found = of_listing(&keys((0..20).map(|n| 0x0a60_0001 + n))).unwrap();
        assert_eq!(found, [vec![0; 236], vec![1; 20]].concat());
    }

    #[test]
    fn a_listing_that_contradicts_the_hash_is_refused() {
        let listed = keys([0x0a60_0001, 0x0a60_0002, 0x0a60_0101].into_iter());
        let error = of_listing(&listed).unwrap_err().to_string();
        assert!(error.contains("10.96.1.1") && error.contains("hashes in another way"), "{error}");
    }

    #[test]
    fn the_kernels_own_account_is_read() {
        let text = "Conn buckets empty:\t9 (1%)\nServices:\t27\nService buckets:\t256 (8 bits, lfactor -3)\n\
                    Service buckets empty:\t230 (89%)\nService buckets len-1:\t25 (96%)\nService buckets len-2:\t1 (3%)\n";
        assert_eq!(of_status(text).unwrap(), [vec![0; 230], vec![1; 25], vec![2]].concat());
        let error = of_status("Service buckets long:\t1\n").unwrap_err().to_string();
        assert!(error.contains("long"), "{error}");
    }
}
