//! What is said of a run: medians over rounds, ratios to the null milter within a round, and whether the goal is
//! met. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;
use crate::process::Used;
use crate::report::words::{self, UNKNOWN};
use crate::report::{Busy, InRound, Latency, Spread};
use crate::units;

/// The lowest share of the null milter's sessions/s. Source: the project's own aims, as `docs/performance.md`
/// lists them.
const RATE_MIN: f64 = 0.85;

/// What was measured of one milter in one round with so many sessions at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Which: 0 the null milter, 1 the one under test.
    pub(crate) server: usize,
    pub(crate) at_once: usize,
    pub(crate) round: usize,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    pub(crate) sessions: u64,
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
        (self.seconds > 0.0).then(|| self.sessions as f64 / self.seconds)
    }

    fn cpu_micros(&self) -> Option<f64> {
        let ran_ns = self.server_used?.ran_ns;
        (self.sessions > 0).then(|| ran_ns as f64 / 1e3 / self.sessions as f64)
    }
}

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// Sessions about a tuple that was never asked about before.
    pub(crate) new_percent: f64,
    /// Tuples that were known when measuring began.
    pub(crate) known_tuples: u64,
    pub(crate) server_cpu: usize,
    pub(crate) load_cpu: usize,
}

/// One milter with so many sessions at a time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    server: String,
    server_index: usize,
    at_once: usize,
    sessions_per_second: Option<Spread>,
    /// To the null milter's of the same round.
    rate_ratio: Option<Spread>,
    cpu_micros_per_session: Option<Spread>,
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
    machine: Machine,
    method: Method,
    rows: Vec<Row>,
    /// Whether the milter under test reaches 0.85 of the null milter's sessions/s, for each number of sessions at a
    /// time.
    met: Vec<Option<bool>>,
}

impl Report {
    /// What `samples` of the servers with those names say.
    pub(crate) fn new(
        machine: Machine,
        method: Method,
        names: &[String],
        samples: &[Sample],
    ) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for sample in samples {
            let seen =
                |row: &Row| row.at_once == sample.at_once && row.server_index == sample.server;
            if !rows.iter().any(seen) {
                rows.push(row(sample, &names[sample.server], samples));
            }
        }
        let tested = rows.iter().filter(|row| row.server_index == 1);
        let met = tested.map(|row| row.rate_ratio.map(|ratio| ratio.median >= RATE_MIN)).collect();
        Self { machine, method, rows, met }
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
        let Self { machine, method, rows, met } = self;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "milter sessions on {machine}: {} rounds of {} s; {:.0} % new tuples, {} known; \
             servers on CPU {}, load on CPU {}",
            method.rounds,
            method.seconds,
            method.new_percent,
            units::grouped(method.known_tuples as f64),
            method.server_cpu,
            method.load_cpu,
        );
        for row in rows {
            let _ = writeln!(text, "{}", line(row));
        }
        let tested = rows.iter().filter(|row| row.server_index == 1);
        for (row, met) in tested.zip(met) {
            let _ = writeln!(
                text,
                "{}sessions/s of {} at least {RATE_MIN} of null, {} at a time",
                words::met(*met),
                row.server,
                row.at_once,
            );
        }
        text
    }
}

fn row(of: &Sample, name: &str, samples: &[Sample]) -> Row {
    let select = |server: usize| -> Vec<&Sample> {
        let wanted = |s: &&Sample| s.server == server && s.at_once == of.at_once;
        samples.iter().filter(wanted).collect()
    };
    let (own, null) = (select(of.server), select(0));
    let sum = |number: fn(&Sample) -> u64| own.iter().map(|sample| number(sample)).sum();
    Row {
        server: name.to_owned(),
        server_index: of.server,
        at_once: of.at_once,
        sessions_per_second: Spread::of(own.iter().filter_map(|sample| sample.rate())),
        rate_ratio: Spread::of_ratios(&own, &null, Sample::rate),
        cpu_micros_per_session: Spread::of(own.iter().filter_map(|sample| sample.cpu_micros())),
        cpu_ratio: Spread::of_ratios(&own, &null, Sample::cpu_micros),
        latency: Latency::over(own.iter().map(|sample| (sample.latency, sample.sessions))),
        accepted: sum(|sample| sample.accepted),
        deferred: sum(|sample| sample.deferred),
        errors: sum(|sample| sample.errors),
        busy: Busy::over(&own),
    }
}

fn line(row: &Row) -> String {
    let number = |spread: Option<Spread>, unit: &str| {
        spread.map_or_else(
            || UNKNOWN.to_owned(),
            |spread| format!("{}{unit}", units::grouped(spread.median)),
        )
    };
    let latency = |quantile: fn(&Latency) -> u64| {
        row.latency.as_ref().map_or_else(|| UNKNOWN.to_owned(), |l| units::duration(quantile(l)))
    };
    format!(
        "{:>5} at a time  {:<8} {:>8} sessions/s, {} of null; CPU {} a session, {} of null; latency p50 {}, p99 {}; \
         {} accepted, {} deferred{}; {}",
        units::grouped(row.at_once as f64),
        row.server,
        number(row.sessions_per_second, ""),
        words::to_null(row.server_index, row.rate_ratio),
        number(row.cpu_micros_per_session, " µs"),
        words::to_null(row.server_index, row.cpu_ratio),
        latency(|latency| latency.p50_ns),
        latency(|latency| latency.p99_ns),
        units::grouped(row.accepted as f64),
        units::grouped(row.deferred as f64),
        words::errors([(row.errors, "sessions")]),
        words::busy(&row.busy),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(server: usize, round: usize, sessions: u64) -> Sample {
        Sample {
            server,
            at_once: 10,
            round,
            seconds: 2.0,
            sessions,
            latency: Latency { p50_ns: 100_000, p99_ns: 900_000, ..Latency::default() },
            accepted: sessions / 2,
            deferred: sessions / 2,
            errors: 0,
            server_used: None,
            load_used: None,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_the_goal_by_their_median() {
        let samples = [
            sample(0, 0, 10_000),
            sample(1, 0, 9_000),
            sample(0, 1, 20_000),
            sample(1, 1, 17_200),
            sample(0, 2, 8_000),
            sample(1, 2, 6_000),
        ];
        let method = Method {
            seconds: 2.0,
            rounds: 3,
            new_percent: 50.0,
            known_tuples: 100,
            server_cpu: 0,
            load_cpu: 1,
        };
        let names = ["null".to_owned(), "xgrey".to_owned()];
        let report = Report::new(Machine::this(), method, &names, &samples);
        assert_eq!(report.met, [Some(true)]);
        let ratio = report.rows[1].rate_ratio.unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.75, 0.86, 0.9));
        let text = report.text();
        assert!(text.contains("4,500 sessions/s, 0.860 (0.750–0.900) of null"), "{text}");
        assert!(
            text.contains("met     sessions/s of xgrey at least 0.85 of null, 10 at a time"),
            "{text}"
        );
    }
}
