//! Phrases that findings share.

use crate::format::{self, counted, list};
use crate::record::Unit;
use crate::stats::Spread;

/// Sentences as one text, each `BEGINNING a, b and c.`; one without items is not said.
pub(super) fn said(sentences: impl IntoIterator<Item = (String, Vec<String>)>) -> Option<String> {
    let told = sentences.into_iter().filter(|(_, items)| !items.is_empty());
    let told: Vec<String> =
        told.map(|(beginning, items)| format!("{beginning} {}.", list(&items))).collect();
    (!told.is_empty()).then(|| told.join(" "))
}

/// `10,000 Services`.
pub(crate) fn services(count: u64) -> String {
    counted(count, "Service")
}

/// `X with ipvs, Y with iptables-legacy and Z with iptables-nft`, smallest first.
pub(super) fn ranked(unit: Unit, mut values: Vec<(&str, Spread)>) -> String {
    values.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
    let phrase = |(at, (proxy, spread)): (usize, &(&str, Spread))| {
        let say = if at == 0 { format::quantity } else { format::quantity_again };
        format!("{} with {proxy}", say(unit, spread.median))
    };
    list(&values.iter().enumerate().map(phrase).collect::<Vec<_>>())
}

/// `2.4 times`, `1,200 times`.
pub(super) fn times(ratio: f64) -> String {
    if ratio < 9.95 {
        format!("{} times", format::fixed(ratio, 1))
    } else {
        format!("{} times", two_digits(ratio))
    }
}

/// A whole number no more exact than it is: an interpolated size, a large ratio.
pub(super) fn two_digits(value: f64) -> String {
    let unit = 10_f64.powf((value.max(1.0).log10().floor() - 1.0).max(0.0));
    format::fixed((value / unit).round() * unit, 0)
}

/// The position of a Service in words: `the last of them`, `the one at 50% of their order`.
pub(crate) fn of_position(position: &str) -> String {
    match position {
        "first" | "last" => format!("the {position} of them"),
        "random" => "a random one of them".to_owned(),
        other => format!("the one at {} of their order", format::position(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_read_as_people_say_them() {
        assert_eq!([2.37, 12.6, 1234.0].map(times), ["2.4 times", "13 times", "1,200 times"]);
    }
}
