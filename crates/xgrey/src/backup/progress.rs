//! How far an export or import is: on a terminal, a line that changes.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;
use crate::thousands::thousands;

/// How much of it there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many of whatever it is counted in.
    Of(u64),
    /// That isn't known.
    Unknown,
}

/// The line.
#[derive(Debug)]
pub struct Meter {
    bar: ProgressBar,
    begun: Duration,
}

impl Meter {
    /// Begins to show; nothing if standard error is no terminal.
    pub fn start(extent: Extent) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr_with_hz(4),
            false => ProgressDrawTarget::hidden(),
        };
        let (bar, template) = match extent {
            Extent::Of(all) => (
                ProgressBar::with_draw_target(Some(all), target),
                "  {bar:30} {percent:>3} %  {msg}, {eta} left",
            ),
            Extent::Unknown => (ProgressBar::with_draw_target(None, target), "  {spinner}  {msg}"),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, begun: clock::boot() }
    }

    /// `done` is counted as the extent is.
    pub fn show(&self, done: u64, lines: u64, bytes: u64) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_message(Pace { lines, bytes, took: self.took() }.to_string());
        self.bar.set_position(done);
    }

    /// How long it has taken so far.
    pub fn took(&self) -> Duration {
        clock::boot().saturating_sub(self.begun)
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// How much in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// In that time.
    pub took: Duration,
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secs = self.took.as_secs_f64();
        let lines = if self.lines == 1 { "line" } else { "lines" };
        write!(f, "{} {lines}, {} in {secs:.1} s", thousands(self.lines), size(self.bytes))?;
        // In less than a tenth of a second there is nothing to be said of speed.
        if secs >= 0.1 {
            write!(f, ", {} lines/s", thousands((self.lines as f64 / secs) as u64))?;
        }
        Ok(())
    }
}

/// 12.3 MiB.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_has_units_and_no_speed_before_there_is_one() {
        for (lines, bytes, millis, said) in [
            (0, 300, 20, "0 lines, 300 bytes in 0.0 s"),
            (1_000_000, 48_000_000, 2_000, "1,000,000 lines, 45.8 MiB in 2.0 s, 500,000 lines/s"),
            (1, 3 << 30, 100, "1 line, 3.0 GiB in 0.1 s, 10 lines/s"),
        ] {
            let took = Duration::from_millis(millis);
            assert_eq!(Pace { lines, bytes, took }.to_string(), said);
        }
    }
}
