//! Requests that are ready at the same time make one batch for the service: one write to the journal for all of
//! them. And their answers leave together, which spares a client that waits for several of them to be woken for each.
//!
//! A request is put down by its connection's task; the runtime comes to the task that answers after all tasks that
//! are ready now, so nobody waits for a batch to fill.

use axum::body::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::check::Asked;
use super::front_end::FrontEnd;
use super::mistake::Mistake;
use crate::metrics::Front;

/// Requests in one batch; when more are ready, the rest makes the next.
const REQUESTS_MAX: usize = 64;
/// About as long as an answer is, in bytes.
const ANSWER_BYTES: usize = 160;

/// Requests that wait to be answered. One connection has one at most.
#[derive(Debug, Default)]
pub(super) struct Batches {
    waiting: Mutex<Vec<Job>>,
    is_some: Notify,
}

#[derive(Debug)]
struct Job {
    body: Bytes,
    answer: oneshot::Sender<Result<Vec<u8>, Mistake>>,
}

impl Batches {
    /// The answer to the questions in a body. `None` when nobody answers any more.
    ///
    /// # Errors
    /// What is wrong with the body, and where.
    pub(super) async fn ask(&self, body: Bytes) -> Option<Result<Vec<u8>, Mistake>> {
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().push(Job { body, answer });
        self.is_some.notify_one();
        answered.await.ok()
    }

    /// Answers whatever comes. Never ends.
    pub(super) async fn answer(&self, front_end: &FrontEnd) {
        let mut jobs = Vec::new();
        loop {
            self.is_some.notified().await;
            std::mem::swap(&mut jobs, &mut *self.waiting.lock());
            while !jobs.is_empty() {
                let batch = jobs.drain(..jobs.len().min(REQUESTS_MAX)).collect();
                answer_batch(front_end, batch);
            }
        }
    }
}

fn answer_batch(front_end: &FrontEnd, jobs: Vec<Job>) {
    let asked: Vec<_> = jobs.iter().map(|job| Asked::parse(&job.body)).collect();
    let queries: Vec<_> = asked.iter().flatten().flat_map(Asked::queries).collect();
    let mut answers = Vec::with_capacity(jobs.len());
    let now = front_end.now();
    front_end.decide(Front::Http, now, &queries, |policy, outcomes| {
        let mut rest = (&queries[..], outcomes);
        answers.extend(asked.iter().map(|asked| {
            let asked = asked.as_ref().map_err(Clone::clone)?;
            let (queries, queries_left) = rest.0.split_at(asked.len());
            let (outcomes, outcomes_left) = rest.1.split_at(asked.len());
            rest = (queries_left, outcomes_left);
            let mut answer = Vec::with_capacity(ANSWER_BYTES * queries.len());
            asked.encode(policy, queries, outcomes, &mut answer);
            Ok(answer)
        }));
    });
    drop(queries);
    drop(asked);
    for (job, answer) in jobs.into_iter().zip(answers) {
        // Whoever has gone away meanwhile does not want it.
        let _ = job.answer.send(answer);
    }
}
