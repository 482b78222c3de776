//! What only X-Grey's clients can ask for on the way of a question: a tuple to be made white, or to be
//! forgotten (X-Grey v1.1 protocol, sections 5.1 to 5.3).

use std::net::IpAddr;

use greylist::rules::Verdict;
use greylist::{AcceptReason, Answer, Client, Query, Timestamp};
use store::{StoreError, TupleStore};

use super::tuples::MadeWhite;
use super::{FAIL_OPEN, ListsAsked, Outcome, Policy, Scratch, Service, TupleState};

/// What became of a tuple that was asked to be made white.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetPass {
    /// It is white.
    White {
        /// Which lists had a say.
        lists: ListsAsked,
        /// What was known of it before.
        before: TupleState,
    },
    /// Nothing: a rule decided, or there was no room, or the store could not be asked.
    Answered(Outcome),
}

impl Service {
    /// Makes the tuple of `query` white, unless a rule accepts or rejects it: then that is the answer,
    /// and nothing is remembered. Counts rules as a question does. Exemptions are no rules.
    pub async fn let_pass(
        &self,
        policy: &Policy,
        now: Timestamp,
        query: &Query<'_>,
        scratch: &mut Scratch,
    ) -> LetPass {
        let counted = query.counted();
        let judgement = policy.rules.judge(&counted);
        policy.rules.count(&judgement, now);
        let rule = judgement.decided_by();
        let lists = ListsAsked::of(&judgement);
        let answer = match judgement.verdict() {
            Verdict::Accept => Answer::Accept(AcceptReason::Rule(rule)),
            Verdict::Reject => Answer::Reject(rule),
            Verdict::Greylist => {
                let key = policy.identity.key(self.store.hash_key(), &counted, &mut scratch.key);
                match self.make_white(now, key, query).await {
                    Ok(MadeWhite::Done { before, .. }) => {
                        let before = TupleState::of(before, &policy.timing);
                        return LetPass::White { lists, before };
                    }
                    Ok(MadeWhite::NoRoom) => Answer::Accept(AcceptReason::NoRoom),
                    Err(error) => {
                        tracing::error!(target: "store", %error, "could not ask the store");
                        FAIL_OPEN
                    }
                }
            }
        };
        LetPass::Answered(Outcome { answer, effect: self.effect(policy, query, &answer), lists })
    }

    /// Forgets the tuple of `query`, and says what was known of it.
    ///
    /// # Errors
    /// When it is not certain that it is forgotten.
    pub async fn forget(
        &self,
        policy: &Policy,
        now: Timestamp,
        query: &Query<'_>,
        scratch: &mut Scratch,
    ) -> Result<TupleState, StoreError> {
        let key = &mut scratch.key;
        let key = policy.identity.key(self.store.hash_key(), &query.counted(), key);
        Ok(TupleState::of(self.store.forget(now, key).await?, &policy.timing))
    }

    /// Whether `address` is this host's: loopback, or one of its interfaces'.
    pub fn is_this_host(&self, address: IpAddr) -> bool {
        self.local.load().contains(Client::new(address))
    }
}
