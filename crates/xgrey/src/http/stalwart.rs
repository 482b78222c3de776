//! Stalwart's MTA hooks, at the stages RCPT and DATA. Written from its documentation ("MTA Hooks: Request",
//! "Response", of 0.15 and 0.16).
//!
//! At RCPT each recipient is asked about by itself. At DATA, where alone a header can be added, nothing is
//! asked again: what was answered at RCPT is remembered in a small table that never grows. A hook that is
//! called at DATA alone is asked about all recipients there.
//!
//! Of a message only the envelope before it is looked at: bodies may be cut.
//!
//! Never knows: sockets, headers, what is decided.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::{Client, Effect, Query, Secs, Trust};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::{HeaderSaid, ReplySaid, bare};
use super::mistake::Mistake;
use crate::service::{Outcome, Policy};

/// The most recipients that are asked about in one request.
const RECIPIENTS_MAX: usize = 256;

/// Whether a body came whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It did.
    Whole,
    /// This is its beginning.
    Cut,
}

/// What Stalwart tells, as far as it is looked at.
#[derive(Debug, Default)]
pub struct Hook<'a> {
    context: Option<Context<'a>>,
    envelope: Option<Envelope<'a>>,
}

#[derive(Debug, Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    stage: Text<'a>,
    #[serde(borrow)]
    client: Connected<'a>,
    #[serde(borrow, default)]
    sasl: Option<Sasl<'a>>,
    #[serde(borrow, default)]
    queue: Option<Queue<'a>>,
}

#[derive(Debug, Deserialize)]
struct Connected<'a> {
    ip: IpAddr,
    #[serde(default)]
    port: Option<u16>,
    #[serde(borrow, default)]
    ehlo: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct Sasl<'a> {
    #[serde(borrow, default)]
    login: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct Queue<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
}

#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    from: Option<Address<'a>>,
    #[serde(borrow, default)]
    to: Vec<Address<'a>>,
}

#[derive(Debug, Deserialize)]
struct Address<'a> {
    #[serde(borrow, default)]
    address: Text<'a>,
}

/// A text; nothing counts as the empty one.
#[derive(Debug, Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfText;
        impl<'de> Visitor<'de> for OfText {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(text.to_owned().into()))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(OfText)
    }
}

/// Fills in what it finds, so that what was found before a body was cut is there.
impl<'de> DeserializeSeed<'de> for &mut Hook<'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Hook<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with context and envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            match &*key {
                "context" => self.context = Some(map.next_value()?),
                "envelope" => self.envelope = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// When Stalwart asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// After a recipient was named: the last of the envelope.
    Rcpt,
    /// After the message has come.
    Data,
    /// At another time: nothing is decided then.
    Other,
}

impl<'a> Hook<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is not of that kind, or was cut before the envelope's end; with what is wrong, and where.
    pub fn parse(body: &'a [u8], extent: Extent) -> Result<Self, Mistake> {
        let mut hook = Hook::default();
        let mut json = serde_json::Deserializer::from_slice(body);
        let read = (&mut hook).deserialize(&mut json).and_then(|()| json.end());
        match read {
            Err(error) if extent == Extent::Cut && error.is_eof() => {}
            read => read.map_err(|error| Mistake::of(&error))?,
        }
        let recipients = hook.envelope.as_ref().map(|envelope| envelope.to.len());
        match (hook.context.is_some(), hook.stage(), recipients) {
            (false, ..) => Err(Mistake::new("no `context`")),
            (true, Stage::Other, _) => Ok(hook),
            (true, _, None | Some(0)) => Err(Mistake::new("no recipient in `envelope`")),
            (true, Stage::Data, Some(count)) if count > RECIPIENTS_MAX => {
                Err(Mistake::new(format!("more than {RECIPIENTS_MAX} recipients in `envelope`")))
            }
            _ => Ok(hook),
        }
    }

    /// When it asks.
    pub fn stage(&self) -> Stage {
        let stage = self.context.as_ref().map_or("", |context| &context.stage.0);
        match stage {
            _ if stage.eq_ignore_ascii_case("rcpt") => Stage::Rcpt,
            _ if stage.eq_ignore_ascii_case("data") => Stage::Data,
            _ => Stage::Other,
        }
    }

    /// How many recipients the envelope has.
    pub fn recipients(&self) -> usize {
        self.envelope.as_ref().map_or(0, |envelope| envelope.to.len())
    }

    /// What it asks at RCPT, or could ask at DATA: all recipients. Nothing at other times.
    pub fn queries(&self) -> Vec<Query<'_>> {
        let (Some(context), Some(envelope)) = (&self.context, &self.envelope) else {
            return Vec::new();
        };
        let asked = match self.stage() {
            Stage::Rcpt => envelope.to.last().map(std::slice::from_ref).unwrap_or_default(),
            Stage::Data => &envelope.to[..],
            Stage::Other => &[],
        };
        let sender = envelope.from.as_ref().map_or("", |from| &from.address.0);
        let logged_in = context.sasl.as_ref().is_some_and(|sasl| !sasl.login.0.is_empty());
        let asked = asked.iter().map(|to| Query {
            helo: context.client.ehlo.0.as_bytes(),
            trust: if logged_in { Trust::Authenticated } else { Trust::Stranger },
            queue_id: context.queue.as_ref().map_or("", |queue| &queue.id.0).as_bytes(),
            ..Query::new(Client::new(context.client.ip), bare(sender), bare(&to.address.0))
        });
        asked.collect()
    }

    /// What tells its message from others that are under way: who connects, from which port, from which
    /// sender.
    fn conversation(&self) -> Option<(IpAddr, Option<u16>, &str)> {
        let client = &self.context.as_ref()?.client;
        let from = self.envelope.as_ref().and_then(|envelope| envelope.from.as_ref());
        Some((client.ip, client.port, from.map_or("", |from| &from.address.0)))
    }
}

