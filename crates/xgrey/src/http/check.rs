//! The JSON of `POST /v1/check`: one question or a batch of them in, as many answers out.
//!
//! Questions borrow the body; strings with escapes in them are copied. A body that cannot be
//! understood is read a second time, more slowly, to find out where its mistake is.
//!
//! Never knows: sockets, headers, what is decided.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use greylist::reply::{Fields, Reply, Template};
use greylist::rules::RuleText;
use greylist::{AcceptReason, Answer, Client, DeferReason, Effect, Query, Secs, Trust};
use serde::{Deserialize, Serialize};

use super::mistake::Mistake;
use crate::service::{Outcome, Policy};

/// The longest body, in bytes. A question is about 200 bytes; 256 of them with addresses of 320 bytes
/// and all fields given are 256 KiB. With 1,024 connections that makes 256 MiB at worst.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// The most questions in one body. Recipients of one message, as a rule: 100 (RFC 5321,
/// section 4.5.3.1.8).
pub const QUESTIONS_MAX: usize = 256;

/// What a body asks.
#[derive(Debug)]
pub struct Asked<'a> {
    questions: Vec<Question<'a>>,
    form: Form,
}

/// How the answers are to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One object.
    One,
    /// An array of objects.
    Batch,
}

/// One question, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with client, sender and recipient")]
struct Question<'a> {
    client: IpAddr,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    recipient: Cow<'a, str>,
    #[serde(borrow, default)]
    client_name: Cow<'a, str>,
    #[serde(borrow, default)]
    helo: Cow<'a, str>,
    #[serde(default)]
    trust: Vouched,
    #[serde(borrow, default)]
    instance: Cow<'a, str>,
    #[serde(borrow, default)]
    queue_id: Cow<'a, str>,
}

/// What the MTA vouches for.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vouched {
    #[default]
    Stranger,
    Authenticated,
    Certificate,
}

impl<'a> Asked<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(body: &'a [u8]) -> Result<Self, Mistake> {
        let form = match body.trim_ascii_start().first() {
            Some(b'[') => Form::Batch,
            _ => Form::One,
        };
        let questions = match form {
            Form::One => serde_json::from_slice(body).map(|question| vec![question]),
            Form::Batch => serde_json::from_slice(body),
        };
        let questions: Vec<Question<'a>> = questions.map_err(|_| match form {
            Form::One => Mistake::found_by::<Question<'_>>(body),
            Form::Batch => Mistake::found_by::<Vec<Question<'_>>>(body),
        })?;
        match questions.len() {
            0 => Err(Mistake::new("an empty batch: ask at least one question")),
            asked if asked > QUESTIONS_MAX => Err(Mistake::new(format!(
                "{asked} questions in one batch: send at most {QUESTIONS_MAX}"
            ))),
            _ => Ok(Self { questions, form }),
        }
    }

    /// How many questions there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// The questions, in their order.
    pub fn queries(&self) -> impl Iterator<Item = Query<'_>> {
        self.questions.iter().map(Question::query)
    }

    /// Appends the answers.
    pub fn encode(
        &self,
        policy: &Policy,
        queries: &[Query<'_>],
        outcomes: &[Outcome],
        out: &mut Vec<u8>,
    ) {
        let mut texts = Vec::new();
        if self.form == Form::Batch {
            out.push(b'[');
        }
        for (number, (query, outcome)) in queries.iter().zip(outcomes).enumerate() {
            if number > 0 {
                out.push(b',');
            }
            let said = Said::of(policy, query, outcome, &mut texts);
            // Neither a `Vec` nor these types can fail.
            let _ = serde_json::to_writer(&mut *out, &said);
        }
        if self.form == Form::Batch {
            out.push(b']');
        }
        out.push(b'\n');
    }
}

impl Question<'_> {
    fn query(&self) -> Query<'_> {
        Query {
            client_name: (!self.client_name.is_empty()).then_some(self.client_name.as_bytes()),
            helo: self.helo.as_bytes(),
            trust: match self.trust {
                Vouched::Stranger => Trust::Stranger,
                Vouched::Authenticated => Trust::Authenticated,
                Vouched::Certificate => Trust::Certificate,
            },
            instance: self.instance.as_bytes(),
            queue_id: self.queue_id.as_bytes(),
            ..Query::new(Client::new(self.client), bare(&self.sender), bare(&self.recipient))
        }
    }
}

