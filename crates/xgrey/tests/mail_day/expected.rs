//! What a script is to come to: added up action by action, from what the script says of each.

use std::ops::Range;

use xgrey::metrics::Hand;

use super::script::{Action, Deed, Gone};
use greylist::rules::Verdict;

/// How long X-Grey's cycles are.
const CYCLE: u64 = 300;

/// A stretch of time in which a tuple is there: from after the second in which it was made on.
#[derive(Clone, Copy, Debug)]
struct There {
    from: u64,
    gone: Option<Gone>,
}

impl There {
    fn is_there(&self, second: u64) -> bool {
        let until = match self.gone {
            None => u64::MAX,
            Some(Gone::Expires(at)) => at,
            // It is forgotten after whoever looks in that second has looked.
            Some(Gone::ByHand(at)) => at + 1,
        };
        self.from < second && second < until
    }
}

/// What actions come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The second from which on it is counted.
    pub(crate) begun: u64,
    answers: Vec<(&'static str, &'static str)>,
    hands: Vec<Hand>,
    pub(crate) lists: [[u64; 3]; 6],
    pub(crate) waits: Vec<u32>,
    tuples: Vec<There>,
    /// When each was.
    requests: Vec<u64>,
    looked_up: Vec<u64>,
    stored: Vec<u64>,
}

impl Expected {
    pub(crate) fn count(&mut self, action: &Action) {
        match &action.deed {
            Deed::Ask { answer, waited, said } => {
                self.requests.push(action.at);
                self.answers.push(*answer);
                self.waits.extend(waited);
                for (list, verdict) in said {
                    let place = match verdict {
                        Verdict::Greylist => 0,
                        Verdict::Accept => 1,
                        Verdict::Reject => 2,
                    };
                    self.lists[*list as usize][place] += 1;
                }
                match answer {
                    ("defer", "new") => {
                        self.looked_up.push(action.at);
                        self.store(action);
                    }
                    ("defer", "early") | ("accept", "passed" | "known") => {
                        self.looked_up.push(action.at);
                    }
                    _ => {}
                }
            }
            Deed::Hand(hand) => self.by_hand(*hand, action),
            Deed::AskToPass(hand) => {
                self.requests.push(action.at);
                self.hands.push(Hand::AskedToPass);
                for list in [0, 2, 3, 4, 5] {
                    self.lists[list][0] += 1;
                }
                self.by_hand(*hand, action);
            }
        }
    }

    fn by_hand(&mut self, hand: Hand, action: &Action) {
        self.hands.push(hand);
        self.looked_up.push(action.at);
        if hand == Hand::PassedUnknown {
            self.store(action);
        }
    }

    fn store(&mut self, action: &Action) {
        self.stored.push(action.at);
        self.tuples.push(There { from: action.at, gone: action.gone });
    }

    /// What a run begins with, in that second.
    pub(crate) fn next_run(self, begun: u64) -> Self {
        Self { begun, tuples: self.tuples, ..Self::default() }
    }

    pub(crate) fn answers(&self, action: &str, reason: &str) -> u64 {
        self.answers.iter().filter(|answer| **answer == (action, reason)).count() as u64
    }

    pub(crate) fn hands(&self, hand: Hand) -> u64 {
        self.hands.iter().filter(|done| **done == hand).count() as u64
    }

    /// Tuples that have expired since it was begun.
    pub(crate) fn expired(&self, now: u64) -> u64 {
        let is_expired = |tuple: &&There| match tuple.gone {
            Some(Gone::Expires(at)) => self.begun <= at && at <= now,
            _ => false,
        };
        self.tuples.iter().filter(is_expired).count() as u64
    }

    /// Tuples that have expired or were forgotten since it was begun.
    pub(crate) fn gone(&self, now: u64) -> u64 {
        self.expired(now) + self.hands(Hand::ForgottenGrey) + self.hands(Hand::ForgottenWhite)
    }

    /// Tuples that are there when a second begins.
    pub(crate) fn tuples_at(&self, second: u64) -> u64 {
        self.tuples.iter().filter(|tuple| tuple.is_there(second)).count() as u64
    }

    pub(crate) fn requests(&self, seconds: Range<u64>) -> u64 {
        within(&self.requests, seconds)
    }

    pub(crate) fn looked_up(&self, seconds: Range<u64>) -> u64 {
        within(&self.looked_up, seconds)
    }

    pub(crate) fn stored(&self, seconds: Range<u64>) -> u64 {
        within(&self.stored, seconds)
    }

    /// The whole cycles since it was begun.
    pub(crate) fn cycles(&self, now: u64) -> Vec<Range<u64>> {
        let cycle = |number: u64| {
            let begun = self.begun + number * CYCLE;
            begun..begun + CYCLE
        };
        (0..).map(cycle).take_while(|cycle| cycle.end <= now).collect()
    }
}

fn within(times: &[u64], seconds: Range<u64>) -> u64 {
    times.iter().filter(|&time| seconds.contains(time)).count() as u64
}
