//! The null milter: the least that any milter with the same negotiation must do. One thread, one epoll, no
//! runtime: it finds the packets, agrees to what xgrey would agree to, continues at recipients and at the ends of
//! messages, and closes when told to.
//!
//! It does not have its kernel acknowledge at once, which xgrey does for Sendmail's sake.
//!
//! Never knows: what a packet says.

use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use anyhow::Context as _;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::session::packet;

/// What one read takes.
const READ_BYTES: usize = 16 * 1024;
/// Ready sockets taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// The steps that are left out, or whose replies are: as xgrey has it.
const STEPS: u32 = 0xf_73f0;
/// The macros that are asked for with MAIL, and none with the other six steps: as xgrey has it.
const MACROS: &[u8] = b"i v {auth_authen} {cert_subject} {verify} {client_name} {client_resolve}";

/// Serves until the program that started it with a socket ends.
pub(crate) fn run() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.local_addr().context("standard input is not a listening socket")?;
    listener.set_nonblocking(true)?;
    Server::new(listener)?.serve()
}

struct Connection {
    socket: OwnedFd,
    /// The beginning of a packet.
    begun: Vec<u8>,
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By file descriptor: small numbers, reused by the kernel.
    connections: Vec<Option<Connection>>,
    agreement: Vec<u8>,
    inbox: Box<[u8; READ_BYTES]>,
    replies: Vec<u8>,
}

/// What is to become of a connection.
#[derive(PartialEq, Eq)]
enum Fate {
    Keep,
    Close,
}

impl Server {
    fn new(listener: TcpListener) -> anyhow::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let data = EventData::new_u64(listener.as_raw_fd() as u64);
        epoll::add(&epoll, &listener, data, EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            agreement: agreement(),
            inbox: Box::new([0; READ_BYTES]),
            replies: Vec::new(),
        })
    }

    fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let listening = self.listener.as_raw_fd() as u64;
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("epoll_wait"),
            }
            for event in &events {
                let key = event.data.u64();
                if key == listening {
                    self.accept()?;
                } else if self.turn(key as usize) == Fate::Close {
                    self.connections[key as usize] = None;
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(errno) => return Err(errno).context("accept"),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let key = socket.as_raw_fd() as usize;
            let reading = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
            epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), reading)?;
            if self.connections.len() <= key {
                self.connections.resize_with(key + 1, || None);
            }
            self.connections[key] = Some(Connection { socket, begun: Vec::new() });
        }
    }

    /// What one readiness is worth: one read, and one write if something is owed.
    fn turn(&mut self, key: usize) -> Fate {
        let Some(Some(connection)) = self.connections.get_mut(key) else { return Fate::Keep };
        loop {
            let read = match recv(&connection.socket, &mut self.inbox[..], RecvFlags::empty()) {
                Ok((0, _)) => return Fate::Close,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Fate::Keep,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Close,
            };
            self.replies.clear();
            let piece = &self.inbox[..read];
            let fate = if connection.begun.is_empty() {
                let (used, fate) = answer(piece, &self.agreement, &mut self.replies);
                connection.begun.extend_from_slice(&piece[used..]);
                fate
            } else {
                connection.begun.extend_from_slice(piece);
                let (used, fate) = answer(&connection.begun, &self.agreement, &mut self.replies);
                connection.begun.drain(..used);
                fate
            };
            // A session's replies are some hundred bytes: a socket has room for them, always.
            if !self.replies.is_empty()
                && send(&connection.socket, &self.replies, SendFlags::NOSIGNAL)
                    != Ok(self.replies.len())
            {
                return Fate::Close;
            }
            if fate == Fate::Close || read < READ_BYTES {
                return fate;
            }
        }
    }
}

fn agreement() -> Vec<u8> {
    let mut bytes = Vec::new();
    packet(b'O', &mut bytes, |out| {
        for word in [6_u32, 0x101, STEPS] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for step in 0..7_u32 {
            out.extend_from_slice(&step.to_be_bytes());
            out.extend_from_slice(if step == 2 { MACROS } else { b"" });
            out.push(0);
        }
    });
    bytes
}

/// Appends the replies to all whole packets in `bytes`; says how many bytes those were.
fn answer(bytes: &[u8], agreement: &[u8], replies: &mut Vec<u8>) -> (usize, Fate) {
    let mut used = 0;
    while let Some((&[a, b, c, d, command], _)) = bytes[used..].split_first_chunk::<5>() {
        let length = 4 + u32::from_be_bytes([a, b, c, d]) as usize;
        if bytes.len() - used < length {
            break;
        }
        used += length;
        match command {
            b'O' => replies.extend_from_slice(agreement),
            b'R' | b'E' => replies.extend_from_slice(b"\0\0\0\x01c"),
            b'Q' => return (used, Fate::Close),
            _ => {}
        }
    }
    (used, Fate::Keep)
}
