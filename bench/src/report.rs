//! From samples to what is said about them: medians over rounds, ratios to the null server within a
//! round, and whether each goal is met. Pure: it measures nothing and prints nothing.
//!
//! Ratios are taken within a round, between two measurements a few seconds apart, and only then is
//! their median taken: the machine's speed may drift from round to round.

pub(crate) mod at_a_time;
mod goals;
mod rounds;
mod text;
pub(crate) mod words;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::Errors;
use crate::machine::Machine;
use crate::process::Used;

pub(crate) use goals::{Goal, at_least};
pub(crate) use rounds::{Busy, InRound, Latency, Spread, together};

/// What was measured of one server in one round with one number of connections.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Which server: an index into the run's list, 0 the null server.
    pub(crate) server: usize,
    pub(crate) connections: usize,
    pub(crate) round: usize,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    pub(crate) replies: u64,
    pub(crate) latency: Latency,
    /// CPU time of the server, where it could be read.
    pub(crate) server_used: Option<Used>,
    /// CPU time of the load generator.
    pub(crate) load_used: Option<Used>,
    /// Resident memory of the server at the end, in bytes.
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) actions: BTreeMap<String, u64>,
    pub(crate) errors: Errors,
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
    fn requests_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.replies as f64 / self.seconds } else { 0.0 }
    }

    fn cpu_micros_per_request(&self) -> Option<f64> {
        let ran_ns = self.server_used?.ran_ns;
        (self.replies > 0).then(|| ran_ns as f64 / 1e3 / self.replies as f64)
    }

    fn p99(&self) -> Option<f64> {
        (self.replies > 0).then_some(self.latency.p99_ns as f64)
    }
}

/// What a server is in a run. The first is the null server, the second the one under test.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerFacts {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Whether it ran on the servers' CPU alone.
    pub(crate) pinned: bool,
    /// Resident memory before anything was asked, in bytes.
    pub(crate) resident_bytes_before: Option<u64>,
    /// Resident memory after everything, in bytes.
    pub(crate) resident_bytes_after: Option<u64>,
    /// Tuples of the pool that had been asked about before measuring began.
    pub(crate) known_tuples: u32,
    /// New tuples that it was asked about in all.
    pub(crate) new_tuples: u64,
}

/// How it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) seconds: f64,
    pub(crate) warm_up_seconds: f64,
    pub(crate) rounds: usize,
    pub(crate) new_percent: f64,
    pub(crate) known_percent: f64,
    pub(crate) retried_percent: f64,
    pub(crate) seed: u64,
    pub(crate) server_cpu: usize,
    pub(crate) load_cpu: usize,
    /// Whether the server under test wrote a log line for each decision; unknown if it wasn't
    /// started by the bench.
    pub(crate) decision_log: Option<DecisionLog>,
}

/// Whether a line is written for each decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecisionLog {
    /// To a file
    On,
    /// Nowhere
    Off,
}

/// What the xgrey that keeps its tuples in memory alone is called.
pub(crate) const IN_MEMORY: &str = "xgrey in memory";

/// One server with one number of connections, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) connections: usize,
    pub(crate) server: String,
    #[serde(skip)]
    pub(crate) server_index: usize,
    pub(crate) requests_per_second: Spread,
    /// Its requests/s divided by the null server's.
    pub(crate) rate_ratio: Option<Spread>,
    /// Requests/s of the server under test divided by this one's, for the servers beside it.
    pub(crate) tested_rate_ratio: Option<Spread>,
    /// CPU time of the server for each request, in microseconds.
    pub(crate) cpu_micros_per_request: Option<Spread>,
    pub(crate) cpu_ratio: Option<Spread>,
    /// Medians over the rounds, but the highest of the maxima.
    pub(crate) latency: Latency,
    pub(crate) p99_ratio: Option<Spread>,
    #[serde(flatten)]
    pub(crate) busy: Busy,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) replies: u64,
    pub(crate) actions: BTreeMap<String, u64>,
    pub(crate) errors: Errors,
}

/// All that a run has found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) method: Method,
    pub(crate) servers: Vec<ServerFacts>,
    pub(crate) rows: Vec<Row>,
    pub(crate) goals: Vec<Goal>,
}

