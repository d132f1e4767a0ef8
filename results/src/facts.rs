//! Facts of an environment, two records of them side by side: which differ, and which of these make
//! the numbers of two parts of one run (resuming, merging) unlike, where nothing is meant to
//! differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::Clock;

type Facts = BTreeMap<String, String>;

/// The load of the machine: never the same twice.
pub(crate) const LOAD: &str = "host.load";
/// What an instruction count depends on: the guest, the programs in it (this one included), the
/// emulator, an imported Cluster, and settings of the node.
const COUNTED: [&str; 5] = ["cluster.", GUEST, "node.", "tool.", "vipbench."];
/// Ends the key of where a kernel came from: the same kernel may come from several places.
pub(crate) const SOURCE: &str = ".source";
/// Begins the keys of guests; facts of one guest kernel are called `guest.RELEASE.` and so on.
pub(crate) const GUEST: &str = "guest.";
/// Begins the keys of the host: they reach a guest's wall clock, but not its count of instructions.
pub(crate) const HOST: &str = "host.";

/// Keys whose values differ, or that only one has.
pub(crate) fn differing<'a, V: PartialEq>(
    one: &'a BTreeMap<String, V>,
    other: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = &'a str> {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter().filter(|key| one.get(*key) != other.get(*key)).map(String::as_str)
}

/// The first key in which two parts of one run may not differ, and do. On the instructions clock
/// the machine does not matter; on the wall clock everything does.
pub(crate) fn first_unlike<'a>(one: &'a Facts, other: &'a Facts, clock: Clock) -> Option<&'a str> {
    differing(one, other).find(|key| {
        let counted = COUNTED.iter().any(|prefix| key.starts_with(prefix));
        !key.ends_with(SOURCE) && *key != LOAD && (counted || clock == Clock::Wall)
    })
}

/// A fact for an error message.
pub(crate) fn value(facts: &Facts, key: &str) -> String {
    facts.get(key).map_or("not recorded".to_owned(), |text| format!("{text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(changed: &str) -> Facts {
        let keys = ["guest.6.1.source", "guest.cpu_model", "host.cpu", "host.load", "tool.qemu"];
        let value = |key: &str| if key == changed { "b" } else { "a" };
        keys.iter().map(|key| ((*key).to_owned(), value(key).to_owned())).collect()
    }

    #[test]
    fn a_machine_matters_to_the_wall_clock_alone_and_a_tool_to_both() {
        let unlike =
            |changed, clock| first_unlike(&facts(""), &facts(changed), clock).map(str::to_owned);
        for clock in [Clock::Instructions, Clock::Wall] {
            assert_eq!(unlike("", clock), None);
            assert_eq!(unlike("host.load", clock), None);
            assert_eq!(unlike("guest.6.1.source", clock), None);
            assert_eq!(unlike("guest.cpu_model", clock).as_deref(), Some("guest.cpu_model"));
            assert_eq!(unlike("tool.qemu", clock).as_deref(), Some("tool.qemu"));
        }
        assert_eq!(unlike("host.cpu", Clock::Instructions), None);
        assert_eq!(unlike("host.cpu", Clock::Wall).as_deref(), Some("host.cpu"));
    }

    #[test]
    fn a_fact_that_only_one_has_differs() {
        let mut other = facts("");
        other.remove("tool.qemu");
        assert_eq!(first_unlike(&facts(""), &other, Clock::Instructions), Some("tool.qemu"));
        assert_eq!(value(&other, "tool.qemu"), "not recorded");
    }
}
