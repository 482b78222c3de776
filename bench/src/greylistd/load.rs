//! Closed-loop load over UNIX sockets: so many questions at a time, each on a connection of its own. As
//! an Exim does it: connect, write, shut the writing side down, read to the end.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
    connect, recv, send, shutdown, socket_with,
};

use super::questions;
use crate::clock;

/// How long nothing at all may be answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer is `true` or `false`; anything longer is none.
const ANSWER_BYTES: usize = 16;

/// What came of a run.
#[derive(Debug)]
pub(super) struct Tally {
    /// From before the connection was made to the answer's end, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// Answers `false`: not grey.
    pub(super) accepted: u64,
    /// Answers `true`.
    pub(super) deferred: u64,
    /// Anything else.
    pub(super) errors: u64,
}

impl Tally {
    pub(super) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Self { latency, accepted: 0, deferred: 0, errors: 0 })
    }

    pub(super) fn answers(&self) -> u64 {
        self.accepted + self.deferred
    }
}

/// A question that is out.
#[derive(Debug)]
struct Out {
    socket: OwnedFd,
    begun: Instant,
    answer: [u8; ANSWER_BYTES],
    length: usize,
}

/// Where the load comes from.
#[derive(Debug)]
pub(super) struct Load {
    server: SocketAddrUnix,
    epoll: OwnedFd,
    /// By file descriptor.
    out: Vec<Option<Out>>,
    text: Vec<u8>,
}

impl Load {
    /// For the server at `path`.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let server = SocketAddrUnix::new(path)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { server, epoll, out: Vec::new(), text: Vec::new() })
    }

    /// Asks about the tuples that `next` gives, `at_once` at a time, until it gives none or it is `end`;
    /// then waits for what is out, which counts no more.
    pub(super) fn run(
        &mut self,
        mut next: impl FnMut() -> Option<u32>,
        at_once: usize,
        end: Instant,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut out = 0;
        while out < at_once {
            let Some(number) = next() else { break };
            self.begin(number)?;
            out += 1;
        }
        let mut events = Vec::with_capacity(at_once);
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        while out > 0 {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)) {
                Ok(0) => anyhow::bail!("no answer in {} seconds", PATIENCE.as_secs()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll_wait"),
            }
            for event in &events {
                let Some(question) = self.read(event.data.u64() as usize) else { continue };
                out -= 1;
                let now = clock::now();
                if now >= end {
                    continue;
                }
                count(&question, now, tally);
                if let Some(number) = next() {
                    self.begin(number)?;
                    out += 1;
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, number: u32) -> anyhow::Result<()> {
        questions::write(number, &mut self.text);
        let begun = clock::now();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &self.server).context("connect: does the backlog hold so many?")?;
        send(&socket, &self.text, SendFlags::NOSIGNAL)?;
        shutdown(&socket, Shutdown::Write)?;
        let key = socket.as_raw_fd() as usize;
        epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), EventFlags::IN)?;
        if self.out.len() <= key {
            self.out.resize_with(key + 1, || None);
        }
        self.out[key] = Some(Out { socket, begun, answer: [0; ANSWER_BYTES], length: 0 });
        Ok(())
    }

    /// Reads on in an answer; gives the question when that is at its end.
    fn read(&mut self, key: usize) -> Option<Out> {
        let slot = self.out.get_mut(key)?;
        let question = slot.as_mut()?;
        loop {
            let space = &mut question.answer[question.length..];
            match recv(&question.socket, space, RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return slot.take(),
                Ok((read, _)) => question.length += read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(_) => {
                    question.length = 0;
                    return slot.take();
                }
            }
        }
    }
}

fn count(question: &Out, now: Instant, tally: &mut Tally) {
    match &question.answer[..question.length] {
        b"false" => tally.accepted += 1,
        b"true" => tally.deferred += 1,
        _ => {
            tally.errors += 1;
            return;
        }
    }
    let took = u64::try_from((now - question.begun).as_nanos()).unwrap_or(u64::MAX);
    tally.latency.saturating_record(took);
}