impl Report {
    /// Puts a run's samples together.
    pub(crate) fn new(
        machine: Machine,
        method: Method,
        servers: Vec<ServerFacts>,
        samples: &[Sample],
    ) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for sample in samples {
            let seen = |row: &Row| {
                row.connections == sample.connections && row.server_index == sample.server
            };
            if !rows.iter().any(seen) {
                rows.extend(row(sample.server, sample.connections, &servers, samples));
            }
        }
        let goals = goals::judge(&rows, method.decision_log);
        Self { machine, method, servers, rows, goals }
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

fn row(
    server: usize,
    connections: usize,
    servers: &[ServerFacts],
    samples: &[Sample],
) -> Option<Row> {
    let select = |server: usize| -> Vec<&Sample> {
        samples
            .iter()
            .filter(|sample| sample.server == server && sample.connections == connections)
            .collect()
    };
    let (rounds, null) = (select(server), select(0));
    let to_null = |number: fn(&Sample) -> Option<f64>| Spread::of_ratios(&rounds, &null, number);
    Some(Row {
        connections,
        server: servers.get(server)?.name.clone(),
        server_index: server,
        requests_per_second: Spread::of(rounds.iter().map(|sample| sample.requests_per_second()))?,
        rate_ratio: to_null(|sample| Some(sample.requests_per_second())),
        tested_rate_ratio: (server > 1)
            .then(|| Spread::of_ratios(&select(1), &rounds, |it| Some(it.requests_per_second())))
            .flatten(),
        cpu_micros_per_request: Spread::of(
            rounds.iter().filter_map(|sample| sample.cpu_micros_per_request()),
        ),
        cpu_ratio: to_null(Sample::cpu_micros_per_request),
        latency: Latency::over(rounds.iter().map(|it| (it.latency, it.replies)))?,
        p99_ratio: to_null(Sample::p99),
        busy: Busy::over(&rounds),
        resident_bytes: rounds.last()?.resident_bytes,
        replies: rounds.iter().map(|sample| sample.replies).sum(),
        actions: together(rounds.iter().map(|sample| &sample.actions)),
        errors: rounds.iter().map(|sample| sample.errors).fold(Errors::default(), Errors::plus),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(server: usize, connections: usize, round: usize, rate: u64) -> Sample {
        let p50_ns = 1_000_000_000 * connections as u64 / rate.max(1);
        Sample {
            server,
            connections,
            round,
            seconds: 2.0,
            replies: rate * 2,
            latency: Latency {
                p50_ns,
                p90_ns: p50_ns * 5 / 4,
                p99_ns: p50_ns * 3 / 2,
                p999_ns: p50_ns * 3,
                max_ns: p50_ns * 8 + round as u64,
            },
            server_used: Some(Used {
                ran_ns: rate * 2 * (7_000 + 700 * server as u64),
                waited_ns: 1_000_000,
            }),
            load_used: Some(Used { ran_ns: rate.min(100_000) * 19_900, waited_ns: 2_000_000 }),
            resident_bytes: Some((2 + 3 * server as u64) << 20),
            actions: ["DUNNO", "DEFER_IF_PERMIT"]
                .into_iter()
                .filter(|_| rate > 0)
                .map(|action| (action.to_owned(), rate))
                .collect(),
            errors: Errors::default(),
        }
    }

    fn server(name: &str) -> ServerFacts {
        ServerFacts {
            name: name.to_owned(),
            address: "127.0.0.1:10023".to_owned(),
            pinned: name != "postgrey",
            resident_bytes_before: Some(2 << 20),
            resident_bytes_after: Some(5 << 20),
            known_tuples: 100_000,
            new_tuples: 1_234_567,
        }
    }

    fn report(samples: &[Sample], decision_log: Option<DecisionLog>) -> Report {
        let machine = Machine {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            kernel: "Linux 6.1.0 x86_64".to_owned(),
        };
        let method = Method {
            seconds: 2.0,
            warm_up_seconds: 0.5,
            rounds: 3,
            new_percent: 50.0,
            known_percent: 50.0,
            retried_percent: 0.0,
            seed: 1,
            server_cpu: 0,
            load_cpu: 1,
            decision_log,
        };
        Report::new(machine, method, ["null", "xgrey", "postgrey"].map(server).to_vec(), samples)
    }

    fn samples() -> Vec<Sample> {
        let mut samples = Vec::new();
        for (connections, rates) in [(10, [100_000, 95_000, 2_000]), (100, [150_000, 120_000, 0])] {
            for round in 0..3 {
                for (index, rate) in rates.into_iter().enumerate() {
                    // The machine becomes slower from round to round, by the same for all.
                    samples.push(sample(index, connections, round, rate * (4 - round as u64) / 4));
                }
            }
        }
        let last = samples.last_mut().unwrap();
        last.errors = Errors { timeouts: 7, closed: 2, ..Errors::default() };
        samples[1].server_used = None;
        samples[4].server_used.as_mut().unwrap().waited_ns = 200_000_000;
        samples
    }

    #[test]
    fn a_report_reads_well() {
        insta::assert_snapshot!(report(&samples(), Some(DecisionLog::Off)).text());
    }

    #[test]
    fn a_report_for_programs_has_the_same_numbers() {
        let json = report(&samples(), Some(DecisionLog::Off)).json().unwrap();
        insta::assert_snapshot!(json);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let report = report(&samples(), None);
        let row = &report.rows[1];
        let ratio = row.rate_ratio.unwrap();
        assert_eq!((row.connections, row.server.as_str()), (10, "xgrey"));
        assert!((ratio.min - 0.95).abs() < 1e-9 && (ratio.max - 0.95).abs() < 1e-9, "{ratio:?}");
        assert!((row.requests_per_second.median - 71_250.0).abs() < 1e-9);
    }

    #[test]
    fn a_spread_has_the_middle_of_its_numbers() {
        let median = |numbers: &[f64]| Spread::of(numbers.iter().copied()).map(|it| it.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn a_server_that_answered_nothing_has_no_latency_and_no_cost() {
        let report = report(&samples(), None);
        let row = report.rows.last().unwrap();
        assert_eq!((row.server.as_str(), row.replies), ("postgrey", 0));
        assert_eq!(row.latency.p99_ns, 0);
        assert_eq!((row.p99_ratio, row.cpu_micros_per_request), (None, None));
        assert_eq!(row.errors.total(), 9);
    }

    #[test]
    fn with_the_decision_log_on_only_the_rate_has_a_goal() {
        let goals = |log| report(&samples(), log).goals;
        let logged = goals(Some(DecisionLog::On));
        assert!(logged.iter().filter(|goal| goal.against == "null").all(|goal| goal.wanted == 0.8));
        assert_eq!(logged.iter().filter(|goal| goal.against == "null").count(), 2);
        assert!(goals(None).iter().filter(|goal| goal.against == "null").count() > 2);
    }
}
