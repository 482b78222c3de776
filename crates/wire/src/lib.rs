//! Bytes to types and back: the protocols that mail servers speak.
//!
//! A decoder looks at the bytes that have come so far and says what they are: not enough yet, bytes
//! to be dropped, or a message that borrows them. An encoder appends an answer to a buffer. That
//! more bytes are needed is an outcome, not an error; and a request that cannot be understood still
//! gets an answer that keeps mail flowing, so it is a message too, one that carries a [`Fault`].
//!
//! | protocol | module | source |
//! |---|---|---|
//! | Postfix policy delegation, and Exim's use of it | [`postfix`] | Postfix's SMTPD_POLICY_README and `access(5)`; seen on 3.7 |
//! | OpenSMTPD's filters | [`opensmtpd`] | smtpd-filters(7); seen on 6.8.0p2 |
//! | milter, versions 2 to 6 | [`milter`] | Sendmail's milter API, Postfix's MILTER_README; seen on Sendmail 8.17, Postfix 3.7 |
//! | greylistd, as Exim's ACLs and its program `greylist` speak it | [`greylistd`] | greylistd(8), greylist(1); seen on 0.9.0 |
//! | X-Grey, as its `pfc`, `smc` and `gld-mcp` speak it | [`xgrey_v1`] | "X-Grey v1.1 protocol", written down from the original; seen on 1.0.22 |
//!
//! This crate never knows sockets, clocks, tasks, logs, or what a query deserves. A listener reads,
//! asks the decoder, drops what the decoder has used, and writes what the encoder made.

use std::fmt;

mod address;
pub mod greylistd;
pub mod milter;
pub mod opensmtpd;
pub mod postfix;
pub mod xgrey_v1;

/// How long a request may be, in bytes, its end included, unless configured.
///
/// Postfix sends 29 attributes in 500 to 850 bytes; two addresses of 320 bytes (RFC 5321,
/// section 4.5.3.1: local part 64, domain 255), two host names of 255 and the subject and issuer of
/// a client certificate make an honest request of 3 KiB at most. Five times that leaves room for
/// what later versions add. 4,096 connections × 16 KiB = 64 MiB at worst.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(REQUEST_BYTES_MAX >= 5 * 3 * 1024);

/// What a peer may ask of us before it is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one request may be, in bytes, its end included; 2 at least (an empty line) and 4 GiB
    /// at most, values beyond count as these.
    pub request_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_bytes_max: REQUEST_BYTES_MAX }
    }
}

/// What is wrong with a request. Always the peer's fault, never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Longer than the limit.
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A line that is no `name=value`.
    NotAnAttribute {
        /// Which line of the request, from 1.
        line: usize,
    },
    /// It asks for a service that is not ours.
    OtherService,
    /// Something that must be there is not.
    Missing(&'static str),
    /// The client's address is none.
    BadAddress {
        /// Where in the request it begins, in bytes from 0.
        at: usize,
    },
    /// A version of the protocol that nobody here speaks.
    Version(u32),
    /// A packet that has no command, or is longer than any can be.
    PacketLength {
        /// How long it claims to be, in bytes.
        bytes: u32,
    },
    /// A packet with a command that does not exist.
    UnknownCommand(u8),
}

impl Fault {
    /// The fault in one word, for logs and counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too-long",
            Self::NotAnAttribute { .. } => "not-an-attribute",
            Self::OtherService => "other-service",
            Self::Missing(_) => "missing",
            Self::BadAddress { .. } => "bad-address",
            Self::Version(_) => "version",
            Self::PacketLength { .. } => "packet-length",
            Self::UnknownCommand(_) => "unknown-command",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { limit } => write!(f, "the request is longer than {limit} bytes"),
            Self::NotAnAttribute { line } => {
                write!(f, "line {line} of the request is not \"name=value\"")
            }
            Self::OtherService => f.write_str("the request is for another service"),
            Self::Missing(name) => write!(f, "the request has no {name}"),
            Self::BadAddress { at } => {
                write!(f, "the client's address, at byte {at} of the request, is not an IP address")
            }
            Self::Version(version) => {
                write!(
                    f,
                    "the peer speaks version {version} of the protocol, which is not known here"
                )
            }
            Self::PacketLength { bytes } => {
                write!(f, "a packet of {bytes} bytes: this is another protocol")
            }
            Self::UnknownCommand(command) => {
                write!(f, "a packet with the unknown command \"{}\"", command.escape_ascii())
            }
        }
    }
}

impl std::error::Error for Fault {}
