//! `vipbench capacity search`: measures at few, well-placed sizes until the largest within a budget
//! is known closely enough.
//!
//! Between the scenario's smallest and largest size, by halving on a logarithmic scale: first the
//! middle, then an end, then between the largest size within the budget and the smallest over it.
//! Each step is a run of its own in the folder, so an interrupted search goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use results::Run;
use results::capacity::{self, PlanOptions, Slo};

use crate::cli::{CapacitySearchArgs, PageArgs, PrintArgs};
use crate::command::run::request;
use crate::console;
use crate::measure;
use crate::measure::spec::Measure;
use crate::run::check::Overrides;
use crate::run::{Ended, Interrupt, RunRequest};
use crate::scenario::Scenario;

/// The control; a budget may be relative to it.
const CONTROL: &str = "none";

/// The sizes that a search may use, and how close it has to come.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    low: u32,
    high: u32,
    /// Smallest size over the budget as a multiple of the largest within.
    ratio: f64,
}

/// What is known of one proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bracket {
    within: Option<u32>,
    over: Option<u32>,
}

/// Measures, and remembers each run.
struct Search<'a> {
    slo: &'a str,
    /// What each step is, but for proxy, size and folder.
    request: RunRequest,
    interrupt: &'a Interrupt,
    runs: BTreeMap<PathBuf, Run>,
}

