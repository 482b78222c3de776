//! OpenSMTPD's filter protocol, versions 0.5 to 0.7: what smtpd writes to a filter, and what it reads.
//!
//! ```text
//!  config|smtpd-version|6.8.0p2⏎  …  config|ready⏎                   first; we answer with what we want to hear of
//!                                                               ──▶ register|report|smtp-in|link-connect⏎ … register|ready⏎
//!  report|0.6|1795536370.642936|smtp-in|link-connect|SESSION|NAME|pass|192.0.2.7:40000|198.51.100.1:25⏎
//!  filter|0.6|1795536370.655464|smtp-in|rcpt-to|SESSION|TOKEN|bob@example.org⏎
//!                                                               ──▶ filter-result|SESSION|TOKEN|proceed⏎
//!  filter|0.6|1795536370.670681|smtp-in|data-line|SESSION|TOKEN|Subject: x⏎
//!                                                               ──▶ filter-dataline|SESSION|TOKEN|Subject: x⏎
//! ```
//! smtpd writes all its sessions to one filter, in one stream. A session stands still until its request is
//! answered, and there is no time after which smtpd goes on without: so a request that can't be understood is
//! a [`Request`] too, one that can be answered. What can't even be answered is a [`Fault`].
//!
//! A bar may stand in the last field alone, where it is a character as any other. What the versions changed
//! is the order of two fields:
//!
//! | | `tx-mail` | `link-auth` |
//! |---|---|---|
//! | 0.5 | message, address, result | user, result |
//! | 0.6 | message, result, address | user, result |
//! | 0.7, and later ones as far as we know | message, result, address | result, user |
//!
//! Of a line longer than the limit the start is taken for the line. smtpd sends none: it takes lines of up to
//! 65,535 bytes from its clients.
//!
//! Source: smtpd-filters(7); seen on OpenSMTPD 6.8.0p2, which speaks 0.6.
//!
//! This module never knows what an answer should be, nor what happened in a session before.

use greylist::Client;
use memchr::memchr;

mod answer;
mod line;

pub use self::answer::{
    Ticket, Wanted, encode_data_line, encode_header, encode_proceed, encode_refusal,
    encode_registration,
};

/// How long a line may be, in bytes, its end included. A line of a message has up to 65,535 bytes in
/// OpenSMTPD, and the fields before it about 90. There is one stream, so this is also all that is kept.
pub const LINE_BYTES_MAX: usize = 128 * 1024;

const _: () = assert!(LINE_BYTES_MAX > 65_535 + 1_024);

/// How long a session's and a request's name may be, in bytes. smtpd writes 16 digits.
pub const NAME_BYTES_MAX: usize = 64;

/// What the front of a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// An unfinished line, shorter than the limit: read more, keep all.
    Need,
    /// Bytes of a line that was too long, and of which all is said: drop that many; never 0.
    Discard {
        /// How many.
        used: usize,
    },
    /// A line.
    Line {
        /// How many bytes to drop from the front; never 0.
        used: usize,
        /// What it says.
        line: Line<'a>,
    },
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Something about smtpd, before anything else.
    Setting {
        /// Such as `smtpd-version`.
        key: &'a [u8],
        /// Such as `6.8.0p2`.
        value: &'a [u8],
    },
    /// All settings are said: smtpd now waits for the registration.
    Ready,
    /// Something that has happened in a session; wants no answer.
    Report {
        /// The session.
        session: &'a [u8],
        /// What has happened.
        event: Event<'a>,
    },
    /// What is to become of something; wants its answer.
    Request(Request<'a>),
    /// Something that we have no use for; wants no answer.
    Other,
    /// Not understood, and nothing could be answered.
    Faulty(Fault),
}

/// What has happened in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It has begun.
    Connected {
        /// Who connects.
        peer: Peer,
        /// The client's host name, if a forward look-up has confirmed it.
        name: Option<&'a [u8]>,
    },
    /// HELO or EHLO, with the name given there.
    Greeted(&'a [u8]),
    /// Somebody has logged in.
    LoggedIn,
    /// A message begins; its name is the start of its envelopes' ids in smtpd's log.
    MessageBegun(&'a [u8]),
    /// The sender was accepted; empty for the null sender.
    Sender(&'a [u8]),
    /// The message is taken, refused or given up.
    MessageEnded,
    /// The session is over.
    Disconnected,
}

/// Who has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A client with an address.
    Client(Client),
    /// A program on this host, over smtpd's own socket.
    Local,
}

/// A request, and what it asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What its answer must carry.
    pub ticket: Ticket<'a>,
    /// Where the session is.
    pub phase: Phase<'a>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase<'a> {
    /// A recipient is named.
    Recipient(&'a [u8]),
    /// A line of the message, with its dots as they are in SMTP; `.` is the last. To be given back.
    DataLine(&'a [u8]),
    /// Anything else, known here or not.
    Other,
    /// Not understood: to be answered all the same.
    Unclear(Fault),
}

/// What is wrong with a line. Always smtpd's fault, or that of whoever plays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Neither a setting nor a report nor a request.
    UnknownKind,
    /// The version is no `major.minor`.
    BadVersion,
    /// A field that must be there is not.
    Missing(&'static str),
    /// A session's or a request's name is longer than [`NAME_BYTES_MAX`].
    LongName,
    /// The client's address is none.
    BadAddress,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "a line is longer than {limit} bytes"),
            Self::UnknownKind => {
                f.write_str("a line begins with neither \"config\" nor \"report\" nor \"filter\"")
            }
            Self::BadVersion => f.write_str("a line's protocol version is none"),
            Self::Missing(field) => write!(f, "a line has no {field}"),
            Self::LongName => write!(f, "a name is longer than {NAME_BYTES_MAX} bytes"),
            Self::BadAddress => f.write_str("a client's address is not an IP address"),
        }
    }
}

impl std::error::Error for Fault {}

/// Finds the lines of the stream.
///
/// Each byte is looked at once, however the bytes come: so at each call the buffer must begin with the
/// bytes of the call before, less what that call said was used.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    /// Up to where the buffer has been searched for the line's end.
    searched: usize,
    /// Set while the rest of a line that is too long is being dropped.
    is_dropping: bool,
}

impl Decoder {
    /// For a new stream, whose lines may be `limit` bytes long, 2 at least.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(2), searched: 0, is_dropping: false }
    }

    /// What the front of `buf` is. [`Decoded::Need`] only if `buf` is shorter than the limit: no caller
    /// ever has to keep more.
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Decoded<'a> {
        if self.is_dropping {
            let end = memchr(b'\n', buf);
            self.is_dropping = end.is_none();
            return match end.map_or(buf.len(), |end| end + 1) {
                0 => Decoded::Need,
                used => Decoded::Discard { used },
            };
        }
        debug_assert!(self.searched <= buf.len(), "the buffer has lost bytes that were not used");
        let window = &buf[..buf.len().min(self.limit)];
        match window.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            Some(length) => {
                let end = self.searched + length;
                self.searched = 0;
                Decoded::Line { used: end + 1, line: line::parse(&window[..end], None) }
            }
            None if window.len() < self.limit => {
                self.searched = window.len();
                Decoded::Need
            }
            None => {
                self.searched = 0;
                self.is_dropping = true;
                let fault = Fault::TooLong { limit: self.limit };
                Decoded::Line { used: window.len(), line: line::parse(window, Some(fault)) }
            }
        }
    }
}
