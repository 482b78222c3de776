//! Table, journal and snapshots together, on a disk that is cut at any call and made to fail.

mod crashes;
mod damage;
mod faults;
mod moves;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use greylist::{HashKey, Secs, State, Timestamp, Timing, Touch, Tuple};

use super::{OpenError, Opened, Opening, Recovery, Settings};
use crate::conformance::key;
use crate::disk::{Disk, SimulatedDisk};
use crate::journal::SyncPolicy;
use crate::{Bound, CompactConfig, CompactStore, Placed, TupleId};

/// For upkeep that nobody hurries or holds up.
fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

/// Small, so that a few dozen changes fill one; a frame of one change is 48 bytes.
const SEGMENT_BYTES: u64 = 1_000;

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

fn id(number: u64) -> TupleId {
    TupleId::of(key(number))
}

/// What a store is opened with, the disk aside.
#[derive(Clone, Debug)]
struct Plan {
    timing: Timing,
    bound: u64,
    hash_key: [u8; 16],
    sync: SyncPolicy,
    snapshot_after: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            timing: Timing::DEFAULT,
            bound: Bound::BYTES_MIN,
            hash_key: [7; 16],
            sync: SyncPolicy::Regularly,
            snapshot_after: 3_000,
        }
    }
}

impl Plan {
    fn try_open(&self, disk: &SimulatedDisk) -> Result<Opened, OpenError> {
        let opening = Opening {
            config: CompactConfig {
                timing: self.timing,
                bound: Bound::new(self.bound).unwrap(),
                hash_key: HashKey::new(self.hash_key),
            },
            disk: Arc::new(disk.clone()),
            settings: Settings {
                sync: self.sync,
                segment_bytes: SEGMENT_BYTES,
                snapshot_after: Some(self.snapshot_after),
            },
            prepare: Box::new(|| Ok(())),
            now: START,
            threads: NonZeroUsize::new(2).unwrap(),
        };
        CompactStore::open(opening, &|_| {})
    }

    fn open(&self, disk: &SimulatedDisk) -> (CompactStore, Recovery) {
        match self.try_open(disk) {
            Ok(Opened { store, recovery }) => (store, recovery),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a store knows, in a form in which two stores can be compared.
type Contents = BTreeMap<TupleId, (State, u64)>;

/// All that is known at `now`. White times are compared by the minute: that is how exactly they
/// are kept.
fn contents(store: &CompactStore, now: Timestamp) -> Contents {
    let mut tuples = Vec::new();
    for index in 0..store.shard_count() {
        store.scan_shard(index, now, &mut tuples);
    }
    tuples.into_iter().map(|(id, tuple)| (id, comparable(tuple))).collect()
}

fn comparable(tuple: Tuple) -> (State, u64) {
    let unit = match tuple.state {
        State::Grey => 1,
        State::White => 60,
    };
    (tuple.state, tuple.since.as_unix_secs() / unit)
}

fn put(store: &CompactStore, now: Timestamp, number: u64, state: State) {
    let placed = store.put_id(now, id(number), Tuple { state, since: now });
    assert_eq!(placed, Placed::Stored);
}
