//! From what a run found to what is said about it. Pure: it measures nothing and prints nothing.

mod goals;
mod text;

use std::num::NonZeroU64;

use serde::Serialize;
use store::durable::Durability;
use store::text::TextStats;

use super::check::Check;
use super::measure::Rates;
use super::meter::Cost;
use super::plan::StopName;
use super::subject::Answers;
use super::watch::{Extremes, Point};
use crate::machine::Machine;
use crate::state::Seen;

pub(crate) use goals::{Goal, LARGE_TUPLES_MIN, Side};
pub(crate) use text::write_goals;

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Method {
    /// Live tuples at full size.
    pub(crate) tuples: u64,
    pub(crate) window_seconds: u32,
    pub(crate) embargo_seconds: u32,
    /// First tries in each simulated second.
    pub(crate) new_per_simulated_second: f64,
    pub(crate) bound_bytes: u64,
    /// Attempts in one batch.
    pub(crate) batch: usize,
    pub(crate) journal: Journal,
    /// First tries in each second that passed, at most; none if they came as fast as they could.
    pub(crate) pace: Option<NonZeroU64>,
    /// Tuples looked for in each check.
    pub(crate) sample: u64,
    pub(crate) seed: u64,
}

/// What outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kept")]
pub(crate) enum Journal {
    /// Nothing.
    Off,
    /// All changes.
    On {
        /// When they are made to outlive a power cut too.
        sync: String,
        /// Whether the tuples' text is kept as well.
        text: Text,
    },
}

/// What of a run was kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    pub(crate) journal_changes: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) journal_writes: u64,
    pub(crate) journal_syncs: u64,
    pub(crate) segments: u64,
    /// Changes that are in no file.
    pub(crate) not_kept: u64,
    pub(crate) snapshots: u64,
    /// Bytes of the last one.
    pub(crate) snapshot_bytes: u64,
    pub(crate) texts: Option<Texts>,
    /// What went wrong.
    pub(crate) faults: Vec<String>,
}

/// What texts were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Texts {
    pub(crate) written: u64,
    /// Since they came faster than the disk, or the thread that writes them, took them.
    pub(crate) dropped: u64,
    /// On disk at the end.
    pub(crate) bytes: u64,
}

impl Kept {
    pub(crate) fn new(durability: &Durability, seen: Seen, texts: Option<&TextStats>) -> Self {
        let journal = &durability.journal;
        Self {
            journal_changes: journal.position.get(),
            journal_bytes: journal.bytes,
            journal_writes: journal.writes,
            journal_syncs: journal.syncs,
            segments: journal.segments,
            not_kept: journal.not_kept,
            snapshots: seen.snapshots,
            snapshot_bytes: durability.snapshot.map_or(0, |snapshot| snapshot.bytes),
            texts: texts.map(|texts| Texts {
                written: texts.written,
                dropped: texts.dropped,
                bytes: texts.bytes,
            }),
            faults: seen.faults,
        }
    }
}

/// Whether the client, sender and recipient of each new tuple are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Text {
    /// They are
    On,
    /// They are not
    Off,
}

/// What was found at one stop.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Reached {
    pub(crate) stop: StopName,
    /// Tuples that had come.
    pub(crate) made: u64,
    /// Of those, the ones that had not expired.
    pub(crate) live: u64,
    /// Simulated seconds since the start.
    pub(crate) second: u32,
    /// Live tuples as a part of the slots that the bound allows.
    pub(crate) bound_percent: f64,
    /// Slots in use, expired ones included.
    pub(crate) used: u64,
    /// Slots that there were.
    pub(crate) slots: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) slot_bytes: u64,
    /// Of the resident bytes, those on huge pages; unknown if the kernel doesn't say.
    pub(crate) huge_page_bytes: Option<u64>,
    /// The next five since the start.
    pub(crate) rebuilds: u64,
    pub(crate) no_room: u64,
    pub(crate) evicted_grey: u64,
    pub(crate) evicted_white: u64,
    pub(crate) expired: u64,
    /// All first tries since the stop before.
    pub(crate) on_the_way: Cost,
    pub(crate) rates: Rates,
}

impl Reached {
    pub(crate) fn bytes_per_tuple(&self) -> f64 {
        self.resident_bytes as f64 / self.live.max(1) as f64
    }
}

/// What was found on the way.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) reached: Vec<Reached>,
    pub(crate) checks: Vec<Check>,
    /// All that was answered.
    pub(crate) answers: Answers,
    /// First tries that were answered as if they were retries: another tuple has the same id.
    pub(crate) taken_for_another: u64,
    /// Retries in samples that were answered as no retry of their kind should be.
    pub(crate) unexpected: u64,
    /// Tuples never seen that were found in samples.
    pub(crate) false_matches: u64,
}

/// What the whole of it took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Totals {
    pub(crate) wall_seconds: f64,
    /// CPU time of the thread that touched, all samples and checks included.
    pub(crate) cpu_seconds: f64,
    /// CPU time of all other threads.
    pub(crate) other_cpu_seconds: f64,
    /// Resident bytes before the first tuple came.
    pub(crate) resident_bytes_empty: u64,
}

