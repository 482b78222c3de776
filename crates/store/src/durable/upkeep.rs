//! What must be done now and then: look whether the journal is well, mend it, take snapshots.
//!
//! A snapshot is taken while the store serves: shard by shard, each for as long as it takes to copy
//! 2 MiB; and between pieces of a fraction of a millisecond whoever called is asked whether to go
//! on, and may rest meanwhile, so that it need not be felt even where there is but one core. Changes that happen meanwhile are in the copy, or in the journal after the position where
//! the snapshot began, or in both; replaying an outcome twice does no harm.

use std::io;
use std::ops::ControlFlow;

use greylist::{Secs, Timestamp};

use super::{Durable, SnapshotTaken};
use crate::CompactStore;
use crate::journal::{self, Down, Health, Note, Position};
use crate::snapshot;

/// Below this many bytes of journal no snapshot is taken: reading them takes a second or so.
const SNAPSHOT_AFTER_MIN: u64 = 64 * 1024 * 1024;

/// After a snapshot that failed, the next attempt waits at first so long, ...
const RETRY_MIN: Secs = Secs::new(1);
/// ... and twice as long after each further failure, up to so long: a full disk is not filled
/// again and again with what won't fit.
const RETRY_MAX: Secs = Secs::new(60);

/// Asked between two pieces of a long piece of work, when no lock is held, whether to go on. May
/// take its time before it says so: that is how the work is kept from taking a whole core.
pub type Breath<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

/// A snapshot that there is not.
enum NotTaken {
    /// [`Breath`] said so.
    Told,
    Failed(io::Error),
}

impl From<io::Error> for NotTaken {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// What came of a call of [`CompactStore::upkeep`], for the log.
#[derive(Clone, Debug)]
pub enum Event {
    /// The journal is down since the last call: tuples are kept in memory alone.
    WentDown(Down),
    /// It is whole again.
    Mended(Down),
    /// A snapshot is complete, and so many segments that it replaces are gone.
    Snapshot(SnapshotTaken, usize),
    /// A snapshot could not be made.
    SnapshotFailed(String),
    /// Files that a snapshot replaces could not be removed; they do no harm but take room.
    NotRemoved(String),
}

/// What upkeep remembers from call to call.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Bytes of journal that were there before this run, after the snapshot that it began with.
    bytes_before: u64,
    /// Bytes that the journal had written when the last snapshot began.
    bytes_at_snapshot: u64,
    /// Bytes of the last snapshot, be it of an earlier run.
    snapshot_bytes: u64,
    last: Option<SnapshotTaken>,
    /// Damage was found: what is in memory is all there is, so it is written out as soon as can be.
    wanted: bool,
    /// Whether the journal was down at the last call.
    was_down: bool,
    retry: Option<Retry>,
}

/// A snapshot that failed.
#[derive(Debug)]
struct Retry {
    why: String,
    not_before: Timestamp,
    pause: Secs,
}

impl Upkeep {
    /// After a start that read `tail_bytes` of journal after a snapshot of `snapshot_bytes`.
    pub(super) const fn new(snapshot_bytes: u64, tail_bytes: u64) -> Self {
        Self {
            bytes_before: tail_bytes,
            bytes_at_snapshot: 0,
            snapshot_bytes,
            last: None,
            wanted: false,
            was_down: false,
            retry: None,
        }
    }

    /// Has a snapshot taken at the next call.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) fn tail_bytes(&self, journal: &journal::Stats) -> u64 {
        self.bytes_before + journal.bytes.saturating_sub(self.bytes_at_snapshot)
    }

    pub(super) const fn last(&self) -> Option<SnapshotTaken> {
        self.last
    }

    pub(super) fn fault(&self) -> Option<String> {
        self.retry.as_ref().map(|retry| retry.why.clone())
    }

    fn may_try(&self, now: Timestamp) -> bool {
        self.retry.as_ref().is_none_or(|retry| now >= retry.not_before)
    }

    fn failed(&mut self, now: Timestamp, why: String) {
        let pause = self.retry.as_ref().map_or(RETRY_MIN, |retry| {
            Secs::new(retry.pause.get().saturating_mul(2)).min(RETRY_MAX)
        });
        self.retry = Some(Retry { why, not_before: now.after(pause), pause });
    }
}

impl CompactStore {
    /// Looks after journal and snapshots; to be called each second by one thread, which may be held
    /// up for as long as a snapshot takes. Nobody else is. Says what is worth a line in the log.
    /// When `breath` ends a snapshot half-way, that is as if it had not been begun.
    pub fn upkeep(&self, now: Timestamp, breath: Breath<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(durable) = self.durable() else { return events };
        durable.journal.check_names(now);
        if let Health::Down(down) = durable.journal.health() {
            let first = !std::mem::replace(&mut durable.upkeep.lock().was_down, true);
            if first {
                events.push(Event::WentDown(down));
            }
            // What can't be had now may be had in a second.
            let ready = (durable.prepare)().is_ok() && durable.journal.begin_segment(now).is_ok();
            if !ready {
                return events;
            }
        }
        if self.is_snapshot_due(durable, now) {
            self.snapshot_now(durable, now, breath, &mut events);
        }
        events
    }

