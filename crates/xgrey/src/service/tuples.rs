//! One tuple, named by what it is made of: shown, forgotten, or let pass.
//!
//! Like an explanation, what comes of it is made to be shown, and crosses the control socket as
//! JSON.

use std::ops::ControlFlow;

use greylist::{Query, State, Timestamp, Timing, Touch, Tuple, TupleKey};
use serde::{Deserialize, Serialize};
use store::text::Text;
use store::{Placed, StoreError, TupleId, TupleStore};
use thiserror::Error;

use super::explain::{identity, rfc3339};
use super::{IdentityShown, Policy, Service, TupleState};

/// A tuple's text, as it was kept when the tuple was new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextShown {
    /// The client's own address.
    pub client: String,
    /// The envelope sender, as it was asked about; bytes that are no UTF-8 are shown as `�`. Of an
    /// address longer than 255 bytes the first 255, and `…`.
    pub sender: String,
    /// The envelope recipient, likewise.
    pub recipient: String,
    /// When that was: RFC 3339, UTC.
    pub first_try: String,
}

impl From<&Text<'_>> for TextShown {
    fn from(text: &Text<'_>) -> Self {
        Self {
            client: text.client.to_string(),
            sender: shown(text.sender),
            recipient: shown(text.recipient),
            first_try: rfc3339(text.first_try),
        }
    }
}

fn shown(address: store::text::Address<'_>) -> String {
    let text = String::from_utf8_lossy(address.bytes());
    match address {
        store::text::Address::Whole(_) => text.into_owned(),
        store::text::Address::Cut(_) => format!("{text}…"),
    }
}

/// What is known of one tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleShown {
    /// What journal and listings call it: 15 hexadecimal digits.
    pub id: String,
    /// What it is made of.
    pub identity: IdentityShown,
    /// What is known.
    pub tuple: TupleState,
    /// Its text, if that is kept.
    pub text: Option<TextShown>,
}

/// What was done to one tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleChanged {
    /// What journal and listings call it: 15 hexadecimal digits.
    pub id: String,
    /// What it is made of.
    pub identity: IdentityShown,
    /// What was known before.
    pub before: TupleState,
    /// What is known now.
    pub tuple: TupleState,
}

/// Why nothing was done to a tuple.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// The store can't be asked.
    #[error("the store can't be asked: {0}")]
    Store(#[from] StoreError),
    /// The table is full.
    #[error(
        "the table of tuples is full, and nothing in it may be forgotten to make room; give it more \
         with memory or capacity in the configuration"
    )]
    NoRoom,
}

/// A tuple that a query names.
struct Named {
    key: TupleKey,
    id: TupleId,
    identity: IdentityShown,
    timing: Timing,
}

