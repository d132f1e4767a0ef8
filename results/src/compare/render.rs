//! A comparison for people: sentences and tables. JSON is the comparison itself.

use std::collections::BTreeSet;

use super::brief;
use super::comparison::{Comparison, Difference, Effect, Statistic, Unmatched};
use super::sentences::{NO_RATIO, in_percent, sentences, signed, warning};
use crate::document::{Block, Detail, Document};
use crate::format::{self, thousands};
use crate::record::Unit;
use crate::tables::{Columns, Table, grouped};

/// Most effects of the control, and of the proxies, that are shown unless all are wanted.
const TOP: [usize; 2] = [8, 20];
/// Longest value of a fact, characters.
const VALUE_MAX: usize = 60;

/// The page.
pub fn document(comparison: &Comparison, detail: Detail) -> Document {
    let title = format!("{} against {}", comparison.new.in_words(), comparison.base.in_words());
    let mut document = Document::new(title, "");
    document.blocks = vec![
        Block::Lead(brief::finding(comparison)),
        Block::List(warning(comparison).into_iter().collect()),
    ];
    let one = |effect: &Effect| in_percent(&effect.gross);
    let note = "At the largest number of Services on both sides, which stands in brackets. A dash: not on both sides.";
    let main = brief::main(comparison);
    let lines = brief::by_proxy(main.into_iter(), |effect| &effect.subject, one, note);
    document.blocks.extend(lines.map(Block::from));
    document.blocks.extend(explained(comparison));
    let (control, others) = sentences(comparison);
    document.blocks.push(Block::List(vec![control]));
    let mut rest = vec![Block::List(others)];
    rest.extend(tables(comparison, detail).into_iter().flatten().map(Block::from));
    document.blocks.push(Block::InFull(rest));
    let left = format!("--full shows the rest: {}, and how sure they are.", numbers(comparison));
    document.blocks.push(Block::InBrief(vec![Block::Text(left)]));
    document
}

/// The command that explains the worst of it.
fn explained(comparison: &Comparison) -> Vec<Block> {
    let Some(worst) = brief::worst(comparison) else { return Vec::new() };
    let command = brief::explain(&worst.subject, &worst.base_cell, &worst.new_cell);
    let told =
        |command| vec![Block::Text("Where that comes from:".to_owned()), Block::Code(command)];
    command.map(told).unwrap_or_default()
}

/// `298 numbers`, and what could not be compared.
fn numbers(Comparison { effects, unmatched, .. }: &Comparison) -> String {
    let numbers = format::counted(effects.len() as u64, "number");
    match unmatched.len() as u64 {
        0 => numbers,
        count => {
            format!("{numbers}, {} that could not be compared", format::counted(count, "cell"))
        }
    }
}

/// The tables in their order.
fn tables(comparison: &Comparison, detail: Detail) -> [Option<Table>; 4] {
    let all = detail == Detail::All;
    let shown = |effect: &&Effect| {
        let main = effect.is_timing() && effect.subject.statistic != Statistic::P99;
        all || main && !effect.gross.is_equal()
    };
    let (controls, proxies): (Vec<&Effect>, Vec<&Effect>) =
        comparison.effects.iter().filter(shown).partition(|effect| effect.is_control());
    let kernels = several(comparison.effects.iter().map(|effect| &effect.subject.base_kernel));
    let most = TOP.map(|top| if all { usize::MAX } else { top });
    let mut surroundings = differences("What else differs", &comparison.surroundings);
    for value in surroundings.rows.iter_mut().flatten() {
        *value = format::shortened(std::mem::take(value), VALUE_MAX);
    }
    [
        surroundings.unless_empty(),
        effects("Control: without a proxy", &controls, most[0], kernels),
        effects("Proxies, largest effect first", &proxies, most[1], kernels),
        unmatched(&comparison.unmatched),
    ]
}

