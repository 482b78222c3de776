//! What every store promises, as tests that any of them can be put to.
//!
//! Times keep clear of what a store may round: seconds for grey, one lifetime in 50,000 for white.

use greylist::{Secs, State, Timestamp, Timing, Touch, Tuple, TupleKey};

use crate::{Attempt, Placed, TupleStore};

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const DAY: u32 = 86_400;

/// Puts stores that `fresh` makes, each one empty, to all the promises.
pub(crate) async fn conforms<S: TupleStore>(fresh: impl Fn(Timing) -> S) {
    for (embargo, window, lifetime, story) in STORIES {
        let timing =
            Timing::new(Secs::new(*embargo), Secs::new(*window), Secs::new(*lifetime)).unwrap();
        plays(&fresh(timing), story).await;
    }
    a_batch_is_answered_in_order(&fresh(Timing::DEFAULT)).await;
    a_lost_reply_is_safe_to_repeat(&fresh(Timing::DEFAULT)).await;
    tuples_do_not_touch_each_other(&fresh(Timing::DEFAULT)).await;
    peeking_changes_nothing(&fresh(Timing::DEFAULT)).await;
    what_is_put_is_known(&fresh(Timing::DEFAULT)).await;
    what_is_put_too_late_is_forgotten(&fresh(Timing::DEFAULT)).await;
    what_is_forgotten_is_new(&fresh(Timing::DEFAULT)).await;
}

/// Embargo, window, lifetime; then attempts on one tuple: when, and what each must be.
const STORIES: &[(u32, u32, u32, &[(u32, Touch)])] = &[
    // A retry one second before the embargo ends is early, and at its end it passes.
    (300, 21_600, 36 * DAY, &[(0, new(300)), (299, early(1)), (300, passed(300))]),
    // An early retry does not restart the embargo.
    (60, 21_600, 36 * DAY, &[(0, new(60)), (30, early(30)), (59, early(1)), (60, passed(60))]),
    // A retry in the window's last second passes; one second later it is new.
    (60, 21_600, 36 * DAY, &[(0, new(60)), (21_600, passed(21_600)), (21_600, Touch::Known)]),
    (60, 21_600, 36 * DAY, &[(0, new(60)), (21_601, new(60)), (21_661, passed(60))]),
    // Each use renews the lifetime; a day too long forgets.
    (
        60,
        21_600,
        36 * DAY,
        &[
            (0, new(60)),
            (60, passed(60)),
            (36 * DAY, Touch::Known),
            (72 * DAY, Touch::Known),
            (109 * DAY, new(60)),
        ],
    ),
    // After a stop of any length a grey tuple is not young again, though ticks go round.
    (60, 21_600, 36 * DAY, &[(0, new(60)), (65_536 + 30, new(60))]),
    (60, 21_600, 36 * DAY, &[(0, new(60)), (10 * 65_536 + 120, new(60))]),
    (60, 64_800, DAY, &[(0, new(60)), (65_536 + 120, new(60)), (5 * 65_536, new(60))]),
    // Nor is a white one, after a year.
    (60, 21_600, 36 * DAY, &[(0, new(60)), (60, passed(60)), (365 * DAY, new(60))]),
    // Time that steps back counts as the latest time seen: nothing passes or is forgotten early.
    (60, 21_600, 36 * DAY, &[(5000, new(60)), (100, early(60)), (5059, early(1)), (0, early(1))]),
    (60, 21_600, 36 * DAY, &[(5000, new(60)), (5060, passed(60)), (0, Touch::Known)]),
];

const fn new(wait: u32) -> Touch {
    Touch::New { wait: Secs::new(wait) }
}

const fn early(wait: u32) -> Touch {
    Touch::Early { wait: Secs::new(wait) }
}

const fn passed(waited: u32) -> Touch {
    Touch::Passed { waited: Secs::new(waited) }
}

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

/// Keys that differ from each other as those of a keyed hash do.
pub(crate) fn key(number: u64) -> TupleKey {
    let half = |salt: u64| {
        let bits = (number ^ salt).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 31).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(bits ^ bits >> 30)
    };
    TupleKey(half(0x5851_f42d_4c95_7f2d) << 64 | half(0x1405_7b7e_f767_814f))
}

async fn touch(store: &impl TupleStore, now: Timestamp, numbers: &[u64]) -> Vec<Touch> {
    let attempts: Vec<_> = numbers.iter().map(|&number| Attempt { key: key(number) }).collect();
    let mut touches = Vec::new();
    store.touch(now, &attempts, &mut touches).await.unwrap();
    touches
}

