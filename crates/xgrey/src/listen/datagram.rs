//! Questions that come in datagrams: as many threads as there are workers, each with a socket of its
//! own on the same port and a loop that waits for nothing else.
//!
//! ```text
//!        ┌ socket ─ recvmmsg ─▶ not too late? ─▶ front end ─▶ not too late? ─▶ sendmmsg ┐
//!  port ─┤ …                    all that has come, 128 at most, one clock read          ├─▶ askers
//!        └ socket ─ …                                                                   ┘
//! ```
//! The kernel spreads askers over the sockets by their address and port, so that what one of them
//! asks stays in order. A loop that blocks in `recvmmsg` takes two system calls for a single question,
//! and for many that come at once hardly more; with `epoll` it would be three.
//!
//! Nothing older than [`LATE`] is answered: whoever asked has given up by then, and would take the
//! answer for that to its next question (X-Grey v1.1 protocol, sections 7 and 12). The kernel's time of arrival tells,
//! so that a question that waited in the socket counts as old as it is.
//!
//! Never knows: what is asked or answered.

mod batch;
mod port;
mod turn;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};

pub use self::port::{Port, Room};
use self::turn::DatagramLoop;
use crate::clock::Clock;
use crate::xgrey_v1::FrontEnd;

/// The most datagrams that are taken, decided and answered at once: they share one write to the journal. 128
/// of the longest are 188 KiB: they stay near the processor from the read to the answer.
pub const DATAGRAMS_MAX: usize = 128;

/// How old a question may be when its answer leaves. Clients wait for 5 s.
const LATE: Duration = Duration::from_secs(4);

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// What is in it; one byte more than is read of any shows that it was longer.
    pub bytes: &'a [u8],
}

/// Answers to a batch of datagrams, at most one each. Kept and used again, so that in steady state
/// nothing is allocated.
#[derive(Debug, Default)]
pub struct Answers {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Answers {
    /// None.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the answer to the batch's datagram number `datagram`: what `encode` appends.
    pub fn add(&mut self, datagram: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.ends.push((datagram, self.bytes.len()));
    }

    /// Each answer, with its datagram's number, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(datagram, end)| {
            let answer = &self.bytes[start..end];
            start = end;
            (datagram, answer)
        })
    }
}

/// The threads of one port. When this goes, they answer what has come until then, and end.
#[derive(Debug, Default)]
pub struct Datagrams {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    stop: Arc<AtomicBool>,
    /// Shared with the thread, to end its wait.
    socket: Arc<UdpSocket>,
    thread: JoinHandle<()>,
}

impl Datagrams {
    /// Serves `port`, with one of `front_ends` for each of its sockets.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub fn start(port: Port, front_ends: Vec<FrontEnd>, clock: Clock) -> io::Result<Self> {
        let mut datagrams = Self::default();
        let sockets = port.into_sockets().into_iter();
        for (number, (socket, front_end)) in sockets.zip(front_ends).enumerate() {
            datagrams.threads.push(Thread::start(number, socket, front_end, clock)?);
        }
        Ok(datagrams)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.stop.store(true, Relaxed);
            // "Not connected", says the kernel, and ends the thread's wait all the same.
            let _ = shutdown(&thread.socket, Shutdown::Read);
        }
        for thread in self.threads.drain(..) {
            if thread.thread.join().is_err() {
                tracing::error!(target: "listen", "a thread for datagrams had panicked");
            }
        }
    }
}

impl Thread {
    fn start(
        number: usize,
        socket: UdpSocket,
        front_end: FrontEnd,
        clock: Clock,
    ) -> io::Result<Self> {
        let (stop, socket) = (Arc::new(AtomicBool::new(false)), Arc::new(socket));
        let turns = (Arc::clone(&stop), Arc::clone(&socket));
        let thread = std::thread::Builder::new()
            .name(format!("datagrams-{number}"))
            .spawn(move || DatagramLoop::new(turns.1, front_end, clock, turns.0).run())?;
        Ok(Self { stop, socket, thread })
    }
}
