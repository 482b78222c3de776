//! What would be answered, and the path that leads there; nothing is counted or remembered.
//!
//! An [`Explanation`] is made to be shown: texts, and times in RFC 3339. It crosses the control
//! socket as JSON, so its fields' names are for scripts too.

use greylist::identity::Reductions;
use greylist::reply::Fields;
use greylist::rules::{Outcome as StepOutcome, RuleSet, Step};
use greylist::{AcceptReason, Answer, Effect, Query, Secs, State, Timestamp, Timing, Tuple};
use serde::{Deserialize, Serialize};
use store::{StoreError, TupleStore};

use super::{BeforeTuple, Policy, Service};
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
        let before = policy.before_tuple(&self.local.load(), query);
        let mut path = path_before_tuple(&policy, &before);
        if let Some(answer) = before.answer {
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
        let shown = (identity(&policy, query), TupleState::of(known, &timing));
        Ok(conclude(&policy, query, Answer::from(touch), path, Some(shown)))
    }
}

/// The path that led to what can be said before the tuple.
fn path_before_tuple(policy: &Policy, before: &BeforeTuple) -> Vec<PathStep> {
    let exempt =
        |said: &str| PathStep { stage: "exempt".to_owned(), said: said.to_owned(), origin: None };
    let Some(judgement) = before.judgement else {
        return vec![exempt("the client is this host itself, logged in, or certified: accept")];
    };
    let not = "the client is neither this host, nor logged in, nor certified: not exempt";
    let mut path = vec![exempt(not)];
    path.extend(judgement.steps().map(|step| show(&policy.rules, step)));
    if before.answer == Some(Answer::Accept(AcceptReason::ExemptRecipient)) {
        path.push(exempt("the recipient must always be reachable: accept"));
    }
    path
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

pub(super) fn identity(policy: &Policy, query: &Query<'_>) -> IdentityShown {
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

impl TupleState {
    /// How what is known of a tuple is shown.
    pub fn of(known: Option<Tuple>, timing: &Timing) -> Self {
        match known {
            None => Self::Unknown,
            Some(Tuple { state: State::Grey, since }) => Self::Grey {
                first_try: rfc3339(since),
                passes_from: rfc3339(since.after(timing.embargo())),
                until: rfc3339(since.after(timing.window())),
            },
            Some(Tuple { state: State::White, since }) => Self::White {
                last_use: rfc3339(since),
                until: rfc3339(since.after(timing.lifetime())),
            },
        }
    }
}

pub(crate) fn rfc3339(at: Timestamp) -> String {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use greylist::{Client, HashKey};
    use pollster::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::command::serve;
    use crate::config::{MadeUp, parse_text};
    use crate::service::Scratch;

    const RULES: &str = r#"
        [rules.client]
        accept = ["198.51.100.0/24"]
        greylist = ["198.51.100.7"]
        [rules.sender]
        reject = ["spammer@example.com"]
        [rules.recipient_domain]
        accept = ["example.com"]
    "#;

    fn service(config: &str) -> Service {
        let (config, _) = parse_text(config, Path::new("xgrey.toml"), &MadeUp::default()).unwrap();
        match serve::service(config, HashKey::new([7; 16])) {
            Ok(service) => service,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    fn answered(service: &Service, now: Timestamp, query: &Query<'_>) -> (Answer, Effect) {
        let mut outcomes = Vec::new();
        let policy = service.policy();
        let mut scratch = Scratch::default();
        block_on(service.answer(&policy, now, &[*query], &mut scratch, &mut outcomes));
        (outcomes[0].answer, outcomes[0].effect)
    }

    proptest! {
        #[test]
        fn what_is_explained_is_what_is_answered_next(
            steps in prop::collection::vec((0_u32..90_000, 0_usize..4, 0_usize..3, 0_usize..4), 1..40)
        ) {
            const CLIENTS: [&str; 4] = ["192.0.2.7", "198.51.100.1", "198.51.100.7", "127.0.0.1"];
            const SENDERS: [&str; 3] = ["a@example.net", "spammer@example.com", ""];
            const RECIPIENTS: [&str; 4] =
                ["b@example.org", "b@example.com", "postmaster@example.org", "postmaster"];
            let service = service(RULES);
            let mut now = Timestamp::from_unix_secs(1_800_000_000);
            for (later, client, sender, recipient) in steps {
                // Mostly minutes, sometimes a day.
                now = now.after(Secs::new(if later < 80_000 { later / 800 } else { later }));
                let client = Client::new(CLIENTS[client].parse().unwrap());
                let (sender, recipient) = (SENDERS[sender], RECIPIENTS[recipient]);
                let query = Query::new(client, sender.as_bytes(), recipient.as_bytes());
                let explained = block_on(service.explain(now, &query)).unwrap();
                let again = block_on(service.explain(now, &query)).unwrap();
                prop_assert_eq!(&explained, &again, "explaining changed something");
                let (answer, _) = answered(&service, now, &query);
                prop_assert_eq!(explained.answer, answer.action());
                prop_assert_eq!(explained.reason, answer.reason());
            }
        }
    }

    #[test]
    fn explaining_counts_no_hits() {
        let service = service(RULES);
        let client = Client::new("198.51.100.1".parse().unwrap());
        let query = Query::new(client, b"a@example.net", b"b@example.org");
        let now = Timestamp::from_unix_secs(1_800_000_000);
        block_on(service.explain(now, &query)).unwrap();
        assert!(service.policy().rules.iter().all(|rule| rule.hits == 0));
        answered(&service, now, &query);
        assert_eq!(service.policy().rules.iter().map(|rule| rule.hits).sum::<u64>(), 1);
    }

    #[test]
    fn observe_mode_has_no_effects_and_says_what_it_would_have_done() {
        let service = service("mode = \"observe\"");
        let client = Client::new("192.0.2.7".parse().unwrap());
        let query = Query::new(client, b"a@example.net", b"b@example.org");
        let now = Timestamp::from_unix_secs(1_800_000_000);
        let explained = block_on(service.explain(now, &query)).unwrap();
        assert_eq!(
            explained.effect,
            "no objection, since mode is observe; else 450 4.7.1 Greylisted, try again in 60 seconds"
        );
        assert_eq!(answered(&service, now, &query).1, Effect::NoObjection);
    }

    #[test]
    fn a_path_leads_from_the_lists_to_the_tuple() {
        let service = service(RULES);
        let client = Client::new("198.51.100.7".parse().unwrap());
        let query = Query::new(client, b"A+b@example.net", b"b@example.org");
        let now = Timestamp::from_unix_secs(1_800_000_000);
        answered(&service, now, &query);
        let explained = block_on(service.explain(now.after(Secs::new(12)), &query)).unwrap();
        let path: Vec<String> =
            explained.path.iter().map(|step| format!("{}: {}", step.stage, step.said)).collect();
        let nothing = "nothing matches; the default: greylist";
        assert_eq!(
            path,
            [
                "exempt: the client is neither this host, nor logged in, nor certified: not exempt",
                "client: 198.51.100.7 matches: greylist",
                "client-name: skipped: the list before it said greylist",
                &format!("sender: {nothing}"),
                &format!("sender-domain: {nothing}"),
                &format!("recipient: {nothing}"),
                &format!("recipient-domain: {nothing}"),
                "tuple: grey, first tried 12 seconds ago, 48 seconds of the embargo left",
            ]
        );
        let grey = TupleState::Grey {
            first_try: "2027-01-15T08:00:00Z".to_owned(),
            passes_from: "2027-01-15T08:01:00Z".to_owned(),
            until: "2027-01-15T14:00:00Z".to_owned(),
        };
        assert_eq!(explained.tuple, Some(grey));
    }
}
