//! Tables of several kernels: the numbers behind their plots, and what could not be compared.

use std::collections::BTreeSet;

use super::{Family, KernelValue, Quantity};
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
    for &services in sizes {
        for proxy in family.proxies(quantity) {
            let points = family.values(quantity, proxy, services);
            rows.extend(family.names.iter().zip(points).map(|one| (services, proxy, one)));
        }
    }
    let value = |point: &KernelValue| match point {
        KernelValue::Measured { value, .. } => Some(*value),
        KernelValue::Missing { .. } => None,
    };
    let scale = Scale::of(family.unit(), rows.iter().filter_map(|(.., (_, point))| value(point)));
    let ratio_to = format!("ratio to {}", family.reference_name());
    let mut columns = vec![number("Services"), text("proxy"), text("kernel"), number("p50")];
    columns.extend([number(ratio_to), text("without a number because")]);
    let mut table = Table::new(format!("{title}, {}", scale.name()), "", columns);
    for (services, proxy, (kernel, point)) in rows {
        let mut row = vec![thousands(services), proxy.to_owned(), kernel.clone()];
        row.extend(match point {
            KernelValue::Measured { value, ratio } => {
                let ratio = ratio.map_or(String::new(), |ratio| fixed(ratio, 3));
                [scale.number(value), ratio, String::new()]
            }
            KernelValue::Missing { outcome, reason } => {
                [String::new(), String::new(), format!("{outcome}: {reason}")]
            }
        });
        table.rows.push(row);
    }
    table.cut()
}

/// Everything that some step between neighbours could not compare, each once.
pub(crate) fn not_compared(family: &Family<'_>) -> Option<Table> {
    let all: BTreeSet<Unmatched> =
        family.steps.iter().flat_map(|step| step.unmatched.iter().cloned()).collect();
    let title = "Not compared between neighbouring kernels".to_owned();
    Some(Table { title, ..unmatched(&all.into_iter().collect::<Vec<_>>())? })
}
