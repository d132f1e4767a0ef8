//! Lines on the instructions clock, and counts on either clock: equal seeds are compared exactly,
//! and the worst decides.

use super::line::{Line, plain_share, share};
use super::verdict::Verdict;

/// Judges one line. A base of 0 has no share: anything more is more.
pub(super) fn judge(line: &mut Line) {
    let spread = line.spread();
    let threshold = line.threshold;
    let declared = plain_share(threshold);
    line.effect = spread.map(|spread| if spread.max > 0.0 { spread.max } else { spread.min });
    let grew_from_0 = line.seeds.iter().any(|seed| seed.effect.is_none() && seed.new > seed.base);
    match spread {
        _ if line.seeds.is_empty() => {
            line.say(Verdict::Invalid, "no seed has a control without a proxy (none)");
        }
        None if grew_from_0 => line.say(Verdict::Regression, "the base is 0, and now it is more"),
        Some(spread) if spread.max > threshold => {
            let reason = format!("{} is beyond the threshold of {declared}", share(spread.max));
            line.say(Verdict::Regression, reason);
        }
        Some(spread) if spread.max < 0.0 && spread.min < -threshold => {
            line.say_better(format!("{} is an improvement in every seed", share(spread.min)));
        }
        _ if line.is_equal() => line.say(Verdict::Pass, "exactly equal"),
        Some(_) => line.say(Verdict::Pass, format!("within the threshold of {declared}")),
        None => line.say(Verdict::Pass, "not more than before"),
    }
}
