//! Writing a snapshot while the service goes on.
//!
//! It syncs as it goes, each 16 MiB: else the kernel would collect gigabytes that are not on the
//! disk yet, and then hold up whoever writes, the journal's small writes too.

use std::io;

use super::format::{End, FrameHeader, HEADER_BYTES, Subject};
use super::{Header, NEW_SUFFIX, SHARD_BYTES_MAX, ShardHeader, Snapshot, snapshots};
use crate::disk::{Disk, DiskFile};
use crate::journal::{Note, Position, Seed, put_note};

/// After so many bytes they are synced.
const SYNC_BYTES: u64 = 16 * 1024 * 1024;

/// What is smaller is written together with others.
const BUFFER_BYTES: usize = 256 * 1024;

/// A snapshot being written. One that is dropped before [`Writer::finish`] takes its file away.
#[derive(Debug)]
pub struct Writer<'a> {
    disk: &'a dyn Disk,
    snapshot: Snapshot,
    new_name: String,
    file: Box<dyn DiskFile>,
    seed: Seed,
    /// To be written.
    buffer: Vec<u8>,
    /// Bytes of the file, with what is in the buffer.
    length: u64,
    /// Up to there it was synced.
    synced: u64,
    shards_max: u32,
    shards: u32,
    notes: u32,
    is_finished: bool,
}

impl<'a> Writer<'a> {
    /// Begins a snapshot, in place of one that was begun and not finished. There can be only one
    /// at a time.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(disk: &'a dyn Disk, header: &Header) -> io::Result<Self> {
        let snapshot = Snapshot::at(header.position);
        drop_unfinished(disk)?;
        let new_name = format!("{}.new", snapshot.name);
        let file = disk.create(&new_name)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.extend_from_slice(&header.encode());
        Ok(Self {
            disk,
            snapshot,
            new_name,
            file,
            seed: Seed::of(header.key_fingerprint),
            length: buffer.len() as u64,
            buffer,
            synced: 0,
            shards_max: header.shards,
            shards: 0,
            notes: 0,
            is_finished: false,
        })
    }

    /// Adds a shard; `bytes` are its buckets. In order of their indices or in any other, each at
    /// most once; one that has no buckets need not be added. Calls `between` after each piece of
    /// 256 KiB.
    ///
    /// # Errors
    /// When the kernel refuses; then the snapshot is of no use. When `header` and `bytes` don't
    /// go together, or with the rest ([`io::ErrorKind::InvalidInput`]).
    pub fn shard(
        &mut self,
        header: &ShardHeader,
        bytes: &[u8],
        between: impl FnMut(),
    ) -> io::Result<()> {
        let is_right = header.index < self.shards_max
            && bytes.len() <= SHARD_BYTES_MAX
            && bytes.len() as u64 == u64::from(header.buckets) * super::format::BUCKET_BYTES as u64;
        if !is_right {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.shards += 1;
        self.frame(Subject::Shard(*header), bytes, between)
    }

    /// Adds a note.
    ///
    /// # Errors
    /// When the kernel refuses; then the snapshot is of no use.
    pub fn note(&mut self, note: &Note) -> io::Result<()> {
        let mut payload = Vec::new();
        put_note(note, &mut payload);
        self.notes += 1;
        self.frame(Subject::Note, &payload, || {})
    }

    /// Ends it, has it outlive a power cut, and gives it its name. Only then may older snapshots
    /// and the journal before it go. Says how many bytes it has.
    ///
    /// # Errors
    /// When the kernel refuses; then there is no snapshot.
    pub fn finish(mut self) -> io::Result<u64> {
        let length = self.length + HEADER_BYTES as u64;
        let end = End { shards: self.shards, notes: self.notes, length };
        self.frame(Subject::End(end), &[], || {})?;
        self.flush()?;
        self.file.sync()?;
        self.disk.rename(&self.new_name, &self.snapshot.name)?;
        self.is_finished = true;
        self.disk.sync_names()?;
        Ok(length)
    }

    /// Bytes so far.
    pub const fn bytes(&self) -> u64 {
        self.length
    }

    fn frame(
        &mut self,
        subject: Subject,
        payload: &[u8],
        mut between: impl FnMut(),
    ) -> io::Result<()> {
        let header = FrameHeader::of(subject, payload, self.seed);
        self.buffer.extend_from_slice(&header.encode(self.seed));
        if self.buffer.len() + payload.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if payload.len() > BUFFER_BYTES {
            for piece in payload.chunks(BUFFER_BYTES) {
                self.file.append(piece)?;
                between();
            }
        } else {
            self.buffer.extend_from_slice(payload);
        }
        let padding = payload.len().next_multiple_of(HEADER_BYTES) - payload.len();
        self.buffer.extend_from_slice(&[0; HEADER_BYTES][..padding]);
        self.length += header.frame_length();
        if self.length - self.synced >= SYNC_BYTES {
            self.flush()?;
            self.file.sync()?;
            self.synced = self.length;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            // If that fails too, the next one to be written, or the next start, takes it away.
            let _ = self.disk.remove(&self.new_name);
        }
    }
}

/// Removes snapshots that were begun and not finished: to be called when nobody writes one.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_unfinished(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.names()? {
        if name.starts_with(super::PREFIX) && name.ends_with(NEW_SUFFIX) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// Removes the snapshots before `position`, for when the one from there is complete. Says how many those were.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_before(disk: &dyn Disk, position: Position) -> io::Result<usize> {
    let mut older = snapshots(disk)?;
    older.retain(|snapshot| snapshot.position < position);
    older.iter().try_for_each(|snapshot| disk.remove(&snapshot.name))?;
    Ok(older.len())
}
