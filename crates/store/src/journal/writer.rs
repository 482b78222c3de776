//! Writing the journal, by all threads at once.
//!
//! Changes are appended to a buffer under a lock that is held for some nanoseconds. Whoever commits
//! first takes the buffer and the file, and writes for all who wait; meanwhile appends go on into
//! another buffer, which the next one to commit takes. The buffers hold what those who are about to commit have
//! appended: some thousand changes for each of them, since nobody appends more than one batch before
//! he commits. [`BUFFER_BYTES_MAX`] is for the day when somebody does.
//!
//! A sync has a lock of its own: while it waits for the disk, writes go on (but for
//! [`SyncPolicy::Always`], where whoever commits waits for a sync that began after his write; the
//! next sync then serves all who came meanwhile).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greylist::Timestamp;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::frame::{Frames, Seed};
use super::segment::{HEADER_BYTES, Header};
use super::{
    Change, Doing, Down, Health, Note, Position, Segment, Settings, Stats, SyncPolicy, Why,
    segments,
};
use crate::disk::{Disk, DiskFile};

/// More than this in a buffer is not kept for the next batch.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// A buffer that nobody commits is given up at this size: five million changes.
pub(super) const BUFFER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Room is set aside ahead of what is written: as much as there is already, ...
const RESERVE_BYTES_MIN: u64 = 64 * 1024;
/// ... at most this much. So a segment of a quiet hour takes little, and that of a busy one lies in
/// one piece.
const RESERVE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// So many segments may wait for a sync; then whoever begins another waits too. A sync each second
/// is late by then: the disk can't keep up.
const UNSYNCED_SEGMENTS_MAX: usize = 16;

/// What to call the directory itself.
const DIRECTORY: &str = "the state directory";

/// The journal of a store, open for changes; shared by all threads.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    settings: Settings,
    /// Changes appended. Written under the lock of `shared`.
    appended: AtomicU64,
    /// Nobody need wait for the changes before this one. Likewise.
    settled: AtomicU64,
    shared: Mutex<Shared>,
    /// Somebody has put the segment back, or the journal is down.
    turn: Condvar,
    /// Held during a sync: of two that meet, the kernel would tell only one of an error.
    syncing: Mutex<()>,
}

#[derive(Debug)]
struct Shared {
    /// What is appended and not yet being written.
    frames: Frames,
    next: Position,
    state: State,
    /// Counts the times that `state` changed: who comes back with a segment from before then
    /// throws it away.
    generation: u64,
    /// `None` while somebody writes to it, and when there is none.
    segment: Option<Box<OpenSegment>>,
    /// What a sync has to do.
    unsynced: Unsynced,
    /// The latest time that anybody has told.
    latest: Timestamp,
    stats: Stats,
}

#[derive(Debug)]
enum State {
    Up,
    /// No segment; changes are counted only.
    Down(Down),
    /// A segment is being begun; changes are kept in the buffer, nobody waits.
    Beginning(Down),
    /// A segment is there; before `from` something is missing.
    Mending {
        down: Down,
        from: Position,
    },
}

#[derive(Debug, Default)]
struct Unsynced {
    /// Segments that have ended, oldest first.
    ended: Vec<(String, Arc<dyn DiskFile>)>,
    current: Option<(String, Arc<dyn DiskFile>)>,
    names: bool,
}

/// The segment that is written to. Who has it may write, and nobody else.
#[derive(Debug)]
struct OpenSegment {
    name: String,
    file: Arc<dyn DiskFile>,
    length: u64,
    /// Room is set aside up to here.
    reserved: u64,
    /// The buffer that isn't being appended to.
    spare: Frames,
}

