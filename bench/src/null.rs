//! The null server: the least that any server of Postfix's policy protocol must do.
//!
//! It finds the end of each request and answers `action=DUNNO`. It is the floor that others are measured against, so it should be as fast as a
//! plain loop over sockets can be, and still be right: requests may be split or joined at any byte.
//!
//! Never knows: what a request says.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use memchr::memmem::Finder;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use crate::floor::{self, Fate, Floor, READ_BYTES, Ready};

/// What every request is answered with.
pub(crate) const REPLY: &[u8] = b"action=DUNNO\n\n";

/// Replies that one write can hold, when requests came joined.
const REPLIES_PER_WRITE: usize = 64;

/// How the null server is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Listen here and print the address; without it, the listening socket is standard input
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Serves until it is killed, or until the program that started it with a socket ends.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let listener = match options.listen {
        Some(address) => {
            let listener =
                TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", listener.local_addr()?)?;
            out.flush()?;
            OwnedFd::from(listener)
        }
        None => floor::inherited()?,
    };
    floor::serve(&listener, NullServer::new())
}

/// Finds the ends of requests (empty lines) in a stream that arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
struct RequestEnds {
    /// Whether the stream so far ends in a line's end that is not yet part of an empty line.
    after_newline: bool,
}

impl RequestEnds {
    /// How many requests end in the next piece of the stream.
    fn count(&mut self, finder: &Finder<'_>, piece: &[u8]) -> usize {
        let Some(&last) = piece.last() else { return 0 };
        let mut ends = 0;
        let mut at = 0;
        if self.after_newline && piece[0] == b'\n' {
            ends = 1;
            at = 1;
        }
        while let Some(found) = finder.find(&piece[at..]) {
            ends += 1;
            at += found + 2;
        }
        self.after_newline = at < piece.len() && last == b'\n';
        ends
    }
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    ends: RequestEnds,
    /// Bytes of replies that the socket has not taken yet. All replies are alike, so their number
    /// says which bytes they are.
    owed: usize,
}

#[derive(Debug)]
struct NullServer {
    inbox: Box<[u8; READ_BYTES]>,
    replies: Vec<u8>,
    finder: Finder<'static>,
}

impl NullServer {
    fn new() -> Self {
        Self {
            inbox: Box::new([0; READ_BYTES]),
            replies: REPLY.repeat(REPLIES_PER_WRITE),
            finder: Finder::new(b"\n\n"),
        }
    }
}

impl Floor for NullServer {
    type Connection = Connection;

    const INTEREST: EventFlags = READING;

    fn begin(&mut self, socket: OwnedFd) -> anyhow::Result<Connection> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        Ok(Connection { socket, ends: RequestEnds::default(), owed: 0 })
    }

    /// One read and one write.
    fn turn(&mut self, connection: &mut Connection, ready: Ready<'_>) -> Fate {
        if connection.owed > 0 {
            let fate = flush(connection, &self.replies, ready);
            if fate == Fate::Keep && connection.owed == 0 {
                return ready.wait_for(&connection.socket, READING);
            }
            return fate;
        }
        loop {
            let read = match recv(&connection.socket, &mut self.inbox[..], RecvFlags::empty()) {
                Ok((0, _)) => return Fate::Close,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Fate::Keep,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Close,
            };
            let ends = connection.ends.count(&self.finder, &self.inbox[..read]);
            if ends > 0 {
                connection.owed = ends * REPLY.len();
                if flush(connection, &self.replies, ready) == Fate::Close {
                    return Fate::Close;
                }
            }
            if connection.owed > 0 {
                return Fate::Keep;
            }
            // A short read has emptied the socket: epoll(7) calls that enough with edges. But the
            // stream's end, if it is here already, makes no edge of its own.
            if read < READ_BYTES && !ready.flags.contains(EventFlags::RDHUP) {
                return Fate::Keep;
            }
        }
    }
}

/// What a connection waits for while all its replies are away. Edges, since levels, measured beside
/// them at 10 to 1,000 connections, took as much CPU time a request or up to 6 % more.
const READING: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

/// Writes what is owed. What the socket does not take waits until it can, and until then nothing
/// more is read from it.
fn flush(connection: &mut Connection, replies: &[u8], ready: Ready<'_>) -> Fate {
    while connection.owed > 0 {
        let from = (REPLY.len() - connection.owed % REPLY.len()) % REPLY.len();
        let to = replies.len().min(from + connection.owed);
        match send(&connection.socket, &replies[from..to], SendFlags::NOSIGNAL) {
            Ok(sent) => connection.owed -= sent,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return ready.wait_for(&connection.socket, EventFlags::OUT),
            Err(_) => return Fate::Close,
        }
    }
    Fate::Keep
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ends(pieces: &[&[u8]]) -> usize {
        let finder = Finder::new(b"\n\n");
        let mut ends = RequestEnds::default();
        pieces.iter().map(|piece| ends.count(&finder, piece)).sum()
    }

    #[test]
    fn each_empty_line_ends_one_request() {
        for (pieces, expected) in [
            (&[&b""[..]][..], 0),
            (&[b"a=b\n"], 0),
            (&[b"a=b\n\n"], 1),
            (&[b"a=b\n", b"\n"], 1),
            (&[b"a=b\n", b"", b"\n"], 1),
            (&[b"a=b\n\na=b\n\n"], 2),
            (&[b"a=b\n\n", b"\n"], 1),
            (&[b"a=b\n", b"\n\n", b"\n"], 2),
            (&[b"a=b\n\na=b\n", b"\na"], 2),
        ] {
            assert_eq!(ends(pieces), expected, "{pieces:?}");
        }
    }

    /// Byte by byte: a line's end directly after a line's end that ended no request.
    fn ends_slowly(stream: &[u8]) -> usize {
        let mut ends = 0;
        let mut after_newline = false;
        for &byte in stream {
            let end = byte == b'\n' && after_newline;
            ends += usize::from(end);
            after_newline = byte == b'\n' && !end;
        }
        ends
    }

    #[test]
    fn many_requests_at_once_get_one_reply_each_even_if_nobody_reads_at_first() {
        use std::io::Read as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(|| floor::serve(&listener.into(), NullServer::new()));
        // The shortest request there is: 14 MiB of replies, more than the sockets can hold.
        let requests = vec![b'\n'; 2 << 20];
        let client = std::net::TcpStream::connect(address).unwrap();
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&requests).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut replies = Vec::new();
        (&client).read_to_end(&mut replies).unwrap();
        writing.join().unwrap();
        assert_eq!(replies.len(), (1 << 20) * REPLY.len());
        assert!(replies.chunks(REPLY.len()).all(|reply| reply == REPLY));
    }

    proptest! {
        #[test]
        fn the_same_ends_are_found_wherever_the_stream_is_cut(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..200),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<usize> =
                cuts.into_iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(ends(&pieces), ends_slowly(&stream));
        }
    }
}
