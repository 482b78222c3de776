//! Closed-loop load: N connections, one request at a time on each; the next one goes out when the
//! reply is in. One thread, one epoll, no allocation a request.
//!
//! Closed means that a slow server is asked less: the latencies are those of a server that is kept
//! busy by N clients, not those that mails arriving at a fixed rate would meet (coordinated
//! omission). They count from the moment a request is made to the moment its reply is read, so the
//! time that a reply waits for this thread is part of them.
//!
//! Never knows: any protocol; what a request says and what a reply is, a [`Traffic`] knows.

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
use serde::Serialize;

use crate::clock;

/// The longest reply that is waited for.
const REPLY_BYTES_MAX: usize = 4096;
/// Ready sockets taken from the kernel at once: all of 1,000 connections in one call.
const EVENTS_MAX: usize = 1024;
/// How often overdue replies are looked for.
const OVERDUE_CHECK: Duration = Duration::from_millis(250);
/// How long a connection may take to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// The longest latency that is told apart from a longer one.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// What is asked, and what counts as an answer.
pub(crate) trait Traffic {
    /// The bytes of the next request; `None` when there is nothing more to ask.
    fn request(&mut self) -> Option<&[u8]>;

    /// What all bytes since the request are. A whole reply is counted here.
    fn reply(&mut self, bytes: &[u8]) -> Verdict;
}

/// What the bytes after a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A beginning.
    Incomplete,
    /// One whole reply.
    Whole,
    /// Something else.
    Wrong,
}

/// What went wrong, counted: nothing of it is hidden in an average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Errors {
    /// Connections that the server closed or reset.
    pub(crate) closed: u64,
    /// Connections that could not be made again.
    pub(crate) not_connected: u64,
    /// Replies that were not one whole reply.
    pub(crate) wrong_replies: u64,
    /// Requests without a reply in time.
    pub(crate) timeouts: u64,
}

impl Errors {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.closed + self.not_connected + self.wrong_replies + self.timeouts
    }

    /// These and those.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            closed: self.closed + other.closed,
            not_connected: self.not_connected + other.not_connected,
            wrong_replies: self.wrong_replies + other.wrong_replies,
            timeouts: self.timeouts + other.timeouts,
        }
    }
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Whole replies.
    pub(crate) replies: u64,
    /// Their latencies in nanoseconds, to 0.1 %.
    pub(crate) latency: Histogram<u64>,
    pub(crate) errors: Errors,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
            .context("a histogram of up to 60 seconds")?;
        Ok(Self { replies: 0, latency, errors: Errors::default() })
    }

    fn count(&mut self, latency: Duration) {
        self.replies += 1;
        self.latency.saturating_record(latency.as_nanos() as u64);
    }
}

/// One connection; without a socket once it could not be made again.
#[derive(Debug)]
struct Connection {
    socket: Option<OwnedFd>,
    /// When the request without a reply was made.
    asked: Option<Instant>,
    /// What the socket has not taken of the request yet: hardly ever anything.
    unsent: Vec<u8>,
    /// The beginning of a reply that came in pieces: hardly ever anything.
    begun: Vec<u8>,
}

/// Connections to one server.
#[derive(Debug)]
pub(crate) struct Load {
    address: SocketAddr,
    timeout: Duration,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Requests without a reply.
    outstanding: usize,
    /// Whether a connection that broke is made again: not after that has failed once, since each
    /// try may hold up all others for a while.
    reconnect: Reconnect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reconnect {
    Yes,
    Failed,
}

impl Load {
    /// Makes `count` connections. A request without a reply after `timeout` is given up.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub(crate) fn connect(
        address: SocketAddr,
        count: usize,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let mut load = Self {
            address,
            timeout,
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(count),
            outstanding: 0,
            reconnect: Reconnect::Yes,
        };
        for key in 0..count {
            let socket = load.open(key).with_context(|| {
                format!("connect to {address}, connection {} of {count}", key + 1)
            })?;
            load.connections.push(Connection {
                socket: Some(socket),
                asked: None,
                unsent: Vec::new(),
                begun: Vec::new(),
            });
        }
        Ok(load)
    }

