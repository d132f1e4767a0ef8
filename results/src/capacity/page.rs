//! A plan as a page: the answer, the evidence, method and limits.

use super::plan::{CapacityPlan, GroupPlan};
use super::{plot, sentences, tables};
use crate::document::{Block, Document};
use crate::format::{list, plain, thousands};
use crate::plots::PlotError;
use crate::tables::Table;

/// The page.
///
/// # Errors
/// [`PlotError`].
pub fn document(plan: &CapacityPlan) -> Result<Document, PlotError> {
    let mut document = Document::new("vipbench capacity plan", summary(plan));
    let blocks = &mut document.blocks;
    for group in &plan.groups {
        if plan.groups.len() > 1 {
            blocks.push(Block::Heading(2, format!("On {}", group.title())));
        }
        let estimated = if plan.calibration.is_some() { "Estimated: " } else { "" };
        blocks.push(Block::Lead(format!("{estimated}{}", sentences::lead(group))));
        blocks.push(tables::answer(plan, group).into());
        blocks.extend(details(plan, group));
    }
    let mut rest = vec![
        Block::Heading(2, "What to know".to_owned()),
        Block::List(sentences::caveats(plan)),
        Block::NewSheet,
    ];
    for group in &plan.groups {
        rest.extend(evidence(group)?);
    }
    rest.push(Block::OnPage(vec![
        Block::Heading(2, "Method and limits".to_owned()),
        Block::List(sentences::METHOD.map(str::to_owned).into()),
    ]));
    blocks.push(Block::InFull(rest));
    let more = "--full shows what moving changes, twice the size, the fits and their limits.";
    blocks.push(Block::InBrief(vec![Block::Text(more.to_owned())]));
    Ok(document)
}

/// What opens under the line a proxy: sentences, sizes, and what a move changes.
fn details(plan: &CapacityPlan, group: &GroupPlan) -> Vec<Block> {
    let mut sentences = sentences::answers(plan, group);
    sentences.extend(group.proxies.iter().filter_map(sentences::outlook));
    let tables = [tables::outlook(group), Some(tables::measured(group)), tables::moves(group)];
    let tables: Vec<Table> = tables.into_iter().flatten().collect();
    let on_terminal = tables.clone().into_iter().map(Block::from).collect();
    let mut folded = vec![Block::List(sentences)];
    folded.extend(tables.into_iter().map(Block::from));
    vec![
        Block::Folded(
            "Each proxy in sentences, twice the size, what a move changes".to_owned(),
            folded,
        ),
        Block::OnTerminal(vec![Block::InFull(on_terminal)]),
    ]
}

/// What was measured, the fits, and what could not be measured.
///
/// # Errors
/// [`PlotError`].
pub(crate) fn evidence(group: &GroupPlan) -> Result<Vec<Block>, PlotError> {
    let conditions = group.proxies.first().map_or(0, |proxy| proxy.conditions.len());
    let plots = (0..conditions).filter_map(|at| plot::draw(group, at).transpose());
    let mut blocks = vec![
        Block::Heading(2, format!("Evidence, {}", group.title())),
        Block::OnPage(vec![Block::Plots(plots.collect::<Result<_, _>>()?)]),
    ];
    let tables = [tables::models(group), tables::gaps(group)];
    blocks.extend(tables.into_iter().flatten().map(Block::from));
    Ok(blocks)
}

