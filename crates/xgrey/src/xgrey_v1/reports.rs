//! Reports over TCP: whoever connects gets the report that it has asked for over UDP, to its end.
//!
//! The original opens the port for each report anew and lets the first one in, whoever it is. This port is always
//! open, closes at once to whoever has asked for nothing, and can give several reports at a time.
//!
//! Never knows: what is in a report.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::xgrey_v1::Report;

use super::{Pending, REPORT_BYTES_MAX, write_report};
use crate::clock::Clock;
use crate::config::XGreyListener;
use crate::listen::is_allowed;
use crate::metrics::{Event, Metrics};
use crate::niceness::be_nice;
use crate::service::Service;

/// Reports that are given at once. Each may hold [`REPORT_BYTES_MAX`].
const REPORTS_MAX: usize = 4;

/// How long a client may read nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait after the kernel could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener's reports are made of.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Asked for what is in them.
    pub service: Arc<Service>,
    /// Where refused connections are counted.
    pub metrics: Arc<Metrics>,
    /// The service's time.
    pub clock: Clock,
    /// Who may connect.
    pub listener: Arc<ArcSwap<XGreyListener>>,
    /// What was asked for.
    pub pending: Arc<Pending>,
}

impl Reports {
    /// Accepts for ever; ends only by being aborted. Reports that are being given then go on.
    pub async fn accept(self, socket: TcpListener) {
        let places = Arc::new(Semaphore::new(REPORTS_MAX));
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => self.take(stream, peer, &places),
                Err(error) => {
                    tracing::warn!(target: "listen", %error, "could not accept a connection for a report");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Gives a connection its report, in a thread of its own; closes it if there is none.
    fn take(&self, stream: tokio::net::TcpStream, peer: SocketAddr, places: &Arc<Semaphore>) {
        if !is_allowed(peer.ip(), &self.listener.load().allow) {
            self.metrics.outside().event(Event::NotAllowed);
            return;
        }
        let Some(report) = self.pending.take(peer.ip(), self.clock.now()) else {
            tracing::debug!(target: "listen", %peer, "connected and had asked for no report; closed");
            return;
        };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            tracing::warn!(
                target: "listen", %peer,
                "no report for an X-Grey client: {REPORTS_MAX} others are being read"
            );
            return;
        };
        let reports = self.clone();
        let given = stream.into_std().and_then(|stream| {
            let thread = std::thread::Builder::new().name("report".to_owned());
            thread.spawn(move || reports.give(stream, peer, report, place))
        });
        if let Err(error) = given {
            tracing::warn!(target: "listen", %error, "could not begin a report");
        }
    }

    fn give(&self, stream: TcpStream, peer: SocketAddr, report: Report, place: OwnedSemaphorePermit) {
        be_nice();
        let given = self.write(&stream, report);
        if let Err(error) = given {
            tracing::debug!(target: "listen", %peer, %error, "a report was not read to its end");
        }
        drop(place);
    }

    fn write(&self, mut stream: &TcpStream, report: Report) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut outcome = Ok(());
        let mut give = |lines: &[u8]| {
            outcome = stream.write_all(lines);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let now = || self.clock.now();
        let written = write_report(&self.service, now, report, REPORT_BYTES_MAX, &mut give);
        outcome?;
        written.map_err(io::Error::other)?;
        stream.shutdown(Shutdown::Write)?;
        // Clients send nothing; but what is left unread would reset the connection, and the report with it.
        stream.set_nonblocking(true)?;
        while stream.read(&mut [0; 4096])? > 0 {}
        Ok(())
    }
}
