//! What would be answered, and the path that leads there; nothing is counted or remembered.
//!
//! An [`Explanation`] is made to be shown: texts, and times in RFC 3339. It crosses the control
//! socket as JSON, so its fields' names are for scripts too.

use greylist::identity::Reductions;
use greylist::reply::Fields;
use greylist::rules::{Outcome as StepOutcome, RuleSet, Step, Verdict};
use greylist::{AcceptReason, Answer, Effect, Query, Secs, State, Timestamp, Timing, Tuple};
use serde::{Deserialize, Serialize};
use store::{StoreError, TupleStore};

use super::{Policy, Service};
use crate::config::Mode;

/// The whole answer to "what would happen, and why?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// `accept`, `defer` or `reject`.
    pub answer: String,
    /// The reason, in the word that the log has for it.
    pub reason: String,
    /// The reply that the sender would get, or what is done instead.
    pub effect: String,
    /// What was looked at, in order, up to where it was decided.
    pub path: Vec<PathStep>,
    /// What counts of the query; none when a rule or an exemption decides before.
    pub identity: Option<IdentityShown>,
    /// What is known of the tuple; none when a rule or an exemption decides before.
    pub tuple: Option<TupleState>,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStep {
    /// The list or stage, such as `sender-domain`.
    pub stage: String,
    /// What it said.
    pub said: String,
    /// The file and line of the rule, where a rule spoke.
    pub origin: Option<String>,
}

/// The parts of a tuple's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityShown {
    /// The network that stands for the client.
    pub client: String,
    /// The sender in the form that counts.
    pub sender: String,
    /// The recipient in the form that counts.
    pub recipient: String,
    /// What was taken off the addresses, in a word each, such as `extension`.
    pub reductions: Vec<String>,
}

/// What is known of a tuple. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TupleState {
    /// Nothing: the next attempt is the first.
    Unknown,
    /// Tried, not yet passed.
    Grey {
        /// The first attempt.
        first_try: String,
        /// From when on a retry passes.
        passes_from: String,
        /// Until when a retry must come.
        until: String,
    },
    /// Has passed.
    White {
        /// The last use, to the minute or so.
        last_use: String,
        /// Until when it is known if it is not used again.
        until: String,
    },
}

impl Service {
    /// Explains what `query` would get at `now`.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn explain(
        &self,
        now: Timestamp,
        query: &Query<'_>,
    ) -> Result<Explanation, StoreError> {
        let policy = self.policy();
        let mut path = Vec::new();
        if let Some(answer) = self.explain_before_tuple(&policy, query, &mut path) {
            return Ok(conclude(&policy, query, answer, path, None));
        }
        let mut scratch = Vec::new();
        let key = policy.identity.key(self.store.hash_key(), query, &mut scratch);
        let known = self.store.peek(now, key).await?;
        let timing = policy.timing;
        let (touch, _) = greylist::tuple::judge(&timing, known, now);
        path.push(PathStep {
            stage: "tuple".to_owned(),
            said: tuple_said(known, &timing, now),
            origin: None,
        });
        let shown = (identity(&policy, query), state(known, &timing));
        Ok(conclude(&policy, query, Answer::from(touch), path, Some(shown)))
    }

    /// As `without_tuple`, writing down the path and counting nothing.
    fn explain_before_tuple(
        &self,
        policy: &Policy,
        query: &Query<'_>,
        path: &mut Vec<PathStep>,
    ) -> Option<Answer> {
        let mut exempt = |reason: Option<AcceptReason>, no: &str, yes: &str| {
            let said = if reason.is_some() { yes } else { no }.to_owned();
            path.push(PathStep { stage: "exempt".to_owned(), said, origin: None });
            reason
        };
        if let Some(reason) = exempt(
            super::exempt::client(&policy.exempt, query, &self.local.load()),
            "the client is neither this host, nor logged in, nor certified: not exempt",
            "the client is this host itself, logged in, or certified: accept",
        ) {
            return Some(Answer::Accept(reason));
        }
        let judgement = policy.rules.judge(query);
        path.extend(judgement.steps().map(|step| show(&policy.rules, step)));
        match judgement.verdict() {
            Verdict::Accept => Some(Answer::Accept(AcceptReason::Rule(judgement.decided_by()))),
            Verdict::Reject => Some(Answer::Reject(judgement.decided_by())),
            Verdict::Greylist if policy.exempt.recipients.contains(query) => {
                path.push(PathStep {
                    stage: "exempt".to_owned(),
                    said: "the recipient must always be reachable: accept".to_owned(),
                    origin: None,
                });
                Some(Answer::Accept(AcceptReason::ExemptRecipient))
            }
            Verdict::Greylist => None,
        }
    }
}

