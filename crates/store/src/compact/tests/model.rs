//! A model beside the store: a map, and the state machine itself. Both go through the same touches,
//! changes of timing, snapshots and recoveries, while time jumps forwards and backwards.
//!
//! The model knows each tuple's time as a span: how the store may have rounded it.

use std::collections::BTreeMap;

use greylist::tuple::judge;
use greylist::{Secs, State, Timestamp, Timing, Touch, Tuple, TupleKey};
use proptest::prelude::*;

use super::super::{CompactStore, Recorder, ShardHeader};
use super::{DAY, LARGE, SMALL, START, key, store, timing};
use crate::journal::Change;
use crate::{Placed, TupleId};

/// Bounds, so that there are 2,048 shards of two sizes, 2,560 and 3,000.
const BOUNDS: [u64; 4] = [SMALL, LARGE, 5 << 30, 6000 << 20];

fn timings() -> [Timing; 6] {
    [
        Timing::DEFAULT,
        Timing::RFC6647,
        timing(60, 18 * 3600, DAY),
        timing(1, 2, 3),
        timing(3600, 40 * DAY, 10 * DAY),
        timing(60, u32::MAX, u32::MAX),
    ]
}

#[derive(Clone, Debug)]
enum Op {
    Touch(u8),
    Peek(u8),
    Put {
        number: u8,
        state: State,
        age: u32,
    },
    Forget(u8),
    Forward(u32),
    Back(u32),
    SweepSome,
    /// Goes by another timing.
    Retime(Timing),
    /// Copies all shards.
    Snapshot,
    /// Makes a new store of the last snapshot and of all that was told since, and some of what was
    /// told before.
    Recover {
        bound: u64,
        timing: Option<Timing>,
        before: usize,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let state = prop_oneof![Just(State::Grey), Just(State::White)];
    let timing = prop::sample::select(timings().to_vec());
    let bound = prop::sample::select(&BOUNDS[..]);
    let op = prop_oneof![
        24 => any::<u8>().prop_map(Op::Touch),
        4 => any::<u8>().prop_map(Op::Peek),
        6 => (any::<u8>(), state, jumps())
            .prop_map(|(number, state, age)| Op::Put { number, state, age }),
        2 => any::<u8>().prop_map(Op::Forget),
        12 => jumps().prop_map(Op::Forward),
        2 => jumps().prop_map(Op::Back),
        4 => Just(Op::SweepSome),
        1 => timing.clone().prop_map(Op::Retime),
        1 => Just(Op::Snapshot),
        2 => (bound, prop::option::of(timing), 0usize..20)
            .prop_map(|(bound, timing, before)| Op::Recover { bound, timing, before }),
    ];
    prop::collection::vec(op, 1..150)
}

/// Seconds to months, and with zeal whatever could be an edge.
fn jumps() -> impl Strategy<Value = u32> {
    const EDGES: [u32; 9] = [
        60,
        6 * 3600,
        18 * 3600,
        24 * 3600,
        36 * DAY,
        65_536,
        2 * 65_536,
        65_536 - 6 * 3600,
        65_536 * 60,
    ];
    prop_oneof![
        4 => 0u32..3,
        3 => 0u32..200,
        3 => (prop::sample::select(&EDGES[..]), 0u32..130)
            .prop_map(|(edge, off)| (edge + off).saturating_sub(65)),
        2 => 0u32..100_000,
        1 => 0u32..200 * DAY,
    ]
}

/// 64 tuples: half of them anywhere, half in one shard, which they fill to beyond its first tables.
fn id(number: u8) -> TupleId {
    let key = key(u64::from(number % 64));
    TupleId::of(if number % 64 < 32 { key } else { TupleKey(key.0 >> 11) })
}

/// What the model knows of a tuple.
#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    /// The store says that it is since a moment from the one to the other, or now if that is later.
    since: [u64; 2],
    /// It had expired when the timing changed or when time went back, so that the store may have
    /// forgotten it, or may not have.
    is_doubtful: bool,
}

impl Known {
    fn tuple(&self, since: u64, now: Timestamp) -> Tuple {
        let since = Timestamp::from_unix_secs(since.min(now.as_unix_secs()));
        Tuple { state: self.state, since }
    }
}

struct Model {
    timing: Timing,
    now: Timestamp,
    known: BTreeMap<TupleId, Known>,
}

impl Model {
    fn new(timing: Timing) -> Self {
        Self { timing, now: Timestamp::from_unix_secs(0), known: BTreeMap::new() }
    }

