//! Instructions across, time upwards: one mark for each timing that was measured on both clocks, in
//! the colour of its proxy.

use super::agreement::{Clocks, Pair};
use crate::format::fixed;
use crate::plots::axes::Axis;
use crate::plots::lines::{About, Chart, Series, Stroke, across, upwards};
use crate::plots::{Plot, PlotError, theme};
use crate::record::Unit;
use crate::tables::{Columns, Table};

/// Name of its file.
const NAME: &str = "clock-validation";
const TITLE: &str = "Time against instructions";

/// The scatter of all pairs.
pub(super) fn draw(clocks: &Clocks) -> Result<Plot, PlotError> {
    let series = series(clocks);
    let x = Axis::of_values(Unit::Instructions, across(&series));
    let (Some(x), Some(y)) = (x, Axis::of_values(Unit::Ns, upwards(&series))) else {
        return Err(PlotError { plot: TITLE.to_owned(), detail: "nothing to show".to_owned() });
    };
    let chart = Chart {
        title: TITLE.to_owned(),
        subtitle: "time; one mark a metric, position, proxy and size".to_owned(),
        x_title: "instructions",
        x,
        y,
        series,
    };
    Plot::of(&chart, NAME.to_owned(), TITLE.to_owned(), table(&clocks.pairs))
}

fn series(clocks: &Clocks) -> Vec<Series> {
    let proxies = clocks.known.sorted(clocks.pairs.iter().map(|pair| pair.proxy.as_str()));
    let of = |proxy: &str| {
        let mine = clocks.pairs.iter().filter(|pair| pair.proxy == proxy);
        let mut points: Vec<(f64, f64)> =
            mine.map(|pair| (pair.instructions, pair.wall_ns)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let paint = theme::of_proxy(&clocks.known, proxy);
        Series {
            paint,
            stroke: Stroke::Dots,
            label: Some(proxy.to_owned()),
            points,
            about: About::default(),
        }
    };
    proxies.into_iter().map(of).collect()
}

fn table(pairs: &[Pair]) -> Table {
    Columns::of(pairs)
        .text("metric", |pair| pair.metric.clone())
        .text("label", |pair| pair.label.clone())
        .text("proxy", |pair| pair.proxy.clone())
        .number("Services", |pair| fixed(pair.services as f64, 0))
        .number("instructions", |pair| fixed(pair.instructions, 0))
        .number("ns", |pair| fixed(pair.wall_ns, 0))
        .titled(TITLE, "")
        .cut()
}
