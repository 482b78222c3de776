//! The workers: a thread each, with a runtime and counters of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;

use greylist::{Query, Timestamp};
use tokio::sync::mpsc;
use wire::Limits;

use super::connections::{Admission, Connections};
use super::socket::{StdStream, Stream};
use super::stream;
use crate::clock::Clock;
use crate::decision_log::DecisionLog;
use crate::fault_log::FaultLog;
use crate::metrics::{Counters, Event, Metrics};
use crate::service::{Outcome, Policy, Service};

/// Connections on their way to one worker. A worker takes them in microseconds; more waiting than
/// this means that it is stuck.
const ARRIVALS: usize = 1_024;

/// All that a worker's connections share.
#[derive(Debug)]
pub struct WorkerContext {
    number: usize,
    service: Arc<Service>,
    metrics: Arc<Metrics>,
    clock: Clock,
    limits: Limits,
    decisions: DecisionLog,
    faults: Arc<FaultLog>,
}

impl WorkerContext {
    /// For worker number `number`.
    pub fn new(
        number: usize,
        service: Arc<Service>,
        metrics: Arc<Metrics>,
        clock: Clock,
        limits: Limits,
        decisions: DecisionLog,
        faults: Arc<FaultLog>,
    ) -> Self {
        Self { number, service, metrics, clock, limits, decisions, faults }
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn faults(&self) -> &FaultLog {
        &self.faults
    }

    pub(super) fn counters(&self) -> &Counters {
        self.metrics.worker(self.number)
    }

    /// Counts and logs what came of a batch.
    pub(super) fn note(
        &self,
        policy: &Policy,
        now: Timestamp,
        queries: &[Query<'_>],
        outcomes: &[Outcome],
    ) {
        for outcome in outcomes {
            self.counters().answer(&outcome.answer);
        }
        self.decisions.write(policy, now, queries, outcomes);
    }
}

/// The workers, as the acceptor sees them.
#[derive(Debug)]
pub struct Pool {
    workers: Vec<Worker>,
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Worker {
    arrivals: mpsc::Sender<StdStream>,
    /// Connections that it serves, or that are on their way to it.
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Pool {
    /// Starts one thread for each of `contexts`.
    ///
    /// # Errors
    /// When the kernel gives no thread or no epoll.
    pub fn start(
        contexts: Vec<Arc<WorkerContext>>,
        connections: Arc<Connections>,
    ) -> io::Result<Self> {
        let start = |context| Worker::start(context, Arc::clone(&connections));
        let workers = contexts.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, connections })
    }

    /// The open connections of all workers.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Gives a new connection to the worker that has the fewest.
    pub(super) fn hand_over(&self, stream: Stream, metrics: &Metrics) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load.load(Relaxed))
        else {
            return;
        };
        let Ok(stream) = stream.into_std() else { return };
        worker.load.fetch_add(1, Relaxed);
        if worker.arrivals.try_send(stream).is_err() {
            worker.load.fetch_sub(1, Relaxed);
            metrics.outside().event(Event::TooMany);
        }
    }

    /// Ends the workers; connections still open are cut.
    pub fn stop(self) {
        for worker in self.workers {
            drop(worker.arrivals);
            if worker.thread.join().is_err() {
                tracing::error!(target: "listen", "a worker had panicked");
            }
        }
    }
}

impl Worker {
    fn start(context: Arc<WorkerContext>, connections: Arc<Connections>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (arrivals, mut queue) = mpsc::channel::<StdStream>(ARRIVALS);
        let load = Arc::new(AtomicUsize::new(0));
        let shared_load = Arc::clone(&load);
        let thread = std::thread::Builder::new().name(format!("worker-{}", context.number)).spawn(
            move || {
                runtime.block_on(async {
                    let log = Arc::clone(&context);
                    let flusher = tokio::spawn(async move { log.decisions.flush_when_due().await });
                    while let Some(stream) = queue.recv().await {
                        let connection = Served {
                            load: Arc::clone(&shared_load),
                            connections: Arc::clone(&connections),
                        };
                        connection.begin(stream, Arc::clone(&context));
                    }
                    flusher.abort();
                });
                context.decisions.flush();
            },
        )?;
        Ok(Self { arrivals, load, thread })
    }
}

/// A place in a worker's load, held as long as the connection lives, and given back however its
/// task ends.
struct Served {
    load: Arc<AtomicUsize>,
    connections: Arc<Connections>,
}

impl Served {
    fn begin(self, stream: StdStream, context: Arc<WorkerContext>) {
        let Ok(stream) = stream.into_stream() else { return };
        let now = context.clock.now();
        match self.connections.admit(stream, now, context.counters()) {
            Admission::Refused => {}
            Admission::Admitted(connection) => {
                tokio::spawn(async move {
                    stream::serve(Arc::clone(&connection), Arc::clone(&context)).await;
                    self.connections.remove(&connection, context.counters());
                    drop(self);
                });
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
    }
}