pub(super) fn run(args: &CapacitySearchArgs) -> anyhow::Result<ExitCode> {
    // A mistake in it is found before anything is measured.
    let slo: Slo = args.slo.parse()?;
    let request = request(&args.run)?;
    let scenario = Scenario::read(&request.scenario)?;
    must_be_measured(&slo, &scenario.measures)?;
    let asked = &request.overrides;
    let sizes = if asked.services.is_empty() { &scenario.services } else { &asked.services };
    let bounds = bounds(sizes, args.within)?;
    let proxies = if asked.proxies.is_empty() { scenario.proxies } else { asked.proxies.clone() };
    let folder = request.output.clone().unwrap_or_else(|| Path::new("runs/capacity").to_owned());
    ensure!(
        proxies.iter().any(|proxy| proxy != CONTROL),
        "--proxy: {CONTROL} has no capacity; name another as well"
    );
    let interrupt = Interrupt::catch()?;
    let mut search =
        Search { slo: &args.slo, request, interrupt: &interrupt, runs: BTreeMap::new() };
    let with_control = slo.is_relative();
    for proxy in proxies.iter().filter(|proxy| *proxy != CONTROL) {
        search.proxy(proxy, with_control, bounds, &folder)?;
    }
    let sizes = search.runs.len();
    let runs: Vec<Run> = search.runs.into_values().collect();
    let plan = capacity::plan(&runs, &args.slo, &PlanOptions::default())?;
    let form = PrintArgs { markdown: false, json: args.run.json };
    let page = PageArgs { form, output: Some(folder) };
    crate::command::page::show(&capacity::document(&plan)?, &plan, "capacity", &page)?;
    if !form.json {
        let rivals = proxies.iter().filter(|proxy| *proxy != CONTROL).count();
        let as_fine = (rivals + usize::from(with_control)) * ladder(bounds);
        console::line(format_args!(
            "{sizes} pairs of proxy and size were measured; a ladder as fine has {as_fine}."
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A limit on what no cell gives would be found out after the first, and minutes.
fn must_be_measured(slo: &Slo, measures: &[Measure]) -> anyhow::Result<()> {
    let gives = |measure: &Measure, metric: &str| {
        measure::of(*measure).gives().any(|kind| kind.name == metric)
    };
    for metric in slo.metrics() {
        if !measures.iter().any(|measure| gives(measure, metric)) {
            let remedy = Measure::ALL.iter().find(|measure| gives(measure, metric));
            bail!(
                "--slo: the scenario does not measure {metric}; put {:?} among its `measures`",
                remedy.map_or("a measure that gives it", |measure| measure.name())
            );
        }
    }
    Ok(())
}

fn bounds(sizes: &[u32], within: u8) -> anyhow::Result<Bounds> {
    let (low, high) = sizes.iter().min().zip(sizes.iter().max()).context("services: name two")?;
    ensure!(low < high, "services: name two sizes, the smallest and the largest to look at");
    Ok(Bounds { low: *low, high: *high, ratio: 1.0 + f64::from(within) / 100.0 })
}

/// Sizes of a ladder from the smallest to the largest with the same steps as a search ends with.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a logarithm of a ratio of two sizes over that of more than 1: some hundreds at most"
)]
fn ladder(bounds: Bounds) -> usize {
    let steps = (f64::from(bounds.high) / f64::from(bounds.low)).ln() / bounds.ratio.ln();
    steps.ceil() as usize + 1
}

impl Search<'_> {
    fn proxy(
        &mut self,
        proxy: &str,
        with_control: bool,
        bounds: Bounds,
        folder: &Path,
    ) -> anyhow::Result<()> {
        let mut bracket = Bracket::default();
        while let Some(size) = bracket.next(bounds) {
            let mut runs = vec![self.step(proxy, size, folder)?];
            if with_control {
                runs.push(self.step(CONTROL, size, folder)?);
            }
            let is_within = self.is_within(&runs, size)?;
            let side = if is_within { "within" } else { "over" };
            console::note(format_args!("{proxy}: {size} Services are {side} the budget"));
            *if is_within { &mut bracket.within } else { &mut bracket.over } = Some(size);
        }
        Ok(())
    }

    /// One proxy at one size, measured now or earlier; gives the folder.
    fn step(&mut self, proxy: &str, services: u32, folder: &Path) -> anyhow::Result<PathBuf> {
        let output = folder.join(format!("{proxy}.{services}"));
        if self.runs.contains_key(&output) {
            return Ok(output);
        }
        let request = RunRequest {
            output: Some(output.clone()),
            resume: output.exists(),
            overrides: Overrides {
                proxies: vec![proxy.to_owned()],
                services: vec![services],
                ..self.request.overrides.clone()
            },
            ..self.request.clone()
        };
        match crate::run::run(&request, self.interrupt)? {
            Ended::Complete(done) => self.runs.insert(output.clone(), Run::read(&done)?),
            Ended::Planned { .. } => {
                bail!("--dry-run: what is measured next depends on what was found")
            }
            Ended::Interrupted { .. } => bail!("interrupted; the same command goes on"),
        };
        Ok(output)
    }

    /// Whether every condition of the budget held, in every seed and on every kernel. A cell
    /// without numbers did not hold.
    fn is_within(&self, folders: &[PathBuf], size: u32) -> anyhow::Result<bool> {
        let runs = folders.iter().filter_map(|folder| self.runs.get(folder).cloned());
        let runs: Vec<Run> = runs.collect();
        let plan = capacity::plan(&runs, self.slo, &PlanOptions::default())?;
        let mut proxies = plan.groups.iter().flat_map(|group| &group.proxies);
        Ok(proxies.all(|proxy| proxy.measured_within == Some(u64::from(size))))
    }
}

impl Bracket {
    /// The size to measure next; nothing when the answer is close enough, or lies outside of the
    /// bounds.
    fn next(self, bounds: Bounds) -> Option<u32> {
        let Bounds { low, high, ratio } = bounds;
        match (self.within, self.over) {
            (None, None) => between(low, high).or(Some(low)),
            (Some(within), None) => (within < high).then_some(high),
            (None, Some(over)) => (over > low).then_some(low),
            (Some(within), Some(over)) => {
                let is_close = f64::from(over) <= f64::from(within) * ratio;
                if is_close { None } else { between(within, over) }
            }
        }
    }
}

/// The middle on a logarithmic scale, to two digits if that is still between the two.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two sizes, which are u32"
)]
fn between(low: u32, high: u32) -> Option<u32> {
    let middle = (f64::from(low) * f64::from(high)).sqrt();
    let digit = 10_f64.powf(middle.log10().floor() - 1.0).max(1.0);
    let round = ((middle / digit).round() * digit) as u32;
    let inside = |size: &u32| (low + 1..high).contains(size);
    Some(round).filter(inside).or(Some(middle as u32).filter(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { low: 100, high: 20_000, ratio: 1.25 };

    /// Sizes that a search measures when `largest` is the answer, and where it ends.
    fn searched(largest: u32) -> (Vec<u32>, Bracket) {
        let (mut sizes, mut bracket) = (Vec::new(), Bracket::default());
        while let Some(size) = bracket.next(BOUNDS) {
            assert!(!sizes.contains(&size) && sizes.len() < 20, "{sizes:?}");
            sizes.push(size);
            *if size <= largest { &mut bracket.within } else { &mut bracket.over } = Some(size);
        }
        (sizes, bracket)
    }

    #[test]
    fn any_answer_is_found_with_few_sizes_and_as_closely_as_was_asked() {
        for largest in (100..20_000).step_by(37) {
            let (sizes, Bracket { within, over }) = searched(largest);
            let (within, over) = (within.unwrap(), over.unwrap());
            assert!(within <= largest && largest < over, "{largest}: {sizes:?}");
            assert!(f64::from(over) <= 1.25 * f64::from(within), "{largest}: {sizes:?}");
            assert!(sizes.len() <= 7 && sizes.len() * 3 < ladder(BOUNDS), "{largest}: {sizes:?}");
        }
    }

    #[test]
    fn a_limit_on_what_the_scenario_does_not_measure_is_told_with_the_measure_that_does() {
        let slo: Slo = "connect.p50 < 100k and sync.full.total < 1G".parse().unwrap();
        assert!(!slo.is_relative());
        must_be_measured(&slo, &[Measure::Connect, Measure::Sync]).unwrap();
        let error = must_be_measured(&slo, &[Measure::Connect]).unwrap_err().to_string();
        assert!(error.contains("sync.full") && error.contains("\"sync\""), "{error}");
        assert!("connect.p50 < 2x none".parse::<Slo>().unwrap().is_relative());
    }

    #[test]
    fn an_answer_outside_of_the_bounds_takes_two_sizes() {
        assert_eq!(searched(99).0, [1_400, 100]);
        assert_eq!(searched(50_000).0, [1_400, 20_000]);
    }

    #[test]
    fn sizes_without_room_between_them_end_a_search() {
        let tight = Bounds { low: 3, high: 4, ratio: 1.01 };
        assert_eq!(Bracket::default().next(tight), Some(3));
        assert_eq!(Bracket { within: Some(3), over: Some(4) }.next(tight), None);
    }
}
