//! Questions that are out: which, since when, and which answer is for which.
//!
//! A question's MTA number, which comes back with its answer, is its place among those that are out at
//! once, and above it how often the place was used. So the answer to a question that was given up is told from
//! that to the one that took its place.
//!
//! Never knows: sockets, bytes.

use std::time::{Duration, Instant};

/// The most questions that can be out at once: each place is then used four times before a number comes again.
pub(super) const OUT_MAX: usize = 16_384;

/// The places.
#[derive(Debug)]
pub(super) struct Flight {
    places: Vec<Place>,
    /// Places that are free.
    free: Vec<u16>,
    /// Bits of a number that say which place.
    bits: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// How often it was used.
    uses: u16,
    /// When its question was made, if one is out.
    asked: Option<Instant>,
}

impl Flight {
    /// Room for `out` questions at once, `1..=OUT_MAX`.
    pub(super) fn new(out: usize) -> Self {
        debug_assert!((1..=OUT_MAX).contains(&out), "{out}");
        Self {
            places: vec![Place::default(); out],
            free: (0..out as u16).rev().collect(),
            bits: out.next_power_of_two().trailing_zeros(),
        }
    }

    /// How many are out.
    pub(super) fn out(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether one more may go out.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// The number of a question that goes out now; none without room.
    pub(super) fn ask(&mut self, now: Instant) -> Option<u16> {
        let index = self.free.pop()?;
        let place = &mut self.places[usize::from(index)];
        place.uses = place.uses.wrapping_add(1);
        place.asked = Some(now);
        let (uses, bits) = (u32::from(place.uses), self.bits);
        Some((uses << bits) as u16 | index)
    }

    /// An answer of this number has come: when its question was made. None if no such question is out.
    pub(super) fn answered(&mut self, number: u16) -> Option<Instant> {
        let index = number & ((1_u32 << self.bits) - 1) as u16;
        let bits = self.bits;
        let place = self.places.get_mut(usize::from(index))?;
        let expected = (u32::from(place.uses) << bits) as u16 | index;
        let asked = place.asked.take_if(|_| expected == number)?;
        self.free.push(index);
        Some(asked)
    }

    /// Gives up all that are older than `patience`; how many there were.
    pub(super) fn give_up(&mut self, now: Instant, patience: Duration) -> u64 {
        let mut count = 0;
        for (index, place) in self.places.iter_mut().enumerate() {
            let is_old = |asked: &mut Instant| now.saturating_duration_since(*asked) > patience;
            if place.asked.take_if(is_old).is_some() {
                self.free.push(index as u16);
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_answer_is_for_one_question_that_is_out() {
        for out in [1, 2, 3, 100, 1_000, OUT_MAX] {
            let begin = clock::now();
            let mut flight = Flight::new(out);
            for _ in 0..5 {
                let numbers: Vec<u16> = std::iter::from_fn(|| flight.ask(begin)).collect();
                assert_eq!((numbers.len(), flight.out(), flight.has_room()), (out, out, false));
                let distinct: std::collections::HashSet<_> = numbers.iter().collect();
                assert_eq!(distinct.len(), out);
                for &number in numbers.iter().rev() {
                    assert_eq!(flight.answered(number), Some(begin), "{number} of {out}");
                    assert_eq!(flight.answered(number), None, "{number} of {out} once more");
                }
                assert_eq!(flight.out(), 0);
            }
        }
    }

    #[test]
    fn an_answer_to_a_question_that_was_given_up_is_for_no_other() {
        let (begin, patience) = (clock::now(), Duration::from_secs(5));
        let mut flight = Flight::new(3);
        let old = flight.ask(begin).unwrap();
        let young = flight.ask(begin + patience).unwrap();
        assert_eq!(flight.give_up(begin + patience, patience), 0);
        assert_eq!(flight.give_up(begin + patience + Duration::from_nanos(1), patience), 1);
        while let Some(number) = flight.ask(begin + patience) {
            assert_ne!(number, old);
        }
        assert_eq!(flight.answered(old), None);
        assert_eq!(flight.answered(young), Some(begin + patience));
        assert_eq!(flight.answered(u16::MAX), None, "never asked");
    }
}
