//! Whole reports of made-up runs in all three forms.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::document;
use crate::document::{Detail, Document};
use crate::record::{Distribution, Outcome};
use crate::store::Run;
use crate::{fixture, print};

fn report(runs: &[Run]) -> Document {
    document(runs, None, Path::new("runs/example")).unwrap()
}

fn html(runs: &[Run]) -> String {
    print::html(&report(runs)).unwrap()
}

fn text(runs: &[Run], width: Option<u16>) -> String {
    print::terminal(&report(runs), width)
}

fn written(runs: &[Run], dir: &Path) -> Vec<PathBuf> {
    print::write(&document(runs, None, dir).unwrap(), dir, "report").unwrap()
}

#[test]
fn a_report_is_a_page_a_text_and_its_plots() {
    let dir = TempDir::new().unwrap();
    let paths = written(&[fixture::stored()], &dir.path().join("new"));
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.strip_prefix(dir.path().join("new")).unwrap().display().to_string())
        .collect();
    assert_eq!(names[..2], ["report.html", "report.md"]);
    assert_eq!(names.len(), 2 + 5, "{names:?}");
    assert!(paths.iter().all(|path| path.is_file()));
    // Again into the same place, with another run: replaced, not refused.
    written(&[fixture::wall()], &dir.path().join("new"));
}

#[test]
fn every_plot_that_the_text_links_to_is_written() {
    let dir = TempDir::new().unwrap();
    let paths = written(&[fixture::stored(), fixture::other_kernel()], dir.path());
    let text = fs::read_to_string(dir.path().join("report.md")).unwrap();
    let links: Vec<&str> =
        text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert_eq!(links.len(), paths.len() - 2);
    assert!(links.iter().all(|link| dir.path().join(link).is_file()), "{links:?}");
}

#[test]
fn extreme_numbers_neither_panic_nor_hang() {
    let mut run = fixture::wall();
    for (at, cell) in run.cells.iter_mut().enumerate() {
        cell.labels.services = [0, 1, u64::MAX][at % 3];
        cell.id = format!("{}.{at}", cell.labels.cell_id());
        for (number, metric) in cell.metrics.iter_mut().enumerate() {
            let values = [vec![], vec![0, 0], vec![u64::MAX, 1], vec![u64::MAX; 3]];
            metric.data = Distribution::Values { values: values[(at + number) % 4].clone() };
        }
    }
    let dir = TempDir::new().unwrap();
    let paths = written(&[run.clone()], dir.path());
    let page = fs::read_to_string(&paths[0]).unwrap();
    assert!(
        !page.contains("NaN") && !page.contains("inf%"),
        "a number that is none reached the page"
    );
    assert!(!text(&[run], Some(20)).is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let error = print::write(&report(&[fixture::wall()]), Path::new("/proc/none"), "report")
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("cannot create folder /proc/none/plots: "), "{error}");
}

