//! `xgrey check`: asks a running server, ours or another, what becomes of a mail; for scripts.
//!
//! One question over Postfix's policy protocol or over X-Grey's, one answer, an exit code. When there is
//! no answer, `--on-failure` is one, and standard error says why: unless told otherwise, mail flows.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use greylist::{Client, Query};
use thiserror::Error;
use wire::postfix::client as policy;
use wire::postfix::client::Fate;
use wire::xgrey_v1::{self, Action, Secret, client as x_grey};

use super::{Failure, UNREACHABLE, say};
use crate::asking::{self, Deadline, PolicyConnection, addresses, first};
use crate::cli::bare_address;
use crate::cli::check::{CheckArgs, HostPort, OnFailure, PolicyAddress};

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
    #[error(transparent)]
    Asking(#[from] asking::NoAnswer),
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

fn ask_policy(
    server: &PolicyAddress,
    request: &[u8],
    deadline: Deadline,
) -> Result<Answered, NoAnswer> {
    let mut connection = PolicyConnection::open(server, deadline)?;
    let policy::Answer { fate, action } = connection.ask(request, deadline)?;
    Ok(Answered { fate, why: String::from_utf8_lossy(action).into_owned() })
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
        io::ErrorKind::ConnectionRefused => asking::NoAnswer::NotThere { to: to.clone(), error },
        _ => asking::NoAnswer::broken(&to, error),
    };
    socket.send(datagram).map_err(broken)?;
    let mut answer = [0; xgrey_v1::DATAGRAM_BYTES_MAX];
    let left = deadline.left().ok_or_else(|| asking::NoAnswer::Late(to.clone()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_failures_come_down_to_an_exit_code_and_a_line() {
        let answered = |fate, why: &str| Ok(Answered { fate, why: why.to_owned() });
        let late = || asking::NoAnswer::Late("127.0.0.1:10023".to_owned());
        let none = || Err(late().into());
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
