//! One line of an export after its head: bytes ⇄ what it says.
//!
//! Never knows: where lines come from, what is done with them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use greylist::{Timestamp, Tuple};
use serde::{Deserialize, Serialize};
use store::TupleId;
use thiserror::Error;

use super::field::{FieldFault, Words, state_word, write_address, write_bytes, write_time};

/// Something that an export says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Something to be remembered.
    Entry(Entry<'a>),
    /// All before it is whole.
    Mark(Mark),
    /// From here on it was written at this later time, after an interruption.
    Continued(Timestamp),
    /// It is whole; so many entries are in it.
    End(Totals),
}

/// Something to be remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A tuple, by its id.
    Tuple {
        /// Which.
        id: TupleId,
        /// What is known of it.
        tuple: Tuple,
    },
    /// A tuple with what it is made of.
    Text(Text<'a>),
    /// Something that the store keeps without reading it: a live change of a rule.
    Note {
        /// What it is about.
        name: Cow<'a, [u8]>,
        /// What it says.
        value: Cow<'a, [u8]>,
    },
}

/// A tuple with what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Which, under the export's hash key.
    pub id: TupleId,
    /// What was known of it when the line was written.
    pub tuple: Tuple,
    /// When it was first tried.
    pub first_try: Timestamp,
    /// The client's address.
    pub client: IpAddr,
    /// The envelope sender, as it came; empty for the null sender.
    pub sender: Address<'a>,
    /// The envelope recipient, as it came.
    pub recipient: Address<'a>,
}

/// An envelope address, as far as it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// All of it.
    Whole(Cow<'a, [u8]>),
    /// What it began with: it was too long to be kept.
    Cut(Cow<'a, [u8]>),
}

/// How many entries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Lines `text`.
    pub texts: u64,
    /// Lines `tuple`.
    pub tuples: u64,
    /// Lines `note`.
    pub notes: u64,
}

/// A place from which an export can go on: before it are all texts, and that many shards of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// `1..=of`.
    pub done: u32,
    /// The number of shards at that moment.
    pub of: u32,
    /// How many lines `text` and `tuple` there are before it, notes left out.
    pub totals: Totals,
}

/// Why a line says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LineFault {
    /// It begins with a word that we don't know.
    #[error("it begins with none of the words that an export's lines begin with")]
    Kind,
    /// It is not as its first word says.
    #[error("{0}")]
    Field(#[from] FieldFault),
    /// It names a shard that there can't be.
    #[error("there is no such shard")]
    Shard,
}

impl Mark {
    /// Whether there can be such shards.
    pub const fn is_possible(&self) -> bool {
        self.done > 0 && self.done <= self.of
    }
}

impl<'a> Line<'a> {
    /// What a line says, without its line end. `None` for a comment.
    ///
    /// # Errors
    /// When it says nothing that we know.
    pub fn parse(line: &'a [u8]) -> Result<Option<Self>, LineFault> {
        if line.first() == Some(&b'#') {
            return Ok(None);
        }
        let mut words = Words::of(line);
        let parsed = match words.next("kind of line")? {
            b"tuple" => {
                Self::Entry(Entry::Tuple { id: words.id()?, tuple: parse_tuple(&mut words)? })
            }
            b"text" => Self::Entry(Entry::Text(Text {
                id: words.id()?,
                tuple: parse_tuple(&mut words)?,
                first_try: words.time("first try")?,
                client: words.ip("client")?,
                sender: words.address("sender")?,
                recipient: words.address("recipient")?,
            })),
            b"note" => Self::Entry(Entry::Note {
                name: words.bytes("name")?.into(),
                value: words.bytes("value")?.into(),
            }),
            b"shard" => {
                let done = words.number("shard")?;
                words.literal("of")?;
                let of = words.number("number of shards")?;
                let (Ok(done), Ok(of)) = (u32::try_from(done), u32::try_from(of)) else {
                    return Err(LineFault::Shard);
                };
                let mark = Mark { done, of, totals: parse_totals(&mut words)? };
                if !mark.is_possible() {
                    return Err(LineFault::Shard);
                }
                Self::Mark(mark)
            }
            b"continued" => Self::Continued(words.time("time")?),
            b"end" => {
                let totals = parse_totals(&mut words)?;
                words.literal("notes")?;
                Self::End(Totals { notes: words.number("number of notes")?, ..totals })
            }
            _ => return Err(LineFault::Kind),
        };
        words.end()?;
        Ok(Some(parsed))
    }

