//! What was decided and what the lists said, by one worker.
//!
//! A query that passes through asks five or six lists. Since all but the last of them said greylist,
//! the set of lists and what was decided tell everything: one addition a query.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::rules::{List, Verdict};

use super::KINDS;
use super::totals::Totals;
use crate::service::ListsAsked;

/// The verdicts, in the order of their places.
pub const VERDICTS: [Verdict; 3] = [Verdict::Greylist, Verdict::Accept, Verdict::Reject];

const fn place(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Greylist => 0,
        Verdict::Accept => 1,
        Verdict::Reject => 2,
    }
}

/// For each list, in the order of [`List::ALL`], how often it said what, in that of [`VERDICTS`].
pub(super) type Said = [[u64; VERDICTS.len()]; List::COUNT];

/// In place of a kind of answer: a query that asked for a tuple to be made white.
pub(super) const ASKED_TO_PASS: usize = KINDS.len();

/// What the last list had said for an answer of that kind.
fn last_verdict(kind: usize) -> Verdict {
    match KINDS.get(kind) {
        Some(("accept", "rule")) => Verdict::Accept,
        Some(("reject", "rule")) => Verdict::Reject,
        _ => Verdict::Greylist,
    }
}

/// By the kind of answer, and by the lists that had been asked.
#[derive(Debug)]
pub(super) struct DecisionCounters([[AtomicU64; ListsAsked::SETS]; KINDS.len() + 1]);

impl Default for DecisionCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl DecisionCounters {
    /// Counts an answer of that kind, before which those lists were asked.
    #[inline]
    pub(super) fn count(&self, kind: usize, lists: ListsAsked) {
        self.0[kind][lists.number()].fetch_add(1, Relaxed);
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        for (kind, sets) in self.0.iter().enumerate() {
            for (number, count) in sets.iter().enumerate() {
                let count = count.load(Relaxed);
                let Some(lists) = ListsAsked::numbered(number).filter(|_| count > 0) else {
                    continue;
                };
                if let Some(answers) = totals.answers.get_mut(kind) {
                    *answers += count;
                }
                let last = lists.lists().next_back();
                for list in lists.lists() {
                    let is_last = Some(list) == last;
                    let said = if is_last { last_verdict(kind) } else { Verdict::Greylist };
                    totals.lists[list as usize][place(said)] += count;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylist::rules::{Pattern, RuleSet, RuleSetBuilder};
    use greylist::{Client, Query};

    fn rules(list: List, pattern: &str, verdict: Verdict) -> RuleSet {
        let mut builder = RuleSetBuilder::new();
        let source = builder.source("test");
        let origin = greylist::rules::Origin { source, line: 1 };
        builder.add(verdict, Pattern::parse(list, pattern).unwrap(), origin);
        builder.build()
    }

    #[test]
    fn the_last_list_has_the_verdict_and_those_before_it_greylist() {
        let counters = DecisionCounters::default();
        let kind = |answer| KINDS.iter().position(|kind| *kind == answer).unwrap();
        let query = Query::new(Client::new([192, 0, 2, 7].into()), b"a@example.net", b"b@c.test");
        for (rules, kind, times) in [
            (rules(List::Sender, "a@example.net", Verdict::Accept), kind(("accept", "rule")), 2),
            (rules(List::RecipientDomain, "c.test", Verdict::Reject), kind(("reject", "rule")), 3),
            (RuleSet::default(), kind(("defer", "new")), 4),
            (RuleSet::default(), ASKED_TO_PASS, 1),
        ] {
            for _ in 0..times {
                counters.count(kind, ListsAsked::of(&rules.judge(&query)));
            }
        }
        counters.count(kind(("accept", "local")), ListsAsked::NONE);
        let mut totals = Totals::default();
        counters.add_to(&mut totals);
        let expected = [
            (List::Client, [10, 0, 0]),
            (List::ClientName, [0, 0, 0]),
            (List::Sender, [8, 2, 0]),
            (List::SenderDomain, [8, 0, 0]),
            (List::Recipient, [8, 0, 0]),
            (List::RecipientDomain, [5, 0, 3]),
        ];
        for (list, counts) in expected {
            assert_eq!(totals.lists[list as usize], counts, "{}", list.word());
        }
        assert_eq!(totals.answer("accept", "rule"), 2);
        assert_eq!(totals.answer("reject", "rule"), 3);
        assert_eq!(totals.answer("defer", "new"), 4);
        assert_eq!(totals.answer("accept", "local"), 1);
        assert_eq!(totals.answers.iter().sum::<u64>(), 10);
    }
}
