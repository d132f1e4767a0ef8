//! The backends there are, one a line, and how they are found by name.

use std::sync::{PoisonError, RwLock};

use crate::descriptor::Descriptor;
use crate::{ebpf, iptables, ipvs, ipvs_kube_proxy, nftables, none, userspace};

/// Every backend of this crate, the control first: the order of tables and legends.
static OWN: [&Descriptor; 10] = [
    &none::NONE,
    &iptables::LEGACY,
    &iptables::NFT,
    &ipvs::IPVS,
    &ipvs_kube_proxy::IPVS_KUBE_PROXY,
    &nftables::V1_33,
    &nftables::V1_36,
    &nftables::V1_37,
    &userspace::USERSPACE,
    &ebpf::EBPF,
];

/// Backends that this process was told of.
static OTHERS: RwLock<Vec<&'static Descriptor>> = RwLock::new(Vec::new());

/// Every backend, in the order of tables and legends.
pub fn backends() -> impl Iterator<Item = &'static Descriptor> {
    let others = OTHERS.read().unwrap_or_else(PoisonError::into_inner).clone();
    OWN.iter().copied().chain(others)
}

/// Makes more backends known to this process, behind those that are. Of two with one name the
/// first counts.
pub fn also_known(others: &[&'static Descriptor]) {
    let mut known = OTHERS.write().unwrap_or_else(PoisonError::into_inner);
    for other in others {
        if OWN.iter().chain(&*known).all(|one| one.name != other.name) {
            known.push(other);
        }
    }
}

/// The backend of this name.
///
/// # Errors
/// [`UnknownProxy`] with the names there are.
pub fn find(name: &str) -> Result<&'static Descriptor, UnknownProxy> {
    backends()
        .find(|backend| backend.name == name)
        .ok_or_else(|| UnknownProxy { name: name.to_owned() })
}

/// A name that no backend has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no proxy is called `{name}`; there are {}", names())]
pub struct UnknownProxy {
    /// The name as it was given.
    pub name: String,
}

fn names() -> String {
    backends().map(|backend| backend.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::error::ProxyError;
    use crate::options::Options;
    use crate::program::{Program, Size};

    #[test]
    fn every_backend_is_found_by_its_name_and_opens_under_it() {
        for backend in backends() {
            assert_eq!(find(backend.name).expect("it is listed").name, backend.name);
            let mut opened = backend.open(&Options::default());
            let strangers = Program::of(Size::default(), "a stranger's");
            let refused = opened.staged().expect("it has stages").submit(&strangers);
            let Err(ProxyError::ForeignProgram { proxy }) = refused else { panic!("{refused:?}") };
            assert_eq!(proxy, backend.name);
        }
    }

    #[test]
    fn names_and_colours_are_all_different_and_nothing_is_left_blank() {
        let count = backends().count();
        assert_eq!(backends().map(|backend| backend.name).collect::<HashSet<_>>().len(), count);
        assert_eq!(backends().map(|backend| backend.colour).collect::<HashSet<_>>().len(), count);
        assert!(
            backends().all(|backend| !backend.summary.is_empty() && !backend.colour.is_empty())
        );
        assert!(backends().next().is_some_and(Descriptor::is_control));
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let message = find("iptables").expect_err("not a backend").to_string();
        assert!(backends().all(|backend| message.contains(backend.name)), "{message}");
    }
}
