//! The listeners that run, and how a reload replaces them: an address that both configurations
//! have goes on listening, and the new ones are bound before any old one is closed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::task::JoinHandle;

use crate::config::{ListenAddress, Listener};
use crate::listen::{self, BindError, Pool, Socket};
use crate::metrics::Metrics;

/// The running listeners.
pub(super) struct Listeners {
    running: Vec<Running>,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
}

struct Running {
    address: ListenAddress,
    /// Who may connect; a reload changes it under the acceptor.
    allow: Arc<ArcSwap<Vec<IpNet>>>,
    acceptor: JoinHandle<()>,
}

impl Listeners {
    pub(super) fn new(pool: Arc<Pool>, metrics: Arc<Metrics>) -> Self {
        Self { running: Vec::new(), pool, metrics }
    }

    /// Makes `wanted` the listeners. Must be called inside a runtime.
    ///
    /// # Errors
    /// When one of them can't be bound; then the old ones listen as before.
    pub(super) fn replace(&mut self, wanted: &[Listener]) -> Result<(), BindError> {
        let mut bound = Vec::new();
        for listener in wanted {
            match self.running.iter().find(|running| running.is_at(&listener.address)) {
                Some(running) if running.address == listener.address => {}
                Some(_) => Socket::set_access(&listener.address)?,
                None => bound.push((listener, Socket::bind(&listener.address)?)),
            }
        }
        // From here on nothing fails.
        self.running.retain_mut(|running| {
            match wanted.iter().find(|listener| running.is_at(&listener.address)) {
                Some(listener) => {
                    running.address = listener.address.clone();
                    running.allow.store(Arc::new(listener.allow.clone()));
                    true
                }
                None => {
                    running.acceptor.abort();
                    false
                }
            }
        });
        for (listener, socket) in bound {
            let allow = Arc::new(ArcSwap::from_pointee(listener.allow.clone()));
            let acceptor = tokio::spawn(listen::accept(
                socket,
                Arc::clone(&allow),
                Arc::clone(&self.pool),
                Arc::clone(&self.metrics),
            ));
            self.running.push(Running { address: listener.address.clone(), allow, acceptor });
        }
        Ok(())
    }

    /// Stops accepting.
    pub(super) async fn stop(self) {
        for running in self.running {
            running.acceptor.abort();
            // Aborted: the error says so. What matters is that its socket is closed now.
            let _ = running.acceptor.await;
        }
    }
}

impl Running {
    /// Whether this listens where `address` wants to, whatever mode and owner it wants.
    fn is_at(&self, address: &ListenAddress) -> bool {
        match (&self.address, address) {
            (ListenAddress::Tcp(ours), ListenAddress::Tcp(theirs)) => ours == theirs,
            (ListenAddress::Unix { path: ours, .. }, ListenAddress::Unix { path, .. }) => {
                ours == path
            }
            _ => false,
        }
    }
}
