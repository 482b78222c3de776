//! Reading a segment from its end to its start, a frame at a time.
//!
//! What is no frame is stepped over, 8 bytes at a time, until one ends there. At the very end that is
//! what a crash left half written; anywhere else it is damage.
//!
//! Never knows: which segments there are.

use std::io;
use std::ops::Range;

use super::frame::{ALIGNMENT, Ending, FRAME_BYTES_MAX, ending};
use super::segment::{HEADER_BYTES, Header, HeaderFault};
use crate::disk::DiskFile;

/// Read at once. Two of the longest frames, so that most reads bring more than one.
const CHUNK_BYTES: usize = 2 * FRAME_BYTES_MAX;

/// What was passed over that was no frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holes {
    /// Bytes at the end: a write that was cut off.
    pub(super) torn_bytes: u64,
    /// Bytes elsewhere.
    pub(super) corrupt_bytes: u64,
    /// Where the first damage is that was come across, from the file's start.
    pub(super) corrupt_at: Option<u64>,
}

/// A segment being read.
#[derive(Debug)]
pub(super) struct Backward {
    file: Box<dyn DiskFile>,
    header: Header,
    seed: u32,
    /// All frames from here on have been read.
    end: u64,
    /// What was to be read, at first.
    length: u64,
    /// Some of the file, from `buffer_at` on; at least up to `end`.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// The end of a hole that is being crossed.
    hole_end: Option<u64>,
    holes: Holes,
}

/// Why a segment can't be read at all.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The kernel refuses.
    Io(io::Error),
    /// It is no segment of this version.
    Header(HeaderFault),
    /// It ends before its header does.
    TooShort,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Backward {
    /// Begins at the end of the first `length_max` bytes of `file`.
    pub(super) fn begin(file: Box<dyn DiskFile>, length_max: u64) -> Result<Self, Unreadable> {
        let length = file.length()?.min(length_max);
        if length < HEADER_BYTES as u64 {
            return Err(Unreadable::TooShort);
        }
        let mut bytes = [0; HEADER_BYTES];
        file.read_at(0, &mut bytes)?;
        let (header, seed) = Header::decode(&bytes).map_err(Unreadable::Header)?;
        let end = length - length % ALIGNMENT as u64;
        Ok(Self {
            file,
            header,
            seed,
            end,
            length,
            buffer: Vec::new(),
            buffer_at: end,
            hole_end: (end < length).then_some(length),
            holes: Holes::default(),
        })
    }

    /// What the segment says of itself.
    pub(super) const fn header(&self) -> &Header {
        &self.header
    }

    /// What has been passed over so far.
    pub(super) const fn holes(&self) -> Holes {
        self.holes
    }

    /// The frame before those that have been read, and where it begins in the file; `None` after
    /// the first.
    pub(super) fn previous(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        let frame = loop {
            if self.end <= HEADER_BYTES as u64 {
                self.leave_hole();
                return Ok(None);
            }
            let there = (self.end - self.buffer_at) as usize;
            match ending(&self.buffer[..there], self.seed) {
                Ending::Frame(length) => {
                    self.leave_hole();
                    self.end -= length as u64;
                    break there - length..there;
                }
                Ending::Longer(_) | Ending::Nothing if there < ALIGNMENT => self.read_chunk()?,
                Ending::Longer(length) if self.reaches(length) => self.read_chunk()?,
                Ending::Longer(_) | Ending::Nothing => self.step(),
            }
        };
        let Range { start, end } = frame;
        Ok(Some((self.end, &self.buffer[start..end])))
    }

    /// Reads the frame at `at` that [`Backward::previous`] has found before, into `frame`; empty if
    /// it is not there any more.
    pub(super) fn again(&self, at: u64, length: usize, frame: &mut Vec<u8>) -> io::Result<()> {
        frame.resize(length, 0);
        self.file.read_at(at, frame)?;
        if ending(frame, self.seed) != Ending::Frame(length) {
            frame.clear();
        }
        Ok(())
    }

    /// Whether that many bytes before the end are all behind the header.
    fn reaches(&self, length: usize) -> bool {
        self.end - HEADER_BYTES as u64 >= length as u64
    }

    /// Reads as much as is useful of what is before the end.
    fn read_chunk(&mut self) -> io::Result<()> {
        let start = self.end.saturating_sub(CHUNK_BYTES as u64).max(HEADER_BYTES as u64);
        self.buffer.resize((self.end - start) as usize, 0);
        self.buffer_at = start;
        self.file.read_at(start, &mut self.buffer)
    }

    /// Goes to the next place at which a frame could end.
    fn step(&mut self) {
        self.hole_end.get_or_insert(self.end);
        self.end -= ALIGNMENT as u64;
    }

    fn leave_hole(&mut self) {
        let Some(hole_end) = self.hole_end.take() else { return };
        if hole_end == self.length {
            self.holes.torn_bytes += hole_end - self.end;
        } else {
            self.holes.corrupt_bytes += hole_end - self.end;
            self.holes.corrupt_at.get_or_insert(self.end);
        }
    }
}
