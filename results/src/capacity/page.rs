//! A plan as text for the terminal and as files: one HTML page that fetches nothing, and one Markdown file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use askama::Template;

use super::{CapacityPlan, tables, words};
use crate::plots::{self, Plot};
use crate::print::{markdown, terminal};
use crate::report::{ReportError, write_file};
use crate::tables::Table;

/// The content in order: the answer, the evidence, method and limits.
struct Page {
    title: String,
    summary: String,
    answers: Vec<Section>,
    caveats: Vec<String>,
    evidence: Vec<Section>,
    method: [&'static str; 7],
    style: String,
}

/// One kernel, place and clock.
struct Section {
    heading: String,
    sentences: Vec<String>,
    plots: Vec<Plot>,
    tables: Vec<Table>,
}

#[derive(Template)]
#[template(path = "capacity.html")]
struct Html<'a> {
    page: &'a Page,
}

/// Text for standard output.
pub fn text(plan: &CapacityPlan) -> String {
    let mut text = String::new();
    for group in &plan.groups {
        let _ = writeln!(text, "{}\n", words::title(group));
        text += &terminal::grid(&tables::answer(plan, group), None);
        let after = [
            tables::moves(group),
            tables::outlook(group),
            tables::models(group),
            tables::gaps(group),
        ];
        for table in after {
            text += &table.map_or(String::new(), |table| terminal::grid(&table, None));
        }
    }
    for line in words::caveats(plan) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Writes `capacity.html` and `capacity.md` into `dir`, which is made when it is not there, and gives their paths.
///
/// # Errors
/// [`ReportError`]: a plot that cannot be drawn, a file that cannot be written.
pub fn write(plan: &CapacityPlan, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let page = Page::of(plan)?;
    std::fs::create_dir_all(dir).map_err(|source| ReportError::Io {
        operation: "create folder",
        path: dir.to_owned(),
        source,
    })?;
    Ok(vec![
        write_file(dir, "capacity.html", &Html { page: &page }.render()?)?,
        write_file(dir, "capacity.md", &page.markdown())?,
    ])
}

impl Page {
    fn of(plan: &CapacityPlan) -> Result<Self, ReportError> {
        let (mut answers, mut evidence) = (Vec::new(), Vec::new());
        for group in &plan.groups {
            let mut sentences = words::answers(plan, group);
            sentences.extend(group.proxies.iter().filter_map(words::outlook));
            answers.push(Section {
                heading: format!("On {}", words::title(group)),
                sentences,
                plots: Vec::new(),
                tables: std::iter::once(tables::answer(plan, group))
                    .chain(tables::moves(group))
                    .collect(),
            });
            let conditions = group.proxies.first().map_or(0, |proxy| proxy.conditions.len());
            let mut drawn = Vec::new();
            for at in 0..conditions {
                drawn.extend(super::plot::draw(group, at)?);
            }
            let rest = [tables::outlook(group), tables::models(group), tables::gaps(group)];
            evidence.push(Section {
                heading: format!("Evidence, {}", words::title(group)),
                sentences: Vec::new(),
                plots: drawn,
                tables: rest.into_iter().flatten().collect(),
            });
        }
        Ok(Self {
            title: "vipbench capacity plan".to_owned(),
            summary: summary(plan),
            answers,
            caveats: words::caveats(plan),
            evidence,
            method: words::METHOD,
            style: plots::style_sheet(),
        })
    }

    fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.title, markdown::escape(&self.summary));
        for section in &self.answers {
            section.markdown(&mut text);
        }
        text.push_str("## What to know\n\n");
        markdown::list(&mut text, self.caveats.iter().map(String::as_str));
        for section in &self.evidence {
            section.markdown(&mut text);
        }
        text.push_str("## Method and limits\n\n");
        markdown::list(&mut text, self.method.into_iter());
        text
    }
}

impl Section {
    fn markdown(&self, text: &mut String) {
        let _ = writeln!(text, "## {}\n", markdown::escape(&self.heading));
        markdown::list(text, self.sentences.iter().map(String::as_str));
        let behind_plots = self.plots.iter().map(|plot| &plot.table);
        self.tables.iter().chain(behind_plots).for_each(|table| markdown::table_text(text, table));
    }
}

