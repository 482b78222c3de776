//! The listeners that run, and how a reload replaces them: an address that both configurations
//! have goes on listening, and the new ones are bound before any old one is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;

use super::http::{self, BoundHttp};
use super::x_grey::{self, BoundXGrey, RunningXGrey};
use crate::config::{Config, HttpListener, ListenAddress, Listener, XGreyListener};
use crate::http::Server;
use crate::listen::{self, BindError, Pool, Socket};
use crate::metrics::Metrics;

/// The running listeners.
pub(super) struct Listeners {
    running: Vec<Running>,
    x_grey: Vec<RunningXGrey>,
    http: Vec<Server>,
    pool: Arc<Pool>,
    metrics: Arc<Metrics>,
    parts: x_grey::Parts,
    http_parts: http::Parts,
}

/// Where to listen.
pub(super) struct Wanted {
    streams: Vec<Listener>,
    x_grey: Vec<XGreyListener>,
    http: Vec<HttpListener>,
}

impl Wanted {
    /// Where `config` says.
    pub(super) fn by(config: &Config) -> Self {
        let Config { listeners, x_grey, http, .. } = config;
        Self { streams: listeners.clone(), x_grey: x_grey.clone(), http: http.clone() }
    }
}

struct Running {
    /// Who may connect, and what is spoken with them; a reload changes it under the acceptor.
    listener: Arc<ArcSwap<Listener>>,
    acceptor: JoinHandle<()>,
}

impl Listeners {
    pub(super) fn new(
        pool: Arc<Pool>,
        metrics: Arc<Metrics>,
        parts: x_grey::Parts,
        http_parts: http::Parts,
    ) -> Self {
        let (running, x_grey, http) = (Vec::new(), Vec::new(), Vec::new());
        Self { running, x_grey, http, pool, metrics, parts, http_parts }
    }

    /// What all listeners for HTTP have in common.
    pub(super) fn http_parts(&mut self) -> &mut http::Parts {
        &mut self.http_parts
    }

    /// Makes what is `wanted` the listeners.
    ///
    /// # Errors
    /// When one of them can't be bound; then the old ones listen as before.
    pub(super) async fn replace(&mut self, wanted: &Wanted) -> Result<(), BindError> {
        let Wanted { streams: wanted, x_grey, http } = wanted;
        let is_new =
            |listener: &&XGreyListener| !self.x_grey.iter().any(|running| running.is_at(listener));
        let bind = |listener| BoundXGrey::bind(listener, &self.parts);
        let bound_x_grey = x_grey.iter().filter(is_new).map(bind).collect::<Result<Vec<_>, _>>()?;
        let bound_http = self.bind_http(http)?;
        let mut bound = Vec::new();
        for listener in wanted {
            match self.running.iter().find(|running| running.is_at(&listener.address)) {
                Some(running) if running.listener.load().address == listener.address => {}
                Some(_) => Socket::set_access(&listener.address)?,
                None => bound.push((listener, Socket::bind(&listener.address)?)),
            }
        }
        // They are for whom the new configuration says, a moment before that is in force.
        let run = |bound: BoundXGrey| bound.run(&self.parts);
        let new_x_grey = bound_x_grey.into_iter().map(run).collect::<Result<Vec<_>, _>>()?;
        let run = |bound: BoundHttp| bound.run(&self.http_parts);
        let new_http = bound_http.into_iter().map(run).collect::<Result<Vec<_>, _>>()?;
        // From here on nothing fails.
        self.running.retain(|running| {
            match wanted.iter().find(|listener| running.is_at(&listener.address)) {
                Some(listener) => {
                    running.listener.store(Arc::new(listener.clone()));
                    true
                }
                None => {
                    running.acceptor.abort();
                    false
                }
            }
        });
        for (listener, socket) in bound {
            let listener = Arc::new(ArcSwap::from_pointee(listener.clone()));
            let acceptor = tokio::spawn(listen::accept(
                socket,
                Arc::clone(&listener),
                Arc::clone(&self.pool),
                Arc::clone(&self.metrics),
            ));
            self.running.push(Running { listener, acceptor });
        }
        let mut old = Vec::new();
        for running in std::mem::take(&mut self.x_grey) {
            match x_grey.iter().find(|listener| running.is_at(listener)) {
                Some(listener) => {
                    running.adopt(listener);
                    self.x_grey.push(running);
                }
                None => old.push(running),
            }
        }
        self.x_grey.extend(new_x_grey);
        for running in old {
            running.stop().await;
        }
        self.adopt_http(http, new_http).await;
        let streams = wanted.iter().map(|listener| listener.protocol.to_string());
        let others = [("x-grey", x_grey.len()), ("http", http.len())];
        let others = others.map(|(word, count)| std::iter::repeat_n(word.to_owned(), count));
        self.metrics.set_listeners(streams.chain(others.into_iter().flatten()));
        Ok(())
    }

    /// Binds what is wanted and does not run yet.
    fn bind_http(&self, wanted: &[HttpListener]) -> Result<Vec<BoundHttp>, BindError> {
        let mut bound = Vec::new();
        for listener in wanted {
            match self.http.iter().find(|running| http::is_at(running, &listener.address)) {
                Some(running) if running.address() == listener.address => {}
                Some(_) => Socket::set_access(&listener.address)?,
                None => bound.push(BoundHttp::bind(listener)?),
            }
        }
        Ok(bound)
    }

    /// Tells those that go on, starts with the new ones, ends the others.
    async fn adopt_http(&mut self, wanted: &[HttpListener], new: Vec<Server>) {
        let mut old = Vec::new();
        for running in std::mem::take(&mut self.http) {
            match wanted.iter().find(|listener| http::is_at(&running, &listener.address)) {
                Some(listener) => {
                    running.adopt(listener);
                    self.http.push(running);
                }
                None => old.push(running),
            }
        }
        self.http.extend(new);
        for running in old {
            running.stop(self.http_parts.drain).await;
        }
    }

    /// Stops accepting; what datagrams have come are answered.
    pub(super) async fn stop(self) {
        for running in self.running {
            running.acceptor.abort();
            // Aborted: the error says so. What matters is that its socket is closed now.
            let _ = running.acceptor.await;
        }
        for running in self.x_grey {
            running.stop().await;
        }
        self.http_parts.shared.is_stopping.store(true, Relaxed);
        for running in self.http {
            running.stop(self.http_parts.drain).await;
        }
    }
}

impl Running {
    /// Whether this listens where `address` wants to, whatever mode and owner it wants.
    fn is_at(&self, address: &ListenAddress) -> bool {
        http::same_place(&self.listener.load().address, address)
    }
}
