//! Shards of one run, made into that run: what they must share is checked, and a cell that two of
//! them hold must be the same.
//!
//! Works on runs in memory; reading and writing folders is in `store`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use itertools::Itertools as _;

use crate::facts;
use crate::record::{CellRecord, Clock, Environment, RunRecord};
use crate::store::{Run, first_difference};

/// Values of a fact that are kept when every shard has another one (the load of a hundred
/// machines).
const VALUES_MAX: usize = 8;

/// Why runs are not shards of one run.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is none.
    #[error("there is nothing to merge; name the folders of the shards")]
    NoRuns,
    /// They did not measure the same thing in the same way.
    #[error("{} and {} are not shards of one run: {what}; {remedy}", .first.display(), .second.display())]
    Differs {
        /// Folder of the first shard named.
        first: PathBuf,
        /// Folder of the one that differs from it.
        second: PathBuf,
        /// What differs, and what each says.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Two of them hold a cell, and it is not the same.
    #[error(
        "cell {id} is in {} and in {}, and {detail}; on the instructions clock that cannot be: find out which machine is wrong, and \
         leave its shard out",
        .first.display(), .second.display()
    )]
    Conflict {
        /// The cell.
        id: String,
        /// One folder that holds it.
        first: PathBuf,
        /// Another.
        second: PathBuf,
        /// How they differ.
        detail: String,
    },
}

/// One run, made of shards.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// Its `run.json`.
    pub record: RunRecord,
    /// Cells that some shard holds, in the order of the plan.
    pub cells: Vec<CellRecord>,
}

/// Makes one run of shards. Cells that no shard holds are left out: the run can be resumed.
/// `command` is recorded as what made it.
///
/// # Errors
/// [`MergeError`] naming what differs, and where.
pub fn merge(runs: Vec<Run>, command: Vec<String>) -> Result<Merged, MergeError> {
    let [first, others @ ..] = runs.as_slice() else { return Err(MergeError::NoRuns) };
    let on_wall =
        runs.iter().flat_map(|run| &run.cells).any(|cell| cell.labels.clock == Clock::Wall);
    let clock = if on_wall { Clock::Wall } else { Clock::Instructions };
    for other in others {
        same_run(first, other, clock)?;
    }
    let plan = first.record.whole_plan().to_vec();
    let record = RunRecord {
        command,
        started: runs.iter().map(|run| run.record.started.clone()).min().unwrap_or_default(),
        shard: None,
        environment: all_facts(&runs),
        cells: plan,
        ..first.record.clone()
    };
    let mut held = held(runs)?;
    let cells =
        record.cells.iter().filter_map(|id| held.remove(id)).map(|(_, cell)| cell).collect();
    Ok(Merged { record, cells })
}

/// Refuses two runs that are not parts of one.
fn same_run(first: &Run, second: &Run, clock: Clock) -> Result<(), MergeError> {
    const COMMAND: &str = "run every shard with the same scenario and options";
    const BUILD: &str = "run every shard with the same build of vipbench on the same packages, for example from one container image";
    const KERNEL: &str = "a default or a series is the newest kernel that a machine's package source has: name exact releases with --kernel";
    let (one, other) = (&first.record, &second.record);
    let differs = |what: &str, one: String, other: String, remedy| -> Result<(), MergeError> {
        let (first, second) = (first.dir.clone(), second.dir.clone());
        let what = format!("{what} is {one} in the first and {other} in the second");
        Err(MergeError::Differs { first, second, what, remedy })
    };
    let texts = [
        ("the scenario", &one.scenario_name, &other.scenario_name, COMMAND),
        ("the version of vipbench", &one.tool_version, &other.tool_version, BUILD),
    ];
    for (what, one, other, remedy) in texts {
        if one != other {
            return differs(what, format!("{one:?}"), format!("{other:?}"), remedy);
        }
    }
    if let Some((key, one, other)) = first_difference("", &one.scenario, &other.scenario) {
        return differs(&format!("{key} of the scenario"), one, other, COMMAND);
    }
    let (plan, other_plan) = (one.whole_plan(), other.whole_plan());
    if let Some((one, other)) = plan.iter().zip(other_plan).find(|(one, other)| one != other) {
        return differs("a planned cell", one.clone(), other.clone(), KERNEL);
    }
    if plan.len() != other_plan.len() {
        let (one, other) = (plan.len().to_string(), other_plan.len().to_string());
        return differs("the number of planned cells", one, other, COMMAND);
    }
    let (one, other) = (&one.environment.facts, &other.environment.facts);
    match facts::first_unlike(one, other, clock) {
        Some(key) => differs(key, facts::value(one, key), facts::value(other, key), BUILD),
        None => Ok(()),
    }
}

