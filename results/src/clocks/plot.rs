//! Instructions across, time upwards: one mark for each timing that was measured on both clocks, in
//! the colour of its proxy.

use crate::clocks::{Clocks, Pair};
use crate::plots::axes::Axis;
use crate::plots::lines::{Chart, Series, Stroke};
use crate::plots::{Plot, PlotError, theme};
use crate::proxies::Proxies;
use crate::record::Unit;
use crate::tables::{Table, number, text};

/// Name of its file.
const NAME: &str = "clock-validation";

/// The scatter of all pairs.
pub(crate) fn draw(clocks: &Clocks) -> Result<Plot, PlotError> {
    let title = "Time against instructions".to_owned();
    let pairs = &clocks.pairs;
    let x = Axis::of_values(Unit::Instructions, pairs.iter().map(|pair| pair.instructions));
    let y = Axis::of_values(Unit::Ns, pairs.iter().map(|pair| pair.wall_ns));
    let (Some(x), Some(y)) = (x, y) else {
        return Err(PlotError { plot: title, detail: "nothing to show".to_owned() });
    };
    let chart = Chart {
        title: title.clone(),
        legend: "one mark a metric, position, proxy and size".to_owned(),
        x_title: "instructions".to_owned(),
        y_title: "time".to_owned(),
        x,
        y,
        series: series(&clocks.known, pairs),
    };
    let svg = theme::finish(&chart.draw("clocks")?, &title);
    Ok(Plot { name: NAME.to_owned(), title, svg, table: table(pairs), wide: false })
}

fn series(known: &Proxies, pairs: &[Pair]) -> Vec<Series> {
    let mut proxies: Vec<&str> = pairs.iter().map(|pair| pair.proxy.as_str()).collect();
    known.sort(&mut proxies);
    proxies.dedup();
    let of = |proxy: &str| {
        let mine = pairs.iter().filter(|pair| pair.proxy == proxy);
        let mut points: Vec<(f64, f64)> =
            mine.map(|pair| (pair.instructions, pair.wall_ns)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series {
            paint: theme::of_proxy(known, proxy),
            stroke: Stroke::Dots,
            label: Some(proxy.to_owned()),
            points,
        }
    };
    proxies.into_iter().map(of).collect()
}

fn table(pairs: &[Pair]) -> Table {
    let heads = ["Services", "instructions", "ns"].into_iter().map(number);
    let columns = ["metric", "label", "proxy"].into_iter().map(text).chain(heads).collect();
    let mut table = Table::new("Time against instructions", "", columns);
    table.rows.extend(pairs.iter().map(|pair| {
        let numbers = [pair.services as f64, pair.instructions, pair.wall_ns];
        let words = [&pair.metric, &pair.label, &pair.proxy].map(Clone::clone);
        words.into_iter().chain(numbers.map(|value| crate::format::fixed(value, 0))).collect()
    }));
    table.cut()
}