    /// Takes a snapshot now, whether one is due or not: for moving house, and for tests.
    ///
    /// # Errors
    /// When it could not be made.
    pub fn snapshot(&self, now: Timestamp) -> Result<(), String> {
        let Some(durable) = self.durable() else { return Ok(()) };
        let mut events = Vec::new();
        self.snapshot_now(durable, now, &mut || ControlFlow::Continue(()), &mut events);
        events.into_iter().try_for_each(|event| match event {
            Event::SnapshotFailed(why) => Err(why),
            _ => Ok(()),
        })
    }

    fn is_snapshot_due(&self, durable: &Durable, now: Timestamp) -> bool {
        let upkeep = durable.upkeep.lock();
        let after =
            durable.snapshot_after.unwrap_or_else(|| upkeep.snapshot_bytes.max(SNAPSHOT_AFTER_MIN));
        let is_mending = matches!(durable.journal.health(), Health::Mending(_));
        let is_long = upkeep.tail_bytes(&durable.journal.stats()) >= after;
        (is_mending || is_long || upkeep.wanted) && upkeep.may_try(now)
    }

    fn snapshot_now(
        &self,
        durable: &Durable,
        now: Timestamp,
        breath: Breath<'_>,
        events: &mut Vec<Event>,
    ) {
        let bytes_at_start = durable.journal.stats().bytes;
        let health = durable.journal.health();
        let taken = match self.write_snapshot(durable, now, breath) {
            Ok(taken) => taken,
            Err(NotTaken::Told) => return,
            Err(NotTaken::Failed(error)) => {
                let why = error.to_string();
                durable.upkeep.lock().failed(now, why.clone());
                events.push(Event::SnapshotFailed(why));
                return;
            }
        };
        {
            let mut upkeep = durable.upkeep.lock();
            upkeep.bytes_before = 0;
            upkeep.bytes_at_snapshot = bytes_at_start;
            upkeep.snapshot_bytes = taken.bytes;
            upkeep.last = Some(taken);
            upkeep.wanted = false;
            upkeep.retry = None;
            if durable.journal.mended(taken.position) {
                upkeep.was_down = false;
                if let Health::Mending(down) = health {
                    events.push(Event::Mended(down));
                }
            }
        }
        // Only now that the new snapshot is complete and named for good.
        match drop_replaced(durable, taken.position) {
            Ok(dropped) => events.push(Event::Snapshot(taken, dropped)),
            Err(error) => {
                events.push(Event::Snapshot(taken, 0));
                events.push(Event::NotRemoved(error.to_string()));
            }
        }
    }

    fn write_snapshot(
        &self,
        durable: &Durable,
        now: Timestamp,
        breath: Breath<'_>,
    ) -> Result<SnapshotTaken, NotTaken> {
        // Every change before this position is in its shard already: it was appended under the lock
        // of the shard, which is copied under that lock later.
        let position = durable.journal.position();
        let header = snapshot::Header {
            position,
            key_fingerprint: super::key_of(self.hash_key()),
            timing: self.timing(),
            shards: self.shard_count(),
            created: now,
        };
        let mut writer = snapshot::Writer::create(&*durable.disk, &header)?;
        let mut bytes = Vec::new();
        for index in 0..self.shard_count() {
            bytes.clear();
            let shard = self.copy_shard(index, &mut bytes, || {});
            if shard.timing != header.timing {
                return Err(io::Error::other("the timing was changed meanwhile").into());
            }
            let _ = breath();
            if !bytes.is_empty() {
                let shard = snapshot::ShardHeader {
                    index,
                    buckets: shard.buckets,
                    seen: shard.seen,
                    swept: shard.swept,
                };
                // Told to stop in the midst of a shard, it does so at its end.
                writer.shard(&shard, &bytes, || {
                    let _ = breath();
                })?;
            }
            if breath().is_break() {
                return Err(NotTaken::Told);
            }
        }
        // What changes meanwhile is in the journal after `position`.
        for notes in self.note_portions() {
            for (name, value) in notes {
                writer.note(&Note::new(name, Some(value)).map_err(io::Error::other)?)?;
            }
            if breath().is_break() {
                return Err(NotTaken::Told);
            }
        }
        let bytes = writer.finish()?;
        Ok(SnapshotTaken { at: now, position, bytes })
    }
}

/// Removes what the snapshot at `position` replaces: older snapshots, then segments. Says how many
/// segments those were.
fn drop_replaced(durable: &Durable, position: Position) -> io::Result<usize> {
    snapshot::drop_before(&*durable.disk, position)?;
    durable.journal.drop_before(position)
}
