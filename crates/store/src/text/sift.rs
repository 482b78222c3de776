//! Upkeep: segments whose first tries are all over are rewritten with only what is still live, so
//! that text is bounded by the tuples there are and not by the spam there was.
//!
//! ```text
//!  read newest to oldest: which records stay ─▶ read oldest to newest: write them to "….new"
//!  ─▶ sync ─▶ rename over the newest of the old ones ─▶ sync names ─▶ remove the others
//! ```
//! A crash before the rename leaves all as it was and a file that the next start removes; after it,
//! the old ones that are left are within the new one's numbers, and the next start removes them.
//!
//! Never knows: who calls, how often.

use std::collections::HashSet;
use std::io;

use greylist::{Timestamp, Timing, Tuple};

use super::backward::{Backward, Unreadable};
use super::buffer::BUFFER_BYTES;
use super::frame::{self, Frames};
use super::segment::{self, HEADER_BYTES, Header};
use super::shelf::Segment;
use super::{TextLog, Trouble};
use crate::TupleId;

/// Written at once.
const WRITE_BYTES: usize = 256 * 1024;

/// What is found out about one of the old segments.
struct Old {
    reader: Backward,
    /// Its frames from the last to the first: place, length, records.
    frames: Vec<(u64, usize, usize)>,
    /// For each record, likewise from the last to the first, whether it stays.
    stays: Vec<bool>,
}

/// What is to come of some segments.
struct Plan {
    /// Those that can be read, newest first.
    old: Vec<Old>,
    kept: u64,
    dropped: u64,
}

impl TextLog {
    /// Rewrites `old`, which stand next to each other, oldest first, as one.
    pub(super) fn sift(
        &self,
        old: &[Segment],
        now: Timestamp,
        timing: &Timing,
        live: &impl Fn(TupleId) -> Option<Tuple>,
    ) -> Result<(), Trouble> {
        let Some(newest) = old.last() else { return Ok(()) };
        let plan = self.plan(old, timing, live)?;
        if plan.dropped == 0 && old.len() == 1 && plan.kept > 0 {
            if let Some(segment) = self.shelf.lock().get_mut(newest.number) {
                segment.sifted = Some(now);
            }
            return Ok(());
        }
        // Merged ones that have never been due are due when the newest of them is.
        let all_due = old.len() == 1 || old.iter().all(|segment| segment.sifted.is_some());
        let before = old.iter().filter_map(|segment| segment.sifted).min();
        let sifted = if old.len() == 1 { Some(now) } else { before.filter(|_| all_due) };
        let header = Header {
            number: newest.number,
            first: old[0].first,
            key_fingerprint: self.key_fingerprint,
            sifted,
        };
        let written = match plan.kept {
            0 => None,
            _ => Some(self.write_kept(&plan, &header)?),
        };
        let newest = old.iter().map(|segment| segment.newest).max();
        let new = written.map(|bytes| Segment {
            number: header.number,
            first: header.first,
            length: bytes,
            bytes,
            newest: newest.unwrap_or(now),
            sifted,
            rests_until: now,
        });
        self.put_in_place(old, new)?;
        self.counts.sifted(plan.dropped);
        Ok(())
    }