fn summary(plan: &CapacityPlan) -> String {
    let mut parts = vec![format!("Budget: {}", plan.slo)];
    if let Some(asked) = &plan.asked {
        let services = thousands(asked.services);
        parts.push(match (&asked.source, asked.endpoints) {
            (Some(source), Some(endpoints)) => format!(
                "Cluster {}: {services} Services, {} endpoints",
                plain(&source.display().to_string()),
                thousands(endpoints)
            ),
            _ => format!("asked for {services} Services"),
        });
    }
    parts.push(format!("from {}", list(&plan.runs)));
    parts.push(format!("measured with vipbench {}", plan.tool_versions.join(", ")));
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::{Asked, CapacityError, ClockRate, PlanOptions, plan};
    use crate::{fixture, print};

    fn text(plan: &CapacityPlan) -> String {
        print::terminal(&document(plan).unwrap(), None)
    }

    fn html(plan: &CapacityPlan) -> String {
        print::html(&document(plan).unwrap()).unwrap()
    }

    fn asked(services: u64) -> PlanOptions {
        let asked = Asked { services, endpoints: Some(services * 3), source: None };
        PlanOptions { asked: Some(asked), clock_rate: None }
    }

    #[test]
    fn the_page_is_one_small_file_with_the_answer_first_and_numbers_behind_each_plot() {
        let plan =
            plan(&[fixture::stored()], "connect.p50 < 200k and sync.full < 2G", &asked(5_000))
                .unwrap();
        let html = html(&plan);
        for fetched in ["http:", "https:", "src=", "<link", "@import", "url(", "<iframe"] {
            assert!(!html.contains(fetched), "{fetched}");
        }
        assert!(html.len() < 2_000_000 && !html.contains("NaN"), "{} bytes", html.len());
        assert_eq!(html.matches("<svg").count(), 2);
        assert_eq!(html.matches("<summary>Numbers of this plot</summary>").count(), 2);
        assert!(html.contains("At 5,000 Services within the budget: ipvs (uses "), "{html}");
        let answer = html.find("95% interval").unwrap();
        assert!(
            answer < html.find("<svg").unwrap() && answer < html.find("Method and limits").unwrap()
        );
        assert!(html.contains("3.0 endpoints a Service"), "another shape is said");
        let markdown = print::markdown(&document(&plan).unwrap());
        assert!(markdown.contains("No nftables proxy is in these runs"));
    }

    #[test]
    fn stored_and_typed_text_is_escaped() {
        let mut run = fixture::stored();
        run.dir = "<script>alert".into();
        run.record.tool_version = "<b>".into();
        for cell in &mut run.cells {
            cell.labels.kernel = "<img onerror=x>".into();
        }
        let plan = plan(&[run], "connect.p50 < 200k", &PlanOptions::default()).unwrap();
        let html = html(&plan);
        assert!(["<script>alert", "<b>", "<img"].iter().all(|tag| !html.contains(tag)));
    }

    #[test]
    fn time_on_the_instructions_clock_needs_a_calibration_and_is_then_marked() {
        let slo = "connect.p50 < 100us";
        let refused = plan(&[fixture::stored()], slo, &PlanOptions::default()).unwrap_err();
        assert!(matches!(refused, CapacityError::TimeOnInstructions { .. }));
        assert!(refused.to_string().contains("--instructions-per-ns"), "{refused}");
        let rate = ClockRate::Stated(1.0, 2.0);
        let options = PlanOptions { asked: None, clock_rate: Some(rate) };
        let estimated = plan(&[fixture::stored()], slo, &options).unwrap();
        assert!(text(&estimated).contains("Every figure is an estimate"));
    }

    #[test]
    fn one_size_or_no_such_metric_is_said_with_the_remedy() {
        let one = plan(&[fixture::wall()], "connect.p50 < 100us", &PlanOptions::default()).unwrap();
        assert!(
            text(&one).contains("1 size was measured, at least 3 are needed"),
            "{}",
            text(&one)
        );
        let refused =
            plan(&[fixture::wall()], "vip_bind < 1s", &PlanOptions::default()).unwrap_err();
        assert!(refused.to_string().contains("no values of vip_bind"), "{refused}");
        let unit =
            plan(&[fixture::wall()], "connect.p50 < 100k", &PlanOptions::default()).unwrap_err();
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
        let html = html(&plan);
        assert!(!html.contains("NaN"));
    }
}
