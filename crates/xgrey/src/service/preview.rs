//! What an attempt would be answered, for front ends that are asked so. Nothing is counted or
//! remembered of it.

use greylist::{Answer, Effect, Query, Timestamp, Tuple};
use store::{StoreError, TupleStore};

use super::{BeforeTuple, Service};
use crate::config::Mode;

/// What an attempt would be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// What would be decided.
    pub answer: Answer,
    /// What the MTA would be asked to do, but for a header.
    pub effect: Effect,
    /// What is known of the tuple; none also when something else decides.
    pub tuple: Option<Tuple>,
}

impl Service {
    /// What an attempt at `now` would be answered.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn preview(&self, now: Timestamp, query: &Query<'_>) -> Result<Preview, StoreError> {
        let policy = self.policy();
        let query = &query.counted();
        let BeforeTuple { answer, .. } = policy.before_tuple(&self.local.load(), query);
        let (answer, tuple) = match answer {
            Some(answer) => (answer, None),
            None => {
                let key = policy.identity.key(self.store.hash_key(), query, &mut Vec::new());
                let known = self.store.peek(now, key).await?;
                let (touch, _) = greylist::tuple::judge(&policy.timing, known, now);
                (Answer::from(touch), known)
            }
        };
        let effect = match policy.mode {
            Mode::Observe => Effect::NoObjection,
            Mode::Enforce => Effect::from(&answer),
        };
        Ok(Preview { answer, effect, tuple })
    }

    /// Whether an attempt would be refused for good: a rule says so, whatever is known of the tuple.
    pub fn would_reject(&self, query: &Query<'_>) -> bool {
        let policy = self.policy();
        let BeforeTuple { answer, .. } = policy.before_tuple(&self.local.load(), &query.counted());
        policy.mode == Mode::Enforce && matches!(answer, Some(Answer::Reject(_)))
    }
}
