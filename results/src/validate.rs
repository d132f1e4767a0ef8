//! What a stored record must satisfy before anything else looks at it; the same rules for writing
//! and reading.
//!
//! Names end up in file names, tables and terminals, so their alphabet is fixed here. Free text
//! (reasons, warnings, facts) may hold anything and is made harmless where it is shown.

use crate::record::{CellRecord, Clock, Metric, Outcome, RUN_SCHEMA, RunRecord, ShardRecord, Unit};

/// Most planned cells of one run.
pub(crate) const CELLS_MAX: usize = 100_000;
/// Longest name (kernel, proxy, measure, metric, label), bytes.
const NAME_MAX_BYTES: usize = 128;
/// Longest cell id, bytes: all names together.
const ID_MAX_BYTES: usize = 512;
/// Longest free text, bytes.
const TEXT_MAX_BYTES: usize = 64 << 10;
/// Most metrics, or warnings, of one cell.
const ITEMS_MAX: usize = 10_000;

/// Checks `run.json`.
///
/// # Errors
/// What is wrong, in words, without the place.
pub(crate) fn run(record: &RunRecord) -> Result<(), String> {
    if record.schema != RUN_SCHEMA {
        return Err(format!("schema is {:?}, not {RUN_SCHEMA:?}", shorten(&record.schema)));
    }
    at_most("planned cells", record.cells.len(), CELLS_MAX)?;
    at_most("words in the command", record.command.len(), ITEMS_MAX)?;
    at_most("environment facts", record.environment.facts.len(), ITEMS_MAX)?;
    at_most("guests", record.guests.len(), ITEMS_MAX)?;
    let texts = [&record.tool_version, &record.started, &record.scenario_name];
    let facts = record.environment.facts.iter().flat_map(|(key, value)| [key, value]);
    for text in texts.into_iter().chain(&record.command).chain(facts) {
        at_most("bytes in one text", text.len(), TEXT_MAX_BYTES)?;
    }
    plan(&record.cells)?;
    record.shard.as_ref().map_or(Ok(()), |part| shard(part, &record.cells))
}

/// Checks the ids of planned cells.
fn plan(cells: &[String]) -> Result<(), String> {
    let mut seen = std::collections::HashSet::with_capacity(cells.len());
    for id in cells {
        name("cell id", id, ID_MAX_BYTES)?;
        if !seen.insert(id) {
            return Err(format!("cell {id} is planned twice"));
        }
    }
    Ok(())
}

/// Checks what a shard says of the run that it is a part of.
fn shard(shard: &ShardRecord, cells: &[String]) -> Result<(), String> {
    if !(1..=shard.count).contains(&shard.index) {
        return Err(format!("it is shard {} of {}", shard.index, shard.count));
    }
    at_most("planned cells of all shards", shard.planned.len(), CELLS_MAX)?;
    plan(&shard.planned)?;
    let whole: std::collections::HashSet<&String> = shard.planned.iter().collect();
    match cells.iter().find(|id| !whole.contains(id)) {
        Some(id) => Err(format!("cell {id} is not in the plan that it is a shard of")),
        None => Ok(()),
    }
}

/// Checks one cell, without decoding its distributions.
///
/// # Errors
/// What is wrong, in words, without the place.
pub(crate) fn cell(cell: &CellRecord) -> Result<(), String> {
    let labels = &cell.labels;
    for (what, text) in
        [("kernel", &labels.kernel), ("proxy", &labels.proxy), ("measure", &labels.measure)]
    {
        name(what, text, NAME_MAX_BYTES)?;
    }
    for (what, text) in labels.path.named() {
        name(what, text, NAME_MAX_BYTES)?;
    }
    let expected = labels.cell_id();
    if cell.id != expected {
        return Err(format!("id {:?} is not what its labels make, {expected}", shorten(&cell.id)));
    }
    at_most("metrics", cell.metrics.len(), ITEMS_MAX)?;
    at_most("warnings", cell.warnings.len(), ITEMS_MAX)?;
    let reason = cell.outcome.reason();
    for text in cell.warnings.iter().chain(&reason) {
        at_most("bytes in one text", text.len(), TEXT_MAX_BYTES)?;
    }
    if cell.outcome != Outcome::Measured && !cell.metrics.is_empty() {
        return Err(format!("outcome is {}, yet it holds metrics", cell.outcome.kind()));
    }
    let mut seen = std::collections::HashSet::with_capacity(cell.metrics.len());
    for metric in &cell.metrics {
        self::metric(metric, labels.clock)?;
        if !seen.insert((&metric.name, &metric.label)) {
            return Err(format!("metric {} {} is there twice", metric.name, metric.label));
        }
    }
    Ok(())
}

