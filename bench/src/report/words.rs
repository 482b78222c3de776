//! What all reports for people say the same way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Busy, DecisionLog, Spread};
use crate::units;

/// From this share on the load generator's CPU may be what limits the rate.
const LOAD_BUSY: f64 = 0.97;
/// From this part of the time on that a CPU did other work, the figures say more about that work.
const DISTURBED: f64 = 0.02;

/// What stands where a number could not be had.
pub(crate) const UNKNOWN: &str = "–";

/// How a goal's line begins; it may be unknown whether it is met.
pub(crate) const fn met(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met     ",
        Some(false) => "MISSED  ",
        None => "unknown ",
    }
}

/// A spread of ratios.
pub(crate) fn range(Spread { median, min, max }: Spread) -> String {
    format!("{} ({}–{})", units::ratio(median), units::ratio(min), units::ratio(max))
}

/// The ratio of the run's server number `server` to the null server, which is number 0.
pub(crate) fn to_null(server: usize, ratio: Option<Spread>) -> String {
    match ratio {
        // It is the measure itself.
        Some(_) if server == 0 => "1".to_owned(),
        Some(ratio) => range(ratio),
        None => UNKNOWN.to_owned(),
    }
}

/// Memory, if it could be read.
pub(crate) fn memory(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), units::memory)
}

/// What is said of the decision log at the end of a line.
pub(crate) const fn decision_log(log: Option<DecisionLog>) -> &'static str {
    match log {
        Some(DecisionLog::On) => "; decision log on, to a file",
        Some(DecisionLog::Off) => "; decision log off",
        None => "",
    }
}

/// Each of `counts` as a part of `all`; `none` if there are none.
pub(crate) fn shares(counts: &BTreeMap<String, u64>, all: u64, none: &str) -> String {
    let shares: Vec<String> = (counts.iter())
        .map(|(name, &count)| format!("{name} {:.1} %", count as f64 * 100.0 / all as f64))
        .collect();
    if shares.is_empty() { none.to_owned() } else { shares.join(", ") }
}

/// What went wrong, and how often; nothing if nothing did.
pub(crate) fn errors<const N: usize>(counts: [(u64, &str); N]) -> String {
    let counts: Vec<String> = (counts.into_iter())
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", units::grouped(count as f64)))
        .collect();
    if counts.is_empty() { String::new() } else { format!("; ERRORS: {}", counts.join(", ")) }
}

/// How busy both sides were, and what that means for the figures.
pub(crate) fn busy(busy: &Busy) -> String {
    let percent = |part: Option<f64>| {
        part.map_or_else(|| UNKNOWN.to_owned(), |part| format!("{:.0} %", part * 100.0))
    };
    let mut text =
        format!("CPU busy: server {}, load {}", percent(busy.server_busy), percent(busy.load_busy));
    if busy.load_busy.is_some_and(|busy| busy >= LOAD_BUSY)
        && busy.server_busy.is_some_and(|busy| busy < LOAD_BUSY)
    {
        text.push_str(" (the load limits the rate: compare CPU times)");
    }
    let disturbed = |part: Option<f64>| part.is_some_and(|part| part >= DISTURBED);
    if disturbed(busy.server_waited) || disturbed(busy.load_waited) {
        let _ = write!(
            text,
            "; DISTURBED by other work on the machine: server waited {}, load {} of a round",
            percent(busy.server_waited),
            percent(busy.load_waited)
        );
    }
    text
}
