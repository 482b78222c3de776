//! `xgrey check`: asks a running server, ours or another, what becomes of a mail; for scripts.
//!
//! One question over Postfix's policy protocol or over X-Grey's, one answer, an exit code. When there is
//! no answer, `--on-failure` is one, and standard error says why: unless told otherwise, mail flows.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use greylist::{Client, Query};
use thiserror::Error;
use wire::postfix::client as policy;
use wire::postfix::client::Fate;
use wire::xgrey_v1::{self, Action, Secret, client as x_grey};

use super::{Failure, UNREACHABLE, say};
use crate::cli::bare_address;
use crate::cli::check::{CheckArgs, HostPort, OnFailure, PolicyAddress};
use crate::clock;

/// `EX_TEMPFAIL` of BSD's sysexits.
const DEFER: u8 = 75;

/// What we call ourselves in X-Grey's protocol, whose numbers from 16 on are for users' own programs
/// (X-Grey v1.1 protocol, section 3).
const MTA: u16 = 16;

/// Where the secret may stand, so that it isn't seen in the list of processes.
const SECRET_VARIABLE: &str = "XGREY_SECRET";

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answered {
    fate: Fate,
    /// What the server said of it.
    why: String,
}

/// Why there is none.
#[derive(Debug, Error)]
enum NoAnswer {
    #[error("no address is known for {0}")]
    Unknown(HostPort),
    #[error("cannot connect to {to}: {error}")]
    NotThere { to: String, error: io::Error },
    #[error("{0} did not answer in time")]
    Late(String),
    #[error("{to} broke off: {error}")]
    Broken { to: String, error: io::Error },
    #[error("{to} ended the connection without an answer")]
    Ended { to: String },
    #[error("{to}: {why}")]
    Policy { to: String, why: policy::NoAnswer },
    #[error("{to}: {why}")]
    XGrey { to: String, why: x_grey::Wrong },
}

/// Asks and says what came of it, by the exit code too.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let usage = |why: &dyn fmt::Display| Failure::Usage(format!("xgrey: {why}"));
    let query = Query {
        client_name: args.client_name.as_deref().map(str::as_bytes),
        ..Query::new(
            Client::new(args.tuple.client),
            bare_address(&args.tuple.sender).as_bytes(),
            bare_address(&args.tuple.recipient).as_bytes(),
        )
    };
    if args.timeout.get() == 0 {
        return Err(usage(&"--timeout 0s leaves no time for an answer: give it 1s at least"));
    }
    let deadline = Deadline::within(Duration::from_secs(args.timeout.get().into()));
    let answered = match &args.x_grey {
        Some(server) => {
            let text = args.secret.clone().or_else(|| std::env::var(SECRET_VARIABLE).ok());
            let text = text.as_deref().unwrap_or(Secret::DEFAULT_TEXT);
            let secret = Secret::new(text.as_bytes()).map_err(|why| usage(&why))?;
            let mut datagram = Vec::new();
            let request = question(&query);
            x_grey::encode_request(&secret, MTA, &request, &mut datagram)
                .map_err(|why| usage(&why))?;
            ask_x_grey(server, &secret, &request, &datagram, deadline)
        }
        None => {
            let mut request = Vec::new();
            policy::encode_request(&query, &mut request).map_err(|why| usage(&why))?;
            let usual = PolicyAddress::usual();
            ask_policy(args.policy.as_ref().unwrap_or(&usual), &request, deadline)
        }
    };
    let (code, line) = conclude(&answered, args.on_failure);
    if let Err(why) = &answered {
        eprintln!("xgrey: {why}; {}", counts_as(args.on_failure));
    }
    if !args.quiet
        && let Some(line) = line
    {
        say(&format!("{line}\n"))?;
    }
    if code == 0 { Ok(()) } else { Err(Failure::Exit(code)) }
}

