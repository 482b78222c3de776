//! What a person sees while a run goes on: on a terminal two plots, drawn anew twice a second; else a
//! line every few seconds. All on standard error, so that standard output is the report alone.
//!
//! Never knows: what is measured.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::widgets::Widget as _;
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType};
use rustix::termios::tcgetwinsize;

use super::watch::{Point, thinned};
use crate::units;

/// How often a terminal is drawn anew.
const REDRAWN_EVERY: Duration = Duration::from_millis(500);
/// How often a line is written where nobody watches a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Columns and lines of a terminal that doesn't say.
const SIZE: (u16, u16) = (80, 24);
/// Wider plots are no clearer.
const WIDTH_MAX: u16 = 120;
/// Lines of a plot, its axis included.
const PLOT_LINES: u16 = 10;
/// Points of a plot: more than its columns can show are noise.
const POINTS_SHOWN: usize = 120;
/// A tuple that takes more than this many bytes lies above the plot: at the start, when the program
/// itself is most of it.
const BYTES_SHOWN_MAX: f64 = 24.0;

/// Somebody who looks on.
pub(crate) struct Display {
    kind: Kind,
    /// Tuples that will come.
    tuples: u64,
    what: String,
}

enum Kind {
    Terminal { colours: Colours, drawn_lines: usize },
    Lines,
}

/// Whether what is drawn has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    Some,
    None,
}

impl Display {
    /// For a run in which so many tuples will come.
    pub(crate) fn new(tuples: u64) -> Self {
        let kind = if std::io::stderr().is_terminal() {
            // See no-color.org.
            let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colours = if plain { Colours::None } else { Colours::Some };
            Kind::Terminal { colours, drawn_lines: 0 }
        } else {
            Kind::Lines
        };
        Self { kind, tuples, what: String::new() }
    }

    /// How long it wants to be left alone after it was shown something.
    pub(crate) fn pause(&self) -> Duration {
        match self.kind {
            Kind::Terminal { .. } => REDRAWN_EVERY,
            Kind::Lines => LINE_EVERY,
        }
    }

    /// Shows how far the run is.
    pub(crate) fn show(&mut self, points: &[Point], now: &Point) {
        let [what, how] = status(&self.what, self.tuples, now);
        self.draw(points, &[what, how]);
    }

    /// Says what is being done, beginning now.
    pub(crate) fn say(&mut self, what: &str, points: &[Point]) {
        what.clone_into(&mut self.what);
        match points.last() {
            Some(last) if matches!(self.kind, Kind::Terminal { .. }) => self.show(points, last),
            _ => self.draw(points, &[what.to_owned()]),
        }
    }

    fn draw(&mut self, points: &[Point], status: &[String]) {
        let mut out = String::new();
        match &mut self.kind {
            Kind::Lines => out = status.join("; ") + "\n",
            Kind::Terminal { colours, drawn_lines } => {
                if *drawn_lines > 0 {
                    let _ = write!(out, "\x1b[{drawn_lines}A");
                }
                let lines = frame(size(), points, self.tuples, status, *colours);
                for line in &lines {
                    let _ = writeln!(out, "\r\x1b[K{line}");
                }
                // What an earlier, taller frame has left.
                out.push_str("\x1b[J");
                *drawn_lines = lines.len();
            }
        }
        // Progress that can't be shown is no reason to stop.
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(out.as_bytes());
        let _ = stderr.flush();
    }
}

fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => SIZE,
    }
}

/// `on to full size: 6,000,000 of 10,000,000 tuples (60 %)`, and
/// `2.80 M/s; 61.5 MiB resident, 10.75 bytes a tuple; 2 s to go`.
fn status(what: &str, tuples: u64, now: &Point) -> [String; 2] {
    let so_far = format!(
        "{what}: {} of {} tuples ({:.0} %)",
        units::grouped(now.made as f64),
        units::grouped(tuples as f64),
        now.made as f64 * 100.0 / tuples.max(1) as f64,
    );
    let mut how = String::new();
    if let Some(rate) = now.per_cpu_second {
        let _ = write!(how, "{:.2} M/s; ", rate / 1e6);
    }
    let _ = write!(
        how,
        "{} resident, {:.2} bytes a tuple",
        units::memory(now.resident_bytes),
        now.bytes_per_tuple()
    );
    if let Some(rate) = now.per_wall_second.filter(|_| now.made < tuples) {
        let left = (tuples - now.made) as f64 / rate;
        let left =
            if left < 120.0 { format!("{left:.0} s") } else { format!("{:.0} min", left / 60.0) };
        let _ = write!(how, "; {left} of new ones to go");
    }
    [so_far, how]
}

