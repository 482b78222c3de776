//! Which tuples are known, by their texts or by their ids. Reads on while mail is decided: one
//! shard's lock at a time, and that briefly.
//!
//! A listing takes a while, and what is known changes meanwhile: each tuple is shown as it is in the
//! moment that it is come to.

use std::net::IpAddr;
use std::ops::ControlFlow;

use greylist::{Secs, State, Timestamp, Tuple};
use ipnet::IpNet;
use store::TupleId;
use store::text::{Text, TextDamage};

use super::{AddressPattern, Service};

/// Between two looks at whether anybody still listens; some tenths of a millisecond.
const RECORDS_A_LOOK: u32 = 1_000;

/// Which tuples are wanted: those that match all that is given.
#[derive(Clone, Debug, Default)]
pub struct TupleFilter {
    /// The client that tried first is in this network.
    pub client: Option<IpNet>,
    /// The sender is like this.
    pub sender: Option<AddressPattern>,
    /// The recipient is like this.
    pub recipient: Option<AddressPattern>,
    /// The state is this.
    pub state: Option<State>,
    /// First tried (grey) or last used (white) longer ago than this.
    pub older: Option<Secs>,
    /// First tried (grey) or last used (white) less long ago than this.
    pub younger: Option<Secs>,
}

impl TupleFilter {
    /// Whether it asks for something that only a text can tell.
    pub fn asks_for_text(&self) -> bool {
        self.client.is_some() || self.sender.is_some() || self.recipient.is_some()
    }

    fn wants_text(&self, text: &Text<'_>) -> bool {
        let is_like = |wanted: &Option<AddressPattern>, address| {
            wanted.as_ref().is_none_or(|wanted| wanted.matches(address))
        };
        let is_in = |network: IpNet| network.contains(&text.client as &IpAddr);
        self.client.is_none_or(is_in)
            && is_like(&self.sender, text.sender.bytes())
            && is_like(&self.recipient, text.recipient.bytes())
    }

    fn wants_tuple(&self, tuple: Tuple, now: Timestamp) -> bool {
        let age = now.since(tuple.since);
        self.state.is_none_or(|state| tuple.state == state)
            && self.older.is_none_or(|older| age > older)
            && self.younger.is_none_or(|younger| age < younger)
    }
}

/// Whether tuples are listed of which no text is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only if there are no texts at all.
    WithText,
    /// Those too, by their ids: after the others, and each of the others comes a second time.
    All,
}

/// One tuple of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// Its id.
    pub id: TupleId,
    /// Its state now.
    pub tuple: Tuple,
    /// Its text, if it was found by that.
    pub text: Option<Text<'a>>,
}

/// What is to be said after a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingEnd {
    /// Tuples that are known and match, with and without text; not counted where a text would be
    /// needed to tell.
    pub known: Option<u64>,
    /// Texts that could not be read.
    pub damage: TextDamage,
}

/// Why there is no listing, or no end of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotListed {
    /// Texts are asked for, and there are none.
    NoTexts,
    /// Whoever was given tuples wants no more.
    Stopped,
}

impl Service {
    /// Gives all tuples that match and were known at the beginning to `give`, the newest texts first; `None` now and then in
    /// between, for a look at whether to go on. A tuple may come more than once; the first time
    /// counts. Takes as long as reading all texts and passing over all tuples takes: for a thread of
    /// its own.
    ///
    /// # Errors
    /// When there is nothing to list by, or `give` breaks off.
    pub fn list_tuples(
        &self,
        now: impl Fn() -> Timestamp,
        filter: &TupleFilter,
        extent: Extent,
        mut give: impl FnMut(Option<Listed<'_>>) -> ControlFlow<()>,
    ) -> Result<ListingEnd, NotListed> {
        let has_texts = self.texts().is_some_and(|texts| {
            texts.flush();
            texts.stats().segments > 0
        });
        if !has_texts && filter.asks_for_text() {
            return Err(NotListed::NoTexts);
        }
        let begun = now();
        let damage = self.list_by_texts(&now, filter, &mut give)?;
        // What was new after the beginning is in no text that was read.
        let wants = |tuple: Tuple, now| {
            let is_late = tuple.state == State::Grey && tuple.since >= begun;
            filter.wants_tuple(tuple, now) && !is_late
        };
        let known = match (filter.asks_for_text(), has_texts, extent) {
            (true, ..) => None,
            (false, true, Extent::WithText) => {
                // Only to count them.
                let look = |listed: Option<Listed<'_>>| match listed {
                    Some(_) => ControlFlow::Continue(()),
                    None => give(None),
                };
                Some(self.list_by_ids(&now, wants, look)?)
            }
            (false, false, _) | (false, _, Extent::All) => {
                Some(self.list_by_ids(&now, wants, give)?)
            }
        };
        Ok(ListingEnd { known, damage })
    }

    /// Gives the tuples that match and of which a text is kept, as [`Service::list_tuples`] does, and says
    /// nothing of others.
    ///
    /// # Errors
    /// When no texts are kept, or `give` breaks off.
    pub fn list_texts(
        &self,
        now: impl Fn() -> Timestamp,
        filter: &TupleFilter,
        mut give: impl FnMut(Option<Listed<'_>>) -> ControlFlow<()>,
    ) -> Result<TextDamage, NotListed> {
        self.texts().ok_or(NotListed::NoTexts)?.flush();
        self.list_by_texts(&now, filter, &mut give)
    }

    fn list_by_texts(
        &self,
        now: &impl Fn() -> Timestamp,
        filter: &TupleFilter,
        give: &mut impl FnMut(Option<Listed<'_>>) -> ControlFlow<()>,
    ) -> Result<TextDamage, NotListed> {
        let Some(texts) = self.texts() else { return Ok(TextDamage::default()) };
        let timing = self.policy().timing;
        let mut scan = texts.scan();
        let mut looked_at = 0_u32;
        while let Some(text) = scan.next_text() {
            let mut given = ControlFlow::Continue(());
            if filter.wants_text(&text) {
                let now = now();
                let tuple = self.store.peek_id(now, text.id);
                let tuple = tuple.filter(|&tuple| text.is_of(tuple, &timing));
                if let Some(tuple) = tuple.filter(|&tuple| filter.wants_tuple(tuple, now)) {
                    given = give(Some(Listed { id: text.id, tuple, text: Some(text) }));
                }
            }
            looked_at += 1;
            if looked_at.is_multiple_of(RECORDS_A_LOOK) && given.is_continue() {
                given = give(None);
            }
            if given.is_break() {
                return Err(NotListed::Stopped);
            }
        }
        Ok(scan.damage().clone())
    }

    /// Gives all that match, and says how many these are.
    fn list_by_ids(
        &self,
        now: &impl Fn() -> Timestamp,
        wants: impl Fn(Tuple, Timestamp) -> bool,
        mut give: impl FnMut(Option<Listed<'_>>) -> ControlFlow<()>,
    ) -> Result<u64, NotListed> {
        let mut count = 0;
        let mut shard = Vec::new();
        for index in 0..self.store.shard_count() {
            let now = now();
            shard.clear();
            self.store.scan_shard(index, now, &mut shard);
            for &(id, tuple) in shard.iter().filter(|(_, tuple)| wants(*tuple, now)) {
                count += 1;
                if give(Some(Listed { id, tuple, text: None })).is_break() {
                    return Err(NotListed::Stopped);
                }
            }
            if give(None).is_break() {
                return Err(NotListed::Stopped);
            }
        }
        Ok(count)
    }
}
