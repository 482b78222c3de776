//! The words of a line: how each kind of value is written so that a person can read it, a script
//! can split it at blanks, and no byte gets lost.
//!
//! Never knows: which words make a line.

use std::fmt::Write as _;
use std::net::IpAddr;

use greylist::{State, Timestamp};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use store::TupleId;
use thiserror::Error;

use super::line::Address;

/// What can't stand for itself in a word, beside control characters and all that is not ASCII: what
/// ends a word, what begins an escape, what JSON must escape (the control socket carries lines
/// as JSON), and the brackets of [`EMPTY`].
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'"').add(b'\\').add(b'<').add(b'>');

/// How nothing is written, such as the null sender: mail has it so.
const EMPTY: &str = "<>";

/// What an address ends with of which only the start was kept.
const CUT: &str = "<cut>";

/// Digits of a tuple's id.
const ID_DIGITS: usize = TupleId::BITS.div_ceil(4) as usize;

/// Why a word is not what should stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldFault {
    /// The line is over.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// It is none.
    #[error("the {what} should be {wanted}")]
    Wrong {
        /// What should stand there.
        what: &'static str,
        /// How it looks.
        wanted: &'static str,
    },
    /// The word that always stands there doesn't.
    #[error("the word `{0}` should stand where something else does")]
    Literal(&'static str),
    /// There are more words than the line should have.
    #[error("there is more on the line than its kind has")]
    Surplus,
}

