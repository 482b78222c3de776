//! What the lists said about one query, step by step: small enough to be passed by value.

use super::{List, RuleRef, Verdict};

/// What the lists said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    verdict: Verdict,
    decided_by: RuleRef,
    /// The outcome at each list: a rule's index, [`RuleRef::DEFAULT`], or one of the three below.
    outcomes: [u32; List::COUNT],
}

/// No list has so many rules that their indices would reach these.
const SKIPPED: u32 = RuleRef::DEFAULT - 1;
const NOTHING_TO_MATCH: u32 = RuleRef::DEFAULT - 2;
const NOT_REACHED: u32 = RuleRef::DEFAULT - 3;
/// How many rules a list can have at most.
pub(super) const RULES_MAX: u32 = NOT_REACHED;

/// What came of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The list.
    pub list: List,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of asking a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This rule was the best match.
    Matched(RuleRef),
    /// No rule matched; the list's default counted.
    Default(RuleRef),
    /// Not asked, since the list before it said greylist for the same party.
    Skipped,
    /// Not asked, since the query has nothing to ask about: no confirmed client name, no domain.
    NothingToMatch,
}

impl Judgement {
    /// Before any list is asked.
    pub(super) fn new() -> Self {
        Self {
            verdict: Verdict::Greylist,
            decided_by: RuleRef::default_of(List::Client),
            outcomes: [NOT_REACHED; List::COUNT],
        }
    }

    pub(super) fn skip(&mut self, list: List) {
        self.outcomes[list.place()] = SKIPPED;
    }

    pub(super) fn nothing_to_match(&mut self, list: List) {
        self.outcomes[list.place()] = NOTHING_TO_MATCH;
    }

    /// Notes that `rule` said `verdict`.
    pub(super) fn decide(&mut self, rule: RuleRef, verdict: Verdict) {
        self.outcomes[rule.list.place()] = rule.index;
        self.verdict = verdict;
        if verdict != Verdict::Greylist || !rule.is_default() || self.decided_by.is_default() {
            self.decided_by = rule;
        }
    }

    /// Accept or reject if a list decided; greylist if the tuple is to decide.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The rule or default that said accept or reject. For greylist, the last rule that matched;
    /// if none did, the last default that was passed.
    pub fn decided_by(&self) -> RuleRef {
        self.decided_by
    }

    /// What came of each list, in order, up to the one that decided.
    pub fn steps(&self) -> impl Iterator<Item = Step> + use<> {
        let outcomes = self.outcomes;
        List::ALL.into_iter().map_while(move |list| {
            let index = outcomes[list.place()];
            let outcome = match index {
                NOT_REACHED => return None,
                SKIPPED => Outcome::Skipped,
                NOTHING_TO_MATCH => Outcome::NothingToMatch,
                RuleRef::DEFAULT => Outcome::Default(RuleRef { list, index }),
                _ => Outcome::Matched(RuleRef { list, index }),
            };
            Some(Step { list, outcome })
        })
    }
}

impl std::fmt::Debug for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judgement")
            .field("verdict", &self.verdict)
            .field("decided_by", &self.decided_by)
            .field("steps", &self.steps().collect::<Vec<_>>())
            .finish()
    }
}