/// All that a run has found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) method: Method,
    #[serde(flatten)]
    pub(crate) facts: Facts,
    pub(crate) extremes: Extremes,
    pub(crate) totals: Totals,
    /// None of a run in memory alone.
    pub(crate) kept: Option<Kept>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) points: Vec<Point>,
}

impl Report {
    /// Puts together what a run has found, and judges it.
    pub(crate) fn new(
        machine: Machine,
        method: Method,
        facts: Facts,
        (points, extremes): (Vec<Point>, Extremes),
        totals: Totals,
        kept: Option<Kept>,
    ) -> Self {
        let mut goals = goals::judge(&method, &facts, &extremes, &totals);
        goals.extend(kept.iter().flat_map(|kept| goals::judge_kept(&method, kept)));
        Self { machine, method, facts, extremes, totals, kept, goals, points }
    }

    /// The report for people, as lines of text.
    pub(crate) fn text(&self) -> String {
        text::write(self)
    }

    /// The report for programs.
    ///
    /// # Errors
    /// Never for what was measured; the library's signature allows it.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::store::watch::Most;

    const SLOTS: u64 = 2_415_919_104;

    fn cost(rate: f64) -> Option<Cost> {
        Some(Cost { touches: 1_000_000, cpu_seconds: 1e6 / rate, wall_seconds: 1.25e6 / rate })
    }

    fn reached(stop: StopName, live: u64, rate: f64) -> Reached {
        Reached {
            stop,
            made: live * 5 / 4,
            live,
            second: 21_600,
            bound_percent: live as f64 * 100.0 / SLOTS as f64,
            used: live,
            slots: live * 10 / 9,
            resident_bytes: live * 89 / 10,
            slot_bytes: live * 8 * 10 / 9,
            huge_page_bytes: Some(live * 8),
            rebuilds: 123_456,
            no_room: 0,
            evicted_grey: 0,
            evicted_white: 0,
            expired: live / 4,
            on_the_way: Cost { touches: live, cpu_seconds: 900.0, wall_seconds: 1_000.0 },
            rates: Rates {
                new: cost(rate),
                early: cost(rate * 1.5),
                passing: cost(rate * 1.2),
                known: cost(rate * 1.1),
                miss: cost(rate * 3.0),
                mixed: cost(rate * 1.05),
            },
        }
    }

    pub(in crate::store) fn facts() -> Facts {
        Facts {
            reached: vec![
                Reached {
                    huge_page_bytes: None,
                    rates: Rates { early: None, ..reached(StopName::Full, 1, 2.5e6).rates },
                    ..reached(StopName::Level(80), 1_932_735_283, 2.5e6)
                },
                reached(StopName::Full, 2_160_000_000, 1.4e6),
                reached(StopName::Beyond(92), 2_222_645_575, 9e5),
            ],
            checks: vec![Check {
                stop: StopName::Full,
                asked: 10_000_000,
                found: 9_999_999,
                taken_for_another: 1,
                lost: 0,
                misses: 10_000_000,
                false_matches: 0,
                expired: 5_000,
                outlived: 0,
            }],
            answers: Answers {
                new: 2_222_645_567,
                early: 3_000_000,
                passed: 3_000_000,
                known: 3_000_008,
                no_room: 0,
            },
            taken_for_another: 8,
            unexpected: 0,
            false_matches: 0,
        }
    }

    pub(in crate::store) fn method() -> Method {
        Method {
            tuples: 2_160_000_000,
            window_seconds: 21_600,
            embargo_seconds: 60,
            new_per_simulated_second: 100_000.0,
            bound_bytes: 18 << 30,
            batch: 64,
            journal: Journal::Off,
            pace: None,
            sample: 10_000_000,
            seed: 1,
        }
    }

    pub(in crate::store) fn totals() -> Totals {
        Totals {
            wall_seconds: 2_345.6,
            cpu_seconds: 2_300.0,
            other_cpu_seconds: 0.25,
            resident_bytes_empty: 4 << 20,
        }
    }

    /// One of two million tuples each.
    pub(in crate::store) fn point(number: u64) -> Point {
        Point {
            made: number * 2_000_000,
            live: number * 2_000_000,
            second: (number * 20) as u32,
            per_cpu_second: Some(2.5e6 + 1e3 * number as f64),
            per_wall_second: Some(2.4e6),
            resident_bytes: (10 << 20) + number * 18_000_000,
            slot_bytes: number * 17_000_000,
        }
    }

    pub(in crate::store) fn report() -> Report {
        let machine = Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            kernel: "Linux 6.1.0 x86_64".to_owned(),
        };
        let extremes = Extremes {
            bytes_per_tuple: Some(Most { value: 12.34, live: 11_000_000 }),
            resident_bytes: Most { value: 1.95e10, live: 2_222_645_575 },
            slot_bytes: Most { value: 1.93e10, live: 2_222_645_575 },
        };
        Report::new(machine, method(), facts(), (vec![point(2)], extremes), totals(), None)
    }

    #[test]
    fn a_report_reads_well() {
        insta::assert_snapshot!(report().text());
    }

    #[test]
    fn a_report_for_programs_has_the_same_numbers() {
        insta::assert_snapshot!(report().json().unwrap());
    }
}
