//! Reading an export, line by line, and handing on what it says. A broken line costs itself and no other.
//!
//! Never knows: what is done with what it hands on, sockets.

use std::fmt;
use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use store::Merged;
use thiserror::Error;

use super::header::{Header, HeaderDraft, HeaderFault};
use super::line::{Entry, Line, LineFault, Totals};
use super::lines::{LINE_BYTES_MAX, Lines, Next};

/// More broken lines than this are counted, not told.
const BROKEN_TOLD_MAX: usize = 20;

/// Who looks on looks about this often, in lines: some milliseconds' worth.
const LINES_PER_LOOK: u64 = 1024;

/// How much of an export a store can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Terms {
    /// All: both have the same hash key.
    All,
    /// Texts, from which the store makes ids of its own, and notes: the ids in it were made with
    /// another hash key.
    TextsAlone,
}

/// What became of lines of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Not known before.
    pub new: u64,
    /// Known, and now something else is.
    pub changed: u64,
    /// Known, as well or better.
    pub known: u64,
    /// Their window or lifetime was over.
    pub expired: u64,
    /// There was no room for them.
    pub no_room: u64,
    /// Of another hash key, and no id can be made from what there is.
    pub unusable: u64,
}

/// What became of an export's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Lines `text`.
    pub texts: Tally,
    /// Lines `tuple`.
    pub tuples: Tally,
    /// Lines `note` that were taken.
    pub notes: u64,
    /// Lines `note` that could not be: too long, or one too many.
    pub notes_unusable: u64,
}

/// Who takes an export in.
pub trait Target {
    /// Why it can't.
    type Error;

    /// The head: how much of the rest can be used?
    ///
    /// # Errors
    /// When nothing can be taken in.
    fn begin(&mut self, header: &Header) -> Result<Terms, Self::Error>;

    /// Takes one entry; soon, if not at once.
    ///
    /// # Errors
    /// When it could not be taken, or one before could not.
    fn take(&mut self, entry: Entry<'_>) -> Result<(), Self::Error>;

    /// Makes sure that all has been taken.
    ///
    /// # Errors
    /// When something could not be.
    fn finish(&mut self) -> Result<(), Self::Error>;

    /// What has become of what was taken so far.
    fn taken(&self) -> Taken;
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The export's head.
    pub header: Header,
    /// How much of it could be used.
    pub terms: Terms,
    /// What became of its lines.
    pub taken: Taken,
    /// Lines that said nothing.
    pub broken: Broken,
    /// How it ended.
    pub ending: Ending,
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl Outcome {
    /// Whether all that was once in the export has been read.
    pub fn is_whole(&self) -> bool {
        self.broken.count == 0 && self.ending == Ending::Whole
    }
}

/// Lines that said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// How many.
    pub count: u64,
    /// The first of them: each with its number.
    pub told: Vec<(u64, BrokenLine)>,
}

/// Why a line said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BrokenLine {
    /// It is not as lines are.
    #[error("{0}")]
    Fault(#[from] LineFault),
    /// It is too long.
    #[error("it is longer than the {LINE_BYTES_MAX} bytes that a line can have")]
    TooLong,
    /// The file ends in it.
    #[error("the file ends within it")]
    Cut,
}

/// How an export ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its end line, and all lines that this counts.
    Whole,
    /// With its end line, which counts other lines than there are.
    Differs {
        /// What was counted when it was written.
        written: Totals,
        /// What is there.
        found: Totals,
    },
    /// Without an end line.
    Cut,
    /// With lines behind its end line, which were left alone.
    GoesOn,
    /// It was not read to its end: whoever looked on stopped it at this line.
    Stopped {
        /// The last line that was read.
        line: u64,
    },
}

/// Why an import was broken off.
#[derive(Debug)]
pub enum ImportError<E> {
    /// The file has no head that we can read.
    Header(HeaderFault),
    /// The file can't be read on.
    Read {
        /// At which line.
        line: u64,
        /// What the kernel said.
        error: io::Error,
    },
    /// None of it could be taken in.
    Begin(E),
    /// No more of it could be taken in.
    Target {
        /// At which line.
        line: u64,
        /// Why.
        error: E,
    },
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Lines read.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// What whoever looks on wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// Finish what was begun, and stop.
    Stop,
}

