//! Texts that wait to be written, in chunks: a flood needs many, the usual day one, and what a flood
//! has needed is given back after it.
//!
//! Never knows: files, and what becomes of a chunk that was taken.

use std::collections::VecDeque;
use std::mem;

use super::frame::Frames;
use super::record::Text;

/// Small enough that the allocator gives it back to the kernel when it is not wanted any more, and
/// so large that a busy second needs a few dozen.
pub(super) const CHUNK_BYTES: usize = 512 * 1024;

/// All chunks together take this at most, that in the writer's hands included: at 300,000 new
/// tuples a second of about 75 bytes that is 0.4 s of a disk that hangs, at 100,000 more than a
/// second; and a tenth of what 10 million tuples take, of whose memory it is part.
pub(super) const BUFFER_BYTES: usize = 10 * 1024 * 1024;

const CHUNKS_MAX: usize = BUFFER_BYTES / CHUNK_BYTES;

/// The chunks.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Being filled.
    open: Frames,
    /// Filled, the oldest first.
    full: VecDeque<Frames>,
    /// Empty.
    spare: Vec<Frames>,
    /// How many there are, wherever they are.
    chunks: usize,
}

impl Buffer {
    /// An empty buffer, and the chunk with which its writer begins.
    pub(super) fn new() -> (Self, Frames) {
        let open = Frames::with_capacity(CHUNK_BYTES);
        let in_hand = Frames::with_capacity(CHUNK_BYTES);
        (Self { open, full: VecDeque::new(), spare: Vec::new(), chunks: 2 }, in_hand)
    }

    /// Bytes that wait here.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.full.iter().map(Frames::len).sum::<usize>()
    }

    /// Records that wait here.
    pub(super) fn records(&self) -> u64 {
        self.open.records() + self.full.iter().map(Frames::records).sum::<u64>()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When there is no room; then nothing was added.
    pub(super) fn push(&mut self, text: &Text<'_>) -> Result<(), Full> {
        if !self.open.has_room() {
            let next = self.spare.pop().or_else(|| self.another()).ok_or(Full)?;
            self.full.push_back(mem::replace(&mut self.open, next));
        }
        self.open.push(text);
        Ok(())
    }

    fn another(&mut self) -> Option<Frames> {
        (self.chunks < CHUNKS_MAX).then(|| {
            self.chunks += 1;
            Frames::with_capacity(CHUNK_BYTES)
        })
    }

    /// Puts the oldest records in place of those in `done`, which have been written.
    pub(super) fn exchange(&mut self, done: &mut Frames) {
        done.clear();
        match self.full.pop_front() {
            Some(oldest) => self.spare.push(mem::replace(done, oldest)),
            None => mem::swap(&mut self.open, done),
        }
    }

    /// The empty chunks but for `wanted`, to be dropped.
    pub(super) fn surplus(&mut self, wanted: usize) -> Vec<Frames> {
        let surplus = self.spare.split_off(wanted.min(self.spare.len()));
        self.chunks -= surplus.len();
        surplus
    }
}

/// There is no room for another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;
