//! Closed-loop load: N sessions at a time, each on a connection of its own; when the milter has closed one, the
//! next begins. One thread, one epoll.
//!
//! A session counts when its connection is closed by the milter: were it closed here, this side's ports would soon be
//! used up.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::session::{Actions, Progress, Session};
use crate::clock;

/// The longest replies that are waited for.
const REPLY_BYTES_MAX: usize = 4096;
/// Ready sockets taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest latency that is told apart from a longer one.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Which tuple the next session is about; none when there is nothing more to ask.
pub(crate) trait Numbers {
    fn next(&mut self) -> Option<u64>;
}

/// What was measured.
pub(crate) struct Tally {
    pub(crate) sessions: u64,
    /// From connecting to the milter's end of the connection, in nanoseconds, to 0.1 %.
    pub(crate) latency: Histogram<u64>,
    pub(crate) actions: Actions,
    /// Sessions that were cut short, or answered with something else than a milter's replies.
    pub(crate) errors: u64,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
            .context("a histogram of up to 60 seconds")?;
        Ok(Self { sessions: 0, latency, actions: Actions::default(), errors: 0 })
    }
}

struct Running {
    socket: OwnedFd,
    session: Session,
    begun: Instant,
    /// What came of a reply: hardly ever anything.
    unread: Vec<u8>,
}

/// Sessions with one milter.
pub(crate) struct Load {
    address: SocketAddr,
    epoll: OwnedFd,
    running: Vec<Option<Running>>,
    out: Vec<u8>,
}

impl Load {
    /// `count` sessions at a time, none of which has begun.
    ///
    /// # Errors
    /// When the kernel gives no epoll.
    pub(crate) fn new(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let running = (0..count).map(|_| None).collect();
        Ok(Self { address, epoll: epoll::create(CreateFlags::CLOEXEC)?, running, out: Vec::new() })
    }

    /// Begins one session after the other until `end`, or until there is nothing more to ask; those that
    /// run then go on at the next call.
    ///
    /// # Errors
    /// When a connection can't be made.
    pub(crate) fn run(
        &mut self,
        numbers: &mut impl Numbers,
        end: Instant,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for key in 0..self.running.len() {
            if self.running[key].is_none() {
                self.begin(key, numbers)?;
            }
        }
        let mut now = clock::now();
        while now < end && self.running.iter().any(Option::is_some) {
            let wait = Timespec::try_from(end.saturating_duration_since(now))?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll_wait"),
            }
            for event in &events {
                let key = event.data.u64() as usize;
                if self.turn(key, tally) {
                    self.begin(key, numbers)?;
                }
            }
            now = clock::now();
        }
        Ok(())
    }

    fn begin(&mut self, key: usize, numbers: &mut impl Numbers) -> anyhow::Result<()> {
        self.running[key] = None;
        let Some(number) = numbers.next() else { return Ok(()) };
        let begun = clock::now();
        let socket = TcpStream::connect_timeout(&self.address, CONNECT_TIME_MAX)
            .with_context(|| format!("connect to {}", self.address))?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let reading = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
        epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), reading)?;
        self.out.clear();
        let session = Session::begin(number, &mut self.out);
        let running = Running { socket: socket.into(), session, begun, unread: Vec::new() };
        // If it was cut, reading says so.
        let _ = send(&running.socket, &self.out, SendFlags::NOSIGNAL);
        self.running[key] = Some(running);
        Ok(())
    }

    /// What one ready connection has to say; whether its session is over.
    fn turn(&mut self, key: usize, tally: &mut Tally) -> bool {
        let Some(running) = &mut self.running[key] else { return false };
        let mut inbox = [0; REPLY_BYTES_MAX];
        loop {
            let read = match recv(&running.socket, &mut inbox[..], RecvFlags::empty()) {
                Ok((0, _)) => {
                    let is_over = running.session.is_over();
                    if is_over {
                        let latency = clock::now() - running.begun;
                        tally.sessions += 1;
                        tally.latency.saturating_record(latency.as_nanos() as u64);
                    } else {
                        tally.errors += 1;
                    }
                    return true;
                }
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => continue,
                Err(_) => {
                    tally.errors += 1;
                    return true;
                }
            };
            running.unread.extend_from_slice(&inbox[..read]);
            self.out.clear();
            loop {
                let Running { session, unread, .. } = running;
                match session.take(unread, &mut self.out, &mut tally.actions) {
                    Progress::Said(used) => drop(unread.drain(..used)),
                    Progress::Incomplete => break,
                    Progress::Wrong => {
                        tally.errors += 1;
                        return true;
                    }
                }
            }
            if !self.out.is_empty() {
                let _ = send(&running.socket, &self.out, SendFlags::NOSIGNAL);
            }
        }
    }
}
