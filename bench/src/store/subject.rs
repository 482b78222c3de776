//! The store that is measured, touched in batches as the service does, and what it answered.
//!
//! Never knows: what is measured, which numbers come when.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use anyhow::{anyhow, bail};
use greylist::{HashKey, Secs, Timing, Touch, Tuple};
use serde::Serialize;
use store::text::TextLog;
use store::{Attempt, CompactConfig, CompactStats, CompactStore, Placed, TupleId, TupleStore};

use super::numbers::{Keys, Timeline, time};
use super::report::{Kept, Text};
use crate::state::{self, Keeper, Sync, Time};

/// How long white tuples are known: the default.
const LIFETIME: Secs = Timing::DEFAULT.lifetime();

/// How often each answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answers {
    pub(crate) new: u64,
    pub(crate) early: u64,
    pub(crate) passed: u64,
    pub(crate) known: u64,
    pub(crate) no_room: u64,
}

impl Answers {
    pub(crate) const fn total(&self) -> u64 {
        self.new + self.early + self.passed + self.known + self.no_room
    }

    const fn count(&mut self, touch: Touch) {
        match touch {
            Touch::New { .. } => self.new += 1,
            Touch::Early { .. } => self.early += 1,
            Touch::Passed { .. } => self.passed += 1,
            Touch::Known => self.known += 1,
            Touch::NoRoom => self.no_room += 1,
        }
    }
}

impl AddAssign for Answers {
    fn add_assign(&mut self, other: Self) {
        self.new += other.new;
        self.early += other.early;
        self.passed += other.passed;
        self.known += other.known;
        self.no_room += other.no_room;
    }
}

/// Where and how a store is kept on disk.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    /// An empty directory.
    pub(crate) directory: PathBuf,
    pub(crate) sync: Sync,
    pub(crate) text: Text,
}

/// What a store is made with for `line` and `bound`.
///
/// # Errors
/// When the times make no timing.
pub(crate) fn config(line: &Timeline, bound: store::Bound) -> anyhow::Result<CompactConfig> {
    let timing = Timing::new(Secs::new(line.embargo), Secs::new(line.window), LIFETIME)?;
    // The bench makes keys from numbers; nothing is hashed with it.
    Ok(CompactConfig { timing, bound, hash_key: HashKey::new([7; 16]) })
}

/// A store, and a batch that is kept from one touch to the next.
pub(crate) struct Subject {
    store: Arc<CompactStore>,
    texts: Option<Arc<TextLog>>,
    keeper: Option<Keeper>,
    time: Time,
    keys: Keys,
    batch: usize,
    numbers: Vec<u64>,
    attempts: Vec<Attempt>,
    touches: Vec<Touch>,
    text: (Vec<u8>, Vec<u8>),
}

impl Subject {
    /// An empty store, in memory or kept, to be touched `batch` tuples at a time.
    ///
    /// # Errors
    /// When there is something in its directory, or it can't be written to.
    pub(crate) fn new(
        config: CompactConfig,
        keeping: Option<&Keeping>,
        keys: Keys,
        batch: usize,
    ) -> anyhow::Result<Self> {
        let clock = Time::default();
        clock.set(time(0));
        let mut subject = Self {
            store: Arc::new(CompactStore::new(config.clone())),
            texts: None,
            keeper: None,
            time: clock,
            keys,
            batch,
            numbers: Vec::with_capacity(batch),
            attempts: Vec::with_capacity(batch),
            touches: Vec::with_capacity(batch),
            text: (Vec::new(), Vec::new()),
        };
        if let Some(Keeping { directory, sync, text }) = keeping {
            state::make_empty(directory)?;
            if *text == Text::On {
                subject.texts = Some(Arc::new(state::open_texts(directory, &config)?));
            }
            let opened = state::open(directory, config, time(0), *sync, &|_| {})?;
            subject.store = Arc::new(opened.store);
            let (store, texts) = (&subject.store, subject.texts.as_ref());
            subject.keeper = Some(Keeper::start(store, texts, *sync, &subject.time));
        }
        Ok(subject)
    }

