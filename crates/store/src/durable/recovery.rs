//! Reading a state directory at start: the newest good snapshot, then the journal from there on.
//!
//! Both are read by several threads at once. A thread takes the next shard of the snapshot and
//! reads it straight into the table's memory. Of the journal each thread reads all and applies what
//! belongs to its own shards: decoding costs little, and there is nothing to hand over.
//!
//! Whatever is damaged is left out and told; what was written by a later version, or with another
//! hash key, is not touched and stops the start: to go on would forget all of it.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;

use greylist::Timestamp;
use parking_lot::Mutex;

use super::upkeep::Upkeep;
use super::{Durable, Prepare, Settings, key_of};
use crate::compact::{LoadFault, Loaded, ShardHeader};
use crate::disk::Disk;
use crate::journal::{self, Batch, Change, Content, Journal, Note, Position};
use crate::notes::{ByName, Notes, take_down};
use crate::snapshot::{self, Piece, ShardPiece};
use crate::{CompactConfig, CompactStore, Refusal};

/// What a store is opened with.
pub struct Opening {
    /// Timing, bound, hash key.
    pub config: CompactConfig,
    /// Where its files are. They must be this process's alone.
    pub disk: Arc<dyn Disk>,
    /// How it is kept from now on.
    pub settings: Settings,
    /// What puts the directory back if it should get lost.
    pub prepare: Prepare,
    /// The wall clock.
    pub now: Timestamp,
    /// Threads to read with.
    pub threads: NonZeroUsize,
}

/// How far an opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many of so many bytes of the snapshot are loaded.
    Snapshot {
        /// Bytes loaded.
        done: u64,
        /// Bytes there are.
        of: u64,
    },
    /// So many bytes of so many of the journal after it are read.
    Journal {
        /// Bytes read.
        done: u64,
        /// Bytes there are, older ones included that need not be read.
        of: u64,
    },
}

/// A store that was opened, and what was found.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: CompactStore,
    /// What was found.
    pub recovery: Recovery,
}

/// What was read from a state directory, which is as it was.
#[derive(Debug)]
pub struct Read {
    /// The store, in memory alone.
    pub store: CompactStore,
    /// What was found.
    pub recovery: Recovery,
}

/// What was found in a state directory.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// The snapshot that was loaded: its name.
    pub snapshot: Option<String>,
    /// Bytes of it.
    pub snapshot_bytes: u64,
    /// Tuples loaded from it.
    pub loaded: u64,
    /// Tuples in it whose time was over, by today's timing.
    pub expired: u64,
    /// Tuples that there was no room for: the bound is smaller than it was.
    pub no_room: u64,
    /// What the journal held after it.
    pub journal: journal::Report,
    /// What was damaged or passed over, a line each, with file and place. Empty: nothing.
    pub damage: Vec<String>,
    /// The latest time that the tuples know.
    pub newest: Option<Timestamp>,
}

impl Recovery {
    /// Whether everything that was written is there.
    pub fn is_whole(&self) -> bool {
        self.damage.is_empty() && self.journal.is_clean() && self.no_room == 0
    }
}

