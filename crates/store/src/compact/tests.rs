//! The compact store as a whole: promises, time, growth, threads, copies.

mod bound;
mod model;

use std::sync::atomic::{AtomicU32, Ordering};

use greylist::{HashKey, Secs, State, Timestamp, Timing, Touch, Tuple, TupleKey};

use super::{
    Bound, BoundTooSmall, CompactConfig, CompactStore, Ground, HugePages, LoadFault, ShardHeader,
};
use crate::conformance::{conforms, key};
use crate::{Merged, Placed, TupleId, TupleStore};

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const DAY: u32 = 86_400;
const SMALL: u64 = Bound::BYTES_MIN;
const LARGE: u64 = 1 << 30;

fn store(timing: Timing, bound: u64) -> CompactStore {
    let bound = Bound::new(bound).unwrap();
    CompactStore::new(CompactConfig { timing, bound, hash_key: HashKey::new([1; 16]) })
}

fn timing(embargo: u32, window: u32, lifetime: u32) -> Timing {
    Timing::new(Secs::new(embargo), Secs::new(window), Secs::new(lifetime)).unwrap()
}

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

/// The outcome of a future that is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(outcome) => outcome,
        std::task::Poll::Pending => panic!("the compact store is ready at once"),
    }
}

fn peek(store: &CompactStore, now: Timestamp, key: TupleKey) -> Option<Tuple> {
    ready(store.peek(now, key)).unwrap()
}

fn put(store: &CompactStore, now: Timestamp, key: TupleKey, state: State) -> Placed {
    ready(store.put(now, key, Tuple { state, since: now })).unwrap()
}

#[test]
fn compact_conforms() {
    ready(conforms(|timing| store(timing, LARGE)));
    ready(conforms(|timing| store(timing, SMALL)));
}

/// As where addresses can't be reserved.
fn store_on_heap(timing: Timing, bound: u64) -> CompactStore {
    let bound = Bound::new(bound).unwrap();
    let config = CompactConfig { timing, bound, hash_key: HashKey::new([1; 16]) };
    CompactStore::on(Ground::heap(bound.shares().0), config)
}

#[test]
fn compact_conforms_on_the_heap() {
    ready(conforms(|timing| store_on_heap(timing, LARGE)));
}

#[test]
fn all_memory_is_as_good_as_the_other() {
    let stores = [store(Timing::DEFAULT, LARGE), store_on_heap(Timing::DEFAULT, LARGE)];
    // In 32 shards, from tables of two buckets to those of 24 KiB, and back to nothing.
    let key = |number| TupleKey(key(number).0 >> 6);
    for number in 0..90_000 {
        for store in &stores {
            assert_eq!(store.touch_one(at(0), key(number)), Touch::New { wait: Secs::new(60) });
        }
    }
    for number in (0..90_000).step_by(7) {
        for store in &stores {
            let touch = store.touch_one(at(30), key(number));
            assert_eq!(touch, Touch::Early { wait: Secs::new(30) }, "{number}");
        }
    }
    let [region, heap] = [stores[0].stats(), stores[1].stats()];
    assert_eq!(region, heap);
    assert!(region.slots / 32 * 8 > 16 << 10, "beyond the heap: {region:?}");
    for store in &stores {
        store.sweep_some(at(0));
        store.sweep_some(at(DAY));
        assert_eq!((store.stats().slots, store.stats().grey), (0, 0));
    }
}

