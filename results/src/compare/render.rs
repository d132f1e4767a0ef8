//! A comparison for people: sentences and tables. JSON is the comparison itself.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{NO_RATIO, in_percent, sentences, signed, warnings};
use super::{Comparison, Effect, MissingIn, Statistic, Unmatched};
use crate::document::{Block, Document};
use crate::format::{self, thousands};
use crate::record::Unit;
use crate::tables::{Table, number, text};

/// Most effects of the control, and of the proxies, that are shown unless all are wanted.
const TOP: (usize, usize) = (8, 20);

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The largest effects on the medians of timings.
    Top,
    /// Every number.
    All,
}

/// The page.
pub fn document(comparison: &Comparison, detail: Detail) -> Document {
    let title = format!("{} against {}", comparison.new.in_words(), comparison.base.in_words());
    let mut document = Document::new(title, "");
    document.blocks = vec![
        Block::List(warnings(comparison).into_iter().collect()),
        Block::List(sentences(comparison)),
    ];
    let tables = tables(comparison, detail).into_iter();
    document.blocks.extend(tables.map(Block::from));
    document
}

/// The tables in their order.
fn tables(comparison: &Comparison, detail: Detail) -> Vec<Table> {
    let shown = |effect: &&Effect| {
        let main = effect.is_timing() && effect.statistic != Statistic::P99;
        detail == Detail::All || main && !effect.gross.is_equal()
    };
    let (controls, proxies): (Vec<&Effect>, Vec<&Effect>) =
        comparison.effects.iter().filter(shown).partition(|effect| effect.is_control());
    let kernels = kernels_differ_by_row(&comparison.effects);
    [
        surroundings(comparison),
        effects("Control: without a proxy", &controls, (detail, TOP.0), kernels),
        effects("Proxies, largest effect first", &proxies, (detail, TOP.1), kernels),
        unmatched(&comparison.unmatched),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether rows are of several kernels, so that each must name its own.
fn kernels_differ_by_row(effects: &[Effect]) -> bool {
    let kernels: BTreeSet<&str> =
        effects.iter().map(|effect| effect.base_kernel.as_str()).collect();
    kernels.len() > 1
}

fn surroundings(comparison: &Comparison) -> Option<Table> {
    let columns = vec![text("fact"), text("base"), text("new")];
    let mut table = Table::new("What else differs", "", columns);
    for difference in &comparison.surroundings {
        let row = [&difference.fact, &difference.base, &difference.new];
        table.rows.push(row.map(|value| shortened(value)).to_vec());
    }
    table.unless_empty()
}

/// A checksum or another long text, short enough for a column.
fn shortened(value: &str) -> String {
    const MOST: usize = 60;
    if value.chars().count() <= MOST {
        return value.to_owned();
    }
    value.chars().take(MOST).chain("...".chars()).collect()
}

fn effects(
    title: &str,
    effects: &[&Effect],
    (detail, top): (Detail, usize),
    kernels: bool,
) -> Option<Table> {
    let mut columns = vec![
        number("change"),
        number("net of none"),
        text("proxy"),
        number("Services"),
        text("what"),
        number("base"),
        number("new"),
        number("difference"),
        text("unit"),
    ];
    if kernels {
        columns.push(text("kernel"));
    }
    let most = if detail == Detail::All { effects.len() } else { top };
    let mut table = Table::new(title, "", columns);
    for effect in effects.iter().take(most) {
        let mut row = row(effect);
        if kernels {
            row.push(effect.base_kernel.clone());
        }
        table.rows.push(row);
    }
    let mut notes = Vec::new();
    if effects.len() > most {
        notes.push(format!(
            "{} smaller effects are left out; --all shows every number, p99 and counts too.",
            thousands((effects.len() - most) as u64)
        ));
    }
    if table.rows.iter().any(|row| row.iter().take(2).any(|cell| cell == NO_RATIO)) {
        notes.push(format!(
            "{NO_RATIO}: no ratio, because a side is 0 or the proxy adds under 1% to the control."
        ));
    }
    table.note = notes.join(" ");
    table.unless_empty()
}

fn row(effect: &Effect) -> Vec<String> {
    let subject = &effect.subject;
    let gross = &effect.gross;
    let show = |value: f64| format::compact(subject.unit, value);
    let statistic = match effect.statistic {
        Statistic::Value => String::new(),
        other => format!(" {}", other.as_str()),
    };
    vec![
        in_percent(gross),
        effect.net.as_ref().map_or(String::new(), in_percent),
        subject.proxy.clone(),
        thousands(subject.services),
        format!("{} {}{statistic}", subject.metric, format::position(&subject.label)),
        show(gross.base.median),
        show(gross.new.median),
        signed(subject.unit, gross.difference.median),
        match subject.unit {
            Unit::Instructions | Unit::Count => subject.unit.as_str().to_owned(),
            Unit::Ns | Unit::Bytes => String::new(),
        },
    ]
}

/// What could not be compared: same proxy, measure and reason on one line.
pub(crate) fn unmatched(all: &[Unmatched]) -> Option<Table> {
    let columns = ["kernel", "proxy", "measure", "without numbers"].into_iter().map(text);
    let columns = columns.chain([number("Services"), number("count"), text("reason")]).collect();
    let mut lines: BTreeMap<[String; 5], (BTreeSet<u64>, u64)> = BTreeMap::new();
    for one in all {
        let side = match one.missing_in {
            MissingIn::Base => "base",
            MissingIn::New => "new",
            MissingIn::Both => "both",
        };
        let what = one
            .metric
            .as_ref()
            .map_or(one.measure.clone(), |metric| format!("{}: {metric}", one.measure));
        let key =
            [one.kernel.clone(), one.proxy.clone(), what, side.to_owned(), one.reason.clone()];
        let (sizes, count) = lines.entry(key).or_default();
        sizes.insert(one.services);
        *count += 1;
    }
    let mut table = Table::new("Not compared", "", columns);
    for ([kernel, proxy, what, side, reason], (sizes, count)) in lines {
        let sizes: Vec<String> = sizes.into_iter().map(thousands).collect();
        table.rows.push(vec![kernel, proxy, what, side, sizes.join(" "), thousands(count), reason]);
    }
    table.cut().unless_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Side, compare};
    use crate::{fixture, print};

    fn terminal_text(comparison: &Comparison, detail: Detail, width: Option<u16>) -> String {
        print::terminal(&document(comparison, detail), width)
    }

    fn markdown_text(comparison: &Comparison, detail: Detail) -> String {
        print::markdown(&document(comparison, detail))
    }

    fn across(base: &str, new: &str) -> Comparison {
        let run = fixture::kernels();
        let (base, new) = Side::two(&run, None, Some(base), Some(new)).unwrap();
        compare(&base, &new).unwrap()
    }

    #[test]
    fn a_comparison_reads_as_expected() {
        insta::assert_snapshot!(terminal_text(&across("6.1", "7.2"), Detail::Top, None));
    }

    #[test]
    fn everything_is_shown_when_it_is_wanted() {
        let comparison = across("6.1", "6.12");
        let text = terminal_text(&comparison, Detail::All, None);
        let lines = text.lines().filter(|line| {
            line.contains("iptables") || line.contains("ipvs") || line.contains("none ")
        });
        assert!(lines.count() >= comparison.effects.len());
        assert!(text.contains("p99") && text.contains("harness.clock"), "{text}");
    }

    #[test]
    fn markdown_holds_the_same() {
        let text = markdown_text(&across("6.1", "7.2"), Detail::Top);
        assert!(text.starts_with("# kernel 7.2.0-amd64 of runs/example against kernel 6.1.0"));
        let control = text.find("**Control: without a proxy**").unwrap();
        assert!(control < text.find("**Proxies, largest effect first**").unwrap());
        assert!(text.contains("unsupported: the kernel has no ip_tables"), "{text}");
    }

    #[test]
    fn a_differing_surrounding_comes_before_everything() {
        let mut other = fixture::stored();
        other.record.tool_version = "9.9".into();
        let (base, new) = Side::two(&fixture::stored(), Some(&other), None, None).unwrap();
        let comparison = compare(&base, &new).unwrap();
        for text in [
            terminal_text(&comparison, Detail::Top, Some(80)),
            markdown_text(&comparison, Detail::Top),
        ] {
            let warning = text.find("WARNING: more differs").unwrap();
            assert!(warning < text.find("Control").unwrap(), "{text}");
            assert!(text.contains("vipbench.version") && text.contains("9.9"), "{text}");
        }
    }
}