    /// Asks and listens until `end`, or until there is nothing more to ask and all is answered.
    /// What is unanswered at `end` stays so, for the next call.
    ///
    /// # Errors
    /// When the kernel refuses to wait for events, which is no fault of the server's.
    pub(crate) fn run(
        &mut self,
        traffic: &mut impl Traffic,
        end: Instant,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut inbox = Box::new([0; REPLY_BYTES_MAX]);
        for key in 0..self.connections.len() {
            self.ask(key, clock::now(), traffic, tally);
        }
        let mut now = clock::now();
        let mut check = now + OVERDUE_CHECK;
        while self.outstanding > 0 && now < end {
            let wait = Timespec::try_from(end.min(check).saturating_duration_since(now))?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll_wait"),
            }
            for event in &events {
                let flags = event.flags;
                self.turn(event.data.u64() as usize, flags, &mut inbox[..], traffic, tally);
            }
            now = clock::now();
            if now >= check {
                self.give_up_overdue(now, traffic, tally);
                check = now + OVERDUE_CHECK;
            }
        }
        Ok(())
    }

    /// Waits for the replies that are still out, asks nothing more, and returns what went wrong.
    ///
    /// # Errors
    /// As [`Load::run`].
    pub(crate) fn finish(mut self, traffic: &mut impl Traffic) -> anyhow::Result<Errors> {
        let mut tally = Tally::new()?;
        let end = clock::now() + self.timeout;
        self.run(&mut Silent(traffic), end, &mut tally)?;
        tally.errors.timeouts += self.outstanding as u64;
        Ok(tally.errors)
    }

    fn open(&self, key: usize) -> std::io::Result<OwnedFd> {
        let socket = TcpStream::connect_timeout(&self.address, CONNECT_TIME_MAX)?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let data = EventData::new_u64(key as u64);
        epoll::add(&self.epoll, &socket, data, READING)?;
        Ok(socket.into())
    }

    /// Sends the next request on a connection that waits for nothing. A connection found broken
    /// gets one new one; if that breaks as well, it rests until the next run.
    fn ask(&mut self, key: usize, now: Instant, traffic: &mut impl Traffic, tally: &mut Tally) {
        for _ in 0..2 {
            match self.try_ask(key, now, traffic) {
                Ok(()) => return,
                Err(_) => self.lose(key, Loss::Closed, tally),
            }
        }
    }

    fn try_ask(
        &mut self,
        key: usize,
        now: Instant,
        traffic: &mut impl Traffic,
    ) -> Result<(), Errno> {
        let connection = &mut self.connections[key];
        let Some(socket) = &connection.socket else { return Ok(()) };
        if connection.asked.is_some() {
            return Ok(());
        }
        let Some(request) = traffic.request() else { return Ok(()) };
        let sent = match send(socket, request, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(errno) => return Err(errno),
        };
        if sent < request.len() {
            // Rare: the socket takes a whole request while it has nothing else to carry.
            connection.unsent.extend_from_slice(&request[sent..]);
            epoll::modify(&self.epoll, socket, EventData::new_u64(key as u64), SENDING)?;
        }
        connection.asked = Some(now);
        self.outstanding += 1;
        Ok(())
    }

    fn send_rest(&mut self, key: usize, traffic: &mut impl Traffic, tally: &mut Tally) {
        let connection = &mut self.connections[key];
        let Some(socket) = &connection.socket else { return };
        let data = EventData::new_u64(key as u64);
        let waiting = match send(socket, &connection.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                connection.unsent.drain(..sent);
                let flags = if connection.unsent.is_empty() { READING } else { SENDING };
                epoll::modify(&self.epoll, socket, data, flags)
            }
            Err(Errno::AGAIN | Errno::INTR) => epoll::modify(&self.epoll, socket, data, SENDING),
            Err(errno) => Err(errno),
        };
        if waiting.is_err() {
            self.start_again(key, Loss::Closed, traffic, tally);
        }
    }

    /// What one ready connection has to say.
    fn turn(
        &mut self,
        key: usize,
        flags: EventFlags,
        inbox: &mut [u8],
        traffic: &mut impl Traffic,
        tally: &mut Tally,
    ) {
        let connection = &mut self.connections[key];
        let Some(socket) = &connection.socket else { return };
        if flags.contains(EventFlags::OUT) && !connection.unsent.is_empty() {
            return self.send_rest(key, traffic, tally);
        }
        let read = match recv(socket, &mut *inbox, RecvFlags::empty()) {
            Ok((0, _)) => return self.start_again(key, Loss::Closed, traffic, tally),
            Ok((read, _)) => &inbox[..read],
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => return self.start_again(key, Loss::Closed, traffic, tally),
        };
        let Some(asked) = connection.asked else {
            return self.start_again(key, Loss::WrongReply, traffic, tally);
        };
        let verdict = if connection.begun.is_empty() {
            traffic.reply(read)
        } else {
            connection.begun.extend_from_slice(read);
            traffic.reply(&connection.begun)
        };
        match verdict {
            Verdict::Whole => {
                let now = clock::now();
                tally.count(now - asked);
                connection.asked = None;
                connection.begun.clear();
                self.outstanding -= 1;
                self.ask(key, now, traffic, tally);
            }
            Verdict::Incomplete if connection.begun.len() < REPLY_BYTES_MAX => {
                if connection.begun.is_empty() {
                    connection.begun.extend_from_slice(read);
                }
            }
            Verdict::Incomplete | Verdict::Wrong => {
                self.start_again(key, Loss::WrongReply, traffic, tally);
            }
        }
    }

    fn give_up_overdue(&mut self, now: Instant, traffic: &mut impl Traffic, tally: &mut Tally) {
        for key in 0..self.connections.len() {
            let asked = self.connections[key].asked;
            if asked.is_some_and(|asked| now.saturating_duration_since(asked) > self.timeout) {
                self.start_again(key, Loss::Timeout, traffic, tally);
            }
        }
    }

    /// Counts a broken connection, makes it again and goes on.
    fn start_again(
        &mut self,
        key: usize,
        loss: Loss,
        traffic: &mut impl Traffic,
        tally: &mut Tally,
    ) {
        self.lose(key, loss, tally);
        self.ask(key, clock::now(), traffic, tally);
    }

    /// Counts a broken connection and makes it again, ready to ask.
    fn lose(&mut self, key: usize, loss: Loss, tally: &mut Tally) {
        match loss {
            Loss::Closed => tally.errors.closed += 1,
            Loss::WrongReply => tally.errors.wrong_replies += 1,
            Loss::Timeout => tally.errors.timeouts += 1,
        }
        let connection = &mut self.connections[key];
        connection.socket = None;
        connection.unsent.clear();
        connection.begun.clear();
        if connection.asked.take().is_some() {
            self.outstanding -= 1;
        }
        if self.reconnect == Reconnect::Yes {
            match self.open(key) {
                Ok(socket) => self.connections[key].socket = Some(socket),
                Err(_) => self.reconnect = Reconnect::Failed,
            }
        }
        if self.connections[key].socket.is_none() {
            tally.errors.not_connected += 1;
        }
    }
}

