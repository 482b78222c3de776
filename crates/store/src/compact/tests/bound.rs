//! A store that is full: what goes, what stays, what is refused, and that all of it is counted.

use std::ops::Range;

use greylist::{Secs, State, Timing, Touch, Tuple};

use super::super::Recorder;
use super::{DAY, SMALL, at, key, peek, put, store};
use crate::{Placed, TupleId};

/// How many times the bound's slots a flood brings.
const FLOOD: u64 = if cfg!(debug_assertions) { 4 } else { 40 };
const SMALL_SLOTS: u64 = SMALL / 8;

#[test]
fn a_flood_takes_neither_white_tuples_nor_greys_that_may_be_retried() {
    flood(SMALL, SMALL_SLOTS * FLOOD);
}

/// `cargo test --release -p store -- --ignored a_hundred_million` takes 256 MiB, and a minute or two.
#[test]
#[ignore = "takes minutes without optimisation; the flood above differs in size only"]
fn a_flood_of_a_hundred_million_takes_neither() {
    flood(256 << 20, 100_000_000);
}

/// Three hours in which each minute brings ever more strangers, and some honest senders, who retry
/// after five minutes or after half an hour.
fn flood(bound: u64, strangers: u64) {
    const MINUTES: u64 = 180;
    const HONEST_A_MINUTE: u64 = 20;
    let store = store(Timing::DEFAULT, bound);
    let slots = bound / 8;
    // Numbers from here on are not strangers'.
    let (white, honest) = (1 << 40..(1 << 40) + slots / 4, 2 << 40);
    for number in white.clone() {
        assert_eq!(put(&store, at(0), key(number), State::White), Placed::Stored);
    }
    let mut waiting = Vec::new();
    let [mut new, mut passed, mut accepted_at_once] = [0, 0, 0];
    let share = |minute: u64| strangers * minute * minute / (MINUTES * MINUTES);
    for minute in 0..MINUTES {
        let now = at(minute as u32 * 60);
        for number in share(minute)..share(minute + 1) {
            match store.touch_one(now, key(number)) {
                Touch::New { .. } => new += 1,
                Touch::NoRoom => {}
                other => panic!("{number}: {other:?}"),
            }
        }
        for number in (0..HONEST_A_MINUTE).map(|number| honest + minute * HONEST_A_MINUTE + number)
        {
            match store.touch_one(now, key(number)) {
                Touch::New { .. } => {
                    new += 1;
                    waiting.push((minute + 5 + number % 2 * 25, number));
                }
                Touch::NoRoom => accepted_at_once += 1,
                other => panic!("{number}: {other:?}"),
            }
        }
        waiting.retain(|&(due, number)| {
            if due == minute {
                let touch = store.touch_one(now, key(number));
                assert!(matches!(touch, Touch::Passed { .. }), "minute {minute}: {touch:?}");
                passed += 1;
            }
            due != minute
        });
        assert!(store.stats().slots * 8 <= bound);
    }
    let end = at(MINUTES as u32 * 60);
    for number in white.clone() {
        assert_eq!(store.touch_one(end, key(number)), Touch::Known, "{number}");
    }
    let stats = store.stats();
    assert!(stats.evicted_grey > slots / 4, "{stats:?}");
    assert!(stats.no_room > slots / 8, "{stats:?}");
    assert!(accepted_at_once > 0, "the honest ones are accepted like all when there is no room");
    // What became of each.
    assert_eq!((stats.evicted_white, stats.expired()), (0, 0));
    assert_eq!(stats.no_room, strangers + MINUTES * HONEST_A_MINUTE - new);
    assert_eq!(stats.grey + stats.evicted_grey + passed, new);
    assert_eq!(stats.white, slots / 4 + passed);

    // When the flood is over, its greys make room again.
    let touch = store.touch_one(end.after(Secs::new(32 * 60)), key(u64::MAX));
    assert_eq!(touch, Touch::New { wait: Secs::new(60) });
}

#[test]
fn what_has_expired_goes_before_what_has_not() {
    let store = store(Timing::DEFAULT, SMALL);
    // Two halves of a table that is as full as its fullest shards allow, three hours apart: in the
    // end one has expired.
    let half = SMALL_SLOTS * 35 / 100;
    for number in 0..2 * half {
        store.touch_one(at(if number < half { 0 } else { 3 * 3600 }), key(number));
    }
    let before = store.stats();
    assert!(before.evicted_grey * 1000 < half, "{before:?}");
    for number in 2 * half..3 * half {
        store.touch_one(at(6 * 3600 + 1), key(number));
    }
    let after = store.stats();
    // Not all of them: a table that is still below its bound grew instead.
    assert!(after.expired() > half * 3 / 10, "{after:?}");
    assert!((after.evicted_grey - before.evicted_grey) * 100 < half, "{after:?}");
}