fn summary(plan: &CapacityPlan) -> String {
    let mut parts = vec![format!("Budget: {}", plan.slo)];
    if let Some(asked) = &plan.asked {
        let services = crate::format::thousands(asked.services);
        parts.push(match (&asked.source, asked.endpoints) {
            (Some(source), Some(endpoints)) => format!(
                "Cluster {}: {services} Services, {} endpoints",
                crate::format::plain(&source.display().to_string()),
                crate::format::thousands(endpoints)
            ),
            _ => format!("asked for {services} Services"),
        });
    }
    parts.push(format!("from {}", crate::format::list(&plan.runs)));
    parts.push(format!("measured with vipbench {}", plan.tool_versions.join(", ")));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Asked, Calibration, CapacityError, Options, plan};
    use crate::fixture;
    use tempfile::TempDir;

    fn asked(services: u64) -> Options {
        let asked = Asked { services, endpoints: Some(services * 3), source: None };
        Options { asked: Some(asked), calibration: None }
    }

    #[test]
    fn the_page_is_one_small_file_with_the_answer_first_and_numbers_behind_each_plot() {
        let plan =
            plan(&[fixture::stored()], "connect.p50 < 200k and sync.full < 2G", &asked(5_000))
                .unwrap();
        let dir = TempDir::new().unwrap();
        let files = write(&plan, &dir.path().join("new")).unwrap();
        let html = std::fs::read_to_string(&files[0]).unwrap();
        for fetched in ["http:", "https:", "src=", "<link", "<script", "@import", "url(", "<iframe"]
        {
            assert!(!html.contains(fetched), "{fetched}");
        }
        assert!(html.len() < 2_000_000 && !html.contains("NaN"), "{} bytes", html.len());
        assert_eq!(html.matches("<svg").count(), 2);
        assert_eq!(html.matches("<summary>Numbers of this plot</summary>").count(), 2);
        let answer = html.find("95% interval").unwrap();
        assert!(
            answer < html.find("<svg").unwrap() && answer < html.find("Method and limits").unwrap()
        );
        assert!(html.contains("3.0 endpoints a Service"), "another shape is said");
        let markdown = std::fs::read_to_string(&files[1]).unwrap();
        assert!(markdown.contains("No nftables proxy is in these runs"));
    }

    #[test]
    fn stored_and_typed_text_is_escaped() {
        let mut run = fixture::stored();
        run.dir = "<script>".into();
        run.record.tool_version = "<b>".into();
        for cell in &mut run.cells {
            cell.labels.kernel = "<img onerror=x>".into();
        }
        let plan = plan(&[run], "connect.p50 < 200k", &Options::default()).unwrap();
        let dir = TempDir::new().unwrap();
        let html = std::fs::read_to_string(&write(&plan, dir.path()).unwrap()[0]).unwrap();
        assert!(["<script", "<b>", "<img"].iter().all(|tag| !html.contains(tag)));
    }

    #[test]
    fn time_on_the_instructions_clock_needs_a_calibration_and_is_then_marked() {
        let slo = "connect.p50 < 100us";
        let refused = plan(&[fixture::stored()], slo, &Options::default()).unwrap_err();
        assert!(matches!(refused, CapacityError::TimeOnInstructions { .. }));
        assert!(refused.to_string().contains("--instructions-per-ns"), "{refused}");
        let options = Options { asked: None, calibration: Some(Calibration::Stated(1.0, 2.0)) };
        let estimated = plan(&[fixture::stored()], slo, &options).unwrap();
        assert!(text(&estimated).contains("Every figure is an estimate"));
    }

    #[test]
    fn one_size_or_no_such_metric_is_said_with_the_remedy() {
        let one = plan(&[fixture::wall()], "connect.p50 < 100us", &Options::default()).unwrap();
        assert!(
            text(&one).contains("1 size was measured, at least 3 are needed"),
            "{}",
            text(&one)
        );
        let refused = plan(&[fixture::wall()], "vip_bind < 1s", &Options::default()).unwrap_err();
        assert!(refused.to_string().contains("nothing of vip_bind"), "{refused}");
        let unit = plan(&[fixture::wall()], "connect.p50 < 100k", &Options::default()).unwrap_err();
        assert!(unit.to_string().contains("give a time, such as 500us"), "{unit}");
    }

    #[test]
    fn extreme_numbers_neither_panic_nor_hang() {
        let mut run = fixture::stored();
        for (at, cell) in run.cells.iter_mut().enumerate() {
            for metric in &mut cell.metrics {
                let values = vec![[1, u64::MAX, 7][at % 3]; 3];
                metric.data = crate::record::Distribution::Values { values };
            }
        }
        let plan = plan(&[run], "connect.p50 < 200k", &asked(u64::MAX / 4)).unwrap();
        let dir = TempDir::new().unwrap();
        let html = std::fs::read_to_string(&write(&plan, dir.path()).unwrap()[0]).unwrap();
        assert!(!html.contains("NaN"));
    }
}