/// The test starts itself once more, with a limit of 2 GB of addresses.
#[test]
fn where_addresses_are_short_tables_lie_on_the_heap_and_stats_say_so() {
    const NAME: &str =
        "compact::tests::where_addresses_are_short_tables_lie_on_the_heap_and_stats_say_so";
    const SHORT: &str = "ADDRESSES_ARE_SHORT";
    if std::env::var_os(SHORT).is_none() {
        let limited = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 2000000 && exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(NAME)
            .env(SHORT, "")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&limited.stdout);
        assert!(limited.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let store = store(Timing::DEFAULT, 4 << 30);
    let in_one_shard = |number| TupleKey(key(number).0 >> 11);
    for number in 0..50_000 {
        let touch = store.touch_one(at(0), in_one_shard(number));
        assert_eq!(touch, Touch::New { wait: Secs::new(60) });
    }
    for number in 0..50_000 {
        let touch = store.touch_one(at(1), in_one_shard(number));
        assert_eq!(touch, Touch::Early { wait: Secs::new(59) });
    }
    let said = store.stats().huge_pages.to_string();
    assert!(said.contains("addresses cannot be reserved: Cannot allocate memory"), "{said}");
}

#[test]
fn full_tables_lie_on_huge_pages_where_the_kernel_has_them() {
    assert_eq!(store(Timing::DEFAULT, LARGE).stats().huge_pages, HugePages::TooSmall);
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let store = store(Timing::DEFAULT, 4 << 30);
    let is_in_use = store.stats().huge_pages == HugePages::InUse;
    assert_eq!(is_in_use, enabled.is_ok_and(|enabled| !enabled.contains("[never]")));
    // One shard, to the brim and back.
    let in_one_shard = |number| TupleKey(key(number).0 >> 11);
    for number in 0..270_000 {
        store.touch_one(at(0), in_one_shard(number));
    }
    let full = store.stats();
    assert_eq!(full.slots, 262_144);
    assert!(full.grey > 262_144 * 97 / 100 && full.no_room > 0, "{full:?}");
    for number in 0..1000 {
        let touch = store.touch_one(at(60), in_one_shard(number));
        assert_eq!(touch, Touch::Passed { waited: Secs::new(60) }, "{number}");
    }
    store.sweep_some(at(60));
    store.sweep_some(at(DAY));
    let swept = store.stats();
    assert_eq!((swept.grey, swept.white), (0, 1000));
    assert!(swept.slots < 2000, "{swept:?}");
    // The same place again, which must be as good as new.
    for number in 300_000..560_000 {
        store.touch_one(at(DAY), in_one_shard(number));
    }
    let again = store.stats();
    assert_eq!((again.slots, again.white), (262_144, 1000));
    assert_eq!(again.grey + (again.no_room - full.no_room), 260_000);
}

#[test]
fn the_hash_key_is_kept_with_the_tuples_and_shown_to_nobody() {
    let store = store(Timing::DEFAULT, SMALL);
    assert_eq!(store.hash_key(), &HashKey::new([1; 16]));
    assert!(format!("{store:?}").contains("HashKey(…)"));
}

#[test]
fn a_capacity_fits_with_room_to_spare_in_every_shard() {
    for tuples in [0, 1, 100_000, 1_000_000, 10_000_000, 99_999_999, 2_160_000_000, 1 << 41] {
        let bound = Bound::for_capacity(tuples);
        assert!(bound.bytes() >= Bound::BYTES_MIN, "{tuples}");
        let (shards, buckets) = bound.shares();
        let slots = u64::from(buckets) * 8;
        assert!(slots * u64::from(shards) / 100 * 92 >= tuples, "{tuples}: all in all");
        let each = tuples / u64::from(shards);
        let fullest = each + 5 * each.isqrt();
        assert!(slots * 97 / 100 >= fullest, "{tuples}: {fullest} in {slots} slots");
    }
    let _ = Bound::for_capacity(u64::MAX);
}

#[test]
fn a_bound_too_small_to_share_out_is_refused() {
    assert_eq!(Bound::new(SMALL - 1), Err(BoundTooSmall { bytes: SMALL - 1 }));
    let said = BoundTooSmall { bytes: 4096 }.to_string();
    assert_eq!(said, "4096 bytes are too few for the table of tuples: it needs at least 2 MiB");
}

#[test]
fn all_shards_together_keep_within_the_bound_and_use_almost_all_of_it() {
    const TABLE: u64 = 2 << 20;
    for bytes in [SMALL, SMALL + 1, 100 << 20, (4 << 30) - 1, 4 << 30, 18 << 30, 1 << 40, 77 << 38]
        .into_iter()
        .chain((21..40).map(|bits| (1 << bits) / 7 * 9))
    {
        let (shards, buckets) = Bound::new(bytes).unwrap().shares();
        let used = u64::from(shards) * u64::from(buckets) * 64;
        assert!(shards >= 2048 && used <= bytes, "{shards} x {buckets} in {bytes}");
        // Of each shard, less than a bucket if it is small, less than a page if not.
        let each = if buckets <= 256 { 64 } else { 4096 };
        assert!(bytes - used < TABLE.max(u64::from(shards) * each), "{shards} x {buckets}");
        assert_eq!(u64::from(buckets) * 64 == TABLE, bytes >= 4 << 30, "{buckets} in {bytes}");
    }
    let largest = Bound::new(u64::MAX).unwrap().shares();
    assert_eq!(largest, (1 << 24, 32_768));
}

// --- Time.

#[test]
fn no_second_is_too_late_or_too_early_to_panic() {
    for secs in [0, 1, 59, 65_535, 65_536, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        let store = store(Timing::DEFAULT, SMALL);
        let now = Timestamp::from_unix_secs(secs);
        assert!(matches!(store.touch_one(now, key(1)), Touch::New { .. }), "{secs}");
        assert!(matches!(store.touch_one(now, key(1)), Touch::Early { .. }), "{secs}");
        assert_eq!(put(&store, now, key(1), State::White), Placed::Stored, "{secs}");
        store.sweep_some(now);
        assert_eq!(store.touch_one(Timestamp::from_unix_secs(0), key(1)), Touch::Known, "{secs}");
    }
}

#[test]
fn sweeping_each_second_frees_all_that_expired_and_gives_memory_back() {
    let store = store(Timing::DEFAULT, LARGE);
    for number in 0..50_000 {
        store.touch_one(at(0), key(number));
    }
    for number in 0..1_000 {
        assert_eq!(store.touch_one(at(60), key(number)), Touch::Passed { waited: Secs::new(60) });
    }
    let full = store.stats();
    assert_eq!((full.grey, full.white, full.expired()), (49_000, 1_000, 0));

    let late = 6 * 3600 + 1;
    for secs in 0..=15 * 60 {
        store.sweep_some(at(late + secs));
    }
    let swept = store.stats();
    assert_eq!((swept.grey, swept.white), (0, 1_000));
    assert_eq!((swept.expired_grey, swept.expired_white), (49_000, 0));
    assert!(swept.slots < full.slots / 4, "{} of {} slots", swept.slots, full.slots);
    for number in 0..1_000 {
        assert_eq!(store.touch_one(at(late + 15 * 60), key(number)), Touch::Known);
    }

    // Once more after a long sleep: one call passes over everything.
    store.sweep_some(at(100 * DAY));
    let empty = store.stats();
    assert_eq!((empty.grey, empty.white, empty.slots), (0, 0, 0));
    assert_eq!((empty.expired_grey, empty.expired_white), (49_000, 1_000));
}

#[test]
fn all_can_be_swept_at_once() {
    let store = store(Timing::DEFAULT, LARGE);
    for number in 0..5_000 {
        store.touch_one(at(if number < 2_000 { 0 } else { 3600 }), key(number));
    }
    store.sweep_all(at(6 * 3600 + 1));
    let swept = store.stats();
    assert_eq!((swept.grey, swept.expired_grey), (3_000, 2_000));
}

#[test]
fn a_sweep_that_never_comes_only_costs_the_touch_that_needs_it() {
    // The longest window that is counted in seconds: ticks go round 12 minutes after it.
    let store = store(timing(60, 18 * 3600, DAY), LARGE);
    for number in 0..3000 {
        store.touch_one(at(0), key(number));
    }
    for number in 0..3000 {
        // By their ticks alone, they would be 90 seconds old, and pass.
        let touch = store.touch_one(at(65_536 + 90), key(number));
        assert_eq!(touch, Touch::New { wait: Secs::new(60) }, "{number}");
    }
    assert_eq!(store.stats().expired(), 3000);
}

#[test]
fn a_change_of_timing_keeps_what_is_known() {
    let store = store(Timing::DEFAULT, LARGE);
    for number in 0..300 {
        store.touch_one(at(u32::from(number >= 200) * 3000), key(number));
    }
    for number in 0..100 {
        store.touch_one(at(3000), key(number));
    }
    // Other units for both states; a window that is over for some.
    store.retime(at(3600), timing(1200, 2 * DAY, 10 * DAY));
    store.retime(at(3600), timing(1200, 3500, 100 * DAY));
    for number in 0..300 {
        let expected = match number {
            0..100 => Touch::Known,
            100..200 => Touch::New { wait: Secs::new(1200) },
            _ => Touch::Early { wait: Secs::new(600) },
        };
        assert_eq!(store.touch_one(at(3600), key(number)), expected, "{number}");
    }
    let white = peek(&store, at(100 * DAY), key(0)).unwrap();
    assert!(white.since >= at(3600), "{white:?}");
}

// --- Growth.

#[test]
fn growth_loses_nothing_and_finds_nothing_that_is_not_there() {
    const TUPLES: u64 = 300_000;
    const MISSES: u64 = 1_000_000;
    let store = store(Timing::DEFAULT, LARGE);
    let second = |number: u64| at((number % 50) as u32);
    for number in 0..TUPLES {
        // The store's time is the latest: times of the past come in as a restored copy's would.
        let tuple = Tuple { state: State::Grey, since: second(number) };
        assert_eq!(ready(store.put(at(50), key(number), tuple)), Ok(Placed::Stored));
    }
    for number in 0..TUPLES {
        let grey = Tuple { state: State::Grey, since: second(number) };
        assert_eq!(peek(&store, at(50), key(number)), Some(grey), "{number}");
    }
    let false_matches =
        (TUPLES..TUPLES + MISSES).filter(|&number| peek(&store, at(50), key(number)).is_some());
    assert_eq!(false_matches.count(), 0);

    let stats = store.stats();
    assert_eq!((stats.grey, stats.white, stats.no_room), (TUPLES, 0, 0));
    assert!(stats.rebuilds > 0);
    // The tables are still sparse: no more than two and a half times what the slots take that are used.
    assert!(stats.bytes < 20 * TUPLES, "{} bytes for {TUPLES} tuples", stats.bytes);
}

#[test]
fn past_ten_million_tuples_a_table_takes_ten_bytes_for_each() {
    // One shard of as many as there are at least, with its part of so many.
    const TUPLES: u64 = 10_000_000 / 2_048;
    let store = store(Timing::DEFAULT, LARGE);
    assert_eq!(store.shard_count(), 2_048);
    let shards = store.stats().bytes;
    let tuple = Tuple { state: State::Grey, since: START };
    for number in 1..=TUPLES {
        // 47 bits: the 11 that choose the shard are 0.
        let id = TupleId::from_bits(super::search::mix(number) >> 17).unwrap();
        assert_eq!(store.put_id(START, id, tuple), Placed::Stored);
    }
    let bytes = store.stats().bytes - shards;
    assert!(bytes < 12 * TUPLES, "{bytes} bytes for {TUPLES} tuples");
}

#[test]
fn an_empty_store_takes_next_to_nothing() {
    let stats = store(Timing::DEFAULT, SMALL).stats();
    assert_eq!((stats.shards, stats.slots), (2048, 0));
    assert!(stats.bytes <= 384 * 1024);
    // One in 10,000 bytes of the bound, when it is large.
    let stats = store(Timing::DEFAULT, 18 << 30).stats();
    assert_eq!((stats.shards, stats.slots), (9216, 0));
    assert!(stats.bytes <= 9216 * 192);
}

// --- Threads.

#[test]
fn what_another_memory_knows_is_added_and_takes_nothing_away() {
    let store = store(Timing::DEFAULT, LARGE);
    let id = TupleId::of(key(1));
    let merge = |now, tuple| {
        let mut merged = Vec::new();
        store.merge(now, &[(id, tuple)], &mut merged);
        merged.pop().unwrap()
    };
    let grey = |secs| Tuple { state: State::Grey, since: at(secs) };
    let white = |secs| Tuple { state: State::White, since: at(secs) };
    let now = at(60 * DAY);
    let today = 60 * DAY - 7200;
    for (tuple, merged, known) in [
        (grey(59 * DAY), Merged::Expired, None),
        (grey(today), Merged::New, Some(grey(today))),
        (grey(today), Merged::Known, Some(grey(today))),
        (grey(today + 60), Merged::Known, Some(grey(today))),
        (grey(today - 60), Merged::Changed, Some(grey(today - 60))),
        (white(10 * DAY), Merged::Expired, Some(grey(today - 60))),
    ] {
        assert_eq!(merge(now, tuple), merged, "{tuple:?}");
        assert_eq!(store.peek_id(now, id), known, "{tuple:?}");
    }
    assert_eq!(merge(now, white(50 * DAY)), Merged::Changed);
    let first = store.peek_id(now, id);
    assert_eq!(first.unwrap().state, State::White);
    // Its time is coarse: that of the slot is not later, and merging it again changes nothing.
    assert_eq!(merge(now, white(50 * DAY)), Merged::Known);
    assert_eq!(merge(now, first.unwrap()), Merged::Known);
    assert_eq!(merge(now, grey(today)), Merged::Known);
    assert_eq!(merge(now, white(40 * DAY)), Merged::Known);
    assert_eq!(store.peek_id(now, id), first);
    assert_eq!(merge(now, white(61 * DAY)), Merged::Changed);
    assert!(store.peek_id(now, id).unwrap().since <= now);
}

#[test]
fn of_threads_that_touch_the_same_new_tuple_one_sees_it_new() {
    const THREADS: u32 = 4;
    const TUPLES: u64 = 5_000;
    let store = store(Timing::DEFAULT, LARGE);
    let [new, early, passed, known] = [(); 4].map(|()| AtomicU32::new(0));
    let started = std::sync::Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for (second, first, again) in [(0, &new, &early), (60, &passed, &known)] {
                    started.wait();
                    for number in 0..TUPLES {
                        let counter = match store.touch_one(at(second), key(number)) {
                            Touch::New { .. } | Touch::Passed { .. } => first,
                            Touch::Early { .. } | Touch::Known => again,
                            Touch::NoRoom => panic!("there is room"),
                        };
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    started.wait();
                }
            });
        }
    });
    let counts = [new, early, passed, known].map(AtomicU32::into_inner);
    let (first, again) = (TUPLES as u32, TUPLES as u32 * (THREADS - 1));
    assert_eq!(counts, [first, again, first, again]);
    assert_eq!((store.stats().grey, store.stats().white), (0, TUPLES));
}

