//! A flood: so many datagrams of nonsense a second, beside good questions. None of those may be lost, and
//! xgrey must have counted each datagram as what it was.
//!
//! The flood comes from a thread of its own, on the load's CPU, in small batches at an even pace. Four kinds take
//! turns: a good question with one bit of its checksum wrong; less than a header; more than is read of any
//! datagram; and bytes at random, of a length that a question may have.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;

use super::batch::{self, BATCH_MAX, Outbox};
use super::datagram::{DATAGRAM_BYTES_MAX, HEADER_BYTES, Type};
use super::load::{Asking, Errors, Load, Tally};
use super::questions::{Kind, Questions};
use super::{Options, report, servers};
use crate::clock;
use crate::machine::{Machine, random_seed};
use crate::process::{self, Process, Used};
use crate::product;
use crate::publish::{Published, progress};
use crate::report::words;
use crate::request::{GOLDEN, scramble};
use crate::units;

/// Good questions that are out at once.
const OUTSTANDING: usize = 100;
/// The longest datagram of the flood: more than fits a packet of most networks.
const LONGEST_BYTES: usize = 4_000;
/// How often the flood's thread sends what is due.
const PACE: Duration = Duration::from_millis(1);
/// How long to wait for the end of a flood that the kernel throttles, beyond the time it should take.
const OVERTIME: Duration = Duration::from_secs(60);

/// What a datagram of the flood is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nonsense {
    BadCrc,
    Short,
    Oversized,
    Random,
}

const KINDS: [Nonsense; 4] =
    [Nonsense::BadCrc, Nonsense::Short, Nonsense::Oversized, Nonsense::Random];

impl Nonsense {
    /// What xgrey calls it when it counts: random bytes have a wrong checksum too.
    const fn counted_as(self) -> &'static str {
        match self {
            Self::BadCrc | Self::Random => "bad_crc",
            Self::Short => "short",
            Self::Oversized => "oversized",
        }
    }
}

/// Makes nonsense, kind by kind in turns.
#[derive(Debug)]
struct Flood {
    questions: Questions,
    random: u64,
    sent: u64,
}

impl Flood {
    fn new(seed: u64) -> Self {
        Self { questions: Questions::new(seed, 0), random: scramble(!seed), sent: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(GOLDEN);
        scramble(self.random)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.draw()) * bound as u128) >> 64) as usize
    }

    /// Appends the next datagram.
    fn push(&mut self, out: &mut Vec<u8>) {
        let kind = KINDS[(self.sent % KINDS.len() as u64) as usize];
        self.sent += 1;
        let start = out.len();
        match kind {
            Nonsense::BadCrc => {
                self.questions.push(Kind::New, 0, out);
                out[start + self.random as usize % 4] ^= 1;
            }
            Nonsense::Short => {
                let length = self.below(HEADER_BYTES);
                self.push_random(length, out);
            }
            Nonsense::Oversized => {
                let length =
                    DATAGRAM_BYTES_MAX + 1 + self.below(LONGEST_BYTES - DATAGRAM_BYTES_MAX);
                self.push_random(length, out);
            }
            Nonsense::Random => {
                let length = HEADER_BYTES + self.below(DATAGRAM_BYTES_MAX + 1 - HEADER_BYTES);
                self.push_random(length, out);
            }
        }
    }

    fn push_random(&mut self, length: usize, out: &mut Vec<u8>) {
        let end = out.len() + length;
        while out.len() < end {
            out.extend_from_slice(&self.draw().to_le_bytes());
        }
        out.truncate(end);
    }

    /// How many of each there should be among the first `sent`, by what they count as.
    fn expected(sent: u64) -> BTreeMap<&'static str, u64> {
        let mut expected = BTreeMap::new();
        for (place, kind) in (0_u64..).zip(KINDS) {
            let times = (sent + KINDS.len() as u64 - 1 - place) / KINDS.len() as u64;
            *expected.entry(kind.counted_as()).or_default() += times;
        }
        expected
    }
}