async fn plays(store: &impl TupleStore, story: &[(u32, Touch)]) {
    for &(secs, expected) in story {
        let touches = touch(store, at(secs), &[7]).await;
        assert_eq!(touches, [expected], "after {secs} s of {story:?}");
    }
}

async fn a_batch_is_answered_in_order(store: &impl TupleStore) {
    touch(store, at(0), &[1]).await;
    let attempts = [1, 2, 1, 2, 3].map(|number| Attempt { key: key(number) });
    let mut touches = vec![Touch::NoRoom];
    store.touch(at(60), &attempts, &mut touches).await.unwrap();
    let expected = [Touch::NoRoom, passed(60), new(60), Touch::Known, early(60), new(60)];
    assert_eq!(touches, expected, "appended, in order, each after the one before it");
}

async fn a_lost_reply_is_safe_to_repeat(store: &impl TupleStore) {
    assert_eq!(touch(store, at(0), &[1]).await, [new(60)]);
    assert_eq!(touch(store, at(0), &[1]).await, [early(60)], "deferred again");
    assert_eq!(touch(store, at(60), &[1]).await, [passed(60)]);
    assert_eq!(touch(store, at(60), &[1]).await, [Touch::Known], "accepted again");
}

async fn tuples_do_not_touch_each_other(store: &impl TupleStore) {
    for number in 0..1000 {
        assert_eq!(touch(store, at(number as u32), &[number]).await, [new(60)]);
    }
    for number in 0..1000 {
        let waited = 1000 - number as u32;
        let expected = if waited < 60 { early(60 - waited) } else { passed(waited) };
        assert_eq!(touch(store, at(1000), &[number]).await, [expected]);
    }
}

async fn peeking_changes_nothing(store: &impl TupleStore) {
    assert_eq!(store.peek(at(0), key(1)).await, Ok(None));
    assert_eq!(touch(store, at(1), &[1]).await, [new(60)]);
    let grey = Tuple { state: State::Grey, since: at(1) };
    assert_eq!(store.peek(at(21_601), key(1)).await, Ok(Some(grey)));
    assert_eq!(touch(store, at(21_601), &[1]).await, [passed(21_600)]);
    let known = store.peek(at(21_601), key(1)).await.unwrap();
    assert_eq!(known, Some(Tuple { state: State::White, since: at(21_601) }));
    assert_eq!(store.peek(at(80 * DAY), key(1)).await, Ok(None), "long expired");
}

async fn what_is_put_is_known(store: &impl TupleStore) {
    for (number, state, since, expected) in [
        (1, State::Grey, 900, early(40)),
        (2, State::Grey, 100, passed(820)),
        (3, State::White, 5, Touch::Known),
        // From the future: counts as now.
        (4, State::Grey, 5000, early(60)),
        (5, State::White, 5000, Touch::Known),
    ] {
        let tuple = Tuple { state, since: at(since) };
        assert_eq!(store.put(at(920), key(number), tuple).await, Ok(Placed::Stored));
        let known = store.peek(at(920), key(number)).await.unwrap();
        assert!(known.is_some_and(|known| known.state == state && known.since <= at(920)));
        assert_eq!(touch(store, at(920), &[number]).await, [expected], "{tuple:?}");
    }
    // In place of what was known, whatever that was.
    let grey = Tuple { state: State::Grey, since: at(920) };
    assert_eq!(store.put(at(920), key(3), grey).await, Ok(Placed::Stored));
    assert_eq!(touch(store, at(920), &[3]).await, [early(60)]);
}

async fn what_is_put_too_late_is_forgotten(store: &impl TupleStore) {
    for (number, state, age) in [(1, State::Grey, 21_601), (2, State::White, 36 * DAY + 1)] {
        touch(store, at(100 * DAY), &[number]).await;
        let tuple = Tuple { state, since: at(100 * DAY - age) };
        assert_eq!(store.put(at(100 * DAY), key(number), tuple).await, Ok(Placed::Expired));
        assert_eq!(store.peek(at(100 * DAY), key(number)).await, Ok(None));
    }
}

async fn what_is_forgotten_is_new(store: &impl TupleStore) {
    assert_eq!(store.forget(at(0), key(1)).await, Ok(None));
    touch(store, at(0), &[1, 2]).await;
    let grey = Tuple { state: State::Grey, since: at(0) };
    assert_eq!(store.forget(at(60), key(1)).await, Ok(Some(grey)));
    assert_eq!(store.forget(at(60), key(1)).await, Ok(None));
    assert_eq!(touch(store, at(60), &[1, 2]).await, [new(60), passed(60)]);
    assert_eq!(store.forget(at(100 * DAY), key(2)).await, Ok(None), "expired");
}