/// What a connection waits for while its request is away. Edges: one read takes all that a right
/// reply can be, so nothing is left that would need a second event.
const READING: EventFlags = EventFlags::IN.union(EventFlags::ET);
/// What it waits for while part of its request is still here.
const SENDING: EventFlags = EventFlags::IN.union(EventFlags::OUT);

/// Why a connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Closed,
    WrongReply,
    Timeout,
}

/// Traffic that asks nothing more.
struct Silent<'a, T>(&'a mut T);

impl<T: Traffic> Traffic for Silent<'_, T> {
    fn request(&mut self) -> Option<&[u8]> {
        None
    }

    fn reply(&mut self, bytes: &[u8]) -> Verdict {
        self.0.reply(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{self, Sender};
    use std::thread;

    use super::*;

    /// Long enough for any of this; what is tested ends by itself.
    const PLENTY: Duration = Duration::from_secs(60);

    /// Asks the same so many times; a reply ends in a full stop, and no other byte is right.
    struct Same {
        request: Vec<u8>,
        left: usize,
        beginnings: Vec<Vec<u8>>,
        on_beginning: Sender<()>,
    }

    impl Traffic for Same {
        fn request(&mut self) -> Option<&[u8]> {
            self.left = self.left.checked_sub(1)?;
            Some(&self.request)
        }

        fn reply(&mut self, bytes: &[u8]) -> Verdict {
            match bytes.split_last() {
                Some((b'.', rest)) if rest.iter().all(|&byte| byte == b'a') => Verdict::Whole,
                _ if bytes.iter().all(|&byte| byte == b'a') => {
                    self.beginnings.push(bytes.to_vec());
                    self.on_beginning.send(()).unwrap();
                    Verdict::Incomplete
                }
                _ => Verdict::Wrong,
            }
        }
    }

    /// Runs `times` requests of `length` bytes on one connection against a server that sends its
    /// reply in `pieces`, each once the one before has been seen.
    fn run(times: usize, length: usize, pieces: &'static [&'static str]) -> (Tally, Same) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (on_beginning, beginnings) = mpsc::channel();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; length];
            for _ in 0..times {
                stream.read_exact(&mut request).unwrap();
                for (index, piece) in pieces.iter().enumerate() {
                    if index > 0 {
                        beginnings.recv().unwrap();
                    }
                    stream.write_all(piece.as_bytes()).unwrap();
                }
            }
            stream
        });
        let mut load = Load::connect(address, 1, PLENTY).unwrap();
        let request = vec![b'?'; length];
        let mut traffic = Same { request, left: times, beginnings: Vec::new(), on_beginning };
        let mut tally = Tally::new().unwrap();
        load.run(&mut traffic, clock::now() + PLENTY, &mut tally).unwrap();
        tally.errors = tally.errors.plus(load.finish(&mut traffic).unwrap());
        drop(server.join());
        (tally, traffic)
    }

    #[test]
    fn a_reply_in_pieces_is_one_reply() {
        let (tally, traffic) = run(3, 900, &["a", "aa", "."]);
        assert_eq!((tally.replies, tally.errors), (3, Errors::default()));
        assert_eq!(traffic.beginnings, [&b"a"[..], b"aaa"].repeat(3));
        assert_eq!(tally.latency.len(), 3);
        assert!(tally.latency.min() > 0);
    }

    #[test]
    fn a_request_that_the_socket_takes_in_pieces_arrives_whole() {
        // More than a socket's buffers hold (net.ipv4.tcp_wmem and tcp_rmem end at a few MiB).
        let (tally, _) = run(2, 16 << 20, &["."]);
        assert_eq!((tally.replies, tally.errors), (2, Errors::default()));
    }

    #[test]
    fn a_wrong_reply_is_counted_and_not_taken_for_a_right_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 3];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"b").unwrap();
            (stream, listener)
        });
        let mut load = Load::connect(address, 1, PLENTY).unwrap();
        let (on_beginning, _beginnings) = mpsc::channel();
        let request = b"???".to_vec();
        let mut traffic = Same { request, left: 1, beginnings: Vec::new(), on_beginning };
        let mut tally = Tally::new().unwrap();
        load.run(&mut traffic, clock::now() + PLENTY, &mut tally).unwrap();
        assert_eq!(tally.errors, Errors { wrong_replies: 1, ..Errors::default() });
        assert_eq!(tally.replies, 0);
        drop(server.join());
    }
}
