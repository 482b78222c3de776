//! Replies.

use std::io::Write as _;

use greylist::reply::{Fields, Replies, Reply};
use greylist::{Effect, Query, Secs};

use super::session::Session;

/// The name of the header that says how long a message was delayed.
const HEADER: &[u8] = b"X-Greylist";

/// Appends the reply "no objection": the MTA goes on with its own checks, and other filters.
pub fn encode_no_objection(out: &mut Vec<u8>) {
    packet(b'c', out, |_| {});
}

/// Appends the answer to a recipient's `query`.
///
/// | effect | reply |
/// |---|---|
/// | no objection; add a header | `c`, continue: headers wait for the end of the message |
/// | defer with 450 | `y 451 4.7.1 …` |
/// | defer with another code | `y 452 4.7.1 …` |
/// | reject | `y 550 5.7.1 …` |
///
/// 450 is what Postfix says of itself to `DEFER_IF_PERMIT` ([`crate::postfix::encode`]), and the default for
/// that reason. A milter says the whole reply, and greylisting is a "local error in processing"
/// (RFC 5321, section 4.2.3: 451), not a mailbox that is busy (450).
pub fn encode(effect: Effect, query: &Query<'_>, replies: &Replies, out: &mut Vec<u8>) {
    match effect {
        Effect::NoObjection | Effect::AddHeader { .. } => encode_no_objection(out),
        Effect::Defer { wait } => encode_refusal(replies.defer(), query, wait, out),
        Effect::Reject => encode_refusal(replies.reject(), query, Secs::new(0), out),
    }
}

/// Appends the reply to the end of the session's message: its header, if one of its recipients
/// has waited, the longest wait of them if several have; and no objection.
///
/// The header goes above the others where its place can be told: there all that was added on the
/// message's way stands, the newest first.
pub fn encode_end_of_message(session: &Session, replies: &Replies, out: &mut Vec<u8>) {
    if let Some(header) = replies.header()
        && let Some((query, wait)) = session.longest_wait()
        && session.agreed().may_add_headers()
    {
        let fields = Fields { query: &query, wait };
        let named = |out: &mut Vec<u8>| {
            out.extend_from_slice(HEADER);
            out.push(0);
            header.render(&fields, out);
            out.push(0);
        };
        if session.agreed().may_insert_headers() {
            packet(b'i', out, |out| {
                out.extend_from_slice(&0_u32.to_be_bytes());
                named(out);
            });
        } else {
            packet(b'h', out, named);
        }
    }
    encode_no_objection(out);
}

fn encode_refusal(reply: &Reply, query: &Query<'_>, wait: Secs, out: &mut Vec<u8>) {
    packet(b'y', out, |out| {
        let code = match reply.code().get() {
            450 => 451,
            code => code,
        };
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "{code} ");
        if let Some(enhanced) = reply.enhanced() {
            let _ = write!(out, "{enhanced} ");
        }
        let start = out.len();
        reply.text().render(&Fields { query, wait }, out);
        double_percent_signs(out, start);
        out.push(0);
    });
}

/// MTAs take a `%` in a reply for the beginning of something, and `%%` for a `%`.
fn double_percent_signs(out: &mut Vec<u8>, start: usize) {
    let mut at = start;
    while let Some(found) = memchr::memchr(b'%', &out[at..]) {
        out.insert(at + found, b'%');
        at += found + 2;
    }
}

/// Appends a packet with the data that `data` appends.
pub(super) fn packet(command: u8, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, command]);
    data(out);
    // Never near 4 GiB: a reply's text is bounded.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}
