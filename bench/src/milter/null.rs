//! The null milter: the least that any milter with the same negotiation must do. It finds the packets, agrees to
//! what xgrey would agree to, continues at recipients and at the ends of messages, and closes when told to.
//!
//! It does not have its kernel acknowledge at once, which xgrey does for Sendmail's sake.
//!
//! Never knows: what a packet says.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::session::packet;
use crate::floor::{self, Fate, Floor, READ_BYTES, Ready};

/// The steps that are left out, or whose replies are: as xgrey has it.
const STEPS: u32 = 0xf_73f0;
/// The macros that are asked for with MAIL, and none with the other six steps: as xgrey has it.
const MACROS: &[u8] = b"i v {auth_authen} {cert_subject} {verify} {client_name} {client_resolve}";

/// Serves until the program that started it with a socket ends.
pub(crate) fn run() -> anyhow::Result<()> {
    let milter = NullMilter {
        agreement: agreement(),
        inbox: Box::new([0; READ_BYTES]),
        replies: Vec::new(),
    };
    floor::serve(&floor::inherited()?, milter)
}

struct Connection {
    socket: OwnedFd,
    /// The beginning of a packet.
    begun: Vec<u8>,
}

struct NullMilter {
    agreement: Vec<u8>,
    inbox: Box<[u8; READ_BYTES]>,
    replies: Vec<u8>,
}

impl Floor for NullMilter {
    type Connection = Connection;

    const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

    fn begin(&mut self, socket: OwnedFd) -> anyhow::Result<Connection> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(Connection { socket, begun: Vec::new() })
    }

    /// One read, and one write if something is owed.
    fn turn(&mut self, connection: &mut Connection, _: Ready<'_>) -> Fate {
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
