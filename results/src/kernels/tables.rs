//! Tables of several kernels: the numbers behind their plots, and what could not be compared.

use itertools::{Itertools as _, iproduct};

use super::{Family, KernelValue, Quantity};
use crate::compare::render::unmatched;
use crate::format::{Scale, fixed, thousands};
use crate::tables::{Columns, Table};

/// One row for each size, proxy and kernel: the number, its ratio to the reference kernel's, or why
/// there is none.
pub(crate) fn numbers(
    family: &Family<'_>,
    quantity: Quantity<'_>,
    sizes: &[u64],
    title: &str,
) -> Table {
    let of_kernels = |(&services, proxy)| {
        let points = family.values(quantity, proxy, services);
        family.names.iter().zip(points).map(move |one| (services, proxy, one))
    };
    let rows = iproduct!(sizes, family.proxies(quantity)).flat_map(of_kernels).collect_vec();
    let value = |point: &KernelValue| match point {
        KernelValue::Measured { value, .. } => Some(*value),
        KernelValue::Missing { .. } => None,
    };
    let scale = Scale::of(family.unit(), rows.iter().filter_map(|(.., (_, point))| value(point)));
    Columns::of(rows)
        .number("Services", |(services, ..)| thousands(*services))
        .text("proxy", |(_, proxy, _)| (*proxy).to_owned())
        .text("kernel", |(.., (kernel, _))| (*kernel).clone())
        .number("p50", |(.., (_, point))| value(point).map_or(String::new(), |it| scale.number(it)))
        .number(format!("ratio to {}", family.reference_name()), |(.., (_, point))| match point {
            KernelValue::Measured { ratio: Some(ratio), .. } => fixed(*ratio, 3),
            _ => String::new(),
        })
        .text("without a number because", |(.., (_, point))| match point {
            KernelValue::Measured { .. } => String::new(),
            KernelValue::Missing { outcome, reason } => format!("{outcome}: {reason}"),
        })
        .titled(format!("{title}, {}", scale.name()), "")
        .cut()
}

/// Everything that some step between neighbours could not compare, each once.
pub(crate) fn not_compared(family: &Family<'_>) -> Option<Table> {
    let all = family.steps.iter().flat_map(|step| &step.unmatched).sorted().dedup();
    let title = "Not compared between neighbouring kernels".to_owned();
    Some(Table { title, ..unmatched(all)? })
}