/// Sends `datagrams` at an even pace; how many the kernel did not take, and how long it took.
fn send(
    server: SocketAddr,
    seed: u64,
    datagrams: u64,
    rate: u64,
) -> anyhow::Result<(u64, Duration)> {
    let (socket, _) = batch::connect(server, PACE)?;
    let (mut flood, mut outbox) = (Flood::new(seed), Outbox::default());
    let begin = clock::now();
    let mut refused = 0;
    while flood.sent < datagrams {
        let due = (clock::now() - begin).as_secs_f64() * rate as f64;
        let due = (due as u64).min(datagrams);
        while flood.sent < due {
            for _ in flood.sent..due.min(flood.sent + BATCH_MAX as u64) {
                outbox.add(None, |out| flood.push(out));
            }
            refused += outbox.send(&socket);
        }
        clock::wait(PACE);
    }
    Ok((refused, clock::now() - begin))
}

/// What has come of it.
#[derive(Clone, Debug, Serialize)]
struct Report {
    machine: Machine,
    seed: u64,
    root: bool,
    datagrams: u64,
    flood_seconds: f64,
    /// Of the flood's, that the kernel did not take.
    refused: u64,
    /// Good questions that were answered meanwhile, and how fast.
    questions: u64,
    seconds: f64,
    outstanding: usize,
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    said: BTreeMap<String, u64>,
    errors: Errors,
    /// Which part of the time the server ran.
    server_busy: Option<f64>,
    counts: Vec<Count>,
}

/// What xgrey has counted, and what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Count {
    what: &'static str,
    sent: u64,
    counted: u64,
}

pub(super) fn run(
    options: &Options,
    machine: Machine,
    datagrams: u64,
) -> anyhow::Result<Published> {
    let seed = options.seed.unwrap_or_else(random_seed);
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let (mut server, place) = servers::product_alone(options, seed, directory.path())?;
    let before = Counted::of(&product::stats(&place)?)?;
    progress("a flood");

    let outstanding = options.outstanding.first().copied().unwrap_or(OUTSTANDING);
    let (address, rate) = (server.address, options.flood_rate.max(1));
    let flood = thread::spawn(move || send(address, !seed, datagrams, rate));
    let mut load = Load::connect(address, outstanding, options.timeout)?;
    let mut tally = Tally::new()?;
    let used = || server.process.map(Process::cpu_times).unwrap_or_default();
    let (begin, used_before) = (clock::now(), used());
    let end = begin + Duration::from_secs_f64(datagrams as f64 / rate as f64) + OVERTIME;
    let mut asking = Beside { questions: &mut server.questions, flood: &flood, turn: 0 };
    load.run(&mut asking, end, &mut tally)?;
    let rest = load.finish(&asking)?;
    let (seconds, used_after) = ((clock::now() - begin).as_secs_f64(), used());
    let (refused, flood_time) =
        flood.join().map_err(|_| anyhow!("the flood's thread panicked"))??;
    server.check()?;
    let after = Counted::of(&product::stats(&place)?)?;
    progress("");

    tally.latency.add(&rest.latency).context("one histogram's bounds are another's")?;
    let questions = tally.answers + rest.answers;
    let mut counts: Vec<Count> = (Flood::expected(datagrams).into_iter())
        .map(|(what, sent)| Count { what, sent, counted: after.event(what) - before.event(what) })
        .collect();
    counts.push(Count {
        what: "decisions",
        sent: questions,
        counted: after.decisions - before.decisions,
    });
    counts.extend(["late", "refused", "unsent"].map(|what| Count {
        what,
        sent: 0,
        counted: after.event(what) - before.event(what),
    }));
    let busy = |used: Used| used.ran_ns as f64 / 1e9 / seconds;
    let mut said = tally.said.by_name();
    for (answer, times) in rest.said.by_name() {
        *said.entry(answer).or_default() += times;
    }
    let report = Report {
        machine,
        seed,
        root: rustix::process::geteuid().is_root(),
        datagrams,
        flood_seconds: flood_time.as_secs_f64(),
        refused,
        questions,
        seconds,
        outstanding,
        p50_ns: tally.latency.value_at_quantile(0.5),
        p99_ns: tally.latency.value_at_quantile(0.99),
        max_ns: tally.latency.max(),
        said,
        errors: tally.errors.plus(rest.errors),
        server_busy: process::used_between(&used_before, &used_after).map(busy),
        counts,
    };
    Ok(Published { text: report.text(), json: serde_json::to_string_pretty(&report)?, gap: "" })
}

/// Good questions, known and new in turns, as long as the flood lasts.
struct Beside<'a> {
    questions: &'a mut Questions,
    flood: &'a thread::JoinHandle<anyhow::Result<(u64, Duration)>>,
    turn: u64,
}

