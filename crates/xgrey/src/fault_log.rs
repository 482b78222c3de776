//! Says that requests could not be understood, without letting a broken peer fill the disk.

use std::net::IpAddr;

use greylist::{Secs, Timestamp};
use parking_lot::Mutex;
use wire::Fault;
use wire::xgrey_v1::Silence;

/// How often a fault is logged, whatever its kind.
const INTERVAL: Secs = Secs::new(10);

/// A log of faults: the first at once, then at most one line in ten seconds, with the number of
/// those that were kept back.
#[derive(Debug, Default)]
pub struct FaultLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Timestamp>,
    kept_back: u64,
}

impl FaultLog {
    /// Logs `fault`, or keeps it back.
    pub fn report(&self, fault: &Fault, now: Timestamp) {
        if let Some(kept_back) = self.due(now) {
            tracing::warn!(
                target: "listen",
                kind = fault.kind(),
                kept_back,
                "answered \"no objection\" to a request that could not be understood: {fault}",
            );
        }
    }

    /// Logs a datagram of X-Grey's protocol that gets no answer, or keeps it back.
    pub fn report_datagram(&self, silence: Silence, from: IpAddr, now: Timestamp) {
        if let Some(kept_back) = self.due(now) {
            let why = match silence {
                Silence::Short => "it is shorter than a header",
                Silence::Oversized => "it is longer than any request",
                Silence::BadCrc => "its checksum is wrong: has its sender another `secret`?",
            };
            tracing::warn!(
                target: "listen",
                kind = silence.kind(),
                %from,
                kept_back,
                "answered nothing to a datagram: {why}",
            );
        }
    }

    /// Logs a request over HTTP that got an error, or keeps it back.
    pub fn report_http(&self, path: &str, what: &dyn std::fmt::Display, now: Timestamp) {
        if let Some(kept_back) = self.due(now) {
            tracing::warn!(
                target: "listen",
                path,
                kept_back,
                "a request over HTTP could not be understood: {what}",
            );
        }
    }

    /// Whether a line is due, and how many were kept back before it.
    fn due(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.state.lock();
        match state.last {
            Some(last) if now.since(last) < INTERVAL => {
                state.kept_back += 1;
                None
            }
            _ => {
                state.last = Some(now);
                Some(std::mem::take(&mut state.kept_back))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_faults_is_a_line_in_ten_seconds_that_says_how_many() {
        let log = FaultLog::default();
        let at = |secs: u64| Timestamp::from_unix_secs(1_800_000_000 + secs);
        assert_eq!(log.due(at(0)), Some(0));
        assert_eq!(log.due(at(0)), None);
        assert_eq!(log.due(at(9)), None);
        assert_eq!(log.due(at(10)), Some(2));
        assert_eq!(log.due(at(20)), Some(0));
    }
}
