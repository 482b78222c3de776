//! One line a decision: what was answered, to whom, why.
//!
//! ```text
//! 2026-11-24T05:30:15Z defer reason=new wait=60s client=192.0.2.7 sender=a@example.net recipient=b@example.org
//! ```
//! or the same as JSON. Lines are put together in the worker that decided, without allocating, and
//! handed to the [`LogSink`] by the chunk. A line may so be a moment late: this is a log, not the
//! memory of tuples.

mod format;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use greylist::{Query, Timestamp};

pub use self::format::Format;
use crate::log_sink::{CHUNK_BYTES, LogSink};
use crate::service::{Outcome, Policy};

/// Where decisions are logged and how; shared by all workers' logs.
#[derive(Clone, Debug)]
pub struct Destination {
    /// How lines look.
    pub format: Format,
    /// Where they go.
    pub sink: LogSink,
    /// Whether there are any; may change at any time.
    pub enabled: Arc<AtomicBool>,
}

/// One worker's log of decisions.
#[derive(Debug)]
pub struct DecisionLog {
    destination: Destination,
    lines: Vec<u8>,
    stamp: format::Stamp,
}

impl DecisionLog {
    /// A log that writes to `destination`.
    pub fn new(destination: Destination) -> Self {
        Self { destination, lines: Vec::new(), stamp: format::Stamp::default() }
    }

    /// Adds a line for each query with its outcome, if the log is on.
    pub fn write(
        &mut self,
        policy: &Policy,
        now: Timestamp,
        queries: &[Query<'_>],
        outcomes: &[Outcome],
    ) {
        if !self.destination.enabled.load(Relaxed) {
            return;
        }
        let stamp = self.stamp.at(now);
        for (query, outcome) in queries.iter().zip(outcomes) {
            self.destination.format.line(policy, stamp, query, outcome, &mut self.lines);
        }
        if self.lines.len() >= CHUNK_BYTES {
            let next = Vec::with_capacity(self.lines.capacity());
            self.destination.sink.send(std::mem::replace(&mut self.lines, next));
        }
    }

    /// Whether nothing waits to be handed over.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Hands over what there is.
    pub fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.destination.sink.send(self.lines.as_slice().to_owned());
            self.lines.clear();
        }
    }
}
