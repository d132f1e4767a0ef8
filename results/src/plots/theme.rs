//! Colours and text of the plots, in light and dark.
//!
//! plotters writes literal colours. They stay in the file, so that any viewer shows the light
//! version; a style sheet inside the SVG maps each to its dark partner for viewers that know the
//! reader's preference. Proxy colours follow the Okabe-Ito palette (told apart with any common
//! colour blindness), darkened where needed for contrast on white.

use std::fmt::Write as _;

use plotters::prelude::*;
use plotters::style::{RGBColor, TextStyle, text_anchor};

use crate::proxies::Proxies;

/// Attribute of the root element; needed in a file, not in a page of HTML.
pub(crate) const NAMESPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";

/// A colour in the light version and its partner in the dark one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    light: (u8, u8, u8),
    dark: &'static str,
}

const fn paint(light: (u8, u8, u8), dark: &'static str) -> Paint {
    Paint { light, dark }
}

/// Behind everything.
pub(crate) const BACKGROUND: Paint = paint((0xff, 0xff, 0xff), "#15181c");
/// Titles and labels.
pub(crate) const TEXT: Paint = paint((0x1f, 0x23, 0x28), "#e6e8eb");
/// Axes and their numbers.
pub(crate) const MUTED: Paint = paint((0x59, 0x61, 0x6b), "#a3acb7");
/// Grid lines.
pub(crate) const GRID: Paint = paint((0xe3, 0xe6, 0xea), "#2c3239");

/// More than in the other cell.
pub(crate) const MORE: Paint = paint((0xd4, 0x5d, 0x01), "#ff9b53");
/// Less than in the other cell.
pub(crate) const LESS: Paint = paint((0x01, 0x71, 0xb1), "#5cb4ed");

/// The colours that proxies may have, by name; how they are given out is in
/// [`PALETTE`](crate::proxies::PALETTE).
const NAMED: [(&str, Paint); 13] = [
    ("grey", paint((0x7b, 0x82, 0x8a), "#8f98a3")),
    ("orange", paint((0xd5, 0x5e, 0x00), "#ff9a52")),
    ("pink", paint((0xb0, 0x56, 0x8a), "#e59cc7")),
    ("blue", paint((0x00, 0x72, 0xb2), "#5bb3ec")),
    ("sky", paint((0x2f, 0x9e, 0xd8), "#a9dcff")),
    ("green", paint((0x00, 0x9e, 0x73), "#46d3a8")),
    ("olive", paint((0x7a, 0x8b, 0x00), "#c6d64e")),
    ("violet", paint((0x5c, 0x4b, 0x99), "#ad9fea")),
    ("gold", paint((0xb8, 0x86, 0x0b), "#f2c452")),
    ("rust", paint((0x8f, 0x2d, 0x12), "#e07a5a")),
    ("teal", paint((0x00, 0x62, 0x6b), "#35aab5")),
    ("plum", paint((0x7a, 0x24, 0x6b), "#cf74bf")),
    ("crimson", paint((0xc4, 0x1e, 0x3a), "#f2728a")),
];
/// What is no proxy, or one that nobody knows.
pub(crate) const OTHER: Paint = paint((0x8c, 0x56, 0x4b), "#cd9f94");

const PARTS: [(&str, Paint); 8] = [
    ("start", paint((0xb9, 0x8a, 0x5e), "#8a6a4c")),
    ("list", paint((0xc9, 0xc0, 0x6a), "#8f8a4e")),
    ("sync", paint((0x5a, 0x6f, 0x9a), "#7d93c0")),
    ("prepare", paint((0xa6, 0xae, 0xb8), "#6a737e")),
    ("render", paint((0xe6, 0x9f, 0x01), "#e6a117")),
    ("submit", paint((0x33, 0x6e, 0xa8), "#5b93c9")),
    ("effective", paint((0x02, 0x9e, 0x74), "#2fb58c")),
    ("aftermath", paint((0x9b, 0x5d, 0x8f), "#c48ab8")),
];

