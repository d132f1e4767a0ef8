//! A summary for the terminal: the findings' headline and the main tables.

use std::fmt::Write as _;

use super::{ReportError, tables};
use crate::findings;
use crate::print::terminal::{grid, wrapped};
use crate::store::Run;
use crate::view::View;

/// Text for standard output, `width` columns wide; as wide as it needs to be without one.
///
/// # Errors
/// [`ReportError`] when runs cannot be reported together or a distribution cannot be decoded.
pub fn summary(runs: &[Run], width: Option<u16>) -> Result<String, ReportError> {
    let view = View::new(runs)?;
    let mut text = String::new();
    for (group, findings) in view.groups.iter().zip(findings::of_groups(&view)) {
        let _ = writeln!(text, "{}", findings.title);
        if let Some(headline) = &findings.headline {
            text.push_str(&wrapped(headline, width));
        }
        text.push('\n');
        let tables = tables::connections(group)
            .into_iter()
            .chain(tables::walked(group))
            .chain(tables::layout_connects(group))
            .chain(tables::layout_buckets(group))
            .chain(tables::sync_totals(group));
        tables.for_each(|table| text.push_str(&grid(&table, width)));
    }
    for table in [tables::gaps(&view), tables::warnings(&view)].into_iter().flatten() {
        text.push_str(&grid(&table, width));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_whole_run_reads_as_expected() {
        insta::assert_snapshot!(summary(&[fixture::stored()], None).unwrap());
    }

    #[test]
    fn lines_keep_to_the_width_of_the_terminal() {
        let text = summary(&[fixture::wall()], Some(60)).unwrap();
        assert!(text.lines().count() > 20, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }
}
