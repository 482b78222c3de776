//! What is said of a run that keeps so many pieces of work going at a time, be they milter sessions or greylistd's
//! requests: medians over rounds, ratios to the null server within a round, and whether the goal is met. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::words::{self, UNKNOWN};
use super::{Busy, InRound, Latency, Spread};
use crate::machine::Machine;
use crate::process::Used;
use crate::units;

/// The lowest share of what the null server does a second. Source: the project's own aims, as `docs/performance.md`
/// lists them.
const RATE_MIN: f64 = 0.85;

/// What is counted: a session, or a request. The keys are those of the report for programs.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
    pub(crate) rate_key: &'static str,
    pub(crate) cpu_key: &'static str,
    /// What was measured, as the report begins.
    pub(crate) title: &'static str,
    /// How wide the column of servers' names is.
    pub(crate) name_width: usize,
}

/// What was measured of one server in one round with so many at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Which: 0 the null server, 1 the one under test.
    pub(crate) server: usize,
    pub(crate) at_once: usize,
    pub(crate) round: usize,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    /// Pieces of work that were done.
    pub(crate) done: u64,
    pub(crate) latency: Latency,
    pub(crate) accepted: u64,
    pub(crate) deferred: u64,
    pub(crate) errors: u64,
    pub(crate) server_used: Option<Used>,
    pub(crate) load_used: Option<Used>,
}

impl InRound for Sample {
    fn round(&self) -> usize {
        self.round
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn used(&self) -> [Option<Used>; 2] {
        [self.server_used, self.load_used]
    }
}

impl Sample {
    fn rate(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.done as f64 / self.seconds)
    }

    fn cpu_micros(&self) -> Option<f64> {
        let ran_ns = self.server_used?.ran_ns;
        (self.done > 0).then(|| ran_ns as f64 / 1e3 / self.done as f64)
    }
}

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// Work about a tuple that was never asked about before.
    pub(crate) new_percent: u8,
    /// Tuples that were known when measuring began.
    pub(crate) known_tuples: u32,
    pub(crate) server_cpu: usize,
    pub(crate) load_cpu: usize,
}

/// One server with so many at a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    server: &'static str,
    server_index: usize,
    at_once: usize,
    /// Work a second, and microseconds of CPU time for each, under the names that this work has.
    #[serde(flatten)]
    own: BTreeMap<&'static str, Option<Spread>>,
    /// To the null server's of the same round.
    rate_ratio: Option<Spread>,
    cpu_ratio: Option<Spread>,
    latency: Option<Latency>,
    accepted: u64,
    deferred: u64,
    errors: u64,
    busy: Busy,
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(skip)]
    work: &'static Work,
    machine: Machine,
    method: Method,
    rows: Vec<Row>,
    /// Whether the server under test does 0.85 of what the null server does a second, for each number at a time.
    met: Vec<Option<bool>>,
}

impl Report {
    /// What `samples` of the servers with those names say.
    pub(crate) fn new(
        work: &'static Work,
        machine: Machine,
        method: Method,
        names: [&'static str; 2],
        samples: &[Sample],
    ) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for sample in samples {
            let seen =
                |row: &Row| row.at_once == sample.at_once && row.server_index == sample.server;
            if !rows.iter().any(seen) {
                rows.push(row(work, sample, names[sample.server], samples));
            }
        }
        let tested = rows.iter().filter(|row| row.server_index == 1);
        let met = tested.map(|row| row.rate_ratio.map(|ratio| ratio.median >= RATE_MIN)).collect();
        Self { work, machine, method, rows, met }
    }

    /// The report for programs.
    ///
    /// # Errors
    /// Never for what was measured; the library's signature allows it.
    pub(crate) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// The report for people, as lines of text. Writing to a `String` cannot fail.
    pub(crate) fn text(&self) -> String {
        let Self { work, machine, method, rows, met } = self;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} on {machine}: {} rounds of {} s; {} % new tuples, {} known; servers on CPU {}, load on CPU {}",
            work.title,
            method.rounds,
            method.seconds,
            method.new_percent,
            units::grouped(f64::from(method.known_tuples)),
            method.server_cpu,
            method.load_cpu,
        );
        for row in rows {
            let _ = writeln!(text, "{}", line(work, row));
        }
        let tested = rows.iter().filter(|row| row.server_index == 1);
        for (row, met) in tested.zip(met) {
            let _ = writeln!(
                text,
                "{}{}/s of {} at least {RATE_MIN} of null, {} at a time",
                words::met(*met),
                work.many,
                row.server,
                row.at_once,
            );
        }
        text
    }
}

