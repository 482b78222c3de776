//! From what was measured of openings to what is said about it. Pure: it measures nothing and prints
//! nothing.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::open::Opened;
use super::{End, Made};
use crate::machine::Machine;
use crate::store::report::{Goal, Side, write_goals};
use crate::units;

/// What loading a snapshot may take, as a multiple of what reading its bytes takes.
const LOAD_MAX: f64 = 2.0;
/// Changes of the tail applied in each second.
const TAIL_MIN: f64 = 2e6;

/// One reading and one opening.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Round {
    /// Which part of the files was in the kernel's cache, although it was asked to drop them.
    pub(crate) cached_before_reading: f64,
    /// What reading the snapshot's bytes took.
    pub(crate) read_seconds: f64,
    pub(crate) cached_before_opening: f64,
    pub(crate) opened: Opened,
}

impl Round {
    /// What loading took, as a multiple of what reading took.
    fn load_ratio(&self) -> Option<f64> {
        (self.read_seconds > 0.0).then(|| self.opened.snapshot_seconds / self.read_seconds)
    }

    fn tail_rate(&self) -> Option<f64> {
        let Opened { changes, journal_seconds, .. } = self.opened;
        (changes > 0 && journal_seconds > 0.0).then(|| changes as f64 / journal_seconds)
    }
}

/// All that a run has found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) made: Made,
    pub(crate) snapshot_bytes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) rounds: Vec<Round>,
    pub(crate) goals: Vec<Goal>,
}

impl Report {
    pub(super) fn new(
        machine: Machine,
        made: Made,
        (snapshot_bytes, journal_bytes): (u64, u64),
        rounds: Vec<Round>,
    ) -> Self {
        let goals = judge(&rounds);
        Self { machine, made, snapshot_bytes, journal_bytes, rounds, goals }
    }

