//! Taking an export in: into the store and the texts of a service, be it running or opened for this alone.
//!
//! ```text
//!  same hash key:   tuple ─▶ merge          text ─▶ merge, and if that was new: keep the text
//!  another:         tuple ─▶ of no use      text ─▶ the id that it has here ─▶ likewise
//! ```
//! Decisions go on meanwhile: tuples are merged some at a time, each atomically.
//!
//! Never knows: files, sockets.

use std::borrow::Cow;
use std::sync::Arc;

use greylist::{Client, Query, Timestamp, Tuple};
use store::journal::{Health, Note};
use store::{Merged, TupleId};
use thiserror::Error;

use super::header::Header;
use super::import::{Taken, Target, Terms};
use super::line::{Address, Entry, Text};
use crate::metrics;
use crate::service::Service;

/// So many are merged together: one write to the journal, 12 KiB.
const BATCH: usize = 1024;

/// What was taken in would not outlive the process.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("what was taken in last is not kept on disk: {why}")]
pub struct NotKept {
    /// Why not.
    pub why: String,
}

/// Takes an export in.
pub struct Receiver {
    service: Arc<Service>,
    now: Box<dyn Fn() -> Timestamp + Send>,
    terms: Terms,
    taken: Taken,
    tuples: Vec<(TupleId, Tuple)>,
    /// The tuples of `texts`.
    of_texts: Vec<(TupleId, Tuple)>,
    texts: Vec<Text<'static>>,
    merged: Vec<Merged>,
    scratch: Vec<u8>,
}

impl Receiver {
    /// Into what `service` remembers, at the times that `now` says.
    pub fn new(service: Arc<Service>, now: impl Fn() -> Timestamp + Send + 'static) -> Self {
        Self {
            service,
            now: Box::new(now),
            terms: Terms::TextsAlone,
            taken: Taken::default(),
            tuples: Vec::with_capacity(BATCH),
            of_texts: Vec::with_capacity(BATCH),
            texts: Vec::with_capacity(BATCH),
            merged: Vec::with_capacity(BATCH),
            scratch: Vec::new(),
        }
    }

    /// Merges what has been gathered. Texts first: theirs are the tuples that count as new.
    fn merge(&mut self) -> Result<(), NotKept> {
        let now = (self.now)();
        self.merged.clear();
        self.service.store().merge(now, &self.of_texts, &mut self.merged);
        for (text, &merged) in self.texts.drain(..).zip(&self.merged) {
            self.taken.texts.count(merged);
            if let (Merged::New, Some(log)) = (merged, self.service.texts()) {
                let (sender, recipient) = (kept(text.sender), kept(text.recipient));
                log.append(text.first_try, text.id, text.client, &sender, &recipient);
            }
        }
        if !self.of_texts.is_empty()
            && let Some(log) = self.service.texts()
        {
            log.flush();
        }
        self.of_texts.clear();
        self.merged.clear();
        self.service.store().merge(now, &self.tuples, &mut self.merged);
        self.tuples.clear();
        self.merged.drain(..).for_each(|merged| self.taken.tuples.count(merged));
        self.health()
    }

    fn health(&self) -> Result<(), NotKept> {
        match self.service.store().durability().map(|durability| durability.health) {
            Some(Health::Down(down)) => Err(NotKept { why: down.why.to_string() }),
            _ => Ok(()),
        }
    }

    /// The text under the id that its tuple has here; `None` if that can't be told.
    fn under_own_id<'a>(&mut self, text: Text<'a>) -> Option<Text<'a>> {
        if self.terms == Terms::All {
            return Some(text);
        }
        let (Address::Whole(sender), Address::Whole(recipient)) = (&text.sender, &text.recipient)
        else {
            return None;
        };
        let query = Query::new(Client::new(text.client), sender, recipient);
        let hash_key = self.service.store().hash_key();
        let key = self.service.policy().identity.key(hash_key, &query, &mut self.scratch);
        Some(Text { id: TupleId::of(key), ..text })
    }

    /// Takes a note in: what others have counted beside our own, everything else in place of what has the
    /// same name.
    fn take_note(&mut self, name: Cow<'_, [u8]>, value: Cow<'_, [u8]>) {
        let kept = if metrics::is_note_of_counts(&name) {
            metrics::take_in(self.service.store(), (self.now)(), value.into_owned())
        } else {
            self.set_note(name, value)
        };
        *(if kept { &mut self.taken.notes } else { &mut self.taken.notes_unusable }) += 1;
    }

    fn set_note(&self, name: Cow<'_, [u8]>, value: Cow<'_, [u8]>) -> bool {
        Note::new(name, Some(value.into_owned()))
            .is_ok_and(|note| self.service.store().set_note((self.now)(), &note).is_ok())
    }
}

impl Target for Receiver {
    type Error = NotKept;

    fn begin(&mut self, header: &Header) -> Result<Terms, NotKept> {
        let is_same = *self.service.store().hash_key() == header.hash_key;
        self.terms = if is_same { Terms::All } else { Terms::TextsAlone };
        Ok(self.terms)
    }

    fn take(&mut self, entry: Entry<'_>) -> Result<(), NotKept> {
        match entry {
            Entry::Tuple { .. } if self.terms == Terms::TextsAlone => {
                self.taken.tuples.unusable += 1;
            }
            Entry::Tuple { id, tuple } => self.tuples.push((id, tuple)),
            Entry::Text(text) => match self.under_own_id(text) {
                None => self.taken.texts.unusable += 1,
                Some(text) => {
                    self.of_texts.push((text.id, text.tuple));
                    self.texts.push(text.into_owned());
                }
            },
            Entry::Note { name, value } => self.take_note(name, value),
        }
        if self.tuples.len() >= BATCH || self.texts.len() >= BATCH {
            self.merge()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), NotKept> {
        self.merge()
    }

    fn taken(&self) -> Taken {
        self.taken
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("taken", &self.taken).finish_non_exhaustive()
    }
}

/// The bytes from which a log of texts makes the same address again.
fn kept(address: Address<'static>) -> Cow<'static, [u8]> {
    match address {
        Address::Whole(bytes) => bytes,
        // It was cut after 255 bytes: one more, and it will be again.
        Address::Cut(start) if start.len() >= 255 => [&start, b"~".as_slice()].concat().into(),
        Address::Cut(start) => start,
    }
}
