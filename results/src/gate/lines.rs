//! The lines of a comparison: which numbers are judged, as a change of what, and how.

use super::line::{Judged, Line};
use super::result::Options;
use super::verdict::Across;
use super::{exact, wall};
use crate::compare::{Comparison, Effect};
use crate::metrics;
use crate::record::Clock;

/// Whether `none` is a floor of a metric, and that floor is judged.
pub(super) fn has_floor(metric: &str) -> bool {
    metrics::kind(metric).is_some_and(|kind| kind.is_of_a_connection() && kind.allowed.is_some())
}

/// Lines of the control, as far as it is a floor, or else those of the proxies: what has a
/// threshold, what is compared exactly first.
pub(super) fn judged(comparison: &Comparison, options: &Options, of_control: bool) -> Vec<Line> {
    let wanted = |effect: &&Effect| {
        effect.is_control() == of_control && (!of_control || has_floor(&effect.subject.metric))
    };
    let line = |effect: &Effect| {
        let threshold = options.thresholds.of(effect, options.across.is_none())?;
        Some(Line::of(effect, judged_as(effect, options.across), threshold))
    };
    let mut lines: Vec<Line> = comparison.effects.iter().filter(wanted).filter_map(line).collect();
    lines.sort_by_key(Line::is_tested);
    let tested_from = lines.partition_point(|line| !line.is_tested());
    let (exactly, tested) = lines.split_at_mut(tested_from);
    exactly.iter_mut().for_each(exact::judge);
    wall::judge(tested, options.seed);
    lines
}

fn judged_as(effect: &Effect, across: Option<Across>) -> Judged {
    let has_floor = effect.net.is_some() && has_floor(&effect.subject.metric);
    match effect.subject.clock {
        _ if !has_floor => Judged::Gross,
        _ if across.is_some_and(Across::moves_floor) => Judged::Net,
        Clock::Wall => Judged::Relative,
        Clock::Instructions => Judged::Gross,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Side, compare};
    use crate::gate::Evidence;
    use crate::gate::thresholds::{Thresholds, is_count};
    use crate::record::Unit;

    #[test]
    fn counts_are_exact_on_the_wall_clock_too() {
        let runs = [crate::fixture::wall()];
        let (base, new) = Side::two(&runs, Some(&runs), None, None).unwrap();
        let comparison = compare(&base, &new).unwrap();
        let all = comparison.effects.iter().filter(|effect| is_count(effect));
        let options = Options { across: None, thresholds: Thresholds::default(), seed: 1 };
        let lines = judged(&comparison, &options, false);
        let (exact, tested): (Vec<&Line>, Vec<&Line>) =
            lines.iter().partition(|line| line.evidence == Evidence::Exact);
        assert!(!exact.is_empty() && !tested.is_empty() && all.count() >= exact.len());
        assert!(tested.iter().all(|line| line.subject.unit == Unit::Ns));
    }
}