impl Journal {
    /// Begins a segment at `next`, which [`super::Report::next`] says. A journal whose segment
    /// can't be begun is there all the same, and down.
    ///
    /// What was read is synced first (unless it is with [`SyncPolicy::Never`]): the process
    /// before this one may have died before it did, and answers depend on it from now on.
    pub fn open(disk: Arc<dyn Disk>, settings: Settings, next: Position, now: Timestamp) -> Self {
        let stats = Stats { written: next, synced: next, ..Stats::default() };
        let shared = Shared {
            frames: Frames::default(),
            next,
            state: State::Up,
            generation: 0,
            segment: None,
            unsynced: Unsynced::default(),
            latest: now,
            stats,
        };
        let journal = Self {
            disk,
            settings,
            appended: AtomicU64::new(next.get()),
            settled: AtomicU64::new(next.get()),
            shared: Mutex::new(shared),
            turn: Condvar::new(),
            syncing: Mutex::new(()),
        };
        match journal.sync_earlier().and_then(|()| journal.make_segment(next)) {
            Ok(segment) => journal.shared.lock().install(segment),
            Err(why) => journal.go_down(&mut journal.shared.lock(), why),
        }
        journal
    }

    fn sync_earlier(&self) -> Result<(), Why> {
        if self.settings.sync == SyncPolicy::Never {
            return Ok(());
        }
        let failed = |file: &str, error| Why::io(Doing::Sync, file, error);
        let earlier = segments(&*self.disk).map_err(|error| failed(DIRECTORY, error))?;
        for Segment { name, .. } in &earlier {
            let synced = self.disk.open(name).and_then(|file| file.sync());
            synced.map_err(|error| failed(name, error))?;
        }
        self.disk.sync_names().map_err(|error| failed(DIRECTORY, error))
    }

    /// Adds a change, after all others. To be called under the lock that the change was made
    /// under, so that of two changes to a tuple the later one comes later; it only copies bytes.
    /// Whoever appends commits soon, and at least each 100,000 changes.
    #[inline]
    pub fn append(&self, now: Timestamp, change: Change) {
        let mut shared = self.shared.lock();
        if !matches!(shared.state, State::Down(_)) {
            let position = shared.next;
            shared.frames.push(position, now, change);
        }
        self.count_one(shared, now);
    }

    /// Adds a note, after all others. It counts as a change.
    pub fn append_note(&self, now: Timestamp, note: &Note) {
        let mut shared = self.shared.lock();
        if !matches!(shared.state, State::Down(_)) {
            let position = shared.next;
            shared.frames.push_note(position, now, note);
        }
        self.count_one(shared, now);
    }

    #[inline]
    fn count_one(&self, mut shared: MutexGuard<'_, Shared>, now: Timestamp) {
        shared.next = shared.next.after(1);
        shared.latest = shared.latest.max(now);
        self.appended.store(shared.next.get(), Ordering::Release);
        let shared = &mut *shared;
        if let State::Down(down) = &mut shared.state {
            down.not_kept += 1;
            shared.stats.not_kept += 1;
            shared.stats.written = shared.next;
        } else if shared.frames.len() > BUFFER_BYTES_MAX {
            self.go_down(shared, Why::Overrun);
        }
    }

    /// How many changes have been appended, ever.
    pub fn position(&self) -> Position {
        Position::START.after(self.appended.load(Ordering::Acquire))
    }

    /// Waits until all that was appended before this call is in the kernel's hands (and with
    /// [`SyncPolicy::Always`] on the disk), or the journal is down. Costs next to nothing if that is so
    /// already.
    #[inline]
    pub fn commit(&self) {
        let upto = self.appended.load(Ordering::Acquire);
        if self.settled.load(Ordering::Acquire) < upto {
            self.settle(Position::START.after(upto));
        }
    }

    #[cold]
    fn settle(&self, upto: Position) {
        self.write(upto);
        if self.settings.sync == SyncPolicy::Always {
            self.sync_up_to(upto);
        }
    }