/// The words of one line, taken one after the other.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        Self { rest: Some(line) }
    }

    /// The next word. Two blanks have an empty word between them, which is no value of any kind.
    pub(super) fn next(&mut self, what: &'static str) -> Result<&'a [u8], FieldFault> {
        let line = self.rest.ok_or(FieldFault::Missing(what))?;
        let (word, rest) = match memchr::memchr(b' ', line) {
            Some(end) => (&line[..end], Some(&line[end + 1..])),
            None => (line, None),
        };
        self.rest = rest;
        Ok(word)
    }

    /// That there are no more.
    pub(super) fn end(self) -> Result<(), FieldFault> {
        if self.rest.is_some() { Err(FieldFault::Surplus) } else { Ok(()) }
    }

    pub(super) fn id(&mut self) -> Result<TupleId, FieldFault> {
        let word = self.next("id")?;
        let bits = (word.len() == ID_DIGITS).then(|| hexadecimal(word)).flatten();
        bits.and_then(TupleId::from_bits)
            .ok_or(FieldFault::Wrong { what: "id", wanted: "15 hexadecimal digits of a tuple's" })
    }

    pub(super) fn state(&mut self) -> Result<State, FieldFault> {
        match self.next("state")? {
            b"grey" => Ok(State::Grey),
            b"white" => Ok(State::White),
            _ => Err(FieldFault::Wrong { what: "state", wanted: "`grey` or `white`" }),
        }
    }

    pub(super) fn time(&mut self, what: &'static str) -> Result<Timestamp, FieldFault> {
        let word = self.next(what)?;
        parse_time(word)
            .ok_or(FieldFault::Wrong { what, wanted: "a time such as 2026-11-24T05:30:00Z" })
    }

    pub(super) fn ip(&mut self, what: &'static str) -> Result<IpAddr, FieldFault> {
        let word = self.next(what)?;
        let address = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        address.ok_or(FieldFault::Wrong { what, wanted: "an IPv4 or IPv6 address" })
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u64, FieldFault> {
        let word = self.next(what)?;
        let digits = str::from_utf8(word).ok().filter(|_| word.iter().all(u8::is_ascii_digit));
        digits
            .and_then(|digits| digits.parse().ok())
            .ok_or(FieldFault::Wrong { what, wanted: "a whole number" })
    }

    pub(super) fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, FieldFault> {
        unescape(self.next(what)?, what)
    }

    pub(super) fn address(&mut self, what: &'static str) -> Result<Address<'a>, FieldFault> {
        let word = self.next(what)?;
        Ok(match word.strip_suffix(CUT.as_bytes()) {
            Some(start) => Address::Cut(unescape(start, what)?.into()),
            None => Address::Whole(unescape(word, what)?.into()),
        })
    }

    /// That the next word is this one.
    pub(super) fn literal(&mut self, word: &'static str) -> Result<(), FieldFault> {
        if self.next(word)? == word.as_bytes() { Ok(()) } else { Err(FieldFault::Literal(word)) }
    }
}

fn unescape(word: &[u8], what: &'static str) -> Result<Vec<u8>, FieldFault> {
    if word == EMPTY.as_bytes() {
        return Ok(Vec::new());
    }
    let whole = |at: usize| {
        word.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if word.is_empty() || !memchr::memchr_iter(b'%', word).all(whole) {
        let wanted = "there, with `%` only before two hexadecimal digits";
        return Err(FieldFault::Wrong { what, wanted });
    }
    Ok(percent_decode(word).collect())
}

/// A number in hexadecimal digits, `a` to `f` small, at most 16 of them.
pub(super) fn hexadecimal(word: &[u8]) -> Option<u64> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = str::from_utf8(word).ok().filter(|_| word.iter().all(is_digit))?;
    u64::from_str_radix(digits, 16).ok()
}

/// Seconds that stand for no time: years before 1970 are none of ours.
fn parse_time(word: &[u8]) -> Option<Timestamp> {
    let time: jiff::Timestamp = str::from_utf8(word).ok()?.parse().ok()?;
    u64::try_from(time.as_second()).ok().map(Timestamp::from_unix_secs)
}

/// A time as a backup has it: RFC 3339, UTC.
pub fn rfc3339(at: Timestamp) -> String {
    let mut out = String::new();
    write_time(at, &mut out);
    out
}

/// RFC 3339, UTC. What is beyond the year 9999, where such times end, is written as that end.
pub(super) fn write_time(at: Timestamp, out: &mut String) {
    let secs = i64::try_from(at.as_unix_secs()).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(secs).unwrap_or(jiff::Timestamp::MAX);
    let _ = write!(out, "{time:.0}");
}

pub(super) fn write_bytes(bytes: &[u8], out: &mut String) {
    match bytes {
        [] => out.push_str(EMPTY),
        bytes => out.extend(percent_encode(bytes, ESCAPED)),
    }
}

pub(super) fn write_address(address: &Address<'_>, out: &mut String) {
    match address {
        Address::Whole(bytes) => write_bytes(bytes, out),
        Address::Cut(bytes) => {
            write_bytes(bytes, out);
            out.push_str(CUT);
        }
    }
}

pub(super) fn state_word(state: State) -> &'static str {
    match state {
        State::Grey => "grey",
        State::White => "white",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_read_well() {
        for (bytes, word) in [
            (&b""[..], "<>"),
            (b"<>", "%3C%3E"),
            (b"alice+news@example.net", "alice+news@example.net"),
            (b"\"a b\"@example.net", "%22a%20b%22@example.net"),
            (b"100%\xff\n", "100%25%FF%0A"),
            ("jörg@example.org".as_bytes(), "j%C3%B6rg@example.org"),
        ] {
            let mut out = String::new();
            write_bytes(bytes, &mut out);
            assert_eq!(out, word);
        }
        for (secs, word) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_498_200, "2026-11-24T05:30:00Z"),
            (u64::MAX, "9999-12-30T22:00:00Z"),
        ] {
            let mut out = String::new();
            write_time(Timestamp::from_unix_secs(secs), &mut out);
            assert_eq!(out, word);
        }
    }

    #[test]
    fn a_time_may_be_written_in_another_zone() {
        let parsed = |word: &str| Words::of(word.as_bytes()).time("time");
        let time = Ok(Timestamp::from_unix_secs(1_795_498_200));
        assert_eq!(parsed("2026-11-24T05:30:00Z"), time);
        assert_eq!(parsed("2026-11-24T06:30:00.5+01:00"), time);
        for wrong in ["", "2026-11-24", "1795498200", "1969-12-31T23:59:59Z", "yesterday"] {
            assert!(parsed(wrong).is_err(), "{wrong:?} is taken for a time");
        }
    }

    #[test]
    fn bytes_that_were_not_escaped_count_as_they_are() {
        let parsed = |word: &[u8]| Words::of(word).bytes("sender");
        assert_eq!(parsed("jörg@example.org".as_bytes()), Ok("jörg@example.org".into()));
        assert_eq!(parsed(b"a%40b"), Ok(b"a@b".to_vec()));
        for wrong in [&b""[..], b"100%", b"%4", b"%zz", b"%%41"] {
            assert!(parsed(wrong).is_err(), "{wrong:?} is taken");
        }
    }

    #[test]
    fn an_id_has_its_digits_and_no_others() {
        let parsed = |word: &str| Words::of(word.as_bytes()).id();
        assert_eq!(parsed("000000000000001").map(TupleId::bits), Ok(1));
        for wrong in [
            "",
            "1",
            "00000000000001",
            "0000000000000001",
            "000000000000000",
            "+00000000000001",
            "00000000000000A",
            "fffffffffffffff",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?} is taken for an id");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_word_of_printable_ascii_and_come_back(bytes: Vec<u8>) {
            let mut out = String::new();
            write_bytes(&bytes, &mut out);
            prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte)));
            prop_assert_eq!(Words::of(out.as_bytes()).bytes("name"), Ok(bytes));
        }
    }
}
