//! What a run says, in sentences computed from its numbers.
//!
//! A sentence appears only when the numbers behind it are there, and an order is claimed only where
//! the spreads over the seeds do not touch. Nothing here is compared across clocks or places.

mod connect;
mod controls;
mod layout;
mod phrases;
mod sync;

pub(crate) use connect::{Connections, contradicted};
pub(crate) use phrases::{of_position, services};

use crate::record::Clock;
use crate::view::{Group, View};

/// What is found about one group of comparable cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    /// What the numbers have in common: kernel, place, clock.
    pub title: String,
    /// The one sentence to remember, when there is one.
    pub headline: Option<String>,
    /// The others, most important first: a few words that name the subject, and sentences.
    pub items: Vec<(String, String)>,
}

/// Findings of every group, in the order of the view.
pub(crate) fn of_groups(view: &View<'_>) -> Vec<Findings> {
    view.groups.iter().map(of_group).collect()
}

/// What can be said about several kernels together.
pub(crate) fn across_groups(view: &View<'_>) -> Vec<String> {
    view.families().filter_map(controls::floor_across_kernels).collect()
}

fn of_group(group: &Group<'_>) -> Findings {
    let order = match group.key.clock {
        Clock::Wall => "Fastest",
        Clock::Instructions => "Fewest instructions",
    };
    let items = [
        ("One more Service", connect::cost_of_one_more(group)),
        (order, connect::order(group)),
        ("Position", connect::position(group)),
        ("Slowest", connect::slowest(group)),
        ("Full sync", sync::full(group)),
        ("One endpoint replaced", sync::incremental(group)),
        ("Local VIPs", sync::vip_bind(group)),
        ("Layout of VIPs", layout::vip_layout(group)),
        ("Control, open connection", controls::keepalive(group)),
        ("Control, no proxy", controls::floor_across_sizes(group)),
        ("Seeds", controls::seeds(group)),
        ("Missing", controls::gaps(group)),
    ];
    let items = items.into_iter().filter_map(|(topic, text)| Some((topic.to_owned(), text?)));
    Findings {
        title: group.key.title(),
        headline: connect::headline(group),
        items: items.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::metrics::CONNECT;
    use crate::record::{Labels, Outcome, Place};
    use crate::{CellRecord, Run};
    use std::fmt::Write as _;

    fn text(runs: &[Run]) -> String {
        let view = View::new(runs).unwrap();
        let mut text = String::new();
        for findings in of_groups(&view) {
            let _ = writeln!(text, "# {}", findings.title);
            if let Some(headline) = &findings.headline {
                let _ = writeln!(text, "{headline}");
            }
            for (topic, sentences) in findings.items {
                let _ = writeln!(text, "- {topic}: {sentences}");
            }
        }
        for sentence in across_groups(&view) {
            let _ = writeln!(text, "= {sentence}");
        }
        text
    }

    /// A run of exact numbers: (proxy, size, seed, cost of a connection to the last Service).
    fn exact(points: &[(&str, u64, u64, u64)]) -> Run {
        let mut run = fixture::wall();
        run.cells.clear();
        for &(proxy, services, seed, cost) in points {
            let labels = Labels {
                kernel: "6.1".into(),
                place: Place::Guest,
                clock: Clock::Instructions,
                proxy: proxy.into(),
                services,
                endpoints: services,
                seed,
                measure: "connect".into(),
                path: crate::Path::default(),
            };
            let mut cell = CellRecord::new(labels, Outcome::Measured);
            cell.metrics = vec![CONNECT.of("last", Clock::Instructions, vec![cost])];
            run.cells.push(cell);
        }
        run
    }

    #[test]
    fn a_proxy_that_answers_by_itself_is_no_rival() {
        let text = text(&[exact(&[
            ("none", 100, 1, 44_000),
            ("none", 1_000, 1, 44_000),
            ("userspace", 100, 1, 35_000),
            ("userspace", 1_000, 1, 35_000),
            ("ipvs", 100, 1, 70_000),
            ("ipvs", 1_000, 1, 70_000),
        ])]);
        let costs = "takes 70,000 instructions with ipvs (p50). Dialling the endpoint itself, without any proxy, takes 44,000 instructions. \
                     Fewer take those that answer a connection themselves, before an Endpoint has it: 35,000 instructions with userspace.";
        assert!(text.contains(costs), "{text}");
        assert!(!text.contains("Fewest instructions: "), "one proxy is first of nobody: {text}");
    }

    #[test]
    fn a_whole_run_reads_as_expected() {
        insta::assert_snapshot!(text(&[fixture::stored()]));
    }

    #[test]
    fn one_size_one_seed_and_the_wall_clock_read_as_expected() {
        insta::assert_snapshot!(text(&[fixture::wall()]));
    }

    #[test]
    fn several_kernels_are_told_apart_and_their_floor_compared() {
        insta::assert_snapshot!(text(&[fixture::other_kernel(), fixture::stored()]));
    }

    #[test]
    fn a_run_without_any_number_says_nothing_but_what_is_missing() {
        let mut run = fixture::wall();
        for cell in &mut run.cells {
            cell.outcome = Outcome::Unsupported { reason: "no iptables".into() };
            cell.metrics.clear();
        }
        let text = text(&[run]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("could not"), "{text}");
    }

    #[test]
    fn a_crossing_is_interpolated_between_measured_sizes() {
        let run = exact(&[
            ("ipvs", 10, 1, 1000),
            ("ipvs", 1000, 1, 1000),
            ("iptables-legacy", 10, 1, 900),
            ("iptables-legacy", 1000, 1, 1890),
        ]);
        let text = text(&[run]);
        assert!(text.contains("iptables-legacy and ipvs cross at about 110 Services"), "{text}");
    }

    #[test]
    fn overlapping_seeds_are_a_tie_and_no_crossing() {
        let run = exact(&[
            ("ipvs", 10, 1, 1000),
            ("ipvs", 10, 2, 1100),
            ("iptables-legacy", 10, 1, 1050),
            ("iptables-legacy", 10, 2, 1060),
        ]);
        let text = text(&[run]);
        assert!(text.contains("cannot be told apart"), "{text}");
        assert!(!text.contains("fewest"), "{text}");
    }

    #[test]
    fn no_slope_is_claimed_where_no_line_fits() {
        let run = exact(&[
            ("ipvs", 10, 1, 1000),
            ("ipvs", 100, 1, 1300),
            ("ipvs", 1000, 1, 900),
            ("ipvs", 10_000, 1, 1100),
        ]);
        let text = text(&[run]);
        assert!(text.contains("does not follow a line"), "{text}");
        assert!(!text.contains("adds to a connection"), "{text}");
    }

    #[test]
    fn a_proxy_without_a_figure_is_named_in_the_headline() {
        let mut run = exact(&[("ipvs", 10, 1, 1000), ("iptables-nft", 10, 1, 1000)]);
        let cell = &mut run.cells[1];
        cell.outcome = Outcome::Censored { limit_s: 600, clock: Clock::Wall };
        cell.metrics.clear();
        let text = text(&[run]);
        assert!(text.contains("Without a figure at this size: iptables-nft (censored)."), "{text}");
    }
}
