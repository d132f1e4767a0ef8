//! Tables of several kernels: the numbers behind their plots, and what could not be compared.

use super::{Family, Point, Quantity};
use crate::compare::Unmatched;
use crate::compare::render::unmatched;
use crate::format::{Scale, fixed, thousands};
use crate::tables::{Table, number, text};

/// One row for each size, proxy and kernel: the number, its ratio to the reference kernel's, or why
/// there is none.
pub(crate) fn numbers(
    family: &Family<'_>,
    quantity: Quantity<'_>,
    sizes: &[u64],
    title: &str,
) -> Table {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for &services in sizes {
        for proxy in family.proxies(quantity) {
            for (at, kernel) in family.kernels.iter().enumerate() {
                let point = family.point(at, quantity, proxy, services);
                if let Point::Measured { value, .. } = point {
                    values.push(value);
                }
                rows.push((services, proxy, kernel.name.as_str(), point));
            }
        }
    }
    let scale = Scale::of(family.unit(), values);
    let ratio_to = format!("ratio to {}", family.reference_name());
    let columns = vec![
        number("Services"),
        text("proxy"),
        text("kernel"),
        number("p50"),
        number(ratio_to),
        text("without a number because"),
    ];
    let mut table = Table::new(format!("{title}, {}", scale.name()), "", columns);
    for (services, proxy, kernel, point) in rows {
        let [value, ratio, reason] = match point {
            Point::Measured { value, ratio } => {
                let ratio = ratio.map_or(String::new(), |ratio| fixed(ratio, 3));
                [scale.number(value), ratio, String::new()]
            }
            Point::Missing { outcome, reason } => {
                [String::new(), String::new(), format!("{outcome}: {reason}")]
            }
        };
        table.rows.push(vec![
            thousands(services),
            proxy.to_owned(),
            kernel.to_owned(),
            value,
            ratio,
            reason,
        ]);
    }
    table.cut()
}

/// Everything that some step between neighbours could not compare, each once.
pub(crate) fn not_compared(family: &Family<'_>) -> Option<Table> {
    let mut all: Vec<Unmatched> =
        family.steps.iter().flat_map(|step| step.unmatched.iter().cloned()).collect();
    all.sort();
    all.dedup();
    let mut table = unmatched(&all)?;
    "Not compared between neighbouring kernels".clone_into(&mut table.title);
    Some(table)
}
