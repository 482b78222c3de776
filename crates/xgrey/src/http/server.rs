//! One HTTP listener: a task that accepts, and threads that serve, each with a runtime of its own, so that
//! a connection's whole life is on one core and nothing that HTTP does holds up other front ends.
//!
//! ```text
//!  acceptor ─ allow? ─ room? ─▶ the thread with the fewest ─▶ hyper ─▶ axum (routes) ─▶ FrontEnd
//! ```
//! Never knows: paths, JSON, what is decided.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::front_end::FrontEnd;
use super::places::{Place, Places};
use super::routes::{Desk, Guarded, Shared};
use crate::config::{HttpListener, ListenAddress};
use crate::listen::{Accepted, Socket, is_allowed};
use crate::metrics::{Event, Metrics};

/// Connections on their way to one thread.
const ARRIVALS: usize = 256;

/// What hyper may keep of a request before its body, in bytes: line and headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long to wait after the kernel could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener is made of.
#[derive(Debug)]
pub struct Parts {
    /// What all listeners share.
    pub shared: Arc<Shared>,
    /// How many connections there may be, of all listeners.
    pub places: Arc<Places>,
    /// All counters.
    pub metrics: Arc<Metrics>,
    /// One for each thread.
    pub front_ends: Vec<FrontEnd>,
}

/// A listener that runs.
#[derive(Debug)]
pub struct Server {
    listener: Arc<ArcSwap<HttpListener>>,
    acceptor: tokio::task::JoinHandle<()>,
    stop: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

/// A thread, as the acceptor sees it.
struct Thread {
    arrivals: mpsc::Sender<(Accepted, Place)>,
    /// Connections that it serves, or that are on their way to it.
    load: Arc<AtomicUsize>,
}

impl Server {
    /// Serves what connects to `socket`. Must be called inside a runtime.
    ///
    /// # Errors
    /// When the kernel gives no thread or no epoll.
    pub fn start(socket: Socket, wanted: HttpListener, parts: Parts) -> io::Result<Self> {
        let Parts { shared, places, metrics, front_ends } = parts;
        let listener = Arc::new(ArcSwap::from_pointee(wanted));
        let stop = watch::Sender::new(None);
        let (mut threads, mut joins) = (Vec::new(), Vec::new());
        for (number, front_end) in front_ends.into_iter().enumerate() {
            let desk = Desk::new(front_end, Arc::clone(&listener), Arc::clone(&shared));
            let (arrivals, queue) = mpsc::channel(ARRIVALS);
            let load = Arc::new(AtomicUsize::new(0));
            threads.push(Thread { arrivals, load: Arc::clone(&load) });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let stop = stop.subscribe();
            let join =
                std::thread::Builder::new().name(format!("http-{number}")).spawn(move || {
                    runtime.block_on(serve(Arc::new(desk), queue, &load, stop));
                    // A look at the metrics that nobody waits for any more.
                    runtime.shutdown_background();
                })?;
            joins.push(join);
        }
        let allow = Arc::clone(&listener);
        let acceptor = tokio::spawn(accept(socket, allow, threads, places, metrics));
        Ok(Self { listener, acceptor, stop, threads: joins })
    }

    /// Where it is.
    pub fn address(&self) -> ListenAddress {
        self.listener.load().address.clone()
    }

    /// From the next request on it is for whom `wanted` says.
    pub fn adopt(&self, wanted: &HttpListener) {
        self.listener.store(Arc::new(wanted.clone()));
    }

