//! The content of a report in order.

use std::path::Path;

use itertools::Itertools as _;

use super::tables::{
    batching, cells, connect, cost, costs, layout, notes, paths, renditions, throughput,
};
use super::{ReportError, churn, first, plots};
use crate::compare::brief;
use crate::document::{Block, Document};
use crate::findings::{self, Findings};
use crate::format::{counted, list, plain, shell, thousands};
use crate::kernels::{self, Family};
use crate::plots::Plot;
use crate::record::{Clock, Outcome};
use crate::tables::Table;
use crate::view::{Group, View};

/// Most groups whose findings are not folded away.
const GROUPS_OPEN: usize = 3;

/// Everything, for a report that will lie in `dir`.
pub(super) fn document(
    view: &View<'_>,
    reference_kernel: Option<&str>,
    dir: &Path,
) -> Result<Document, ReportError> {
    let mut document = Document::new(title(view), summary(view));
    let (screen, shown) = first::screen(view);
    document.blocks = screen;
    let plot = shown.map(plots::first).transpose()?.flatten();
    let first_plot = plot.as_ref().map(|plot| plot.name.clone()).unwrap_or_default();
    document.blocks.push(Block::OnPage(vec![Block::Plots(plot.into_iter().collect())]));
    if shown.is_none() {
        document.blocks.push(Block::InBrief(instead(view)?));
    }
    document.blocks.push(Block::InBrief(brief(view)));
    let mut rest = findings(view);
    let families = kernels::families(view, reference_kernel)?;
    let newest =
        families.first().and_then(|family| family.against_reference.iter().flatten().last());
    if let Some(newest) = newest.filter(|_| shown.is_some()) {
        document.blocks.insert(1, Block::Text(brief::finding(newest)));
    }
    for family in families {
        rest.push(Block::OnPage(kernels_compared(&family, dir)?));
    }
    let paths = paths::paths(view);
    if !paths.is_empty() {
        rest.push(Block::Heading(2, "Paths side by side".to_owned()));
        rest.push(Block::Tables(paths));
    }
    for group in &view.groups {
        rest.push(Block::Heading(2, group.key.title().replacen("kernel", "Kernel", 1)));
        rest.extend(parts(group, &first_plot)?);
        let cells = cells::cells(group, view.runs).map(Block::folded);
        rest.push(Block::InHtml(cells.into_iter().collect()));
    }
    let problems: Vec<Table> =
        [notes::gaps(view), notes::warnings(view)].into_iter().flatten().collect();
    if !problems.is_empty() {
        rest.push(Block::Heading(2, "What to know before using these numbers".to_owned()));
        rest.extend(problems.into_iter().map(Block::from));
    }
    rest.push(Block::OnPage(how(view)));
    document.blocks.push(Block::InFull(rest));
    Ok(document)
}

/// What is found in each group, and over several.
fn findings(view: &View<'_>) -> Vec<Block> {
    let all = findings::of_groups(view);
    let mut blocks = Vec::new();
    let has_any = |one: &Findings| one.headline.is_some() || !one.items.is_empty();
    if all.iter().any(has_any) {
        blocks.push(Block::Heading(2, "Findings".to_owned()));
    }
    blocks.extend(across_kernels(view));
    for findings in all {
        let mut inner: Vec<Block> = findings.headline.into_iter().map(Block::Text).collect();
        inner.push(Block::OnPage(vec![Block::Topics(findings.items)]));
        if view.groups.len() <= GROUPS_OPEN {
            let heading = Block::Heading(3, format!("On {}", findings.title));
            blocks.extend((view.groups.len() > 1).then_some(heading));
            blocks.extend(inner);
        } else {
            blocks.push(Block::Folded(format!("On {}", findings.title), inner));
        }
    }
    blocks
}

/// What a terminal shows where there is no answer: the first table of the newest kernel.
fn instead(view: &View<'_>) -> Result<Vec<Block>, ReportError> {
    let Some(newest) = view.groups.last() else { return Ok(Vec::new()) };
    let heading = Block::Heading(2, newest.key.title().replacen("kernel", "Kernel", 1));
    let tables = parts(newest, "")?.into_iter().filter_map(|block| match block {
        Block::Tables(tables) => tables.into_iter().next(),
        _ => None,
    });
    Ok([heading].into_iter().chain(tables.take(1).map(Block::from)).collect())
}

