//! `xgrey-bench http`: questions in JSON over HTTP, a null responder on the same stack against xgrey, in turns.

pub(crate) mod null;
mod traffic;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::traffic::{Pool, Questions};
use crate::clock;
use crate::load::{Load, Tally};
use crate::machine::{Machine, random_seed};
use crate::process::Started;
use crate::product;
use crate::publish::{Published, progress};
use crate::report::{DecisionLog, Goal, Latency, Method, Report, Sample, ServerFacts, at_least};
use crate::turns::{Turn, Turns, counts, watch};
use crate::units::parse_seconds;

/// Without a list, so many connections.
const CONNECTIONS: [usize; 2] = [10, 100];
/// Connections that tuples become known over.
const PRIME_CONNECTIONS: usize = 32;
/// How long each pass over the tuples that become known may take.
const PRIME_TIME_MAX: Duration = Duration::from_secs(30);
/// The lowest share of the null responder's requests/s.
const RATE_MIN: f64 = 0.85;

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Numbers of connections, each of them measured [default: 10,100]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: Vec<u16>,
    #[command(flatten)]
    turns: Turns,
    /// The number that all that is random follows from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long a reply may take until it counts as an error
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
}

struct Server {
    name: &'static str,
    started: Started,
    questions: Questions,
    resident_bytes_before: Option<u64>,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let connections = counts(&options.connections, &CONNECTIONS);
    let machine = Machine::this();
    options.turns.pin_load()?;
    let seed = options.seed.unwrap_or_else(random_seed);
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let mut servers = servers(options, seed, directory.path())?;
    for server in &mut servers {
        make_known(options, server)?;
    }
    let samples = options.turns.take(
        &mut servers,
        |server| server.name,
        &connections,
        "connections",
        |server, turn| measure(options, server, turn),
    )?;
    let method = Method {
        seconds: options.turns.seconds.as_secs_f64(),
        warm_up_seconds: options.turns.warm_up.as_secs_f64(),
        rounds: usize::from(options.turns.rounds),
        new_percent: f64::from(options.turns.new),
        known_percent: f64::from(100 - options.turns.new),
        retried_percent: 0.0,
        seed,
        server_cpu: options.turns.server_cpu,
        load_cpu: options.turns.load_cpu,
        decision_log: Some(DecisionLog::Off),
    };
    let mut report = Report::new(machine, method, servers.iter().map(facts).collect(), &samples);
    report.goals = goals(&report);
    let published = Published { text: report.text(), json: report.json()?, gap: "" };
    published.write(options.turns.json.as_deref())
}

/// The null responder, and xgrey.
fn servers(options: &Options, seed: u64, directory: &Path) -> anyhow::Result<[Server; 2]> {
    let cpu = options.turns.server_cpu;
    let of = |name, started: Started| Server {
        name,
        resident_bytes_before: started.process().resident_bytes(),
        started,
        questions: Questions::new(seed, options.turns.new, options.turns.known_pool),
    };
    let null = Started::null_http(cpu, directory.join("null.output")).context("null responder")?;
    let xgrey = product::start_http(cpu, directory, DecisionLog::Off)?;
    Ok([of("null", null), of("xgrey", xgrey)])
}

/// Has the tuples of the pool tried, and tried again after the embargo.
fn make_known(options: &Options, server: &mut Server) -> anyhow::Result<()> {
    for pass in 1..=2 {
        progress(&format!("{}: tuples become known, pass {pass} of 2", server.name));
        let mut load = Load::connect(server.started.address(), PRIME_CONNECTIONS, options.timeout)?;
        let mut tally = Tally::new()?;
        let mut pool = Pool::new(&mut server.questions);
        load.run(&mut pool, clock::now() + PRIME_TIME_MAX, &mut tally)?;
        let errors = tally.errors.plus(load.finish(&mut pool)?);
        server.started.check()?;
        if errors.total() > 0 || tally.replies < u64::from(options.turns.known_pool) {
            bail!(
                "of {} questions {} were answered: {errors:?}",
                options.turns.known_pool,
                tally.replies
            );
        }
        clock::wait(product::EMBARGO_OVER);
    }
    Ok(())
}

fn measure(options: &Options, server: &mut Server, turn: Turn) -> anyhow::Result<Sample> {
    let mut load = Load::connect(server.started.address(), turn.count, options.timeout)?;
    let questions = &mut server.questions;
    let mut warm_up = Tally::new()?;
    load.run(questions, clock::now() + options.turns.warm_up, &mut warm_up)?;

    let mut tally = Tally::new()?;
    questions.actions.clear();
    let (took, ran) = watch(&server.started, || {
        load.run(questions, clock::now() + options.turns.seconds, &mut tally)
    });
    ran?;
    let actions = questions.actions.by_word();
    let errors = warm_up.errors.plus(tally.errors).plus(load.finish(questions)?);
    server.started.check()?;
    Ok(Sample {
        server: turn.server,
        connections: turn.count,
        round: turn.round,
        seconds: took.seconds,
        replies: tally.replies,
        latency: Latency::of(&tally.latency),
        server_used: took.server_used,
        load_used: took.load_used,
        resident_bytes: server.started.process().resident_bytes(),
        actions,
        errors,
    })
}

fn facts(server: &Server) -> ServerFacts {
    ServerFacts {
        name: server.name.to_owned(),
        address: server.started.address().to_string(),
        pinned: true,
        resident_bytes_before: server.resident_bytes_before,
        resident_bytes_after: server.started.process().resident_bytes(),
        known_tuples: server.questions.pool(),
        new_tuples: server.questions.new_tuples(),
    }
}

/// At each number of connections, the same share of what the null responder reaches.
fn goals(report: &Report) -> Vec<Goal> {
    let tested = report.rows.iter().filter(|row| row.server_index == 1);
    let goal = |row: &crate::report::Row| {
        at_least("requests/s", "null", row.connections, row.rate_ratio.map(|r| r.median), RATE_MIN)
    };
    tested.map(goal).collect()
}
