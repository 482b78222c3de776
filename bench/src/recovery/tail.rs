//! Which change comes at which place of a tail, so that whoever made it and whoever looks for it
//! agree without a list.
//!
//! Never knows: files, stores.

use greylist::{State, Timestamp, Tuple};

use super::Recipe;
use crate::store::numbers::{Spread, Timeline, time};

/// The changes after a snapshot: every other one is a tuple that is new, the rest are tuples of the
/// snapshot that pass. Time stands still: it is the first second after the window.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    tuples: u64,
    line: Timeline,
    passing: Spread,
}

impl Tail {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let line = recipe.line();
        let passing = Spread::over(line.passing(line.window, line.window));
        Self { tuples: recipe.tuples, line, passing }
    }

    /// How many of a tail's changes are new tuples.
    pub(super) const fn new_tuples(changes: u64) -> u64 {
        changes.div_ceil(2)
    }

    /// The second in which all of it comes.
    pub(super) const fn second(&self) -> u32 {
        self.line.window
    }

    /// The tuple of the change at a place.
    pub(super) fn number(&self, place: u64) -> u64 {
        let passing = if place % 2 == 1 { self.passing.at(place / 2) } else { None };
        passing.unwrap_or(self.tuples + place / 2)
    }

    /// Whether `found` is what the change at a place has left.
    pub(super) fn is_kept(&self, place: u64, found: Option<Tuple>) -> bool {
        let now = time(self.second());
        let Some(Tuple { state, since }) = found else { return false };
        match state {
            State::Grey => self.number(place) >= self.tuples && since == now,
            // White tuples know their time to the minute.
            State::White => self.number(place) < self.tuples && is_of_this_hour(since, now),
        }
    }

    /// Whether `found` is what the snapshot has of a tuple, or what the tail may have made of it.
    pub(super) fn is_snapshots(&self, number: u64, found: Option<Tuple>) -> bool {
        let since = time(self.line.second_of(number));
        found.is_some_and(|found| match found.state {
            State::Grey => found.since == since,
            State::White => is_of_this_hour(found.since, time(self.second())),
        })
    }
}

fn is_of_this_hour(since: Timestamp, now: Timestamp) -> bool {
    now.as_unix_secs().abs_diff(since.as_unix_secs()) < 3_600
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::End;
    use std::collections::BTreeSet;

    fn tail() -> Tail {
        let bound_bytes = 2 << 20;
        let recipe =
            Recipe { tuples: 10_000, tail: 4_000, bound_bytes, end: End::Orderly, seed: 1 };
        Tail::of(&recipe)
    }

    #[test]
    fn half_of_a_tail_is_new_and_half_passes_and_no_tuple_comes_twice() {
        let tail = tail();
        let numbers: BTreeSet<u64> = (0..4_000).map(|place| tail.number(place)).collect();
        assert_eq!(numbers.len(), 4_000);
        assert_eq!(numbers.iter().filter(|&&number| number >= 10_000).count(), 2_000);
        assert_eq!(Tail::new_tuples(4_000), 2_000);
        assert_eq!(Tail::new_tuples(1), 1);
    }

    #[test]
    fn what_a_change_has_left_is_told_from_what_was_there_before() {
        let (tail, now) = (tail(), time(21_600));
        let grey = |since| Some(Tuple { state: State::Grey, since });
        let white = |since| Some(Tuple { state: State::White, since });
        for (place, found, kept) in [
            (0, grey(now), true),
            (0, grey(time(5)), false),
            (0, white(now), false),
            (0, None, false),
            (1, white(now), true),
            (1, grey(time(0)), false),
            (1, None, false),
        ] {
            assert_eq!(tail.is_kept(place, found), kept, "{place}: {found:?}");
        }
        let number = 5_000;
        let since = time(10_800);
        assert!(tail.is_snapshots(number, grey(since)) && tail.is_snapshots(number, white(now)));
        assert!(!tail.is_snapshots(number, grey(now)) && !tail.is_snapshots(number, None));
    }
}
