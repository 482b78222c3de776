//! One line a decision: what was answered, to whom, why.
//!
//! ```text
//! 2026-11-24T05:30:15Z defer reason=new wait=60s client=192.0.2.7 sender=a@example.net recipient=b@example.org
//! ```
//! or the same as JSON. Lines are put together in the worker that decided, without allocating, and
//! handed to the [`LogSink`] by the chunk. A line may so be a tenth of a second late: this is a
//! log, not the memory of tuples.

mod format;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use greylist::{Query, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::format::Format;
use crate::log_sink::{CHUNK_BYTES, LogSink};
use crate::service::{Outcome, Policy};

/// How long a line may wait for company.
const FLUSH_AFTER: Duration = Duration::from_millis(100);

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
    chunk: Mutex<Chunk>,
    /// Told when the first line after a flush has been written.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Chunk {
    lines: Vec<u8>,
    stamp: format::Stamp,
}

impl DecisionLog {
    /// A log that writes to `destination`.
    pub fn new(destination: Destination) -> Self {
        Self { destination, chunk: Mutex::default(), begun: Notify::new() }
    }

    /// Adds a line for each query with its outcome, if the log is on.
    pub fn write(
        &self,
        policy: &Policy,
        now: Timestamp,
        queries: &[Query<'_>],
        outcomes: &[Outcome],
    ) {
        if !self.destination.enabled.load(Relaxed) {
            return;
        }
        let mut chunk = self.chunk.lock();
        let Chunk { lines, stamp } = &mut *chunk;
        let was_empty = lines.is_empty();
        for (query, outcome) in queries.iter().zip(outcomes) {
            self.destination.format.line(policy, stamp.at(now), query, outcome, lines);
        }
        if lines.len() >= CHUNK_BYTES {
            self.destination.sink.send(std::mem::replace(lines, Vec::with_capacity(CHUNK_BYTES)));
        } else if was_empty && !lines.is_empty() {
            self.begun.notify_one();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let mut chunk = self.chunk.lock();
        if !chunk.lines.is_empty() {
            let lines = chunk.lines.as_slice().to_owned();
            chunk.lines.clear();
            self.destination.sink.send(lines);
        }
    }

    /// For ever: flushes a tenth of a second after a line has been written.
    pub async fn flush_when_due(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(FLUSH_AFTER).await;
            self.flush();
        }
    }
}