/// Fills for a ratio, each with the ratio where it ends, from far below 1 over no change to far
/// above it: blue means less, orange more, and text is legible on each.
pub(crate) const RATIOS: [(f64, Paint); 9] = [
    (0.5, paint((0x6c, 0xad, 0xdf), "#1c689f")),
    (0.8, paint((0x9a, 0xc8, 0xeb), "#1d5580")),
    (0.95, paint((0xc4, 0xdf, 0xf4), "#1d4360")),
    (0.99, paint((0xe3, 0xf0, 0xfa), "#1c3346")),
    (1.01, paint((0xf3, 0xf4, 0xf5), "#252a30")),
    (1.05, paint((0xfd, 0xee, 0xdf), "#40301f")),
    (1.25, paint((0xfb, 0xd8, 0xb5), "#5c3d1b")),
    (2.0, paint((0xf6, 0xb9, 0x7d), "#7c4a12")),
    (f64::INFINITY, paint((0xee, 0x98, 0x45), "#9a5606")),
];
/// Behind a cell that has no number.
pub(crate) const EMPTY: Paint = paint((0xfe, 0xfe, 0xfe), "#16191d");
/// Lines across such a cell.
pub(crate) const HATCH: Paint = paint((0xc9, 0xcf, 0xd6), "#464f59");

/// The fill for a ratio.
pub(crate) fn of_ratio(ratio: f64) -> Paint {
    RATIOS.iter().find(|(end, _)| ratio < *end).map_or(EMPTY, |(_, paint)| *paint)
}

/// The colour of a proxy, the same in every plot.
pub(crate) fn of_proxy(proxies: &Proxies, proxy: &str) -> Paint {
    proxies.colour(proxy).map_or(OTHER, named)
}

/// A colour by its name.
pub(crate) fn named(colour: &str) -> Paint {
    NAMED.iter().find(|(name, _)| *name == colour).map_or(OTHER, |(_, paint)| *paint)
}

/// The fixed colour of a part of a sync.
pub(crate) fn of_part(part: &str) -> Paint {
    PARTS.iter().find(|(name, _)| *name == part).map_or(MUTED, |(_, paint)| *paint)
}

impl Paint {
    /// For plotters.
    pub fn color(self) -> RGBColor {
        let (red, green, blue) = self.light;
        RGBColor(red, green, blue)
    }

    /// Its colour in the dark version.
    pub fn dark(self) -> &'static str {
        self.dark
    }

    /// As plotters writes it into the SVG.
    pub fn attribute(self) -> String {
        let (red, green, blue) = self.light;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// Text of `size_px` in the SVG's own pixels; plotters divides by 1.24 when it writes.
pub(crate) fn text(size_px: f64, paint: Paint) -> TextStyle<'static> {
    styled(size_px, FontStyle::Normal, paint)
}

/// The same, bold.
pub(crate) fn bold(size_px: f64, paint: Paint) -> TextStyle<'static> {
    styled(size_px, FontStyle::Bold, paint)
}

fn styled(size_px: f64, style: FontStyle, paint: Paint) -> TextStyle<'static> {
    TextStyle {
        font: ("sans-serif", size_px * 1.24, style).into_font(),
        color: paint.color().to_backend_color(),
        pos: text_anchor::Pos::default(),
    }
}

/// Vertical centre at the given horizontal side.
pub(crate) fn middle(h_pos: text_anchor::HPos) -> text_anchor::Pos {
    text_anchor::Pos::new(h_pos, text_anchor::VPos::Center)
}