// --- Copies.

/// Another store that knows the same.
fn copy(store: &CompactStore, timing: Timing, bound: u64) -> CompactStore {
    let copy = self::store(timing, bound);
    for index in 0..store.shard_count() {
        let mut bytes = Vec::new();
        let header = store.copy_shard(index, &mut bytes, || ());
        let read = |memory: &mut [u8]| {
            memory.copy_from_slice(&bytes);
            Ok::<_, ()>(())
        };
        let fits = copy.fits(&header);
        let loaded =
            if fits { copy.load_shard(&header, read) } else { copy.load_slots(&header, &bytes) };
        assert_eq!(loaded.map(|loaded| loaded.no_room), Ok(0), "{header:?}");
    }
    copy
}

/// A copy that took itself for swept when it was made would take this old grey for a young one, once
/// ticks have gone round.
#[test]
fn a_copy_is_swept_when_its_original_would_have_been() {
    let store = store(Timing::DEFAULT, LARGE);
    let (old, young) = (TupleKey(1), TupleKey(2));
    store.touch_one(at(0), old);
    store.touch_one(at(40_000), young);
    for bound in [LARGE, 5 << 30] {
        let copy = copy(&store, Timing::DEFAULT, bound);
        let touch = copy.touch_one(at(65_536 + 90), old);
        assert_eq!(touch, Touch::New { wait: Secs::new(60) }, "{bound}");
    }
}

