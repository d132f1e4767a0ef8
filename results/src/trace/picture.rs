//! A trace as a sequence picture: hosts are columns, time goes downwards, an arrow is a packet on a
//! link. What a host changed stands on its column.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::packets::{Change, Sighting, TracedPacket, traced_packets};
use super::record::Record;
use super::text;
use crate::format::plain;
use crate::plots::theme::{self, Paint};
use crate::plots::{self, Area, Drawn, PlotError, count, fill, write};

/// Rows drawn; what is beyond is said to be left out.
const ROWS_MAX: usize = 300;
const TEXT_PX: f64 = 16.0;
/// What a character takes at most, pixels, on average.
const CHARACTER: i32 = 9;
const TOP: i32 = 150;
const PITCH: i32 = 36;
/// Least distance from a picture's edge to a column, pixels.
const SIDE_MIN: i32 = 190;
/// Least distance of columns, pixels.
const SPACING_MIN: i32 = 300;
/// Length and half width of the head of an arrow, pixels.
const HEAD: (i32, i32) = (12, 5);

/// One line of the picture.
enum Row {
    /// What the packet below is.
    Packet(String),
    /// What became of it on a host.
    Note { host: usize, words: String, is_forward: bool },
    /// It goes from a host to another.
    Arrow { ends: [usize; 2], words: String, is_forward: bool, is_tunnelled: bool },
}

/// A complete SVG file.
///
/// # Errors
/// [`PlotError`].
pub fn picture(record: &Record) -> Result<String, PlotError> {
    let mut rows = rows(record);
    let left_out = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    if left_out > 0 {
        rows.push(Row::Packet(format!("{left_out} more lines are left out")));
    }
    let columns = Columns::of(record, &rows);
    let height = TOP + PITCH * (count(&rows) + 1);
    let size = (columns.width().unsigned_abs(), height.unsigned_abs());
    let svg = plots::svg("trace", size, |root| draw(root, record, &columns, &rows))?;
    Ok(theme::finish(&svg, &title(record)))
}

fn title(record: &Record) -> String {
    let asked = &record.asked;
    let forwarding = asked.forwarding.as_ref().map(|way| format!(" ({way})")).unwrap_or_default();
    format!(
        "{}{forwarding}: {} to {}, {}, {}, {}",
        plain(&asked.proxy),
        asked.source,
        asked.frontend,
        asked.topology,
        asked.family,
        asked.protocol
    )
}

/// Where hosts stand.
struct Columns {
    /// Hosts, left to right: in the order of the first packet's way.
    hosts: Vec<usize>,
    spacing: i32,
    /// From the left edge to the first, and from the last to the right edge.
    sides: [i32; 2],
}

impl Columns {
    fn of(record: &Record, rows: &[Row]) -> Self {
        let mut hosts = vec![record.client_host];
        for row in rows {
            let named: &[usize] = match row {
                Row::Arrow { ends, .. } => ends,
                Row::Note { host, .. } => std::slice::from_ref(host),
                Row::Packet(_) => &[],
            };
            hosts.extend(named);
        }
        let mut seen = Vec::new();
        hosts.retain(|host| {
            let is_new = !seen.contains(host);
            seen.push(*host);
            is_new
        });
        let arrows = rows.iter().map(|row| match row {
            Row::Arrow { words, .. } => pixels(words),
            Row::Note { words, .. } => half_of(words),
            Row::Packet(_) => 0,
        });
        let spacing = arrows.max().unwrap_or(0).saturating_add(40).max(SPACING_MIN);
        let side = |column: Option<&usize>| {
            let notes = rows.iter().filter_map(|row| match row {
                Row::Note { host, words, .. } if Some(host) == column => Some(half_of(words) + 16),
                _ => None,
            });
            notes.max().unwrap_or(0).max(SIDE_MIN)
        };
        let sides = [side(hosts.first()), side(hosts.last())];
        Self { hosts, spacing, sides }
    }

    fn x(&self, host: usize) -> i32 {
        let at = self.hosts.iter().position(|known| *known == host).unwrap_or(0);
        self.sides[0] + self.spacing * i32::try_from(at).unwrap_or(0)
    }

    fn width(&self) -> i32 {
        self.sides[0] + self.spacing * (count(&self.hosts) - 1).max(1) + self.sides[1]
    }
}

fn rows(record: &Record) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, packet) in (1..).zip(&traced_packets(record)) {
        rows.push(Row::Packet(format!("{number}. {}", text::name_of(packet.kind))));
        rows.extend(way(record, packet));
    }
    rows
}

/// Notes and arrows of one packet.
fn way(record: &Record, packet: &TracedPacket<'_>) -> Vec<Row> {
    let is_forward = packet.is_forward;
    let mut rows = Vec::new();
    let note = |host: usize, changes: &[Change], rows: &mut Vec<Row>| {
        rows.extend(changes.iter().map(|change| {
            let words = text::words(change, is_forward);
            Row::Note { host, words, is_forward }
        }));
    };
    let mut before: Option<&Sighting<'_>> = None;
    for sighting in &packet.sightings {
        let host = sighting.captured.host;
        if let Some(from) = before.filter(|from| from.captured.host != host) {
            rows.push(Row::Arrow {
                ends: [from.captured.host, host],
                words: label(sighting),
                is_forward,
                is_tunnelled: !sighting.headers.tunnels.is_empty(),
            });
        }
        note(host, &sighting.changes, &mut rows);
        before = Some(sighting);
    }
    let receiver = if is_forward { record.endpoint_host } else { record.client_host };
    note(receiver, &packet.on_delivery, &mut rows);
    rows
}