fn row(work: &Work, of: &Sample, name: &'static str, samples: &[Sample]) -> Row {
    let select = |server: usize| -> Vec<&Sample> {
        let wanted = |s: &&Sample| s.server == server && s.at_once == of.at_once;
        samples.iter().filter(wanted).collect()
    };
    let (own, null) = (select(of.server), select(0));
    let sum = |number: fn(&Sample) -> u64| own.iter().map(|sample| number(sample)).sum();
    Row {
        server: name,
        server_index: of.server,
        at_once: of.at_once,
        own: BTreeMap::from([
            (work.rate_key, Spread::of(own.iter().filter_map(|sample| sample.rate()))),
            (work.cpu_key, Spread::of(own.iter().filter_map(|sample| sample.cpu_micros()))),
        ]),
        rate_ratio: Spread::of_ratios(&own, &null, Sample::rate),
        cpu_ratio: Spread::of_ratios(&own, &null, Sample::cpu_micros),
        latency: Latency::over(own.iter().map(|sample| (sample.latency, sample.done))),
        accepted: sum(|sample| sample.accepted),
        deferred: sum(|sample| sample.deferred),
        errors: sum(|sample| sample.errors),
        busy: Busy::over(&own),
    }
}

fn line(work: &Work, row: &Row) -> String {
    let Work { one, many, name_width, .. } = *work;
    let number = |key: &str, unit: &str| {
        row.own.get(key).copied().flatten().map_or_else(
            || UNKNOWN.to_owned(),
            |spread| format!("{}{unit}", units::grouped(spread.median)),
        )
    };
    let latency = |quantile: fn(&Latency) -> u64| {
        row.latency.as_ref().map_or_else(|| UNKNOWN.to_owned(), |l| units::duration(quantile(l)))
    };
    format!(
        "{:>5} at a time  {:<name_width$} {:>8} {many}/s, {} of null; CPU {} a {one}, {} of null; latency p50 {}, p99 {}; \
         {} accepted, {} deferred{}; {}",
        units::grouped(row.at_once as f64),
        row.server,
        number(work.rate_key, ""),
        words::to_null(row.server_index, row.rate_ratio),
        number(work.cpu_key, " µs"),
        words::to_null(row.server_index, row.cpu_ratio),
        latency(|latency| latency.p50_ns),
        latency(|latency| latency.p99_ns),
        units::grouped(row.accepted as f64),
        units::grouped(row.deferred as f64),
        words::errors([(row.errors, many)]),
        words::busy(&row.busy),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSIONS: Work = Work {
        one: "session",
        many: "sessions",
        rate_key: "sessions_per_second",
        cpu_key: "cpu_micros_per_session",
        title: "sessions",
        name_width: 8,
    };

    fn sample(server: usize, round: usize, done: u64) -> Sample {
        Sample {
            server,
            at_once: 10,
            round,
            seconds: 2.0,
            done,
            latency: Latency { p50_ns: 100_000, p99_ns: 900_000, ..Latency::default() },
            accepted: done / 2,
            deferred: done / 2,
            errors: 0,
            server_used: None,
            load_used: None,
        }
    }

    fn report(last_of_round_1: u64) -> Report {
        let samples = [
            sample(0, 0, 10_000),
            sample(1, 0, 9_000),
            sample(0, 1, 20_000),
            sample(1, 1, last_of_round_1),
            sample(0, 2, 8_000),
            sample(1, 2, 6_000),
        ];
        let method = Method {
            seconds: 2.0,
            rounds: 3,
            new_percent: 50,
            known_tuples: 100,
            server_cpu: 0,
            load_cpu: 1,
        };
        Report::new(&SESSIONS, Machine::this(), method, ["null", "xgrey"], &samples)
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_the_goal_by_their_median() {
        for (last, median, met, word) in
            [(17_200, 0.86, true, "met "), (16_800, 0.84, false, "MISSED")]
        {
            let report = report(last);
            assert_eq!(report.met, [Some(met)]);
            let ratio = report.rows[1].rate_ratio.unwrap();
            assert_eq!((ratio.min, ratio.median, ratio.max), (0.75, median, 0.9));
            let text = report.text();
            let line = format!("4,500 sessions/s, {median:.3} (0.750–0.900) of null");
            assert!(text.contains(&line), "{text}");
            let goal = format!("{word:<8}sessions/s of xgrey at least 0.85 of null, 10 at a time");
            assert!(text.contains(&goal), "{text}");
        }
    }

    #[test]
    fn the_report_for_programs_names_the_work() {
        let json: serde_json::Value =
            serde_json::from_str(&report(17_200).json().unwrap()).unwrap();
        assert_eq!(json["rows"][1]["sessions_per_second"]["median"], 4_500.0);
        assert!(json["rows"][1]["cpu_micros_per_session"].is_null());
    }
}