impl Service {
    /// What is known of the tuple that `query` belongs to, without its text, and what to look for
    /// the text with.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn show_tuple(
        &self,
        now: Timestamp,
        query: &Query<'_>,
    ) -> Result<(TupleShown, Option<TextSearch>), StoreError> {
        let Named { key, id, identity, timing } = self.named(query);
        let known = self.store.peek(now, key).await?;
        let search = known.map(|tuple| TextSearch { id, tuple, timing });
        let tuple = TupleState::of(known, &timing);
        Ok((TupleShown { id: id.to_string(), identity, tuple, text: None }, search))
    }

    /// Forgets the tuple that `query` belongs to: its next attempt is its first.
    ///
    /// # Errors
    /// When it is not certain that it is forgotten.
    pub async fn forget_tuple(
        &self,
        now: Timestamp,
        query: &Query<'_>,
    ) -> Result<TupleChanged, ChangeError> {
        let Named { key, id, identity, timing } = self.named(query);
        let before = TupleState::of(self.store.forget(now, key).await?, &timing);
        Ok(TupleChanged { id: id.to_string(), identity, before, tuple: TupleState::Unknown })
    }

    /// Makes the tuple that `query` belongs to white, used last now: its next attempt passes.
    ///
    /// # Errors
    /// When it is not certain that it is remembered.
    pub async fn pass_tuple(
        &self,
        now: Timestamp,
        query: &Query<'_>,
    ) -> Result<TupleChanged, ChangeError> {
        let Named { key, id, identity, timing } = self.named(query);
        let (before, white) = match self.make_white(now, key, query).await? {
            MadeWhite::Done { before, white } => (before, white),
            MadeWhite::NoRoom => return Err(ChangeError::NoRoom),
        };
        let [before, tuple] = [before, Some(white)].map(|tuple| TupleState::of(tuple, &timing));
        Ok(TupleChanged { id: id.to_string(), identity, before, tuple })
    }

    /// Makes a tuple white, used last now, and keeps its text if it was not known: so that a listing
    /// shows what was let pass.
    pub(super) async fn make_white(
        &self,
        now: Timestamp,
        key: TupleKey,
        query: &Query<'_>,
    ) -> Result<MadeWhite, StoreError> {
        let before = self.store.peek(now, key).await?;
        let white = Tuple { state: State::White, since: now };
        if self.store.put(now, key, white).await? == Placed::NoRoom {
            return Ok(MadeWhite::NoRoom);
        }
        if before.is_none() {
            self.keep_text(now, TupleId::of(key), query);
        }
        Ok(MadeWhite::Done { before, white })
    }

    /// Finds a tuple's text. Reads all texts if need be: for a thread of its own. `keep_on` is asked
    /// now and then.
    pub fn find_text(
        &self,
        search: &TextSearch,
        keep_on: impl Fn() -> ControlFlow<()>,
    ) -> Option<TextShown> {
        const RECORDS_A_LOOK: u32 = 10_000;
        let texts = self.texts()?;
        texts.flush();
        let mut scan = texts.scan();
        let mut looked_at = 0_u32;
        while let Some(text) = scan.next_text() {
            if text.id == search.id && text.is_of(search.tuple, &search.timing) {
                return Some(TextShown::from(&text));
            }
            let since = search.tuple.since;
            if search.tuple.state == State::Grey
                && text.first_try.after(search.timing.window()) < since
            {
                // What follows is older still.
                return None;
            }
            looked_at += 1;
            if looked_at.is_multiple_of(RECORDS_A_LOOK) && keep_on().is_break() {
                return None;
            }
        }
        None
    }

    /// Keeps the text of a query whose tuple is new, if texts are kept.
    pub(super) fn keep_text(&self, now: Timestamp, id: TupleId, query: &Query<'_>) {
        if let Some(texts) = &self.texts {
            texts.append(now, id, query.client.address(), query.sender, query.recipient);
        }
    }

    /// Keeps the text of a query, should its touch have made its tuple new.
    pub(super) fn keep_text_if_new(
        &self,
        now: Timestamp,
        key: TupleKey,
        touch: &Touch,
        query: &Query<'_>,
    ) {
        if matches!(touch, Touch::New { .. }) {
            self.keep_text(now, TupleId::of(key), query);
        }
    }

    fn named(&self, query: &Query<'_>) -> Named {
        let policy = self.policy();
        let policy: &Policy = &policy;
        let key = policy.identity.key(self.store.hash_key(), query, &mut Vec::new());
        let identity = identity(policy, query);
        Named { key, id: TupleId::of(key), identity, timing: policy.timing }
    }
}

/// What became of a tuple that was to be made white.
pub(super) enum MadeWhite {
    /// It is.
    Done {
        /// What was known of it.
        before: Option<Tuple>,
        /// What is known now.
        white: Tuple,
    },
    /// The table is full.
    NoRoom,
}

/// What a tuple's text is looked for with.
#[derive(Clone, Copy, Debug)]
pub struct TextSearch {
    id: TupleId,
    tuple: Tuple,
    timing: Timing,
}