#[test]
fn a_shard_that_makes_no_sense_is_not_loaded() {
    let store = store(Timing::DEFAULT, LARGE);
    // In eight shards.
    for number in 0..20_000 {
        store.touch_one(at(0), TupleKey(key(number).0 >> 8));
    }
    let mut bytes = Vec::new();
    let header = store.copy_shard(7, &mut bytes, || ());
    let refused = |header: &ShardHeader, bytes: &[u8]| {
        let copy = self::store(Timing::DEFAULT, LARGE);
        let read = |memory: &mut [u8]| {
            memory.copy_from_slice(bytes);
            Ok::<_, ()>(())
        };
        let whole = copy.load_shard(header, read) == Err(LoadFault::Unfit);
        let slots = copy.load_slots::<()>(header, bytes) == Err(LoadFault::Unfit);
        assert!(!whole || !slots || copy.stats().grey == 0, "what is refused leaves nothing");
        [whole, slots]
    };
    assert_eq!(refused(&header, &bytes), [false, false]);
    // Of so few that ids can't be told; of none; seen before it was swept; read too long after.
    assert_eq!(refused(&ShardHeader { of: 2047, ..header }, &bytes), [true, true]);
    assert_eq!(refused(&ShardHeader { index: 2048, ..header }, &bytes), [true, true]);
    assert_eq!(refused(&ShardHeader { swept: at(1), ..header }, &bytes), [true, true]);
    assert_eq!(refused(&ShardHeader { seen: at(50_000), ..header }, &bytes), [true, true]);
    // Slots in the wrong places: of no consequence where they are put in one by one.
    let mut shifted = bytes.clone();
    shifted.rotate_left(64);
    assert_eq!(refused(&header, &shifted), [true, false]);
    // A slot with no fingerprint.
    let mut odd = bytes.clone();
    odd[..8].copy_from_slice(&(1_u64 << 47).to_le_bytes());
    assert_eq!(refused(&header, &odd), [true, true]);
    // More than the bound allows; cut short.
    let large = ShardHeader { buckets: 8193, ..header };
    assert_eq!(refused(&large, &[0; 8193 * 64]), [true, false]);
    let copy = self::store(Timing::DEFAULT, LARGE);
    let cut = copy.load_slots::<()>(&header, &bytes[..bytes.len() - 8]);
    assert_eq!(cut, Err(LoadFault::Unfit));
}

