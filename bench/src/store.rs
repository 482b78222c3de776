//! `xgrey-bench store`: the store itself, filled to a number of tuples in simulated time, and
//! measured and checked on the way.
//!
//! A store has no protocol of its own, so this, alone in the bench, uses two of xgrey's crates.
//!
//! | file | subject |
//! |---|---|
//! | `plan.rs`, `numbers.rs`, `course.rs` | pure: where to stop; which tuple comes when |
//! | `subject.rs` | the store, touched in batches as the service does |
//! | `run.rs`, `measure.rs`, `check.rs` | on to each stop, and what is done there |
//! | `meter.rs` | CPU time, time, memory |
//! | `watch.rs`, `progress.rs`, `chart.rs` | points on the way; the terminal's plots; the SVG |
//! | `report.rs` | goals, text and JSON |

mod chart;
mod check;
pub(crate) mod course;
mod measure;
pub(crate) mod meter;
pub(crate) mod numbers;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod report;
mod run;
pub(crate) mod subject;
pub(crate) mod watch;

use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::clock;
use crate::machine::{Machine, random_seed};
use crate::publish::Published;
use crate::state::Sync;
use meter::Meter;
use numbers::Keys;
use plan::{After, Plan, Wishes};
use progress::Display;
use report::{Journal, Method, Report, Text, Totals};
use run::{Pace, Run};
use subject::{Keeping, Subject};
use watch::Watch;

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Live tuples at full size; they come evenly over one window
    #[arg(long, value_name = "N", default_value = "10_000_000", value_parser = parse_count)]
    tuples: u64,
    /// Bound of the table, such as 18GiB [default: such that the tuples fill nine tenths of it]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Where to stop and measure, in percent of the slots under the bound; what is more than the
    /// full size comes last, while time stands still
    #[arg(
        long,
        value_name = "PERCENT,…",
        value_delimiter = ',',
        default_value = "1,10,25,50,80,92",
        value_parser = clap::value_parser!(u8).range(1..=98)
    )]
    levels: Vec<u8>,
    /// How much of the full size is then replaced, as time goes on and the oldest expire
    #[arg(long, value_name = "PERCENT", default_value = "25%", value_parser = parse_percent)]
    turnover: u32,
    /// Go on instead until so many whole windows have passed, the first of which fills it
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "turnover",
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    windows: Option<u32>,
    /// The window, in simulated seconds: so long a tuple that is not tried again lives
    #[arg(long, value_name = "SECONDS", default_value_t = 21_600)]
    window: u32,
    /// The embargo, in simulated seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    embargo: u32,
    /// Keep all changes in this directory, which must be empty: a journal and snapshots, looked
    /// after as the service does. They are left there
    #[arg(long, value_name = "DIR")]
    journal: Option<PathBuf>,
    /// When changes are made to outlive a power cut: always, never, or each so many seconds
    #[arg(long, value_name = "always|never|TIME", default_value = "1s", value_parser = Sync::parse, requires = "journal")]
    sync: Sync,
    /// Whether client, sender and recipient of each new tuple are kept too
    #[arg(long, value_name = "on|off", default_value = "off", requires = "journal")]
    text: Text,
    /// Let no more first tries come in each second that passes [default: as fast as they are answered]
    #[arg(long, value_name = "N", value_parser = parse_pace)]
    pace: Option<NonZeroU64>,
    /// Attempts in one batch: what one turn of the service's loop brings
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    batch: u16,
    /// Tuples that each check looks for, and as many that were never there
    #[arg(long, value_name = "N", default_value = "10_000_000", value_parser = parse_count)]
    sample: u64,
    /// The number that all keys follow from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Write the report as JSON to this file; with - to standard output, the tables to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Draw rate and bytes a tuple, against tuples, to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// `10_000_000`, `10,000,000`, `216M`, `2.16G`.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    const UNITS: [(char, f64); 3] = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
    let digits = text.replace(['_', ','], "");
    let scaled = UNITS.into_iter().find_map(|(unit, scale)| {
        let number: f64 = digits.strip_suffix(unit)?.parse().ok()?;
        let count = number * scale;
        (0.0..=1e12).contains(&count).then_some(count.round() as u64)
    });
    let count = digits.parse().ok().or(scaled).filter(|&count: &u64| count <= 1_000_000_000_000);
    count.ok_or_else(|| "a number of tuples is such as 10_000_000 or 216M".to_owned())
}

