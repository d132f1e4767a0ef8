//! The report as Markdown: findings, tables, and links to the plots.

use std::fmt::Write as _;

use super::page::{Block, KernelSection, Page};
use crate::findings::Finding;
use crate::kernels::findings::KernelFindings;
use crate::print::markdown::{escape, list, table_text};

/// The whole text.
pub(super) fn render(page: &Page) -> String {
    let mut text = format!("# {}\n\n{}\n\n", escape(&page.title), escape(&page.summary));
    let alone = page.sections.len() == 1;
    for section in page.sections.iter().filter(|_| page.headlines_first()) {
        if !alone {
            let _ = writeln!(text, "**On {}:**", escape(&section.findings.title));
        }
        if let Some(headline) = &section.findings.headline {
            let _ = writeln!(text, "{}\n", escape(headline));
        }
    }
    list(&mut text, page.across.iter().map(String::as_str));
    page.kernels.iter().for_each(|section| kernels_text(&mut text, section));
    for section in &page.sections {
        let _ = writeln!(text, "## {}\n", escape(&section.heading()));
        if let Some(headline) =
            section.findings.headline.as_ref().filter(|_| !page.headlines_first())
        {
            let _ = writeln!(text, "{}\n", escape(headline));
        }
        for Finding { topic, text: sentences } in &section.findings.items {
            let _ = writeln!(text, "- **{topic}.** {}", escape(sentences));
        }
        text.push('\n');
        for block in &section.blocks {
            block_text(&mut text, block);
        }
    }
    if !page.problems.is_empty() {
        text.push_str("## What to know before using these numbers\n\n");
        page.problems.iter().for_each(|table| table_text(&mut text, table));
    }
    text.push_str("## How it was measured\n\n");
    for command in &page.commands {
        let _ = writeln!(text, "    {command}\n");
    }
    list(&mut text, page.method.iter().copied());
    page.surroundings.iter().for_each(|table| table_text(&mut text, table));
    text
}

/// Several kernels: the control, the plots, the findings with their commands.
fn kernels_text(text: &mut String, section: &KernelSection) {
    let _ = writeln!(text, "## {}\n\n{}\n", escape(&section.heading), escape(&section.note));
    list(text, section.findings.controls.iter().map(String::as_str));
    for plot in &section.plots {
        let _ = writeln!(text, "![{}](plots/{}.svg)\n", escape(&plot.title), plot.name);
    }
    let KernelFindings { lines, left_out, .. } = &section.findings;
    if !lines.is_empty() {
        text.push_str("**What changed most, without a proxy first**\n\n");
        text.push_str("| change | net of none | finding |\n|--:|--:|---|\n");
    }
    for line in lines {
        let links: Vec<String> =
            line.explained.iter().map(|(kind, path)| format!("[{kind}]({path})")).collect();
        let links = if links.is_empty() {
            String::new()
        } else {
            format!("; explained: {}", links.join(", "))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {}{links} |",
            escape(&line.change),
            escape(&line.net),
            escape(&line.words)
        );
    }
    if *left_out > 0 {
        let _ = writeln!(text, "\n{left_out} smaller changes: `vipbench compare --all`.");
    }
    if lines.iter().any(|line| line.command.is_some()) {
        text.push_str("\nWhere the largest come from, one command each, in the same order:\n");
    }
    for command in lines.iter().filter_map(|line| line.command.as_ref()) {
        let _ = write!(text, "\n    {command}");
    }
    text.push_str("\n\n");
    section
        .tables
        .iter()
        .chain(section.plots.iter().map(|plot| &plot.table))
        .for_each(|table| table_text(text, table));
}

fn block_text(text: &mut String, block: &Block) {
    let _ = writeln!(text, "### {}\n", block.heading);
    for plot in &block.plots {
        let _ = writeln!(text, "![{}](plots/{}.svg)\n", escape(&plot.title), plot.name);
    }
    for table in block.tables.iter().chain(&block.more) {
        table_text(text, table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::report::Options;
    use crate::view::View;
    use std::path::Path;

    #[test]
    fn a_whole_report_reads_as_expected() {
        let runs = [fixture::stored()];
        let page =
            Page::of(&View::new(&runs).unwrap(), &Options::default(), Path::new("runs/example"))
                .unwrap();
        insta::assert_snapshot!(render(&page));
    }

    #[test]
    fn several_kernels_and_clocks_have_sections_of_their_own() {
        let runs = [fixture::wall(), fixture::stored(), fixture::other_kernel()];
        let text = render(
            &Page::of(&View::new(&runs).unwrap(), &Options::default(), Path::new("runs/example"))
                .unwrap(),
        );
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(
            heads,
            [
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
        let view = View::new(&runs).unwrap();
        let text =
            render(&Page::of(&view, &Options::default(), Path::new("runs/example")).unwrap());
        let control =
            text.find("Control, a new connection without a proxy (none), over all").unwrap();
        let finding = text.find("from 6.1 to 6.12 iptables-nft connect at ").unwrap();
        assert!(control < finding, "{text}");
        assert!(text.contains("](plots/kernels-map.guest.instructions.svg)"));
        assert!(
            text.contains("\n    vipbench explain runs/example --cell 6.12.9-cloud-amd64.guest")
        );
        assert!(text.contains("unsupported: the kernel has no ip_tables"), "{text}");
        let headline = text.find("With 1,000 Services, a new connection").unwrap();
        assert!(headline > text.find("## Kernel 5.10.0").unwrap(), "four headlines are too many");
    }
}
