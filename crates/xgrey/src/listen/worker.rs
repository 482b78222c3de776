//! The workers: a thread each, with a loop and counters of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use mio::Waker;
use wire::Limits;

use super::connections::Connections;
use super::socket::Accepted;
use super::turn::{Orders, TurnLoop};
use crate::clock::Clock;
use crate::decision_log::DecisionLog;
use crate::dialogue::Terms;
use crate::fault_log::FaultLog;
use crate::metrics::{Counters, Event, Metrics};
use crate::service::Service;

/// Connections on their way to one worker. A worker takes them in microseconds; more waiting than
/// this means that it is stuck.
const ARRIVALS: usize = 1_024;

/// A connection on its way to its worker.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: Accepted,
    pub(super) terms: Terms,
}

/// What a worker works with.
#[derive(Debug)]
pub struct WorkerContext {
    /// Which worker: its place in the metrics.
    pub number: usize,
    /// Asked for every decision.
    pub service: Arc<Service>,
    /// All workers' counters.
    pub metrics: Arc<Metrics>,
    /// The service's time.
    pub clock: Clock,
    /// How long a request may be.
    pub limits: Limits,
    /// This worker's log of decisions.
    pub decisions: DecisionLog,
    /// Told of requests that make no sense.
    pub faults: Arc<FaultLog>,
}

impl WorkerContext {
    pub(super) fn counters(&self) -> &Counters {
        self.metrics.worker(self.number)
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
    arrivals: SyncSender<Arrival>,
    /// Connections that it serves, or that are on their way to it.
    load: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: JoinHandle<()>,
}

impl Pool {
    /// Starts one thread for each of `contexts`.
    ///
    /// # Errors
    /// When the kernel gives no thread or no epoll.
    pub fn start(contexts: Vec<WorkerContext>, connections: Arc<Connections>) -> io::Result<Self> {
        let start = |context| Worker::start(context, Arc::clone(&connections));
        let workers = contexts.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers, connections })
    }

    /// The open connections of all workers.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Gives a new connection to the worker that has the fewest, or to the next if that one
    /// doesn't take it.
    pub(super) fn hand_over(&self, mut arrival: Arrival, metrics: &Metrics) {
        let mut workers: Vec<&Worker> = self.workers.iter().collect();
        workers.sort_by_key(|worker| worker.load.load(Relaxed));
        for worker in workers {
            match worker.take(arrival) {
                Ok(()) => return,
                Err(refused) => arrival = refused,
            }
        }
        metrics.outside().event(Event::TooMany);
    }

    /// Ends the workers; connections still open are cut.
    pub fn stop(self) {
        for worker in &self.workers {
            worker.stop.store(true, Relaxed);
            let _ = worker.waker.wake();
        }
        for worker in self.workers {
            if worker.thread.join().is_err() {
                tracing::error!(target: "listen", "a worker had panicked");
            }
        }
    }
}

impl Worker {
    fn start(context: WorkerContext, connections: Arc<Connections>) -> io::Result<Self> {
        let (arrivals, queue) = sync_channel(ARRIVALS);
        let load = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let number = context.number;
        let orders = Orders { arrivals: queue, load: Arc::clone(&load), stop: Arc::clone(&stop) };
        let (turns, waker) = TurnLoop::new(context, connections, orders)?;
        let thread = std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || turns.run())?;
        Ok(Self { arrivals, load, stop, waker, thread })
    }

    /// Takes a connection, unless its queue is full or it has died.
    fn take(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.load.fetch_add(1, Relaxed);
        match self.arrivals.try_send(arrival) {
            Ok(()) => {
                if let Err(error) = self.waker.wake() {
                    tracing::error!(target: "listen", %error, "could not wake a worker");
                }
                Ok(())
            }
            Err(TrySendError::Full(refused) | TrySendError::Disconnected(refused)) => {
                self.load.fetch_sub(1, Relaxed);
                Err(refused)
            }
        }
    }
}
