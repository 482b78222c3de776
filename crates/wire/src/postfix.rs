//! Postfix's policy delegation protocol, as SMTPD_POLICY_README describes it, and Exim's use of it.
//!
//! ```text
//!  request=smtpd_access_policy⏎          one attribute a line, in any order, up to an empty line
//!  protocol_state=RCPT⏎
//!  client_address=192.0.2.7⏎
//!  sender=a@example.net⏎                 an empty value is the same as no attribute at all
//!  recipient=b@example.org⏎
//!  ⏎                                  ──▶ action=DEFER_IF_PERMIT 4.7.1 Greylisted, try again in 60 seconds⏎⏎
//! ```
//! A connection carries one request after another, each answered before the next is read; we don't
//! lean on that, and take as many as have come. Lines may end with `\r\n`; empty lines before a
//! request are no requests, unknown attributes are skipped, and of an attribute that comes twice the
//! last counts. A line that is no attribute spoils its request, not the next one.
//!
//! Exim has no such protocol of its own: an administrator's ACL writes the same lines, often without
//! `request`, `protocol_state`, `instance` or the empty line, shuts down its writing side and reads
//! to the end. Hence [`Decoder::finish`].
//!
//! What the attributes prove:
//! - `client_name` is the name of the client only if a forward look-up confirmed it, else `unknown`.
//!   `reverse_client_name` is what the client's own zone claims: never read here.
//! - `sasl_username` is set when a login has succeeded. `sasl_method` tells only how, and
//!   `sasl_sender` is the client's own word (`MAIL FROM … AUTH=`): not read.
//! - `ccert_subject` and `ccert_issuer` are set only when Postfix has verified the client's
//!   certificate up to an authority that it trusts (`smtpd_tls_CAfile`: where that is the public
//!   ones' list, anybody can have such a certificate). `ccert_fingerprint` and
//!   `ccert_pubkey_fingerprint` are sent for any certificate, a self-made one too: they prove
//!   nothing without a list to compare them with, and are not read.
//!
//! This module never knows what an answer should be.

use std::io::Write as _;

use greylist::reply::{Fields, Replies, Reply};
use greylist::{Effect, Query, Secs};
use memchr::memchr;

use self::draft::Draft;
use crate::{Fault, Limits};

pub mod client;
mod draft;

/// What the front of a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// An unfinished request, shorter than the limit: read more, keep all.
    Need,
    /// Bytes that want no answer, or not yet: an empty line where a request would begin, or part of
    /// a request that is too long, whose answer is due at its end.
    Discard {
        /// How many bytes to drop from the front; never 0.
        used: usize,
    },
    /// A request, which wants one answer.
    Message {
        /// How many bytes to drop from the front once it is answered.
        used: usize,
        /// What it says.
        request: Request<'a>,
    },
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// May this pass?
    Ask(Query<'a>),
    /// Nothing to decide at this state of the SMTP dialogue: answer no objection.
    Pass(ProtocolState),
    /// Not understood: answer no objection, count it, log it.
    Faulty(Fault),
}

/// Where the SMTP dialogue is, when it is not at a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolState {
    /// The client has connected.
    Connect,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// MAIL FROM.
    Mail,
    /// DATA; Postfix calls BDAT so as well.
    Data,
    /// The message has been received.
    EndOfMessage,
    /// VRFY: it has a recipient, but nothing is being sent.
    Vrfy,
    /// ETRN.
    Etrn,
    /// One that is not known here.
    Other,
}

impl ProtocolState {
    /// As Postfix writes it; `other` for one that is not known here.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Mail => "MAIL",
            Self::Data => "DATA",
            Self::EndOfMessage => "END-OF-MESSAGE",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::Other => "other",
        }
    }

    /// `None` at the one state that asks: RCPT, or nothing said.
    fn of(value: &[u8]) -> Option<Self> {
        if value.is_empty() || value.eq_ignore_ascii_case(b"RCPT") {
            return None;
        }
        const KNOWN: [ProtocolState; 8] = [
            ProtocolState::Connect,
            ProtocolState::Ehlo,
            ProtocolState::Helo,
            ProtocolState::Mail,
            ProtocolState::Data,
            ProtocolState::EndOfMessage,
            ProtocolState::Vrfy,
            ProtocolState::Etrn,
        ];
        let named = |state: &Self| value.eq_ignore_ascii_case(state.name().as_bytes());
        Some(KNOWN.into_iter().find(named).unwrap_or(Self::Other))
    }
}