fn parse_pace(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(parse_count(text)?).ok_or_else(|| "a pace is at least 1 a second".to_owned())
}

/// `512MiB`, `18GiB`, `1.5GiB`, or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let scaled = UNITS.into_iter().find_map(|(unit, bits)| {
        let number: f64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        let bytes = number * (1_u64 << bits) as f64;
        (0.0..=1e15).contains(&bytes).then_some(bytes as u64)
    });
    let size = text.parse().ok().or(scaled);
    size.ok_or_else(|| "a size is a number and a unit, such as 512MiB or 18GiB".to_owned())
}

/// `25%` or `25`.
fn parse_percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    match number.parse() {
        Ok(percent @ 0..=100_000) => Ok(percent),
        _ => Err("a part is a whole number of percent, such as 25%".to_owned()),
    }
}

/// Fills, measures, checks, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let after = match options.windows {
        Some(windows) => After::Windows(windows),
        None => After::Turnover(options.turnover),
    };
    let plan = Plan::new(&Wishes {
        tuples: options.tuples,
        memory_bytes: options.memory,
        levels: options.levels.clone(),
        window: options.window,
        embargo: options.embargo,
        after,
    })?;
    let seed = options.seed.unwrap_or_else(random_seed);
    let begin = Meter::start();
    let resident_bytes_empty = meter::resident_bytes();
    let keeping = options.journal.as_ref().map(|directory| Keeping {
        directory: directory.clone(),
        sync: options.sync,
        text: options.text,
    });
    let config = subject::config(&plan.line, plan.bound)?;
    let (keys, batch) = (Keys::new(seed), usize::from(options.batch));
    let mut subject = Subject::new(config, keeping.as_ref(), keys, batch)?;
    let mut watch = Watch::new(plan.made(), Display::new(plan.made()));
    let pace = options.pace.map_or(Pace::Unbound, Pace::PerSecond);
    let facts = Run::new(&plan, &mut subject, &mut watch, options.sample, pace).go()?;
    let kept = subject.finish()?;
    let whole = begin.cost(0);
    let totals = Totals {
        wall_seconds: whole.wall_seconds,
        cpu_seconds: whole.cpu_seconds,
        other_cpu_seconds: (clock::process_cpu().as_secs_f64() - whole.cpu_seconds).max(0.0),
        resident_bytes_empty,
    };
    let method = Method {
        tuples: plan.line.tuples,
        window_seconds: plan.line.window,
        embargo_seconds: plan.line.embargo,
        new_per_simulated_second: plan.line.tuples as f64 / f64::from(plan.line.window),
        bound_bytes: plan.bound.bytes(),
        batch,
        journal: keeping.map_or(Journal::Off, |keeping| Journal::On {
            sync: keeping.sync.to_string(),
            text: keeping.text,
        }),
        pace: options.pace,
        sample: options.sample,
        seed,
    };
    let report = Report::new(Machine::this(), method, facts, watch.finish(), totals, kept);
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::svg(&report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    let published = Published { text: report.text(), json: report.json()?, gap: "\n" };
    published.write(options.json.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_sizes_and_parts_are_read_as_people_write_them() {
        for (text, count) in [
            ("1", Ok(1)),
            ("10_000_000", Ok(10_000_000)),
            ("2,160,000,000", Ok(2_160_000_000)),
            ("216M", Ok(216_000_000)),
            ("2.16G", Ok(2_160_000_000)),
            ("2.5k", Ok(2_500)),
            ("", Err(())),
            ("many", Err(())),
            ("-1", Err(())),
            ("10T", Err(())),
            ("9e99", Err(())),
        ] {
            assert_eq!(parse_count(text).map_err(|_| ()), count, "{text}");
        }
        for (text, bytes) in [
            ("2097152", Ok(2 << 20)),
            ("512MiB", Ok(512 << 20)),
            ("18 GiB", Ok(18 << 30)),
            ("1.5GiB", Ok(3 << 29)),
            ("18GB", Err(())),
            ("-1MiB", Err(())),
        ] {
            assert_eq!(parse_size(text).map_err(|_| ()), bytes, "{text}");
        }
        for (text, percent) in
            [("25%", Ok(25)), ("0", Ok(0)), ("400 %", Ok(400)), ("a%", Err(())), ("-5%", Err(()))]
        {
            assert_eq!(parse_percent(text).map_err(|_| ()), percent, "{text}");
        }
    }
}
