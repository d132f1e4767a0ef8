//! The largest changes between kernels in words, each with the command that explains it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use super::Family;
use crate::compare::brief::explain;
use crate::compare::sentences::{NO_RATIO, control_change, in_percent, in_words};
use crate::compare::{Comparison, Effect, Statistic};
use crate::format::list;
use crate::metrics::{self, TOTAL};
use crate::tables::{Columns, More, Table};

/// Most findings about proxies; those about the control come before and are not counted.
const MOST: usize = 25;
/// A change below this share is no finding.
const LEAST_SHARE: f64 = 0.01;
/// Most findings that carry the command which explains them.
const COMMANDS_MAX: usize = 12;
/// Kinds of files that it leaves in the run's folder `explain`.
const KINDS: [&str; 4] = ["html", "svg", "md", "json"];

/// Names of two kernels, and what is found between them.
type Between<'f, T> = (&'f str, &'f str, &'f T);

/// The largest changes between neighbours and against the reference, the control first, with what
/// explains them: commands, and links to files that these have left in `dir`, where the page will
/// lie.
pub(crate) fn changes(family: &Family<'_>, dir: &Path) -> Option<Table> {
    let mut candidates: Vec<Between<'_, Effect>> = comparisons(family).flat_map(largest).collect();
    candidates.sort_by(|(_, _, a), (_, _, b)| {
        let by_magnitude = || b.magnitude().partial_cmp(&a.magnitude()).unwrap_or(Ordering::Equal);
        b.is_control().cmp(&a.is_control()).then_with(by_magnitude)
    });
    let floor = candidates.iter().filter(|(_, _, effect)| effect.is_control()).count();
    let left_out = candidates.len().saturating_sub(floor + MOST);
    candidates.truncate(floor + MOST);
    let net = |effect: &Effect| effect.net.as_ref().map(in_percent).filter(|net| net != NO_RATIO);
    let mut table = Columns::of(&candidates)
        .number("change", |(_, _, effect)| in_percent(&effect.gross))
        .number("net of none", |(_, _, effect)| net(effect).unwrap_or_default())
        .text("finding", |(from, to, effect)| in_words(effect, from, to))
        .titled("What changed most, without a proxy first", "");
    if left_out > 0 {
        table.add_note(&format!("{left_out} smaller changes: `vipbench compare --full`."));
    }
    let more = |(at, (_, _, effect)): (usize, &Between<'_, Effect>)| {
        let command = command(effect).filter(|_| at < floor + COMMANDS_MAX);
        More {
            links: links(effect, dir),
            summary: "where it comes from",
            commands: command.into_iter().collect(),
        }
    };
    table.more = candidates.iter().enumerate().map(more).collect();
    table.unless_empty()
}

/// What the control says of the steps between neighbours: where the floor moved, where it did not,
/// where that is unknown.
pub(crate) fn controls(family: &Family<'_>) -> Vec<String> {
    let (mut moved, mut still, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for (from, to, comparison) in comparisons(family).take(family.steps.len()) {
        let step = format!("from {from} to {to}");
        match control_change(&comparison.effects) {
            Some((change, false)) => moved.push(format!("{change} {step}")),
            Some((change, true)) => still.push(format!("{step} ({change})")),
            None => unknown.push(step),
        }
    }
    let what = "Control, a new connection without a proxy (none), over all sizes and positions";
    let sentences = [
        (moved, "it moves by", "; there judge a proxy by its change net of none"),
        (still, "it is still", "; there an effect is the proxy's own"),
        (unknown, "it is not on both sides", "; what changed below the proxies there is unknown"),
    ];
    sentences
        .into_iter()
        .filter(|(steps, ..)| !steps.is_empty())
        .map(|(steps, verb, verdict)| format!("{what}: {verb} {}{verdict}.", list(&steps)))
        .collect()
}

/// Names of two kernels and what changed from one to the other, each pair once: the steps between
/// neighbours first.
fn comparisons<'f>(family: &'f Family<'_>) -> impl Iterator<Item = Between<'f, Comparison>> {
    let steps = family.steps.iter().enumerate().map(|(at, step)| (at, at + 1, step));
    let others = family.against_reference.iter().enumerate().filter_map(|(at, comparison)| {
        let is_step = at.abs_diff(family.reference) == 1;
        Some((family.reference, at, comparison.as_ref().filter(|_| !is_step)?))
    });
    let name = |at: usize| family.names[at].as_str();
    steps.chain(others).map(move |(from, to, comparison)| (name(from), name(to), comparison))
}

/// The change of each metric of each proxy at the size and label where it is largest; of the
/// control that of `connect` alone.
fn largest(
    (from, to, comparison): Between<'_, Comparison>,
) -> impl Iterator<Item = Between<'_, Effect>> {
    let mut best: BTreeMap<(&str, &str), &Effect> = BTreeMap::new();
    // They stand in order: the first is the largest.
    for effect in comparison.effects.iter().filter(|effect| is_candidate(effect)) {
        best.entry((&effect.subject.proxy, &effect.subject.metric)).or_insert(effect);
    }
    best.into_values().map(move |effect| (from, to, effect))
}

fn is_candidate(effect: &Effect) -> bool {
    let (metric, label) = (effect.subject.metric.as_str(), effect.subject.label.as_str());
    let whole = !metrics::is_sync(metric) || [TOTAL, "submit"].contains(&label);
    let is_small = effect.gross.share().is_some_and(|share| share.abs() < LEAST_SHARE);
    let matters = if effect.is_control() { metric == metrics::CONNECT.name } else { !is_small };
    let is_main = effect.is_timing() && effect.subject.statistic != Statistic::P99 && whole;
    let has_changed = effect.magnitude().is_some() && !effect.gross.is_equal();
    is_main && matters && has_changed
}