/// Finds the requests of one connection.
///
/// Each byte is looked at once, however the bytes come: the decoder remembers how far it has read,
/// so at each call the buffer must begin with the bytes of the call before, less what that call
/// said was used.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    /// Up to where the buffer has been searched for line ends.
    searched: usize,
    draft: Draft,
    /// Set while a request that is too long is being dropped.
    dropping: Option<Tail>,
}

/// Where the bytes dropped so far end.
#[derive(Clone, Copy, Debug)]
enum Tail {
    /// At the start of a line.
    LineStart,
    /// After a `\r` at the start of a line.
    LineStartCr,
    /// Within a line.
    InLine,
}

impl Decoder {
    /// For a new connection.
    pub fn new(limits: Limits) -> Self {
        let limit = limits.request_bytes_max.clamp(2, u32::MAX as usize);
        Self { limit, searched: 0, draft: Draft::EMPTY, dropping: None }
    }

    /// Whether the peer has begun a request and not ended it, when `buffered` bytes are left in the
    /// buffer after [`Decoded::Need`]: such a peer is half-sent, others are idle.
    pub fn is_mid_request(&self, buffered: usize) -> bool {
        buffered > 0 || self.dropping.is_some()
    }

    /// What the front of `buf` is. [`Decoded::Need`] only if `buf` is shorter than the limit: no
    /// caller ever has to keep more.
    pub fn decode<'a>(&mut self, buf: &'a [u8]) -> Decoded<'a> {
        if let Some(tail) = self.dropping {
            return self.drop_on(tail, buf);
        }
        debug_assert!(self.searched <= buf.len(), "the buffer has lost bytes that were not used");
        let window = &buf[..buf.len().min(self.limit)];
        while let Some(length) = window.get(self.searched..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.searched + length;
            let line = without_cr(&window[self.draft.next_line()..end]);
            self.searched = end + 1;
            if line.is_empty() {
                return self.end(buf, end + 1);
            }
            self.draft.add(line, end + 1);
        }
        self.searched = window.len();
        if window.len() < self.limit {
            return Decoded::Need;
        }
        self.dropping = Some(match &window[self.draft.next_line().min(window.len())..] {
            b"" => Tail::LineStart,
            b"\r" => Tail::LineStartCr,
            _ => Tail::InLine,
        });
        Decoded::Discard { used: window.len() }
    }

    /// As [`Decoder::decode`], when nothing more will come: the peer has shut down its writing side.
    /// An unfinished rest is taken as a whole request, its last line too. [`Decoded::Need`] then
    /// means that all is said.
    ///
    /// A peer that died in mid-request looks the same. Taking its rest harms nobody: at worst there
    /// is a tuple that nobody will ever ask for again.
    pub fn finish<'a>(&mut self, buf: &'a [u8]) -> Decoded<'a> {
        let decoded = self.decode(buf);
        if decoded != Decoded::Need || !self.is_mid_request(buf.len()) {
            return decoded;
        }
        if self.dropping.is_some() {
            return self.too_long(buf.len());
        }
        let line = without_cr(&buf[self.draft.next_line().min(buf.len())..]);
        if !line.is_empty() {
            self.draft.add(line, buf.len());
        }
        self.end(buf, buf.len())
    }

    /// The request, or the nothing, that the first `used` bytes of `buf` are.
    fn end<'a>(&mut self, buf: &'a [u8], used: usize) -> Decoded<'a> {
        let decoded = if self.draft.is_empty() {
            Decoded::Discard { used }
        } else {
            Decoded::Message { used, request: self.draft.request(buf) }
        };
        self.reset();
        decoded
    }

    /// Drops what belongs to a request that is too long, until its end is found.
    fn drop_on<'a>(&mut self, mut tail: Tail, buf: &'a [u8]) -> Decoded<'a> {
        let mut at = 0;
        while let Some(&byte) = buf.get(at) {
            tail = match (tail, byte) {
                (Tail::LineStart | Tail::LineStartCr, b'\n') => return self.too_long(at + 1),
                (Tail::LineStart, b'\r') => Tail::LineStartCr,
                _ => match memchr(b'\n', &buf[at..]) {
                    Some(length) => {
                        at += length;
                        Tail::LineStart
                    }
                    None => {
                        at = buf.len();
                        self.dropping = Some(Tail::InLine);
                        return Decoded::Discard { used: at };
                    }
                },
            };
            at += 1;
        }
        self.dropping = Some(tail);
        if buf.is_empty() { Decoded::Need } else { Decoded::Discard { used: buf.len() } }
    }

    fn too_long<'a>(&mut self, used: usize) -> Decoded<'a> {
        let fault = Fault::TooLong { limit: self.limit };
        self.reset();
        Decoded::Message { used, request: Request::Faulty(fault) }
    }

    fn reset(&mut self) {
        self.searched = 0;
        self.draft = Draft::EMPTY;
        self.dropping = None;
    }
}