    /// Appends it as a line, line end included.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Entry(entry) => return entry.write(out),
            Self::Mark(Mark { done, of, totals }) => {
                let _ = write!(out, "shard {done} of {of}");
                write_totals(totals, out);
            }
            Self::Continued(at) => {
                out.push_str("continued ");
                write_time(*at, out);
            }
            Self::End(totals) => {
                out.push_str("end");
                write_totals(totals, out);
                let _ = write!(out, " notes {}", totals.notes);
            }
        }
        out.push('\n');
    }
}

impl Text<'_> {
    /// The same, with bytes of its own.
    pub fn into_owned(self) -> Text<'static> {
        let Self { id, tuple, first_try, client, sender, recipient } = self;
        let (sender, recipient) = (sender.into_owned(), recipient.into_owned());
        Text { id, tuple, first_try, client, sender, recipient }
    }
}

impl Address<'_> {
    /// The same, with bytes of its own.
    pub fn into_owned(self) -> Address<'static> {
        match self {
            Self::Whole(bytes) => Address::Whole(bytes.into_owned().into()),
            Self::Cut(bytes) => Address::Cut(bytes.into_owned().into()),
        }
    }
}

impl Entry<'_> {
    /// Appends it as a line, line end included.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Tuple { id, tuple } => {
                let _ = write!(out, "tuple {id} ");
                write_tuple(*tuple, out);
            }
            Self::Text(text) => {
                let _ = write!(out, "text {} ", text.id);
                write_tuple(text.tuple, out);
                out.push(' ');
                write_time(text.first_try, out);
                let _ = write!(out, " {} ", text.client);
                write_address(&text.sender, out);
                out.push(' ');
                write_address(&text.recipient, out);
            }
            Self::Note { name, value } => {
                out.push_str("note ");
                write_bytes(name, out);
                out.push(' ');
                write_bytes(value, out);
            }
        }
        out.push('\n');
    }
}

fn parse_tuple(words: &mut Words<'_>) -> Result<Tuple, FieldFault> {
    Ok(Tuple { state: words.state()?, since: words.time("time")? })
}

fn write_tuple(tuple: Tuple, out: &mut String) {
    out.push_str(state_word(tuple.state));
    out.push(' ');
    write_time(tuple.since, out);
}

/// `texts 12 tuples 345`.
fn parse_totals(words: &mut Words<'_>) -> Result<Totals, FieldFault> {
    words.literal("texts")?;
    let texts = words.number("number of texts")?;
    words.literal("tuples")?;
    Ok(Totals { texts, tuples: words.number("number of tuples")?, notes: 0 })
}

fn write_totals(totals: &Totals, out: &mut String) {
    let Totals { texts, tuples, notes: _ } = totals;
    let _ = write!(out, " texts {texts} tuples {tuples}");
}

#[cfg(test)]
pub(super) mod tests {
    use greylist::State;
    use proptest::prelude::*;

    use super::*;

    fn written(line: &Line<'_>) -> String {
        let mut out = String::new();
        line.write(&mut out);
        out
    }

    fn timestamp() -> impl Strategy<Value = Timestamp> {
        // To the end of the year 9999, where RFC 3339 ends.
        (0_u64..253_402_207_200).prop_map(Timestamp::from_unix_secs)
    }

    pub(crate) fn id() -> impl Strategy<Value = TupleId> {
        any::<u64>().prop_filter_map("no id", |bits| TupleId::from_bits(bits >> 6))
    }

    fn tuple() -> impl Strategy<Value = Tuple> {
        let state = prop_oneof![Just(State::Grey), Just(State::White)];
        (state, timestamp()).prop_map(|(state, since)| Tuple { state, since })
    }