    /// Accepts no more, answers what has come, and ends, at the latest after `drain`.
    pub async fn stop(self, drain: Duration) {
        self.acceptor.abort();
        // Aborted: the error says so. What matters is that its socket is closed now.
        let _ = self.acceptor.await;
        self.stop.send_replace(Some(drain));
        let threads = self.threads;
        let join = move || threads.into_iter().try_for_each(JoinHandle::join);
        if !matches!(tokio::task::spawn_blocking(join).await, Ok(Ok(()))) {
            tracing::error!(target: "listen", "a thread for HTTP had panicked");
        }
    }
}

/// Accepts for ever; ends only by being aborted.
async fn accept(
    socket: Socket,
    listener: Arc<ArcSwap<HttpListener>>,
    threads: Vec<Thread>,
    places: Arc<Places>,
    metrics: Arc<Metrics>,
) {
    loop {
        let accepted = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(target: "listen", %error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Accepted::Tcp(_, peer) = &accepted
            && !is_allowed(*peer, &listener.load().allow)
        {
            metrics.outside().event(Event::NotAllowed);
            tracing::debug!(target: "listen", %peer, "not in allow; closed");
            continue;
        }
        let fewest = threads.iter().min_by_key(|thread| thread.load.load(Relaxed));
        let (Some(place), Some(thread)) = (places.take(), fewest) else {
            metrics.outside().event(Event::TooMany);
            continue;
        };
        thread.load.fetch_add(1, Relaxed);
        if thread.arrivals.try_send((accepted, place)).is_err() {
            thread.load.fetch_sub(1, Relaxed);
            metrics.outside().event(Event::TooMany);
        }
    }
}

/// One thread's life: until it is told to stop, and then as long as its connections take.
async fn serve(
    desk: Arc<Desk>,
    mut arrivals: mpsc::Receiver<(Accepted, Place)>,
    load: &AtomicUsize,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let guarded = Guarded::new(Arc::clone(&desk));
    let working = {
        let desk = Arc::clone(&desk);
        tokio::spawn(async move { desk.work().await })
    };
    let front_end = desk.front_end();
    let mut open = JoinSet::new();
    let drain = loop {
        tokio::select! {
            Some((accepted, place)) = arrivals.recv() => {
                let talk = talk(accepted, guarded.clone(), Arc::clone(desk.shared()), stop.clone());
                front_end.event(Event::Connected);
                open.spawn(async move {
                    let _place = place;
                    talk.await;
                });
            }
            Some(_) = open.join_next() => {
                load.fetch_sub(1, Relaxed);
                front_end.event(Event::Disconnected);
            }
            changed = stop.changed() => match (changed, *stop.borrow()) {
                (Ok(()), Some(drain)) => break drain,
                (Ok(()), None) => {}
                // Whoever could tell is gone.
                (Err(_), _) => break Duration::ZERO,
            },
        }
    };
    let drained = async {
        while open.join_next().await.is_some() {
            front_end.event(Event::Disconnected);
        }
    };
    if tokio::time::timeout(drain, drained).await.is_err() {
        tracing::warn!(target: "listen", left = open.len(), "connections over HTTP were cut");
    }
    working.abort();
    front_end.flush_log();
}

async fn talk(
    accepted: Accepted,
    guarded: Guarded,
    shared: Arc<Shared>,
    stop: watch::Receiver<Option<Duration>>,
) {
    match accepted {
        Accepted::Tcp(stream, _) => {
            // Whoever does not read what it asked for is left.
            let patience = u32::try_from(shared.request_timeout().as_millis()).unwrap_or(u32::MAX);
            let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, patience);
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                converse(stream, guarded, &shared, stop).await;
            }
        }
        Accepted::Unix(stream) => {
            if let Ok(stream) = tokio::net::UnixStream::from_std(stream) {
                converse(stream, guarded, &shared, stop).await;
            }
        }
    }
}

/// Requests and answers over one connection, until either side has enough.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    guarded: Guarded,
    shared: &Shared,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Counts from the end of the answer before: so it is for idle connections as well.
        .header_read_timeout(shared.request_timeout())
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return told(ended),
        // An error means that the server is gone, which ends this as well.
        _ = stop.wait_for(Option::is_some) => {}
    }
    connection.as_mut().graceful_shutdown();
    told(connection.await);
}

/// Clients come and go as they like: for the curious alone.
fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(target: "listen", %error, "a connection over HTTP broke");
    }
}