impl Asking for Beside<'_> {
    const TYPE: Type = Type::Greylist;

    fn has_more(&self) -> bool {
        !self.flood.is_finished()
    }

    fn push(&mut self, number: u16, out: &mut Vec<u8>) {
        self.turn += 1;
        let kind = if self.turn.is_multiple_of(2) { Kind::New } else { Kind::Known };
        self.questions.push(kind, number, out);
    }
}

/// What xgrey says that it has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    decisions: u64,
    events: BTreeMap<String, u64>,
}

impl Counted {
    /// From `xgrey ctl stats --json`.
    fn of(stats: &Value) -> anyhow::Result<Self> {
        let rows =
            |name: &str| stats[name].as_array().with_context(|| format!("no {name} in stats"));
        let count = |row: &Value| row["count"].as_u64().unwrap_or_default();
        Ok(Self {
            decisions: rows("decisions")?.iter().map(count).sum(),
            events: rows("events")?
                .iter()
                .filter_map(|row| Some((row["event"].as_str()?.to_owned(), count(row))))
                .collect(),
        })
    }

    fn event(&self, name: &str) -> u64 {
        self.events.get(name).copied().unwrap_or_default()
    }
}

impl Report {
    fn text(&self) -> String {
        let mut out = String::new();
        let count = |number: u64| units::grouped(number as f64);
        let _ = writeln!(out, "{}", self.machine);
        let _ = writeln!(
            out,
            "{} datagrams of nonsense in {:.1} s ({}/s; {} not taken by the kernel; seed {}), {}; beside them {} \
             good questions ({}/s, {} outstanding) with p50 {}, p99 {}, max {}{}",
            count(self.datagrams),
            self.flood_seconds,
            units::grouped(self.datagrams as f64 / self.flood_seconds),
            count(self.refused),
            self.seed,
            if self.root {
                "as root"
            } else {
                "NOT as root: little may wait in the server's socket"
            },
            count(self.questions),
            units::grouped(self.questions as f64 / self.seconds),
            self.outstanding,
            units::duration(self.p50_ns),
            units::duration(self.p99_ns),
            units::duration(self.max_ns),
            report::errors(self.errors),
        );
        let said: Vec<_> =
            self.said.iter().map(|(answer, &times)| format!("{} {answer}", count(times))).collect();
        let _ = writeln!(
            out,
            "Answered: {}; server busy {}\n",
            said.join(", "),
            self.server_busy
                .map_or_else(|| "–".to_owned(), |part| format!("{:.0} %", part * 100.0))
        );
        let _ = writeln!(
            out,
            "{} good questions lost beside the flood: {}, wanted 0; other errors {}",
            words::met(Some(self.errors.total() == 0)),
            count(self.errors.lost),
            count(self.errors.total() - self.errors.lost)
        );
        for Count { what, sent, counted } in &self.counts {
            let _ = writeln!(
                out,
                "{} counted as {what}: {} of {}",
                words::met(Some(sent == counted)),
                count(*counted),
                count(*sent)
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::datagram::is_sound;
    use super::*;

    #[test]
    fn nonsense_is_of_the_kind_that_it_is_counted_as() {
        let mut flood = Flood::new(5);
        let mut seen = BTreeMap::new();
        for _ in 0..10_001 {
            let mut datagram = Vec::new();
            flood.push(&mut datagram);
            assert!(!is_sound(&datagram) && datagram.len() <= LONGEST_BYTES, "{datagram:?}");
            let kind = match datagram.len() {
                ..HEADER_BYTES => "short",
                HEADER_BYTES..=DATAGRAM_BYTES_MAX => "bad_crc",
                _ => "oversized",
            };
            *seen.entry(kind).or_default() += 1;
        }
        assert_eq!(seen, Flood::expected(10_001));
        assert_eq!(seen.values().sum::<u64>(), 10_001);
    }

    #[test]
    fn what_xgrey_has_counted_is_read_from_its_own_words() {
        let stats = serde_json::json!({
            "decisions": [{ "answer": "accept", "reason": "known", "count": 7 }, { "count": 5 }],
            "events": [{ "event": "short", "count": 3 }],
        });
        let counted = Counted::of(&stats).unwrap();
        assert_eq!((counted.decisions, counted.event("short"), counted.event("late")), (12, 3, 0));
        assert!(Counted::of(&serde_json::json!({ "decisions": [] })).is_err());
    }
}
