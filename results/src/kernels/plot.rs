//! Plots of several kernels of one place and clock: ladders of ratios and the map of numbers.

use crate::format::{self, thousands};
use crate::kernels::tables::numbers;
use crate::kernels::{Family, KernelValue, Quantity};
use crate::plots::heat::{Cell, Map, Row};
use crate::plots::ladder::{Ladder, Rung};
use crate::plots::{Drawing, Plot, PlotError, theme};
use crate::record::Unit;
use crate::tables::Table;

/// Every plot that the numbers of a family allow, in the order of the report.
pub(crate) fn of_family(family: &Family<'_>) -> Result<Vec<Plot>, PlotError> {
    let mut plots = Vec::new();
    if let Some(connect) = family.connect() {
        let what = match connect.label {
            "last" | "first" => format!("New connection to the {} of", connect.label),
            other => format!("New connection, position {} of", format::position(other)),
        };
        plots.extend(ladder(family, connect, "kernels-connect", &what)?);
    }
    if let Some(sync) = family.full_sync() {
        let what = match sync.label {
            "submit" => "Full sync, part submit, of",
            _ => "Full sync of",
        };
        plots.extend(ladder(family, sync, "kernels-sync", what)?);
    }
    plots.extend(map(family)?);
    Ok(plots)
}

fn plot(
    family: &Family<'_>,
    kind: &str,
    drawing: &dyn Drawing,
    table: Table,
) -> Result<Plot, PlotError> {
    let title = format!("{} ({})", drawing.title(), family.title());
    Plot::of(drawing, format!("{kind}.{}", family.slug()), title, table)
}

/// The unit in words, for a subtitle.
fn unit(family: &Family<'_>) -> &'static str {
    match family.unit() {
        Unit::Instructions => "instructions",
        _ => "wall time",
    }
}

fn ladder(
    family: &Family<'_>,
    quantity: Quantity<'_>,
    kind: &str,
    what: &str,
) -> Result<Option<Plot>, PlotError> {
    let Some(services) = family.common_size(quantity) else { return Ok(None) };
    let (mut rungs, mut missing) = (Vec::new(), Vec::new());
    for proxy in family.proxies(quantity) {
        let mut ratios = Vec::new();
        for (kernel, point) in family.names.iter().zip(family.values(quantity, proxy, services)) {
            let (ratio, why) = match point {
                KernelValue::Measured { ratio, .. } => {
                    (ratio, format!("no number on {}", family.reference_name()))
                }
                KernelValue::Missing { outcome, .. } => (None, outcome.to_owned()),
            };
            missing.extend(ratio.is_none().then(|| format!("× {proxy} on {kernel}: {why}")));
            ratios.push(ratio);
        }
        let paint = theme::of_proxy(family.known(), proxy);
        rungs.push(Rung { proxy: proxy.to_owned(), paint, ratios });
    }
    if rungs.iter().all(|rung| rung.ratios.iter().all(Option::is_none)) {
        return Ok(None);
    }
    let title = format!("{what} {} Services", thousands(services));
    let subtitle =
        format!("{}, p50, ratio to kernel {}, log scale", unit(family), family.reference_name());
    let ladder =
        Ladder { title: title.clone(), subtitle, kernels: family.names.clone(), rungs, missing };
    let table = numbers(family, quantity, &[services], &title);
    plot(family, kind, &ladder, table).map(Some)
}

fn map(family: &Family<'_>) -> Result<Option<Plot>, PlotError> {
    let Some(connect) = family.connect() else { return Ok(None) };
    let sizes = family.sizes(connect);
    let mut rows = Vec::new();
    for proxy in family.proxies(connect) {
        for &services in &sizes {
            let cell = |point| match point {
                KernelValue::Measured { value, ratio } => {
                    Cell::Number { text: format::short(family.unit(), value), ratio }
                }
                KernelValue::Missing { outcome, .. } => Cell::Missing(outcome),
            };
            let cells = family.values(connect, proxy, services).into_iter().map(cell).collect();
            rows.push(Row { proxy: proxy.to_owned(), label: thousands(services), cells });
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let title = format!("New connection to the {} Service on each kernel", connect.label);
    let map = Map {
        title: title.clone(),
        subtitle: format!("{}, p50; rows: number of Services", unit(family)),
        kernels: family.names.clone(),
        reference: family.reference_name().to_owned(),
        rows,
    };
    let table = numbers(family, connect, &sizes, &title);
    plot(family, "kernels-map", &map, table).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::kernels::families;
    use crate::view::View;

    #[test]
    fn a_family_has_two_ladders_and_a_map_with_words_for_what_is_missing() {
        let runs = [fixture::kernels()];
        let view = View::new(&runs).unwrap();
        let plots = of_family(&families(&view, None).unwrap()[0]).unwrap();
        let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "kernels-connect.guest.instructions",
                "kernels-sync.guest.instructions",
                "kernels-map.guest.instructions"
            ]
        );
        assert!(plots[0].svg.contains("× iptables-legacy on 7.2: unsupported"));
        assert!(plots[0].svg.contains("New connection to the last of 100 Services"));
        assert!(plots[1].svg.contains("Full sync, part submit, of 1,000 Services"));
        assert!(plots[2].svg.contains("invalid") && plots[2].svg.contains("+27%"));
        for plot in &plots {
            assert!(plot.svg.contains("instructions") && !plot.svg.contains("NaN"));
            assert!(plot.table.rows.iter().any(|row| row[5].contains("no ip_tables")));
        }
    }

    #[test]
    fn a_family_without_numbers_has_no_plots() {
        let mut run = fixture::kernels();
        for cell in &mut run.cells {
            cell.metrics.clear();
        }
        let runs = [run];
        let view = View::new(&runs).unwrap();
        assert!(of_family(&families(&view, None).unwrap()[0]).unwrap().is_empty());
    }
}