/// What explains a change, of cells of one run.
fn command(effect: &Effect) -> Option<String> {
    let (base, new) = (&effect.base_cell, &effect.new_cell);
    explain(&effect.subject, base, new).filter(|_| base.run == new.run)
}

/// What `vipbench explain` has left for these two cells in the folder of the page, whichever was
/// set against the other.
fn links(effect: &Effect, dir: &Path) -> Vec<(String, String)> {
    let run = Path::new(&effect.new_cell.run);
    if !is_same_folder(run, dir) {
        return Vec::new();
    }
    let (new, base) = (&effect.new_cell.id, &effect.base_cell.id);
    let names = [format!("explain/{new}--{base}"), format!("explain/{base}--{new}")];
    let link = |kind: &str| {
        let mut paths = names.iter().map(|name| format!("{name}.{kind}"));
        let path = paths.find(|path| run.join(path).is_file())?;
        Some((format!("explained ({kind})"), path))
    };
    KINDS.into_iter().filter_map(link).collect()
}

/// Whether two paths are one folder; one that is not there yet is none.
fn is_same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::kernels::families;
    use crate::store::Run;
    use crate::view::View;

    /// What the control says, and the table of changes on a page in the folder of the first run.
    fn findings(runs: &[Run]) -> (Vec<String>, Table) {
        let view = View::new(runs).unwrap();
        let family = &families(&view, None).unwrap()[0];
        (controls(family), changes(family, &runs[0].dir).unwrap())
    }

    fn words(table: &Table) -> Vec<&str> {
        table.rows.iter().map(|row| row[2].as_str()).collect()
    }

    #[test]
    fn the_control_comes_first_and_the_largest_change_after_it() {
        let (controls, changes) = findings(&[fixture::kernels()]);
        let words = words(&changes);
        let floor = words.iter().take_while(|words| words.contains(" none connect ")).count();
        assert_eq!(floor, 3, "one step, and two against the reference, moved it: {words:#?}");
        assert!(words[floor].contains("iptables-nft connect at "), "{words:#?}");
        assert!(words[floor].contains("+27%, net of none +"), "{words:#?}");
        assert!(words.iter().any(|words| words.starts_with("from 6.1 to 6.12 iptables-nft")));
        assert!(words.iter().any(|words| words.starts_with("from 5.10 to 7.2 iptables-nft")));
        assert_eq!(
            controls,
            [
                "Control, a new connection without a proxy (none), over all sizes and positions: it is still \
              from 5.10 to 6.1 (0%), from 6.1 to 6.12 (+1.0%) and from 6.12 to 7.2 (0%); there an effect is the proxy's own."
            ]
        );
    }

    #[test]
    fn two_kernels_are_compared_once() {
        let mut run = fixture::kernels();
        run.cells.retain(|cell| cell.labels.kernel.starts_with("6."));
        let (_, changes) = findings(&[run]);
        let connect = |words: &&&str| words.contains("iptables-nft connect");
        assert_eq!(words(&changes).iter().filter(connect).count(), 1, "{changes:#?}");
    }

    #[test]
    fn a_floor_that_moved_or_is_missing_is_said() {
        let mut run = fixture::kernels();
        for cell in run.cells.iter_mut().filter(|cell| cell.labels.proxy == "none") {
            if cell.labels.kernel.starts_with("5.10") {
                cell.metrics.clear();
            } else if cell.labels.kernel.starts_with("7.2") {
                let data = crate::record::Distribution::Values { values: vec![90_000; 1000] };
                cell.metrics.iter_mut().for_each(|metric| metric.data = data.clone());
            }
        }
        let said = findings(&[run]).0.join(" ");
        assert!(said.contains("moves by +75% from 6.12 to 7.2; there judge a proxy by"), "{said}");
        assert!(said.contains("not on both sides from 5.10 to 6.1;"), "{said}");
    }

    #[test]
    fn the_command_names_both_cells_and_what_it_left_is_found() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut run = fixture::kernels();
        run.dir = dir.path().join("a run");
        let cells = ["6.12.9-cloud-amd64", "6.1.0-56-cloud-amd64"]
            .map(|kernel| format!("{kernel}.guest.instructions.iptables-nft.1000.s1.connect"));
        std::fs::create_dir_all(run.dir.join("explain")).unwrap();
        let [new, base] = &cells;
        let name = format!("explain/{new}--{base}.svg");
        std::fs::write(run.dir.join(&name), "<svg/>").unwrap();
        run.cells
            .retain(|cell| cell.labels.kernel.starts_with("6.") && cell.labels.services == 1000);
        let shown = run.dir.display().to_string();
        let (_, changes) = findings(&[run]);
        let found = words(&changes).iter().position(|words| words.contains("iptables-nft connect"));
        let More { links, commands, .. } = &changes.more[found.unwrap()];
        let command = &commands[0];
        assert!(
            command
                .starts_with(&format!("vipbench explain '{shown}' --cell {base} --against {new}")),
            "{command}"
        );
        assert_eq!(*links, [("explained (svg)".to_owned(), name)]);
    }

    #[test]
    fn cells_of_two_runs_have_no_command() {
        let mut other = fixture::other_kernel();
        other.dir = "runs/other".into();
        for cell in other.cells.iter_mut().filter(|cell| cell.labels.proxy == "ipvs") {
            let data = crate::record::Distribution::Values { values: vec![90_000; 1000] };
            cell.metrics.iter_mut().for_each(|metric| metric.data = data.clone());
        }
        let (_, changes) = findings(&[fixture::stored(), other]);
        assert!(!changes.rows.is_empty());
        assert!(changes.more.iter().all(|more| more.commands.is_empty()));
    }
}