    /// Has everything before `upto` written, by this thread or another.
    fn write(&self, upto: Position) {
        let mut shared = self.shared.lock();
        while shared.is_written_to() && shared.stats.written < upto {
            match shared.segment.take() {
                None => self.turn.wait(&mut shared),
                Some(mut segment) => {
                    std::mem::swap(&mut shared.frames, &mut segment.spare);
                    let (generation, from, to) =
                        (shared.generation, shared.stats.written, shared.next);
                    drop(shared);
                    let outcome = self.write_segment(segment, from);
                    shared = self.shared.lock();
                    if shared.generation == generation {
                        self.put_back(&mut shared, outcome, to);
                    }
                    if shared.unsynced.ended.len() >= UNSYNCED_SEGMENTS_MAX {
                        drop(shared);
                        self.sync_up_to(to);
                        shared = self.shared.lock();
                    }
                }
            }
        }
    }

    /// Writes a segment's spare buffer to it, or to another if that one is full.
    fn write_segment(&self, mut segment: Box<OpenSegment>, from: Position) -> Result<Written, Why> {
        let mut ended = None;
        // One with nothing in it has the name that another would get.
        if segment.length >= self.settings.segment_bytes && segment.length > HEADER_BYTES as u64 {
            let mut next = self.make_segment(from)?;
            next.spare = std::mem::take(&mut segment.spare);
            ended = Some(segment);
            segment = next;
        }
        let seed = Seed::of(self.settings.key_fingerprint);
        let bytes = segment.write(seed, self.settings.segment_bytes)?;
        Ok(Written { segment, ended, bytes })
    }

    fn put_back(&self, shared: &mut Shared, outcome: Result<Written, Why>, to: Position) {
        match outcome {
            Err(why) => self.go_down(shared, why),
            Ok(Written { segment, ended, bytes }) => {
                if let Some(ended) = ended {
                    shared.install(segment);
                    if self.settings.sync != SyncPolicy::Never {
                        let ended = (ended.name.clone(), Arc::clone(&ended.file));
                        shared.unsynced.ended.push(ended);
                    }
                } else {
                    shared.segment = Some(segment);
                }
                shared.stats.bytes += bytes;
                shared.stats.writes += 1;
                shared.stats.written = to;
                if self.settings.sync != SyncPolicy::Always {
                    self.settled.store(to.get(), Ordering::Release);
                }
                self.turn.notify_all();
            }
        }
    }

    /// Has all that is written outlive a power cut. To be called each second or so, by a thread
    /// that may wait. Does nothing when there is nothing new, nor with [`SyncPolicy::Never`].
    pub fn sync(&self, now: Timestamp) {
        let written = {
            let mut shared = self.shared.lock();
            shared.latest = shared.latest.max(now);
            shared.stats.written
        };
        if self.settings.sync != SyncPolicy::Never {
            self.sync_up_to(written);
        }
    }

    fn sync_up_to(&self, upto: Position) {
        if !self.shared.lock().is_written_to() {
            return;
        }
        let _alone = self.syncing.lock();
        let (generation, unsynced, written) = {
            let mut shared = self.shared.lock();
            if !shared.is_written_to() || (shared.stats.synced >= upto && !shared.unsynced.names) {
                return;
            }
            let current = shared.unsynced.current.clone();
            let still = Unsynced { current, ..Unsynced::default() };
            let unsynced = std::mem::replace(&mut shared.unsynced, still);
            (shared.generation, unsynced, shared.stats.written)
        };
        let outcome = unsynced.sync(&*self.disk);
        let mut shared = self.shared.lock();
        if shared.generation != generation {
            return;
        }
        match outcome {
            Err(why) => self.go_down(&mut shared, why),
            Ok(()) => {
                shared.stats.syncs += 1;
                shared.stats.synced = written;
                if self.settings.sync == SyncPolicy::Always {
                    self.settled.store(written.get(), Ordering::Release);
                }
            }
        }
    }

    /// Looks whether the current segment is still there by its name. If not, the journal is down:
    /// what is written goes to a file that nobody will find.
    pub fn check_names(&self, now: Timestamp) {
        let (generation, current) = {
            let mut shared = self.shared.lock();
            shared.latest = shared.latest.max(now);
            (shared.generation, shared.unsynced.current.clone())
        };
        let Some((file_name, file)) = current else { return };
        let why = match self.disk.holds(&file_name, &*file) {
            Ok(true) => return,
            Ok(false) => Why::Gone { file: file_name },
            Err(error) => Why::io(Doing::Check, &file_name, error),
        };
        let mut shared = self.shared.lock();
        if shared.generation == generation {
            self.go_down(&mut shared, why);
        }
    }

