//! Flat rows, one a metric: CSV with a fixed set of columns, and the same as JSON. Rows follow the
//! plan of the run.

use std::io;

use serde::Serialize;

use crate::record::{CellRecord, Metric};
use crate::store::Run;
use crate::values::{ValuesError, decoded};

/// One line of an export. The order of the fields is the order of the columns, and a contract.
///
/// A cell without numbers is one row of metric `outcome`, labelled with the kind of its outcome,
/// its numbers empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Row {
    /// Id of the cell.
    pub cell: String,
    /// Kernel release.
    pub kernel: String,
    /// `host` or `guest`.
    pub place: String,
    /// `wall` or `instructions`.
    pub clock: String,
    /// Proxy.
    pub proxy: String,
    /// Number of Services.
    pub services: u64,
    /// Endpoints in all Services together.
    pub endpoints: u64,
    /// Seed.
    pub seed: u64,
    /// Metric.
    pub metric: String,
    /// Its label.
    pub label: String,
    /// Unit of the numbers that follow; empty when there are none.
    pub unit: String,
    /// How many values.
    pub count: Option<u64>,
    /// Smallest value.
    pub min: Option<u64>,
    /// Median, nearest rank.
    pub p50: Option<u64>,
    /// 90th percentile, nearest rank.
    pub p90: Option<u64>,
    /// 99th percentile, nearest rank.
    pub p99: Option<u64>,
    /// Largest value.
    pub max: Option<u64>,
    /// Arithmetic mean, rounded to three decimals.
    pub mean: Option<f64>,
}

/// Why a run cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A metric's values cannot be trusted.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// CSV could not be written.
    #[error("cannot write the CSV: {0}")]
    Csv(#[from] csv::Error),
    /// JSON could not be written.
    #[error("cannot write the JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The output could not be written.
    #[error("cannot write the export: {0}")]
    Io(#[from] io::Error),
}

/// All rows of a run, in the order of its plan, metrics in the order they were stored.
///
/// # Errors
/// [`ExportError::Values`] when a distribution cannot be decoded.
pub fn rows(run: &Run) -> Result<Vec<Row>, ExportError> {
    let mut rows = Vec::new();
    for cell in &run.cells {
        if cell.metrics.is_empty() {
            let label = cell.outcome.kind().to_owned();
            rows.push(Row { metric: "outcome".to_owned(), label, ..row(cell) });
        }
        for metric in &cell.metrics {
            rows.push(metric_row(cell, metric)?);
        }
    }
    Ok(rows)
}

/// Writes the rows as CSV with a head line. The same run gives the same bytes.
///
/// # Errors
/// [`ExportError`].
pub fn csv(run: &Run, mut out: impl io::Write) -> Result<(), ExportError> {
    out.write_all(&head()?)?;
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(out);
    for row in rows(run)? {
        writer.serialize(row)?;
    }
    writer.flush()?;
    Ok(())
}

/// The line of columns; taken from a row of nothing, since a run without cells has a head line,
/// too.
fn head() -> Result<Vec<u8>, ExportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(Row::default())?;
    let mut text = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    let end = text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    text.truncate(end);
    Ok(text)
}

/// Writes the rows as one JSON array, one row a line. The same run gives the same bytes.
///
/// # Errors
/// [`ExportError`].
pub fn json(run: &Run, mut out: impl io::Write) -> Result<(), ExportError> {
    let rows = rows(run)?;
    out.write_all(b"[")?;
    for (at, row) in rows.iter().enumerate() {
        out.write_all(if at == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut out, row)?;
    }
    out.write_all(b"\n]\n")?;
    out.flush()?;
    Ok(())
}

/// What every row of a cell has.
fn row(cell: &CellRecord) -> Row {
    let labels = &cell.labels;
    Row {
        cell: cell.id.clone(),
        kernel: labels.kernel.clone(),
        place: labels.place.to_string(),
        clock: labels.clock.to_string(),
        proxy: labels.proxy.clone(),
        services: labels.services,
        endpoints: labels.endpoints,
        seed: labels.seed,
        ..Row::default()
    }
}

fn metric_row(cell: &CellRecord, metric: &Metric) -> Result<Row, ExportError> {
    let samples = decoded(cell, metric)?;
    Ok(Row {
        metric: metric.name.clone(),
        label: metric.label.clone(),
        unit: metric.unit.to_string(),
        count: Some(samples.count()),
        min: samples.min(),
        p50: samples.percentile(0.5),
        p90: samples.percentile(0.9),
        p99: samples.percentile(0.99),
        max: samples.max(),
        mean: samples.mean().map(|mean| (mean * 1000.0).round() / 1000.0),
        ..row(cell)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn csv_text(run: &Run) -> String {
        let mut bytes = Vec::new();
        csv(run, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_columns_are_the_contract() {
        assert_eq!(
            csv_text(&fixture::stored()).lines().next().unwrap(),
            "cell,kernel,place,clock,proxy,services,endpoints,seed,metric,label,unit,count,min,p50,p90,p99,max,mean"
        );
    }

    #[test]
    fn a_run_without_cells_has_a_head_line_of_the_fields_of_a_row() {
        let mut run = fixture::stored();
        let row = serde_json::to_value(&rows(&run).unwrap()[0]).unwrap();
        run.cells.clear();
        let text = csv_text(&run);
        assert_eq!(text.lines().count(), 1, "{text}");
        let columns: Vec<&str> = text.trim_end().split(',').collect();
        let fields = row.as_object().unwrap();
        assert_eq!(fields.len(), columns.len());
        assert!(columns.iter().all(|column| fields.contains_key(*column)), "{fields:?}");
    }

    #[test]
    fn rows_of_one_size_are_as_expected() {
        let mut run = fixture::stored();
        run.cells.retain(|cell| {
            cell.labels.seed == 1
                && cell.labels.services == 10_000
                && cell.labels.proxy.starts_with("ip")
        });
        insta::assert_snapshot!(csv_text(&run));
    }

    #[test]
    fn a_cell_without_numbers_is_a_row_with_its_outcome() {
        let text = csv_text(&fixture::stored());
        let row = text.lines().find(|line| line.contains(",outcome,")).unwrap();
        assert!(row.ends_with(",iptables-nft,10000,10000,1,outcome,censored,,,,,,,,"), "{row}");
    }

    #[test]
    fn json_holds_the_same_rows() {
        let run = fixture::stored();
        let mut bytes = Vec::new();
        json(&run, &mut bytes).unwrap();
        let parsed: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(parsed.len(), csv_text(&run).lines().count() - 1);
        let row = &parsed[0];
        assert_eq!(row["metric"], "connect");
        assert_eq!(row["unit"], "instructions");
        assert!(parsed.iter().any(|row| row["metric"] == "outcome" && row["p50"].is_null()));
    }

    #[test]
    fn the_same_run_gives_the_same_bytes() {
        assert_eq!(csv_text(&fixture::stored()), csv_text(&fixture::stored()));
    }
}