fn show(rules: &RuleSet, step: Step) -> PathStep {
    let (said, origin) = match step.outcome {
        StepOutcome::Matched(rule) => {
            let rule = rules.rule(rule);
            (format!("{} matches: {}", rule.text, rule.verdict.word()), Some(rule.origin))
        }
        StepOutcome::Default(rule) => {
            let rule = rules.rule(rule);
            (format!("nothing matches; the default: {}", rule.verdict.word()), Some(rule.origin))
        }
        StepOutcome::Skipped => ("skipped: the list before it said greylist".to_owned(), None),
        StepOutcome::NothingToMatch => ("nothing there to look up".to_owned(), None),
    };
    let origin = origin.map(|origin| origin.to_string());
    PathStep { stage: step.list.word().to_owned(), said, origin }
}

fn identity(policy: &Policy, query: &Query<'_>) -> IdentityShown {
    let (mut sender, mut recipient) = (Vec::new(), Vec::new());
    let from_sender = policy.identity.normalise_sender(query.sender, &mut sender);
    let from_recipient = policy.identity.normalise_recipient(query.recipient, &mut recipient);
    let both = Reductions::from_iter(from_sender.iter().chain(from_recipient.iter()));
    IdentityShown {
        client: policy.identity.client_network(query.client).to_string(),
        sender: String::from_utf8_lossy(&sender).into_owned(),
        recipient: String::from_utf8_lossy(&recipient).into_owned(),
        reductions: both.iter().map(|reduction| reduction.word().to_owned()).collect(),
    }
}

fn tuple_said(known: Option<Tuple>, timing: &Timing, now: Timestamp) -> String {
    match known {
        None => "not known: this would be the first try".to_owned(),
        Some(Tuple { state: State::White, since }) => {
            format!("white, last used {} ago", now.since(since))
        }
        Some(Tuple { state: State::Grey, since }) => {
            let age = now.since(since);
            match timing.embargo().saturating_sub(age) {
                Secs::ZERO => format!("grey, first tried {age} ago, the embargo is over"),
                left => format!("grey, first tried {age} ago, {left} of the embargo left"),
            }
        }
    }
}

fn state(known: Option<Tuple>, timing: &Timing) -> TupleState {
    match known {
        None => TupleState::Unknown,
        Some(Tuple { state: State::Grey, since }) => TupleState::Grey {
            first_try: rfc3339(since),
            passes_from: rfc3339(since.after(timing.embargo())),
            until: rfc3339(since.after(timing.window())),
        },
        Some(Tuple { state: State::White, since }) => TupleState::White {
            last_use: rfc3339(since),
            until: rfc3339(since.after(timing.lifetime())),
        },
    }
}

fn rfc3339(at: Timestamp) -> String {
    let secs = i64::try_from(at.as_unix_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(secs).map_or_else(|_| secs.to_string(), |time| time.to_string())
}

fn conclude(
    policy: &Policy,
    query: &Query<'_>,
    answer: Answer,
    path: Vec<PathStep>,
    shown: Option<(IdentityShown, TupleState)>,
) -> Explanation {
    let (identity, tuple) = shown.unzip();
    let effect = match (Effect::from(&answer), policy.mode) {
        (Effect::NoObjection | Effect::AddHeader { .. }, _) => "no objection".to_owned(),
        (effect, Mode::Enforce) => reply(policy, query, effect),
        (effect, Mode::Observe) => {
            format!("no objection, since mode is observe; else {}", reply(policy, query, effect))
        }
    };
    Explanation {
        answer: answer.action().to_owned(),
        reason: answer.reason().to_owned(),
        effect,
        path,
        identity,
        tuple,
    }
}

/// The SMTP reply, as the sender gets to see it.
fn reply(policy: &Policy, query: &Query<'_>, effect: Effect) -> String {
    let (reply, wait) = match effect {
        Effect::Defer { wait } => (policy.replies.defer(), wait),
        _ => (policy.replies.reject(), Secs::ZERO),
    };
    let mut text = reply.code().get().to_string().into_bytes();
    if let Some(enhanced) = reply.enhanced() {
        text.extend_from_slice(format!(" {enhanced}").as_bytes());
    }
    text.push(b' ');
    reply.text().render(&Fields { query, wait }, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