/// Why a state directory is not opened: nothing in it was changed.
#[derive(Debug)]
pub enum OpenError {
    /// Journal or snapshot can't be read, and must not be passed over.
    Refused(Refusal),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Io(error) => write!(f, "cannot read the state directory: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Refusal> for OpenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl CompactStore {
    /// Reads what is kept in a directory, and leaves it as it is: what is changed in the store is kept
    /// nowhere. `progress` is called by several threads, often.
    ///
    /// # Errors
    /// When what is there was not written for this program or this hash key, or can't be read.
    pub fn read(
        config: CompactConfig,
        disk: &dyn Disk,
        threads: NonZeroUsize,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Read, OpenError> {
        let key_fingerprint = key_of(&config.hash_key);
        let store = Self::new(config);
        let mut recovery = Recovery::default();
        let mut notes = ByName::new();
        let choice = snapshot::newest(disk, key_fingerprint)?;
        recovery.damage.extend(choice.passed_over.iter().map(ToString::to_string));
        let mut from = Position::START;
        if let Some(reader) = &choice.reader {
            from = reader.header().position;
            load(&store, reader, threads, progress, &mut recovery, &mut notes)?;
        }
        let replay = Replay { store: &store, disk, key_fingerprint, from, progress };
        recovery.journal = replay.run(threads, &mut notes)?;
        recovery.newest = recovery.newest.max(recovery.journal.newest);
        Ok(Read { store: store.with_notes(Notes::new(notes)), recovery })
    }

    /// Opens what is kept in a directory, be that nothing yet; from then on it is kept there.
    /// `progress` is called by several threads, often.
    ///
    /// # Errors
    /// When what is there was not written for this program or this hash key, or can't be read.
    pub fn open(
        opening: Opening,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Opened, OpenError> {
        let Opening { config, disk, settings, prepare, now, threads } = opening;
        let key_fingerprint = key_of(&config.hash_key);
        let Read { store, recovery } = Self::read(config, &*disk, threads, progress)?;
        snapshot::drop_unfinished(&*disk)?;

        let mut upkeep = Upkeep::new(recovery.snapshot_bytes, recovery.journal.bytes);
        if !recovery.is_whole() {
            // What is in memory now is all there is.
            upkeep.want();
        }
        let now = recovery.newest.map_or(now, |newest| newest.max(now));
        let journal = journal::Settings {
            sync: settings.sync,
            segment_bytes: settings.segment_bytes,
            key_fingerprint,
        };
        let next = recovery.journal.next;
        let store = store.kept(Durable {
            journal: Journal::open(Arc::clone(&disk), journal, next, now),
            disk,
            prepare,
            snapshot_after: settings.snapshot_after,
            upkeep: Mutex::new(upkeep),
        });
        Ok(Opened { store, recovery })
    }
}

/// Loads a snapshot into an empty store.
fn load(
    store: &CompactStore,
    reader: &snapshot::Reader,
    threads: NonZeroUsize,
    progress: &(dyn Fn(Progress) + Sync),
    recovery: &mut Recovery,
    notes: &mut ByName,
) -> Result<(), OpenError> {
    recovery.snapshot = Some(reader.name().to_owned());
    recovery.snapshot_bytes = reader.length();
    let loading = Loading { store, reader, progress };
    let parts = in_parallel(threads, |_| loading.run());
    for part in parts {
        let part = part?;
        recovery.loaded += part.loaded.tuples;
        recovery.expired += part.loaded.expired;
        recovery.no_room += part.loaded.no_room;
        recovery.newest = recovery.newest.max(part.newest);
        recovery.damage.extend(part.damage);
        notes.extend(part.notes);
    }
    recovery.newest = recovery.newest.max(Some(reader.header().created));
    let (damages, untold) = reader.damages();
    let name = reader.name();
    recovery.damage.extend(damages.iter().map(|damage| format!("{name}: {damage}")));
    if untold > 0 {
        recovery.damage.push(format!("{name}: and {untold} more places"));
    }
    if reader.shards_lost() > 0 {
        let (lost, of) = (reader.shards_lost(), reader.header().shards);
        recovery.damage.push(format!("{name}: the tuples of {lost} of {of} shards are lost"));
    }
    if !reader.is_complete() {
        recovery.damage.push(format!("{name}: its end is missing, and maybe more"));
    }
    Ok(())
}

/// What the threads that load a snapshot share.
struct Loading<'a> {
    store: &'a CompactStore,
    reader: &'a snapshot::Reader,
    progress: &'a (dyn Fn(Progress) + Sync),
}

/// What one thread has loaded.
#[derive(Default)]
struct LoadedPart {
    loaded: Loaded,
    newest: Option<Timestamp>,
    damage: Vec<String>,
    notes: ByName,
}

impl Loading<'_> {
    fn run(&self) -> Result<LoadedPart, OpenError> {
        let mut part = LoadedPart::default();
        let mut bytes = Vec::new();
        while let Some(piece) = self.reader.next_piece()? {
            match piece {
                Piece::Shard(piece) => self.shard(&piece, &mut bytes, &mut part),
                Piece::Note(note) => {
                    // More than a store keeps none has written.
                    take_down(&mut part.notes, &note);
                }
            }
            let (done, of) = (self.reader.bytes_passed(), self.reader.length());
            (self.progress)(Progress::Snapshot { done, of });
        }
        Ok(part)
    }

    fn shard(&self, piece: &ShardPiece, bytes: &mut Vec<u8>, part: &mut LoadedPart) {
        let header = self.reader.header();
        let header = ShardHeader {
            timing: header.timing,
            index: piece.header.index,
            of: header.shards,
            seen: piece.header.seen,
            swept: piece.header.swept,
            buckets: piece.header.buckets,
        };
        let loaded = if self.store.fits(&header) {
            self.store.load_shard(&header, |table| self.reader.read_shard(piece, table))
        } else {
            bytes.resize(piece.bytes(), 0);
            match self.reader.read_shard(piece, bytes) {
                Err(damage) => Err(LoadFault::Read(damage)),
                Ok(()) => self.store.load_slots(&header, bytes),
            }
        };
        match loaded {
            Ok(Loaded { tuples, expired, no_room }) => {
                part.loaded.tuples += tuples;
                part.loaded.expired += expired;
                part.loaded.no_room += no_room;
                part.newest = part.newest.max(Some(header.seen));
            }
            // The reader tells of it.
            Err(LoadFault::Read(_)) => {}
            Err(LoadFault::Unfit) => part.damage.push(format!(
                "{}: shard {} makes no sense: its tuples are lost",
                self.reader.name(),
                header.index
            )),
        }
    }
}

/// The part of an opening that reads the journal.
struct Replay<'a> {
    store: &'a CompactStore,
    disk: &'a dyn Disk,
    key_fingerprint: u64,
    from: Position,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl Replay<'_> {
    fn run(&self, threads: NonZeroUsize, notes: &mut ByName) -> Result<journal::Report, OpenError> {
        let of = self.bytes()?;
        let parts = in_parallel(threads, |thread| self.part(thread, threads, of));
        let mut report = None;
        for part in parts {
            let (found, changed) = part?;
            // All have read the same; the first one has taken the notes.
            report.get_or_insert(found);
            for note in &changed {
                take_down(notes, note);
            }
        }
        Ok(report.unwrap_or_default())
    }

