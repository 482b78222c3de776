//! A run as a picture, for pages and for paper: rate and bytes a tuple against tuples, as SVG.
//!
//! One picture for all pages: a style in it changes its colours where the reader's page is dark;
//! where styles are not heeded, it is dark on white.
//!
//! Never knows: how anything was measured.

use anyhow::anyhow;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::report::{self, Journal, LARGE_TUPLES_MIN, Method, Report};
use super::watch::{Point, thinned};
use crate::units;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 720;
const TITLE_HEIGHT: u32 = 40;

/// More points than this are no more to be told apart.
const BINS: usize = 250;
/// A tuple that takes more than this many bytes lies above the picture: at the start, when the
/// program itself is most of it.
const BYTES_SHOWN_MAX: f64 = 20.0;

const FONT: &str = "sans-serif";

/// What each colour is for, on a bright page and on a dark one.
const PAPER: Ink = Ink { bright: RGBColor(0xff, 0xff, 0xff), dark: "#0D1117" };
const TEXT: Ink = Ink { bright: RGBColor(0x24, 0x29, 0x2f), dark: "#E6EDF3" };
const GRID: Ink = Ink { bright: RGBColor(0xd8, 0xde, 0xe4), dark: "#30363D" };
const MARK: Ink = Ink { bright: RGBColor(0x8c, 0x95, 0x9f), dark: "#6E7681" };
const RATE: Ink = Ink { bright: RGBColor(0x09, 0x69, 0xda), dark: "#58A6FF" };
const BYTES: Ink = Ink { bright: RGBColor(0x9a, 0x67, 0x00), dark: "#D29922" };
const GOAL: Ink = Ink { bright: RGBColor(0xcf, 0x22, 0x2e), dark: "#FF7B72" };

#[derive(Clone, Copy)]
struct Ink {
    bright: RGBColor,
    dark: &'static str,
}

/// One of the two halves.
struct Panel<'a> {
    title: &'a str,
    ink: Ink,
    data: Vec<(f64, f64)>,
    top: f64,
    /// What was set out to be reached: the number, and what it is called.
    goals: Vec<(f64, &'a str)>,
}

/// Draws a run.
///
/// # Errors
/// When there is nothing to draw.
pub(super) fn svg(report: &Report) -> anyhow::Result<String> {
    let bins = thinned(&report.points, BINS);
    let end = report.points.last().map_or(0, |point| point.made) as f64;
    if end <= 0.0 {
        return Err(anyhow!("the run was too short to draw"));
    }
    let rate = |point: &Point| Some((point.made as f64, point.per_cpu_second? / 1e6));
    let bytes = |point: &Point| (point.made as f64, point.bytes_per_tuple());
    let rates: Vec<_> = bins.iter().filter_map(rate).collect();
    let top = rates.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    let panels = [
        Panel {
            title: "million new tuples for each second of CPU time",
            ink: RATE,
            data: rates,
            top: (top * 1.1).ceil(),
            goals: rate_goals(&report.method),
        },
        Panel {
            title: "resident bytes of the whole process for each live tuple",
            ink: BYTES,
            data: bins.iter().map(bytes).filter(|(_, y)| *y <= BYTES_SHOWN_MAX).collect(),
            top: BYTES_SHOWN_MAX,
            goals: bytes_goals(&report.method),
        },
    ];
    let mut picture = String::new();
    // The library's errors borrow what is drawn on.
    draw(&mut picture, report, &panels, end).map_err(|error| anyhow!("draw: {error}"))?;
    Ok(with_style(&picture))
}

fn rate_goals(method: &Method) -> Vec<(f64, &'static str)> {
    match method.journal {
        Journal::Off => {
            vec![(2.0, "to 80 % of the slots: at least 2"), (1.0, "at 92 %: at least 1")]
        }
        Journal::On { text: report::Text::Off, .. } => vec![(1.0, "journaled: at least 1")],
        Journal::On { text: report::Text::On, .. } => {
            vec![(0.3, "journaled, with text: at least 0.3")]
        }
    }
}

fn bytes_goals(method: &Method) -> Vec<(f64, &'static str)> {
    let mut goals = vec![(13.0, "from 10 million on: at most 13")];
    if method.tuples >= LARGE_TUPLES_MIN {
        goals.push((9.0, "at full size: at most 9"));
    }
    goals
}

