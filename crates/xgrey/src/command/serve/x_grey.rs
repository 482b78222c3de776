//! The listeners for X-Grey's clients: bound, run, changed by a reload, ended.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::XGreyListener;
use crate::decision_log::{DecisionLog, Destination};
use crate::fault_log::FaultLog;
use crate::listen::{BindError, Datagrams, Port, Room};
use crate::metrics::Metrics;
use crate::service::Service;
use crate::xgrey_v1::{self, FrontEnd, Pending, Reports};

/// What all such listeners are made of.
pub(super) struct Parts {
    pub(super) service: Arc<Service>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    pub(super) decisions: Destination,
    pub(super) faults: Arc<FaultLog>,
    /// Threads of each listener, and its sockets.
    pub(super) threads: usize,
}

/// One that has its port; nobody reads from that yet.
pub(super) struct BoundXGrey {
    wanted: XGreyListener,
    port: Port,
    /// What accepts connections for reports.
    socket: tokio::net::TcpListener,
}

/// One that runs.
pub(super) struct RunningXGrey {
    listener: Arc<ArcSwap<XGreyListener>>,
    datagrams: Datagrams,
    /// One task, which ends with this.
    reports: JoinSet<()>,
}

impl BoundXGrey {
    /// Binds it. Must be called inside a runtime.
    ///
    /// # Errors
    /// When another process has the port, or the kernel refuses.
    pub(super) fn bind(wanted: &XGreyListener, parts: &Parts) -> Result<Self, BindError> {
        let port = Port::bind(wanted.address, parts.threads)?;
        if port.room() != Room::Enough {
            tracing::warn!(target: "listen", "{}: {}", port.address(), port.room());
        }
        let address = port.address();
        let socket = port.reports().and_then(tokio::net::TcpListener::from_std);
        let socket =
            socket.map_err(|error| BindError::Io { address: address.to_string(), error })?;
        Ok(Self { wanted: wanted.clone(), port, socket })
    }

    /// Serves it. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub(super) fn run(self, parts: &Parts) -> Result<RunningXGrey, BindError> {
        let Self { wanted, port, socket } = self;
        let address = port.address();
        let listener = Arc::new(ArcSwap::from_pointee(wanted));
        let pending = Arc::new(Pending::default());
        let front_end = |thread| {
            FrontEnd::new(xgrey_v1::Parts {
                // Behind those of the workers for connections.
                number: parts.threads + thread,
                service: Arc::clone(&parts.service),
                metrics: Arc::clone(&parts.metrics),
                decisions: DecisionLog::new(parts.decisions.clone()),
                listener: Arc::clone(&listener),
                pending: Arc::clone(&pending),
                faults: Arc::clone(&parts.faults),
            })
        };
        let front_ends = (0..parts.threads).map(front_end).collect();
        let datagrams = Datagrams::start(port, front_ends, parts.clock)
            .map_err(|error| BindError::Io { address: address.to_string(), error })?;
        let reports = Reports {
            service: Arc::clone(&parts.service),
            metrics: Arc::clone(&parts.metrics),
            clock: parts.clock,
            listener: Arc::clone(&listener),
            pending,
        };
        let reports = JoinSet::from_iter([reports.accept(socket)]);
        Ok(RunningXGrey { listener, datagrams, reports })
    }
}

impl RunningXGrey {
    /// Whether it is where `wanted` wants to be.
    pub(super) fn is_at(&self, wanted: &XGreyListener) -> bool {
        self.listener.load().address == wanted.address
    }

    /// From the next batch on it is for whom `wanted` says.
    pub(super) fn adopt(&self, wanted: &XGreyListener) {
        self.listener.store(Arc::new(wanted.clone()));
    }

    /// Answers what has come, and ends.
    pub(super) async fn stop(mut self) {
        self.reports.shutdown().await;
        let datagrams = self.datagrams;
        if tokio::task::spawn_blocking(move || drop(datagrams)).await.is_err() {
            tracing::error!(target: "listen", "could not wait for the threads for datagrams");
        }
    }
}