    /// One attempt for each of `numbers`, in batches; what was answered.
    pub(crate) fn touch(
        &mut self,
        second: u32,
        numbers: impl IntoIterator<Item = u64>,
    ) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        let mut numbers = numbers.into_iter();
        loop {
            self.attempts.clear();
            self.numbers.clear();
            for number in numbers.by_ref().take(self.batch) {
                self.numbers.push(number);
                self.attempts.push(Attempt { key: self.keys.key(number) });
            }
            if self.attempts.is_empty() {
                return Ok(answers);
            }
            self.touches.clear();
            ready(self.store.touch(time(second), &self.attempts, &mut self.touches))?;
            self.touches.iter().for_each(|&touch| answers.count(touch));
            self.keep_texts(second);
        }
    }

    /// Keeps the texts of what was new in the last batch.
    fn keep_texts(&mut self, second: u32) {
        let Some(texts) = &self.texts else { return };
        let (sender, recipient) = &mut self.text;
        for ((touch, attempt), &number) in
            self.touches.iter().zip(&self.attempts).zip(&self.numbers)
        {
            if matches!(touch, Touch::New { .. }) {
                let client = text_of(number, sender, recipient);
                let id = TupleId::of(attempt.key);
                texts.append(time(second), id, client, sender, recipient);
            }
        }
    }

    /// What is known of a tuple.
    pub(crate) fn peek(&self, second: u32, number: u64) -> anyhow::Result<Option<Tuple>> {
        Ok(ready(self.store.peek(time(second), self.keys.key(number)))?)
    }

    /// Remembers `tuple`, whatever was known.
    pub(crate) fn put(&self, second: u32, number: u64, tuple: Tuple) -> anyhow::Result<Placed> {
        Ok(ready(self.store.put(time(second), self.keys.key(number), tuple))?)
    }

    /// What the service does each second.
    pub(crate) fn second_passed(&self, second: u32) {
        self.time.set(time(second));
        self.store.sweep_some(time(second));
    }

    pub(crate) fn stats(&self) -> CompactStats {
        self.store.stats()
    }

    /// Ends the threads that look after it: from now on nothing happens but what is asked for.
    ///
    /// # Errors
    /// When one of them has panicked, or something went wrong on the disk.
    pub(crate) fn leave_alone(&mut self) -> anyhow::Result<()> {
        let seen = self.keeper.take().map(Keeper::stop).transpose()?.unwrap_or_default();
        match seen.faults.first() {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// When it could not be made.
    pub(crate) fn snapshot(&self, second: u32) -> anyhow::Result<()> {
        self.store.snapshot(time(second)).map_err(|why| anyhow!("no snapshot: {why}"))
    }

    /// Makes what was written outlive a power cut.
    pub(crate) fn sync(&self, second: u32) {
        self.store.sync(time(second));
    }

    /// Ends it. What of it was kept on disk, and how; none for a store in memory alone.
    ///
    /// # Errors
    /// When a thread that looked after it has panicked.
    pub(crate) fn finish(self) -> anyhow::Result<Option<Kept>> {
        let Some(keeper) = self.keeper else { return Ok(None) };
        let seen = keeper.stop()?;
        let Some(durability) = self.store.durability() else { return Ok(None) };
        let texts = self.texts.map(|texts| {
            texts.flush();
            texts.stats()
        });
        Ok(Some(Kept::new(&durability, seen, texts.as_ref())))
    }
}

/// Client, sender and recipient of a tuple: about as long as they are in mail.
fn text_of(number: u64, sender: &mut Vec<u8>, recipient: &mut Vec<u8>) -> IpAddr {
    for (address, name, at) in
        [(&mut *sender, "news-", "@lists.example.net"), (recipient, "user-", "@mail.example.org")]
    {
        address.clear();
        address.extend_from_slice(name.as_bytes());
        let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
        address.extend((0..9).rev().map(digit));
        address.extend_from_slice(at.as_bytes());
    }
    // 10.0.0.0/8.
    IpAddr::V4(Ipv4Addr::from_bits(10 << 24 | (number as u32 & 0x00ff_ffff)))
}

/// The outcome of a future that never waits.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("the compact store is ready at once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tuple_has_addresses_of_its_own() {
        let (mut sender, mut recipient) = (Vec::new(), Vec::new());
        let client = text_of(0x1_2345_6789, &mut sender, &mut recipient);
        assert_eq!(client, IpAddr::from([10, 0x45, 0x67, 0x89]));
        assert_eq!(sender, b"news-123456789@lists.example.net");
        assert_eq!(recipient, b"user-123456789@mail.example.org");
    }
}
