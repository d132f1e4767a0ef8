//! Several kernels side by side: those measured at one place on one clock, in version order, each
//! against a reference and its neighbour.
//!
//! Computes and looks up; `findings` puts the largest changes into words, `tables` makes tables,
//! `plot` draws.

pub(crate) mod findings;
pub(crate) mod plot;
pub(crate) mod tables;

use itertools::Itertools as _;

use crate::compare::{CompareError, Comparison, Effect, Side, Statistic, compare};
use crate::format::plain;
use crate::kernel::{KernelError, choose, short_names};
use crate::metrics::{CONNECT, SYNC_FULL, TOTAL};
use crate::proxies::Proxies;
use crate::record::Unit;
use crate::view::{Group, View};

/// Kernels that may be compared: one place, one clock. At least two.
#[derive(Debug)]
pub(crate) struct Family<'v> {
    /// One a kernel, in version order.
    pub groups: &'v [Group<'v>],
    /// Names of the kernels: short, and each unlike the others.
    pub names: Vec<String>,
    /// Index of the kernel that others are compared with.
    pub reference: usize,
    /// From the reference to each kernel; absent for the reference itself.
    pub against_reference: Vec<Option<Comparison>>,
    /// From each kernel to the next.
    pub steps: Vec<Comparison>,
}

/// What is known of one number on one kernel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KernelValue {
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
    let releases = view.groups.iter().map(|group| group.key.kernel.as_str());
    let releases = releases.sorted().dedup().collect_vec();
    let wanted = wanted.map(|wanted| choose(&releases, wanted)).transpose()?;
    let families: Vec<&[Group<'_>]> = view.families().filter(|family| family.len() > 1).collect();
    if families.is_empty() {
        return Ok(Vec::new());
    }
    let all = Side::of(view.runs)?;
    families.into_iter().map(|groups| Ok(Family::of(groups, &all, wanted)?)).collect()
}

impl<'v> Family<'v> {
    fn of(groups: &'v [Group<'v>], all: &Side, wanted: Option<&str>) -> Result<Self, CompareError> {
        let keys = groups.iter().map(|group| &group.key);
        let sides: Vec<Side> = keys.map(|key| all.of_group(key)).collect();
        let releases: Vec<&str> = groups.iter().map(|group| group.key.kernel.as_str()).collect();
        let reference = releases.iter().position(|one| Some(*one) == wanted).unwrap_or(0);
        let against = |(at, side): (usize, &Side)| {
            (at != reference).then(|| compare(&sides[reference], side)).transpose()
        };
        let step = |pair: &[Side]| compare(&pair[0], &pair[1]);
        Ok(Self {
            groups,
            names: short_names(&releases),
            reference,
            against_reference: sides.iter().enumerate().map(against).collect::<Result<_, _>>()?,
            steps: sides.windows(2).map(step).collect::<Result<_, _>>()?,
        })
    }

    /// For headings: `guest, instructions clock`.
    pub fn title(&self) -> String {
        self.groups[0].key.place_and_clock()
    }

    /// For file names: `guest.instructions`.
    pub fn slug(&self) -> String {
        let key = &self.groups[0].key;
        format!("{}.{}{}", key.place, key.clock, key.path.suffix())
    }

    /// Unit of the timings.
    pub fn unit(&self) -> Unit {
        self.groups[0].unit()
    }

    /// Short name of the reference kernel.
    pub fn reference_name(&self) -> &str {
        &self.names[self.reference]
    }

    /// What the runs tell of their proxies.
    pub fn known(&self) -> &'v Proxies {
        &self.groups[0].known
    }

    /// Proxies that have this number on any kernel, or cells that should have it, in the fixed
    /// order.
    pub fn proxies(&self, quantity: Quantity<'_>) -> Vec<&'v str> {
        let of = |group: &'v Group<'v>| {
            let planned = group.gaps().filter(|cell| cell.labels.measure == quantity.measure);
            let planned = planned.map(|cell| cell.labels.proxy.as_str());
            group.proxies(quantity.metric, quantity.label).into_iter().chain(planned)
        };
        self.known().sorted(self.groups.iter().flat_map(of))
    }

    /// Sizes at which any kernel has this number, ascending.
    pub fn sizes(&self, quantity: Quantity<'_>) -> Vec<u64> {
        let of = |group: &Group<'_>| group.sizes(quantity.metric, quantity.label);
        self.groups.iter().flat_map(of).sorted().dedup().collect()
    }

    /// The size at which most proxies and kernels have this number and its ratio; of several such
    /// sizes the largest.
    pub fn common_size(&self, quantity: Quantity<'_>) -> Option<u64> {
        let proxies = self.proxies(quantity);
        let has_ratio =
            |point: &KernelValue| matches!(point, KernelValue::Measured { ratio: Some(_), .. });
        let ratios = |size: u64| {
            let points = proxies.iter().flat_map(|proxy| self.values(quantity, proxy, size));
            points.filter(has_ratio).count()
        };
        self.sizes(quantity).into_iter().max_by_key(|size| (ratios(*size), *size))
    }

    /// `connect` to the worst position that any kernel has.
    pub fn connect(&self) -> Option<Quantity<'v>> {
        let labels = self.groups.iter().filter_map(|group| group.worst_position(CONNECT.name));
        let label = labels.max_by_key(|label| *label == "last")?;
        Some(Quantity { measure: "connect", metric: CONNECT.name, label })
    }

    /// Handing a full sync to the kernel; where that part is not measured, the whole.
    pub fn full_sync(&self) -> Option<Quantity<'v>> {
        let metric = SYNC_FULL.name;
        let has = |label: &&str| self.groups.iter().any(|one| !one.sizes(metric, label).is_empty());
        let label = ["submit", TOTAL].into_iter().find(has)?;
        Some(Quantity { measure: "sync", metric, label })
    }

    /// One number on each kernel.
    pub fn values(&self, quantity: Quantity<'_>, proxy: &str, services: u64) -> Vec<KernelValue> {
        let comparisons = self.against_reference.iter().map(Option::as_ref);
        let kernels = self.groups.iter().zip(comparisons);
        kernels.map(|kernel| value(kernel, quantity, proxy, services)).collect()
    }
}

