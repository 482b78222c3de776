//! The other side: asking a server, an original one or ours (sections 4 and 7).

use std::fmt;
use std::net::IpAddr;

use super::answer::ERROR_TYPE;
use super::field::{push_header, push_u16, u16_at};
use super::{
    Action, Config, DATAGRAM_BYTES_MAX, ErrorCode, Request, Secret, Stats, Tuple, VERSION, Why,
};

/// A request that can't be sent: the mail's or the admin's fault, not the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// It would be longer than the server reads.
    TooLong {
        /// How long it would be, in bytes.
        bytes: usize,
    },
    /// A list's text has a NUL, where it would be cut.
    Nul,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(
                f,
                "the request would have {bytes} bytes, and a server reads {DATAGRAM_BYTES_MAX} at most"
            ),
            Self::Nul => f.write_str("an entry of a list cannot have a NUL byte"),
        }
    }
}

impl std::error::Error for Unsendable {}

/// Appends the datagram that asks; nothing on an error. It has the length that the original's own
/// programs give it, and zeros where theirs have garbage.
///
/// # Errors
/// When no server would take it for what it is.
pub fn encode_request(
    secret: &Secret,
    mta: u16,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Unsendable> {
    let bytes = length(request);
    if bytes > DATAGRAM_BYTES_MAX {
        return Err(Unsendable::TooLong { bytes });
    }
    if let Request::ChangeList { text, .. } = request
        && text.contains(&0)
    {
        return Err(Unsendable::Nul);
    }
    let start = out.len();
    push_header(mta, request.request_type(), out);
    match request {
        Request::NoOp | Request::ShowStats | Request::ShowConfig | Request::Report(_) => {}
        Request::Greylist(tuple) | Request::Whitelist(tuple) | Request::Remove(tuple) => {
            push_tuple(tuple, out);
        }
        Request::ChangeIpList { network, change } => {
            for number in [change.code(), 4, u16::from(network.prefix_len())] {
                push_u16(number, out);
            }
            out.extend_from_slice(&network.network().octets());
        }
        Request::ChangeList { text, change, .. } => {
            push_u16(change.code(), out);
            push_u16(u16::try_from(text.len()).unwrap_or_default(), out);
            out.extend_from_slice(text);
        }
    }
    out.resize(start + bytes, 0);
    secret.seal(&mut out[start..]);
    Ok(())
}

/// How long a request is, in bytes.
fn length(request: &Request<'_>) -> usize {
    match request {
        Request::NoOp | Request::ShowStats | Request::ShowConfig | Request::Report(_) => 12,
        Request::Greylist(tuple) | Request::Whitelist(tuple) | Request::Remove(tuple) => {
            let ip_size = if tuple.client.is_ipv4() { 4 } else { 16 };
            16 + ip_size + tuple.sender.len() + tuple.recipient.len()
        }
        Request::ChangeIpList { .. } => 32,
        Request::ChangeList { text, .. } => 16 + text.len(),
    }
}

/// The sizes fit: the whole is not longer than a datagram.
fn push_tuple(tuple: &Tuple<'_>, out: &mut Vec<u8>) {
    let size = |text: &[u8]| u16::try_from(text.len()).unwrap_or_default();
    push_u16(if tuple.client.is_ipv4() { 4 } else { 16 }, out);
    push_u16(size(tuple.sender), out);
    push_u16(size(tuple.recipient), out);
    match tuple.client {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
    out.extend_from_slice(tuple.sender);
    out.extend_from_slice(tuple.recipient);
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a question about a tuple, or to a command: what was decided, and why. To commands this
    /// says no more than that they were taken, and to a report that it can be fetched.
    Reply {
        /// What was decided.
        action: Action,
        /// By what.
        why: Why,
    },
    /// What it has counted.
    Stats(Stats),
    /// How it is set.
    Config(Config),
}

/// Why a datagram is not the answer.
///
/// The original's own clients don't look where it came from; whoever reads from a socket should
/// have connected it. A datagram that is wrong may be the late answer to another question: the
/// right one may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The server refused.
    Refused(ErrorCode),
    /// It came otherwise than it was sent, or the server has another secret.
    BadCrc,
    /// It is too short.
    Short {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// It is of a later version.
    Version(u16),
    /// It is for another asker.
    Mta(u16),
    /// It answers something else.
    Type(u16),
    /// It is an error that doesn't exist.
    Error(u16),
    /// It is an action that doesn't exist: the original gives back any that was stored in a list
    /// (section 5.5).
    Action(u16),
    /// It is for a reason that doesn't exist.
    Why(u16),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "the server refuses: {error}"),
            Self::BadCrc => {
                f.write_str("the answer's checksum is wrong: do both sides have the same secret?")
            }
            Self::Short { bytes } => write!(f, "the answer ends after {bytes} bytes"),
            Self::Version(version) => {
                write!(f, "the answer has version {}.{}", version >> 8, version & 0xff)
            }
            Self::Mta(mta) => write!(f, "the answer is for another program (MTA {mta})"),
            Self::Type(number) => write!(f, "the answer is to another question (type {number})"),
            Self::Error(code) => write!(f, "the server refuses, for an unknown reason ({code})"),
            Self::Action(code) => write!(f, "the answer is no action that there is ({code})"),
            Self::Why(code) => write!(f, "the answer has no reason that there is ({code})"),
        }
    }
}

impl std::error::Error for Wrong {}

/// What a datagram answers to a request.
///
/// Its length is not checked beyond what is read, as the original's clients don't (section 4).
///
/// # Errors
/// When it doesn't answer it, with how that can be seen.
pub fn decode_answer(
    secret: &Secret,
    mta: u16,
    request: &Request<'_>,
    datagram: &[u8],
) -> Result<Answer, Wrong> {
    let short = Wrong::Short { bytes: datagram.len() };
    if datagram.len() < super::HEADER_BYTES {
        return Err(short);
    }
    if !secret.is_of(datagram) {
        return Err(Wrong::BadCrc);
    }
    let number = |at| u16_at(datagram, at).ok_or(short);
    let [version, answered, answer_type] = [number(4)?, number(6)?, number(8)?];
    if version > VERSION {
        return Err(Wrong::Version(version));
    }
    if answered != mta {
        return Err(Wrong::Mta(answered));
    }
    if answer_type == ERROR_TYPE && number(10)? != 0 {
        let code = number(10)?;
        return Err(ErrorCode::of_code(code).map_or(Wrong::Error(code), Wrong::Refused));
    }
    if answer_type != request.answer_type() {
        return Err(Wrong::Type(answer_type));
    }
    match request {
        Request::ShowStats => Stats::of_answer(datagram).map(Answer::Stats).ok_or(short),
        Request::ShowConfig => Config::of_answer(datagram).map(Answer::Config).ok_or(short),
        _ => {
            let (action, why) = (number(10)?, number(12)?);
            Ok(Answer::Reply {
                action: Action::of_code(action).ok_or(Wrong::Action(action))?,
                why: Why::of_code(why).ok_or(Wrong::Why(why))?,
            })
        }
    }
}