/// An address without the angle brackets that it may have.
pub(super) fn bare(address: &str) -> &[u8] {
    let inside = address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inside.unwrap_or(address).as_bytes()
}

/// One answer, as it is written.
#[derive(Debug, Serialize)]
struct Said<'a> {
    action: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleSaid<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<ReplySaid<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<HeaderSaid<'a>>,
    /// What would be done if the service did not only observe.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct RuleSaid<'a> {
    list: &'static str,
    entry: Shown<RuleText<'a>>,
}

/// What the MTA is to say to the client.
#[derive(Debug, Serialize)]
pub(super) struct ReplySaid<'a> {
    pub(super) code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enhanced: Option<String>,
    pub(super) text: Cow<'a, str>,
}

/// What the MTA is to put before the message.
#[derive(Debug, Serialize)]
pub(super) struct HeaderSaid<'a> {
    pub(super) name: &'static str,
    pub(super) value: Cow<'a, str>,
}

/// Something shown as a string.
struct Shown<T>(T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<T: fmt::Display> fmt::Debug for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a> Said<'a> {
    /// `text` is where the words for the client, or the header's, are put.
    fn of(policy: &'a Policy, query: &Query<'_>, outcome: &Outcome, text: &'a mut Vec<u8>) -> Self {
        text.clear();
        let decided = Effect::from(&outcome.answer);
        let action = word(outcome.effect);
        let (mut reply, mut header) = (None, None);
        match outcome.effect {
            Effect::NoObjection => {}
            Effect::AddHeader { waited } => {
                header = policy
                    .replies
                    .header()
                    .map(|template| HeaderSaid::of(template, query, waited, text));
            }
            Effect::Defer { wait } => {
                reply = Some(ReplySaid::of(policy.replies.defer(), query, wait, text))
            }
            Effect::Reject => {
                reply = Some(ReplySaid::of(policy.replies.reject(), query, Secs::new(0), text));
            }
        }
        let (wait, waited) = match outcome.answer {
            Answer::Defer(DeferReason::New { wait } | DeferReason::Early { wait }) => {
                (Some(wait), None)
            }
            Answer::Accept(AcceptReason::Passed { waited }) => (None, Some(waited)),
            Answer::Accept(_) | Answer::Reject(_) => (None, None),
        };
        let rule = outcome.answer.rule().map(|rule| policy.rules.rule(rule));
        Self {
            action,
            reason: outcome.answer.reason(),
            wait_seconds: wait.map(Secs::get),
            waited_seconds: waited.map(Secs::get),
            rule: rule.map(|rule| RuleSaid { list: rule.list.word(), entry: Shown(rule.text) }),
            reply,
            header,
            observed: Some(word(decided)).filter(|&decided| decided != action),
        }
    }
}

/// What the MTA is to do, in a word.
fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::NoObjection | Effect::AddHeader { .. } => "accept",
        Effect::Defer { .. } => "defer",
        Effect::Reject => "reject",
    }
}

impl<'a> ReplySaid<'a> {
    /// What `reply` says to `query`, rendered in `text`.
    pub(super) fn of(reply: &Reply, query: &Query<'_>, wait: Secs, text: &'a mut Vec<u8>) -> Self {
        Self {
            code: reply.code().get(),
            enhanced: reply.enhanced().map(|code| code.to_string()),
            text: rendered(reply.text(), query, wait, text),
        }
    }
}

impl<'a> HeaderSaid<'a> {
    /// The header of a message that has waited, rendered in `text`.
    pub(super) fn of(
        template: &Template,
        query: &Query<'_>,
        waited: Secs,
        text: &'a mut Vec<u8>,
    ) -> Self {
        Self { name: "X-Greylist", value: rendered(template, query, waited, text) }
    }
}

fn rendered<'a>(
    template: &Template,
    query: &Query<'_>,
    wait: Secs,
    text: &'a mut Vec<u8>,
) -> Cow<'a, str> {
    template.render(&Fields { query, wait }, text);
    String::from_utf8_lossy(text)
}