/// Reads `input` to its end and has `target` take in what it says.
///
/// # Errors
/// When its head can't be read, or the kernel or the target refuse. What was taken by then stays.
pub fn import<T: Target>(
    input: impl BufRead,
    target: &mut T,
    mut look: impl FnMut(Progress) -> Wish,
) -> Result<Outcome, ImportError<T::Error>> {
    let mut lines = Lines::of(input);
    let header = read_header(&mut lines)?;
    let terms = target.begin(&header).map_err(ImportError::Begin)?;
    let mut broken = Broken::default();
    let mut found = Totals::default();
    let ending = loop {
        let number = lines.number() + 1;
        if number.is_multiple_of(LINES_PER_LOOK) {
            let progress = Progress { lines: number - 1, bytes: lines.bytes() };
            if look(progress) == Wish::Stop {
                break Ending::Stopped { line: number - 1 };
            }
        }
        let next = lines.next_line().map_err(|error| ImportError::Read { line: number, error })?;
        let line = match next {
            Next::Line(line) => line,
            Next::TooLong(_) => {
                broken.add(number, BrokenLine::TooLong);
                continue;
            }
            Next::Cut(_) => {
                broken.add(number, BrokenLine::Cut);
                break Ending::Cut;
            }
            Next::End => break Ending::Cut,
        };
        match Line::parse(line) {
            Ok(None | Some(Line::Mark(_) | Line::Continued(_))) => {}
            Ok(Some(Line::Entry(entry))) => {
                found.count(&entry);
                target.take(entry).map_err(|error| ImportError::Target { line: number, error })?;
            }
            Ok(Some(Line::End(written))) => {
                let rest =
                    lines.next_line().map_err(|error| ImportError::Read { line: number, error })?;
                break match rest {
                    Next::End if written == found => Ending::Whole,
                    Next::End => Ending::Differs { written, found },
                    _ => Ending::GoesOn,
                };
            }
            Err(fault) => broken.add(number, fault.into()),
        }
    };
    target.finish().map_err(|error| ImportError::Target { line: lines.number(), error })?;
    Ok(Outcome {
        header,
        terms,
        taken: target.taken(),
        broken,
        ending,
        lines: lines.number(),
        bytes: lines.bytes(),
    })
}

fn read_header<E>(lines: &mut Lines<impl BufRead>) -> Result<Header, ImportError<E>> {
    let mut draft = HeaderDraft::default();
    loop {
        let number = lines.number() + 1;
        let next = lines.next_line().map_err(|error| ImportError::Read { line: number, error })?;
        let taken = match next {
            Next::Line(line) => draft.take(line),
            // Of a file that is something else altogether the start tells what it is.
            Next::TooLong(start) | Next::Cut(start) => match draft.take(start) {
                Ok(_) => Err(draft.end()),
                fault => fault,
            },
            Next::End => Err(draft.end()),
        };
        if let Some(header) = taken.map_err(ImportError::Header)? {
            return Ok(header);
        }
    }
}

impl Broken {
    fn add(&mut self, number: u64, why: BrokenLine) {
        self.count += 1;
        if self.told.len() < BROKEN_TOLD_MAX {
            self.told.push((number, why));
        }
    }
}

impl Tally {
    /// Counts one line.
    pub fn count(&mut self, merged: Merged) {
        *match merged {
            Merged::New => &mut self.new,
            Merged::Changed => &mut self.changed,
            Merged::Known => &mut self.known,
            Merged::Expired => &mut self.expired,
            Merged::NoRoom => &mut self.no_room,
        } += 1;
    }