#[test]
fn a_shard_that_cannot_be_read_stays_empty() {
    let store = store(Timing::DEFAULT, LARGE);
    // In eight shards.
    for number in 0..20_000 {
        store.touch_one(at(0), TupleKey(key(number).0 >> 8));
    }
    let copy = copy(&store, Timing::DEFAULT, LARGE);
    let mut bytes = Vec::new();
    let header = store.copy_shard(0, &mut bytes, || ());
    // In part, over what is there; in a place of its own, which must be as good as new then.
    let failed = copy.load_shard(&header, |memory| {
        memory[..bytes.len() / 2].copy_from_slice(&bytes[..bytes.len() / 2]);
        Err("torn")
    });
    assert_eq!(failed, Err(LoadFault::Read("torn")));
    let mut seen = Vec::new();
    copy.scan_shard(0, at(0), &mut seen);
    assert_eq!(seen, []);
    let loaded = copy.load_shard(&header, |memory| {
        assert!(memory.iter().all(|&byte| byte == 0));
        memory.copy_from_slice(&bytes);
        Ok::<_, ()>(())
    });
    let mut expected = Vec::new();
    store.scan_shard(0, at(0), &mut expected);
    copy.scan_shard(0, at(0), &mut seen);
    assert_eq!((loaded.unwrap().tuples, seen), (expected.len() as u64, expected));
}

#[test]
fn a_copy_that_is_loaded_knows_what_the_store_knew() {
    let store = store(Timing::DEFAULT, LARGE);
    for number in 0..20_000 {
        store.touch_one(at(0), key(number));
    }
    for number in 0..5_000 {
        assert_eq!(store.touch_one(at(60), key(number)), Touch::Passed { waited: Secs::new(60) });
    }
    let wider = timing(90, 40 * 3600, 100 * DAY);
    for (timing, bound) in [
        (Timing::DEFAULT, LARGE),
        (Timing::DEFAULT, SMALL),
        (Timing::DEFAULT, 5 << 30),
        (wider, LARGE),
        (wider, 5 << 30),
    ] {
        let copy = copy(&store, timing, bound);
        let stats = copy.stats();
        assert_eq!((stats.grey, stats.white, stats.no_room), (15_000, 5_000, 0));
        for number in 0..20_000 {
            let touch = copy.touch_one(at(61), key(number));
            let expected = match number {
                0..5_000 => Touch::Known,
                _ if timing == wider => Touch::Early { wait: Secs::new(29) },
                _ => Touch::Passed { waited: Secs::new(61) },
            };
            assert_eq!(touch, expected, "{number} in {bound} bytes");
        }
    }
}