/// Checks one metric against the clock of its cell: instructions are never counted by a wall clock.
fn metric(metric: &Metric, clock: Clock) -> Result<(), String> {
    name("metric", &metric.name, NAME_MAX_BYTES)?;
    name("label", &metric.label, NAME_MAX_BYTES)?;
    if clock == Clock::Wall && metric.unit == Unit::Instructions {
        return Err(format!("metric {} counts instructions on the wall clock", metric.name));
    }
    Ok(())
}

fn at_most(what: &str, found: usize, limit: usize) -> Result<(), String> {
    if found > limit {
        return Err(format!("{found} {what}, more than the limit of {limit}"));
    }
    Ok(())
}

/// Letters, digits and `. _ + - ~ : @`, beginning with a letter or digit: safe in file names,
/// tables and terminals.
fn name(what: &str, text: &str, limit: usize) -> Result<(), String> {
    at_most(&format!("bytes in a {what}"), text.len(), limit)?;
    let mut bytes = text.bytes();
    let begins_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_well = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._+-~:@".contains(&byte));
    if !(begins_well && goes_well) {
        return Err(format!(
            "{what} {:?} is not a name (letters, digits and . _ + - ~ : @, beginning with a letter or digit)",
            shorten(text)
        ));
    }
    Ok(())
}

/// The beginning of a text that may be of any length, for an error message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_fixture_is_valid() {
        let (record, cells) = fixture::run();
        run(&record).unwrap();
        for one in &cells {
            cell(one).unwrap();
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        let (_, cells) = fixture::run();
        let good = cells.into_iter().find(|cell| cell.labels.measure == "connect").unwrap();
        let broken = |change: &dyn Fn(&mut CellRecord)| {
            let mut bad = good.clone();
            change(&mut bad);
            cell(&bad).unwrap_err()
        };
        let renamed = broken(&|bad| bad.labels.proxy = "../../etc".into());
        assert!(renamed.starts_with("proxy"), "{renamed}");
        let moved = broken(&|bad| bad.labels.services += 1);
        assert!(moved.contains("not what its labels make"), "{moved}");
        let failed = broken(&|bad| bad.outcome = Outcome::Failed { reason: "x".into() });
        assert!(failed.contains("holds metrics"), "{failed}");
        let twice = broken(&|bad| bad.metrics.push(bad.metrics[0].clone()));
        assert!(twice.contains("twice"), "{twice}");
        let escape = broken(&|bad| bad.metrics[0].label = "\u{1b}[2J".into());
        assert!(escape.starts_with("label"), "{escape}");
    }

    #[test]
    fn a_plan_may_not_name_a_cell_twice_nor_be_of_another_schema() {
        let (mut record, _) = fixture::run();
        record.cells.push(record.cells[0].clone());
        assert!(run(&record).unwrap_err().contains("planned twice"));
        record.cells.pop();
        let whole = |index| ShardRecord { index, count: 2, planned: record.cells.clone() };
        let part = |index| RunRecord { shard: Some(whole(index)), ..record.clone() };
        run(&part(2)).unwrap();
        assert!(run(&part(3)).unwrap_err().contains("shard 3 of 2"));
        let mut strange = part(1);
        strange.shard.as_mut().unwrap().planned.pop();
        assert!(run(&strange).unwrap_err().contains("shard of"));
        record.schema = "vipbench.run/2".into();
        assert!(run(&record).unwrap_err().contains("vipbench.run/2"));
    }
}
