//! From the buffer to the newest segment.
//!
//! After an error the segment is given up and what was to be written is kept, to be tried again in
//! a new one: a record may then be in both, which harms nobody. While it can't be written, the
//! buffer fills up and then drops what comes.
//!
//! Never knows: who asked, what is live.

use std::io;

use greylist::Timestamp;

use super::buffer::{BUFFER_BYTES, CHUNK_BYTES};
use super::frame::Frames;
use super::segment::{self, HEADER_BYTES, Header};
use super::shelf::Segment;
use super::{TextLog, Trouble};
use crate::disk::DiskFile;

/// One flush writes so many chunks at most: what comes meanwhile is for the next.
const CHUNKS_A_FLUSH: usize = 2 * BUFFER_BYTES / CHUNK_BYTES;

/// The segment being written.
#[derive(Debug)]
struct Current {
    number: u64,
    file: Box<dyn DiskFile>,
    seed: u32,
    length: u64,
    oldest: Timestamp,
}

/// What is on its way to disk.
#[derive(Debug)]
pub(super) struct Writer {
    current: Option<Current>,
    /// Taken from the buffer; of it, the first `written` bytes are in a segment already.
    pending: Frames,
    written: usize,
    next_number: u64,
}

impl Writer {
    /// A writer whose first segment will have that number, with an empty chunk to begin with.
    pub(super) fn new(next_number: u64, pending: Frames) -> Self {
        Self { current: None, pending, written: 0, next_number }
    }

    /// Texts that an error has kept from being written.
    pub(super) const fn pending(&self) -> u64 {
        self.pending.records()
    }

    /// Writes what an error kept from being written, and then what is in the buffer.
    pub(super) fn flush(&mut self, log: &TextLog) -> Result<(), Trouble> {
        self.write(log)?;
        let mut chunks = 0;
        loop {
            log.buffer.lock().exchange(&mut self.pending);
            if self.pending.records() == 0 || chunks == CHUNKS_A_FLUSH {
                break;
            }
            chunks += 1;
            self.write(log)?;
        }
        // As many as were needed this time may be needed the next.
        let surplus = log.buffer.lock().surplus(chunks);
        drop(surplus);
        Ok(())
    }

    /// Writes all that is pending.
    fn write(&mut self, log: &TextLog) -> Result<(), Trouble> {
        let Some((oldest, newest)) = self.pending.span() else { return Ok(()) };
        self.pending.close();
        while self.written < self.pending.len() {
            let mut current = match self.current.take() {
                Some(current) => current,
                None => self.begin(log, oldest)?,
            };
            let room = log.segment_bytes.saturating_sub(current.length);
            let run = self.pending.sealed(self.written, room as usize, current.seed);
            if run.is_empty() {
                log.shelf.lock().set_active(None);
                continue;
            }
            let run_bytes = run.len() as u64;
            if let Err(trouble) = log.make_room(run_bytes) {
                self.current = Some(current);
                return Err(trouble);
            }
            if let Err(error) = current.file.append(run) {
                log.abandon(current.number, &*current.file, run_bytes);
                return Err(Trouble::new("write", segment::name(current.number), &error));
            }
            self.written += run.len();
            current.length += run_bytes;
            if let Some(segment) = log.shelf.lock().get_mut(current.number) {
                segment.length = current.length;
                segment.bytes = current.length;
                segment.newest = segment.newest.max(newest);
            }
            self.current = Some(current);
        }
        log.counts.written(self.pending.records());
        self.written = 0;
        self.pending.clear();
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self, log: &TextLog, oldest: Timestamp) -> Result<Current, Trouble> {
        log.make_room(HEADER_BYTES as u64)?;
        let number = self.next_number;
        self.next_number += 1;
        let name = segment::name(number);
        let key_fingerprint = log.key_fingerprint;
        let (header, seed) =
            Header { number, first: number, key_fingerprint, sifted: None }.encode();
        let file =
            log.disk.create(&name).map_err(|error| Trouble::new("make", name.clone(), &error))?;
        if let Err(error) = file.append(&header) {
            // Should it stay, the next start takes it away.
            let _ = log.disk.remove(&name);
            return Err(Trouble::new("write", name, &error));
        }
        let length = HEADER_BYTES as u64;
        let mut shelf = log.shelf.lock();
        shelf.push(Segment {
            number,
            first: number,
            length,
            bytes: length,
            newest: Timestamp::from_unix_secs(0),
            sifted: None,
            rests_until: Timestamp::from_unix_secs(0),
        });
        shelf.set_active(Some(number));
        Ok(Current { number, file, seed, length, oldest })
    }

    /// Has the next flush begin a segment if the one being written has a record from before
    /// `limit`, or its file is not where it was made.
    pub(super) fn turn_over(&mut self, log: &TextLog, limit: Timestamp) {
        let Some(current) = &self.current else { return };
        let held = log.disk.holds(&segment::name(current.number), &*current.file);
        if current.oldest < limit || !held.unwrap_or(false) {
            self.current = None;
            log.shelf.lock().set_active(None);
        }
    }
}

impl TextLog {
    /// Makes sure that so many more bytes are within the bound: the oldest segments go.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), Trouble> {
        // Under the lock, so that nothing is removed that is being replaced.
        let mut shelf = self.shelf.lock();
        while shelf.bytes() + bytes > self.bytes_max - self.segment_bytes {
            let Some(oldest) = shelf.oldest_sealed() else { break };
            let name = segment::name(oldest.number);
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Trouble::new("remove", name, &error));
                }
                _ => {}
            }
            shelf.remove(oldest.number);
            self.counts.evicted();
        }
        Ok(())
    }

    /// Leaves a segment as an error left it.
    fn abandon(&self, number: u64, file: &dyn DiskFile, tried_bytes: u64) {
        let mut shelf = self.shelf.lock();
        shelf.set_active(None);
        let Some(segment) = shelf.get_mut(number) else { return };
        segment.bytes = file.length().unwrap_or(segment.length + tried_bytes);
        let is_empty = segment.length == HEADER_BYTES as u64;
        if is_empty && self.disk.remove(&segment::name(number)).is_ok() {
            shelf.remove(number);
        }
    }
}
