//! `vipbench explain`: where a cell's instructions went, or where the difference between two cells
//! comes from.

use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::page;
use crate::cli::ExplainArgs;
use crate::explain::{Choice, Lens, choose};
use crate::run::progress::during;

/// The parts do not add up: nothing can be concluded from them.
const INVALID: u8 = 4;

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let run = results::Run::read(&args.run)?;
    let only = args.between.as_deref().map(range).transpose()?;
    let wanted =
        |cell| Choice { cell, metric: args.metric.as_deref(), label: args.label.as_deref() };
    let cell = choose(&run, wanted(&args.cell)).context("--cell")?;
    let against = match &args.against {
        None => None,
        Some(other) => {
            let like = Choice { cell: other, metric: Some(&cell.metric), label: Some(&cell.label) };
            Some(choose(&run, like).context("--against")?)
        }
    };
    let explanation = during(|show| Lens::new(&run, only, show)?.explain(&cell, against.as_ref()))?;
    let document = results::explain::document(&explanation, args.top)?;
    let files = results::explain::write(&explanation, &document, &args.run)?;
    page::print(&document, &explanation, args.form)?;
    page::name(&files, args.form)?;
    Ok(if explanation.adds_up() { ExitCode::SUCCESS } else { ExitCode::from(INVALID) })
}

/// `LEAST..MOST`, either of which may be left out.
fn range(text: &str) -> anyhow::Result<(u64, u64)> {
    let bound =
        |digits: &str, open: u64| if digits.is_empty() { Some(open) } else { digits.parse().ok() };
    let bounds = text
        .split_once("..")
        .and_then(|(least, most)| Some((bound(least, 0)?, bound(most, u64::MAX)?)));
    let (least, most) = bounds.with_context(|| {
        format!("--between {text}: write LEAST..MOST, for example 40000..43500")
    })?;
    ensure!(least <= most, "--between {text}: the least is more than the most");
    Ok((least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_may_be_open_at_either_end() {
        assert_eq!(range("5..9").unwrap(), (5, 9));
        assert_eq!(range("..9").unwrap(), (0, 9));
        assert_eq!(range("5..").unwrap(), (5, u64::MAX));
        for text in ["", "5", "9..5", "a..b", "1..2..3"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
