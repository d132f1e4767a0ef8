//! Several kernels side by side: those measured at one place on one clock, in version order, each
//! against a reference and its neighbour.
//!
//! Computes and looks up; `findings` puts the largest changes into words, `tables` makes tables,
//! `plot` draws.

pub(crate) mod findings;
pub(crate) mod plot;
pub(crate) mod tables;

use std::collections::BTreeSet;

use crate::compare::{CompareError, Comparison, Side, Statistic, compare};
use crate::format::plain;
use crate::kernel::{KernelError, choose, short_names};
use crate::metrics::{CONNECT, SYNC_FULL, TOTAL};
use crate::proxies::Proxies;
use crate::record::{CellRecord, Clock, Place, Unit};
use crate::view::{Group, View};

/// Kernels that may be compared: one place, one clock. At least two.
#[derive(Debug)]
pub(crate) struct Family<'v> {
    pub place: Place,
    pub clock: Clock,
    /// In version order.
    pub kernels: Vec<Kernel<'v>>,
    /// Index of the kernel that others are compared with.
    pub reference: usize,
    /// From each kernel to the next.
    pub steps: Vec<Comparison>,
}

/// One kernel of a family.
#[derive(Debug)]
pub(crate) struct Kernel<'v> {
    pub group: &'v Group<'v>,
    /// Short, and unlike that of any other kernel of the family.
    pub name: String,
    /// Set against the reference; absent for the reference itself.
    pub against_reference: Option<Comparison>,
}

/// What is known of one number on one kernel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Point {
    /// Median over the seeds, and its ratio to the reference kernel's if that has the number too.
    Measured { value: f64, ratio: Option<f64> },
    /// No number: what happened in one word, and why.
    Missing { outcome: &'static str, reason: String },
}

/// A number that every kernel may have: metric and label, p50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity<'q> {
    /// Group of metrics that its cells measure.
    pub measure: &'q str,
    pub metric: &'q str,
    pub label: &'q str,
}

/// Why kernels cannot be set side by side.
#[derive(Debug, thiserror::Error)]
pub enum KernelsError {
    /// Their runs cannot be compared.
    #[error("cannot compare kernels: {0}")]
    Compare(#[from] CompareError),
    /// The reference kernel is not there.
    #[error("--reference-kernel: {0}")]
    Reference(#[from] KernelError),
}

/// Every family of a view. `wanted` chooses the reference by the beginning of its release; without
/// it, or in a family that does not hold it, the oldest kernel is the reference.
///
/// # Errors
/// No family holds the wanted kernel, or its name is ambiguous; values that cannot be decoded.
pub(crate) fn families<'v>(
    view: &'v View<'v>,
    wanted: Option<&str>,
) -> Result<Vec<Family<'v>>, KernelsError> {
    let releases: BTreeSet<&str> =
        view.groups.iter().map(|group| group.key.kernel.as_str()).collect();
    let releases: Vec<&str> = releases.into_iter().collect();
    let wanted = wanted.map(|wanted| choose(&releases, wanted)).transpose()?;
    let mut families: Vec<Family<'v>> = Vec::new();
    let mut side = None;
    for chunk in
        view.groups.chunk_by(|a, b| (a.key.clock, a.key.place) == (b.key.clock, b.key.place))
    {
        if chunk.len() < 2 {
            continue;
        }
        let all = match side.take() {
            Some(all) => all,
            None => Side::of(view.runs)?,
        };
        families.push(Family::of(chunk, &all, wanted)?);
        side = Some(all);
    }
    Ok(families)
}