    /// Tries to come up again: begins a segment at the present position. From then on changes are
    /// kept, and a snapshot is wanted that begins now or later; see [`Journal::mended`]. Does
    /// nothing unless the journal is down.
    ///
    /// # Errors
    /// When there is still no segment to be had.
    pub fn begin_segment(&self, now: Timestamp) -> Result<(), Why> {
        let (generation, from) = {
            let mut shared = self.shared.lock();
            shared.latest = shared.latest.max(now);
            let State::Down(down) = &shared.state else { return Ok(()) };
            shared.state = State::Beginning(down.clone());
            shared.generation += 1;
            (shared.generation, shared.next)
        };
        let segment = self.make_segment(from).and_then(|segment| {
            // What claims to be well again has shown that the disk takes something.
            if self.settings.sync != SyncPolicy::Never {
                segment.sync(&*self.disk).inspect_err(|_| self.abandon(&segment.name))?;
            }
            Ok(segment)
        });
        let mut shared = self.shared.lock();
        if shared.generation != generation {
            let why = shared.why_down();
            drop(shared);
            let _ = segment.map(|segment| self.abandon(&segment.name));
            return Err(why);
        }
        match segment {
            Err(why) => {
                self.go_down(&mut shared, why.clone());
                Err(why)
            }
            Ok(segment) => {
                shared.install(segment);
                shared.unsynced.names = false;
                if let State::Beginning(down) = &shared.state {
                    shared.state = State::Mending { down: down.clone(), from };
                }
                (shared.stats.written, shared.stats.synced) = (from, from);
                self.settled.store(from.get(), Ordering::Release);
                let next = shared.next;
                drop(shared);
                self.write(next);
                Ok(())
            }
        }
    }

    /// A snapshot that began at `snapshot` is complete. If that was after the present segment was
    /// begun, nothing is missing any more. Whether the journal is up now.
    pub fn mended(&self, snapshot: Position) -> bool {
        let mut shared = self.shared.lock();
        if matches!(shared.state, State::Mending { from, .. } if snapshot >= from) {
            shared.state = State::Up;
        }
        matches!(shared.state, State::Up)
    }

    /// Whether changes outlive the process.
    pub fn health(&self) -> Health {
        match &self.shared.lock().state {
            State::Up => Health::Up,
            State::Mending { down, .. } => Health::Mending(down.clone()),
            State::Down(down) | State::Beginning(down) => Health::Down(down.clone()),
        }
    }

    /// What has been written.
    pub fn stats(&self) -> Stats {
        let shared = self.shared.lock();
        Stats { position: shared.next, ..shared.stats }
    }

