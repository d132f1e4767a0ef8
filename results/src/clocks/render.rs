//! Both clocks as a page: the scatter and tables.

use itertools::Itertools as _;

use super::agreement::{Agreement, Clocks};
use super::plot;
use crate::document::{Block, Document};
use crate::format::{fixed, position, quantity, thousands, three_digits};
use crate::plots::PlotError;
use crate::record::Unit;
use crate::tables::{Columns, Table};

/// Timings listed as farthest from their metric's usual rate.
const FARTHEST: usize = 12;

/// The page, that `command` makes again.
///
/// # Errors
/// [`PlotError`].
pub fn document(clocks: &Clocks, command: &str) -> Result<Document, PlotError> {
    let mut document = Document::new("Time against instructions", "");
    document.plots_in = "";
    let tables = [Some(agreements(clocks)), orders(clocks), Some(farthest(clocks))];
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
    let optional = |value: Option<f64>| value.map(|value| fixed(value, 3)).unwrap_or_default();
    let rate = |at: usize| move |one: &&Agreement| three_digits(one.ns_per_1000[at]);
    let count = |count: usize| thousands(count as u64);
    Columns::of(&clocks.agreements)
        .text("metric", |one| one.metric.clone())
        .number("timings", |one| count(one.pairs))
        .number("ns/1,000 instr.: least", rate(0))
        .number("median", rate(1))
        .number("most", rate(2))
        .number("exponent", |one| optional(one.exponent))
        .number("R2", |one| optional(one.r2))
        .number("same order", |one| count(one.same_order))
        .number("opposite", |one| count(one.opposite_order.len()))
        .titled(
            "How the clocks go together",
            "Exponent 1: time follows instructions. Order: of two proxies at one size and position, where both clocks tell them \
             apart by 5 % or more.",
        )
}

fn orders(clocks: &Clocks) -> Option<Table> {
    let of_metric = |Agreement { metric, opposite_order, .. }: &Agreement| {
        opposite_order.iter().map(|words| [metric.clone(), words.clone()]).collect_vec()
    };
    Columns::of(clocks.agreements.iter().flat_map(of_metric))
        .text("metric", |row| row[0].clone())
        .text("where instructions put two proxies in the wrong order", |row| row[1].clone())
        .titled("Instructions against time, opposite orders", "")
        .cut()
        .unless_empty()
}

/// The timings whose rate is farthest from the median of their metric.
fn farthest(clocks: &Clocks) -> Table {
    let pairs = clocks.pairs.iter().filter_map(|pair| {
        let usual = clocks.agreements.iter().find(|one| one.metric == pair.metric)?;
        Some((pair, pair.ns_per_1000() / usual.ns_per_1000[1]))
    });
    let pairs = pairs.sorted_by(|a, b| b.1.ln().abs().total_cmp(&a.1.ln().abs()));
    Columns::of(pairs.take(FARTHEST))
        .text("metric", |(pair, _)| pair.metric.clone())
        .text("label", |(pair, _)| position(&pair.label))
        .text("proxy", |(pair, _)| pair.proxy.clone())
        .number("Services", |(pair, _)| thousands(pair.services))
        .number("instructions", |(pair, _)| fixed(pair.instructions, 0))
        .number("time", |(pair, _)| quantity(Unit::Ns, pair.wall_ns))
        .number("time over the usual", |(_, factor)| format!("{}x", fixed(*factor, 2)))
        .titled(
            "Where instructions mislead most",
            "Time over what the metric's median rate would give: above 1, instructions are too kind.",
        )
}
