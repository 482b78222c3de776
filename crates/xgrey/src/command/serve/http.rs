//! The listeners for HTTP: bound, run, changed by a reload, ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::{HttpListener, Limits, ListenAddress};
use crate::decision_log::{DecisionLog, Destination};
use crate::fault_log::FaultLog;
use crate::http::{self, FrontEnd, FrontEndParts, Remembered, Server, Shared, Sources};
use crate::listen::{BindError, Socket};
use crate::metrics::Metrics;
use crate::service::Service;

/// What all such listeners are made of.
pub(super) struct Parts {
    pub(super) service: Arc<Service>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) decisions: Destination,
    pub(super) faults: Arc<FaultLog>,
    /// Threads of each listener.
    pub(super) threads: usize,
    /// The first thread's place in the metrics.
    pub(super) first_number: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) drain: Duration,
}

/// What all threads of all such listeners share.
pub(super) fn shared(request_timeout: Duration, sources: Sources) -> Arc<Shared> {
    Arc::new(Shared {
        is_stopping: AtomicBool::new(false),
        request_timeout_ms: AtomicU64::new(millis(request_timeout)),
        sources,
        remembered: Remembered::default(),
        looks: Semaphore::new(1),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Parts {
    /// What a reload changes for all of them.
    pub(super) fn adopt(&mut self, limits: &Limits, connections: usize) {
        self.shared.request_timeout_ms.store(millis(limits.request_timeout), Relaxed);
        self.shared.sources.places.set_max(connections);
        self.drain = limits.drain_timeout;
    }
}

/// One that has its address; nobody reads from that yet.
pub(super) struct BoundHttp {
    wanted: HttpListener,
    socket: Socket,
}

impl BoundHttp {
    /// Binds it. Must be called inside a runtime.
    ///
    /// # Errors
    /// When another process has the address, or the kernel refuses.
    pub(super) fn bind(wanted: &HttpListener) -> Result<Self, BindError> {
        Ok(Self { wanted: wanted.clone(), socket: Socket::bind(&wanted.address)? })
    }

    /// Serves it. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub(super) fn run(self, parts: &Parts) -> Result<Server, BindError> {
        let Self { wanted, socket } = self;
        let address = wanted.address.to_string();
        let front_end = |thread| {
            FrontEnd::new(FrontEndParts {
                service: Arc::clone(&parts.service),
                metrics: Arc::clone(&parts.metrics),
                number: parts.first_number + thread,
                clock: parts.clock,
                decisions: DecisionLog::new(parts.decisions.clone()),
                faults: Arc::clone(&parts.faults),
            })
        };
        let made_of = http::Parts {
            shared: Arc::clone(&parts.shared),
            places: Arc::clone(&parts.shared.sources.places),
            metrics: Arc::clone(&parts.metrics),
            front_ends: (0..parts.threads).map(front_end).collect(),
        };
        Server::start(socket, wanted, made_of).map_err(|error| BindError::Io { address, error })
    }
}

/// Whether a server is where `wanted` wants to be, whatever mode and owner it wants.
pub(super) fn is_at(server: &Server, wanted: &ListenAddress) -> bool {
    same_place(&server.address(), wanted)
}

/// Whether two addresses are the same place.
pub(super) fn same_place(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Tcp(one), ListenAddress::Tcp(other)) => one == other,
        (ListenAddress::Unix { path: one, .. }, ListenAddress::Unix { path: other, .. }) => {
            one == other
        }
        _ => false,
    }
}
