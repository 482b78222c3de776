//! Figures over several rounds, whatever was measured in them: spreads, ratios within a round, latencies,
//! and how busy both sides were.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::process::Used;

/// Latencies in nanoseconds: so many percent of the requests took no longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

impl Latency {
    /// Of all that was measured in a round.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        let at = |percent| nanoseconds.value_at_quantile(percent / 100.0);
        Self {
            p50_ns: at(50.0),
            p90_ns: at(90.0),
            p99_ns: at(99.0),
            p999_ns: at(99.9),
            max_ns: nanoseconds.max(),
        }
    }

    /// Medians over the rounds in which anything was answered, but the highest maximum of all; none
    /// without any round.
    pub(crate) fn over(rounds: impl Iterator<Item = (Self, u64)> + Clone) -> Option<Self> {
        let quantile = |number: fn(Self) -> u64| {
            let answered = rounds.clone().filter(|&(_, answers)| answers > 0);
            Spread::of(answered.map(|(latency, _)| number(latency) as f64))
                .map_or(0, |spread| spread.median.round() as u64)
        };
        Some(Self {
            p50_ns: quantile(|latency| latency.p50_ns),
            p90_ns: quantile(|latency| latency.p90_ns),
            p99_ns: quantile(|latency| latency.p99_ns),
            p999_ns: quantile(|latency| latency.p999_ns),
            max_ns: rounds.clone().map(|(latency, _)| latency.max_ns).max()?,
        })
    }
}

/// A number over several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Over these numbers; none without any.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (&min, &max) = (numbers.first()?, numbers.last()?);
        let middle = numbers.len() / 2;
        let median = if numbers.len() % 2 == 1 {
            numbers[middle]
        } else {
            f64::midpoint(numbers[middle - 1], numbers[middle])
        };
        Some(Self { median, min, max })
    }

    /// Over what divides two servers' samples of the same round: the machine's speed may drift from round to
    /// round.
    pub(crate) fn of_ratios<S: InRound>(
        of: &[&S],
        to: &[&S],
        number: impl Fn(&S) -> Option<f64>,
    ) -> Option<Self> {
        Self::of(of.iter().filter_map(|sample| {
            let reference = to.iter().find(|reference| reference.round() == sample.round())?;
            let (number, reference) = (number(sample)?, number(reference)?);
            (reference > 0.0).then(|| number / reference)
        }))
    }
}

/// What was measured in a round.
pub(crate) trait InRound {
    /// Which.
    fn round(&self) -> usize;

    /// How long was measured, in seconds.
    fn seconds(&self) -> f64;

    /// CPU time of the server, and of the load generator, where it could be read.
    fn used(&self) -> [Option<Used>; 2];
}

/// How busy both sides were, and what else the machine did.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Busy {
    /// Which part of the time the server, and the load generator, ran.
    pub(crate) server_busy: Option<f64>,
    pub(crate) load_busy: Option<f64>,
    /// Which part of the time they were ready to run and their CPU did something else, in the worst
    /// round: what else the machine was doing.
    pub(crate) server_waited: Option<f64>,
    pub(crate) load_waited: Option<f64>,
}

impl Busy {
    pub(crate) fn over<S: InRound>(rounds: &[&S]) -> Self {
        let part = |side: usize, ns: fn(Used) -> u64| {
            Spread::of(rounds.iter().filter_map(|sample| {
                let used = sample.used()[side]?;
                Some(ns(used) as f64 / 1e9 / sample.seconds()).filter(|part| part.is_finite())
            }))
        };
        let ran = |side| part(side, |used| used.ran_ns).map(|part| part.median);
        let waited = |side| part(side, |used| used.waited_ns).map(|part| part.max);
        Self {
            server_busy: ran(0),
            load_busy: ran(1),
            server_waited: waited(0),
            load_waited: waited(1),
        }
    }
}

/// What was counted by name in each, counted together.
pub(crate) fn together<'a>(
    counts: impl IntoIterator<Item = &'a BTreeMap<String, u64>>,
) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in counts.into_iter().flatten() {
        *sums.entry(name.clone()).or_insert(0) += count;
    }
    sums
}