fn draw(
    picture: &mut String,
    report: &Report,
    panels: &[Panel<'_>; 2],
    end: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(picture, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&PAPER.bright)?;
    let method = &report.method;
    let title = format!(
        "xgrey's table: {} tuples under a bound of {}",
        units::grouped(method.tuples as f64),
        units::memory(method.bound_bytes)
    );
    let font = (FONT, 18).into_font().color(&TEXT.bright);
    root.draw_text(&title, &font, (16, 12))?;
    let (_, below) = root.split_vertically(TITLE_HEIGHT);
    for (area, panel) in below.split_evenly((2, 1)).iter().zip(panels) {
        half(area, panel, end, method.tuples as f64)?;
    }
    root.present()?;
    Ok(())
}

fn half(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    panel: &Panel<'_>,
    end: f64,
    full: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let font = |size: i32| (FONT, size).into_font().color(&TEXT.bright);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .caption(panel.title, (FONT, 15).into_font().color(&panel.ink.bright))
        .x_label_area_size(42)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..end, 0.0..panel.top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID.bright)
        .light_line_style(TRANSPARENT)
        .axis_style(MARK.bright)
        .x_labels(9)
        .y_labels(6)
        .x_label_formatter(&|made| units::grouped(made / 1e6))
        .y_label_formatter(&|number| format!("{number:.0}"))
        .x_desc("million tuples that have come")
        .label_style(font(12))
        .axis_desc_style(font(13))
        .draw()?;
    for (number, name) in panel.goals.iter().filter(|(number, _)| *number < panel.top) {
        let line = [(0.0, *number), (end, *number)];
        chart.draw_series(DashedLineSeries::new(line, 5, 4, GOAL.bright.stroke_width(1)))?;
        let font = (FONT, 12).into_font().color(&GOAL.bright);
        let above = font.pos(Pos::new(HPos::Right, VPos::Bottom));
        let end_of_line = (end, number + panel.top * 0.01);
        chart.draw_series([Text::new((*name).to_owned(), end_of_line, above)])?;
    }
    if full < end {
        let line = [(full, 0.0), (full, panel.top)];
        chart.draw_series(DashedLineSeries::new(line, 2, 4, MARK.bright.stroke_width(1)))?;
        let beside = (full + end * 0.005, panel.top * 0.99);
        chart.draw_series([Text::new("full size".to_owned(), beside, font(12))])?;
    }
    chart.draw_series(LineSeries::new(
        panel.data.iter().copied(),
        panel.ink.bright.stroke_width(2),
    ))?;
    Ok(())
}

/// The picture, with other colours where the reader prefers dark pages.
fn with_style(picture: &str) -> String {
    let rule = |ink: &Ink| {
        let RGBColor(red, green, blue) = ink.bright;
        let (bright, dark) = (format!("#{red:02X}{green:02X}{blue:02X}"), ink.dark);
        format!("[fill=\"{bright}\"]{{fill:{dark}}}[stroke=\"{bright}\"]{{stroke:{dark}}}")
    };
    let rules: String = [PAPER, TEXT, GRID, MARK, RATE, BYTES, GOAL].iter().map(rule).collect();
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>\n");
    // Behind the first tag, which is the picture's own.
    match picture.find(">\n") {
        Some(at) => format!("{}{style}{}", &picture[..at + 2], &picture[at + 2..]),
        None => picture.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::report::tests::{point, report};

    #[test]
    fn a_picture_has_axes_with_units_goals_and_colours_for_dark_pages() {
        let report = Report { points: (1..=500).map(point).collect(), ..report() };
        let picture = svg(&report).unwrap();
        for part in [
            "2,160,000,000 tuples under a bound of 18.00 GiB",
            "million new tuples for each second of CPU time",
            "resident bytes of the whole process for each live tuple",
            "million tuples that have come",
            "at most 13",
            "prefers-color-scheme:dark",
        ] {
            assert!(picture.contains(part), "{part}");
        }
        assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
        // Each colour that is drawn with is one that a dark page changes.
        let colours = picture.split("</style>").nth(1).unwrap();
        for colour in colours.split("=\"#").skip(1).map(|rest| &rest[..6]) {
            assert!(picture.contains(&format!("[fill=\"#{colour}\"]")), "{colour}");
        }
    }

    #[test]
    fn what_was_too_short_is_not_drawn() {
        assert!(svg(&Report { points: Vec::new(), ..report() }).is_err());
    }
}
