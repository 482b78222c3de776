//! `xgrey-bench greylistd`: greylistd's protocol as Exim speaks it, a null responder against xgrey, in
//! turns.
//!
//! Each question is a connection of its own over a UNIX socket, so this measures what it takes to take,
//! answer and end a connection more than anything else.

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
use crate::process::Started;
use crate::product;
use crate::publish::{Published, progress};
use crate::report::Latency;
use crate::report::at_a_time::{Method, Report, Sample, Work};
use crate::turns::{Turn, Turns, counts, watch};

const WORK: Work = Work {
    one: "request",
    many: "requests",
    rate_key: "requests_per_second",
    cpu_key: "cpu_micros_per_request",
    title: "greylistd's protocol over UNIX sockets, a connection a request,",
    name_width: 6,
};
/// Without a list, so many questions at a time.
const AT_ONCE: [usize; 2] = [10, 100];
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
    #[command(flatten)]
    turns: Turns,
}

struct Server {
    name: &'static str,
    started: Started,
    socket: PathBuf,
    questions: Questions,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let at_once = counts(&options.at_once, &AT_ONCE);
    let machine = Machine::this();
    options.turns.pin_load()?;
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let mut servers = servers(options, directory.path())?;
    make_known(&servers[1].socket, options.turns.known_pool)?;

    let samples = options.turns.take(
        &mut servers,
        |server| server.name,
        &at_once,
        "questions at a time",
        |server, turn| measure(options, server, turn),
    )?;

    let method = Method {
        seconds: options.turns.seconds.as_secs_f64(),
        rounds: usize::from(options.turns.rounds),
        new_percent: options.turns.new,
        known_tuples: options.turns.known_pool,
        server_cpu: options.turns.server_cpu,
        load_cpu: options.turns.load_cpu,
    };
    let names = [servers[0].name, servers[1].name];
    let report = Report::new(&WORK, machine, method, names, &samples);
    let published = Published { text: report.text(), json: report.json()?, gap: "" };
    published.write(options.turns.json.as_deref())
}

/// The null responder, and xgrey.
fn servers(options: &Options, directory: &Path) -> anyhow::Result<[Server; 2]> {
    let cpu = options.turns.server_cpu;
    let questions = Questions::new(options.turns.new, options.turns.known_pool);
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

fn measure(options: &Options, server: &mut Server, turn: Turn) -> anyhow::Result<Sample> {
    let mut load = Load::new(&server.socket)?;
    let questions = &mut server.questions;
    let end = clock::now() + options.turns.warm_up;
    load.run(|| Some(questions.next()), turn.count, end, &mut Tally::new()?)?;

    let mut tally = Tally::new()?;
    let (took, ran) = watch(&server.started, || {
        let end = clock::now() + options.turns.seconds;
        load.run(|| Some(questions.next()), turn.count, end, &mut tally)
    });
    ran?;
    server.started.check()?;
    Ok(Sample {
        server: turn.server,
        at_once: turn.count,
        round: turn.round,
        seconds: took.seconds,
        latency: Latency::of(&tally.latency),
        done: tally.answers(),
        accepted: tally.accepted,
        deferred: tally.deferred,
        errors: tally.errors,
        server_used: took.server_used,
        load_used: took.load_used,
    })
}
