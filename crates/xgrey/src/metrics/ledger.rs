//! What becomes of the counts of expired tuples from one start to the next.
//!
//! A tuple is counted as expired when it is swept, some minutes after its time is over; and that it is
//! gone stands in no file. So what a start reads has expired tuples in it: some that the run before has
//! counted, which are swept once more, and some that nobody has counted yet. They can't be told apart; but
//! their number can. Nothing but expiry takes tuples away unnoticed, so
//!
//! ```text
//!  tuples at the last note = tuples read at start, those included that have expired
//!                          + tuples counted as expired from the note to now
//!                          − tuples swept from the start to now
//! ```
//! holds whatever is counted when. Until a start's first sweep is over (15 minutes at most), more is left
//! to sweep than was to be expired: then nothing counts as expired yet.
//!
//! What a kill has taken away from all other counts is not in these either: the numbers go on adding up.
//!
//! Never knows: where notes are kept.

use store::CompactStats;

use super::totals::Gone;

/// How many tuples of one state have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OfState {
    /// Until the last note of an earlier run, by that note.
    before: i64,
    /// Tuples that there were then, less those that a start has read.
    carried: i64,
    /// What the store had counted at the start: what happened while it was read.
    at_start: u64,
}

impl OfState {
    /// Since the note; below zero while those that were counted twice are not yet swept twice.
    fn since_start(&self, swept: u64) -> i64 {
        self.carried.saturating_add_unsigned(swept.saturating_sub(self.at_start))
    }
}

/// What a note says of tuples: of grey and of white ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    /// How many had expired, ever. Below zero only while more is left to sweep than was to be expired.
    pub(super) expired: [i64; 2],
    /// How many there were. `None`: tuples came or went since, and nobody has counted them.
    pub(super) there: Option<[u64; 2]>,
}

/// How many tuples have expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    grey: OfState,
    white: OfState,
    /// Tuples given up for want of room while the store was read.
    evicted_at_start: Gone,
}

impl Ledger {
    /// After a start at which the store said `table`. Where `balance` does not say how many tuples there
    /// were, all must have been swept before.
    pub(super) fn new(table: &CompactStats, balance: &Balance) -> Self {
        let of = |place: usize, there: u64, at_start: u64| {
            let noted = balance.there.map_or(there, |both| both[place]);
            let carried = noted.cast_signed().saturating_sub_unsigned(there);
            OfState { before: balance.expired[place], carried, at_start }
        };
        Self {
            grey: of(0, table.grey, table.expired_grey),
            white: of(1, table.white, table.expired_white),
            evicted_at_start: Gone { grey: table.evicted_grey, white: table.evicted_white },
        }
    }

    /// Since the start.
    pub(super) fn expired(&self, table: &CompactStats) -> Gone {
        let count = |state: &OfState, swept| state.since_start(swept).max(0).cast_unsigned();
        Gone {
            grey: count(&self.grey, table.expired_grey),
            white: count(&self.white, table.expired_white),
        }
    }

    /// Since the start.
    pub(super) fn evicted(&self, table: &CompactStats) -> Gone {
        Gone {
            grey: table.evicted_grey.saturating_sub(self.evicted_at_start.grey),
            white: table.evicted_white.saturating_sub(self.evicted_at_start.white),
        }
    }

    /// For the next note.
    pub(super) fn balance(&self, table: &CompactStats) -> Balance {
        let expired =
            |state: &OfState, swept| state.before.saturating_add(state.since_start(swept));
        Balance {
            expired: [
                expired(&self.grey, table.expired_grey),
                expired(&self.white, table.expired_white),
            ],
            there: Some([table.grey, table.white]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(grey: u64, expired_grey: u64) -> CompactStats {
        CompactStats { grey, expired_grey, ..CompactStats::default() }
    }

    #[test]
    fn what_an_earlier_run_has_counted_is_not_counted_again_when_it_is_swept_again() {
        // Of 100 tuples 60 have expired, and were swept.
        let first = Ledger::new(&table(0, 0), &Balance::default());
        assert_eq!(first.expired(&table(40, 60)).grey, 60);
        let note = first.balance(&table(40, 60));
        // All 100 are read again; while they were, 5 were swept.
        let second = Ledger::new(&table(95, 5), &note);
        assert_eq!(second.expired(&table(95, 5)).grey, 0);
        assert_eq!(second.expired(&table(50, 50)).grey, 0);
        assert_eq!(second.expired(&table(40, 60)).grey, 0);
        // Ten more expire.
        let later = table(30, 70);
        assert_eq!((note.expired[0], second.expired(&later).grey), (60, 10));
        // What isn't swept again at this start isn't at the next either.
        let note = second.balance(&table(50, 50));
        let third = Ledger::new(&table(100, 0), &note);
        let later = table(30, 70);
        assert_eq!(note.expired[0] + third.expired(&later).grey.cast_signed(), 70);
    }

    #[test]
    fn where_the_number_of_tuples_is_not_known_those_that_are_there_are_taken_for_it() {
        let note = Balance { expired: [60, 0], there: None };
        let ledger = Ledger::new(&table(40, 7), &note);
        assert_eq!(ledger.expired(&table(30, 17)).grey, 10);
    }

    #[test]
    fn what_expired_while_nothing_ran_is_counted() {
        let first = Ledger::new(&table(0, 0), &Balance::default());
        let note = first.balance(&table(100, 0));
        // 30 were dropped while the store was read, 20 are still to be swept.
        let second = Ledger::new(&table(70, 30), &note);
        assert_eq!(second.expired(&table(70, 30)).grey, 30);
        assert_eq!(second.expired(&table(50, 50)).grey, 50);
    }

    #[test]
    fn what_a_kill_took_from_the_first_tries_it_takes_from_the_expired_too() {
        let first = Ledger::new(&table(0, 0), &Balance::default());
        let note = first.balance(&table(100, 0));
        // Seven more came after the note and before the kill. All expire.
        let second = Ledger::new(&table(107, 0), &note);
        assert_eq!(second.expired(&table(0, 107)).grey, 100);
    }
}