/// What a terminal ends with where not everything is asked for.
fn brief(view: &View<'_>) -> Vec<Block> {
    let planned: usize = view.runs.iter().map(|run| run.record.cells.len()).sum();
    let without = planned
        - view.cells().filter(|cell| cell.outcome == Outcome::Measured).count().min(planned);
    let warnings = notes::warnings(view).map_or(0, |table| table.rows.len());
    let mut sentences = Vec::new();
    if without > 0 {
        let cells = counted(without as u64, "cell");
        let why = notes::commonest_gap(view).map_or(String::new(), |why| format!(" ({why})"));
        sentences.push(format!("{cells} of {} gave no numbers{why}.", thousands(planned as u64)));
    }
    if warnings > 0 {
        sentences.push(format!("{} on these numbers.", counted(warnings as u64, "warning")));
    }
    let runs: Vec<String> = view.runs.iter().map(|run| run.dir.display().to_string()).collect();
    let words = ["vipbench", "show"].map(str::to_owned).into_iter().chain(runs);
    let command = shell(&words.chain(["--full".to_owned()]).collect_vec());
    sentences.push(format!("Findings, tables and limits: {command}, or the page report.html."));
    vec![Block::List(sentences)]
}

/// What is said about several groups together.
fn across_kernels(view: &View<'_>) -> Option<Block> {
    let sentences = findings::across_groups(view);
    let heading = Block::Heading(3, "Across kernels".to_owned());
    (!sentences.is_empty()).then(|| Block::OnPage(vec![heading, Block::List(sentences)]))
}

/// Several kernels of one place and clock side by side.
fn kernels_compared(family: &Family<'_>, dir: &Path) -> Result<Vec<Block>, ReportError> {
    let kernels = family.names.iter().zip(family.groups);
    let names: Vec<String> =
        kernels.map(|(name, group)| format!("{name} ({})", group.key.kernel)).collect();
    let note = format!(
        "{}, in version order. Changes are from each to the next, and from {}, the reference, to the others; net is what a proxy \
         adds to none, the connection without a proxy.",
        list(&names),
        family.reference_name()
    );
    let tables = [kernels::findings::changes(family, dir), kernels::tables::not_compared(family)];
    let mut blocks = vec![
        Block::Heading(2, format!("Kernels compared, {}", family.title())),
        Block::Text(note),
        Block::List(kernels::findings::controls(family)),
        Block::Plots(kernels::plot::of_family(family)?),
    ];
    blocks.extend(tables.into_iter().flatten().map(Block::from));
    Ok(blocks)
}

fn title(view: &View<'_>) -> String {
    let mut names: Vec<String> =
        view.runs.iter().map(|run| plain(&run.record.scenario_name)).collect();
    names.dedup();
    format!("vipbench report: {}", names.join(", "))
}

fn summary(view: &View<'_>) -> String {
    let mut parts = Vec::new();
    for run in view.runs {
        let started = plain(&run.record.started);
        let day = started.split('T').next().unwrap_or_default().to_owned();
        parts.push(format!("{day}, vipbench {}", plain(&run.record.tool_version)));
    }
    parts.dedup();
    let planned: u64 = view.runs.iter().map(|run| run.record.cells.len() as u64).sum();
    let measured = view.cells().filter(|cell| cell.outcome == Outcome::Measured).count() as u64;
    let verified = view.cells().fold(0_u64, |sum, cell| sum.saturating_add(cell.verified));
    parts.push(format!("{} of {} cells measured", thousands(measured), thousands(planned)));
    parts.push(format!(
        "{} connections checked for the right endpoint beside the timings",
        thousands(verified)
    ));
    parts.join(" · ")
}

/// One subject: its plots, tables that are shown and tables that are folded away. Nothing without
/// any.
fn part(heading: &str, plots: Vec<Plot>, shown: Vec<Table>, folded: Vec<Table>) -> Vec<Block> {
    if plots.is_empty() && shown.is_empty() && folded.is_empty() {
        return Vec::new();
    }
    let is_only_on_page = shown.is_empty();
    let mut blocks = vec![
        Block::Heading(3, heading.to_owned()),
        Block::OnPage(vec![Block::Plots(plots)]),
        Block::Tables(shown),
    ];
    blocks.extend(folded.into_iter().map(Block::folded));
    if is_only_on_page { vec![Block::OnPage(blocks)] } else { blocks }
}

/// The evidence of a group, without the plot that was shown first.
fn parts(group: &Group<'_>, shown: &str) -> Result<Vec<Block>, ReportError> {
    let plots = plots::of_group(group)?.into_iter().filter(|plot| plot.name != shown);
    let (of_syncs, of_connections): (Vec<Plot>, Vec<Plot>) =
        plots.partition(|plot| plot.name.starts_with("sync"));
    let some = |tables: [Option<Table>; 2]| tables.into_iter().flatten().collect::<Vec<Table>>();
    let connections = connect::connections(group).into_iter().chain(connect::walked(group));
    let layouts = [layout::layout_connects(group), layout::layout_buckets(group)];
    let syncs = [costs::sync_totals(group), costs::vip_bind(group)];
    let (control, others) = (connect::keepalive(group), costs::resources(group));
    let of_parts = costs::sync_parts(group).into_iter().collect();
    let idle = some([costs::idle_node(group), None]);
    let mut blocks = [
        part("New connections", of_connections, connections.collect(), connect::phases(group)),
        part("Layout of the VIPs", Vec::new(), some(layouts), Vec::new()),
        part("Programming the kernel", of_syncs, some(syncs), of_parts),
        part("Throughput", Vec::new(), some([throughput::throughput(group), None]), Vec::new()),
        part("Memory and bystanders", Vec::new(), some([cost::cost(group), None]), Vec::new()),
        part("Batching", Vec::new(), some([batching::batching(group), None]), Vec::new()),
        part("An idle node", Vec::new(), idle, Vec::new()),
        part("kube-proxy beside ours", Vec::new(), renditions::renditions(group), Vec::new()),
    ]
    .concat();
    blocks.extend(churn::blocks(group)?);
    // What else there is may be all there is.
    let (control, others) = (some([control, None]), some([others, None]));
    let (shown, folded) = if blocks.is_empty() {
        ([control, others].concat(), Vec::new())
    } else {
        (control, others)
    };
    blocks.extend(part("Controls and other costs", Vec::new(), shown, folded));
    Ok(blocks)
}

