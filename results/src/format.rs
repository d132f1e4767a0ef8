//! Numbers, units and untrusted text as people read them: tables, sentences, axes.
//!
//! Stored values stay whole numbers; nothing here is read back.

use itertools::Itertools as _;

use crate::record::Unit;

/// Nanoseconds in a second, and instructions on the instructions clock.
pub(crate) const SECOND: f64 = 1e9;

/// One unit for a whole table or axis, so that its numbers can be compared at a glance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    divisor: f64,
    decimals: usize,
    name: &'static str,
}

/// Divisors and names, smallest first.
fn steps(unit: Unit) -> &'static [(f64, &'static str)] {
    match unit {
        Unit::Ns => &[(1.0, "ns"), (1e3, "µs"), (1e6, "ms"), (1e9, "s")],
        Unit::Instructions => {
            &[(1.0, "instructions"), (1e6, "million instructions"), (1e9, "billion instructions")]
        }
        Unit::Count => &[(1.0, "")],
        Unit::Bytes => &[(1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB")],
    }
}

impl Scale {
    /// The scale for a table that shows all of `values`: the largest stays readable, the smallest
    /// keeps two digits if three decimals can give them.
    pub fn of(unit: Unit, values: impl IntoIterator<Item = f64>) -> Self {
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for value in values {
            if value > 0.0 {
                min = min.min(value);
            }
            max = max.max(value);
        }
        let readable = if unit == Unit::Instructions { 1e8 } else { 1e5 };
        let all = steps(unit);
        let chosen = all.iter().find(|(divisor, _)| max / divisor < readable).or(all.last());
        let &(divisor, name) = chosen.unwrap_or(&(1.0, ""));
        let smallest = min / divisor;
        let decimals = match smallest {
            _ if divisor <= 1.0 => 0,
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        Self { divisor, decimals, name }
    }

    /// The unit's name, for the head of the table: `instructions`, `µs`, `million instructions`;
    /// empty for counts.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number alone, for a cell of the table.
    pub fn number(&self, value: f64) -> String {
        fixed(value / self.divisor, self.decimals)
    }
}

/// A whole number with a comma between groups of three: `1,526,034`.
pub fn thousands(value: u64) -> String {
    let mut text = value.to_string();
    for at in (1..text.len()).rev().skip(2).step_by(3) {
        text.insert(at, ',');
    }
    text
}

/// A number with `decimals` places and commas: `1,180.4`.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let whole = digits.parse::<u64>().map_or_else(|_| digits.to_owned(), thousands);
    format!("{sign}{whole}{fraction}")
}

/// A number with three significant digits, for prose: `0.0213`, `27.2`, `1,530`.
pub fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => return "0".to_owned(),
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => return format!("{value:.1e}"),
    };
    fixed(value, decimals)
}

/// A value with its unit, for prose: `59,101 instructions`, `1.18 billion instructions`, `23.5 µs`,
/// `40,001`.
pub fn quantity(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => fixed(value, 0),
        Unit::Instructions if value < 1e7 => format!("{} instructions", fixed(value, 0)),
        _ => {
            let (divisor, name) = step(steps(unit), value);
            let decimals_free = divisor <= 1.0 && value.fract() == 0.0;
            let number =
                if decimals_free { fixed(value, 0) } else { three_digits(value / divisor) };
            format!("{number} {name}")
        }
    }
}

/// [`quantity`] without the word `instructions`, for the second and later items of a list:
/// `330,363`, `1.42 billion`, `23.5 µs`.
pub fn quantity_again(unit: Unit, value: f64) -> String {
    let text = quantity(unit, value);
    text.strip_suffix(" instructions").map_or_else(|| text.clone(), str::to_owned)
}

/// A total at the end of a bar, three digits from a million up: `2.51 million`, `63,005`, `23.5
/// µs`.
pub fn compact(unit: Unit, value: f64) -> String {
    if unit == Unit::Instructions && (1e6..1e9).contains(&value) {
        return format!("{} million", three_digits(value / 1e6));
    }
    quantity_again(unit, value)
}

