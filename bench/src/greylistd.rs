//! `xgrey-bench greylistd`: greylistd's protocol as Exim speaks it, a null responder against xgrey, in
//! turns.
//!
//! Each question is a connection of its own over a UNIX socket, so this measures what it takes to take,
//! answer and end a connection more than anything else. For each number of questions at a time and
//! each round, both are measured, one after the other, so that whatever slows the machine slows both.
//! They share one CPU, of which the load generator has no part.

mod load;
pub(crate) mod null;
mod questions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::load::{Load, Tally};
use self::questions::Questions;
use crate::clock;
use crate::machine::Machine;
use crate::process::{self, Process, Started};
use crate::product;
use crate::publish::{Published, progress};
use crate::report::Latency;
use crate::report::at_a_time::{Method, Report, Sample, Work};
use crate::units::parse_seconds;

const WORK: Work = Work {
    one: "request",
    many: "requests",
    rate_key: "requests_per_second",
    cpu_key: "cpu_micros_per_request",
    title: "greylistd's protocol over UNIX sockets, a connection a request,",
    name_width: 6,
};
/// Without a list, so many questions at a time.
const AT_ONCE: [u16; 2] = [10, 100];
/// Questions at a time while tuples become known.
const PRIME_AT_ONCE: usize = 32;
/// How long each pass over the tuples that become known may take.
const PRIME_TIME_MAX: Duration = Duration::from_secs(20);

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Numbers of questions at a time, each of them measured [default: 10,100]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=500))]
    at_once: Vec<u16>,
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    seconds: Duration,
    /// How long load runs before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    warm_up: Duration,
    /// How often each server is measured with each number of questions
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many of a hundred questions are about a tuple that was never asked about before
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    new: u8,
    /// How many tuples are known when measuring begins
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    known_pool: u32,
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
    socket: PathBuf,
    questions: Questions,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let at_once = if options.at_once.is_empty() { &AT_ONCE[..] } else { &options.at_once };
    let machine = Machine::this();
    process::pin_this_thread(options.load_cpu).context("--load-cpu")?;
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let mut servers = servers(options, directory.path())?;
    make_known(&servers[1].socket, options.known_pool)?;

    let rounds = usize::from(options.rounds);
    let mut samples = Vec::new();
    for at_once in at_once.iter().copied().map(usize::from) {
        for round in 0..rounds {
            for (index, server) in servers.iter_mut().enumerate() {
                let name = server.name;
                progress(&format!("{name}, {at_once} at a time, round {} of {rounds}", round + 1));
                let sample = measure(options, server, at_once)
                    .with_context(|| format!("{name}, {at_once} questions at a time"))?;
                samples.push(Sample { server: index, round, ..sample });
            }
        }
    }
    progress("");

    let method = Method {
        seconds: options.seconds.as_secs_f64(),
        rounds,
        new_percent: options.new,
        known_tuples: options.known_pool,
        server_cpu: options.server_cpu,
        load_cpu: options.load_cpu,
    };
    let names = [servers[0].name, servers[1].name];
    let report = Report::new(&WORK, machine, method, names, &samples);
    let published = Published { text: report.text(), json: report.json()?, gap: "" };
    published.write(options.json.as_deref())
}

/// The null responder, and xgrey.
fn servers(options: &Options, directory: &Path) -> anyhow::Result<[Server; 2]> {
    let cpu = options.server_cpu;
    let questions = Questions::new(options.new, options.known_pool);
    let socket = directory.join("null.sock");
    let started = Started::null_greylistd(cpu, &socket, directory.join("null.output"))
        .context("null responder")?;
    let null = Server { name: "null", started, socket, questions: questions.clone() };
    let socket = directory.join("xgrey.sock");
    let started = product::start_greylistd(cpu, directory, &socket)?;
    Ok([null, Server { name: "xgrey", started, socket, questions }])
}

/// Has the tuples of the pool tried, and tried again after the embargo.
fn make_known(socket: &Path, pool: u32) -> anyhow::Result<()> {
    for pass in 1..=2 {
        progress(&format!("{pool} tuples become known, pass {pass} of 2"));
        let mut tally = Tally::new()?;
        let mut numbers = 0..pool;
        let end = clock::now() + PRIME_TIME_MAX;
        Load::new(socket)?.run(|| numbers.next(), PRIME_AT_ONCE, end, &mut tally)?;
        let wanted = if pass == 2 { tally.accepted } else { tally.answers() };
        if wanted < u64::from(pool) {
            bail!("of {pool} tuples only {wanted} were answered as they should be: {tally:?}");
        }
        clock::wait(product::EMBARGO_OVER);
    }
    Ok(())
}

fn measure(options: &Options, server: &mut Server, at_once: usize) -> anyhow::Result<Sample> {
    let mut load = Load::new(&server.socket)?;
    let questions = &mut server.questions;
    let end = clock::now() + options.warm_up;
    load.run(|| Some(questions.next()), at_once, end, &mut Tally::new()?)?;

    let mut tally = Tally::new()?;
    let (process, own) = (server.started.process(), Process::current());
    let cpu = || (process.cpu_times(), own.own_cpu_times());
    let begin = clock::now();
    let (server_cpu, load_cpu) = cpu();
    load.run(|| Some(questions.next()), at_once, begin + options.seconds, &mut tally)?;
    let (server_cpu_after, load_cpu_after) = cpu();
    let seconds = (clock::now() - begin).as_secs_f64();
    server.started.check()?;
    Ok(Sample {
        server: 0,
        at_once,
        round: 0,
        seconds,
        latency: Latency::of(&tally.latency),
        done: tally.answers(),
        accepted: tally.accepted,
        deferred: tally.deferred,
        errors: tally.errors,
        server_used: process::used_between(&server_cpu, &server_cpu_after),
        load_used: process::used_between(&load_cpu, &load_cpu_after),
    })
}