/// How it was measured: commands, how to read the numbers, the harness's own cost and the
/// environment.
fn how(view: &View<'_>) -> Vec<Block> {
    let mut commands: Vec<String> =
        view.runs.iter().map(|run| shell(&run.record.command)).collect();
    commands.dedup();
    let tables = [notes::harness(view), notes::guests(view), notes::environment(view)];
    let mut blocks = vec![Block::Heading(2, "How it was measured".to_owned())];
    blocks.extend(commands.into_iter().map(Block::Code));
    let method = method(view).into_iter().map(str::to_owned);
    blocks.push(Block::List(method.chain(sizes_left_out(view)).collect()));
    blocks.extend(tables.into_iter().flatten().map(Block::from));
    blocks
}

fn method(view: &View<'_>) -> Vec<&'static str> {
    let on = |clock| view.groups.iter().any(|group| group.key.clock == clock);
    let mut method = Vec::new();
    if on(Clock::Instructions) {
        method.push(
            "Instructions are counted by an emulator that advances the guest's clock by one nanosecond an instruction; the \
             same build, kernel and emulator give the same numbers on any machine. Instructions are not time: caches, branch misses and contention are absent. They \
             show where work goes and what changed within one proxy; which proxy is faster is for the wall clock to say.",
        );
    }
    if on(Clock::Wall) {
        method.push(
            "Wall time is real time on one machine, with its caches, its load and its noise; it says nothing about another machine, and \
             small differences need repetitions before they mean anything.",
        );
    }
    if on(Clock::Instructions) && on(Clock::Wall) {
        method.push("The two clocks are never compared, and never share a table or an axis.");
    }
    method.extend([
        "Every connection is new: only its first packet meets the rules, the connection table answers the rest.",
        "Position is where the dialled Service stands in the order of the rules; a single number without it says little.",
        "p50 and p99 are nearest-rank percentiles of the connections of one cell; over several seeds their median is shown. A p99 needs 1,000 connections, a p90 needs 100: without them it is left out. In brackets stands where it lies 95 times of 100, by its rank; over several seeds, from the lowest end of theirs to the highest.",
        "A timing is kept only when the right endpoints answered. What could not be measured is listed, never left out silently.",
        "One client and one connection at a time: nothing here is about throughput under contention.",
    ]);
    method
}

/// Which proxies the scenarios measure with fewer Services than others.
fn sizes_left_out(view: &View<'_>) -> Option<String> {
    let limits = view.runs.iter().filter_map(|run| run.record.scenario.get("most_services"));
    let limits = limits.filter_map(serde_json::Value::as_object).flatten();
    let limits = limits.filter_map(|(proxy, most)| {
        Some(format!("{} with at most {}", plain(proxy), thousands(most.as_u64()?)))
    });
    let limits: Vec<String> = limits.unique().collect();
    (!limits.is_empty()).then(|| {
        format!(
            "The scenario measures {} Services, since what it takes to program them grows too fast.",
            list(&limits)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn proxies_that_end_at_fewer_services_are_named() {
        let mut run = fixture::stored();
        assert_eq!(sizes_left_out(&View::new(std::slice::from_ref(&run)).unwrap()), None);
        run.record.scenario["most_services"] = serde_json::json!({ "nftables-1.36": 1_000 });
        let words = sizes_left_out(&View::new(std::slice::from_ref(&run)).unwrap()).unwrap();
        assert!(words.contains("measures nftables-1.36 with at most 1,000 Services"), "{words}");
    }

    #[test]
    fn cells_that_are_missing_count_as_planned() {
        let mut run = fixture::stored();
        let (planned, cells) = (run.record.cells.len(), run.cells.len());
        run.cells.truncate(cells / 2);
        let words = summary(&View::new(std::slice::from_ref(&run)).unwrap());
        assert!(words.contains(&format!(" of {planned} cells measured")), "{words}");
    }
}