    /// Seconds to which the times of a state are rounded.
    fn unit(&self, state: State) -> u64 {
        match state {
            State::Grey => u64::from(self.timing.window().get()).div_ceil(18 * 3600),
            State::White => (u64::from(self.timing.lifetime().get()) * 5).div_ceil(4 * 65_536),
        }
    }

    fn remember(&mut self, id: TupleId, tuple: Tuple) {
        let since = tuple.since.min(self.now).as_unix_secs();
        let unit = self.unit(tuple.state);
        let since = match tuple.state {
            State::Grey => [since - since % unit, since - since % unit],
            State::White => [since, since + unit - 1],
        };
        self.known.insert(id, Known { state: tuple.state, since, is_doubtful: false });
    }

    /// Whether `seen` is what a touch may show; and what is known after it.
    fn touches(&mut self, id: TupleId, seen: Touch) -> bool {
        let now = self.now.as_unix_secs();
        if let Some(known) = self.known.get(&id).copied() {
            // From the answer follows which moment of the span the store took.
            let since = match seen {
                Touch::Early { wait } => {
                    (now + u64::from(wait.get())).saturating_sub(self.timing.embargo().get().into())
                }
                Touch::Passed { waited } => now.saturating_sub(waited.get().into()),
                Touch::Known => known.since[1],
                Touch::New { .. } | Touch::NoRoom => known.since[0],
            };
            let since = since.clamp(known.since[0], known.since[1]);
            let (touch, tuple) = judge(&self.timing, Some(known.tuple(since, self.now)), self.now);
            if touch == seen {
                if tuple.state == State::Grey && !matches!(touch, Touch::New { .. }) {
                    self.known.insert(id, Known { is_doubtful: false, ..known });
                } else {
                    self.remember(id, tuple);
                }
                return true;
            }
            if !known.is_doubtful {
                return false;
            }
        }
        let (touch, tuple) = judge(&self.timing, None, self.now);
        self.remember(id, tuple);
        touch == seen
    }

    /// Whether `seen` is what a peek may show.
    fn allows(&self, id: TupleId, seen: Option<Tuple>) -> bool {
        let Some(known) = self.known.get(&id) else { return seen.is_none() };
        let [first, last] = known.since.map(|since| known.tuple(since, self.now));
        match seen {
            None => known.is_doubtful || first.expired(&self.timing, self.now),
            Some(seen) => {
                let since = first.since..=last.since;
                seen.state == known.state
                    && since.contains(&seen.since)
                    && !seen.expired(&self.timing, self.now)
            }
        }
    }

    /// Another timing, or another time: what has expired until then may be gone for good.
    fn change(&mut self, now: Timestamp, timing: Timing) {
        for known in self.known.values_mut() {
            let first = known.tuple(known.since[0], self.now);
            known.is_doubtful |= first.expired(&self.timing, self.now);
        }
        self.now = now;
        if self.timing == timing {
            return;
        }
        self.timing = timing;
        let units = [State::Grey, State::White].map(|state| self.unit(state));
        for known in self.known.values_mut() {
            match known.state {
                State::Grey => {
                    known.since = known.since.map(|since| since - since % units[0]);
                }
                State::White => known.since[1] += units[1] - 1,
            }
            // At the change itself, and by the new timing.
            let first = known.tuple(known.since[0], now);
            known.is_doubtful |= first.expired(&timing, now);
        }
    }

    /// A recovery may have taken a tuple from what was told of it last.
    fn widen(&mut self, id: TupleId, told: Tuple) {
        let unit = self.unit(told.state);
        let since = told.since.as_unix_secs();
        if let Some(known) = self.known.get_mut(&id) {
            let [first, last] = match told.state {
                State::Grey => [since - since % unit, since - since % unit],
                State::White => [since, since],
            };
            known.since = [known.since[0].min(first), known.since[1].max(last)];
        }
    }
}

/// A store, and what of it outlives it.
struct Kept {
    store: CompactStore,
    snapshot: Vec<(ShardHeader, Vec<u8>)>,
    /// How much had been told when the snapshot was taken.
    position: usize,
    told: Vec<Change>,
    /// When that was, of the last.
    told_last: Timestamp,
}

impl Recorder for Vec<Change> {
    fn changed(&mut self, id: TupleId, outcome: Option<Tuple>) {
        self.push(Change { id, outcome });
    }
}

impl Kept {
    fn touch(&mut self, now: Timestamp, id: TupleId) -> Touch {
        let now = self.store.advance(now);
        self.told_last = now;
        self.store.shard(id).lock().touch(now, id, &mut self.told)
    }