/// One number on one kernel, which was compared with the reference unless it is that.
fn value(
    (group, against_reference): (&Group<'_>, Option<&Comparison>),
    quantity: Quantity<'_>,
    proxy: &str,
    services: u64,
) -> KernelValue {
    let Quantity { measure, metric, label } = quantity;
    if let Some(spread) = group.stat(metric, label, proxy, services, 0.5) {
        let ratio = match against_reference {
            None => Some(1.0),
            Some(comparison) => ratio(comparison, quantity, proxy, services),
        };
        return KernelValue::Measured { value: spread.median, ratio };
    }
    let cell = group.gaps().find(|cell| {
        let labels = &cell.labels;
        (&*labels.measure, &*labels.proxy, labels.services) == (measure, proxy, services)
    });
    let (outcome, reason) = match cell {
        Some(cell) => (cell.outcome.kind(), cell.outcome.reason().unwrap_or_default()),
        None => ("not run", "no such cell is in the runs of this report".to_owned()),
    };
    KernelValue::Missing { outcome, reason: plain(&reason) }
}

fn ratio(
    comparison: &Comparison,
    quantity: Quantity<'_>,
    proxy: &str,
    services: u64,
) -> Option<f64> {
    let wanted = (quantity.metric, quantity.label, proxy, services);
    let is_wanted = |Effect { subject, .. }: &&Effect| {
        let found = (&*subject.metric, &*subject.label, &*subject.proxy, subject.services);
        found == wanted && subject.statistic != Statistic::P99
    };
    let ratio = comparison.effects.iter().find(is_wanted)?.gross.ratio?;
    Some(ratio.median).filter(|ratio| *ratio > 0.0)
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
        assert_eq!(families[0].names, ["5.10", "6.1", "6.12", "7.2"]);
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
        let KernelValue::Measured { ratio: Some(ratio), .. } =
            family.values(LAST, "iptables-nft", 1000)[0]
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
        let missing =
            |outcome, reason: &str| KernelValue::Missing { outcome, reason: reason.to_owned() };
        assert_eq!(
            family.values(LAST, "iptables-legacy", 1000)[3],
            missing("unsupported", "the kernel has no ip_tables")
        );
        assert_eq!(family.values(LAST, "ipvs", 1000)[3], missing("invalid", "kernel splat"));
        assert!(matches!(
            family.values(LAST, "ipvs", 77)[3],
            KernelValue::Missing { outcome: "not run", .. }
        ));
    }
}