/// A line without the `\r` that some clients send before its end.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends the answer "no objection": Postfix goes on with its own checks.
pub fn encode_no_objection(out: &mut Vec<u8>) {
    out.extend_from_slice(b"action=DUNNO\n\n");
}

/// Appends the answer to `query`.
///
/// | effect | action |
/// |---|---|
/// | no objection | `DUNNO`, never `OK`, which would skip the checks that follow |
/// | add a header | `PREPEND X-Greylist: …`; `DUNNO` if `replies` has none |
/// | defer with 450 | `DEFER_IF_PERMIT 4.7.1 …`: Postfix still asks its later restrictions, and a mail that one of them rejects is refused for good at once |
/// | defer with another code | `451 4.7.1 …`: Postfix answers at once, and asks nothing further |
/// | reject with 554 | `REJECT 5.7.1 …` |
/// | reject with another code | `550 5.7.1 …` |
///
/// 450 and 554 are what Postfix says of itself to `DEFER_IF_PERMIT` and `REJECT`, unless its
/// `access_map_defer_code` and `access_map_reject_code` say otherwise.
pub fn encode(effect: Effect, query: &Query<'_>, replies: &Replies, out: &mut Vec<u8>) {
    match effect {
        Effect::NoObjection => encode_no_objection(out),
        Effect::AddHeader { waited } => match replies.header() {
            None => encode_no_objection(out),
            Some(header) => {
                out.extend_from_slice(b"action=PREPEND X-Greylist: ");
                header.render(&Fields { query, wait: waited }, out);
                out.extend_from_slice(b"\n\n");
            }
        },
        Effect::Defer { wait } => encode_refusal(replies.defer(), query, wait, out),
        Effect::Reject => encode_refusal(replies.reject(), query, Secs::new(0), out),
    }
}

fn encode_refusal(reply: &Reply, query: &Query<'_>, wait: Secs, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _ = match reply.code().get() {
        450 => out.write_all(b"action=DEFER_IF_PERMIT "),
        554 => out.write_all(b"action=REJECT "),
        code => write!(out, "action={code} "),
    };
    if let Some(enhanced) = reply.enhanced() {
        let _ = write!(out, "{enhanced} ");
    }
    reply.text().render(&Fields { query, wait }, out);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_searched_twice_however_slowly_they_come() {
        let request = include_bytes!("../vectors/postfix/postfix-3.7-rcpt-ipv4.request");
        let mut decoder = Decoder::new(Limits::default());
        for end in 0..request.len() {
            assert_eq!(decoder.decode(&request[..end]), Decoded::Need);
            assert_eq!(decoder.searched, end);
        }
    }
}
