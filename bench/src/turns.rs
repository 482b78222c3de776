//! A null server and xgrey, measured in turns: what `milter`, `greylistd` and `http` have in common.
//!
//! For each case and each round both are measured, one after the other, so that whatever slows the machine slows
//! both. They share one CPU, of which the load generator has no part.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::clock;
use crate::process::{self, Process, Started, Used};
use crate::publish::progress;
use crate::units::parse_seconds;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Turns {
    /// How long each measurement takes
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// How long load runs before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = parse_seconds)]
    pub(crate) warm_up: Duration,
    /// How often each server is measured in each case
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How many of a hundred questions are about a tuple that was never asked about before
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) new: u8,
    /// How many tuples are known when measuring begins
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) known_pool: u32,
    /// The CPU that both servers run on
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    pub(crate) server_cpu: usize,
    /// The CPU that the load generator runs on
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    pub(crate) load_cpu: usize,
    /// Write the report as JSON to this file; with - to standard output, the table to standard error
    #[arg(long, value_name = "FILE|-")]
    pub(crate) json: Option<PathBuf>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Which server, from 0.
    pub(crate) server: usize,
    /// Which round, from 0.
    pub(crate) round: usize,
    /// How many go on at once.
    pub(crate) count: usize,
}

/// What a measurement took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    pub(crate) seconds: f64,
    pub(crate) server_used: Option<Used>,
    pub(crate) load_used: Option<Used>,
}

impl Turns {
    /// Puts the load generator on its CPU.
    ///
    /// # Errors
    /// When there is no such CPU.
    pub(crate) fn pin_load(&self) -> anyhow::Result<()> {
        process::pin_this_thread(self.load_cpu).context("--load-cpu")
    }

    /// What `measure` says of each server at each of `counts`, such as so many `connections`, in each round.
    ///
    /// # Errors
    /// The first of `measure`'s.
    pub(crate) fn take<Server, Sample>(
        &self,
        servers: &mut [Server],
        name: fn(&Server) -> &'static str,
        counts: &[usize],
        of_what: &str,
        mut measure: impl FnMut(&mut Server, Turn) -> anyhow::Result<Sample>,
    ) -> anyhow::Result<Vec<Sample>> {
        let rounds = usize::from(self.rounds);
        let mut samples = Vec::new();
        for &count in counts {
            for round in 0..rounds {
                for (index, server) in servers.iter_mut().enumerate() {
                    let what = format!("{}, {count} {of_what}", name(server));
                    progress(&format!("{what}, round {} of {rounds}", round + 1));
                    let sample = measure(server, Turn { server: index, round, count });
                    samples.push(sample.context(what)?);
                }
            }
        }
        progress("");
        Ok(samples)
    }
}

/// The counts asked for, or those that are usual.
pub(crate) fn counts(asked: &[u16], usual: &[usize]) -> Vec<usize> {
    match asked {
        [] => usual.to_vec(),
        list => list.iter().copied().map(usize::from).collect(),
    }
}

/// Runs `load` against `server`; says what that took, and how it ended.
pub(crate) fn watch<Outcome>(server: &Started, load: impl FnOnce() -> Outcome) -> (Took, Outcome) {
    let (process, own) = (server.process(), Process::current());
    let cpu = || (process.cpu_times(), own.own_cpu_times());
    let begin = clock::now();
    let (server_cpu, load_cpu) = cpu();
    let outcome = load();
    let (server_cpu_after, load_cpu_after) = cpu();
    let took = Took {
        seconds: (clock::now() - begin).as_secs_f64(),
        server_used: process::used_between(&server_cpu, &server_cpu_after),
        load_used: process::used_between(&load_cpu, &load_cpu_after),
    };
    (took, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_their_turn_in_each_round_of_each_case() {
        let turns = Turns {
            seconds: Duration::ZERO,
            warm_up: Duration::ZERO,
            rounds: 2,
            new: 50,
            known_pool: 1,
            server_cpu: 0,
            load_cpu: 0,
            json: None,
        };
        let seen = turns.take(
            &mut ["null", "xgrey"],
            |name| name,
            &[10, 100],
            "at a time",
            |name, turn| {
                let Turn { server, round, count } = turn;
                Ok((*name, server, round, count))
            },
        );
        let expected = [
            ("null", 0, 0, 10),
            ("xgrey", 1, 0, 10),
            ("null", 0, 1, 10),
            ("xgrey", 1, 1, 10),
            ("null", 0, 0, 100),
            ("xgrey", 1, 0, 100),
            ("null", 0, 1, 100),
            ("xgrey", 1, 1, 100),
        ];
        assert_eq!(seen.unwrap(), expected);
        let failed = turns.take(
            &mut ["null"],
            |name| name,
            &[10],
            "at a time",
            |_, _| -> anyhow::Result<()> { anyhow::bail!("no answer") },
        );
        assert_eq!(format!("{:#}", failed.unwrap_err()), "null, 10 at a time: no answer");
    }
}
