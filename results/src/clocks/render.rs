//! Both clocks as a page: the scatter and tables.

use super::{Agreement, Clocks, Pair, plot};
use crate::document::{Block, Document};
use crate::format::{fixed, list, position, quantity, thousands, three_digits};
use crate::plots::PlotError;
use crate::record::Unit;
use crate::tables::{Table, number, text as column};

/// Timings listed as farthest from their metric's usual rate.
const FARTHEST: usize = 12;

/// The page, that `command` makes again.
///
/// # Errors
/// [`PlotError`].
pub fn document(clocks: &Clocks, command: &str) -> Result<Document, PlotError> {
    let mut document = Document::new("Time against instructions", "");
    document.plots_in = "";
    let tables = [Some(agreements(clocks)), orders(clocks).unless_empty(), Some(farthest(clocks))];
    document.blocks = vec![
        Block::OnPage(vec![Block::Text(format!("Made by `{command}`; do not edit."))]),
        Block::Text(head(clocks)),
        Block::OnPage(vec![Block::Plots(vec![plot::draw(clocks)?])]),
    ];
    document.blocks.extend(tables.into_iter().flatten().map(Block::from));
    Ok(document)
}

fn head(clocks: &Clocks) -> String {
    format!(
        "{} timings were measured on both clocks: nanoseconds on kernel {}, instructions on kernel {}. Kernels, compilers and \
         settings differ, so a rate is of these two together.",
        thousands(clocks.pairs.len() as u64),
        clocks.wall,
        clocks.instructions
    )
}

fn agreements(clocks: &Clocks) -> Table {
    let heads = [
        "timings",
        "ns/1,000 instr.: least",
        "median",
        "most",
        "exponent",
        "R2",
        "same order",
        "opposite",
    ];
    let columns = std::iter::once(column("metric")).chain(heads.into_iter().map(number)).collect();
    let note = "Exponent 1: time follows instructions. Order: of two proxies at one size and position, where both clocks tell them \
                apart by 5 % or more.";
    let mut table = Table::new("How the clocks go together", note, columns);
    for one in &clocks.agreements {
        let optional = |value: Option<f64>| value.map(|value| fixed(value, 3)).unwrap_or_default();
        let mut row = vec![one.metric.clone(), thousands(one.pairs as u64)];
        row.extend(one.ns_per_1000.map(three_digits));
        row.extend([optional(one.exponent), optional(one.r2)]);
        row.extend([one.same_order, one.opposite_order.len()].map(|count| thousands(count as u64)));
        table.rows.push(row);
    }
    table
}

fn orders(clocks: &Clocks) -> Table {
    let columns =
        vec![column("metric"), column("where instructions put two proxies in the wrong order")];
    let mut table = Table::new("Instructions against time, opposite orders", "", columns);
    for Agreement { metric, opposite_order, .. } in &clocks.agreements {
        table.rows.extend(opposite_order.iter().map(|words| vec![metric.clone(), words.clone()]));
    }
    table.cut()
}

/// The timings whose rate is farthest from the median of their metric.
fn farthest(clocks: &Clocks) -> Table {
    let mut pairs: Vec<(&Pair, f64)> = Vec::new();
    for pair in &clocks.pairs {
        let usual = clocks.agreements.iter().find(|one| one.metric == pair.metric);
        pairs.extend(usual.map(|usual| (pair, pair.ns_per_1000() / usual.ns_per_1000[1])));
    }
    pairs.sort_by(|a, b| b.1.ln().abs().total_cmp(&a.1.ln().abs()));
    let heads = ["Services", "instructions", "time", "time over the usual"];
    let columns = ["metric", "label", "proxy"].into_iter().map(column);
    let columns = columns.chain(heads.into_iter().map(number)).collect();
    let note =
        "Time over what the metric's median rate would give: above 1, instructions are too kind.";
    let mut table = Table::new("Where instructions mislead most", note, columns);
    for (pair, factor) in pairs.into_iter().take(FARTHEST) {
        table.rows.push(vec![
            pair.metric.clone(),
            position(&pair.label),
            pair.proxy.clone(),
            thousands(pair.services),
            fixed(pair.instructions, 0),
            quantity(Unit::Ns, pair.wall_ns),
            format!("{}x", fixed(factor, 2)),
        ]);
    }
    table
}

/// `none takes 100 instructions and 50 ns, ipvs 200 and 40 (last of 100 Services)`.
pub(super) fn opposite(a: &Pair, b: &Pair) -> String {
    let side = |pair: &Pair| {
        let (count, time) = (fixed(pair.instructions, 0), quantity(Unit::Ns, pair.wall_ns));
        format!("{} takes {count} instructions and {time}", pair.proxy)
    };
    let place = format!("{}, {} Services", position(&a.label), thousands(a.services));
    format!("{} ({place})", list(&[side(a), side(b)]))
}
