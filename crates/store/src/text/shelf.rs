//! The segments that there are, oldest first, and how much they take together.
//!
//! Never knows: what is in them.

use greylist::{Secs, Timestamp, Timing};

/// As many small neighbours make it worth while to merge them: each record is then written anew
/// about once for each three quarters of its segment's final size.
const MERGED_MIN: usize = 4;

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its number, and the oldest that it stands for.
    pub(super) number: u64,
    pub(super) first: u64,
    /// How much of it has been written for certain.
    pub(super) length: u64,
    /// What it takes on disk.
    pub(super) bytes: u64,
    /// No record is newer. The epoch if it has none.
    pub(super) newest: Timestamp,
    /// When it was last rewritten with what was live then.
    pub(super) sifted: Option<Timestamp>,
    /// Not to be rewritten before: the last try failed.
    pub(super) rests_until: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// By number.
    segments: Vec<Segment>,
    /// The one that is being written.
    active: Option<u64>,
}

impl Shelf {
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What they take on disk together.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Puts the newest there.
    pub(super) fn push(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Says which one is being written from now on.
    pub(super) fn set_active(&mut self, active: Option<u64>) {
        self.active = active;
    }

    pub(super) fn is_active(&self, number: u64) -> bool {
        self.active == Some(number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let place = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        Some(&mut self.segments[place])
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.segments.retain(|segment| segment.number != number);
    }

    /// The oldest that is not being written.
    pub(super) fn oldest_sealed(&self) -> Option<Segment> {
        self.segments.iter().find(|segment| !self.is_active(segment.number)).copied()
    }

    /// The newest that stands for a number below `limit`.
    pub(super) fn newest_below(&self, limit: u64) -> Option<Segment> {
        let end = self.segments.partition_point(|segment| segment.first < limit);
        self.segments[..end].last().copied()
    }

    /// Whether all of these are there.
    pub(super) fn has_all(&self, segments: &[Segment]) -> bool {
        segments.iter().all(|segment| self.segments.contains(segment))
    }

    /// Puts `new`, if there is anything left, in the place of `old`.
    pub(super) fn replace(&mut self, old: &[Segment], new: Option<Segment>) {
        let place = self.segments.iter().position(|segment| old.contains(segment));
        self.segments.retain(|segment| !old.contains(segment));
        if let Some((place, new)) = place.zip(new) {
            self.segments.insert(place, new);
        }
    }

    /// What should be rewritten next, as one: a segment in which hardly anything can be live any
    /// more, or else several small ones in a row.
    pub(super) fn due(&self, now: Timestamp, timing: &Timing, segment_bytes: u64) -> &[Segment] {
        let may = |segment: &Segment| !self.is_active(segment.number) && now >= segment.rests_until;
        // White tuples stay for a lifetime after their last use: a look at each quarter of it.
        let again = Secs::new(timing.lifetime().get() / 4);
        let is_due = |segment: &Segment| {
            let after = match segment.sifted {
                None => segment.newest.after(timing.window()),
                Some(at) => at.after(again),
            };
            may(segment) && now > after
        };
        if let Some(place) = self.segments.iter().position(is_due) {
            return &self.segments[place..=place];
        }
        let is_small = |segment: &&Segment| may(segment) && segment.bytes <= segment_bytes / 2;
        for start in 0..self.segments.len() {
            let mut bytes = 0;
            let fits = |segment: &&Segment| {
                bytes += segment.bytes;
                is_small(segment) && bytes <= segment_bytes
            };
            let run = self.segments[start..].iter().take_while(fits).count();
            if run >= MERGED_MIN {
                return &self.segments[start..start + run];
            }
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
    const KIB: u64 = 1024;

    fn ago(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(NOW.as_unix_secs() - secs)
    }

    /// Numbers count from 1.
    fn shelf(segments: &[(u64, Timestamp, Option<Timestamp>)]) -> Shelf {
        let mut shelf = Shelf::default();
        for (number, &(bytes, newest, sifted)) in (1..).zip(segments) {
            let first = number;
            let rests_until = ago(1_000_000);
            let length = bytes;
            shelf.push(Segment { number, first, length, bytes, newest, sifted, rests_until });
        }
        shelf
    }

    fn due(shelf: &Shelf) -> Vec<u64> {
        let timing = Timing::new(Secs::new(60), Secs::new(100), Secs::new(4000)).unwrap();
        shelf.due(NOW, &timing, 100 * KIB).iter().map(|segment| segment.number).collect()
    }

    #[test]
    fn a_segment_is_due_when_all_its_greys_are_dead_and_then_each_quarter_of_a_lifetime() {
        for (newest, sifted, expected) in [
            (ago(100), None, false),
            (ago(101), None, true),
            (ago(5000), Some(ago(1000)), false),
            (ago(5000), Some(ago(1001)), true),
        ] {
            let shelf = shelf(&[(90 * KIB, ago(0), None), (90 * KIB, newest, sifted)]);
            assert_eq!(due(&shelf) == [2], expected, "{newest:?} {sifted:?}");
        }
    }

    #[test]
    fn the_oldest_goes_first_and_neither_the_active_nor_a_resting_one() {
        let mut shelf = shelf(&[(90 * KIB, ago(900), None); 3]);
        assert_eq!(due(&shelf), [1]);
        shelf.get_mut(1).unwrap().rests_until = NOW.after(Secs::new(1));
        assert_eq!(due(&shelf), [2]);
        shelf.set_active(Some(2));
        assert_eq!(due(&shelf), [3]);
    }

    #[test]
    fn four_small_neighbours_are_merged_up_to_the_size_of_one() {
        let small = |count| vec![(20 * KIB, ago(0), None); count];
        assert_eq!(due(&shelf(&small(3))), [0; 0]);
        assert_eq!(due(&shelf(&small(4))), [1, 2, 3, 4]);
        assert_eq!(due(&shelf(&small(9))), [1, 2, 3, 4, 5]);
        let mut apart = small(7);
        apart[3].0 = 60 * KIB;
        assert_eq!(due(&shelf(&apart)), [0; 0]);
        let mut active = shelf(&small(5));
        active.set_active(Some(5));
        assert_eq!(due(&active), [1, 2, 3, 4]);
    }

    #[test]
    fn a_number_is_looked_for_in_the_segment_that_stands_for_it() {
        let mut shelf = shelf(&[(KIB, ago(0), None); 5]);
        let old = shelf.segments()[1..4].to_vec();
        let merged = Segment { first: 2, ..old[2] };
        shelf.replace(&old, Some(merged));
        let numbers = |limit| shelf.newest_below(limit).map(|segment| segment.number);
        assert_eq!(
            [6, 5, 4, 3, 2, 1].map(numbers),
            [Some(5), Some(4), Some(4), Some(4), Some(1), None]
        );
        shelf.replace(&[merged], None);
        assert_eq!(shelf.segments().len(), 2);
        assert!(!shelf.has_all(&old));
    }
}
