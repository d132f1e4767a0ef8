//! The report as one HTML page that fetches nothing.

use askama::Template;

use super::ReportError;
use super::page::Page;

#[derive(Template)]
#[template(path = "report.html")]
struct Html<'a> {
    page: &'a Page,
}

/// The whole page.
pub(super) fn render(page: &Page) -> Result<String, ReportError> {
    Ok(Html { page }.render()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::record::Outcome;
    use crate::report::Options;
    use crate::store::Run;
    use crate::view::View;
    use std::path::Path;

    fn html(runs: &[Run]) -> String {
        render(
            &Page::of(&View::new(runs).unwrap(), &Options::default(), Path::new("runs/example"))
                .unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn the_page_is_self_contained_and_small() {
        let html = html(&[fixture::stored(), fixture::other_kernel(), fixture::wall()]);
        for fetched in ["http:", "https:", "src=", "<link", "<script", "@import", "url(", "<iframe"]
        {
            assert!(!html.contains(fetched), "{fetched}");
        }
        assert!(html.contains("Content-Security-Policy"));
        assert!(html.len() < 2_000_000, "{} bytes", html.len());
    }

    #[test]
    fn findings_come_before_any_table_or_plot() {
        let html = html(&[fixture::stored()]);
        let finding = html.find("a new connection to the last of them takes").unwrap();
        assert!(finding < html.find("<table").unwrap() && finding < html.find("<svg").unwrap());
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
        for tag in ["<script", "<b>", "<i>", "<u>", "<img"] {
            assert!(!html.contains(tag), "{tag}");
        }
    }

    #[test]
    fn rows_of_one_size_stand_together() {
        let html = html(&[fixture::stored()]);
        assert!(html.contains("<tr class=\"starts\">"));
    }
}