/// What was answered at RCPT to messages under way.
#[derive(Debug)]
pub struct Remembered {
    hasher: RandomState,
    /// Half of the conversation's hash, then how long it waited.
    slots: Box<[AtomicU64]>,
}

/// Messages remembered. From RCPT to DATA it is seconds, as a rule; one that is pushed out by another is
/// asked about once more, and then known, so it only lacks its header.
const SLOTS: usize = 4_096;
/// In place of a wait: none.
const DID_NOT_WAIT: u32 = u32::MAX;

impl Default for Remembered {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), slots }
    }
}

impl Remembered {
    fn slot(&self, hook: &Hook<'_>) -> Option<(&AtomicU64, u32)> {
        let hash = self.hasher.hash_one(hook.conversation()?);
        // Never that of an empty slot.
        Some((&self.slots[hash as usize % SLOTS], (hash >> 32) as u32 | 1))
    }

    /// Remembers what was done at RCPT.
    pub fn note(&self, hook: &Hook<'_>, effect: Effect) {
        let Some((slot, half)) = self.slot(hook) else { return };
        let waited = match effect {
            Effect::AddHeader { waited } => waited.get().min(DID_NOT_WAIT - 1),
            Effect::NoObjection | Effect::Defer { .. } | Effect::Reject => DID_NOT_WAIT,
        };
        let (known, before) = halves(slot.load(Relaxed));
        // The first recipient begins a message; later ones add to what is known of it.
        let goes_on = known == half && hook.recipients() > 1;
        let waited = match (goes_on, before) {
            (true, before) if before != DID_NOT_WAIT => before,
            _ => waited,
        };
        slot.store(u64::from(half) << 32 | u64::from(waited), Relaxed);
    }

    /// Whether the message was asked about at RCPT, and how long it had waited then. Forgets it.
    pub fn take(&self, hook: &Hook<'_>) -> Option<Option<Secs>> {
        let (slot, half) = self.slot(hook)?;
        let whole = slot.load(Relaxed);
        let (known, waited) = halves(whole);
        if known != half {
            return None;
        }
        // Should another message have come in between, it stays.
        let _ = slot.compare_exchange(whole, 0, Relaxed, Relaxed);
        Some((waited != DID_NOT_WAIT).then_some(Secs::new(waited)))
    }
}

fn halves(whole: u64) -> (u32, u32) {
    ((whole >> 32) as u32, whole as u32)
}

/// Of what came of a message's recipients, what counts for the whole of it: what refuses before what
/// delays, and that before what passes; if all pass, that one has waited.
pub(super) fn strictest(outcomes: &[Outcome]) -> Effect {
    let rank = |effect: &Effect| match effect {
        Effect::NoObjection => 0,
        Effect::AddHeader { .. } => 1,
        Effect::Defer { .. } => 2,
        Effect::Reject => 3,
    };
    let effects = outcomes.iter().map(|outcome| outcome.effect);
    effects.max_by_key(rank).unwrap_or(Effect::NoObjection)
}

/// What Stalwart is to do.
#[derive(Debug, Serialize)]
struct HookSaid<'a> {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseSaid<'a>>,
    modifications: Vec<AddHeader<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseSaid<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    enhanced_status: Option<String>,
    message: Cow<'a, str>,
    disconnect: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "addHeader")]
struct AddHeader<'a> {
    name: &'static str,
    value: Cow<'a, str>,
}

/// The answer that lets a message go on.
pub(super) const ACCEPTED: &str = "{\"action\":\"accept\",\"modifications\":[]}\n";

/// What Stalwart is to do about `query`, at a stage that may add a header or not.
pub(super) fn encode(policy: &Policy, query: &Query<'_>, effect: Effect, stage: Stage) -> String {
    let mut text = Vec::new();
    let mut said = HookSaid { action: "accept", response: None, modifications: Vec::new() };
    let reply = match (effect, policy.replies.header()) {
        (Effect::Defer { wait }, _) => Some((policy.replies.defer(), wait)),
        (Effect::Reject, _) => Some((policy.replies.reject(), Secs::new(0))),
        (Effect::AddHeader { waited }, Some(header)) if stage == Stage::Data => {
            let HeaderSaid { name, value } = HeaderSaid::of(header, query, waited, &mut text);
            said.modifications.push(AddHeader { name, value });
            None
        }
        _ => None,
    };
    let mut text = Vec::new();
    if let Some((reply, wait)) = reply {
        let ReplySaid { code, enhanced, text } = ReplySaid::of(reply, query, wait, &mut text);
        let (enhanced_status, message) = (enhanced, text);
        said.action = "reject";
        said.response =
            Some(ResponseSaid { status: code, enhanced_status, message, disconnect: false });
    }
    // These types cannot fail.
    let mut json = serde_json::to_string(&said).unwrap_or_else(|_| ACCEPTED.trim_end().to_owned());
    json.push('\n');
    json
}
