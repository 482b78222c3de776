//! What a store and the texts beside it have to be exported, be they a running service's or read from a
//! directory.

use greylist::{Timestamp, Tuple};
use store::text::{self, Scan, TextLog};
use store::{CompactStore, TupleId};

use super::export::{NextText, Source};
use super::header::Header;
use super::line::{Address, Text};

/// Notes that are handed out together.
const NOTES_TOGETHER: usize = 256;

/// A store and the texts beside it.
pub struct StateSource<'a> {
    store: &'a CompactStore,
    texts: Option<Scan<'a>>,
    now: &'a dyn Fn() -> Timestamp,
}

impl<'a> StateSource<'a> {
    /// Those, at the times that `now` says.
    pub fn new(
        store: &'a CompactStore,
        texts: Option<&'a TextLog>,
        now: &'a dyn Fn() -> Timestamp,
    ) -> Self {
        let texts = texts.map(|texts| {
            texts.flush();
            texts.scan()
        });
        Self { store, texts, now }
    }
}

impl Source for StateSource<'_> {
    fn header(&self) -> Header {
        Header {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            hash_key: self.store.hash_key().clone(),
            timing: self.store.timing(),
            time: (self.now)(),
        }
    }

    fn next_text(&mut self) -> NextText<'_> {
        let Some(text) = self.texts.as_mut().and_then(Scan::next_text) else {
            return NextText::Over;
        };
        let timing = self.store.timing();
        let known = self.store.peek_id((self.now)(), text.id);
        match known.filter(|&tuple| text.is_of(tuple, &timing)) {
            None => NextText::PassedOver,
            Some(tuple) => NextText::Known(Text {
                id: text.id,
                tuple,
                first_try: text.first_try,
                client: text.client,
                sender: kept(text.sender),
                recipient: kept(text.recipient),
            }),
        }
    }

    fn shard_count(&self) -> u32 {
        self.store.shard_count()
    }

    fn scan_shard(&mut self, index: u32, found: &mut Vec<(TupleId, Tuple)>) {
        self.store.scan_shard(index, (self.now)(), found);
    }

    fn notes_after(&mut self, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.store.notes_after(name, NOTES_TOGETHER)
    }
}

impl std::fmt::Debug for StateSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateSource").field("store", self.store).finish_non_exhaustive()
    }
}

fn kept(address: text::Address<'_>) -> Address<'_> {
    match address {
        text::Address::Whole(bytes) => Address::Whole(bytes.into()),
        text::Address::Cut(start) => Address::Cut(start.into()),
    }
}
