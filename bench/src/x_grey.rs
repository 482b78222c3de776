//! `xgrey-bench x-grey`: X-Grey's protocol over UDP, the null server against the server under test and
//! any others, in turns; and what a flood of nonsense and a burst cost.
//!
//! For each number of tuples, kind of question, number of questions that are out and round, every server is measured
//! once, one after the other, so that whatever slows the machine slows all of them. Servers share one CPU, of
//! which the load has no part; the ones that wait do nothing.
//!
//! | file | subject |
//! |---|---|
//! | `datagram.rs` | the protocol's bytes |
//! | `questions.rs` | which tuples are asked about |
//! | `batch.rs` | many datagrams with one system call |
//! | `null.rs` | the null server |
//! | `flight.rs` | pure: which questions are out |
//! | `load.rs` | closed-loop load |
//! | `servers.rs` | servers, started or found, and what they know before measuring begins |
//! | `prepare.rs` | a state directory in which many tuples are known |
//! | `flood.rs`, `burst.rs` | what they say |
//! | `report.rs` | samples → medians, ratios, goals; text and JSON |

mod batch;
mod burst;
mod datagram;
mod flight;
mod flood;
mod load;
mod null;
mod prepare;
mod questions;
mod report;
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::clock;
use crate::machine::{Machine, random_seed};
use crate::process::{self, Process};
use crate::publish::{Published, progress};
use crate::report::{DecisionLog, Latency};
use crate::store::parse_count;
use crate::units::{self, parse_seconds};
use datagram::Type;
use load::{Asking, Load, Tally};
use questions::{Kind, Questions};
use report::{Case, Method, Report, Sample};
use servers::{Server, Servers};

pub(crate) use null::{NullOptions, run as null};

/// Without a list, the numbers of questions out at once that the goals are about.
const OUTSTANDING: [usize; 3] = [1, 100, 1_000];
/// Without a list, how many tuples are known: about as many as the original has room for, and a
/// large site's.
const TUPLES: [u64; 2] = [60_000, 10_000_000];

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server to measure, already running
    #[arg(long, value_name = "ADDR", conflicts_with = "spawn")]
    server: Option<SocketAddr>,
    /// The process of --server, for its CPU time and memory (by default whoever has that port)
    #[arg(long, requires = "server")]
    pid: Option<u32>,
    /// A command that starts the server to measure, in the foreground, on 127.0.0.1:{port}
    #[arg(long, value_name = "COMMAND with {port}")]
    spawn: Option<String>,
    /// Another server to measure beside it, already running; may be given several times
    #[arg(long, value_name = "[NAME=]ADDR", value_parser = crate::policy::parse_beside)]
    beside: Vec<(Option<String>, SocketAddr)>,
    /// Numbers of questions that are out at once, each of them measured [default: 1,100,1000]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = parse_outstanding)]
    outstanding: Vec<usize>,
    /// Numbers of tuples that are known before measuring begins, each of them measured
    /// [default: 60000,10M]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = parse_tuples)]
    tuples: Vec<u64>,
    /// Which tuples are asked about, each of them measured; known ones first, since new ones add up
    #[arg(long, value_name = "known,new", value_delimiter = ',', default_value = "known,new")]
    questions: Vec<Kind>,
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    seconds: Duration,
    /// How long load runs before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    warm_up: Duration,
    /// How often each server is measured in each case
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The number that all that is random follows from; the report names it [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How long an answer may take until it counts as lost: as long as X-Grey's clients wait
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    timeout: Duration,
    /// The CPU that all servers run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    /// The CPU that the load generator runs on
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    load_cpu: usize,
    /// Whether the xgrey started here writes a line for each decision, to a file
    #[arg(long, value_name = "on|off", conflicts_with_all = ["server", "spawn"])]
    decision_log: Option<DecisionLog>,
    /// Instead: send so many datagrams of nonsense beside good questions, and see whether one of those is lost and
    /// what xgrey has counted
    #[arg(
        long, value_name = "N", num_args = 0..=1, default_missing_value = "1_000_000", value_parser = parse_count,
        conflicts_with_all = ["server", "spawn", "beside", "burst", "questions"]
    )]
    flood: Option<u64>,
    /// How many of them a second
    #[arg(long, value_name = "N", default_value = "50_000", value_parser = parse_count, requires = "flood")]
    flood_rate: u64,
    /// Instead: send so many questions while xgrey is held for a second, and see how many it answers
    #[arg(
        long, value_name = "N", num_args = 0..=1, default_missing_value = "50_000", value_parser = parse_burst,
        conflicts_with_all = ["server", "spawn", "beside", "questions"]
    )]
    burst: Option<u16>,
    /// Write the report as JSON to this file; with - to standard output, the table to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
}

fn parse_outstanding(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(count @ 1..=flight::OUT_MAX) => Ok(count),
        _ => Err(format!("so many questions can be out at once: 1 to {}", flight::OUT_MAX)),
    }
}

