//! From samples to what is said about them: medians over rounds, ratios to the null server within a round, and
//! whether each goal is met. Pure: it measures nothing and prints nothing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::load::Errors;
use super::questions::Kind;
use super::servers::Facts;
use crate::machine::Machine;
use crate::process::Used;
use crate::report::words::{self, UNKNOWN};
use crate::report::{Busy, DecisionLog, InRound, Latency, Spread, together};
use crate::units;

/// The lowest share of the null server's questions/s.
const RATE_MIN: f64 = 0.85;
/// The same for new tuples, one question at a time: each costs a write to the journal.
const RATE_ALONE_MIN: f64 = 0.6;
/// What is measured: each server in each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Case {
    /// Known tuples when the servers started.
    pub(super) tuples: u64,
    /// Which are asked about.
    pub(super) kind: Kind,
    /// Questions that are out at once.
    pub(super) outstanding: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: f64| units::grouped(number);
        write!(
            f,
            "{} tuples, {}, {} outstanding",
            count(self.tuples as f64),
            self.kind.word(),
            count(self.outstanding as f64)
        )
    }
}

/// What was measured of one server in one round of one case.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) case: Case,
    /// Which server: an index into the run's list, 0 the null server, 1 the one under test.
    pub(super) server: usize,
    pub(super) round: usize,
    /// How long was measured, in seconds.
    pub(super) seconds: f64,
    pub(super) answers: u64,
    pub(super) latency: Latency,
    pub(super) server_used: Option<Used>,
    pub(super) load_used: Option<Used>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) said: BTreeMap<String, u64>,
    pub(super) errors: Errors,
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
        (self.seconds > 0.0).then(|| self.answers as f64 / self.seconds)
    }

    fn cpu_micros(&self) -> Option<f64> {
        let ran_ns = self.server_used?.ran_ns;
        (self.answers > 0).then(|| ran_ns as f64 / 1e3 / self.answers as f64)
    }

    fn p99(&self) -> Option<f64> {
        (self.answers > 0).then_some(self.latency.p99_ns as f64)
    }
}

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Method {
    pub(super) seconds: f64,
    pub(super) warm_up_seconds: f64,
    pub(super) rounds: usize,
    pub(super) seed: u64,
    pub(super) server_cpu: usize,
    pub(super) load_cpu: usize,
    /// Unknown if the server under test wasn't started by the bench.
    pub(super) decision_log: Option<DecisionLog>,
}

/// One server in one case, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) case: Case,
    pub(super) server: String,
    #[serde(skip)]
    server_index: usize,
    pub(super) questions_per_second: Spread,
    /// Its questions/s divided by the null server's.
    pub(super) rate_ratio: Option<Spread>,
    /// CPU time of the server for each question, in microseconds.
    pub(super) cpu_micros_per_question: Option<Spread>,
    pub(super) cpu_ratio: Option<Spread>,
    /// Medians over the rounds, but the highest of the maxima.
    pub(super) latency: Latency,
    pub(super) p99_ratio: Option<Spread>,
    #[serde(flatten)]
    pub(super) busy: Busy,
    pub(super) resident_bytes: Option<u64>,
    pub(super) answers: u64,
    pub(super) said: BTreeMap<String, u64>,
    pub(super) errors: Errors,
}

/// One goal, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Goal {
    #[serde(flatten)]
    pub(super) case: Case,
    /// The median of questions/s as a share of the null server's.
    pub(super) measured: Option<f64>,
    pub(super) at_least: f64,
    /// What went wrong meanwhile, in all rounds: nothing may.
    pub(super) errors: u64,
    /// Answers that a greylist does not give to such tuples: there should be none.
    pub(super) unexpected: u64,
    pub(super) met: bool,
}

/// All that a run has found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) method: Method,
    pub(super) servers: Vec<Facts>,
    pub(super) rows: Vec<Row>,
    pub(super) goals: Vec<Goal>,
}

impl Report {
    /// Puts a run's samples together.
    pub(super) fn new(
        machine: Machine,
        method: Method,
        servers: Vec<Facts>,
        names: &[String],
        cases: &[Case],
        samples: &[Sample],
    ) -> Self {
        let rows: Vec<Row> = (cases.iter())
            .flat_map(|&case| {
                (0..names.len()).filter_map(move |server| row(case, server, names, samples))
            })
            .collect();
        let goals = rows.iter().filter(|row| row.server_index == 1).map(goal).collect();
        Self { machine, method, servers, rows, goals }
    }