/// The lines of a whole screen: plots, as far as there is room, and the status.
fn frame(
    (columns, lines): (u16, u16),
    points: &[Point],
    tuples: u64,
    status: &[String],
    colours: Colours,
) -> Vec<String> {
    let points = &thinned(points, POINTS_SHOWN);
    let width = columns.min(WIDTH_MAX);
    let plots = [
        ("million new/s of CPU time", Color::Cyan, rates(points)),
        ("resident bytes a tuple", Color::Yellow, bytes(points)),
    ];
    let mut frame = Vec::new();
    let mut left = lines.saturating_sub(1 + status.len() as u16);
    for (title, colour, data) in &plots {
        if left < PLOT_LINES || width < 40 || data.len() < 2 {
            break;
        }
        left -= PLOT_LINES;
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, PLOT_LINES));
        plot(title, *colour, data, tuples).render(buffer.area, &mut buffer);
        frame.extend(lines_of(&buffer, colours));
    }
    // No longer than the screen is wide, or the next frame would not know how far up to go.
    let cut = |line: &String| line.chars().take(usize::from(columns).saturating_sub(1)).collect();
    frame.extend(status.iter().map(cut));
    frame
}

fn rates(points: &[Point]) -> Vec<(f64, f64)> {
    let point = |point: &Point| Some((point.made as f64, point.per_cpu_second? / 1e6));
    points.iter().filter_map(point).collect()
}

fn bytes(points: &[Point]) -> Vec<(f64, f64)> {
    let point = |point: &Point| (point.made as f64, point.bytes_per_tuple());
    points.iter().map(point).filter(|(_, bytes)| *bytes <= BYTES_SHOWN_MAX).collect()
}

fn plot<'a>(title: &'a str, colour: Color, data: &'a [(f64, f64)], tuples: u64) -> Chart<'a> {
    let top = data.iter().map(|(_, y)| *y).fold(0.0, f64::max).mul_add(1.1, 0.1).ceil();
    let label = |number: f64| format!("{number:>4.1}");
    let line = Dataset::default()
        .marker(Marker::Braille)
        .graph_type(GraphType::Line)
        .style(Style::new().fg(colour))
        .data(data);
    let end = tuples as f64;
    Chart::new(vec![line])
        .x_axis(Axis::default().bounds([0.0, end]).labels([0.0, end / 2.0, end].map(short)))
        .y_axis(
            Axis::default()
                .title(title)
                .bounds([0.0, top])
                .labels([0.0, top / 2.0, top].map(label)),
        )
}

/// `0`, `250 k`, `10 M`, `2,160 M`.
fn short(tuples: f64) -> String {
    match tuples {
        ..1e3 => units::grouped(tuples),
        ..1e6 => format!("{} k", units::ratio(tuples / 1e3)),
        _ => format!("{} M", units::ratio(tuples / 1e6)),
    }
}

/// A drawn buffer as lines, with the terminal's codes for its colours.
fn lines_of(buffer: &Buffer, colours: Colours) -> Vec<String> {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let line = |y: u16| {
        let mut text = String::new();
        let mut last = Color::Reset;
        for x in 0..width {
            let cell = &buffer[(x, y)];
            if colours == Colours::Some && cell.fg != last {
                last = cell.fg;
                text.push_str(code(last));
            }
            text.push_str(cell.symbol());
        }
        if last != Color::Reset {
            text.push_str(code(Color::Reset));
        }
        text.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

fn code(colour: Color) -> &'static str {
    match colour {
        Color::Cyan => "\x1b[36m",
        Color::Yellow => "\x1b[33m",
        _ => "\x1b[39m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u64) -> Vec<Point> {
        (1..=count)
            .map(|number| Point {
                made: number * 100_000,
                live: number * 100_000,
                second: number as u32,
                per_cpu_second: Some(4e6 - number as f64 * 2e4),
                per_wall_second: None,
                resident_bytes: (10 << 20) + number * 900_000,
                slot_bytes: number * 880_000,
            })
            .collect()
    }

    #[test]
    fn a_screen_shows_both_plots_and_the_status() {
        let points = points(60);
        let status = status("on to full size", 10_000_000, &points[59]);
        let lines = frame((80, 24), &points, 10_000_000, &status, Colours::None);
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let points = points(60);
        for (size, shown) in [((80, 24), 21), ((80, 21), 11), ((80, 11), 1), ((30, 24), 1)] {
            let lines = frame(size, &points, 1_000_000, &["status ".repeat(30)], Colours::None);
            assert_eq!(lines.len(), shown, "{size:?}");
            assert!(lines.iter().all(|line| line.chars().count() < usize::from(size.0) + 1));
        }
        assert_eq!(
            frame((80, 24), &[], 1_000_000, &["status".to_owned()], Colours::None),
            ["status"]
        );
    }

    #[test]
    fn colours_end_with_their_line() {
        let lines = frame((80, 24), &points(60), 10_000_000, &[], Colours::Some);
        let coloured: Vec<_> = lines.iter().filter(|line| line.contains("\x1b[36m")).collect();
        assert!(!coloured.is_empty());
        assert!(
            coloured.iter().all(|line| line.ends_with("\x1b[39m") || line.ends_with('s')),
            "{coloured:?}"
        );
    }

    #[test]
    fn numbers_of_tuples_are_short() {
        for (tuples, expected) in
            [(0.0, "0"), (250_000.0, "250 k"), (5e6, "5.00 M"), (2.16e9, "2,160 M")]
        {
            assert_eq!(short(tuples), expected);
        }
    }
}