impl<'v> Family<'v> {
    /// Of groups that share place and clock, in version order.
    fn of(groups: &'v [Group<'v>], all: &Side, wanted: Option<&str>) -> Result<Self, KernelsError> {
        let releases: Vec<&str> = groups.iter().map(|group| group.key.kernel.as_str()).collect();
        let reference = releases.iter().position(|one| Some(*one) == wanted).unwrap_or(0);
        let sides: Vec<Side> = groups
            .iter()
            .map(|group| all.of_group(&group.key.kernel, group.key.place, group.key.clock))
            .collect();
        let mut kernels = Vec::new();
        let names = short_names(&releases);
        for (at, (group, name)) in groups.iter().zip(names).enumerate() {
            let against_reference = match (sides.get(reference), sides.get(at)) {
                (Some(base), Some(new)) if at != reference => Some(compare(base, new)?),
                _ => None,
            };
            kernels.push(Kernel { group, name, against_reference });
        }
        let steps = sides.windows(2).filter_map(|pair| match pair {
            [base, new] => Some(compare(base, new)),
            _ => None,
        });
        let steps = steps.collect::<Result<_, _>>()?;
        let (place, clock) = groups
            .first()
            .map_or((Place::Host, Clock::Wall), |group| (group.key.place, group.key.clock));
        Ok(Self { place, clock, kernels, reference, steps })
    }

    /// For headings: `guest, instructions clock`.
    pub fn title(&self) -> String {
        format!("{}, {} clock", self.place, self.clock)
    }

    /// For file names: `guest.instructions`.
    pub fn slug(&self) -> String {
        format!("{}.{}", self.place, self.clock)
    }

    /// Unit of the timings.
    pub fn unit(&self) -> Unit {
        self.clock.unit()
    }

    /// Short name of the reference kernel.
    pub fn reference_name(&self) -> &str {
        self.kernels.get(self.reference).map_or("", |kernel| &kernel.name)
    }

    /// What the runs tell of their proxies.
    pub fn known(&self) -> &'v Proxies {
        &self.kernels[0].group.known
    }

    /// Proxies that have this number on any kernel, or cells that should have it, in the fixed
    /// order.
    pub fn proxies(&self, quantity: Quantity<'_>) -> Vec<&'v str> {
        let mut proxies: Vec<&str> = Vec::new();
        for kernel in &self.kernels {
            let measured = kernel.group.proxies(quantity.metric, quantity.label);
            let planned =
                kernel.group.gaps().filter(|cell| cell.labels.measure == quantity.measure);
            for proxy in measured.into_iter().chain(planned.map(|cell| cell.labels.proxy.as_str()))
            {
                if !proxies.contains(&proxy) {
                    proxies.push(proxy);
                }
            }
        }
        self.known().sort(&mut proxies);
        proxies
    }

    /// Sizes at which any kernel has this number, ascending.
    pub fn sizes(&self, quantity: Quantity<'_>) -> Vec<u64> {
        let sizes: BTreeSet<u64> = self
            .kernels
            .iter()
            .flat_map(|kernel| kernel.group.sizes(quantity.metric, quantity.label))
            .collect();
        sizes.into_iter().collect()
    }

    /// The size at which most proxies and kernels have this number and its ratio; of several such
    /// sizes the largest.
    pub fn common_size(&self, quantity: Quantity<'_>) -> Option<u64> {
        let proxies = self.proxies(quantity);
        let ratios = |size: u64| {
            let points = proxies.iter().flat_map(|proxy| {
                (0..self.kernels.len()).map(move |at| self.point(at, quantity, proxy, size))
            });
            points.filter(|point| matches!(point, Point::Measured { ratio: Some(_), .. })).count()
        };
        self.sizes(quantity).into_iter().max_by_key(|size| (ratios(*size), *size))
    }

    /// `connect` to the worst position that any kernel has.
    pub fn connect(&self) -> Option<Quantity<'v>> {
        let labels =
            self.kernels.iter().filter_map(|kernel| kernel.group.worst_position(CONNECT.name));
        let label = labels.max_by_key(|label| *label == "last")?;
        Some(Quantity { measure: "connect", metric: CONNECT.name, label })
    }

    /// Handing a full sync to the kernel; where that part is not measured, the whole.
    pub fn full_sync(&self) -> Option<Quantity<'v>> {
        let metric = SYNC_FULL.name;
        let labels = ["submit", TOTAL];
        let label = labels.into_iter().find(|label| {
            self.kernels.iter().any(|kernel| !kernel.group.sizes(metric, label).is_empty())
        })?;
        Some(Quantity { measure: "sync", metric, label })
    }

    /// One number on one kernel.
    pub fn point(&self, at: usize, quantity: Quantity<'_>, proxy: &str, services: u64) -> Point {
        let Quantity { metric, label, .. } = quantity;
        let Some(kernel) = self.kernels.get(at) else { return missing(None) };
        let Some(spread) = kernel.group.stat(metric, label, proxy, services, 0.5) else {
            let cell = kernel.group.gaps().find(|cell| {
                let labels = &cell.labels;
                (labels.measure.as_str(), labels.proxy.as_str(), labels.services)
                    == (quantity.measure, proxy, services)
            });
            return missing(cell);
        };
        let ratio = match &kernel.against_reference {
            None => Some(1.0),
            Some(comparison) => ratio(comparison, quantity, proxy, services),
        };
        Point::Measured { value: spread.median, ratio }
    }
}