    /// The report for people, as lines of text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        head(self, &mut out);
        let _ = writeln!(out, "\n{}\n", table(self));
        if let Some(last) = self.rounds.last() {
            let opened = &last.opened;
            let count = |number: u64| units::grouped(number as f64);
            let _ = writeln!(
                out,
                "Of the snapshot {} tuples looked for, {} lost; of {} changes answered after it {} \
                 looked for, {} lost",
                count(opened.asked),
                count(opened.lost),
                count(self.made.answered),
                count(opened.tail_asked),
                count(opened.tail_lost),
            );
            for damage in &opened.damage {
                let _ = writeln!(out, "DAMAGE: {damage}");
            }
        }
        write_goals(&self.goals, &mut out);
        out
    }

    /// The report for programs.
    ///
    /// # Errors
    /// Never for what was measured; the library's signature allows it.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn head(report: &Report, out: &mut String) {
    let (machine, made) = (&report.machine, &report.made);
    let recipe = &made.recipe;
    let _ = writeln!(out, "{machine}");
    let end = match recipe.end {
        End::Orderly => "ended by itself",
        End::Killed => "killed by SIGKILL",
    };
    let _ = writeln!(
        out,
        "{} tuples in a snapshot of {}, then {} changes answered; segments of {} in all; bound {}; made \
         in {} s by a process that was then {end}; seed {}",
        units::grouped(recipe.tuples as f64),
        units::memory(report.snapshot_bytes),
        units::grouped(made.answered as f64),
        units::memory(report.journal_bytes),
        units::memory(recipe.bound_bytes),
        units::ratio(made.seconds),
        recipe.seed,
    );
    let cached = report
        .rounds
        .iter()
        .flat_map(|round| [round.cached_before_reading, round.cached_before_opening])
        .fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "Files written out and dropped from the kernel's cache (posix_fadvise) before each reading \
         and each opening; at most {:.0} % of them still there",
        cached * 100.0
    );
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "round",
        "reading the snapshot",
        "loading it",
        "ratio",
        "tuples loaded",
        "changes after it",
        "applied in",
        "changes/s",
        "CPU time",
        "resident",
    ]);
    let seconds = |seconds: f64| units::duration((seconds * 1e9) as u64);
    let speed = |seconds: f64| {
        let rate = report.snapshot_bytes as f64 / seconds.max(1e-9) / f64::from(1 << 20);
        format!("{} MiB/s", units::grouped(rate))
    };
    let shown = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), units::ratio);
    for (number, round) in (1..).zip(&report.rounds) {
        let opened = &round.opened;
        table.add_row([
            units::grouped(f64::from(number)),
            format!("{} ({})", seconds(round.read_seconds), speed(round.read_seconds)),
            format!("{} ({})", seconds(opened.snapshot_seconds), speed(opened.snapshot_seconds)),
            shown(round.load_ratio()),
            units::grouped(opened.loaded as f64),
            units::grouped(opened.changes as f64),
            seconds(opened.journal_seconds),
            shown(round.tail_rate()),
            seconds(opened.cpu_seconds),
            units::memory(opened.resident_bytes),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn judge(rounds: &[Round]) -> Vec<Goal> {
    let median_of =
        |number: fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(number).collect());
    let mut goals = vec![
        Goal::new(
            "loading the snapshot, as a multiple of reading it (median)",
            median_of(Round::load_ratio),
            Side::AtMost,
            LOAD_MAX,
        ),
        Goal::new(
            "changes of the tail/s (median)",
            median_of(Round::tail_rate),
            Side::AtLeast,
            TAIL_MIN,
        ),
    ];
    if let Some(last) = rounds.last().map(|round| &round.opened) {
        let lost = (last.lost + last.tail_lost) as f64;
        goals.push(Goal::new("tuples and changes lost", Some(lost), Side::AtMost, 0.0));
        let damage = last.damage.len() as f64;
        goals.push(Goal::new("places found damaged", Some(damage), Side::AtMost, 0.0));
    }
    goals
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        len if len % 2 == 1 => Some(numbers[middle]),
        _ => Some(f64::midpoint(numbers[middle - 1], numbers[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::Recipe;

    fn round(read_seconds: f64, snapshot_seconds: f64) -> Round {
        let opened = Opened {
            snapshot_seconds,
            journal_seconds: 2.5,
            cpu_seconds: 5.25,
            loaded: 100_000_000,
            changes: 10_000_000,
            tuples: 105_000_000,
            resident_bytes: 900 << 20,
            damage: Vec::new(),
            asked: 0,
            lost: 0,
            tail_asked: 0,
            tail_lost: 0,
        };
        Round { cached_before_reading: 0.0, read_seconds, cached_before_opening: 0.25, opened }
    }

    fn report(end: End, last: Round) -> Report {
        let machine = Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            kernel: "Linux 6.1.0 x86_64".to_owned(),
        };
        let bound_bytes = 1 << 30;
        let recipe = Recipe { tuples: 100_000_000, tail: 20_000_000, bound_bytes, end, seed: 1 };
        let made = Made { recipe, answered: 10_000_000, seconds: 75.4 };
        let rounds = vec![round(1.0, 1.5), round(1.2, 1.6), last];
        Report::new(machine, made, (848 << 20, 120 << 20), rounds)
    }

    #[test]
    fn a_report_reads_well() {
        let last = Opened { asked: 100, tail_asked: 200, ..round(1.0, 1.0).opened };
        let last = Round { opened: last, ..round(0.9, 1.0) };
        insta::assert_snapshot!(report(End::Killed, last).text());
    }

    #[test]
    fn what_is_lost_or_damaged_or_slow_misses_its_goal() {
        for (round, missed) in [
            (round(1.0, 1.0), 0),
            (Round { opened: Opened { lost: 1, ..round(1.0, 1.0).opened }, ..round(1.0, 1.0) }, 1),
            (
                Round {
                    opened: Opened { tail_lost: 1, ..round(1.0, 1.0).opened },
                    ..round(1.0, 1.0)
                },
                1,
            ),
            (
                Round {
                    opened: Opened { damage: vec!["x".to_owned()], ..round(1.0, 1.0).opened },
                    ..round(1.0, 1.0)
                },
                1,
            ),
        ] {
            let report = report(End::Orderly, round);
            let count = report.goals.iter().filter(|goal| goal.met != Some(true)).count();
            assert_eq!(count, missed, "{}", report.text());
            assert!(report.json().is_ok());
        }
        let slow = judge(&[round(1.0, 2.5)]);
        assert_eq!(slow[0].met, Some(false));
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