    /// Removes the segments that end at or before `position`: for when a snapshot from there is
    /// complete. Says how many those were.
    ///
    /// # Errors
    /// When the directory can't be read, or a segment not be removed; those before it are gone.
    pub fn drop_before(&self, position: Position) -> io::Result<usize> {
        let segments = segments(&*self.disk)?;
        let ended = segments.iter().zip(&segments[1.min(segments.len())..]);
        let ended = ended.take_while(|(_, next)| next.first <= position);
        let mut dropped = 0;
        for (segment, _) in ended {
            self.disk.remove(&segment.name)?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// A new segment, empty, in place of one of that name that has nothing in it.
    fn make_segment(&self, first: Position) -> Result<Box<OpenSegment>, Why> {
        let Segment { name, .. } = Segment::at(first);
        let made = match self.disk.create(&name) {
            // Whoever gave the position has read all there is: had there been one whole change in
            // this file, the position would be after it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&name).and_then(|()| self.disk.create(&name))
            }
            made => made,
        };
        let file: Arc<dyn DiskFile> = match made {
            Ok(file) => file.into(),
            Err(error) => return Err(Why::io(Doing::Begin, &name, error)),
        };
        let header = Header { first, key_fingerprint: self.settings.key_fingerprint };
        if let Err(error) = file.append(&header.encode()) {
            self.abandon(&name);
            return Err(Why::io(Doing::Write, &name, error));
        }
        let length = HEADER_BYTES as u64;
        Ok(Box::new(OpenSegment { name, file, length, reserved: 0, spare: Frames::default() }))
    }

    /// Takes a segment away that was made in vain: on a full disk there would be one more with each
    /// attempt. One that can't be taken away does no harm.
    fn abandon(&self, name: &str) {
        let _ = self.disk.remove(name);
    }

    fn go_down(&self, shared: &mut Shared, why: Why) {
        let lost = shared.next.since(shared.stats.written);
        // Down again before it was well: one story, with the latest reason.
        let (since, earlier) = match &shared.state {
            State::Up => (shared.latest, 0),
            State::Mending { down, .. } | State::Down(down) | State::Beginning(down) => {
                (down.since, down.not_kept)
            }
        };
        shared.stats.faults += u64::from(!matches!(shared.state, State::Beginning(_)));
        shared.stats.not_kept += lost;
        shared.stats.written = shared.next;
        shared.state = State::Down(Down { since, why, not_kept: earlier + lost });
        shared.generation += 1;
        shared.frames.clear(BUFFER_BYTES_KEPT);
        shared.segment = None;
        shared.unsynced = Unsynced::default();
        self.turn.notify_all();
    }
}

/// A segment that has been written to.
struct Written {
    segment: Box<OpenSegment>,
    /// The one before, if it was full.
    ended: Option<Box<OpenSegment>>,
    bytes: u64,
}

impl Shared {
    /// Whether there is a segment, or somebody has it.
    const fn is_written_to(&self) -> bool {
        matches!(self.state, State::Up | State::Mending { .. })
    }

    fn install(&mut self, segment: Box<OpenSegment>) {
        self.unsynced.current = Some((segment.name.clone(), Arc::clone(&segment.file)));
        self.unsynced.names = true;
        self.stats.segments += 1;
        self.segment = Some(segment);
    }

    fn why_down(&self) -> Why {
        match &self.state {
            State::Down(down) | State::Beginning(down) | State::Mending { down, .. } => {
                down.why.clone()
            }
            State::Up => Why::Overrun,
        }
    }
}

impl OpenSegment {
    /// Adds what is in the spare buffer, and empties that. Says how many bytes those were.
    fn write(&mut self, seed: Seed, bytes_max: u64) -> Result<u64, Why> {
        let bytes = self.spare.seal(seed);
        let written = bytes.len() as u64;
        let end = self.length + written;
        if end > self.reserved {
            let ahead = end.clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
            self.reserved = (end + ahead).min(bytes_max.max(end));
            // Only the write itself can say that there is no room.
            let _ = self.file.reserve(self.reserved);
        }
        let outcome = self.file.append(bytes);
        self.spare.clear(BUFFER_BYTES_KEPT);
        outcome.map_err(|error| Why::io(Doing::Write, &self.name, error))?;
        self.length = end;
        Ok(written)
    }

    fn sync(&self, disk: &dyn Disk) -> Result<(), Why> {
        self.file.sync().map_err(|error| Why::io(Doing::Sync, &self.name, error))?;
        disk.sync_names().map_err(|error| Why::io(Doing::Sync, DIRECTORY, error))
    }
}

impl Unsynced {
    /// Files first, oldest first; then their names.
    fn sync(&self, disk: &dyn Disk) -> Result<(), Why> {
        for (name, file) in self.ended.iter().chain(&self.current) {
            file.sync().map_err(|error| Why::io(Doing::Sync, name, error))?;
        }
        if self.names {
            disk.sync_names().map_err(|error| Why::io(Doing::Sync, DIRECTORY, error))?;
        }
        Ok(())
    }
}
