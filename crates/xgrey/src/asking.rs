//! Asking a policy server as a mail server does: addresses, deadlines, a connection that is kept.
//!
//! For programs of ours that have a question themselves: `xgrey check` has one, a filter one for each
//! recipient. Each question has its deadline, and whoever asks decides what having no answer means.
//!
//! Never knows: what is asked about, nor what an answer leads to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;
use wire::postfix::client as policy;

use crate::cli::check::{HostPort, PolicyAddress};
use crate::clock;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// The host's name has no address.
    #[error("no address is known for {0}")]
    Unknown(HostPort),
    /// Nobody listens there.
    #[error("cannot connect to {to}: {error}")]
    NotThere {
        /// The server.
        to: String,
        /// What the kernel says.
        error: io::Error,
    },
    /// The deadline has passed.
    #[error("{0} did not answer in time")]
    Late(String),
    /// The connection broke.
    #[error("{to} broke off: {error}")]
    Broken {
        /// The server.
        to: String,
        /// What the kernel says.
        error: io::Error,
    },
    /// The server hung up.
    #[error("{to} ended the connection without an answer")]
    Ended {
        /// The server.
        to: String,
    },
    /// It answered something that is no answer.
    #[error("{to}: {why}")]
    Policy {
        /// The server.
        to: String,
        /// What is wrong with it.
        why: policy::NoAnswer,
    },
}

impl NoAnswer {
    /// What an error of a socket that has a time limit means.
    pub fn broken(to: &str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late(to.to_owned()),
            _ => Self::Broken { to: to.to_owned(), error },
        }
    }
}

/// The point in time after which no answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    /// That far from now.
    pub fn within(time: Duration) -> Self {
        Self(clock::boot() + time)
    }

    /// What is left of it; nothing if it is over.
    pub fn left(self) -> Option<Duration> {
        Some(self.0.saturating_sub(clock::boot())).filter(|left| !left.is_zero())
    }
}

/// A connection to a policy server, for one question after the other.
#[derive(Debug)]
pub struct PolicyConnection {
    stream: Stream,
    to: String,
    /// What has come of an answer.
    answer: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl PolicyConnection {
    /// Connects, by the deadline. A host's name is looked up first, and for how long nobody can say; an
    /// address needs no looking up.
    ///
    /// # Errors
    /// When there is nobody, or not in time.
    pub fn open(server: &PolicyAddress, deadline: Deadline) -> Result<Self, NoAnswer> {
        let to = server.to_string();
        let stream = match server {
            PolicyAddress::Unix(path) => {
                let not_there = |error| match NoAnswer::broken(&to, error) {
                    NoAnswer::Broken { to, error } => NoAnswer::NotThere { to, error },
                    late => late,
                };
                let left = deadline.left().ok_or_else(|| NoAnswer::Late(to.clone()))?;
                // The standard library's would wait as long as the server's queue is full.
                let connected = SockAddr::unix(path).and_then(|address| {
                    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                    socket.connect_timeout(&address, left).map(|()| socket)
                });
                Stream::Unix(connected.map_err(not_there)?.into())
            }
            PolicyAddress::Tcp(address) => Stream::Tcp(first(&addresses(address)?, &to, |one| {
                let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
                let stream = TcpStream::connect_timeout(one, left)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            })?),
        };
        Ok(Self { stream, to, answer: Vec::new() })
    }

    /// Asks, and waits for the answer until the deadline. After an error nothing more is to be asked here:
    /// the answer to this question may still come.
    ///
    /// # Errors
    /// When there is no answer, or not in time.
    pub fn ask(
        &mut self,
        request: &[u8],
        deadline: Deadline,
    ) -> Result<policy::Answer<'_>, NoAnswer> {
        self.answer.clear();
        self.converse(request, deadline)?;
        let ended = || NoAnswer::Ended { to: self.to.clone() };
        self.last_answer().ok_or_else(ended)
    }

    /// The answer to the last question, if it had one.
    pub fn last_answer(&self) -> Option<policy::Answer<'_>> {
        policy::decode_answer(&self.answer).ok().flatten()
    }

    /// Asks, and reads until there is an answer.
    fn converse(&mut self, request: &[u8], deadline: Deadline) -> Result<(), NoAnswer> {
        let Self { stream, to, answer } = self;
        let left = || deadline.left().ok_or_else(|| NoAnswer::Late(to.clone()));
        let broken = |error| NoAnswer::broken(to, error);
        stream.wait_at_most(left()?).map_err(broken)?;
        stream.write_all(request).map_err(broken)?;
        let mut piece = [0; 1024];
        loop {
            stream.wait_at_most(left()?).map_err(broken)?;
            match stream.read(&mut piece).map_err(broken)? {
                0 => return Err(NoAnswer::Ended { to: to.clone() }),
                count => answer.extend_from_slice(&piece[..count]),
            }
            match policy::decode_answer(answer) {
                Ok(None) => {}
                Ok(Some(_)) => return Ok(()),
                Err(why) => return Err(NoAnswer::Policy { to: to.clone(), why }),
            }
        }
    }
}

impl Stream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        let time = Some(time);
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(time).and_then(|()| tcp.set_write_timeout(time)),
            Self::Unix(unix) => {
                unix.set_read_timeout(time).and_then(|()| unix.set_write_timeout(time))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buf),
            Self::Unix(unix) => unix.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(buf),
            Self::Unix(unix) => unix.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The addresses of a host, IPv4 first: X-Grey knows no others, and the usual listeners are there.
///
/// # Errors
/// When it has none, or that can't be found out.
pub fn addresses(server: &HostPort) -> Result<Vec<SocketAddr>, NoAnswer> {
    let HostPort { host, port } = server;
    let found = (host.as_str(), *port).to_socket_addrs();
    let mut found: Vec<SocketAddr> =
        found.map_err(|error| NoAnswer::NotThere { to: server.to_string(), error })?.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() { Err(NoAnswer::Unknown(server.clone())) } else { Ok(found) }
}

/// The first of the addresses that can be connected to.
///
/// # Errors
/// What was wrong with the last.
pub fn first<T>(
    addresses: &[SocketAddr],
    to: &str,
    mut connect: impl FnMut(&SocketAddr) -> io::Result<T>,
) -> Result<T, NoAnswer> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match connect(address) {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    match last.kind() {
        io::ErrorKind::TimedOut => Err(NoAnswer::Late(to.to_owned())),
        _ => Err(NoAnswer::NotThere { to: to.to_owned(), error: last }),
    }
}
