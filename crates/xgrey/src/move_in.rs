//! Moving in: what another greylisting system kept in its files becomes tuples and rules of ours,
//! line by line. A line that can't be used costs itself and no other, and is told.
//!
//! ```text
//!  whitelist.txt, dump.txt ─▶ tuples, with their ages    ┐
//!                                                        ├─▶ a target: the running service, or a state directory
//!  iplist.txt, from.txt …  ─▶ live rules                 ┘
//! ```
//! Tuples come by their addresses, so their ids are made anew, under our own identity. Taking the
//! same file in again does no harm: tuples are merged, and rules say what they say.
//!
//! Never knows: how a line is written (that is `wire`'s), where what is found goes.

mod remote;
#[cfg(test)]
mod tests;
mod x_grey;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead};
use std::net::IpAddr;

use greylist::rules::PatternError;
use greylist::{State, Timestamp, Tuple, TupleKey};
use store::TupleId;
use wire::xgrey_v1::files::{BadLine, FileKind};

pub use self::remote::RemoteTarget;
use crate::backup::{Address, LINE_BYTES_MAX, Lines, Next, Progress, Tally, Text, Wish};
use crate::service::{RuleChange, RuleChanged, What};

/// More lines than this that can't be used are counted, not told.
const TOLD_MAX: usize = 20;

/// How much of a line is shown where it is told, in bytes.
const SHOWN_BYTES_MAX: usize = 100;

/// Who looks on looks about this often, in lines: some milliseconds' worth.
const LINES_PER_LOOK: u64 = 1024;

/// A tuple that moves in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedTuple<'a> {
    /// What is known of it.
    pub tuple: Tuple,
    /// When it was first tried, as far as that is known.
    pub first_try: Timestamp,
    /// Who connects.
    pub client: IpAddr,
    /// From whom; empty for the null sender.
    pub sender: &'a [u8],
    /// To whom.
    pub recipient: &'a [u8],
}

impl<'a> MovedTuple<'a> {
    /// As an export would have it, but for its id: that is for whoever takes it in to make.
    pub fn as_text(&self) -> Text<'a> {
        Text {
            id: TupleId::of(TupleKey(0)),
            tuple: self.tuple,
            first_try: self.first_try,
            client: self.client,
            sender: Address::Whole(self.sender.into()),
            recipient: Address::Whole(self.recipient.into()),
        }
    }
}

/// What a line comes to.
#[derive(Clone, Debug)]
enum Found<'a> {
    /// A comment, or nothing at all.
    Nothing,
    /// A tuple.
    Tuple(MovedTuple<'a>),
    /// A rule.
    Rule(RuleChange),
}

/// Who takes in what moves in.
pub trait Target {
    /// Why it can't.
    type Error;

    /// Takes a tuple; soon, if not at once.
    ///
    /// # Errors
    /// When it could not be taken, or one before could not.
    fn take_tuple(&mut self, tuple: &MovedTuple<'_>) -> Result<(), Self::Error>;

    /// Takes a rule; soon, if not at once.
    ///
    /// # Errors
    /// When it could not be taken, or one before could not.
    fn take_rule(&mut self, change: RuleChange) -> Result<(), Self::Error>;

    /// Makes sure that all has been taken.
    ///
    /// # Errors
    /// When something could not be.
    fn finish(&mut self) -> Result<(), Self::Error>;

    /// What has become of what was taken so far.
    fn taken(&self) -> Taken;
}

/// What holds for all files that move in together.
///
/// A whitelist has no times, and a dump has. So dumps should come first: then a tuple that one of them
/// has as white keeps its time, and the whitelist's line says nothing new.
#[derive(Debug)]
pub struct Together {
    now: Timestamp,
    hasher: RandomState,
    /// Hashes of the white tuples of dumps. Should two be the same, a tuple of a whitelist is
    /// taken for known, once in billions.
    dumped: HashSet<u64>,
}

/// Tuples of dumps that are remembered, at most: 64 MiB of them. The original holds 65,536.
const DUMPED_MAX: usize = 4 * 1024 * 1024;

impl Together {
    /// Files that move in at that time.
    pub fn at(now: Timestamp) -> Self {
        Self { now, hasher: RandomState::new(), dumped: HashSet::new() }
    }

    fn hash(&self, tuple: &MovedTuple<'_>) -> u64 {
        self.hasher.hash_one((tuple.client, tuple.sender, tuple.recipient))
    }

    fn remember(&mut self, tuple: &MovedTuple<'_>) {
        if tuple.tuple.state == State::White && self.dumped.len() < DUMPED_MAX {
            let hash = self.hash(tuple);
            self.dumped.insert(hash);
        }
    }

    fn has_time_of(&self, tuple: &MovedTuple<'_>) -> bool {
        self.dumped.contains(&self.hash(tuple))
    }
}

/// What became of what was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Of tuples.
    pub tuples: Tally,
    /// Of rules.
    pub rules: RuleTally,
    /// Why a restart would forget the rules, if it would.
    pub not_kept: Option<String>,
}

/// What became of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTally {
    /// There was none for the entry.
    pub added: u64,
    /// There was one that said something else.
    pub replaced: u64,
    /// There was one that said the same, or none to be removed.
    pub known: u64,
    /// There was one, and now there is none.
    pub removed: u64,
}

impl RuleTally {
    /// Counts one.
    pub fn count(&mut self, what: What, changed: RuleChanged) {
        *match (changed, what) {
            (RuleChanged::Added, _) => &mut self.added,
            (RuleChanged::Replaced(before), What::Set(verdict)) if before == verdict => {
                &mut self.known
            }
            (RuleChanged::Replaced(_), _) => &mut self.replaced,
            (RuleChanged::Removed(_), _) => &mut self.removed,
            (RuleChanged::Nothing, _) => &mut self.known,
        } += 1;
    }
}