/// Whether not all names are the same, so that each row must have its own.
pub(crate) fn several<'n>(names: impl IntoIterator<Item = &'n String>) -> bool {
    names.into_iter().collect::<BTreeSet<_>>().len() > 1
}

/// Facts and their values on both sides.
pub(crate) fn differences(title: &str, all: &[Difference]) -> Table {
    Columns::of(all)
        .text("fact", |one| one.fact.clone())
        .text("base", |one| one.base.clone())
        .text("new", |one| one.new.clone())
        .titled(title, "")
}

fn effects(title: &str, effects: &[&Effect], most: usize, kernels: bool) -> Option<Table> {
    let of_unit = |effect: &Effect, value| format::compact(effect.subject.unit, value);
    let mut columns = Columns::of(effects.iter().take(most))
        .number("change", |effect| in_percent(&effect.gross))
        .number("net of none", |effect| effect.net.as_ref().map_or(String::new(), in_percent))
        .text("proxy", |effect| effect.subject.proxy.clone())
        .number("Services", |effect| thousands(effect.subject.services))
        .text("what", |effect| what(effect))
        .number("base", |effect| of_unit(effect, effect.gross.base.median))
        .number("new", |effect| of_unit(effect, effect.gross.new.median))
        .number("difference", |one| signed(one.subject.unit, one.gross.difference.median))
        .text("unit", |effect| match effect.subject.unit {
            unit @ (Unit::Instructions | Unit::Count) => unit.to_string(),
            Unit::Ns | Unit::Bytes => String::new(),
        });
    if kernels {
        columns = columns.text("kernel", |effect| effect.subject.base_kernel.clone());
    }
    let mut table = columns.titled(title, "");
    if effects.len() > most {
        let left = thousands((effects.len() - most) as u64);
        table.add_note(&format!(
            "{left} smaller effects are left out; --full shows every number, p99 and counts too."
        ));
    }
    if table.rows.iter().any(|row| row[..2].iter().any(|cell| cell == NO_RATIO)) {
        table.add_note(&format!(
            "{NO_RATIO}: no ratio, because a side is 0 or the proxy adds under 1% to the control."
        ));
    }
    table.unless_empty()
}

/// `connect last p50`.
fn what(Effect { subject, .. }: &Effect) -> String {
    let statistic = match subject.statistic {
        Statistic::Value => "",
        Statistic::P50 => " p50",
        Statistic::P99 => " p99",
    };
    let (label, path) = (format::position(&subject.label), subject.path.in_title());
    format!("{} {label}{statistic}{path}", subject.metric)
}

/// What could not be compared: same proxy, measure and reason on one line.
pub(crate) fn unmatched<'u>(all: impl IntoIterator<Item = &'u Unmatched>) -> Option<Table> {
    let line = |one: &Unmatched| {
        let metric = one.metric.as_ref().map_or(String::new(), |metric| format!(": {metric}"));
        let what = format!("{}{}{metric}", one.measure, one.path.in_title());
        let side = one.missing_in.to_string();
        ([one.kernel.clone(), one.proxy.clone(), what, side, one.reason.clone()], one.services)
    };
    let heads = ["kernel", "proxy", "measure", "without numbers", "count"];
    grouped("Not compared", heads, all.into_iter().map(line))
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
        let run = [fixture::kernels()];
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
        let finding = text.find("iptables-nft got 27% dearer from 6.1 to 7.2: a new").unwrap();
        let line = text.find("**A line a proxy**").unwrap();
        assert!(finding < line && line < text.find("**Control: without a proxy**").unwrap());
        assert!(text.contains("unsupported: the kernel has no ip_tables"), "{text}");
    }

    #[test]
    fn a_differing_surrounding_comes_before_everything() {
        let mut other = fixture::stored();
        other.record.tool_version = "9.9".into();
        let (base, new) = Side::two(&[fixture::stored()], Some(&[other]), None, None).unwrap();
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