    fn put(&mut self, now: Timestamp, id: TupleId, tuple: Tuple) -> Placed {
        let now = self.store.advance(now);
        self.told_last = now;
        self.store.shard(id).lock().put(now, id, tuple, &mut self.told)
    }

    fn forget(&mut self, now: Timestamp, id: TupleId) -> Option<Tuple> {
        let now = self.store.advance(now);
        self.told_last = now;
        self.store.shard(id).lock().forget(now, id, &mut self.told)
    }

    fn snapshot(&mut self) {
        self.position = self.told.len();
        self.snapshot.clear();
        for index in 0..self.store.shard_count() {
            let mut bytes = Vec::new();
            let header = self.store.copy_shard(index, &mut bytes, || ());
            if !bytes.is_empty() {
                self.snapshot.push((header, bytes));
            }
        }
    }

    fn recover(&mut self, bound: u64, timing: Timing, before: usize) {
        self.store = store(timing, bound);
        for (header, bytes) in &self.snapshot {
            let loaded = if self.store.fits(header) {
                let read = |memory: &mut [u8]| {
                    memory.copy_from_slice(bytes);
                    Ok::<_, ()>(())
                };
                self.store.load_shard(header, read)
            } else {
                self.store.load_slots(header, bytes)
            };
            assert!(loaded.is_ok_and(|loaded| loaded.no_room == 0), "{header:?}");
        }
        self.store.apply_all(&self.told[self.position.saturating_sub(before)..]);
        self.store.advance(self.told_last);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 512 } else { 20_000 }))]

    #[test]
    fn the_store_is_the_state_machine_whatever_happens_to_time(
        timing in prop::sample::select(timings().to_vec()),
        bound in prop::sample::select(&BOUNDS[..]),
        ops in ops(),
    ) {
        let mut kept = Kept {
            store: store(timing, bound),
            snapshot: Vec::new(),
            position: 0,
            told: Vec::new(),
            told_last: Timestamp::from_unix_secs(0),
        };
        let mut model = Model::new(timing);
        // What the caller's clock says: unlike the store's time, it may step back.
        let mut clock = START;
        for op in ops {
            if matches!(op, Op::Touch(_) | Op::Peek(_) | Op::Put { .. } | Op::Forget(_) | Op::SweepSome) {
                model.now = model.now.max(clock);
            }
            match op {
                Op::Touch(number) => {
                    let touch = kept.touch(clock, id(number));
                    prop_assert!(model.touches(id(number), touch), "{:?}: {:?}", op, touch);
                }
                Op::Peek(number) => {
                    let seen = kept.store.peek_id(clock, id(number));
                    prop_assert!(model.allows(id(number), seen), "{:?}: {:?}", op, seen);
                }
                Op::Put { number, state, age } => {
                    let since = Timestamp::from_unix_secs(clock.as_unix_secs() - u64::from(age));
                    let tuple = Tuple { state, since };
                    let placed = kept.put(clock, id(number), tuple);
                    if tuple.expired(&model.timing, model.now) {
                        prop_assert_eq!(placed, Placed::Expired);
                        model.known.remove(&id(number));
                    } else {
                        prop_assert_eq!(placed, Placed::Stored);
                        model.remember(id(number), tuple);
                    }
                }
                Op::Forget(number) => {
                    let seen = kept.forget(clock, id(number));
                    prop_assert!(model.allows(id(number), seen), "{:?}: {:?}", op, seen);
                    model.known.remove(&id(number));
                }
                Op::Forward(secs) => clock = clock.after(Secs::new(secs)),
                Op::Back(secs) => {
                    clock = Timestamp::from_unix_secs(clock.as_unix_secs() - u64::from(secs));
                }
                Op::SweepSome => kept.store.sweep_some(clock),
                Op::Retime(timing) => {
                    kept.store.retime(clock, timing);
                    let now = model.now.max(clock);
                    model.change(now, timing);
                }
                Op::Snapshot => kept.snapshot(),
                Op::Recover { bound, timing, before } => {
                    let timing = timing.unwrap_or(model.timing);
                    kept.recover(bound, timing, before);
                    let newest = kept.store.newest_time();
                    prop_assert!(newest <= model.now);
                    model.change(newest, timing);
                    for &Change { id, outcome } in &kept.told {
                        if let Some(tuple) = outcome {
                            model.widen(id, tuple);
                        }
                    }
                }
            }
        }
        let stats = kept.store.stats();
        prop_assert_eq!((stats.no_room, stats.evicted_grey, stats.evicted_white), (0, 0, 0));
    }
}
