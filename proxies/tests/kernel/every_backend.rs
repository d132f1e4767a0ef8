//! The contract for every backend there is: one test a clause, each backend in a namespace of its
//! own. A new backend needs nothing here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use generators::Ipv4Net;
use proxies::{Descriptor, Options, backends};

use crate::contract::{self, Subject, with_clauses};
use crate::golden;
use crate::netns::in_new_namespace;
use crate::{ipvs, ipvs_kube_proxy};

/// The family that only kernels with IPVS can run; the guest has one.
const IPVS: &str = "ipvs";

fn options() -> Options {
    let mut options =
        Options { local_cidrs: vec![golden::LOCAL_CIDR.into()], ..Options::default() };
    let range = Ipv4Net::new_assert([172, 30, 0, 0].into(), 16);
    options.nftables.service_cidrs = vec![range.into()];
    options
}

/// The sets of options that make a backend another one.
fn settings_of(backend: &Descriptor) -> Vec<fn() -> Options> {
    match (backend.name, backend.family) {
        (ipvs_kube_proxy::NAME, _) => vec![ipvs_kube_proxy::options],
        (_, IPVS) => vec![ipvs::options, ipvs::local_route, ipvs::bare],
        _ => vec![options],
    }
}

/// Every backend of those families, with each set of options that makes it another one.
fn subjects(of: fn(&str) -> bool) -> Vec<Subject> {
    let of_family = backends().filter(|backend| of(backend.family));
    of_family
        .flat_map(|backend| {
            settings_of(backend).into_iter().map(move |options| Subject { backend, options })
        })
        .collect()
}

/// Tries all, then tells which failed.
fn each(of: fn(&str) -> bool, clause: fn(Subject)) {
    let failed: Vec<&str> = subjects(of)
        .into_iter()
        .filter(|&subject| {
            let name = subject.backend.name;
            println!("{name}");
            catch_unwind(AssertUnwindSafe(|| in_new_namespace(|| clause(subject)))).is_err()
        })
        .map(|subject| subject.backend.name)
        .collect();
    assert_eq!(failed, Vec::<&str>::new());
}

macro_rules! contract_tests {
    ($($clause:ident,)+) => {
        $(
            #[test]
            #[ignore = "needs root and netfilter; run by scripts/test"]
            fn $clause() {
                each(|family| family != IPVS, contract::$clause);
            }
        )+

        mod ipvs_too {
            use super::*;

            $(
                #[test]
                #[ignore = "needs root and ip_vs; run by scripts/test"]
                fn $clause() {
                    each(|family| family == IPVS, contract::$clause);
                }
            )+
        }
    };
}

with_clauses!(contract_tests);
