//! Reading a journal: every whole frame, in order, whatever lies between them.
//!
//! Each thread of a recovery reads all of it and does what is for its own shards: decoding costs
//! some nanoseconds a change, and there is nothing to hand over.
//!
//! What is not a whole frame is passed over to the next one that is. Where the next frame or the next segment
//! goes on at the very position that was reached, nothing is missing: then a tail was torn. Else the
//! positions say how much is.

use greylist::Timestamp;
use memchr::memmem;

use super::frame::{ALIGN, FRAME_BYTES_MAX, Frame, Inside, MARK, Seed};
use super::segment::{HEADER_BYTES, Header, VERSION};
use super::{Change, Finding, Note, Position, Report, Segment, segments};
use crate::Refusal;
use crate::disk::{Disk, DiskFile, read_what_can_be};
use crate::head::NoHead;

/// So much of a file is in memory at once: many frames, however long.
const WINDOW_BYTES: usize = 1024 * 1024;
const _: () = assert!(WINDOW_BYTES >= 2 * FRAME_BYTES_MAX);

/// What one frame said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The position of the first change.
    pub first: Position,
    /// What it said.
    pub content: Content<'a>,
    /// Bytes of segments read so far, for whoever shows progress.
    pub bytes_read: u64,
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// Changes, in order.
    Changes(&'a [Change]),
    /// A note.
    Note(&'a Note),
}

/// Reads the journal from `from` on, and gives `each` what it finds, in order. `key_fingerprint` is that
/// of the hash key ([`greylist::HashKey::fingerprint`]). Can be done by several threads at once:
/// all see the same.
///
/// # Errors
/// When it can't be read at all. What is corrupt is no error: the report tells of it.
pub fn read(
    disk: &dyn Disk,
    key_fingerprint: u64,
    from: Position,
    each: impl FnMut(Batch<'_>),
) -> Result<Report, Refusal> {
    let all = segments(disk).map_err(|error| Refusal::Io { file: String::new(), error })?;
    // Those that end before `from` begin before another that begins before it.
    let wanted = all.partition_point(|segment| segment.first <= from).saturating_sub(1);
    let mut reading = Reading {
        key_fingerprint,
        seed: Seed::of(key_fingerprint),
        mark: memmem::Finder::new(&MARK),
        from,
        reached: from,
        tail: None,
        changes: Vec::new(),
        report: Report { next: from, ..Report::default() },
        each,
    };
    for segment in &all[wanted..] {
        reading.segment(disk, segment)?;
    }
    reading.tell_tail(0);
    Ok(reading.report)
}

struct Reading<F> {
    key_fingerprint: u64,
    seed: Seed,
    mark: memmem::Finder<'static>,
    from: Position,
    /// What comes next if nothing is missing.
    reached: Position,
    /// What is at the end of the segment before, if that is not a whole frame.
    tail: Option<Stretch>,
    /// Of the frame that is being read.
    changes: Vec<Change>,
    report: Report,
    each: F,
}

/// A part of a file without a whole frame in it.
struct Stretch {
    file: String,
    offset: u64,
    bytes: u64,
}

impl<F: FnMut(Batch<'_>)> Reading<F> {
    fn segment(&mut self, disk: &dyn Disk, segment: &Segment) -> Result<(), Refusal> {
        let failed = |error| Refusal::Io { file: segment.name.clone(), error };
        let file = disk.open(&segment.name).map_err(failed)?;
        let mut window = Window::new(&*file, file.length().map_err(failed)?);
        self.begin(segment);
        let is_header_good = self.header(&mut window, segment)?;
        let changes_before = self.report.changes;
        self.frames(&mut window, segment, is_header_good)?;
        self.report.next = self.report.next.max(self.reached);
        if !window.unreadable.is_empty() && self.report.changes == changes_before {
            // Nothing is known of what is in it, so nothing may take its place.
            self.report.next = self.report.next.after(1);
        }
        self.report.segments += 1;
        self.report.bytes += window.file_length;
        for (offset, bytes, error) in std::mem::take(&mut window.unreadable) {
            let file = segment.name.clone();
            self.report.add(Finding::Unreadable { file, offset, bytes, error });
        }
        Ok(())
    }

    /// Tells what is missing before the segment, and what the end of the one before it was.
    fn begin(&mut self, segment: &Segment) {
        let missing = segment.first.since(self.reached.max(self.from));
        if self.tail.is_some() {
            self.tell_tail(missing);
        } else if missing > 0 {
            let file = segment.name.clone();
            self.report.add(Finding::Missing { file, offset: 0, missing });
        }
        self.reached = segment.first;
    }

    fn tell_tail(&mut self, missing: u64) {
        if let Some(Stretch { file, offset, bytes }) = self.tail.take() {
            self.report.add(match missing {
                0 => Finding::TornTail { file, offset, bytes },
                _ => Finding::Corrupt { file, offset, bytes, missing },
            });
        }
    }

    fn header(&self, window: &mut Window<'_>, segment: &Segment) -> Result<bool, Refusal> {
        let file = || segment.name.clone();
        let Some(bytes) = window.at(0).first_chunk::<HEADER_BYTES>() else { return Ok(false) };
        match Header::decode(bytes) {
            Err(NoHead::Newer { version }) => {
                Err(Refusal::Newer { file: file(), version, readable: VERSION })
            }
            Err(NoHead::Broken) => Ok(false),
            Ok(Header { key_fingerprint, .. }) if key_fingerprint != self.key_fingerprint => {
                Err(Refusal::OtherKey { file: file() })
            }
            Ok(Header { first, .. }) if first != segment.first => {
                Err(Refusal::Misnamed { file: file(), should_be: Segment::at(first).name })
            }
            Ok(_) => Ok(true),
        }
    }

    fn frames(
        &mut self,
        window: &mut Window<'_>,
        segment: &Segment,
        is_header_good: bool,
    ) -> Result<(), Refusal> {
        let mut at = HEADER_BYTES as u64;
        // Where a stretch began that holds no whole frame.
        let mut bad = (!is_header_good).then_some(0);
        while at < window.file_length {
            let bytes = window.at(at);
            // One from before is no frame of ours: whatever left it there.
            let frame = Frame::decode(self.seed, bytes).filter(|frame| frame.first >= self.reached);
            let Some(frame) = frame else {
                bad.get_or_insert(at);
                at += self.next_mark(bytes);
                continue;
            };
            let missing = frame.first.since(self.reached.max(self.from));
            let file = || segment.name.clone();
            if let Some(offset) = bad.take() {
                let bytes = at - offset;
                self.report.add(Finding::Corrupt { file: file(), offset, bytes, missing });
            } else if missing > 0 {
                self.report.add(Finding::Missing { file: file(), offset: at, missing });
            }
            self.frame(&frame, segment, at)?;
            at += frame.length as u64;
        }
        self.tail = bad.filter(|&offset| offset < window.file_length).map(|offset| Stretch {
            file: segment.name.clone(),
            offset,
            bytes: window.file_length - offset,
        });
        Ok(())
    }

    /// How far it is to where the next frame may begin, or to where one has to look on.
    fn next_mark(&self, bytes: &[u8]) -> u64 {
        let later = bytes.get(ALIGN..).unwrap_or_default();
        let mut found = self.mark.find_iter(later).map(|at| at + ALIGN);
        let next = found.find(|at| at.is_multiple_of(ALIGN));
        // A mark that begins with the last bytes is whole when more have been read.
        let unseen = (bytes.len().saturating_sub(ALIGN - 1)).next_multiple_of(ALIGN);
        next.unwrap_or(unseen.max(ALIGN)) as u64
    }

    fn frame(&mut self, frame: &Frame<'_>, segment: &Segment, at: u64) -> Result<(), Refusal> {
        self.reached = frame.first.after(u64::from(frame.count));
        if self.reached <= self.from {
            return Ok(());
        }
        let file = || segment.name.clone();
        let (first, bytes_read) = (frame.first, self.report.bytes + at);
        let inside = frame.inside(&mut self.changes);
        let count = u64::from(frame.count);
        let told = match &inside {
            Some(Inside::Changes) => self.changes.len() as u64,
            Some(Inside::Note(_)) => 1,
            Some(Inside::Optional) => count,
            Some(Inside::Unknown { kind }) => {
                return Err(Refusal::UnknownKind { file: file(), offset: at, kind: *kind });
            }
            None => 0,
        };
        if told < count {
            let changes = count - told;
            self.report.add(Finding::Nonsense { file: file(), offset: at, changes });
        }
        self.report.changes += told;
        self.report.newest = self.report.newest.max(self.newest(frame));
        match inside {
            Some(Inside::Changes) => {
                // Those before `from` do no harm, but nobody asked for them.
                let early = usize::try_from(self.from.since(first)).unwrap_or(usize::MAX);
                let early = if told < count { 0 } else { early.min(self.changes.len()) };
                let first = first.after(early as u64);
                let content = Content::Changes(&self.changes[early..]);
                (self.each)(Batch { first, content, bytes_read });
            }
            Some(Inside::Note(note)) => {
                (self.each)(Batch { first, content: Content::Note(&note), bytes_read });
            }
            _ => {}
        }
        Ok(())
    }

    fn newest(&self, frame: &Frame<'_>) -> Option<Timestamp> {
        let times = self.changes.iter().filter_map(|change| Some(change.outcome?.since));
        times.chain([frame.time]).max()
    }
}

/// A file, of which some is in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    file_length: u64,
    /// Where in the file the bytes begin that are in memory.
    start: u64,
    bytes: Vec<u8>,
    /// What the disk would not give: where, how much, and why. It reads as zeros.
    unreadable: Vec<(u64, u64, String)>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn DiskFile, file_length: u64) -> Self {
        Self { file, file_length, start: 0, bytes: Vec::new(), unreadable: Vec::new() }
    }

    /// What is at `offset`, which is never before where it was last: at least as much as a frame
    /// can have, or all up to the end of the file.
    fn at(&mut self, offset: u64) -> &[u8] {
        let end = self.start + self.bytes.len() as u64;
        let wanted = offset.saturating_add(FRAME_BYTES_MAX as u64).min(self.file_length);
        if wanted > end {
            let used = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
            self.bytes.drain(..used.min(self.bytes.len()));
            self.start = offset;
            self.fill();
        }
        let skipped = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        self.bytes.get(skipped..).unwrap_or_default()
    }

    fn fill(&mut self) {
        let kept = self.bytes.len();
        let rest = self.file_length.saturating_sub(self.start);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        self.bytes.resize(length.max(kept), 0);
        let at = self.start + kept as u64;
        read_what_can_be(self.file, at, &mut self.bytes[kept..], |at, length, error| {
            match self.unreadable.last_mut() {
                Some((from, bytes, _)) if *from + *bytes == at => *bytes += length,
                _ => self.unreadable.push((at, length, error.to_string())),
            }
        });
    }
}
