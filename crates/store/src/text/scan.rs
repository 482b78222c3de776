//! All records, from the newest segment to the oldest, while others are written and rewritten.
//!
//! No list of segments is taken at the start, since what is on it could be merged or gone by the
//! time it is reached. Instead, after each segment the newest is looked for that stands for a number
//! not yet read. A merged one may then be read for the sake of one of its parts: so a record may
//! come twice, and none is missed.
//!
//! Never knows: what is live, who reads.

use std::io;

use super::backward::{Backward, Holes, Unreadable};
use super::record::Text;
use super::{TextLog, frame, segment};

/// What a scan could not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextDamage {
    /// Bytes that were no records, where records should have been.
    pub corrupt_bytes: u64,
    /// The first place: file, and byte from its start.
    pub corrupt_at: Option<(String, u64)>,
    /// Segments that could not be read, or not to their start.
    pub unreadable: u64,
    /// The first of those, and why.
    pub unreadable_why: Option<(String, String)>,
}

impl TextDamage {
    /// Whether all was read.
    pub fn is_none(&self) -> bool {
        self.corrupt_bytes == 0 && self.unreadable == 0
    }

    pub(super) fn add_holes(&mut self, name: impl Fn() -> String, holes: Holes) {
        self.corrupt_bytes += holes.corrupt_bytes;
        if let Some(at) = holes.corrupt_at {
            self.corrupt_at.get_or_insert_with(|| (name(), at));
        }
    }

    pub(super) fn add_unreadable(&mut self, name: String, why: String) {
        self.unreadable += 1;
        self.unreadable_why.get_or_insert((name, why));
    }
}

/// A walk through all records, newest first.
#[derive(Debug)]
pub struct Scan<'a> {
    log: &'a TextLog,
    /// Numbers from here on have been read.
    limit: u64,
    reader: Option<(u64, Backward)>,
    frame: Vec<u8>,
    /// Where in the frame the records begin that have not been given yet.
    places: Vec<usize>,
    damage: TextDamage,
}

impl<'a> Scan<'a> {
    pub(super) fn new(log: &'a TextLog) -> Self {
        let damage = TextDamage::default();
        Self { log, limit: u64::MAX, reader: None, frame: vec![], places: vec![], damage }
    }

    /// The next older record; `None` after the last. Records come about from the newest to the
    /// oldest, some of them more than once.
    pub fn next_text(&mut self) -> Option<Text<'_>> {
        while self.places.is_empty() {
            if !self.next_frame() {
                return None;
            }
        }
        frame::record(&self.frame, self.places.pop()?)
    }

    /// What could not be read so far.
    pub fn damage(&self) -> &TextDamage {
        &self.damage
    }

    /// Reads the frame before. `false` if there is none.
    fn next_frame(&mut self) -> bool {
        loop {
            let Some((number, reader)) = &mut self.reader else {
                if !self.next_segment() {
                    return false;
                }
                continue;
            };
            let name = || segment::name(*number);
            match reader.previous() {
                Ok(Some((_, frame))) => {
                    self.frame.clear();
                    self.frame.extend_from_slice(frame);
                    self.places.extend(frame::records(&self.frame).map(|(at, _)| at));
                    return true;
                }
                Ok(None) => self.damage.add_holes(name, reader.holes()),
                Err(error) => {
                    self.damage.add_holes(name, reader.holes());
                    self.damage.add_unreadable(name(), error.to_string());
                }
            }
            self.reader = None;
        }
    }

    /// Opens the segment before. `false` if there is none.
    fn next_segment(&mut self) -> bool {
        loop {
            let (segment, length_max) = {
                let shelf = self.log.shelf.lock();
                let Some(segment) = shelf.newest_below(self.limit) else { return false };
                // What is being written may be longer than what has been written.
                let is_active = shelf.is_active(segment.number);
                (segment, if is_active { segment.length } else { u64::MAX })
            };
            let name = segment::name(segment.number);
            let file = self.log.disk.open(&name).map_err(Unreadable::Io);
            match file.and_then(|file| Backward::begin(file, length_max)) {
                Ok(reader) => {
                    self.limit = segment.first;
                    self.reader = Some((segment.number, reader));
                    return true;
                }
                Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    // Gone in this moment: whatever stands for its number now, if anything does.
                    let now = self.log.shelf.lock().newest_below(self.limit);
                    if now.is_some_and(|now| now.number == segment.number) {
                        // Nobody of us has taken it away.
                        self.damage.add_unreadable(name, error.to_string());
                        self.limit = segment.first;
                    }
                }
                Err(unreadable) => {
                    self.damage.add_unreadable(name, unreadable.to_string());
                    self.limit = segment.first;
                }
            }
        }
    }
}