/// Why a line was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not as lines of such a file are, or doesn't say enough.
    Line(BadLine),
    /// It is too long.
    TooLong,
    /// The file ends in it.
    Cut,
    /// Its tuple was removed, and would soon have gone.
    Removed,
    /// Its entry can't be one of ours.
    Entry(PatternError),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(bad) => bad.fmt(f),
            Self::TooLong => {
                write!(f, "it is longer than the {LINE_BYTES_MAX} bytes that a line can have")
            }
            Self::Cut => f.write_str("the file ends within it"),
            Self::Removed => f.write_str("it was removed by hand (flag D)"),
            Self::Entry(error) => error.fmt(f),
        }
    }
}

/// Kinds of [`Reason`]s, for counting them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// The tuple was removed.
    Removed,
    /// The client's address is not in the file.
    Ipv6Lost,
    /// Where the sender ends is not in the file.
    Ambiguous,
    /// Anything else.
    NotUnderstood,
}

impl Reason {
    /// Its kind.
    pub fn kind(&self) -> ReasonKind {
        match self {
            Self::Removed => ReasonKind::Removed,
            Self::Line(BadLine::Ipv6Lost) => ReasonKind::Ipv6Lost,
            Self::Line(BadLine::Ambiguous) => ReasonKind::Ambiguous,
            Self::Line(_) | Self::TooLong | Self::Cut | Self::Entry(_) => ReasonKind::NotUnderstood,
        }
    }
}

/// A line that was left out, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutLine {
    /// Its number, from 1.
    pub number: u64,
    /// Why.
    pub reason: Reason,
    /// What it begins with, printable.
    pub start: String,
}

/// The lines of a file that were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// How many, by kind of reason.
    pub counts: BTreeMap<ReasonKind, u64>,
    /// The first of them.
    pub told: Vec<LeftOutLine>,
}

impl LeftOut {
    fn add(&mut self, number: u64, reason: Reason, line: &[u8]) {
        *self.counts.entry(reason.kind()).or_default() += 1;
        if self.told.len() < TOLD_MAX {
            let start = printable_start(line);
            self.told.push(LeftOutLine { number, reason, start });
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// What a line begins with, with nothing in it that a terminal would act on.
fn printable_start(line: &[u8]) -> String {
    let line = line.trim_ascii();
    let shown = line.get(..SHOWN_BYTES_MAX).unwrap_or(line);
    let dots = if shown.len() < line.len() { "…" } else { "" };
    // A quotation mark or an apostrophe needs no escape where nobody parses it.
    let plain = |&byte: &u8| matches!(byte, b' '..=b'~');
    let text = shown.iter().map(|byte| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => byte.escape_ascii().to_string(),
    });
    text.collect::<String>() + dots
}

/// What one file came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Lines that were left out.
    pub left_out: LeftOut,
    /// Lines of a whitelist that say nothing new: a dump has their tuples, with their times.
    pub timed: u64,
    /// How it ended.
    pub ending: Ending,
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// How the reading of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At its end.
    Whole,
    /// Whoever looked on stopped it.
    Stopped,
}

/// Why a file was not read to its end.
#[derive(Debug)]
pub enum MoveError<E> {
    /// It can't be read on.
    Read {
        /// At which line.
        line: u64,
        /// What the kernel said.
        error: io::Error,
    },
    /// No more can be taken in.
    Target {
        /// At which line.
        line: u64,
        /// Why.
        error: E,
    },
}

/// Reads a file of X-Grey's to its end and has `target` take in what it says. After the last of them
/// it is to be told that this was all ([`Target::finish`]).
///
/// # Errors
/// When the kernel or the target refuse. What was taken by then stays.
pub fn move_in<T: Target>(
    input: impl BufRead,
    kind: FileKind,
    together: &mut Together,
    target: &mut T,
    mut look: impl FnMut(Progress) -> Wish,
) -> Result<Outcome, MoveError<T::Error>> {
    let mut lines = Lines::of(input);
    let mut left_out = LeftOut::default();
    let mut timed = 0;
    let ending = loop {
        let number = lines.number() + 1;
        if number.is_multiple_of(LINES_PER_LOOK) {
            let progress = Progress { lines: number - 1, bytes: lines.bytes() };
            if look(progress) == Wish::Stop {
                break Ending::Stopped;
            }
        }
        let next = lines.next_line().map_err(|error| MoveError::Read { line: number, error })?;
        let (line, found) = match next {
            Next::Line(line) => (line, x_grey::found(kind, line, together.now)),
            // A list may have been written by hand, and its last line's end forgotten. Tuples were
            // written by a program: there the rest of the line is missing.
            Next::Cut(line) if !kind.is_of_tuples() => {
                (line, x_grey::found(kind, line, together.now))
            }
            Next::Cut(line) => (line, Err(Reason::Cut)),
            Next::TooLong(start) => (start, Err(Reason::TooLong)),
            Next::End => break Ending::Whole,
        };
        let taken = match found {
            Ok(Found::Nothing) => Ok(()),
            Ok(Found::Tuple(tuple))
                if kind == FileKind::Whitelist && together.has_time_of(&tuple) =>
            {
                timed += 1;
                Ok(())
            }
            Ok(Found::Tuple(tuple)) => {
                if kind == FileKind::Dump {
                    together.remember(&tuple);
                }
                target.take_tuple(&tuple)
            }
            Ok(Found::Rule(change)) => target.take_rule(change),
            Err(reason) => {
                left_out.add(number, reason, line);
                Ok(())
            }
        };
        taken.map_err(|error| MoveError::Target { line: number, error })?;
    };
    Ok(Outcome { left_out, timed, ending, lines: lines.number(), bytes: lines.bytes() })
}
