//! Whether two runs may be held against each other: what differs beside the one thing that is meant
//! to.

use super::verdict::Across;
use crate::compare::{Comparison, Difference};
use crate::facts::{GUEST, SOURCE};

/// The programs with their libraries, packed for the guest: another build of any of them makes
/// another one.
const INITRAMFS: &str = ".initramfs";

/// Differences that were not announced; the kernels themselves are one of them.
pub(super) fn unlike(comparison: &Comparison, across: Option<Across>) -> Vec<Difference> {
    let [base, new] = [&comparison.base, &comparison.new].map(|side| side.kernels.join(", "));
    let kernel = Difference { fact: "kernel".into(), base, new };
    let kernels_differ = kernel.base != kernel.new && across != Some(Across::Kernel);
    let others = comparison.surroundings.iter().filter(|one| !is_meant(&one.fact, across));
    kernels_differ.then_some(kernel).into_iter().chain(others.cloned()).collect()
}

fn is_meant(fact: &str, across: Option<Across>) -> bool {
    let of_guest = fact.starts_with(GUEST);
    let packed = of_guest && fact.contains(INITRAMFS);
    of_guest && fact.ends_with(SOURCE)
        || match across {
            None => false,
            Some(Across::Kernel) => fact == "host.kernel" || fact.starts_with("guest.kernel."),
            Some(Across::Iptables) => fact.starts_with("tool.iptables") || packed,
            Some(Across::Tool) => fact.starts_with("vipbench.") || packed,
            Some(Across::Injection) => fact.starts_with("scenario.inject."),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_allows_its_own_thing_and_nothing_else() {
        let facts = [
            "guest.kernel.initramfs",
            "guest.kernel.command_line",
            "tool.iptables-legacy-restore",
            "vipbench.sha256",
            "scenario.inject.rules_per_chain",
            "tool.qemu-system-x86_64",
            "scenario.load.connections",
            "host.cpu",
        ];
        let allowed = |across| {
            facts.iter().filter(|fact| is_meant(fact, across)).copied().collect::<Vec<_>>()
        };
        assert!(allowed(None).is_empty());
        assert_eq!(
            allowed(Some(Across::Kernel)),
            ["guest.kernel.initramfs", "guest.kernel.command_line"]
        );
        assert_eq!(
            allowed(Some(Across::Iptables)),
            ["guest.kernel.initramfs", "tool.iptables-legacy-restore"]
        );
        assert_eq!(allowed(Some(Across::Tool)), ["guest.kernel.initramfs", "vipbench.sha256"]);
        assert_eq!(allowed(Some(Across::Injection)), ["scenario.inject.rules_per_chain"]);
        assert!(is_meant("guest.6.1.0-56.source", None));
    }
}
