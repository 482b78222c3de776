//! The service: where rules, identity and store meet. Every front end asks it and none decides
//! anything itself.
//!
//! ```text
//! Query ─▶ exempt? ─▶ rules ─▶ exempt recipient? ─▶ identity ─▶ store.touch ─▶ Answer ─▶ Effect
//! ```
//!
//! Never knows: protocols, sockets, clocks, log lines.

mod exempt;
mod explain;
mod header;
mod listing;
mod lists_asked;
mod live;
mod pattern;
mod preview;
mod tuples;
mod waiting;
mod x_grey;

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use greylist::reply::Replies;
use greylist::rules::{Judgement, RuleSet, Verdict};
use greylist::{AcceptReason, Answer, Effect, Identity, Query, Timestamp, Timing, Touch};
use store::text::TextLog;
use store::{Attempt, CompactStore, TupleStore};

pub use self::exempt::LocalAddresses;
pub use self::explain::{Explanation, IdentityShown, PathStep, TupleState, rfc3339};
use self::header::RecentMessages;
pub use self::listing::{Extent, Listed, ListingEnd, NotListed, TupleFilter};
pub use self::lists_asked::ListsAsked;
use self::live::Live;
pub use self::live::{
    By, Entry, HitsKept, LIVE_RULES_MAX, NotChanged, RuleChange, RuleChanged, RuleListed, What,
    is_rule_note,
};
pub use self::pattern::AddressPattern;
pub use self::preview::Preview;
pub use self::tuples::{ChangeError, TextSearch, TextShown, TupleChanged, TupleShown};
pub use self::waiting::wait_for;
pub use self::x_grey::LetPass;
use crate::config::{Config, Exempt, Mode};

/// All that a reload may change, taken or kept as a whole.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Embargo, window and lifetime; the store goes by the same.
    pub timing: Timing,
    /// The lists; in a service, with the live rules in them.
    pub rules: RuleSet,
    /// Which attempts count as the same.
    pub identity: Identity,
    /// Who is let through without being asked.
    pub exempt: Exempt,
    /// Whether decisions have effects.
    pub mode: Mode,
    /// What senders get to read.
    pub replies: Replies,
}

/// What of a configuration the service decides by.
impl From<Config> for Policy {
    fn from(config: Config) -> Self {
        let Config { timing, rules, identity, exempt, mode, replies, .. } = config;
        Self { timing, rules, identity, exempt, mode, replies }
    }
}

/// What can be said of a query without a look at its tuple.
struct BeforeTuple {
    /// What the rules said; none if the client is exempt from being judged.
    judgement: Option<Judgement>,
    /// The answer; none if it takes the tuple.
    answer: Option<Answer>,
}

impl Policy {
    /// The order of everything that comes before the tuple. Counts nothing.
    fn before_tuple(&self, local: &LocalAddresses, query: &Query<'_>) -> BeforeTuple {
        if let Some(reason) = exempt::client(&self.exempt, query, local) {
            return BeforeTuple { judgement: None, answer: Some(Answer::Accept(reason)) };
        }
        let judgement = self.rules.judge(query);
        let answer = match judgement.verdict() {
            Verdict::Accept => Some(Answer::Accept(AcceptReason::Rule(judgement.decided_by()))),
            Verdict::Reject => Some(Answer::Reject(judgement.decided_by())),
            Verdict::Greylist => self
                .exempt
                .recipients
                .contains(query)
                .then_some(Answer::Accept(AcceptReason::ExemptRecipient)),
        };
        BeforeTuple { judgement: Some(judgement), answer }
    }
}

/// What came of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was decided and why: for log and counters.
    pub answer: Answer,
    /// What the MTA is asked to do: for the wire.
    pub effect: Effect,
    /// Which lists had a say: for counters.
    pub lists: ListsAsked,
}

/// Buffers that a batch needs, kept so that the next one allocates nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    key: Vec<u8>,
    /// The answers that took no look at the tuple, and which lists were asked.
    early: Vec<(Option<Answer>, ListsAsked)>,
    attempts: Vec<Attempt>,
    touches: Vec<Touch>,
}

