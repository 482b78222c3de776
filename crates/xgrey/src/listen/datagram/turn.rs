//! One thread's loop: takes what has come, has it decided as one batch, sends the answers.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arrayvec::ArrayVec;
use greylist::Timestamp;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::batch::{Inbox, Outbox, Wait};
use super::{Answers, DATAGRAMS_MAX, Datagram, LATE};
use crate::clock::{self, Clock};
use crate::metrics::Event;
use crate::xgrey_v1::FrontEnd;

/// How long a wait may be while there are lines for the decision log.
const LOG_PATIENCE: Duration = Duration::from_millis(100);
/// How long it may be otherwise. A socket that is shut down ends it; this is for a kernel that would not.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to rest when the kernel can't receive, for want of memory.
const REST: Duration = Duration::from_millis(100);

/// The loop and all that it keeps from one turn to the next.
pub(super) struct DatagramLoop {
    socket: Arc<UdpSocket>,
    front_end: FrontEnd,
    clock: Clock,
    stop: Arc<AtomicBool>,
    inbox: Inbox,
    answers: Answers,
    /// How long the socket waits now.
    patience: Duration,
    /// When lines of the decision log were last handed over.
    logged_at: Timestamp,
}

impl DatagramLoop {
    pub(super) fn new(
        socket: Arc<UdpSocket>,
        front_end: FrontEnd,
        clock: Clock,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            socket,
            front_end,
            clock,
            stop,
            inbox: Inbox::new(),
            answers: Answers::default(),
            patience: Duration::ZERO,
            logged_at: clock.now(),
        }
    }

    /// Turns until told to stop; then answers what had come by then.
    pub(super) fn run(mut self) {
        self.wait_at_most(PATIENCE);
        while !self.stop.load(Relaxed) {
            match self.inbox.receive(&self.socket, Wait::ForOne) {
                Ok(()) => {
                    let now = self.clock.now();
                    self.turn(now);
                    self.log(now);
                }
                Err(error) => self.nothing_came(&error),
            }
        }
        let stopped_at = clock::wall();
        while self.inbox.receive(&self.socket, Wait::Never).is_ok() {
            self.turn(self.clock.now());
            if self.inbox.iter().all(|(envelope, _)| envelope.received > stopped_at) {
                break;
            }
        }
        self.front_end.flush_log();
    }

    fn nothing_came(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                self.front_end.flush_log();
                self.wait_at_most(PATIENCE);
            }
            io::ErrorKind::Interrupted => {}
            _ => {
                tracing::error!(target: "listen", %error, "could not receive a datagram");
                std::thread::park_timeout(REST);
            }
        }
    }

    /// How long the socket waits for a datagram: told to the kernel only when it changes.
    fn wait_at_most(&mut self, patience: Duration) {
        if self.patience != patience {
            self.patience = patience;
            if let Err(error) = set_socket_timeout(&self.socket, Timeout::Recv, Some(patience)) {
                tracing::warn!(target: "listen", %error, "could not limit a wait");
            }
        }
    }

    /// Decides and answers what has come.
    fn turn(&mut self, now: Timestamp) {
        let at = clock::wall();
        let is_late = |received: Duration, at: Duration| at.saturating_sub(received) >= LATE;
        let mut datagrams = ArrayVec::<Datagram<'_>, DATAGRAMS_MAX>::new();
        let mut received = ArrayVec::<Duration, DATAGRAMS_MAX>::new();
        let mut late = 0;
        for (envelope, bytes) in self.inbox.iter() {
            if is_late(envelope.received, at) {
                late += 1;
                continue;
            }
            datagrams.push(Datagram { from: envelope.from, bytes });
            received.push(envelope.received);
        }
        self.front_end.answer(now, &datagrams, &mut self.answers);
        // The store may have had to wait for the disk.
        let at = clock::wall();
        let mut outbox = Outbox::default();
        for (number, answer) in self.answers.iter() {
            if is_late(received[number], at) {
                late += 1;
            } else {
                outbox.add(datagrams[number].from, answer);
            }
        }
        let unsent = outbox.send(&self.socket);
        let counters = self.front_end.counters();
        counters.events(Event::Late, late);
        counters.events(Event::Unsent, unsent);
    }

    /// Lines wait for company, but not for long.
    fn log(&mut self, now: Timestamp) {
        if now != self.logged_at {
            self.front_end.flush_log();
            self.logged_at = now;
        } else if self.front_end.has_log() {
            self.wait_at_most(LOG_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use greylist::HashKey;
    use wire::xgrey_v1::client::encode_request;
    use wire::xgrey_v1::{Request, Secret, Tuple};

    use super::*;
    use crate::command::serve;
    use crate::config::Config;
    use crate::decision_log::{DecisionLog, Destination, Format};
    use crate::listen::datagram::Port;
    use crate::log_sink::LogSink;
    use crate::metrics::Metrics;
    use crate::xgrey_v1::Parts;

    /// A loop on a port of its own, and somebody who asks there.
    fn loop_and_asker() -> (DatagramLoop, UdpSocket) {
        let port = Port::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let asker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        asker.connect(port.address()).unwrap();
        let Ok(service) = serve::service(Config::default(), HashKey::new([7; 16])) else {
            panic!("no service")
        };
        let metrics = Arc::new(Metrics::new(1));
        let decisions = DecisionLog::new(Destination {
            format: Format::Text,
            sink: LogSink::standard_error(Arc::clone(&metrics)).unwrap(),
            enabled: Arc::new(AtomicBool::new(false)),
        });
        let front_end = FrontEnd::new(Parts {
            number: 0,
            service: Arc::new(service),
            metrics,
            decisions,
            listener: Arc::default(),
            pending: Arc::default(),
            faults: Arc::default(),
        });
        let socket = Arc::new(port.into_sockets().remove(0));
        let stop = Arc::new(AtomicBool::new(false));
        (DatagramLoop::new(socket, front_end, Clock::start(), stop), asker)
    }

    #[test]
    fn from_the_socket_to_the_socket_nothing_is_allocated() {
        let (mut turns, asker) = loop_and_asker();
        let tuple = Tuple { client: [192, 0, 2, 7].into(), sender: b"a@b", recipient: b"c@d" };
        let mut question = Vec::new();
        encode_request(&Secret::default(), 3, &Request::Greylist(tuple), &mut question).unwrap();
        let mut answer = [0; 64];
        let mut round = || {
            for _ in 0..100 {
                asker.send(&question).unwrap();
            }
            while turns.inbox.receive(&turns.socket, Wait::Never).is_ok() {
                turns.turn(turns.clock.now());
            }
            for _ in 0..100 {
                assert_eq!(asker.recv(&mut answer).unwrap(), 16);
            }
        };
        round();
        let counted = allocation_counter::measure(&mut round);
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