    /// The report for people, as lines of text.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        head(self, &mut out);
        let _ = writeln!(out, "\n{}\n", table(&self.rows));
        notes(self, &mut out);
        if !self.goals.is_empty() {
            out.push('\n');
        }
        for goal in &self.goals {
            let measured = goal.measured.map_or_else(|| UNKNOWN.to_owned(), units::ratio);
            let mut why = String::new();
            for (count, what) in [(goal.errors, "errors"), (goal.unexpected, "unexpected answers")]
            {
                if count > 0 {
                    let _ = write!(why, "; {} {what}", units::grouped(count as f64));
                }
            }
            let _ = writeln!(
                out,
                "{} questions/s, {}: {measured} × null, wanted at least {}{why}",
                words::met(Some(goal.met)),
                goal.case,
                goal.at_least
            );
        }
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

fn row(case: Case, server: usize, names: &[String], samples: &[Sample]) -> Option<Row> {
    let of = |server: usize| -> Vec<&Sample> {
        samples.iter().filter(|sample| sample.case == case && sample.server == server).collect()
    };
    let (rounds, null) = (of(server), of(0));
    let to_null = |number: fn(&Sample) -> Option<f64>| Spread::of_ratios(&rounds, &null, number);
    let over = |number: fn(&Sample) -> Option<f64>| {
        Spread::of(rounds.iter().filter_map(|sample| number(sample)))
    };
    Some(Row {
        case,
        server: names.get(server)?.clone(),
        server_index: server,
        questions_per_second: over(Sample::rate)?,
        rate_ratio: to_null(Sample::rate),
        cpu_micros_per_question: over(Sample::cpu_micros),
        cpu_ratio: to_null(Sample::cpu_micros),
        latency: Latency::over(rounds.iter().map(|it| (it.latency, it.answers)))?,
        p99_ratio: to_null(Sample::p99),
        busy: Busy::over(&rounds),
        resident_bytes: rounds.last()?.resident_bytes,
        answers: rounds.iter().map(|sample| sample.answers).sum(),
        said: together(rounds.iter().map(|sample| &sample.said)),
        errors: rounds.iter().map(|sample| sample.errors).fold(Errors::default(), Errors::plus),
    })
}

fn goal(row: &Row) -> Goal {
    let case = row.case;
    let at_least =
        if case.outstanding == 1 && case.kind == Kind::New { RATE_ALONE_MIN } else { RATE_MIN };
    let expected = match case.kind {
        Kind::Known => "accept (whitelist)",
        Kind::New => "greylist (greylist)",
    };
    let measured = row.rate_ratio.map(|ratio| ratio.median);
    let errors = row.errors.total();
    let unexpected = row.answers - row.said.get(expected).copied().unwrap_or_default();
    let fast = measured.is_some_and(|measured| measured >= at_least);
    Goal {
        case,
        measured,
        at_least,
        errors,
        unexpected,
        met: fast && errors == 0 && unexpected == 0,
    }
}

fn head(report: &Report, out: &mut String) {
    let (machine, method) = (&report.machine, &report.method);
    let _ = writeln!(out, "{machine}");
    let _ = writeln!(
        out,
        "X-Grey's protocol over UDP, closed loop; {} s after {} s of warm-up, medians of {} rounds \
         (lowest–highest); servers on CPU {}, load on CPU {}; seed {}{}",
        method.seconds,
        method.warm_up_seconds,
        method.rounds,
        method.server_cpu,
        method.load_cpu,
        method.seed,
        words::decision_log(method.decision_log)
    );
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "known tuples",
        "asked about",
        "outstanding",
        "server",
        "questions/s",
        "ratio to null",
        "CPU µs/question",
        "ratio",
        "p50",
        "p99",
        "max",
        "resident",
    ]);
    for row in rows {
        let cpu = row.cpu_micros_per_question.map(|cpu| format!("{:.2}", cpu.median));
        let [p50, p99, max] = [row.latency.p50_ns, row.latency.p99_ns, row.latency.max_ns]
            .map(|ns| if row.answers > 0 { units::duration(ns) } else { UNKNOWN.to_owned() });
        table.add_row([
            units::grouped(row.case.tuples as f64),
            row.case.kind.word().to_owned(),
            units::grouped(row.case.outstanding as f64),
            row.server.clone(),
            units::grouped(row.questions_per_second.median),
            words::to_null(row.server_index, row.rate_ratio),
            cpu.unwrap_or_else(|| UNKNOWN.to_owned()),
            words::to_null(row.server_index, row.cpu_ratio),
            p50,
            p99,
            max,
            words::memory(row.resident_bytes),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != 1 && index != 3 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn notes(report: &Report, out: &mut String) {
    for server in &report.servers {
        let _ = writeln!(
            out,
            "{} ({}{}), {} known tuples: asked about {} new ones; resident {} before, {} after",
            server.name,
            server.address,
            if server.pinned { "" } else { ", NOT bound to the servers' CPU" },
            units::grouped(server.known_tuples as f64),
            units::grouped(server.new_tuples as f64),
            words::memory(server.resident_bytes_before),
            words::memory(server.resident_bytes_after),
        );
    }
    out.push('\n');
    for row in &report.rows {
        let _ = writeln!(
            out,
            "{}, {}: {}; {}{}",
            row.case,
            row.server,
            words::shares(&row.said, row.answers, "no answers"),
            words::busy(&row.busy),
            errors(row.errors)
        );
    }
}

/// What went wrong; nothing if nothing did.
pub(super) fn errors(errors: Errors) -> String {
    words::errors([
        (errors.lost, "without an answer in time"),
        (errors.wrong, "wrong answers"),
        (errors.stray, "answers to nothing"),
        (errors.refused, "not taken by the kernel"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [Case; 3] = [
        Case { tuples: 60_000, kind: Kind::Known, outstanding: 1 },
        Case { tuples: 60_000, kind: Kind::New, outstanding: 1 },
        Case { tuples: 60_000, kind: Kind::New, outstanding: 100 },
    ];

    fn sample(case: Case, server: usize, round: usize) -> Sample {
        // The machine becomes slower from round to round, by the same for all.
        let rate = [100_000, 80_000][server] * (4 - round as u64) / 4;
        let p50_ns = 1_000_000_000 * case.outstanding as u64 / rate;
        let answer = match (server, case.kind) {
            (1, Kind::Known) => "accept (whitelist)",
            _ => "greylist (greylist)",
        };
        Sample {
            case,
            server,
            round,
            seconds: 2.0,
            answers: rate * 2,
            latency: Latency {
                p50_ns,
                p90_ns: p50_ns * 5 / 4,
                p99_ns: p50_ns * 3 / 2,
                p999_ns: p50_ns * 3,
                max_ns: p50_ns * 8 + round as u64,
            },
            server_used: Some(Used { ran_ns: rate * 16_000, waited_ns: 1_000_000 }),
            load_used: Some(Used { ran_ns: 1_990_000_000, waited_ns: 2_000_000 }),
            resident_bytes: Some((2 + 3 * server as u64) << 20),
            said: [(answer.to_owned(), rate * 2)].into(),
            errors: Errors::default(),
        }
    }

    fn report(change: impl Fn(&mut Sample)) -> Report {
        let machine = Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            kernel: "Linux 6.1.0 x86_64".to_owned(),
        };
        let method = Method {
            seconds: 2.0,
            warm_up_seconds: 0.5,
            rounds: 3,
            seed: 1,
            server_cpu: 0,
            load_cpu: 1,
            decision_log: Some(DecisionLog::Off),
        };
        let names = ["null", "xgrey"].map(str::to_owned);
        let facts = names.iter().map(|name| Facts {
            name: name.clone(),
            address: "127.0.0.1:9990".to_owned(),
            pinned: true,
            known_tuples: 60_000,
            new_tuples: 1_234_567,
            resident_bytes_before: Some(2 << 20),
            resident_bytes_after: Some(5 << 20),
        });
        let mut samples = Vec::new();
        for case in CASES {
            for round in 0..3 {
                for server in 0..2 {
                    let mut sample = sample(case, server, round);
                    change(&mut sample);
                    samples.push(sample);
                }
            }
        }
        Report::new(machine, method, facts.collect(), &names, &CASES, &samples)
    }

    #[test]
    fn a_report_says_what_was_measured_and_whether_that_is_enough() {
        let text = report(|_| ()).text();
        for line in [
            "MISSED   questions/s, 60,000 tuples, known, 1 outstanding: 0.800 × null, wanted at least 0.85",
            "met      questions/s, 60,000 tuples, new, 1 outstanding: 0.800 × null, wanted at least 0.6",
        ] {
            assert!(text.lines().any(|said| said == line), "{line}\n{text}");
        }
        assert!(text.contains("accept (whitelist) 100.0 %"), "{text}");
        assert!(!text.contains("ERRORS"), "{text}");
        let lost = report(|sample| sample.errors.lost = 2).text();
        assert!(lost.contains("ERRORS: 6 without an answer in time"), "{lost}");
    }

    #[test]
    fn a_report_for_programs_has_the_same_numbers() {
        let report = report(|_| ());
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["goals"][1]["kind"], "new");
        assert_eq!(json["goals"][1]["outstanding"], 1);
        assert_eq!(json["goals"][1]["met"], true);
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(report.rows.len()));
        assert_eq!(json["rows"][0]["answers"], report.rows[0].answers);
    }

    #[test]
    fn new_tuples_one_at_a_time_have_a_goal_of_their_own() {
        let goals = report(|_| ()).goals;
        let said: Vec<_> = goals.iter().map(|goal| (goal.at_least, goal.met)).collect();
        assert_eq!(said, [(0.85, false), (0.6, true), (0.85, false)]);
        assert!(goals.iter().all(|goal| (goal.measured.unwrap() - 0.8).abs() < 1e-9));
    }

    #[test]
    fn a_lost_datagram_or_a_wrong_word_misses_a_goal_however_fast_the_server_is() {
        let met = |change: fn(&mut Sample)| {
            report(|sample| {
                sample.answers *= if sample.server == 1 { 2 } else { 1 };
                sample.said.values_mut().for_each(|count| *count = sample.answers);
                change(sample);
            })
            .goals
            .iter()
            .map(|goal| goal.met)
            .collect::<Vec<_>>()
        };
        assert_eq!(met(|_| ()), [true; 3]);
        assert_eq!(met(|sample| sample.errors.lost = 1), [false; 3]);
        let known_are_deferred: fn(&mut Sample) = |sample| {
            sample.said = [("greylist (greylist)".to_owned(), sample.answers)].into();
        };
        assert_eq!(met(known_are_deferred), [false, true, true]);
    }
}