    /// Finds out which records stay: of each tuple that is live the newest of its present life.
    fn plan(
        &self,
        old: &[Segment],
        timing: &Timing,
        live: &impl Fn(TupleId) -> Option<Tuple>,
    ) -> Result<Plan, Trouble> {
        let mut plan = Plan { old: Vec::new(), kept: 0, dropped: 0 };
        let mut seen = HashSet::new();
        for segment in old.iter().rev() {
            let name = segment::name(segment.number);
            let file = self.disk.open(&name).map_err(Unreadable::Io);
            let mut reader = match file.and_then(|file| Backward::begin(file, u64::MAX)) {
                Ok(reader) => reader,
                Err(Unreadable::Io(error)) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Trouble::new("read", name, &error));
                }
                // Gone, or not to be read by anybody: nothing of it stays.
                Err(_) => continue,
            };
            let (mut frames, mut stays) = (Vec::new(), Vec::new());
            loop {
                let (at, frame) = match reader.previous() {
                    Ok(Some(found)) => found,
                    Ok(None) => break,
                    Err(error) => return Err(Trouble::new("read", name, &error)),
                };
                let texts: Vec<_> = frame::records(frame).map(|(_, text)| text).collect();
                for text in texts.iter().rev() {
                    let is_live = live(text.id).is_some_and(|tuple| text.is_of(tuple, timing));
                    stays.push(is_live && seen.insert(text.id));
                }
                frames.push((at, frame.len(), texts.len()));
                self.flush_if_filling();
            }
            self.counts.corrupt(reader.holes().corrupt_bytes);
            if let Some(at) = reader.holes().corrupt_at {
                self.note(Trouble::corrupt(name, at));
            }
            let kept = stays.iter().filter(|&&stays| stays).count() as u64;
            plan.kept += kept;
            plan.dropped += stays.len() as u64 - kept;
            plan.old.push(Old { reader, frames, stays });
        }
        Ok(plan)
    }

    /// Writes what stays to a file of its own, up to the disk. Returns its length.
    fn write_kept(&self, plan: &Plan, header: &Header) -> Result<u64, Trouble> {
        let name = segment::new_name(header.number);
        // Left from a try that failed.
        let _ = self.disk.remove(&name);
        let written = self.try_write_kept(plan, header, &name);
        written.map_err(|error| {
            let _ = self.disk.remove(&name);
            Trouble::new("rewrite", name, &error)
        })
    }

    fn try_write_kept(&self, plan: &Plan, header: &Header, name: &str) -> io::Result<u64> {
        let file = self.disk.create(name)?;
        let (bytes, seed) = header.encode();
        file.append(&bytes)?;
        let mut length = HEADER_BYTES as u64;
        let mut frames = Frames::default();
        let mut frame = Vec::new();
        for Old { reader, frames: places, stays } in plan.old.iter().rev() {
            let mut end = stays.len();
            for &(at, frame_bytes, count) in places.iter().rev() {
                let stays = &stays[end - count..end];
                end -= count;
                if !stays.contains(&true) {
                    continue;
                }
                reader.again(at, frame_bytes, &mut frame)?;
                let texts = frame::records(&frame).zip(stays.iter().rev());
                for ((_, text), _) in texts.filter(|(_, stays)| **stays) {
                    frames.push(&text);
                }
                if frames.len() >= WRITE_BYTES {
                    let run = frames.sealed(0, usize::MAX, seed);
                    length += run.len() as u64;
                    file.append(run)?;
                    frames.clear();
                    self.flush_if_filling();
                }
            }
        }
        let last = frames.sealed(0, usize::MAX, seed);
        length += last.len() as u64;
        file.append(last)?;
        file.sync()?;
        Ok(length)
    }

    /// Puts the new segment, if there is one, in the place of the old ones.
    fn put_in_place(&self, old: &[Segment], new: Option<Segment>) -> Result<(), Trouble> {
        {
            let mut shelf = self.shelf.lock();
            if !shelf.has_all(old) {
                // The bound has taken one of them meanwhile, and the rest may be next.
                if let Some(new) = new {
                    let _ = self.disk.remove(&segment::new_name(new.number));
                }
                return Ok(());
            }
            if let Some(new) = new {
                let name = segment::new_name(new.number);
                if let Err(error) = self.disk.rename(&name, &segment::name(new.number)) {
                    let _ = self.disk.remove(&name);
                    return Err(Trouble::new("rename", name, &error));
                }
            }
            shelf.replace(old, new);
        }
        if new.is_some()
            && let Err(error) = self.disk.sync_names()
        {
            self.note(Trouble::new("sync", "the directory".to_owned(), &error));
        }
        for segment in old.iter().filter(|old| new.is_none_or(|new| new.number != old.number)) {
            let name = segment::name(segment.number);
            match self.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Trouble::new("remove", name, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Rewriting takes a while, in which the buffer must not run full.
    fn flush_if_filling(&self) {
        let is_filling = {
            let buffer = self.buffer.lock();
            buffer.len() > BUFFER_BYTES / 4
        };
        if is_filling {
            self.flush();
        }
    }
}