/// What stands above an arrow.
fn label(sighting: &Sighting<'_>) -> String {
    let inner = text::addresses(sighting);
    let tunnels = sighting.headers.tunnels.iter().rev();
    tunnels.fold(inner, |inner, [from, _]| format!("{} [ {inner} ]", text::tunnel_of(*from)))
}

fn draw(root: &Area<'_>, record: &Record, columns: &Columns, rows: &[Row]) -> Drawn {
    root.draw_text(&title(record), &theme::bold(24.0, theme::TEXT), (24, 18))?;
    let dials = format!(
        "{} dials {}; Endpoint {}; kernel {}",
        record.client,
        record.dialled,
        record.endpoint,
        plain(&record.kernel)
    );
    root.draw_text(&dials, &theme::text(18.0, theme::MUTED), (24, 54))?;
    let bottom = TOP + PITCH * count(rows);
    for host in &columns.hosts {
        let x = columns.x(*host);
        root.draw(&PathElement::new(vec![(x, TOP - 20), (x, bottom)], theme::MUTED.color()))?;
        let name = record.host_name(*host);
        let style = theme::bold(20.0, theme::TEXT).pos(theme::middle(HPos::Center));
        root.draw_text(name, &style, (x, TOP - 38))?;
    }
    for (row, y) in rows.iter().zip((TOP..).step_by(PITCH.unsigned_abs() as usize)) {
        match row {
            Row::Packet(words) => {
                let style = theme::bold(TEXT_PX, theme::TEXT).pos(theme::middle(HPos::Left));
                root.draw_text(words, &style, (16, y + 8))?;
            }
            Row::Note { host, words, is_forward } => {
                draw_note(root, columns.x(*host), y, words, paint(*is_forward))?;
            }
            Row::Arrow { ends, words, is_forward, is_tunnelled } => {
                let ends = ends.map(|host| columns.x(host));
                draw_arrow(root, ends, y, paint(*is_forward), *is_tunnelled)?;
                let middle = i32::midpoint(ends[0], ends[1]);
                write(root, words, TEXT_PX, theme::TEXT, HPos::Center, (middle, y - 4))?;
            }
        }
    }
    Ok(())
}

/// What words take at most.
fn pixels(words: &str) -> i32 {
    i32::try_from(words.len().min(200)).unwrap_or(200) * CHARACTER
}

/// What a note takes to each side of its column.
fn half_of(words: &str) -> i32 {
    pixels(words) / 2 + 6
}

fn paint(is_forward: bool) -> Paint {
    if is_forward { theme::LESS } else { theme::MORE }
}

/// Words in a frame on a host's column.
fn draw_note(root: &Area<'_>, x: i32, y: i32, words: &str, paint: Paint) -> Drawn {
    let (from, to) = ((x - half_of(words), y - 12), (x + half_of(words), y + 14));
    fill(root, [from, to], theme::EMPTY)?;
    root.draw(&Rectangle::new([from, to], paint.color().stroke_width(1)))?;
    write(root, words, TEXT_PX, theme::TEXT, HPos::Center, (x, y + 1))
}

/// An arrow under its words; one in a tunnel is drawn in a pipe.
fn draw_arrow(
    root: &Area<'_>,
    [from, to]: [i32; 2],
    y: i32,
    paint: Paint,
    is_tunnelled: bool,
) -> Drawn {
    let y = y + 12;
    let (length, half) = HEAD;
    let back = if to > from { to - length } else { to + length };
    if is_tunnelled {
        fill(root, [(from.min(to) + 2, y - 6), (from.max(to) - 2, y + 6)], theme::GRID)?;
    }
    root.draw(&PathElement::new(vec![(from, y), (back, y)], paint.color().stroke_width(2)))?;
    let head = vec![(to, y), (back, y - half), (back, y + half)];
    root.draw(&Polygon::new(head, paint.color().filled()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::fixture;

    #[test]
    fn hosts_are_columns_and_every_change_and_link_is_there() {
        let svg = picture(&fixture::record()).unwrap();
        for words in [
            "outside",
            "node",
            "other-node",
            "1. SYN",
            "2. SYN+ACK",
            "DNAT 10.96.0.1:80 -&gt; 10.128.0.5:8080",
            "source masqueraded 172.20.0.1:40000 -&gt; 10.128.0.1:40000",
            "encapsulated IPIP 192.0.2.10 -&gt; 192.0.2.11",
            "DNAT undone 10.128.0.5:8080 -&gt; 10.96.0.1:80",
            "IPIP [ 10.128.0.1:40000 &gt; 10.128.0.5:8080 ]",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(words), "{words}");
        }
        // Two links for each of four packets.
        assert_eq!(svg.matches("<polygon").count(), 8);
    }

    #[test]
    fn names_of_any_kind_leave_it_well_formed() {
        let mut record = fixture::record();
        record.hosts[1] = "<a & \"b\">".into();
        record.asked.proxy = "x</svg>".into();
        let svg = picture(&record).unwrap();
        assert_eq!(well_formed(&svg), Ok(()), "{svg}");
        record.packets.clear();
        assert_eq!(well_formed(&picture(&record).unwrap()), Ok(()));
    }

    #[test]
    fn a_long_trace_is_cut_and_says_so() {
        let mut record = fixture::record();
        let all = record.packets.clone();
        for again in 1..60 {
            record.packets.extend(all.iter().cloned().map(|mut packet| {
                packet.time_ns += again * 10_000_000;
                packet
            }));
        }
        let svg = picture(&record).unwrap();
        assert!(svg.contains("more lines are left out"));
        assert!(svg.len() < 1_000_000, "{}", svg.len());
    }

    /// Reads the whole file as XML.
    fn well_formed(svg: &str) -> Result<(), String> {
        roxmltree::Document::parse(svg).map(|_| ()).map_err(|error| error.to_string())
    }
}
