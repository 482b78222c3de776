//! `xgrey-bench milter`: whole sessions of the milter protocol, a null milter against xgrey, in turns.

mod load;
pub(crate) mod null;
mod session;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::load::{Load, Numbers, Tally};
use crate::clock;
use crate::machine::Machine;
use crate::process::Started;
use crate::product;
use crate::publish::{Published, progress};
use crate::report::at_a_time::{Method, Report, Sample, Work};
use crate::report::{DecisionLog, Latency};
use crate::turns::{Turn, Turns, counts, watch};

const WORK: Work = Work {
    one: "session",
    many: "sessions",
    rate_key: "sessions_per_second",
    cpu_key: "cpu_micros_per_session",
    title: "milter sessions",
    name_width: 8,
};
/// Without a list, so many sessions at a time.
const AT_ONCE: [usize; 2] = [10, 100];
/// New tuples have numbers from this on: within the 24 bits that make their clients' addresses.
const FIRST_NEW: u64 = 1 << 20;
/// Sessions at a time while tuples become known.
const PRIME_AT_ONCE: usize = 32;
/// How long each pass over the tuples that become known may take.
const PRIME_TIME_MAX: Duration = Duration::from_secs(20);

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Numbers of sessions at a time, each of them measured [default: 10,100]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=10_000))]
    at_once: Vec<u16>,
    #[command(flatten)]
    turns: Turns,
}

struct Server {
    name: &'static str,
    started: Started,
    mix: Mix,
}

/// Measures, and prints what came out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let at_once = counts(&options.at_once, &AT_ONCE);
    let machine = Machine::this();
    options.turns.pin_load()?;
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let mut servers = servers(options, directory.path())?;
    let tested = servers[1].started.address();
    make_known(tested, options.turns.known_pool)?;

    let samples = options.turns.take(
        &mut servers,
        |server| server.name,
        &at_once,
        "sessions at a time",
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

/// The null milter, and xgrey.
fn servers(options: &Options, directory: &Path) -> anyhow::Result<[Server; 2]> {
    let cpu = options.turns.server_cpu;
    let mix = Mix::new(options.turns.new, options.turns.known_pool);
    let null = Started::null_milter(cpu, directory.join("null.output")).context("null milter")?;
    let xgrey = product::start_milter(cpu, directory, DecisionLog::Off)?;
    Ok([Server { name: "null", started: null, mix }, Server { name: "xgrey", started: xgrey, mix }])
}

/// Has the tuples of the pool tried, and tried again after the embargo.
fn make_known(address: SocketAddr, pool: u32) -> anyhow::Result<()> {
    for pass in 1..=2 {
        progress(&format!("{pool} tuples become known, pass {pass} of 2"));
        let mut numbers = Pool { next: 0, pool: u64::from(pool) };
        let mut tally = Tally::new()?;
        let end = clock::now() + PRIME_TIME_MAX;
        Load::new(address, PRIME_AT_ONCE)?.run(&mut numbers, end, &mut tally)?;
        if tally.sessions < u64::from(pool) {
            bail!("of {pool} sessions only {} were answered", tally.sessions);
        }
        if pass == 2 && tally.actions.accepted < u64::from(pool) {
            bail!("of {pool} tuples only {} are known", tally.actions.accepted);
        }
        clock::wait(product::EMBARGO_OVER);
    }
    Ok(())
}

fn measure(options: &Options, server: &mut Server, turn: Turn) -> anyhow::Result<Sample> {
    let mut load = Load::new(server.started.address(), turn.count)?;
    let mix = &mut server.mix;
    load.run(mix, clock::now() + options.turns.warm_up, &mut Tally::new()?)?;

    let mut tally = Tally::new()?;
    let (took, ran) =
        watch(&server.started, || load.run(mix, clock::now() + options.turns.seconds, &mut tally));
    ran?;
    server.started.check()?;
    Ok(Sample {
        server: turn.server,
        at_once: turn.count,
        round: turn.round,
        seconds: took.seconds,
        done: tally.sessions,
        latency: Latency::of(&tally.latency),
        accepted: tally.actions.accepted,
        deferred: tally.actions.deferred,
        errors: tally.errors,
        server_used: took.server_used,
        load_used: took.load_used,
    })
}

/// New and known tuples, mixed.
#[derive(Clone, Copy)]
struct Mix {
    new_percent: u64,
    pool: u64,
    made: u64,
    new: u64,
}

impl Mix {
    fn new(new_percent: u8, pool: u32) -> Self {
        Self { new_percent: u64::from(new_percent), pool: u64::from(pool), made: 0, new: 0 }
    }
}

impl Numbers for Mix {
    fn next(&mut self) -> Option<u64> {
        self.made += 1;
        // Spread evenly: as many of the first n are new as their share of n says.
        if self.made * self.new_percent / 100 > self.new {
            self.new += 1;
            return Some(FIRST_NEW + self.new);
        }
        // Steps of a large prime visit the pool in no order that a cache would like.
        Some(self.made.wrapping_mul(2_654_435_761) % self.pool)
    }
}

/// Each tuple of the pool once.
struct Pool {
    next: u64,
    pool: u64,
}

impl Numbers for Pool {
    fn next(&mut self) -> Option<u64> {
        self.next += 1;
        (self.next <= self.pool).then(|| self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_its_share_of_new_tuples_and_none_twice() {
        for percent in [0, 30, 50, 100] {
            let mut mix = Mix::new(percent, 10);
            let numbers: Vec<u64> = (0..1_000).filter_map(|_| mix.next()).collect();
            let mut new: Vec<u64> = numbers.into_iter().filter(|&n| n >= FIRST_NEW).collect();
            assert_eq!(new.len(), usize::from(percent) * 10);
            new.dedup();
            assert_eq!(new.len(), usize::from(percent) * 10);
        }
    }
}