#[test]
fn of_greys_past_their_retry_time_the_oldest_go() {
    let store = store(Timing::DEFAULT, SMALL);
    // One table full, spread over an hour; then, at the end of the second hour, half as many.
    for number in 0..SMALL_SLOTS {
        store.touch_one(at((number * 3600 / SMALL_SLOTS) as u32), key(number));
    }
    for number in SMALL_SLOTS..SMALL_SLOTS * 3 / 2 {
        let touch = store.touch_one(at(7200), key(number));
        assert_eq!(touch, Touch::New { wait: Secs::new(60) });
    }
    let survivors = |numbers: Range<u64>| {
        let count = numbers.end - numbers.start;
        numbers.filter(|&n| peek(&store, at(7200), key(n)).is_some()).count() as u64 * 100 / count
    };
    let eighth = SMALL_SLOTS / 8;
    assert!(survivors(0..eighth) < 5, "{}", survivors(0..eighth));
    assert!(survivors(7 * eighth..8 * eighth) > 95, "{}", survivors(7 * eighth..8 * eighth));
    assert_eq!(survivors(SMALL_SLOTS..SMALL_SLOTS * 3 / 2), 100);
    assert_eq!(store.stats().no_room, 0);
}

#[test]
fn white_never_holds_more_than_its_share_and_the_longest_unused_goes() {
    let store = store(Timing::DEFAULT, SMALL);
    let white_max = SMALL_SLOTS * 3 / 4;
    // Twice as many as may be, each an hour after the one a thousand before it.
    for number in 0..2 * white_max {
        let now = at((number / 1000 * 3600) as u32);
        assert_eq!(put(&store, now, key(number), State::White), Placed::Stored, "{number}");
    }
    let stats = store.stats();
    assert!(stats.white <= white_max && stats.white > white_max * 95 / 100, "{stats:?}");
    assert!(stats.evicted_white + stats.expired() >= white_max, "{stats:?}");
    assert!(stats.evicted_white > 0, "{stats:?}");
    let end = at((2 * white_max / 1000 * 3600) as u32);
    for number in 2 * white_max - white_max / 2..2 * white_max {
        assert_eq!(peek(&store, end, key(number)).map(|t| t.state), Some(State::White), "{number}");
    }
    // There is still room for those who come new, and for them to become white.
    let newcomers = || (0..SMALL_SLOTS / 16).map(|number| key(1 << 40 | number));
    let later = end.after(Secs::new(60));
    for key in newcomers() {
        assert_eq!(store.touch_one(end, key), Touch::New { wait: Secs::new(60) });
    }
    for key in newcomers() {
        assert_eq!(store.touch_one(later, key), Touch::Passed { waited: Secs::new(60) });
        assert_eq!(store.touch_one(later, key), Touch::Known);
    }
    assert!(store.stats().white <= white_max);
}

#[test]
fn a_put_that_finds_no_room_says_so() {
    let store = store(Timing::DEFAULT, SMALL);
    let placed = (0..2 * SMALL_SLOTS)
        .filter(|&number| put(&store, at(0), key(number), State::Grey) == Placed::Stored)
        .count() as u64;
    assert!(placed > SMALL_SLOTS * 95 / 100 && placed <= SMALL_SLOTS, "{placed}");
    assert_eq!(store.stats().no_room, 2 * SMALL_SLOTS - placed);
}

// --- What is told.

type Told = Vec<(TupleId, Option<State>)>;

impl Recorder for Told {
    fn changed(&mut self, id: TupleId, outcome: Option<Tuple>) {
        self.push((id, outcome.map(|tuple| tuple.state)));
    }
}