    fn bytes() -> impl Strategy<Value = Cow<'static, [u8]>> {
        prop_oneof![any::<Vec<u8>>(), "[a-z+@.]{0,20}".prop_map(String::into_bytes)]
            .prop_map(Cow::Owned)
    }

    fn address() -> impl Strategy<Value = Address<'static>> {
        prop_oneof![bytes().prop_map(Address::Whole), bytes().prop_map(Address::Cut)]
    }

    fn totals() -> impl Strategy<Value = Totals> {
        (any::<u64>(), any::<u64>()).prop_map(|(texts, tuples)| Totals { texts, tuples, notes: 0 })
    }

    fn entry() -> impl Strategy<Value = Entry<'static>> {
        let text = (id(), tuple(), timestamp(), any::<IpAddr>(), address(), address()).prop_map(
            |(id, tuple, first_try, client, sender, recipient)| {
                Entry::Text(Text { id, tuple, first_try, client, sender, recipient })
            },
        );
        prop_oneof![
            (id(), tuple()).prop_map(|(id, tuple)| Entry::Tuple { id, tuple }),
            text,
            (bytes(), bytes()).prop_map(|(name, value)| Entry::Note { name, value }),
        ]
    }

    fn line() -> impl Strategy<Value = Line<'static>> {
        let shards = (1..=u32::MAX).prop_flat_map(|of| (1..=of, Just(of)));
        prop_oneof![
            entry().prop_map(Line::Entry),
            (shards, totals()).prop_map(|((done, of), totals)| Line::Mark(Mark {
                done,
                of,
                totals
            })),
            timestamp().prop_map(Line::Continued),
            (totals(), any::<u64>())
                .prop_map(|(totals, notes)| Line::End(Totals { notes, ..totals })),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_one_line_that_says_the_same(line in line()) {
            let text = written(&line);
            let text = text.strip_suffix('\n').unwrap();
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
            prop_assert_eq!(Line::parse(text.as_bytes()), Ok(Some(line)));
        }

        #[test]
        fn junk_is_refused_or_says_something_that_can_be_written(junk: Vec<u8>) {
            if let Ok(Some(line)) = Line::parse(&junk) {
                let text = written(&line);
                prop_assert_eq!(Line::parse(text.trim_end().as_bytes()), Ok(Some(line)));
            }
        }

        #[test]
        fn a_line_with_a_byte_changed_never_panics(line in line(), at: prop::sample::Index, byte: u8) {
            let mut text = written(&line).into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let _ = Line::parse(&text);
            let _ = Line::parse(&text[..at]);
        }
    }

    #[test]
    fn each_kind_of_line_reads_as_documented() {
        let documented = [
            "text 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z 2026-11-24T05:30:00Z 192.0.2.7 \
             alice@example.net bob@example.org",
            "text 0f3a91c2d4e5b68 white 2026-11-24T05:30:00Z 2026-11-23T07:00:00Z 2001:db8::7 <> \
             j%C3%B6rg@example.org",
            "text 0f3a91c2d4e5b69 white 2026-11-24T05:30:00Z 2026-11-23T07:00:00Z 192.0.2.7 \
             0123456789<cut> bob@example.org",
            "tuple 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z",
            "note rule-17 accept%20192.0.2.0/24",
            "shard 17 of 2048 texts 2 tuples 1",
            "continued 2026-11-24T06:00:00Z",
            "end texts 2 tuples 1 notes 1",
        ];
        for line in documented {
            let parsed = Line::parse(line.as_bytes()).unwrap().unwrap();
            assert_eq!(written(&parsed), format!("{line}\n"));
        }
    }

    #[test]
    fn a_broken_line_says_what_is_wrong_with_it() {
        let said: Vec<String> = [
            "",
            " tuple 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z",
            "tupel 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z",
            "tuple",
            "tuple 0f3a91c2d4e5b67",
            "tuple 0f3a91c2d4e5b6 grey 2026-11-24T05:30:00Z",
            "tuple 0f3a91c2d4e5b67 black 2026-11-24T05:30:00Z",
            "tuple 0f3a91c2d4e5b67  grey 2026-11-24T05:30:00Z",
            "tuple 0f3a91c2d4e5b67 grey yesterday",
            "tuple 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z ",
            "tuple 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z\r",
            "text 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z 2026-11-24T05:30:00Z mail.example.net a b",
            "text 0f3a91c2d4e5b67 grey 2026-11-24T05:30:00Z 2026-11-24T05:30:00Z 192.0.2.7 a",
            "note 50% b",
            "shard 0 of 2048 texts 0 tuples 0",
            "shard 2049 of 2048 texts 0 tuples 0",
            "shard 1 off 2048 texts 0 tuples 0",
            "end texts -1 tuples 0 notes 0",
            "end texts 0 tuples 99999999999999999999 notes 0",
        ]
        .into_iter()
        .map(|line| match Line::parse(line.as_bytes()) {
            Err(fault) => format!("{line:?}: {fault}"),
            Ok(parsed) => panic!("{line:?} is taken for {parsed:?}"),
        })
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn a_comment_says_nothing() {
        assert_eq!(Line::parse(b"# anything: tuple"), Ok(None));
    }
}