/// The exit code, and what is printed.
fn conclude(answered: &Result<Answered, NoAnswer>, on_failure: OnFailure) -> (u8, Option<String>) {
    let (fate, why) = match (answered, on_failure) {
        (Ok(Answered { fate, why }), _) => (*fate, why.as_str()),
        (Err(_), OnFailure::Accept) => (Fate::Accept, "no answer"),
        (Err(_), OnFailure::Reject) => (Fate::Reject, "no answer"),
        (Err(_), OnFailure::Defer) => (Fate::Defer, "no answer"),
        (Err(_), OnFailure::Fail) => return (UNREACHABLE, None),
    };
    let (code, word) = match fate {
        Fate::Accept => (0, "accept"),
        Fate::Reject => (1, "reject"),
        Fate::Defer => (DEFER, "defer"),
    };
    // Whatever a server says, it is one line and can do nothing to a terminal.
    (code, Some(format!("{word}: {}", why.escape_debug())))
}

fn counts_as(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Accept => "that counts as accept, so that mail flows (--on-failure)",
        OnFailure::Reject => "that counts as reject (--on-failure)",
        OnFailure::Defer => "that counts as defer (--on-failure)",
        OnFailure::Fail => "nothing was decided (--on-failure fail)",
    }
}

/// The point in time after which no answer is waited for.
#[derive(Clone, Copy, Debug)]
struct Deadline(Duration);

impl Deadline {
    fn within(time: Duration) -> Self {
        Self(clock::boot() + time)
    }

    /// What is left of it; nothing if it is over.
    fn left(self) -> Option<Duration> {
        Some(self.0.saturating_sub(clock::boot())).filter(|left| !left.is_zero())
    }
}

/// A connection to a policy server.
trait Stream: Read + Write {
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }
}

impl Stream for UnixStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }
}

fn ask_policy(
    server: &PolicyAddress,
    request: &[u8],
    deadline: Deadline,
) -> Result<Answered, NoAnswer> {
    let to = server.to_string();
    match server {
        PolicyAddress::Unix(path) => {
            let stream = UnixStream::connect(path);
            let stream = stream.map_err(|error| NoAnswer::NotThere { to: to.clone(), error })?;
            converse(stream, to, request, deadline)
        }
        PolicyAddress::Tcp(address) => {
            let stream = first(&addresses(address)?, &to, |one| {
                let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
                TcpStream::connect_timeout(one, left)
            })?;
            converse(stream, to, request, deadline)
        }
    }
}

fn converse(
    mut stream: impl Stream,
    to: String,
    request: &[u8],
    deadline: Deadline,
) -> Result<Answered, NoAnswer> {
    let late = || NoAnswer::Late(to.clone());
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => NoAnswer::Broken { to: to.clone(), error },
    };
    stream.wait_at_most(deadline.left().ok_or_else(late)?).map_err(broken)?;
    stream.write_all(request).map_err(broken)?;
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        stream.wait_at_most(deadline.left().ok_or_else(late)?).map_err(broken)?;
        match stream.read(&mut piece).map_err(broken)? {
            0 => return Err(NoAnswer::Ended { to }),
            count => bytes.extend_from_slice(&piece[..count]),
        }
        match policy::decode_answer(&bytes) {
            Ok(None) => {}
            Ok(Some(policy::Answer { fate, action })) => {
                let why = String::from_utf8_lossy(action).into_owned();
                return Ok(Answered { fate, why });
            }
            Err(why) => return Err(NoAnswer::Policy { to, why }),
        }
    }
}

/// The question in X-Grey's words. Its clients cut addresses, and so its servers know them.
fn question<'a>(query: &Query<'a>) -> xgrey_v1::Request<'a> {
    let cut = |address: &'a [u8]| &address[..address.len().min(xgrey_v1::ADDRESS_SENT_BYTES)];
    xgrey_v1::Request::Greylist(xgrey_v1::Tuple {
        client: query.client.address(),
        sender: cut(query.sender),
        recipient: cut(query.recipient),
    })
}

