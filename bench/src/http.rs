//! `xgrey-bench http`: questions in JSON over HTTP, a null responder on the same stack against xgrey, in turns.
//!
//! For each number of connections and each round, both are measured, one after the other, so that whatever slows the
//! machine slows both. They share one CPU, of which the load generator has no part.

pub(crate) mod null;
mod traffic;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::traffic::{Pool, Questions};
use crate::clock;
use crate::load::{Load, Tally};
use crate::machine::{Machine, random_seed};
use crate::process::{self, Process, Started};
use crate::product;
use crate::publish::{Published, progress};
use crate::report::{DecisionLog, Goal, Latency, Method, Report, Sample, ServerFacts, at_least};
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
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    seconds: Duration,
    /// How long load runs before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    warm_up: Duration,
    /// How often each server is measured with each number of connections
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many of a hundred questions are about a tuple that was never asked about before
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    new: u8,
    /// How many tuples are known when measuring begins
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    known_pool: u32,
    /// The number that all that is random follows from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long a reply may take until it counts as an error
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    timeout: Duration,
    /// The CPU that both servers run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    /// The CPU that the load generator runs on
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    load_cpu: usize,
    /// Write the report as JSON to this file; with - to standard output, the table to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

struct Server {
    name: &'static str,
    started: Started,
    questions: Questions,
    resident_bytes_before: Option<u64>,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let connections: Vec<usize> = match options.connections.as_slice() {
        [] => CONNECTIONS.to_vec(),
        list => list.iter().copied().map(usize::from).collect(),
    };
    let machine = Machine::this();
    process::pin_this_thread(options.load_cpu).context("--load-cpu")?;
    let seed = options.seed.unwrap_or_else(random_seed);
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let mut servers = servers(options, seed, directory.path())?;
    for server in &mut servers {
        make_known(options, server)?;
    }
    let rounds = usize::from(options.rounds);
    let mut samples = Vec::new();
    for &connections in &connections {
        for round in 0..rounds {
            for (index, server) in servers.iter_mut().enumerate() {
                let name = server.name;
                progress(&format!(
                    "{name}, {connections} connections, round {} of {rounds}",
                    round + 1
                ));
                let sample = measure(options, server, connections)
                    .with_context(|| format!("{name} with {connections} connections"))?;
                samples.push(Sample { server: index, round, ..sample });
            }
        }
    }
    progress("");
    let method = Method {
        seconds: options.seconds.as_secs_f64(),
        warm_up_seconds: options.warm_up.as_secs_f64(),
        rounds,
        new_percent: f64::from(options.new),
        known_percent: f64::from(100 - options.new),
        retried_percent: 0.0,
        seed,
        server_cpu: options.server_cpu,
        load_cpu: options.load_cpu,
        decision_log: Some(DecisionLog::Off),
    };
    let mut report = Report::new(machine, method, servers.iter().map(facts).collect(), &samples);
    report.goals = goals(&report);
    let published = Published { text: report.text(), json: report.json()?, gap: "" };
    published.write(options.json.as_deref())
}

/// The null responder, and xgrey.
fn servers(options: &Options, seed: u64, directory: &Path) -> anyhow::Result<[Server; 2]> {
    let cpu = options.server_cpu;
    let of = |name, started: Started| Server {
        name,
        resident_bytes_before: started.process().resident_bytes(),
        started,
        questions: Questions::new(seed, options.new, options.known_pool),
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
        if errors.total() > 0 || tally.replies < u64::from(options.known_pool) {
            bail!(
                "of {} questions {} were answered: {errors:?}",
                options.known_pool,
                tally.replies
            );
        }
        clock::wait(product::EMBARGO_OVER);
    }
    Ok(())
}

fn measure(options: &Options, server: &mut Server, connections: usize) -> anyhow::Result<Sample> {
    let mut load = Load::connect(server.started.address(), connections, options.timeout)?;
    let questions = &mut server.questions;
    let mut warm_up = Tally::new()?;
    load.run(questions, clock::now() + options.warm_up, &mut warm_up)?;

    let mut tally = Tally::new()?;
    questions.actions.clear();
    let (process, own) = (server.started.process(), Process::current());
    let begin = clock::now();
    let (server_cpu, load_cpu) = (process.cpu_times(), own.own_cpu_times());
    load.run(questions, clock::now() + options.seconds, &mut tally)?;
    let (server_cpu_after, load_cpu_after) = (process.cpu_times(), own.own_cpu_times());
    let seconds = (clock::now() - begin).as_secs_f64();

    let actions = questions.actions.by_word();
    let errors = warm_up.errors.plus(tally.errors).plus(load.finish(questions)?);
    server.started.check()?;
    Ok(Sample {
        server: 0,
        connections,
        round: 0,
        seconds,
        replies: tally.replies,
        latency: Latency::of(&tally.latency),
        server_used: process::used_between(&server_cpu, &server_cpu_after),
        load_used: process::used_between(&load_cpu, &load_cpu_after),
        resident_bytes: process.resident_bytes(),
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
