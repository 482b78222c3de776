//! What the lists said, by list and verdict.
//!
//! A query that passes through asks five or six lists. Since all but the last of them said greylist,
//! the set of lists and the last one's verdict tell everything: one addition a query.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::rules::{List, Verdict};

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

/// The judgements that one worker has seen: by the last verdict and the lists that were asked.
#[derive(Debug)]
pub(super) struct ListCounters([[AtomicU64; ListsAsked::SETS]; VERDICTS.len()]);

impl Default for ListCounters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0))))
    }
}

impl ListCounters {
    /// Counts that those lists were asked, and what came of it.
    pub(super) fn count(&self, lists: ListsAsked, verdict: Verdict) {
        if lists != ListsAsked::NONE {
            self.0[place(verdict)][lists.number()].fetch_add(1, Relaxed);
        }
    }

    pub(super) fn add_to(&self, said: &mut Said) {
        for (verdict, counts) in VERDICTS.into_iter().zip(&self.0) {
            for (number, count) in counts.iter().enumerate() {
                let count = count.load(Relaxed);
                let Some(lists) = ListsAsked::numbered(number).filter(|_| count > 0) else {
                    continue;
                };
                let last = lists.lists().next_back();
                for list in lists.lists() {
                    let its = if Some(list) == last { verdict } else { Verdict::Greylist };
                    said[list as usize][place(its)] += count;
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
        let counters = ListCounters::default();
        let query = Query::new(Client::new([192, 0, 2, 7].into()), b"a@example.net", b"b@c.test");
        for (rules, times) in [
            (rules(List::Sender, "a@example.net", Verdict::Accept), 2),
            (rules(List::RecipientDomain, "c.test", Verdict::Reject), 3),
            (RuleSet::default(), 5),
        ] {
            let judgement = rules.judge(&query);
            for _ in 0..times {
                counters.count(ListsAsked::of(&judgement), judgement.verdict());
            }
        }
        counters.count(ListsAsked::NONE, Verdict::Accept);
        let mut said = Said::default();
        counters.add_to(&mut said);
        let expected = [
            (List::Client, [10, 0, 0]),
            (List::ClientName, [0, 0, 0]),
            (List::Sender, [8, 2, 0]),
            (List::SenderDomain, [8, 0, 0]),
            (List::Recipient, [8, 0, 0]),
            (List::RecipientDomain, [5, 0, 3]),
        ];
        for (list, counts) in expected {
            assert_eq!(said[list as usize], counts, "{}", list.word());
        }
    }
}
