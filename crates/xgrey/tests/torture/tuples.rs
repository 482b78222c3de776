//! All tuples of one load: what is known of each, and which may be asked for when.
//!
//! Never knows: connections, processes.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;

use crate::knowledge::Knowledge;

/// How long a tuple rests after it was told to wait for the whole embargo.
///
/// Such an answer is that to a first attempt and to a retry within the same second alike. A tuple
/// that is forgotten and asked for again within that second would hide its loss. By then the
/// earliest second of the retry is later than the last one of the first attempt: the second that
/// the service's clock may be behind, twice what clocks may be apart, and one for rounding down
/// (`clock.rs`).
pub(crate) const RIPE: Duration = Duration::from_millis(1_000 + 2 * 250 + 1_000);

/// How many tuples of one life are looked at first in the next: those that it was asked for last.
const RECENT: usize = 512;

/// A tuple's number in its load; from it follow client, sender and recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TupleNumber(pub(crate) u32);

/// What the checker keeps of a tuple.
#[derive(Clone, Copy, Debug)]
struct Tuple {
    known: Knowledge,
    /// The life of the service that it was last asked in.
    life: u16,
    /// It was told to wait for the whole embargo and rests.
    rests: bool,
    /// It is among those that may be retried.
    queued: bool,
}

/// The tuples of one load.
#[derive(Debug)]
pub(crate) struct Tuples {
    all: Vec<Tuple>,
    /// Those that rest, and from which moment after boot on they may be asked for again.
    resting: VecDeque<(TupleNumber, Duration)>,
    /// Grey ones that may be retried, the one that waits longest first.
    grey: VecDeque<TupleNumber>,
    /// Those asked for last.
    recent: VecDeque<TupleNumber>,
}

