//! The protocol of Sean Conner's X-Grey, version 1.1, as its own programs speak it: a server in its
//! place, and a client of one. Written from "X-Grey v1.1 protocol" (cited by its sections), not from
//! the original's source.
//!
//! ```text
//!  fc407462 0101 0003 0002 0004 0011 000f c0000201 alice@example.combob@example.net
//!  crc      1.1  MTA  type ip   from to   192.0.2.1                        one datagram asks
//!  type 2, may this pass? ──▶ crc 0101 0003 0003 0000 0006 0000            at most one answers
//!                                                GREYLIST, since it is greylisted
//! ```
//! All numbers are big-endian. What authenticates a datagram is a CRC-32 over it and a secret:
//! that stops mistakes, not an attacker.
//!
//! The original has faults. Those of section 12 are not copied: a datagram shorter than its header is
//! silence, actions and prefix lengths that do not exist are bad data, a text without its NUL
//! ends with the datagram, and IPv6 addresses are written in full.
//!
//! | module | what it is for |
//! |---|---|
//! | here | a server: requests in, answers out |
//! | [`client`] | a client: requests out, answers in |
//! | [`report`] | the lines of the reports that go over TCP |
//! | [`files`] | the lines of the original's files |
//!
//! This module never knows sockets, the time, or what a request deserves.

mod answer;
pub mod client;
mod field;
pub mod files;
pub mod report;
mod request;
mod secret;
mod stats;
mod words;

pub use self::answer::{Config, REPLY_BYTES, encode_config, encode_refused, encode_reply};
pub use self::request::{
    Asked, Change, Decoded, Refused, Report, Request, Silence, TextList, Tuple, decode,
};
pub use self::secret::{Secret, SecretError};
pub use self::stats::{Stats, encode_stats};
pub use self::words::{Action, ErrorCode, Why};

/// The port of the original, UDP and TCP (section 1).
pub const PORT: u16 = 9990;

/// Version 1.1, the newest there is (section 3).
pub const VERSION: u16 = 0x0101;

/// The longest datagram that is read whole, in bytes (section 1).
pub const DATAGRAM_BYTES_MAX: usize = 1500;

/// The header that all datagrams begin with, in bytes (section 4).
pub const HEADER_BYTES: usize = 10;

/// How much of a sender or recipient the original keeps, in bytes: the start, which is then what a
/// tuple is known by (section 5.2).
pub const ADDRESS_KEPT_BYTES: usize = 107;

/// How much of a sender or recipient the original's clients send, in bytes (section 7).
pub const ADDRESS_SENT_BYTES: usize = 200;

/// The MTA of the control program (section 3).
pub const MTA_CONTROL: u16 = 0;

/// The MTA of Postfix (section 3), which the original's milter claims to be too.
pub const MTA_POSTFIX: u16 = 3;

/// A text up to its first NUL: what the original sees of it in its lists and writes in its reports
/// (section 13). As part of a tuple it counts whole.
pub fn until_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}