#[test]
fn changes_of_slots_are_told_and_nothing_else() {
    let store = store(Timing::DEFAULT, SMALL);
    let id = TupleId::of(key(1));
    let mut told = Told::new();
    let mut touch = |secs, expected: &[Option<State>]| {
        told.clear();
        store.shard(id).lock().touch(at(secs), id, &mut told);
        let expected: Told = expected.iter().map(|&outcome| (id, outcome)).collect();
        assert_eq!(told, expected, "after {secs} s");
    };
    touch(0, &[Some(State::Grey)]);
    touch(30, &[]);
    touch(60, &[Some(State::White)]);
    // Its time is kept to the minute.
    touch(61, &[]);
    touch(119, &[]);
    touch(120, &[Some(State::White)]);
    // Expired: that it is forgotten is not told, that it is new again is.
    touch(40 * DAY, &[Some(State::Grey)]);
    store.sweep_some(at(100 * DAY));

    let mut told = Told::new();
    let mut shard = store.shard(id).lock();
    assert_eq!(shard.forget(at(100 * DAY), id, &mut told), None);
    assert_eq!(told, [(id, None)], "in case that it is known to whoever reads what was told");
    let old = Tuple { state: State::White, since: at(0) };
    assert_eq!(shard.put(at(100 * DAY), id, old, &mut told), Placed::Expired);
    let young = Tuple { state: State::White, since: at(99 * DAY) };
    assert_eq!(shard.put(at(100 * DAY), id, young, &mut told), Placed::Stored);
    assert_eq!(shard.put(at(100 * DAY), id, young, &mut told), Placed::Stored);
    assert_eq!(told[1..], [(id, None), (id, Some(State::White))]);
}

#[test]
fn what_is_given_up_is_told_before_what_it_is_given_up_for() {
    // All in one shard, of 128 slots.
    let store = store(Timing::DEFAULT, SMALL);
    let id = |number| TupleId::of(greylist::TupleKey(key(number).0 >> 11));
    let mut shard = store.shard(id(0)).lock();
    for number in 0..200 {
        shard.touch(at(0), id(number), &mut ());
    }
    assert!(shard.tally().no_room > 0);
    let mut told = Told::new();
    assert_eq!(shard.touch(at(1), id(300), &mut told), Touch::NoRoom);
    assert_eq!(told, []);
    let held = u64::from(shard.tally().grey);
    for number in 300..310 {
        shard.touch(at(3600), id(number), &mut told);
    }
    let [given_up, put]: [Vec<_>; 2] =
        [0, 1].map(|at| told.iter().skip(at).step_by(2).copied().collect());
    assert!(given_up.iter().all(|(_, outcome)| outcome.is_none()), "{told:?}");
    assert_eq!(put, (300..310).map(|n| (id(n), Some(State::Grey))).collect::<Told>());
    assert_eq!((u64::from(shard.tally().grey), shard.tally().evicted_grey), (held, 10));
    let mut scanned = Vec::new();
    shard.scan(at(3600), &mut scanned);
    let is_there = |id: TupleId| scanned.iter().any(|&(known, _)| known == id);
    assert!(
        given_up.iter().all(|&(id, _)| !is_there(id)) && put.iter().all(|&(id, _)| is_there(id))
    );

    // White beyond its share goes the same way.
    told.clear();
    let white = Tuple { state: State::White, since: at(3600) };
    for number in 400..500 {
        assert_eq!(shard.put(at(3600), id(number), white, &mut told), Placed::Stored);
    }
    assert_eq!(shard.tally().white, 96);
    let position = told.iter().position(|&told| told == (id(496), Some(State::White))).unwrap();
    let gone = told[position - 1];
    assert!(gone.1.is_none() && (400..496).any(|number| id(number) == gone.0), "{gone:?}");
}

/// What was told, made again in another store, is what the first one knows.
#[test]
fn what_is_told_in_a_flood_says_all() {
    let store = store(Timing::DEFAULT, SMALL);
    let copy = self::store(Timing::DEFAULT, SMALL);
    let id = |number| TupleId::of(greylist::TupleKey(key(number).0 >> 7));
    let mut changes: Vec<crate::journal::Change> = Vec::new();
    // In 16 shards, which are full after three minutes: greys, and those that become white.
    for secs in 0..4000 {
        for number in (0..10).map(|number| u64::from(secs * 10 + number)) {
            store.shard(id(number)).lock().touch(at(secs), id(number), &mut changes);
            let earlier = id(number.saturating_sub(u64::from(secs % 3) * 600));
            store.shard(earlier).lock().touch(at(secs), earlier, &mut changes);
        }
    }
    copy.apply_all(&changes);
    let stats = store.stats();
    assert!(stats.evicted_grey > 0 && stats.evicted_white > 0 && stats.no_room > 0, "{stats:?}");
    for index in 0..store.shard_count() {
        let scan = |store: &super::CompactStore| {
            let mut known = Vec::new();
            store.scan_shard(index, at(4000), &mut known);
            known.sort_unstable_by_key(|&(id, _)| id);
            known
        };
        assert_eq!(scan(&copy), scan(&store), "shard {index}");
    }
}