/// The service.
#[derive(Debug)]
pub struct Service {
    live: Live,
    policy: ArcSwap<Policy>,
    local: ArcSwap<LocalAddresses>,
    store: CompactStore,
    texts: Option<Arc<TextLog>>,
    recent: RecentMessages,
}

/// What stands in for a touch that the store could not make.
const FAIL_OPEN: Answer = Answer::Accept(AcceptReason::FailOpen);

impl Service {
    /// A service that decides by `policy`, with the live rules that `store` keeps, and remembers in
    /// `store`.
    pub fn new(mut policy: Policy, store: CompactStore) -> Self {
        let live = Live::new(&store, &mut policy);
        Self {
            live,
            policy: ArcSwap::from_pointee(policy),
            local: ArcSwap::from_pointee(LocalAddresses::default()),
            store,
            texts: None,
            recent: RecentMessages::default(),
        }
    }

    /// The same, and it keeps the texts of new tuples in `texts`.
    pub fn with_texts(self, texts: Arc<TextLog>) -> Self {
        Self { texts: Some(texts), ..self }
    }

    /// The policy now in force. Held for a batch, so that a reload never changes it in between.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// Says which addresses are this host's own.
    pub fn set_local_addresses(&self, local: LocalAddresses) {
        self.local.store(Arc::new(local));
    }

    /// The memory of tuples.
    pub fn store(&self) -> &CompactStore {
        &self.store
    }

    /// The texts of tuples, if they are kept.
    pub fn texts(&self) -> Option<&TextLog> {
        self.texts.as_deref()
    }

    /// Decides a batch and remembers what it saw: one outcome for each query, in their order, in
    /// `outcomes`, whose old contents go. Never fails: when the store does, mail goes first.
    pub async fn answer(
        &self,
        policy: &Policy,
        now: Timestamp,
        queries: &[Query<'_>],
        scratch: &mut Scratch,
        outcomes: &mut Vec<Outcome>,
    ) {
        let Scratch { key, early, attempts, touches } = scratch;
        early.clear();
        attempts.clear();
        touches.clear();
        let local = self.local.load();
        for query in queries {
            let query = &query.counted();
            let BeforeTuple { judgement, answer } = policy.before_tuple(&local, query);
            let mut lists = ListsAsked::NONE;
            if let Some(judgement) = judgement {
                policy.rules.count(&judgement, now);
                lists = ListsAsked::of(&judgement);
            }
            if answer.is_none() {
                let key = policy.identity.key(self.store.hash_key(), query, key);
                attempts.push(Attempt { key });
            }
            early.push((answer, lists));
        }
        drop(local);
        if !attempts.is_empty()
            && let Err(error) = self.store.touch(now, attempts, touches).await
        {
            tracing::error!(target: "store", %error, "could not ask the store; mail passes");
        }
        let mut touched = attempts.iter().zip(touches.drain(..));
        outcomes.clear();
        outcomes.extend(queries.iter().zip(early).map(|(query, (early, lists))| {
            let answer = early.unwrap_or_else(|| {
                let Some((attempt, touch)) = touched.next() else { return FAIL_OPEN };
                self.keep_text_if_new(now, attempt.key, &touch, query);
                Answer::from(touch)
            });
            Outcome { answer, effect: self.effect(policy, query, &answer), lists: *lists }
        }));
    }

    /// What the MTA is asked to do.
    fn effect(&self, policy: &Policy, query: &Query<'_>, answer: &Answer) -> Effect {
        match (policy.mode, answer) {
            (Mode::Observe, _) => Effect::NoObjection,
            (Mode::Enforce, &Answer::Accept(AcceptReason::Passed { waited })) => {
                let wanted = policy.replies.header().is_some() && self.recent.is_first(query);
                if wanted { Effect::AddHeader { waited } } else { Effect::NoObjection }
            }
            (Mode::Enforce, answer) => Effect::from(answer),
        }
    }
}
