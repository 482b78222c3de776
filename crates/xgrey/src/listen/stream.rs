//! One connection from its first byte to its last: read what is there, answer all that is whole,
//! write once, go on.

use std::io;
use std::sync::Arc;

use arrayvec::ArrayVec;
use greylist::{Query, Timestamp};
use wire::postfix::{self, Decoded, Decoder, Request};

use super::connections::Connection;
use super::worker::WorkerContext;
use crate::metrics::Event;
use crate::service::{BATCH_MAX, Outcome};

/// A connection's buffer to begin with: two usual requests. It grows up to the limit of a request
/// plus one read.
const BUFFER_BYTES: usize = 2 * 1024;

/// What has been read and not yet used.
struct Buffer {
    bytes: Vec<u8>,
    end: usize,
    /// Upper bound for `bytes`.
    max: usize,
}

impl Buffer {
    fn new(request_bytes_max: usize) -> Self {
        Self { bytes: vec![0; BUFFER_BYTES], end: 0, max: request_bytes_max + BUFFER_BYTES }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Drops `used` bytes from the front.
    fn consume(&mut self, used: usize) {
        self.bytes.copy_within(used..self.end, 0);
        self.end -= used;
    }

    /// Where the next read may write; never empty, since the decoder takes in all that is longer
    /// than a request may be.
    fn space(&mut self) -> &mut [u8] {
        if self.end == self.bytes.len() {
            let larger = (self.bytes.len() * 2).min(self.max);
            self.bytes.resize(larger, 0);
        }
        &mut self.bytes[self.end..]
    }
}

/// Whether more can come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    /// The peer has shut down its writing side and waits for the answers (Exim), or is gone: what
    /// is left is a request, even without its empty line.
    ShutDown,
    /// We read no more: what is left is a piece of a request, and nothing to be answered.
    Ending,
}

/// Serves `connection` until either side ends it.
pub(super) async fn serve(connection: Arc<Connection>, worker: Arc<WorkerContext>) {
    // A peer that is gone is no news; whatever else it was, the connection is over.
    let ended = run(&connection, &worker).await;
    if let Err(error) = ended {
        tracing::debug!(target: "listen", %error, "connection broke");
    }
}

async fn run(connection: &Connection, worker: &WorkerContext) -> io::Result<()> {
    let mut decoder = Decoder::new(worker.limits());
    let mut buffer = Buffer::new(worker.limits().request_bytes_max);
    let mut replies = Vec::with_capacity(256);
    loop {
        let read = connection.stream.read(buffer.space()).await?;
        buffer.end += read;
        let now = worker.clock().now();
        let side = match read {
            0 if connection.is_ending() => Side::Ending,
            0 => Side::ShutDown,
            _ => Side::Open,
        };
        connection.is_active(now);
        loop {
            let used = batch(&mut decoder, buffer.filled(), side, now, worker, &mut replies).await;
            if used == 0 && replies.is_empty() {
                break;
            }
            buffer.consume(used);
            connection.stream.write_all(&replies).await?;
            replies.clear();
        }
        if side != Side::Open {
            return Ok(());
        }
        if decoder.is_mid_request(buffer.end) {
            connection.is_half_sent(now);
        } else if connection.is_ending() {
            return Ok(());
        } else {
            connection.is_between_requests();
        }
    }
}

/// What is owed for one request of a batch.
#[derive(Clone, Copy)]
enum Due {
    /// The answer to the next of the batch's queries.
    Answer,
    NoObjection,
}

/// Decides up to [`BATCH_MAX`] requests from the front of `bytes` and appends the replies. Returns
/// how many bytes they were; 0, with no reply, when nothing is whole.
async fn batch(
    decoder: &mut Decoder,
    bytes: &[u8],
    side: Side,
    now: Timestamp,
    worker: &WorkerContext,
    replies: &mut Vec<u8>,
) -> usize {
    let mut dues = ArrayVec::<Due, BATCH_MAX>::new();
    let mut queries = ArrayVec::<Query<'_>, BATCH_MAX>::new();
    let mut used = 0;
    while !dues.is_full() {
        let rest = &bytes[used..];
        let decoded = match side {
            Side::Open | Side::Ending => decoder.decode(rest),
            Side::ShutDown => decoder.finish(rest),
        };
        match decoded {
            Decoded::Need => break,
            Decoded::Discard { used: dropped } => used += dropped,
            Decoded::Message { used: length, request } => {
                used += length;
                dues.push(match request {
                    Request::Ask(query) => {
                        queries.push(query);
                        Due::Answer
                    }
                    Request::Pass(_) => {
                        worker.counters().event(Event::OtherStage);
                        Due::NoObjection
                    }
                    Request::Faulty(fault) => {
                        worker.counters().event(Event::Faulty);
                        worker.faults().report(&fault, now);
                        Due::NoObjection
                    }
                });
            }
        }
    }
    if !dues.is_empty() {
        reply(&queries, &dues, now, worker, replies).await;
    }
    used
}

/// Decides `queries` and appends what is due, in order.
async fn reply(
    queries: &[Query<'_>],
    dues: &[Due],
    now: Timestamp,
    worker: &WorkerContext,
    replies: &mut Vec<u8>,
) {
    let policy = worker.service().policy();
    let mut outcomes = ArrayVec::<Outcome, BATCH_MAX>::new();
    worker.service().answer(&policy, now, queries, &mut outcomes).await;
    worker.note(&policy, now, queries, &outcomes);
    let mut answered = queries.iter().zip(&outcomes);
    for due in dues {
        match due {
            Due::NoObjection => postfix::encode_no_objection(replies),
            Due::Answer => match answered.next() {
                Some((query, outcome)) => {
                    postfix::encode(outcome.effect, query, &policy.replies, replies);
                }
                None => postfix::encode_no_objection(replies),
            },
        }
    }
}