fn ask_x_grey(
    server: &HostPort,
    secret: &Secret,
    request: &xgrey_v1::Request<'_>,
    datagram: &[u8],
    deadline: Deadline,
) -> Result<Answered, NoAnswer> {
    let to = server.to_string();
    // Connected, so that nobody else's datagram is taken for the answer.
    let socket = first(&addresses(server)?, &to, |one| {
        let any: IpAddr = match one {
            SocketAddr::V4(_) => [0; 4].into(),
            SocketAddr::V6(_) => [0_u16; 8].into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(one).map(|()| socket)
    })?;
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => NoAnswer::Late(to.clone()),
        io::ErrorKind::ConnectionRefused => NoAnswer::NotThere { to: to.clone(), error },
        _ => NoAnswer::Broken { to: to.clone(), error },
    };
    socket.send(datagram).map_err(broken)?;
    let mut answer = [0; xgrey_v1::DATAGRAM_BYTES_MAX];
    let left = deadline.left().ok_or_else(|| NoAnswer::Late(to.clone()))?;
    socket.set_read_timeout(Some(left)).map_err(broken)?;
    let length = socket.recv(&mut answer).map_err(broken)?;
    match x_grey::decode_answer(secret, MTA, request, &answer[..length]) {
        Ok(x_grey::Answer::Reply { action, why }) => {
            let fate = match action {
                Action::Accept => Fate::Accept,
                Action::Reject => Fate::Reject,
                Action::Greylist => Fate::Defer,
            };
            Ok(Answered { fate, why: format!("{action} {why}") })
        }
        // To this question there is no other answer: the decoder would have said so.
        Ok(_) => Err(NoAnswer::XGrey { to, why: x_grey::Wrong::Type(request.answer_type()) }),
        Err(why) => Err(NoAnswer::XGrey { to, why }),
    }
}

fn addresses(server: &HostPort) -> Result<Vec<SocketAddr>, NoAnswer> {
    let HostPort { host, port } = server;
    match (host.as_str(), *port).to_socket_addrs() {
        Ok(found) => {
            let mut found: Vec<SocketAddr> = found.collect();
            // X-Grey knows IPv4 alone, and the usual listeners are there.
            found.sort_by_key(SocketAddr::is_ipv6);
            Ok(found)
        }
        Err(error) => Err(NoAnswer::NotThere { to: server.to_string(), error }),
    }
    .and_then(|found| match found.is_empty() {
        true => Err(NoAnswer::Unknown(server.clone())),
        false => Ok(found),
    })
}

/// The first of the addresses that can be connected to; else what was wrong with the last.
fn first<T>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_failures_come_down_to_an_exit_code_and_a_line() {
        let answered = |fate, why: &str| Ok(Answered { fate, why: why.to_owned() });
        let none = || Err(NoAnswer::Late("127.0.0.1:10023".to_owned()));
        for (answer, on_failure, code, line) in [
            (answered(Fate::Accept, "DUNNO"), OnFailure::Defer, 0, Some("accept: DUNNO")),
            (answered(Fate::Reject, "REJECT no"), OnFailure::Accept, 1, Some("reject: REJECT no")),
            (
                answered(Fate::Defer, "450 \x1b[2J"),
                OnFailure::Fail,
                75,
                Some("defer: 450 \\u{1b}[2J"),
            ),
            (none(), OnFailure::Accept, 0, Some("accept: no answer")),
            (none(), OnFailure::Reject, 1, Some("reject: no answer")),
            (none(), OnFailure::Defer, 75, Some("defer: no answer")),
            (none(), OnFailure::Fail, 69, None),
        ] {
            let concluded = conclude(&answer, on_failure);
            assert_eq!((concluded.0, concluded.1.as_deref()), (code, line));
        }
    }

    #[test]
    fn x_greys_question_has_what_its_clients_would_send() {
        let long = [b'a'; 300];
        let client = Client::new([192, 0, 2, 7].into());
        let xgrey_v1::Request::Greylist(tuple) = question(&Query::new(client, &long, b"b@c"))
        else {
            panic!("another question");
        };
        assert_eq!((tuple.sender.len(), tuple.recipient), (200, &b"b@c"[..]));
    }
}