#[test]
fn the_page_is_self_contained_and_small() {
    let html = html(&[fixture::stored(), fixture::other_kernel(), fixture::wall()]);
    for fetched in ["http:", "https:", "src=", "<link", "@import", "url(", "<iframe"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert!(html.contains("Content-Security-Policy"));
    assert_eq!(html.matches("<script>").count(), 1, "one script, whose digest the policy names");
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn the_answer_comes_first_then_a_table_a_plot_and_the_findings() {
    let html = html(&[fixture::stored()]);
    let places = [
        "At 10,000 Services on Linux 6.1: ipvs. Past the limit: iptables-legacy (good up to 1,000",
        "Holds for 10,000 Services (",
        "<table",
        "The rule: a proxy is good if",
        "<svg",
        "<h2>Findings</h2>",
        "(p50, median of 2 seeds)",
    ];
    let found = places.map(|words| html.find(words).unwrap_or_else(|| panic!("{words}")));
    assert!(found.is_sorted(), "{found:?}");
}

#[test]
fn a_terminal_gets_a_screenful_unless_everything_is_asked_for() {
    let document = report(&[fixture::kernels()]);
    let brief = print::detailed(&document, Detail::Top, Some(120));
    let full = print::terminal(&document, Some(120));
    assert!(brief.lines().count() <= 40 && full.lines().count() > 60, "{brief}");
    assert!(
        brief.contains("At 1,000 Services on Linux 5.10, 6.1 and 6.12: ipvs or iptables-legacy."),
        "{brief}"
    );
    assert!(brief.contains("vipbench show runs/example --full") && !full.contains("--full"));
}

#[test]
fn every_figure_leads_to_a_place_that_is_there() {
    let html = html(&[fixture::stored(), fixture::other_kernel()]);
    let links = html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links: Vec<&str> = links.collect();
    assert!(links.len() > 100);
    for link in links {
        assert!(html.contains(&format!("<tr id=\"{link}\"")), "{link}");
    }
}

#[test]
fn what_the_answer_rests_on_is_said_where_it_is_less_than_it_seems() {
    let lead = |size: u64| {
        let mut run = fixture::stored();
        run.cells.retain(|cell| cell.labels.measure != "sync" || cell.labels.services <= size);
        text(&[run], None)
    };
    assert!(!lead(10_000).contains("A Change was measured with up to"));
    assert!(lead(1_000).contains("A Change was measured with up to 1,000 Services alone."));
    assert!(lead(0).contains("That is by new connections alone"));
}

#[test]
fn a_run_without_connections_recommends_nothing_and_says_why() {
    let mut run = fixture::wall();
    run.cells.retain(|cell| cell.labels.measure == "sync");
    let text = text(&[run], None);
    assert!(text.contains("No proxy is recommended: this run measured sync, not new"), "{text}");
}

#[test]
fn every_plot_has_its_numbers_beside_it() {
    let html = html(&[fixture::stored()]);
    assert_eq!(html.matches("<svg").count(), 5);
    assert_eq!(html.matches("<summary>Numbers of this plot</summary>").count(), 5);
}

#[test]
fn several_kernels_have_a_section_before_those_of_each() {
    let html = html(&[fixture::kernels()]);
    let compared = html.find("<h2>Kernels compared, guest, instructions clock</h2>").unwrap();
    assert!(compared < html.find("<h2>Kernel 5.10.0").unwrap());
    assert_eq!(html.matches("<svg").count(), 3 + 4 * 5);
    assert!(html.contains("<code>vipbench explain runs/example --cell "));
    assert!(!html.contains("explain/"), "nothing was explained yet");
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn one_kernel_has_no_section_of_comparisons() {
    assert!(!html(&[fixture::stored(), fixture::wall()]).contains("Kernels compared"));
}

#[test]
fn stored_text_is_escaped() {
    let mut run = fixture::stored();
    run.record.scenario_name = "<script>alert(1)</script>".into();
    run.record.command.push("</code><b>".into());
    run.record.environment.facts.insert("<i>".into(), "&\"<u>".into());
    run.cells[0].warnings.push("<script>".into());
    run.cells[1].metrics.clear();
    run.cells[1].outcome = Outcome::Failed { reason: "<img onerror=x>".into() };
    let html = html(&[run]);
    for tag in ["<script>alert", "<b>", "<i>", "<u>", "<img"] {
        assert!(!html.contains(tag), "{tag}");
    }
}

#[test]
fn rows_of_one_size_stand_together() {
    let html = html(&[fixture::stored()]);
    assert!(html.contains("<tr class=\"starts\">"));
}

#[test]
fn a_whole_report_reads_as_expected() {
    let runs = [fixture::stored()];
    insta::assert_snapshot!(print::markdown(&report(&runs)));
}

#[test]
fn several_kernels_and_clocks_have_sections_of_their_own() {
    let runs = [fixture::wall(), fixture::stored(), fixture::other_kernel()];
    let text = print::markdown(&report(&runs));
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(
        heads,
        [
            "## Findings",
            "## Kernels compared, guest, instructions clock",
            "## Kernel 6.18.44, host, wall clock",
            "## Kernel 5.10.0-32-cloud-amd64, guest, instructions clock",
            "## Kernel 6.1.0-56-cloud-amd64, guest, instructions clock",
            "## What to know before using these numbers",
            "## How it was measured",
        ]
    );
    assert!(text.contains("The two clocks are never compared"));
}

#[test]
fn several_kernels_are_compared_with_the_control_first_and_a_command_each() {
    let runs = [fixture::kernels()];
    let text = print::markdown(&report(&runs));
    let control = text.find("Control, a new connection without a proxy (none), over all").unwrap();
    let finding = text.find("from 6.1 to 6.12 iptables-nft connect at ").unwrap();
    assert!(control < finding, "{text}");
    assert!(text.contains("](plots/kernels-map.guest.instructions.svg)"));
    assert!(text.contains("\n    vipbench explain runs/example --cell 6.1.0-56-cloud-amd64.guest"));
    assert!(text.contains("unsupported: the kernel has no ip_tables"), "{text}");
    let folded = text.find("<details><summary>On kernel 5.10.0").unwrap();
    let headline = text.find("With 1,000 Services (").unwrap();
    assert!(folded < headline, "the findings of four kernels are folded away");
}

#[test]
fn a_whole_run_reads_as_expected() {
    insta::assert_snapshot!(text(&[fixture::stored()], None));
}

#[test]
fn lines_keep_to_the_width_of_the_terminal() {
    let text = text(&[fixture::wall()], Some(60));
    assert!(text.lines().count() > 20, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
}