/// A label of an axis: `500`, `20k`, `1.5M`; with a unit's short name where it has one: `20 µs`.
pub fn axis(unit: Unit, value: f64) -> String {
    // A hair below a step, from a logarithm, still belongs to it.
    let (divisor, name) = short_step(unit, value * 1.000_001);
    let text = format!("{:.3}", value / divisor);
    format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A value in a narrow cell, three digits and a suffix: `59.1k`, `1.54M`, `23.5 µs`, `980`.
pub fn short(unit: Unit, value: f64) -> String {
    // What would be rounded to 1,000 belongs to the next step.
    let (divisor, name) = short_step(unit, value / 0.999_5);
    let number = if divisor <= 1.0 && value.fract() == 0.0 {
        fixed(value, 0)
    } else {
        three_digits(if divisor > 1.0 { (value / divisor).max(1.0) } else { value })
    };
    format!("{number}{name}")
}

/// Divisor and ending of the largest step that is not above `value`.
fn short_step(unit: Unit, value: f64) -> (f64, String) {
    let plain = [(1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
    let (table, space) = match unit {
        Unit::Ns | Unit::Bytes => (steps(unit), " "),
        Unit::Instructions | Unit::Count => (&plain[..], ""),
    };
    let (divisor, name) = step(table, value);
    (divisor, format!("{space}{name}"))
}

/// The largest step that is not above `value`, or else the first.
fn step(steps: &[(f64, &'static str)], value: f64) -> (f64, &'static str) {
    let scaled = steps.iter().rev().find(|(divisor, _)| value >= *divisor);
    scaled.or(steps.first()).copied().unwrap_or((1.0, ""))
}

/// A share as per cent, with one decimal below 10%: `0.4%`, `-12%`, `430%`, `under 0.1%`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value.abs() {
        0.0 => "0%".to_owned(),
        size if size < 0.05 => "under 0.1%".to_owned(),
        size => format!("{}%", fixed(value, usize::from(size < 9.95))),
    }
}

/// [`percent`] with its sign.
pub fn signed_percent(share: f64) -> String {
    let text = percent(share);
    let is_number = text.starts_with(|first: char| first.is_ascii_digit());
    if is_number && share > 0.0 { format!("+{text}") } else { text }
}

/// A stored position (`first`, `p25`, `last`) as it is shown: `p25` becomes `25%`, so that nobody
/// reads a percentile.
pub fn position(label: &str) -> String {
    let share = label.strip_prefix('p').filter(|rest| rest.parse::<u8>().is_ok());
    share.map_or_else(|| label.to_owned(), |share| format!("{share}%"))
}

/// `1 line`, `1,200 lines`.
pub fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", thousands(count))
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[impl AsRef<str>]) -> String {
    let mut items = items.iter().map(AsRef::as_ref);
    match (items.next_back(), items.join(", ")) {
        (None, _) => String::new(),
        (Some(one), head) if head.is_empty() => one.to_owned(),
        (Some(last), head) => format!("{head} and {last}"),
    }
}

/// Free text from a stored run on one line, without control characters that a terminal would obey.
pub fn plain(text: &str) -> String {
    let is_space = |symbol: char| symbol.is_control() || symbol.is_whitespace();
    text.split(is_space).filter(|word| !word.is_empty()).join(" ")
}

/// At most so many characters of a text, and dots where it goes on.
pub(crate) fn shortened(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.replace_range(end.., "...");
    }
    text
}

/// A command line as it can be pasted into a shell.
pub fn shell(words: &[String]) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%".contains(&byte);
    let quoted = |word: &String| match plain(word) {
        word if !word.is_empty() && word.bytes().all(safe) => word,
        word => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_groups_of_three() {
        assert_eq!(
            ["0", "999", "1,000", "1,526,034"],
            [0, 999, 1000, 1_526_034].map(thousands).each_ref().map(String::as_str)
        );
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(fixed(-1234.56, 1), "-1,234.6");
        assert_eq!(fixed(f64::INFINITY, 1), "inf");
    }

    #[test]
    fn prose_numbers_keep_three_digits() {
        assert_eq!(
            [0.0213, 27.24, 1526.4, 0.0].map(three_digits),
            ["0.0213", "27.2", "1,526", "0"]
        );
        assert_eq!(three_digits(0.000_123), "1.2e-4");
    }

    #[test]
    fn quantities_choose_a_unit_people_say() {
        assert_eq!(quantity(Unit::Instructions, 59_101.0), "59,101 instructions");
        assert_eq!(quantity(Unit::Instructions, 1.18e9), "1.18 billion instructions");
        assert_eq!(quantity(Unit::Ns, 812.0), "812 ns");
        assert_eq!(quantity(Unit::Ns, 23_512.0), "23.5 µs");
        assert_eq!(quantity(Unit::Ns, 0.25), "0.250 ns");
        assert_eq!(quantity(Unit::Bytes, 2_700_000.0), "2.70 MB");
        assert_eq!(quantity(Unit::Count, 40_001.0), "40,001");
        assert_eq!(quantity_again(Unit::Instructions, 1.18e9), "1.18 billion");
        assert_eq!(
            [2_514_183.0, 63_005.0].map(|value| compact(Unit::Instructions, value)),
            ["2.51 million", "63,005"]
        );
    }

    #[test]
    fn a_table_has_one_scale() {
        let scale = Scale::of(Unit::Ns, [50_000.0, 2.3e9]);
        assert_eq!(
            (scale.name(), scale.number(50_000.0), scale.number(2.3e9)),
            ("ms", "0.050".into(), "2,300.000".into())
        );
        let exact = Scale::of(Unit::Instructions, [50_464.0, 1_526_034.0]);
        assert_eq!((exact.name(), exact.number(1_526_034.0)), ("instructions", "1,526,034".into()));
        let large = Scale::of(Unit::Instructions, [2.5e6, 1.18e9]);
        assert_eq!(
            (large.name(), large.number(1.18e9)),
            ("million instructions", "1,180.00".into())
        );
        assert_eq!(Scale::of(Unit::Count, []).number(7.0), "7");
    }

    #[test]
    fn axis_labels_are_short() {
        assert_eq!(
            [500.0, 20_000.0, 1.5e6].map(|value| axis(Unit::Instructions, value)),
            ["500", "20k", "1.5M"]
        );
        assert_eq!([999.999_999_9, 2e4].map(|value| axis(Unit::Ns, value)), ["1 µs", "20 µs"]);
    }

    #[test]
    fn values_in_cells_keep_three_digits() {
        assert_eq!(
            [980.0, 59_101.0, 999_990.0, 1_538_823.0].map(|value| short(Unit::Instructions, value)),
            ["980", "59.1k", "1.00M", "1.54M"]
        );
        assert_eq!([23_500.0, 120.0].map(|value| short(Unit::Ns, value)), ["23.5 µs", "120 ns"]);
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!(
            [0.004, -0.12, 4.3, -0.000_1].map(signed_percent),
            ["+0.4%", "-12%", "+430%", "under 0.1%"]
        );
    }

    #[test]
    fn a_position_never_looks_like_a_percentile() {
        assert_eq!(
            ["first", "p25", "last", "pool"].map(position),
            ["first", "25%", "last", "pool"]
        );
    }

    #[test]
    fn text_from_outside_is_made_harmless() {
        assert_eq!(plain("a\u{1b}[31m\n\n b\t"), "a [31m b");
        assert_eq!(
            shell(&["vipbench".into(), "run".into(), "a b'c".into()]),
            "vipbench run 'a b'\\''c'"
        );
    }

    #[test]
    fn lists_read_as_sentences_do() {
        let items = ["a", "b", "c"].map(String::from);
        assert_eq!(
            [list(&items[..0]), list(&items[..1]), list(&items[..2]), list(&items)],
            ["", "a", "a and b", "a, b and c"]
        );
    }
}
