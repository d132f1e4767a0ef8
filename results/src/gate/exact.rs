//! Lines on the instructions clock, and counts on either clock: equal seeds are compared exactly,
//! and the worst decides.

use super::line::{plain_share, share};
use super::{Line, Verdict};
use crate::stats::Spread;

/// Judges one line.
pub(super) fn judge(line: &mut Line) {
    let Some(spread) = line.spread() else {
        return from_nothing(line);
    };
    let Spread { min, max, .. } = spread;
    let threshold = plain_share(line.threshold);
    line.effect = Some(if max > 0.0 { max } else { min });
    if max > line.threshold {
        line.verdict = Verdict::Regression;
        line.reason = format!("{} is beyond the threshold of {threshold}", share(max));
    } else if max < 0.0 && min < -line.threshold {
        line.improvement = true;
        line.reason = format!("{} is an improvement in every seed", share(min));
    } else if line.is_equal() {
        line.reason = "equal to the digit".into();
    } else {
        line.reason = format!("within the threshold of {threshold}");
    }
}

/// A base of 0 has no share: anything more is more.
fn from_nothing(line: &mut Line) {
    if line.seeds.is_empty() {
        line.verdict = Verdict::Invalid;
        line.reason = "no seed has a control without a proxy (none)".into();
    } else if line.seeds.iter().any(|seed| seed.effect.is_none() && seed.new > seed.base) {
        line.verdict = Verdict::Regression;
        line.reason = "the base is 0, and now it is more".into();
    } else if line.is_equal() {
        line.reason = "equal to the digit".into();
    } else {
        line.reason = "not more than before".into();
    }
}