fn parse_tuples(text: &str) -> Result<u64, String> {
    match parse_count(text)? {
        count @ ..=1_000_000_000 => Ok(count),
        _ => Err("so many tuples can be known: up to 1,000 million".to_owned()),
    }
}

fn parse_burst(text: &str) -> Result<u16, String> {
    let count = u16::try_from(parse_count(text)?).ok().filter(|&count| count > 0);
    count.ok_or_else(|| format!("a burst is of 1 to {} questions", u16::MAX))
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // Before this thread has but one CPU.
    let machine = Machine::this();
    process::pin_this_thread(options.load_cpu).context("--load-cpu")?;
    let published = match (options.flood, options.burst) {
        (Some(datagrams), _) => flood::run(options, machine, datagrams)?,
        (None, Some(questions)) => burst::run(options, machine, questions)?,
        (None, None) => compare(options, machine)?,
    };
    published.write(options.json.as_deref())
}

fn compare(options: &Options, machine: Machine) -> anyhow::Result<Published> {
    let or_default =
        |list: &[usize]| if list.is_empty() { OUTSTANDING.to_vec() } else { list.to_vec() };
    let outstanding = or_default(&options.outstanding);
    let tuples = if options.tuples.is_empty() { TUPLES.to_vec() } else { options.tuples.clone() };
    let mut kinds = options.questions.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let seed = options.seed.unwrap_or_else(random_seed);
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;

    let mut cases = Vec::new();
    for &tuples in &tuples {
        for &kind in &kinds {
            cases.extend(outstanding.iter().map(|&outstanding| Case { tuples, kind, outstanding }));
        }
    }
    let (mut samples, mut facts) = (Vec::new(), Vec::new());
    let mut servers = Servers::new(options, seed, directory.path())?;
    let total = cases.len();
    for (number, &case) in cases.iter().enumerate() {
        servers.know(case.tuples)?;
        for round in 0..usize::from(options.rounds) {
            for (index, server) in servers.all().enumerate() {
                progress(&format!(
                    "case {} of {total}: {}, {case}, round {} of {}",
                    number + 1,
                    server.name,
                    round + 1,
                    options.rounds
                ));
                let sample = measure(options, server, case)
                    .with_context(|| format!("{}, {case}", server.name))?;
                samples.push(Sample { server: index, round, ..sample });
            }
        }
        if cases.get(number + 1).is_none_or(|next| next.tuples != case.tuples) {
            facts.extend(servers.all().map(|server| server.facts(case.tuples)));
        }
    }
    progress("");
    let method = Method {
        seconds: options.seconds.as_secs_f64(),
        warm_up_seconds: options.warm_up.as_secs_f64(),
        rounds: usize::from(options.rounds),
        seed,
        server_cpu: options.server_cpu,
        load_cpu: options.load_cpu,
        decision_log: servers.decision_log(),
    };
    let names: Vec<String> = servers.all().map(|server| server.name.clone()).collect();
    let report = Report::new(machine, method, facts, &names, &cases, &samples);
    Ok(Published { text: report.text(), json: report.json()?, gap: "" })
}

fn measure(options: &Options, server: &mut Server, case: Case) -> anyhow::Result<Sample> {
    let mut load = Load::connect(server.address, case.outstanding, options.timeout)?;
    if load.room().datagrams() < case.outstanding {
        eprintln!(
            "xgrey-bench: only {} answers may wait in the load's socket, so it may lose some itself: set \
             net.core.rmem_max, or run as root",
            units::grouped(load.room().datagrams() as f64)
        );
    }
    let mut asking = Mixed { kind: case.kind, questions: &mut server.questions };
    let mut warm_up = Tally::new()?;
    load.run(&mut asking, clock::now() + options.warm_up, &mut warm_up)?;

    let mut tally = Tally::new()?;
    let own = Process::current();
    let process = server.process;
    let cpu = || (process.map(Process::cpu_times).unwrap_or_default(), own.own_cpu_times());
    let begin = clock::now();
    let (server_cpu, load_cpu) = cpu();
    load.run(&mut asking, begin + options.seconds, &mut tally)?;
    let (server_cpu_after, load_cpu_after) = cpu();
    let seconds = (clock::now() - begin).as_secs_f64();

    let rest = load.finish(&asking)?;
    server.check()?;
    Ok(Sample {
        case,
        server: 0,
        round: 0,
        seconds,
        answers: tally.answers,
        latency: Latency::of(&tally.latency),
        server_used: process::used_between(&server_cpu, &server_cpu_after),
        load_used: process::used_between(&load_cpu, &load_cpu_after),
        resident_bytes: process.and_then(Process::resident_bytes),
        said: tally.said.by_name(),
        errors: warm_up.errors.plus(tally.errors).plus(rest.errors),
    })
}

/// Endless questions of one kind.
struct Mixed<'a> {
    kind: Kind,
    questions: &'a mut Questions,
}

impl Asking for Mixed<'_> {
    const TYPE: Type = Type::Greylist;

    fn has_more(&self) -> bool {
        true
    }

    fn push(&mut self, number: u16, out: &mut Vec<u8>) {
        self.questions.push(self.kind, number, out);
    }
}