fn ratio(
    comparison: &Comparison,
    quantity: Quantity<'_>,
    proxy: &str,
    services: u64,
) -> Option<f64> {
    let effect = comparison.effects.iter().find(|effect| {
        let subject = &effect.subject;
        effect.statistic != Statistic::P99
            && (subject.metric.as_str(), subject.label.as_str())
                == (quantity.metric, quantity.label)
            && (subject.proxy.as_str(), subject.services) == (proxy, services)
    })?;
    effect.gross.ratio.map(|ratio| ratio.median).filter(|ratio| *ratio > 0.0)
}

fn missing(cell: Option<&CellRecord>) -> Point {
    match cell {
        Some(cell) => Point::Missing {
            outcome: cell.outcome.kind(),
            reason: plain(&cell.outcome.reason().unwrap_or_default()),
        },
        None => Point::Missing {
            outcome: "not run",
            reason: "no such cell is in the runs of this report".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const LAST: Quantity<'static> =
        Quantity { measure: "connect", metric: "connect", label: "last" };

    #[test]
    fn kernels_stand_in_version_order_with_the_oldest_as_reference() {
        let runs = [fixture::kernels(), fixture::wall()];
        let view = View::new(&runs).unwrap();
        let families = families(&view, None).unwrap();
        assert_eq!(families.len(), 1, "one kernel on the wall clock is no family");
        let names: Vec<&str> =
            families[0].kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, ["5.10", "6.1", "6.12", "7.2"]);
        assert_eq!((families[0].reference_name(), families[0].steps.len()), ("5.10", 3));
        assert_eq!(families[0].common_size(LAST), Some(100), "ipvs is invalid on 7.2 at 1,000");
        assert_eq!(families[0].proxies(LAST), ["none", "iptables-legacy", "iptables-nft", "ipvs"]);
    }

    #[test]
    fn a_reference_is_chosen_by_the_beginning_of_its_release() {
        let runs = [fixture::kernels()];
        let view = View::new(&runs).unwrap();
        let family = &families(&view, Some("6.12")).unwrap()[0];
        assert_eq!(family.reference_name(), "6.12");
        let Point::Measured { ratio: Some(ratio), .. } =
            family.point(0, LAST, "iptables-nft", 1000)
        else {
            panic!("no ratio");
        };
        assert!((ratio - 1.0 / 1.27).abs() < 0.005, "{ratio}");
        let error = families(&view, Some("4.19")).unwrap_err().to_string();
        assert!(error.contains("4.19") && error.contains("5.10.0-32-cloud-amd64"), "{error}");
    }

    #[test]
    fn a_missing_number_has_a_word_and_a_reason() {
        let runs = [fixture::kernels()];
        let view = View::new(&runs).unwrap();
        let family = &families(&view, None).unwrap()[0];
        let missing = |outcome, reason: &str| Point::Missing { outcome, reason: reason.to_owned() };
        assert_eq!(
            family.point(3, LAST, "iptables-legacy", 1000),
            missing("unsupported", "the kernel has no ip_tables")
        );
        assert_eq!(family.point(3, LAST, "ipvs", 1000), missing("invalid", "kernel splat"));
        assert!(matches!(
            family.point(3, LAST, "ipvs", 77),
            Point::Missing { outcome: "not run", .. }
        ));
    }
}
