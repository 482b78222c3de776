//! Every request and its answer, in a file: so that the whole story of a tuple that went wrong can
//! be told, while the checker itself keeps only what is known now. Of a white tuple that is asked
//! for again and again within one life of the service, the first answer stands for all.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::knowledge::Answer;
use crate::tuples::TupleNumber;

/// Bytes of an entry: tuple 4, life 2, connection 1, kind 1, seconds 4, sent 8, answered 8.
const ENTRY_BYTES: usize = 28;

/// A request and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tuple: TupleNumber,
    /// Which start of the service it was sent to.
    pub(crate) life: u16,
    pub(crate) connection: u8,
    /// Moments after boot; without an answer, `answered` is when the service was seen to be dead.
    pub(crate) sent: Duration,
    pub(crate) answered: Duration,
    pub(crate) answer: Option<Answer>,
}

/// The file.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    file: BufWriter<File>,
}

impl History {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), file: BufWriter::new(File::create(path).unwrap()) }
    }

    pub(crate) fn add(&mut self, entry: &Entry) {
        self.file.write_all(&entry.to_bytes()).unwrap();
    }

    /// What was added about that tuple, in order.
    pub(crate) fn of(&mut self, tuple: TupleNumber) -> Vec<Entry> {
        self.file.flush().unwrap();
        let mut file = BufReader::new(File::open(&self.path).unwrap());
        let mut found = Vec::new();
        let mut bytes = [0; ENTRY_BYTES];
        loop {
            match file.read_exact(&mut bytes) {
                Ok(()) => found.push(Entry::from_bytes(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return found,
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
            found.pop_if(|entry| entry.tuple != tuple);
        }
    }
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let (kind, secs) = match self.answer {
            None => (0, 0),
            Some(Answer::Deferred { wait }) => (1, wait),
            Some(Answer::Passed { waited }) => (2, waited),
            Some(Answer::Known) => (3, 0),
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap().to_le_bytes();
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.tuple.0.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.life.to_le_bytes());
        (bytes[6], bytes[7]) = (self.connection, kind);
        bytes[8..12].copy_from_slice(&secs.to_le_bytes());
        bytes[12..20].copy_from_slice(&micros(self.sent));
        bytes[20..].copy_from_slice(&micros(self.answered));
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let small = |from, to| u32::try_from(number(from, to)).unwrap();
        let secs = small(8, 12);
        Self {
            tuple: TupleNumber(small(0, 4)),
            life: u16::try_from(number(4, 6)).unwrap(),
            connection: bytes[6],
            sent: Duration::from_micros(number(12, 20)),
            answered: Duration::from_micros(number(20, 28)),
            answer: match bytes[7] {
                1 => Some(Answer::Deferred { wait: secs }),
                2 => Some(Answer::Passed { waited: secs }),
                3 => Some(Answer::Known),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuples_story_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::new(&folder.path().join("history"));
        let answers = [
            Some(Answer::Deferred { wait: 4 }),
            None,
            Some(Answer::Passed { waited: 70_000 }),
            Some(Answer::Known),
        ];
        let entry = |tuple, at: u64, answer| Entry {
            tuple: TupleNumber(tuple),
            life: 300,
            connection: 7,
            sent: Duration::from_micros(at << 33),
            answered: Duration::from_micros((at << 33) + 1),
            answer,
        };
        for (at, answer) in (1..).zip(answers) {
            history.add(&entry(1_000_000, at, answer));
            history.add(&entry(2, at, answer));
        }
        let story: Vec<Entry> =
            (1..).zip(answers).map(|(at, answer)| entry(1_000_000, at, answer)).collect();
        assert_eq!(history.of(TupleNumber(1_000_000)), story);
    }
}