/// Turns what plotters wrote into a file: scalable, named for screen readers, dark where the reader
/// wants it so.
pub(crate) fn finish(svg: &str, title: &str) -> String {
    let (head, body) = svg.split_once('>').unwrap_or(("", svg));
    let box_at = head.find("viewBox=").unwrap_or(head.len());
    let view_box = head.get(box_at..).unwrap_or("").replace(NAMESPACE, "");
    let title = escape(title);
    format!(
        "<svg class=\"vipbench-plot\" role=\"img\" aria-label=\"{title}\" {view_box}{NAMESPACE}>\n<title>{title}</title>\n<style>{}</style>{body}",
        style_sheet()
    )
}

/// Fonts, and each colour's dark partner.
pub(crate) fn style_sheet() -> String {
    let all = [BACKGROUND, TEXT, MUTED, GRID, EMPTY, HATCH, MORE, LESS, OTHER];
    let ratios = RATIOS.iter().map(|(_, paint)| *paint);
    let proxies = NAMED.iter().map(|(_, paint)| *paint);
    let parts = PARTS.iter().map(|(_, paint)| *paint);
    let mut rules = String::new();
    for paint in all.into_iter().chain(proxies).chain(parts).chain(ratios) {
        let (light, dark) = (paint.attribute(), paint.dark);
        let _ = write!(
            rules,
            ".vipbench-plot [fill=\"{light}\"]{{fill:{dark}}}.vipbench-plot [stroke=\"{light}\"]{{stroke:{dark}}}"
        );
    }
    format!(
        ".vipbench-plot text{{font-family:system-ui,-apple-system,\"Segoe UI\",sans-serif}}@media screen and (prefers-color-scheme: dark){{{rules}}}"
    )
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_roles_share_a_literal_colour() {
        let all: Vec<String> = [BACKGROUND, TEXT, MUTED, GRID, EMPTY, HATCH, MORE, LESS, OTHER]
            .into_iter()
            .chain(NAMED.iter().map(|(_, paint)| *paint))
            .chain(PARTS.iter().map(|(_, paint)| *paint))
            .chain(RATIOS.iter().map(|(_, paint)| *paint))
            .map(Paint::attribute)
            .collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    #[test]
    fn every_name_of_the_palette_is_a_colour() {
        for name in crate::proxies::PALETTE {
            assert_ne!(named(name).attribute(), OTHER.attribute(), "{name}");
        }
    }

    #[test]
    fn a_ratio_is_coloured_by_how_far_it_is_from_one() {
        let attribute = |ratio| of_ratio(ratio).attribute();
        assert_eq!(attribute(0.995), attribute(1.005));
        assert_eq!(attribute(0.01), RATIOS[0].1.attribute());
        assert_eq!(attribute(40.0), RATIOS[8].1.attribute());
        assert_ne!(attribute(0.97), attribute(1.03));
        assert_eq!(attribute(f64::NAN), EMPTY.attribute());
    }

    #[test]
    fn text_is_legible_on_every_fill_in_light_and_dark() {
        let channel = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = |(red, green, blue): (u8, u8, u8)| {
            0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue)
        };
        let dark = |paint: Paint| {
            let byte = |at: usize| u8::from_str_radix(&paint.dark[at..at + 2], 16).unwrap();
            (byte(1), byte(3), byte(5))
        };
        let contrast = |a, b| {
            let (a, b): (f64, f64) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for (_, paint) in RATIOS {
            assert!(contrast(paint.light, TEXT.light) >= 4.5, "{paint:?}");
            assert!(contrast(dark(paint), dark(TEXT)) >= 4.5, "{paint:?}");
        }
    }

    #[test]
    fn a_finished_plot_is_named_and_scalable() {
        let drawn = "<svg width=\"10\" height=\"5\" viewBox=\"0 0 10 5\" xmlns=\"http://www.w3.org/2000/svg\">\n</svg>\n";
        let svg = finish(drawn, "a < \"b\"");
        assert!(svg.starts_with("<svg class=\"vipbench-plot\" role=\"img\" aria-label=\"a &lt; &quot;b&quot;\" viewBox=\"0 0 10 5\" xmlns="), "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }
}
