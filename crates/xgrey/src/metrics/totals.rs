//! All that is counted, as plain numbers at one moment: to be added up, shown, and kept.

use greylist::rules::List;

use super::lists::{Said, VERDICTS};
use super::rates::Decided;
use super::waits::PLACES;
use super::{Event, Hand, KINDS, WAITS};

/// Tuples that are gone for a reason of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Those that were grey.
    pub grey: u64,
    /// Those that were white.
    pub white: u64,
}

impl Gone {
    /// All together.
    pub const fn all(&self) -> u64 {
        self.grey + self.white
    }
}

/// What was counted over a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answers of each of [`KINDS`].
    pub answers: [u64; KINDS.len()],
    /// Each of [`Event::ALL`].
    pub events: [u64; Event::ALL.len()],
    /// Each of [`Hand::ALL`].
    pub hands: [u64; Hand::ALL.len()],
    /// For each list, in the order of [`List::ALL`], how often it said what, in that of [`VERDICTS`].
    pub lists: Said,
    /// Passes after a wait up to each of [`WAITS`], and after longer ones.
    pub waits: [u64; PLACES],
    /// All these waits together, in seconds.
    pub waited_secs: u64,
    /// Tuples whose time was over.
    pub expired: Gone,
    /// Tuples that were given up for want of room.
    pub evicted: Gone,
}

impl Totals {
    /// How often that answer was given: `action` and `reason` as in [`KINDS`].
    pub fn answer(&self, action: &str, reason: &str) -> u64 {
        let counts = KINDS.iter().zip(&self.answers);
        counts.filter(|(kind, _)| **kind == (action, reason)).map(|(_, count)| count).sum()
    }

    /// How often that was done.
    pub const fn hand(&self, hand: Hand) -> u64 {
        self.hands[hand as usize]
    }

    /// What was decided.
    pub fn decided(&self) -> Decided {
        let of = |action: &str| {
            let counts = KINDS.iter().zip(&self.answers);
            counts.filter(|(kind, _)| kind.0 == action).map(|(_, count)| count).sum::<u64>()
        };
        Decided {
            accepted: of("accept") + self.hand(Hand::AskedToPass),
            deferred: of("defer"),
            rejected: of("reject"),
        }
    }

    /// First tries of tuples: deferred, and remembered.
    pub fn first_tries(&self) -> u64 {
        self.answer("defer", "new")
    }

    /// Times that a tuple was looked up to decide something.
    pub fn looked_up(&self) -> u64 {
        let touched =
            [("defer", "new"), ("defer", "early"), ("accept", "passed"), ("accept", "known")];
        let no_room = self.answer("accept", "no-room");
        let touches: u64 = touched.map(|(action, reason)| self.answer(action, reason)).iter().sum();
        // Those that X-Grey clients asked for are among these.
        let hands: u64 = Hand::TUPLES.map(|hand| self.hand(hand)).iter().sum();
        touches + no_room + hands + self.hand(Hand::Imported)
    }

    /// Tuples that were stored and had not been there, apart from imports.
    pub fn stored(&self) -> u64 {
        self.first_tries() + self.hand(Hand::PassedUnknown)
    }

    /// Tuples that are not remembered any more: expired, given up, or forgotten by hand.
    pub const fn gone(&self) -> Gone {
        Gone {
            grey: self.expired.grey + self.evicted.grey + self.hand(Hand::ForgottenGrey),
            white: self.expired.white + self.evicted.white + self.hand(Hand::ForgottenWhite),
        }
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Self) {
        let mut more = more.clone();
        for ((_, own), (_, more)) in self.numbers().into_iter().zip(more.numbers()) {
            *own += *more;
        }
        self.expired.grey += more.expired.grey;
        self.expired.white += more.expired.white;
    }

    /// All numbers, each with a name that stays the same in all versions; but for those of what has
    /// expired, which need more than a number to be kept.
    pub(super) fn numbers(&mut self) -> Vec<(String, &mut u64)> {
        let mut numbers = Vec::new();
        for ((action, reason), count) in KINDS.iter().zip(&mut self.answers) {
            numbers.push((format!("answer.{action}.{reason}"), count));
        }
        for ((_, word), count) in Event::ALL.iter().zip(&mut self.events) {
            numbers.push((format!("event.{word}"), count));
        }
        for ((_, word), count) in Hand::ALL.iter().zip(&mut self.hands) {
            numbers.push((format!("tuple.{word}"), count));
        }
        for (list, said) in List::ALL.iter().zip(&mut self.lists) {
            for (verdict, count) in VERDICTS.iter().zip(said) {
                numbers.push((format!("list.{}.{}", list.word(), verdict.word()), count));
            }
        }
        let bounds = WAITS.iter().map(|longest| longest.get().to_string());
        let bounds = bounds.chain(["longer".to_owned()]);
        for (bound, count) in bounds.zip(&mut self.waits) {
            numbers.push((format!("wait.{bound}"), count));
        }
        numbers.push(("wait.seconds".to_owned(), &mut self.waited_secs));
        numbers.push(("tuple.evicted_grey".to_owned(), &mut self.evicted.grey));
        numbers.push(("tuple.evicted_white".to_owned(), &mut self.evicted.white));
        numbers
    }
}
