//! What xgrey set out to reach, and whether a run shows it. Source: the project's own aims, as
//! `docs/performance.md` lists them.

use serde::Serialize;

use super::{DecisionLog, IN_MEMORY, Row};

/// The lowest share of the null server's requests/s, by number of connections.
const RATE_MIN: [(usize, f64); 3] = [(10, 0.85), (100, 0.90), (1_000, 0.85)];
/// The same with a log line for each decision.
const RATE_LOGGED_MIN: f64 = 0.80;
/// CPU time of the server for each request, as a multiple of the null server's.
const CPU_MAX: f64 = 1.3;
/// The 99th percentile of the latency, as a multiple of the null server's.
const P99_MAX: f64 = 1.5;
/// Requests/s as a multiple of postgrey's, at 10 connections.
const POSTGREY_MIN: f64 = 40.0;
const POSTGREY_CONNECTIONS: usize = 10;

/// Requests/s with tuples kept on disk, as a share of that with tuples in memory alone, at 100
/// connections.
const ON_DISK_MIN: f64 = 0.95;
const ON_DISK_CONNECTIONS: usize = 100;

/// One goal, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    /// What is compared, such as `requests/s`.
    pub(crate) what: &'static str,
    /// The server that it is compared with.
    pub(crate) against: String,
    pub(crate) connections: usize,
    /// The median ratio; none if it could not be measured.
    pub(crate) measured: Option<f64>,
    pub(crate) bound: Bound,
    pub(crate) wanted: f64,
    pub(crate) met: Option<bool>,
}

/// Which side of the wanted number is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast,
    AtMost,
}

impl Goal {
    fn new(
        what: &'static str,
        against: &str,
        connections: usize,
        measured: Option<f64>,
        (bound, wanted): (Bound, f64),
    ) -> Self {
        let met = measured.map(|measured| match bound {
            Bound::AtLeast => measured >= wanted,
            Bound::AtMost => measured <= wanted,
        });
        Self { what, against: against.to_owned(), connections, measured, bound, wanted, met }
    }
}

/// A goal that a ratio be so large.
pub(crate) fn at_least(
    what: &'static str,
    against: &str,
    connections: usize,
    measured: Option<f64>,
    wanted: f64,
) -> Goal {
    Goal::new(what, against, connections, measured, (Bound::AtLeast, wanted))
}

/// Whether the server under test (index 1) meets each goal that this run says something about.
pub(super) fn judge(rows: &[Row], decision_log: Option<DecisionLog>) -> Vec<Goal> {
    let find = |server: usize, connections: usize| {
        rows.iter().find(|row| row.server_index == server && row.connections == connections)
    };
    let mut goals = Vec::new();
    for (connections, rate_min) in RATE_MIN {
        let (Some(row), Some(null)) = (find(1, connections), find(0, connections)) else {
            continue;
        };
        let mut goal = |what, ratio: Option<super::Spread>, wanted| {
            let measured = ratio.map(|ratio| ratio.median);
            goals.push(Goal::new(what, &null.server, connections, measured, wanted));
        };
        if decision_log == Some(DecisionLog::On) {
            goal("requests/s", row.rate_ratio, (Bound::AtLeast, RATE_LOGGED_MIN));
        } else {
            goal("requests/s", row.rate_ratio, (Bound::AtLeast, rate_min));
            goal("CPU time per request", row.cpu_ratio, (Bound::AtMost, CPU_MAX));
            goal("p99 latency", row.p99_ratio, (Bound::AtMost, P99_MAX));
        }
    }
    let postgreys = rows.iter().filter(|row| {
        row.connections == POSTGREY_CONNECTIONS
            && row.server_index > 1
            && row.server.starts_with("postgrey")
    });
    goals.extend(postgreys.map(|row| {
        let measured = row.tested_rate_ratio.map(|ratio| ratio.median);
        let wanted = (Bound::AtLeast, POSTGREY_MIN);
        Goal::new("requests/s", &row.server, row.connections, measured, wanted)
    }));
    let in_memory = rows.iter().filter(|row| {
        row.connections == ON_DISK_CONNECTIONS && row.server_index > 1 && row.server == IN_MEMORY
    });
    goals.extend(in_memory.map(|row| {
        let measured = row.tested_rate_ratio.map(|ratio| ratio.median);
        let wanted = (Bound::AtLeast, ON_DISK_MIN);
        Goal::new("requests/s", &row.server, row.connections, measured, wanted)
    }));
    goals
}