/// Every cell that there is, by its id, with the folder it is from.
fn held(runs: Vec<Run>) -> Result<HashMap<String, (PathBuf, CellRecord)>, MergeError> {
    let mut held: HashMap<String, (PathBuf, CellRecord)> = HashMap::new();
    for run in runs {
        for cell in run.cells {
            match held.get(&cell.id) {
                None => drop(held.insert(cell.id.clone(), (run.dir.clone(), cell))),
                Some((dir, known)) => same_cell(dir, known, &run.dir, &cell)?,
            }
        }
    }
    Ok(held)
}

/// Refuses two records of a cell that say different things. How long it took is no part of what it
/// says.
fn same_cell(
    first: &Path,
    one: &CellRecord,
    second: &Path,
    other: &CellRecord,
) -> Result<(), MergeError> {
    let mut metrics = one.metrics.iter().zip(&other.metrics);
    let detail = if one.outcome != other.outcome {
        let (one, other) = (one.outcome.kind(), other.outcome.kind());
        format!("it is {one} in the first and {other} in the second")
    } else if let Some((metric, _)) = metrics.find(|(one, other)| one != other) {
        format!("metric {} {} differs", metric.name, metric.label)
    } else if one.metrics.len() != other.metrics.len() || one.verified != other.verified {
        "one holds more than the other".to_owned()
    } else {
        return Ok(());
    };
    let (first, second) = (first.to_owned(), second.to_owned());
    Err(MergeError::Conflict { id: one.id.clone(), first, second, detail })
}

