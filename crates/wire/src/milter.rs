//! The milter protocol, by which Sendmail and Postfix ask a filter at each step of an SMTP session;
//! versions 2 to 6. Written from the documentation of Sendmail's milter API, Postfix's
//! MILTER_README, and what Sendmail 8.17 and Postfix 3.7 were seen to say.
//!
//! ```text
//!  length  command  data                    all numbers are big-endian; the length counts the command
//!  0000000d   O     00000006 000001ff 001fffff   offer: version, actions, steps ──▶ O … what we want of it
//!  0000002e   D     M i\0…\0{auth_authen}\0alice\0   macros for the next M             no reply, ever
//!  00000022   C     mail.example.net\0 4 9c40 192.0.2.7\0   who connects
//!  0000000e   H     example.net\0                   HELO
//!  00000019   M     <alice@example.net>\0SIZE=99\0  a message begins
//!  00000016   R     <bob@example.org>\0             ──▶ c, or y 451 4.7.1 Greylisted, …
//!  00000001   E     the message's end               ──▶ i X-Greylist …, c
//!  00000001   A     the message came to nothing                                        no reply, ever
//!  00000001   Q     the end; K: another SMTP session follows on this connection        no reply, ever
//! ```
//! Only a recipient and the end of a message get a reply: the replies to all other steps are
//! negotiated away, and most steps with them. Where a peer offers less, it gets its replies.
//!
//! **No objection is `c`, continue.** An `a`, accept, would take the rest of a message, other
//! recipients included, out of our sight. It would skip nobody else's checks, but save next to
//! nothing either: one recipient's step is all that most messages have.
//!
//! **No `p`, progress, is ever sent.** It tells an MTA to be patient, and is allowed at the end of a
//! message only. We have nothing left to find out there: what waits was decided at the recipients,
//! each within a moment, and a store that cannot be asked is an answer too.
//!
//! | module | subject |
//! |---|---|
//! | here | the packets of a connection: [`Decoder`] |
//! | `packet` | what is in a packet |
//! | `negotiation` | what we want of what a peer offers |
//! | `macros` | what an MTA tells by its macros, and what that proves |
//! | `session` | what is known of connection, message and recipient; what is owed: [`Session`] |
//! | `reply` | replies |
//!
//! This module never knows what an answer should be.

mod macros;
mod negotiation;
mod packet;
mod reply;
mod session;

pub use self::macros::Macros;
pub use self::negotiation::{Agreed, Offer};
pub use self::packet::{Command, Connect, Packet, Peer};
pub use self::reply::{encode, encode_end_of_message, encode_no_objection};
pub use self::session::{Session, Step};
use crate::{Fault, Limits};

/// The newest version of the protocol there is (Sendmail 8.14, 2007), and the one that we speak.
pub const VERSION_MAX: u32 = 6;

/// The oldest version that is understood: Sendmail before 8.14.
pub const VERSION_MIN: u32 = 2;

/// The longest packet that any peer could mean, its length field left out: a megabyte of a body,
/// the most that can be negotiated (we never do), its command, and some room. What claims to be longer is
/// no milter's packet: it is how other protocols begin (`GET ` would be 1.2 GB).
pub const PACKET_BYTES_MAX: u32 = 1024 * 1024 + 64 * 1024;

/// The longest name or address that is kept, in bytes; a packet with a longer one is not
/// understood. RFC 5321, section 4.5.3.1: 256 for a path; an SMTP command's line has 2,048 at most in both
/// MTAs. A connection keeps four such texts and eight values of 255: 10 KiB at worst, 41 MiB for 4,096 connections.
pub const TEXT_BYTES_MAX: usize = 2_048;

/// The length field.
const LENGTH_BYTES: usize = 4;

/// The length field, and the command that every packet has.
const HEAD_BYTES: usize = LENGTH_BYTES + 1;

/// What the front of a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// An unfinished packet, shorter than the limit: read more, keep all.
    Need,
    /// Part of a packet that is too long; what it is comes at its end.
    Discard {
        /// How many bytes to drop from the front; never 0.
        used: usize,
    },
    /// A packet.
    Message {
        /// How many bytes to drop from the front once it is dealt with.
        used: usize,
        /// What it says.
        packet: Packet<'a>,
    },
    /// What has come is no packet, and where the next one begins is not known: close.
    Lost(Fault),
}

/// Finds the packets of one connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    /// A packet that is too long, and how many of its bytes are still to come; never 0.
    skipping: Option<(Command, usize)>,
}

impl Decoder {
    /// For a new connection.
    pub fn new(limits: Limits) -> Self {
        let limit = limits.request_bytes_max.clamp(HEAD_BYTES, u32::MAX as usize);
        Self { limit, skipping: None }
    }

    /// Whether the peer has begun a packet and not ended it, when `buffered` bytes are left in the
    /// buffer after [`Decoded::Need`].
    pub fn is_mid_packet(&self, buffered: usize) -> bool {
        buffered > 0 || self.skipping.is_some()
    }

    /// What the front of `buf` is. [`Decoded::Need`] only if `buf` is shorter than the limit: no
    /// caller ever has to keep more.
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Decoded<'a> {
        if let Some((command, left)) = self.skipping {
            return self.skip(command, left, buf);
        }
        let Some((&[a, b, c, d, command], rest)) = buf.split_first_chunk::<HEAD_BYTES>() else {
            // Shorter than the limit, which is not below this.
            return Decoded::Need;
        };
        let length = u32::from_be_bytes([a, b, c, d]);
        if length == 0 || length > PACKET_BYTES_MAX {
            return Decoded::Lost(Fault::PacketLength { bytes: length });
        }
        let Some(command) = Command::of(command) else {
            return Decoded::Lost(Fault::UnknownCommand(command));
        };
        let data_bytes = length as usize - 1;
        if HEAD_BYTES + data_bytes > self.limit {
            return self.skip(command, HEAD_BYTES + data_bytes, buf);
        }
        match rest.get(..data_bytes) {
            None => Decoded::Need,
            Some(data) => Decoded::Message {
                used: HEAD_BYTES + data_bytes,
                packet: Packet::read(command, data),
            },
        }
    }

    /// Drops what belongs to a packet that is too long.
    fn skip<'a>(&mut self, command: Command, left: usize, buf: &'a [u8]) -> Decoded<'a> {
        if buf.is_empty() {
            return Decoded::Need;
        }
        let used = left.min(buf.len());
        if used < left {
            self.skipping = Some((command, left - used));
            return Decoded::Discard { used };
        }
        self.skipping = None;
        let fault = Fault::TooLong { limit: self.limit };
        Decoded::Message { used, packet: Packet::Faulty { command, fault } }
    }
}
