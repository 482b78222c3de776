//! X-Grey's datagrams, as far as the bench speaks them: a question about a tuple, a no-op, their answers.
//! Source: "X-Grey v1.1 protocol", sections 2 to 4. Written here once more, and not taken from xgrey's own
//! codec, so that the two check each other.
//!
//! ```text
//!  0 crc | 4 version 1.1 | 6 MTA | 8 type | 10 sizes of ip, sender, recipient | 16 ip sender recipient
//!  0 crc | 4 version 1.1 | 6 MTA | 8 type | 10 response | 12 why | 14 nothing
//! ```
//! The MTA comes back as it was sent, so that here it tells which question an answer is for.
//!
//! Never knows: sockets, which tuples are asked about.

use std::net::Ipv4Addr;

use serde::Serialize;

/// The secret that the original was compiled with.
const SECRET: &[u8] = b"decafbad";
const VERSION: u16 = 0x0101;
/// What any datagram begins with, in bytes.
pub(super) const HEADER_BYTES: usize = 10;
/// An answer to a question, in bytes.
const ANSWER_BYTES: usize = 16;
/// An answer whose last two bytes, which mean nothing, are missing.
const ANSWER_BYTES_MIN: usize = 14;
/// The most that a server reads of a datagram, in bytes.
pub(super) const DATAGRAM_BYTES_MAX: usize = 1500;

/// What is asked, and what the answer to it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Type {
    /// Is anybody there?
    NoOp = 0,
    /// May it pass?
    Greylist = 2,
    /// Let it pass.
    Whitelist = 4,
}

impl Type {
    const fn answer(self) -> u16 {
        self as u16 + 1
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Response {
    Greylist,
    Accept,
    Reject,
}

/// An answer as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) mta: u16,
    pub(super) response: Response,
    /// By what: 6, the embargo; 7, since it is known.
    pub(super) why: u16,
}

/// The checksum of a datagram: over all that follows it, and the secret.
fn checksum(datagram: &[u8]) -> [u8; 4] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&datagram[4..]);
    crc.update(SECRET);
    (!crc.finalize()).to_be_bytes()
}

/// Whether a datagram has a header, and the right checksum.
pub(super) fn is_sound(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_BYTES && datagram[..4] == checksum(datagram)
}

/// Appends a header, its checksum still zero.
fn push_header(mta: u16, kind: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    for number in [VERSION, mta, kind] {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn seal(datagram: &mut [u8]) {
    let checksum = checksum(datagram);
    datagram[..4].copy_from_slice(&checksum);
}

/// Appends a no-op.
pub(super) fn push_no_op(mta: u16, out: &mut Vec<u8>) {
    let start = out.len();
    push_header(mta, Type::NoOp as u16, out);
    out.extend_from_slice(&[0; 2]);
    seal(&mut out[start..]);
}

/// Appends a question, or a command, about a tuple. Addresses are shorter than 64 KiB.
pub(super) fn push_tuple(
    kind: Type,
    mta: u16,
    (client, sender, recipient): (Ipv4Addr, &[u8], &[u8]),
    out: &mut Vec<u8>,
) {
    let start = out.len();
    push_header(mta, kind as u16, out);
    for length in [4, sender.len(), recipient.len()] {
        out.extend_from_slice(&(length as u16).to_be_bytes());
    }
    out.extend_from_slice(&client.octets());
    out.extend_from_slice(sender);
    out.extend_from_slice(recipient);
    seal(&mut out[start..]);
}

/// Appends the answer that the null server gives to `question`, a sound one: "greylist", whatever is asked.
pub(super) fn push_null_answer(question: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    push_header(u16_at(question, 6), u16_at(question, 8) + 1, out);
    for number in [0_u16, 6, 0] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    seal(&mut out[start..]);
}

/// Takes an answer to `kind` apart; none when it isn't one: wrong in length, checksum, version, type or
/// response.
pub(super) fn read_answer(kind: Type, datagram: &[u8]) -> Option<Answer> {
    if !(ANSWER_BYTES_MIN..=ANSWER_BYTES).contains(&datagram.len()) || !is_sound(datagram) {
        return None;
    }
    if u16_at(datagram, 4) > VERSION || u16_at(datagram, 8) != kind.answer() {
        return None;
    }
    let response = match u16_at(datagram, 10) {
        0 => Response::Greylist,
        1 => Response::Accept,
        2 => Response::Reject,
        _ => return None,
    };
    Some(Answer { mta: u16_at(datagram, 6), response, why: u16_at(datagram, 12) })
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol document's own examples.
    #[test]
    fn datagrams_are_as_the_protocol_shows_them() {
        let mut out = Vec::new();
        push_no_op(0, &mut out);
        assert_eq!(hex(&out), "c0ed58ef0101000000000000");
        out.clear();
        let tuple =
            (Ipv4Addr::new(192, 0, 2, 1), &b"alice@example.com"[..], &b"bob@example.net"[..]);
        push_tuple(Type::Greylist, 3, tuple, &mut out);
        assert_eq!(
            hex(&out),
            "fc40746201010003000200040011000fc0000201\
             616c696365406578616d706c652e636f6d626f62406578616d706c652e6e6574"
        );
        assert!(is_sound(&out));
    }

    #[test]
    fn an_answer_is_one_whole_in_every_field() {
        let (mut question, mut answer) = (Vec::new(), Vec::new());
        let tuple = (Ipv4Addr::LOCALHOST, &b""[..], &b"b@example.net"[..]);
        push_tuple(Type::Greylist, 0xabcd, tuple, &mut question);
        push_null_answer(&question, &mut answer);
        let expected = Answer { mta: 0xabcd, response: Response::Greylist, why: 6 };
        assert_eq!(read_answer(Type::Greylist, &answer), Some(expected));
        assert_eq!(read_answer(Type::Whitelist, &answer), None, "of another type");
        assert_eq!(read_answer(Type::Greylist, &question), None, "no answer at all");
        for at in 0..answer.len() {
            let mut wrong = answer.clone();
            wrong[at] ^= 1;
            assert_eq!(read_answer(Type::Greylist, &wrong), None, "byte {at}");
        }
        for length in 0..ANSWER_BYTES {
            assert_eq!(read_answer(Type::Greylist, &answer[..length]), None, "{length} bytes");
        }
        // As some of the original's servers may send it.
        let mut short = answer[..ANSWER_BYTES_MIN].to_vec();
        seal(&mut short);
        assert_eq!(read_answer(Type::Greylist, &short), Some(expected));
        for (at, value) in [(5, 2), (9, 4), (9, 1), (11, 3)] {
            let mut other = answer.clone();
            other[at] = value;
            seal(&mut other);
            assert_eq!(read_answer(Type::Greylist, &other), None, "byte {at} is {value}");
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