impl Tuples {
    pub(crate) fn new() -> Self {
        Self {
            all: Vec::new(),
            resting: VecDeque::new(),
            grey: VecDeque::new(),
            recent: VecDeque::with_capacity(RECENT),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = TupleNumber> + use<> {
        (0..u32::try_from(self.all.len()).unwrap()).map(TupleNumber)
    }

    /// A tuple that was never asked for.
    pub(crate) fn invent(&mut self) -> TupleNumber {
        self.all.push(Tuple { known: Knowledge::UNTRIED, life: 0, rests: false, queued: false });
        TupleNumber(u32::try_from(self.all.len() - 1).unwrap())
    }

    /// A grey tuple that may be retried at `now`, unless only `reserve` of them are left.
    pub(crate) fn retry(&mut self, now: Duration, reserve: usize) -> Option<TupleNumber> {
        while let Some(&(tuple, until)) = self.resting.front()
            && until <= now
        {
            self.resting.pop_front();
            self.at(tuple).rests = false;
            self.queue(tuple);
        }
        while self.grey.len() > reserve {
            let tuple = self.grey.pop_front()?;
            self.at(tuple).queued = false;
            // Asked for meanwhile by chance and new again: it comes back when it is ripe.
            if !self.at(tuple).rests {
                return Some(tuple);
            }
        }
        None
    }

    /// Any tuple that does not rest.
    pub(crate) fn any(&self, rng: &mut Rng) -> Option<TupleNumber> {
        if self.all.is_empty() {
            return None;
        }
        let tuple = rng.usize(..self.all.len());
        (!self.all[tuple].rests).then(|| TupleNumber(u32::try_from(tuple).unwrap()))
    }

    /// What to look at first after a restart: what was asked for last, and as many others.
    pub(crate) fn sample(&mut self, rng: &mut Rng) -> Vec<TupleNumber> {
        let recent = std::mem::take(&mut self.recent);
        let others: Vec<TupleNumber> = (0..RECENT).filter_map(|_| self.any(rng)).collect();
        let awake = |tuple: &TupleNumber| !self.all[tuple.0 as usize].rests;
        let mut sample: Vec<TupleNumber> = recent.into_iter().filter(awake).chain(others).collect();
        sample.sort_unstable();
        sample.dedup();
        rng.shuffle(&mut sample);
        sample
    }

    /// What is known of it.
    pub(crate) fn known(&self, tuple: TupleNumber) -> Knowledge {
        self.all[tuple.0 as usize].known
    }

    /// Whether it is certain that it is white, and was so already in that life of the service.
    pub(crate) fn is_white_in(&self, tuple: TupleNumber, life: u16) -> bool {
        let tuple = &self.all[tuple.0 as usize];
        tuple.known == Knowledge::WHITE && tuple.life == life
    }

    /// Notes what is known of it from now on. Says whether it is the first look at it in this life
    /// of the service, after one in an earlier life.
    pub(crate) fn learn(
        &mut self,
        tuple: TupleNumber,
        known: Knowledge,
        life: u16,
        rests_until: Option<Duration>,
    ) -> bool {
        let all = self.at(tuple);
        let (was_known, before) = (all.known != Knowledge::UNTRIED, all.life);
        (all.known, all.life) = (known, life);
        match rests_until {
            Some(until) if !all.rests => {
                all.rests = true;
                self.resting.push_back((tuple, until));
            }
            None if known.grey.is_some() && !all.rests => self.queue(tuple),
            _ => {}
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(tuple);
        was_known && before != life
    }

    fn queue(&mut self, tuple: TupleNumber) {
        let all = self.at(tuple);
        if !std::mem::replace(&mut all.queued, true) {
            self.grey.push_back(tuple);
        }
    }

    fn at(&mut self, tuple: TupleNumber) -> &mut Tuple {
        &mut self.all[tuple.0 as usize]
    }
}

/// The client, sender and recipient of a load's tuple: different for each.
pub(crate) fn envelope(load: u8, tuple: TupleNumber) -> (String, String, String) {
    let [_, _, high, low] = tuple.0.to_be_bytes();
    (
        format!("198.{}.{high}.{low}", 18 + u32::from(load % 2)),
        format!("u{}x{load}@example.net", tuple.0),
        format!("r{}@example.org", tuple.0 % 7),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;
    const GREY: Knowledge =
        Knowledge { untried: false, grey: Some(crate::clock::Span::ANY), white: false };

    #[test]
    fn a_tuple_that_has_to_wait_for_the_whole_embargo_rests() {
        let mut tuples = Tuples::new();
        let tuple = tuples.invent();
        tuples.learn(tuple, GREY, 1, Some(AT(10)));
        assert_eq!(tuples.any(&mut Rng::with_seed(1)), None);
        assert_eq!(tuples.sample(&mut Rng::with_seed(1)), []);
        assert_eq!(tuples.retry(AT(9), 0), None);
        assert_eq!(tuples.retry(AT(10), 0), Some(tuple));
        assert_eq!(tuples.any(&mut Rng::with_seed(1)), Some(tuple));
        assert_eq!(tuples.retry(AT(10), 0), None, "it is on its way");
        tuples.learn(tuple, GREY, 1, None);
        tuples.learn(tuple, GREY, 1, None);
        assert_eq!(tuples.retry(AT(10), 1), None, "it is the reserve");
        assert_eq!(tuples.retry(AT(10), 0), Some(tuple), "still grey, so once more");
        assert_eq!(tuples.retry(AT(10), 0), None, "and not twice");
        tuples.learn(tuple, GREY, 1, None);
        tuples.learn(tuple, GREY, 2, Some(AT(20)));
        assert_eq!(tuples.retry(AT(19), 0), None, "it rests anew");
        assert_eq!(tuples.retry(AT(20), 0), Some(tuple));
    }

    #[test]
    fn the_first_look_in_another_life_is_told_from_the_others() {
        let mut tuples = Tuples::new();
        let tuple = tuples.invent();
        assert!(!tuples.learn(tuple, GREY, 3, None), "a first attempt looks at nothing");
        assert!(!tuples.learn(tuple, GREY, 3, None));
        assert!(tuples.learn(tuple, GREY, 4, None));
        assert!(!tuples.learn(tuple, GREY, 4, None));
        assert_eq!(tuples.sample(&mut Rng::with_seed(1)), [tuple]);
    }
}
