//! `vipbench kernels list`: kernels that the package sources offer, and those in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context;
use lab::image::{Cache, Kernel, Kernels, OfferedKernel, cached_kernels};
use serde::Serialize;

use super::megabytes;
use crate::cli::KernelsListArgs;
use crate::console;
use crate::run::progress::during;

/// One line of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Line {
    release: String,
    flavour: String,
    version: String,
    /// Suite that offers it; nothing for one that is only in the cache.
    suite: Option<String>,
    /// Size of its packages; nothing for one that is only in the cache.
    download_bytes: Option<u64>,
    /// What it takes in the cache; nothing when it is not there.
    cached_bytes: Option<u64>,
    /// A package it cannot do without and no source offers.
    missing: Option<String>,
    is_candidate: bool,
    #[serde(skip)]
    series: (u32, u32),
}

pub(super) fn run(args: &KernelsListArgs) -> anyhow::Result<ExitCode> {
    let cache = Cache::open()?;
    let offered = during(|progress| Kernels { cache: &cache, progress }.offered());
    let cached = cached_kernels(&cache);
    let offered = match offered {
        Ok(offered) => offered,
        // What is here can be listed and used all the same.
        Err(error) if !cached.is_empty() => {
            console::warn(format_args!("only kernels in the cache are listed: {error}"));
            Vec::new()
        }
        Err(error) => return Err(error).context("listing kernels"),
    };
    let mut lines = lines(&offered, &cached);
    if !args.all {
        lines = newest_only(lines);
    }
    if args.json {
        console::json(&lines)?;
    } else {
        console::line(in_words(&lines))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is offered, then what is in the cache and offered no more.
fn lines(offered: &[OfferedKernel], cached: &[Kernel]) -> Vec<Line> {
    let is_of = |kernel: &Kernel, offered: &OfferedKernel| {
        let image = kernel.manifest.packages.first();
        image.is_some_and(|image| image.name == offered.package && image.version == offered.version)
    };
    let from_source = offered.iter().map(|offered| Line {
        release: offered.release.clone(),
        flavour: offered.flavour.clone(),
        version: offered.version.clone(),
        suite: Some(offered.suite.clone()),
        download_bytes: Some(offered.download_bytes),
        cached_bytes: cached.iter().find(|kernel| is_of(kernel, offered)).map(Kernel::bytes),
        missing: offered.missing.clone(),
        is_candidate: offered.is_candidate,
        series: offered.series,
    });
    let here_only = cached
        .iter()
        .filter(|kernel| !offered.iter().any(|offered| is_of(kernel, offered)))
        .map(|kernel| Line {
            release: kernel.release.clone(),
            version: kernel.source.clone(),
            cached_bytes: Some(kernel.bytes()),
            ..Line::default()
        });
    from_source.chain(here_only).collect()
}

/// Of each series the line that `--kernel SERIES` would take, or if there is none the newest one
/// with its reason; and everything that is in the cache.
fn newest_only(lines: Vec<Line>) -> Vec<Line> {
    let rank = |line: &Line| {
        let flavour = ["generic", "amd64", "cloud-amd64"].iter().position(|f| *f == line.flavour);
        (line.missing.is_none(), flavour)
    };
    let mut best = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        // The list goes from old to new: of equals, the last is the newest.
        let ranked = (rank(line), at);
        best.entry(line.series).and_modify(|known| *known = ranked.max(*known)).or_insert(ranked);
    }
    let best: BTreeSet<usize> = best.into_values().map(|(_, at)| at).collect();
    let mut kept = lines.into_iter().enumerate().collect::<Vec<_>>();
    kept.retain(|(at, line)| line.cached_bytes.is_some() || best.contains(at));
    kept.into_iter().map(|(_, line)| line).collect()
}

fn in_words(lines: &[Line]) -> String {
    let mut table =
        console::table(["kernel", "version", "suite", "fetch, MB", "cached, MB", "note"]);
    for line in lines {
        let note = match (&line.missing, line.is_candidate) {
            (Some(part), _) => format!("not bootable: no source has {part}"),
            (None, true) => "release candidate".to_owned(),
            (None, false) => String::new(),
        };
        table.add_row([
            line.release.clone(),
            line.version.clone(),
            line.suite.clone().unwrap_or_default(),
            line.download_bytes.map(megabytes).unwrap_or_default(),
            line.cached_bytes.map_or("-".into(), megabytes),
            note,
        ]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(series: (u32, u32), flavour: &str, missing: bool, cached: bool) -> Line {
        Line {
            release: format!("{}.{}-{flavour}", series.0, series.1),
            flavour: flavour.into(),
            version: "1".into(),
            suite: Some("s".into()),
            download_bytes: Some(1),
            cached_bytes: cached.then_some(1),
            missing: missing.then(|| "linux-modules".into()),
            is_candidate: false,
            series,
        }
    }

    #[test]
    fn the_short_list_has_what_a_series_stands_for() {
        let (old, new) = ((6, 1), (7, 0));
        let mut older = line(old, "cloud-amd64", false, false);
        older.release = "older".into();
        let all = vec![
            older,
            line(old, "amd64", false, true),
            line(old, "cloud-amd64", false, false),
            line(old, "rt-amd64", false, false),
            line(new, "cloud-amd64", true, false),
            line(new, "amd64", true, false),
        ];
        let kept: Vec<String> = newest_only(all).into_iter().map(|line| line.release).collect();
        assert_eq!(kept, ["6.1-amd64", "6.1-cloud-amd64", "7.0-cloud-amd64"]);
    }
}
