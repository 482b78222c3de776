//! One thread's way to the service: batches of questions in, outcomes out, counted and logged.
//!
//! Never knows: JSON, sockets.

use std::sync::Arc;

use greylist::{Query, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::decision_log::DecisionLog;
use crate::fault_log::FaultLog;
use crate::metrics::{Counters, Event, Front, Metrics};
use crate::service::{Outcome, Policy, Scratch, Service, wait_for};

/// What one thread asks the service with.
#[derive(Debug)]
pub struct FrontEnd {
    service: Arc<Service>,
    metrics: Arc<Metrics>,
    /// Which thread: its place in the metrics.
    number: usize,
    clock: Clock,
    faults: Arc<FaultLog>,
    /// Taken by this thread alone, and never while it waits.
    kept: Mutex<Kept>,
    /// Told when lines wait in the log of decisions.
    logged: Notify,
}

/// What is kept from one batch to the next.
#[derive(Debug)]
struct Kept {
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    decisions: DecisionLog,
}

/// What a [`FrontEnd`] is made of.
#[derive(Debug)]
pub struct FrontEndParts {
    /// Asked for everything.
    pub service: Arc<Service>,
    /// All threads' counters.
    pub metrics: Arc<Metrics>,
    /// Which thread: its place in the metrics.
    pub number: usize,
    /// The service's time.
    pub clock: Clock,
    /// This thread's log of decisions.
    pub decisions: DecisionLog,
    /// Told of requests that make no sense.
    pub faults: Arc<FaultLog>,
}

impl FrontEnd {
    /// A front end made of `parts`.
    pub fn new(parts: FrontEndParts) -> Self {
        let FrontEndParts { service, metrics, number, clock, decisions, faults } = parts;
        let kept = Kept { scratch: Scratch::default(), outcomes: Vec::new(), decisions };
        let (kept, logged) = (Mutex::new(kept), Notify::new());
        Self { service, metrics, number, clock, faults, kept, logged }
    }

    /// The service.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// All counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The service's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Decides `queries` as one batch; `tell` is given what came of them, and the policy that it came by.
    pub fn decide<T>(
        &self,
        front: Front,
        now: Timestamp,
        queries: &[Query<'_>],
        tell: impl FnOnce(&Policy, &[Outcome]) -> T,
    ) -> T {
        if queries.is_empty() {
            return tell(&self.service.policy(), &[]);
        }
        self.service.rules_in_force(now);
        let policy = self.service.policy();
        let Kept { scratch, outcomes, decisions } = &mut *self.kept.lock();
        wait_for(self.service.answer(&policy, now, queries, scratch, outcomes));
        let counters = self.counters();
        counters.outcomes(now, outcomes);
        counters.asked(front, queries.len() as u64);
        decisions.write(&policy, now, queries, outcomes);
        if !decisions.is_empty() {
            self.logged.notify_one();
        }
        tell(&policy, outcomes)
    }

    /// Counts a request that could not be understood, and says so now and then.
    pub fn is_faulty(&self, path: &str, what: &dyn std::fmt::Display) {
        self.counters().event(Event::Faulty);
        self.faults.report_http(path, what, self.now());
    }

    /// Counts an event.
    pub fn event(&self, event: Event) {
        self.counters().event(event);
    }

    /// Hands over the lines of the log of decisions whenever there are some, after all that is ready has
    /// been answered. Never ends.
    pub async fn hand_over_log(&self) {
        loop {
            self.logged.notified().await;
            tokio::task::yield_now().await;
            self.flush_log();
        }
    }

    /// Hands over what waits in the log of decisions.
    pub fn flush_log(&self) {
        self.kept.lock().decisions.flush();
    }

    fn counters(&self) -> &Counters {
        self.metrics.worker(self.number)
    }
}
