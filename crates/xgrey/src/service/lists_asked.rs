//! Which lists had a say about a query: what counters need to know of a judgement, in a byte.

use greylist::rules::{Judgement, List, Outcome};

/// The lists of which a rule or the default counted for a query: not those that were skipped, had
/// nothing to match, or come after the one that decided.
///
/// All of them said greylist, but for the last one if that decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListsAsked(u8);

const _: () = assert!(List::COUNT <= u8::BITS as usize);

impl ListsAsked {
    /// No list was asked, since the client is exempt.
    pub const NONE: Self = Self(0);

    /// How many sets of lists there are.
    pub(crate) const SETS: usize = 1 << List::COUNT;

    /// Those of `judgement`.
    pub fn of(judgement: &Judgement) -> Self {
        let mut set = 0;
        for step in judgement.steps() {
            match step.outcome {
                Outcome::Matched(_) | Outcome::Default(_) => set |= 1 << step.list as u8,
                Outcome::Skipped | Outcome::NothingToMatch => {}
            }
        }
        Self(set)
    }

    /// A number for this set, below [`ListsAsked::SETS`].
    pub(crate) const fn number(self) -> usize {
        self.0 as usize
    }

    /// The set of that number, if it has one.
    pub(crate) fn numbered(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < Self::SETS).map(Self)
    }

    /// The lists, in the order in which they were asked.
    pub fn lists(self) -> impl DoubleEndedIterator<Item = List> {
        List::ALL.into_iter().filter(move |&list| self.0 & 1 << list as u8 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greylist::rules::{Origin, Pattern, RuleSetBuilder, Verdict};
    use greylist::{Client, Query};

    /// The lists that had a say about mail from `sender` to `recipient`, under those rules.
    fn asked(rules: &[(List, &str, Verdict)], sender: &str, recipient: &str) -> Vec<&'static str> {
        let mut builder = RuleSetBuilder::new();
        let source = builder.source("test");
        for &(list, pattern, verdict) in rules {
            let pattern = Pattern::parse(list, pattern).unwrap();
            builder.add(verdict, pattern, Origin { source, line: 1 });
        }
        let client = Client::new([192, 0, 2, 7].into());
        let query = Query::new(client, sender.as_bytes(), recipient.as_bytes());
        let asked = ListsAsked::of(&builder.build().judge(&query));
        asked.lists().map(List::word).collect()
    }

    const BOTH: [&str; 2] = ["alice@example.net", "bob@example.org"];

    #[test]
    fn a_default_has_its_say_as_a_rule_does() {
        let [sender, recipient] = BOTH;
        let all = ["client", "sender", "sender-domain", "recipient", "recipient-domain"];
        assert_eq!(asked(&[], sender, recipient), all);
    }

    #[test]
    fn a_list_that_has_nothing_to_match_has_none() {
        assert_eq!(asked(&[], "", "bob"), ["client", "sender", "recipient"]);
    }

    #[test]
    fn a_list_that_is_skipped_has_none() {
        let [sender, recipient] = BOTH;
        let rules = [(List::Sender, sender, Verdict::Greylist)];
        let all_but_one = ["client", "sender", "recipient", "recipient-domain"];
        assert_eq!(asked(&rules, sender, recipient), all_but_one);
    }

    #[test]
    fn the_list_that_decides_is_the_last_one() {
        let [sender, recipient] = BOTH;
        let rules = [(List::SenderDomain, "example.net", Verdict::Reject)];
        assert_eq!(asked(&rules, sender, recipient), ["client", "sender", "sender-domain"]);
    }
}