/// Facts of all shards: what they share once, what differs (their machines) side by side.
fn all_facts(runs: &[Run]) -> Environment {
    let joined = |(key, mut values): (&String, Vec<&str>)| {
        let more = values.len().saturating_sub(VALUES_MAX);
        let more_in_words = format!("and {more} more");
        values.truncate(VALUES_MAX);
        values.extend((more > 0).then_some(more_in_words.as_str()));
        (key.clone(), values.join("; "))
    };
    let facts = runs.iter().flat_map(|run| &run.record.environment.facts).unique();
    let by_key = facts.map(|(key, value)| (key, value.as_str())).into_group_map();
    Environment { facts: by_key.into_iter().map(joined).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::{Distribution, Outcome, ShardRecord};

    type Change = fn(&mut Run);

    /// The fixture's run dealt to `count` shards, cell by cell, on as many machines.
    fn shards(count: usize) -> Vec<Run> {
        let whole = fixture::stored();
        let part = |index: usize| {
            let mut run = whole.clone();
            run.dir = format!("runs/{index}").into();
            run.cells = whole.cells.iter().skip(index).step_by(count).cloned().collect();
            run.record.shard = Some(ShardRecord {
                index: u32::try_from(index).unwrap() + 1,
                count: u32::try_from(count).unwrap(),
                planned: whole.record.cells.clone(),
            });
            run.record.cells = run.cells.iter().map(|cell| cell.id.clone()).collect();
            run.record.started = format!("2026-11-22T21:4{}:00Z", 9 - index);
            run.record.environment.facts.insert("host.cpu".into(), format!("CPU {index}"));
            run
        };
        (0..count).map(part).collect()
    }

    fn rows(record: RunRecord, cells: Vec<CellRecord>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let run = Run { dir: "x".into(), record, cells, warnings: Vec::new() };
        crate::export::csv(&run, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn shards_in_any_order_give_the_rows_of_the_whole_run() {
        let (record, cells) = fixture::run();
        let mut parts = shards(3);
        parts.rotate_left(1);
        let merged = merge(parts, vec!["vipbench".into(), "merge".into()]).unwrap();
        assert_eq!(merged.record.cells, record.cells);
        assert_eq!(merged.record.shard, None);
        assert_eq!(merged.record.started, "2026-11-22T21:47:00Z", "the earliest");
        assert_eq!(merged.record.environment.facts["host.cpu"], "CPU 1; CPU 2; CPU 0");
        assert_eq!(rows(merged.record, merged.cells), rows(record, cells));
    }

    #[test]
    fn what_no_shard_holds_is_missing_and_the_same_cell_twice_is_one() {
        let mut parts = shards(3);
        let lost = parts.pop().unwrap();
        let mut again = parts[0].clone();
        again.dir = "runs/again".into();
        again.cells[0].duration_ms += 1;
        parts.push(again);
        let merged = merge(parts, Vec::new()).unwrap();
        assert_eq!(merged.cells.len(), merged.record.cells.len() - lost.cells.len());
        assert!(merged.cells.iter().all(|cell| !lost.record.cells.contains(&cell.id)));
    }

    #[test]
    fn each_difference_is_named_with_both_folders() {
        let refused = |change: &dyn Fn(&mut Run)| {
            let mut parts = shards(3);
            change(&mut parts[2]);
            let said = merge(parts, Vec::new()).unwrap_err().to_string();
            assert!(said.starts_with("runs/0 and runs/2 are not shards of one run: "), "{said}");
            said
        };
        let cases: [(Change, &str); 7] = [
            (|run| run.record.scenario_name = "x".into(), "the scenario is \"quick\""),
            (|run| run.record.tool_version = "9".into(), "version of vipbench is \"0.1.0\""),
            (
                |run| run.record.scenario["connections"] = 301.into(),
                "connections of the scenario is 300",
            ),
            (
                |run| run.record.shard.as_mut().unwrap().planned[0].insert_str(0, "6.2"),
                "name exact releases",
            ),
            (
                |run| drop(run.record.shard.as_mut().unwrap().planned.pop()),
                "the number of planned cells",
            ),
            (
                |run| {
                    run.record.environment.facts.insert("guest.cpu_model".into(), "max".into());
                },
                "guest.cpu_model is \"max,-rdrand,-rdseed,-cx16,-erms,-fsrm\" in the first and \"max\"",
            ),
            (
                |run| {
                    run.record.environment.facts.insert("vipbench.sha256".into(), "0".into());
                },
                "vipbench.sha256 is not recorded in the first",
            ),
        ];
        for (change, wanted) in cases {
            let said = refused(&change);
            assert!(said.contains(wanted), "`{wanted}` is missing in: {said}");
        }
    }

    #[test]
    fn on_the_wall_clock_machines_do_not_mix() {
        let mut one = fixture::wall();
        one.dir = "runs/one".into();
        let mut other = one.clone();
        assert!(merge(vec![one.clone(), other.clone()], Vec::new()).is_ok());
        other.record.environment.facts.insert("host.cpu".into(), "another".into());
        let said = merge(vec![one, other], Vec::new()).unwrap_err().to_string();
        assert!(said.contains("host.cpu"), "{said}");
    }

    #[test]
    fn a_cell_with_two_faces_is_refused() {
        let conflict = |change: &dyn Fn(&mut CellRecord)| {
            let mut parts = shards(2);
            let mut again = parts[0].clone();
            again.dir = "runs/again".into();
            change(&mut again.cells[0]);
            parts.push(again);
            merge(parts, Vec::new()).unwrap_err().to_string()
        };
        let said = conflict(&|cell| {
            cell.metrics[1].data = Distribution::Values { values: vec![1] };
        });
        assert!(
            said.contains("runs/0 and in runs/again, and metric request first differs"),
            "{said}"
        );
        let said = conflict(&|cell| {
            cell.metrics.clear();
            cell.outcome = Outcome::Invalid { reason: "x".into() };
        });
        assert!(said.contains("measured in the first and invalid in the second"), "{said}");
    }

    #[test]
    fn nothing_is_not_a_run() {
        assert!(matches!(merge(Vec::new(), Vec::new()), Err(MergeError::NoRuns)));
    }
}
