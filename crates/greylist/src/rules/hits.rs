//! How often rules matched, and when last. Counters are all that ever changes in a set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use super::judgement::{Judgement, Outcome};
use super::ledger::{Counter, when};
use super::lists::{ClientRules, TextRules};
use super::text::Numbered;
use super::{Hits, List, RuleRef, RuleSet};
use crate::timing::Timestamp;

/// Every default that a query passes is counted, six on the usual way. One counter a set of
/// defaults makes that one addition: a set is a mask of the lists' places.
const DEFAULT_SETS: usize = 1 << List::COUNT;

/// How often defaults were passed or decided, by which of them those were.
#[derive(Debug)]
pub(super) struct DefaultHits {
    hits: [AtomicU64; DEFAULT_SETS],
    last: [AtomicU32; DEFAULT_SETS],
}

impl Default for DefaultHits {
    fn default() -> Self {
        Self {
            hits: [const { AtomicU64::new(0) }; DEFAULT_SETS],
            last: [const { AtomicU32::new(0) }; DEFAULT_SETS],
        }
    }
}

impl DefaultHits {
    /// Of a set of defaults; the lowest bits of `mask` count.
    fn counter(&self, mask: usize) -> Counter<'_> {
        let mask = mask % DEFAULT_SETS;
        Counter { hits: &self.hits[mask], last: &self.last[mask] }
    }

    /// The masks of all sets that the default of `list` is in.
    fn masks_with(list: List) -> impl Iterator<Item = usize> {
        (0..DEFAULT_SETS).filter(move |mask| mask & bit(list) != 0)
    }

    fn of(&self, list: List) -> Hits {
        Self::masks_with(list).map(|mask| self.counter(mask).read()).fold(Hits::default(), sum)
    }

    /// Takes the default of `list` out of all sets; the others in them keep their counts.
    fn take(&self, list: List) -> Hits {
        let take = |mask| {
            let taken = self.counter(mask).take();
            self.counter(mask & !bit(list)).give(taken);
            taken
        };
        Self::masks_with(list).map(take).fold(Hits::default(), sum)
    }

    fn take_over(&self, old: &Self) {
        for mask in 0..DEFAULT_SETS {
            self.counter(mask).give(old.counter(mask).take());
        }
    }
}

fn bit(list: List) -> usize {
    1 << list.place()
}

fn sum(one: Hits, other: Hits) -> Hits {
    Hits { count: one.count + other.count, last: one.last.max(other.last) }
}

impl RuleSet {
    /// Adds what `judgement` met at `now` to the hit counters: each rule that matched, and each
    /// default that was passed or decided. For judgements of this very set.
    pub fn count(&self, judgement: &Judgement, now: Timestamp) {
        let when = when(now);
        let mut passed_defaults = 0;
        for step in judgement.steps() {
            match step.outcome {
                Outcome::Matched(rule) => {
                    if let Some(counter) = self.ledger(rule.list).counter(rule.index) {
                        counter.count(when);
                    }
                }
                Outcome::Default(rule) => passed_defaults |= bit(rule.list),
                Outcome::Skipped | Outcome::NothingToMatch => {}
            }
        }
        if passed_defaults != 0 {
            self.default_hits.counter(passed_defaults).count(when);
        }
    }

    /// How often the rule that `reference` names has matched; never if there is none here.
    pub fn hits(&self, reference: RuleRef) -> Hits {
        let RuleRef { list, index } = reference;
        match reference.is_default() {
            true => self.default_hits.of(list),
            false => self.ledger(list).counter(index).map_or_else(Hits::default, Counter::read),
        }
    }

    /// Takes its hits away from the rule that `reference` names: they begin at 0.
    pub fn take_hits(&self, reference: RuleRef) -> Hits {
        let RuleRef { list, index } = reference;
        match reference.is_default() {
            true => self.default_hits.take(list),
            false => self.ledger(list).counter(index).map_or_else(Hits::default, Counter::take),
        }
    }

    /// Adds hits to those of the rule that `reference` names.
    pub fn give_hits(&self, reference: RuleRef, hits: Hits) {
        let RuleRef { list, index } = reference;
        let counter = match reference.is_default() {
            true => Some(self.default_hits.counter(bit(list))),
            false => self.ledger(list).counter(index),
        };
        if let Some(counter) = counter {
            counter.give(hits);
        }
    }

    /// Takes over the hits of `old`, which this set replaces: those of each rule with the same list
    /// and pattern, and those of the defaults. What is counted in `old` afterwards, by whoever
    /// still holds it, can be taken over later.
    pub fn take_over_hits(&self, old: &Self) {
        if !Arc::ptr_eq(&self.default_hits, &old.default_hits) {
            self.default_hits.take_over(&old.default_hits);
        }
        take_over(&self.clients, &old.clients, ClientRules::take_over);
        take_over(&self.names, &old.names, TextRules::take_over);
        take_over(&self.senders, &old.senders, TextRules::take_over);
        take_over(&self.sender_domains, &old.sender_domains, TextRules::take_over);
        take_over(&self.recipients, &old.recipients, TextRules::take_over);
        take_over(&self.recipient_domains, &old.recipient_domains, TextRules::take_over);
    }
}

/// A list that both sets share has its hits already.
fn take_over<B>(own: &Arc<B>, old: &Arc<B>, move_all: impl Fn(&B, &B)) {
    if !Arc::ptr_eq(own, old) {
        move_all(own, old);
    }
}

impl ClientRules {
    fn take_over(&self, old: &Self) {
        self.ledger.take_over(&old.ledger, |index| match index.checked_sub(old.v4.len()) {
            None => self.v4.position_in(&old.v4, index),
            Some(index) => self.v6.position_in(&old.v6, index).map(|at| at + self.v4.len()),
        });
    }
}

impl<T: Numbered> TextRules<T> {
    fn take_over(&self, old: &Self) {
        self.ledger.take_over(&old.ledger, |index| {
            let Some(index) = index.checked_sub(old.exact.len()) else {
                return self.exact.index_of(old.exact.get(index)?);
            };
            let Some(index) = index.checked_sub(old.table.texts().len()) else {
                let at = self.table.texts().index_of(old.table.texts().get(index)?)?;
                return Some(self.exact.len() + at);
            };
            let at = self.expressions.index_of(old.expressions.get(index)?)?;
            Some(self.exact.len() + self.table.texts().len() + at)
        });
    }
}
