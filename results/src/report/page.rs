//! The content of a report in order, before it becomes HTML or Markdown.

use std::path::Path;

use super::{plots, tables};
use crate::findings::{self, Findings};
use crate::format::{list, plain, shell, thousands};
use crate::kernels::findings::KernelFindings;
use crate::kernels::{self, Family};
use crate::plots::{Plot, style_sheet};
use crate::record::{Clock, Outcome};
use crate::report::{Options, ReportError};
use crate::tables::Table;
use crate::view::{Group, View};

/// Most headlines before anything else.
const HEADLINES_MAX: usize = 3;

/// A whole report.
#[derive(Debug)]
pub(super) struct Page {
    /// `vipbench report: quick`.
    pub title: String,
    /// Line under the title: when, with what, how much.
    pub summary: String,
    /// What is said about several groups together.
    pub across: Vec<String>,
    /// One for each place and clock with several kernels.
    pub kernels: Vec<KernelSection>,
    /// One a group.
    pub sections: Vec<Section>,
    /// What could not run, and warnings.
    pub problems: Vec<Table>,
    /// The harness's own cost and the environment.
    pub surroundings: Vec<Table>,
    /// How to read the numbers, and what they do not say.
    pub method: Vec<&'static str>,
    /// The command of each run.
    pub commands: Vec<String>,
}

/// One group of comparable cells.
#[derive(Debug)]
pub(super) struct Section {
    pub findings: Findings,
    pub blocks: Vec<Block>,
}

/// Several kernels of one place and clock side by side.
#[derive(Debug)]
pub(super) struct KernelSection {
    /// `Kernels compared, guest, instructions clock`.
    pub heading: String,
    /// Which kernel others are compared with.
    pub note: String,
    pub findings: KernelFindings,
    pub plots: Vec<Plot>,
    /// What could not be compared.
    pub tables: Vec<Table>,
}

/// One subject.
#[derive(Debug)]
pub(super) struct Block {
    pub heading: &'static str,
    pub plots: Vec<Plot>,
    /// Shown.
    pub tables: Vec<Table>,
    /// Folded away where the medium can.
    pub more: Vec<Table>,
}

impl Section {
    /// The title as a heading: `Kernel 6.1.0, guest, instructions clock`.
    pub fn heading(&self) -> String {
        let mut letters = self.findings.title.chars();
        let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>());
        first.unwrap_or_default() + letters.as_str()
    }
}

impl KernelSection {
    fn of(family: &Family<'_>, dir: &Path) -> Result<Self, ReportError> {
        let mut findings = kernels::findings::of_family(family);
        for line in &mut findings.lines {
            if !same_folder(&line.run, dir) {
                line.explained.clear();
            }
        }
        let names: Vec<String> = family
            .kernels
            .iter()
            .map(|kernel| format!("{} ({})", kernel.name, kernel.group.key.kernel))
            .collect();
        Ok(Self {
            heading: format!("Kernels compared, {}", family.title()),
            note: format!(
                "{}, in version order. Changes are from each to the next, and from {}, the reference, to the others; net is what a proxy \
                 adds to none, the connection without a proxy.",
                list(&names),
                family.reference_name()
            ),
            findings,
            plots: kernels::plot::of_family(family)?,
            tables: kernels::tables::not_compared(family).into_iter().collect(),
        })
    }
}

/// Whether two paths are one folder; one that is not there yet is none.
fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl Page {
    /// Computes everything, for a report that will lie in `dir`.
    pub fn of(view: &View<'_>, options: &Options, dir: &Path) -> Result<Self, ReportError> {
        let families = kernels::families(view, options.reference_kernel.as_deref())?;
        let kernels = families.iter().map(|family| KernelSection::of(family, dir));
        let mut sections = Vec::new();
        for (group, findings) in view.groups.iter().zip(findings::of_groups(view)) {
            sections.push(Section { findings, blocks: blocks(group)? });
        }
        let mut commands: Vec<String> =
            view.runs.iter().map(|run| shell(&run.record.command)).collect();
        commands.dedup();
        Ok(Self {
            title: title(view),
            summary: summary(view),
            across: findings::across_groups(view),
            kernels: kernels.collect::<Result<_, _>>()?,
            sections,
            problems: [tables::gaps(view), tables::warnings(view)].into_iter().flatten().collect(),
            surroundings: [tables::harness(view), tables::guests(view), tables::environment(view)]
                .into_iter()
                .flatten()
                .collect(),
            method: method(view),
            commands,
        })
    }

    /// Whether the headline of each section stands at the top: only as long as they are few.
    pub fn headlines_first(&self) -> bool {
        self.sections.len() <= HEADLINES_MAX
    }

    /// What all plots of a page share.
    #[expect(clippy::unused_self, reason = "the template knows nothing but the page")]
    pub fn plot_style(&self) -> String {
        style_sheet()
    }

    /// Every plot, in order.
    pub fn plots(&self) -> impl Iterator<Item = &Plot> {
        let compared = self.kernels.iter().flat_map(|section| &section.plots);
        let blocks = self.sections.iter().flat_map(|section| &section.blocks);
        compared.chain(blocks.flat_map(|block| &block.plots))
    }
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
    let cells = view.cells().count() as u64;
    let measured = view.cells().filter(|cell| cell.outcome == Outcome::Measured).count() as u64;
    let verified = view.cells().fold(0_u64, |sum, cell| sum.saturating_add(cell.verified));
    parts.push(format!("{} of {} cells measured", thousands(measured), thousands(cells)));
    parts.push(format!(
        "{} connections checked for the right endpoint beside the timings",
        thousands(verified)
    ));
    parts.join(" · ")
}

fn blocks(group: &Group<'_>) -> Result<Vec<Block>, ReportError> {
    let (connection_plots, sync_plots): (Vec<Plot>, Vec<Plot>) =
        plots::of_group(group)?.into_iter().partition(|plot| !plot.name.starts_with("sync"));
    let some = |tables: Vec<Option<Table>>| tables.into_iter().flatten().collect::<Vec<Table>>();
    let blocks = [
        Block {
            heading: "New connections",
            plots: connection_plots,
            tables: tables::connections(group).into_iter().chain(tables::walked(group)).collect(),
            more: tables::phases(group),
        },
        Block {
            heading: "Layout of the VIPs",
            plots: Vec::new(),
            tables: some(vec![tables::layout_connects(group), tables::layout_buckets(group)]),
            more: Vec::new(),
        },
        Block {
            heading: "Programming the kernel",
            plots: sync_plots,
            tables: some(vec![tables::sync_totals(group), tables::vip_bind(group)]),
            more: some(vec![tables::sync_parts(group)]),
        },
        Block {
            heading: "Controls and other costs",
            plots: Vec::new(),
            tables: some(vec![tables::keepalive(group)]),
            more: some(vec![tables::resources(group)]),
        },
    ];
    Ok(blocks
        .into_iter()
        .filter(|block| {
            !(block.plots.is_empty() && block.tables.is_empty() && block.more.is_empty())
        })
        .collect())
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
        "p50 and p99 are nearest-rank percentiles of the connections of one cell; over several seeds their median is shown.",
        "A timing is kept only when the right endpoints answered. What could not be measured is listed, never left out silently.",
        "One client and one connection at a time: nothing here is about throughput under contention.",
    ]);
    method
}