    /// Bytes of all segments, those included that are older than the snapshot.
    fn bytes(&self) -> io::Result<u64> {
        let segments = journal::segments(self.disk)?;
        let length = |segment: &journal::Segment| self.disk.open(&segment.name)?.length();
        segments.iter().map(length).sum()
    }

    fn part(
        &self,
        thread: usize,
        threads: NonZeroUsize,
        of: u64,
    ) -> Result<(journal::Report, Vec<Note>), OpenError> {
        let mut notes = Vec::new();
        let mut mine = Vec::new();
        let report = journal::read(self.disk, self.key_fingerprint, self.from, |batch| {
            let Batch { content, bytes_read, .. } = batch;
            match content {
                Content::Changes(changes) => {
                    let is_mine = |change: &&Change| {
                        self.store.shard_of(change.id) as usize % threads == thread
                    };
                    mine.extend(changes.iter().filter(is_mine).copied());
                    if mine.len() >= APPLIED_TOGETHER {
                        self.store.apply_all(&mine);
                        mine.clear();
                    }
                }
                Content::Note(note) if thread == 0 => notes.push(note.clone()),
                Content::Note(_) => {}
            }
            if thread == 0 {
                (self.progress)(Progress::Journal { done: bytes_read, of });
            }
        })?;
        self.store.apply_all(&mine);
        Ok((report, notes))
    }
}

/// Changes that are applied together, so that the waits for memory overlap.
const APPLIED_TOGETHER: usize = 256;

/// Runs `work` on so many threads, each with its number, and gathers what they return.
fn in_parallel<T: Send>(threads: NonZeroUsize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let spawned: Vec<_> =
            (1..threads.get()).map(|number| scope.spawn(move || work(number))).collect();
        let mut all = vec![work(0)];
        for thread in spawned {
            match thread.join() {
                Ok(done) => all.push(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}