    /// Counts those of `other` as well.
    pub fn add(&mut self, other: &Self) {
        let Self { new, changed, known, expired, no_room, unusable } = other;
        self.new += new;
        self.changed += changed;
        self.known += known;
        self.expired += expired;
        self.no_room += no_room;
        self.unusable += unusable;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Taken {
    /// Counts what `other` does as well.
    pub fn add(&mut self, other: &Self) {
        self.texts.add(&other.texts);
        self.tuples.add(&other.tuples);
        self.notes += other.notes;
        self.notes_unusable += other.notes_unusable;
    }

    /// Tuples that are remembered now and were not before.
    pub const fn new_tuples(&self) -> u64 {
        self.texts.new + self.tuples.new
    }

    /// What became of tuples. Each that has a text has a line `tuple` too, further down, which then
    /// finds it known: it is counted once. With texts alone, those are what counts.
    pub fn by_tuple(&self, terms: Terms) -> Tally {
        let Self { texts, tuples, .. } = self;
        if terms == Terms::TextsAlone || tuples.is_empty() {
            return *texts;
        }
        Tally {
            new: texts.new + tuples.new,
            changed: texts.changed + tuples.changed,
            known: tuples.known.saturating_sub(texts.new + texts.changed),
            ..*tuples
        }
    }
}

impl Totals {
    fn count(&mut self, entry: &Entry<'_>) {
        *match entry {
            Entry::Text(_) => &mut self.texts,
            Entry::Tuple { .. } => &mut self.tuples,
            Entry::Note { .. } => &mut self.notes,
        } += 1;
    }
}

impl<E: fmt::Display> fmt::Display for ImportError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(fault) => write!(f, "{fault}"),
            Self::Read { line, error } => write!(f, "can't be read on at line {line}: {error}"),
            Self::Begin(error) | Self::Target { error, .. } => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::export::tests::{MadeUp, chunks, text};
    use super::*;

    /// Writes down what it is told to take.
    #[derive(Debug, Default)]
    struct Scribe {
        lines: String,
        taken: Taken,
        is_finished: bool,
    }

    impl Target for Scribe {
        type Error = Infallible;

        fn begin(&mut self, _: &Header) -> Result<Terms, Infallible> {
            Ok(Terms::All)
        }

        fn take(&mut self, entry: Entry<'_>) -> Result<(), Infallible> {
            entry.write(&mut self.lines);
            self.taken.tuples.new += 1;
            Ok(())
        }

        fn finish(&mut self) -> Result<(), Infallible> {
            self.is_finished = true;
            Ok(())
        }

        fn taken(&self) -> Taken {
            self.taken
        }
    }

    fn export() -> String {
        text(&chunks(&MadeUp::new(4, 2), None))
    }

    fn entries(export: &str) -> String {
        let is_entry =
            |line: &&str| ["text ", "tuple ", "note "].iter().any(|kind| line.starts_with(kind));
        export.split_inclusive('\n').filter(is_entry).collect()
    }

    fn imported(export: &[u8]) -> (Outcome, String) {
        let mut scribe = Scribe::default();
        let outcome = import(export, &mut scribe, |_| Wish::GoOn).unwrap();
        assert!(scribe.is_finished);
        (outcome, scribe.lines)
    }

    #[test]
    fn each_entry_of_an_export_is_handed_on() {
        let export = export();
        let (outcome, lines) = imported(export.as_bytes());
        assert_eq!(lines, entries(&export));
        assert!(outcome.is_whole());
        assert_eq!(outcome.header.program, "0.1.0");
    }

    #[test]
    fn broken_lines_are_told_with_their_numbers_and_the_rest_goes_on() {
        let export = export();
        let mut lines: Vec<String> = export.lines().map(|line| format!("{line}\n")).collect();
        lines[10] = "tuple 0f3a grey 2026-11-24T05:30:00Z\n".to_owned();
        lines[12] = "a".repeat(LINE_BYTES_MAX + 1) + "\n";
        let broken = lines.concat();
        let (outcome, handed_on) = imported(broken.as_bytes());
        lines.remove(12);
        lines.remove(10);
        assert_eq!(handed_on, entries(&lines.concat()));
        let told: Vec<String> =
            outcome.broken.told.iter().map(|(number, why)| format!("{number}: {why}")).collect();
        insta::assert_snapshot!(told.join("\n"));
        assert_eq!(outcome.broken.count, 2);
        assert!(matches!(outcome.ending, Ending::Differs { .. }), "{:?}", outcome.ending);
        assert!(!outcome.is_whole());
    }

    #[test]
    fn many_broken_lines_are_counted() {
        let junk = "x\n".repeat(1_000_000);
        let (outcome, _) = imported((export() + &junk).as_bytes());
        assert_eq!(outcome.ending, Ending::GoesOn);
        let export = export().replace("end ", "the end ");
        let (outcome, _) = imported((export + &junk).as_bytes());
        assert_eq!(outcome.broken.count, 1_000_001);
        assert_eq!(outcome.broken.told.len(), BROKEN_TOLD_MAX);
    }

    #[test]
    fn wherever_an_export_is_cut_that_is_noticed_and_nothing_is_made_of_half_a_line() {
        let export = export();
        let head = export.find("text ").unwrap();
        for cut in head..export.len() {
            let (outcome, lines) = imported(&export.as_bytes()[..cut]);
            assert_eq!(outcome.ending, Ending::Cut, "cut at {cut}");
            assert!(entries(&export).starts_with(&lines), "cut at {cut}: {lines}");
            let is_in_a_line = !export[..cut].ends_with('\n');
            assert_eq!(outcome.broken.count, u64::from(is_in_a_line));
        }
        for cut in 0..head {
            let mut scribe = Scribe::default();
            let refused = import(&export.as_bytes()[..cut], &mut scribe, |_| Wish::GoOn);
            assert!(matches!(refused, Err(ImportError::Header(_))), "cut at {cut}");
        }
    }

    #[test]
    fn whoever_looks_on_can_stop_it() {
        let export = text(&chunks(&MadeUp::new(100, 0), None));
        let mut looks = 0;
        let mut scribe = Scribe::default();
        let outcome = import(export.as_bytes(), &mut scribe, |progress| {
            looks += 1;
            assert_eq!(progress.lines + 1, looks * LINES_PER_LOOK);
            if looks == 3 { Wish::Stop } else { Wish::GoOn }
        });
        let line = 3 * LINES_PER_LOOK - 1;
        assert_eq!(outcome.unwrap().ending, Ending::Stopped { line });
        assert!(scribe.is_finished);
        let lines = export.lines().take(usize::try_from(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(scribe.lines, entries(&(lines.join("\n") + "\n")));
    }

    #[test]
    fn a_tuple_with_a_text_counts_once() {
        let mut taken = Taken {
            texts: Tally { new: 5, changed: 1, known: 2, expired: 3, ..Tally::default() },
            tuples: Tally { new: 100, changed: 0, known: 18, expired: 4, no_room: 1, unusable: 0 },
            ..Taken::default()
        };
        let whole = Tally { new: 105, changed: 1, known: 12, expired: 4, no_room: 1, unusable: 0 };
        assert_eq!(taken.by_tuple(Terms::All), whole);
        assert_eq!(taken.by_tuple(Terms::TextsAlone), taken.texts);
        taken.tuples = Tally::default();
        assert_eq!(taken.by_tuple(Terms::All), taken.texts);
    }
}
