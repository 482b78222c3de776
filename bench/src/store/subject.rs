//! The store that is measured, touched in batches as the service does, and what it answered.
//!
//! Never knows: what is measured, which numbers come when.

use std::ops::AddAssign;
use std::task::{Context, Poll, Waker};

use greylist::{HashKey, Secs, Timing, Touch, Tuple};
use serde::Serialize;
use store::{Attempt, CompactConfig, CompactStats, CompactStore, Placed, TupleStore};

use super::numbers::{Keys, time};
use super::plan::Plan;

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

/// A store, and a batch that is kept from one touch to the next.
pub(super) struct Subject {
    store: CompactStore,
    keys: Keys,
    batch: usize,
    attempts: Vec<Attempt>,
    touches: Vec<Touch>,
}

impl Subject {
    /// An empty store for `plan`, to be touched `batch` tuples at a time.
    ///
    /// # Errors
    /// When the plan's times make no timing.
    pub(super) fn new(plan: &Plan, keys: Keys, batch: usize) -> anyhow::Result<Self> {
        let (embargo, window) = (Secs::new(plan.line.embargo), Secs::new(plan.line.window));
        let timing = Timing::new(embargo, window, LIFETIME)?;
        // The bench makes keys from numbers; nothing is hashed here.
        let hash_key = HashKey::new([7; 16]);
        let store = CompactStore::new(CompactConfig { timing, bound: plan.bound, hash_key });
        Ok(Self {
            store,
            keys,
            batch,
            attempts: Vec::with_capacity(batch),
            touches: Vec::with_capacity(batch),
        })
    }

    /// One attempt for each of `numbers`, in batches; what was answered.
    pub(super) fn touch(
        &mut self,
        second: u32,
        numbers: impl IntoIterator<Item = u64>,
    ) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        let mut numbers = numbers.into_iter();
        loop {
            self.attempts.clear();
            let batch = numbers.by_ref().take(self.batch);
            self.attempts.extend(batch.map(|number| Attempt { key: self.keys.key(number) }));
            if self.attempts.is_empty() {
                return Ok(answers);
            }
            self.touches.clear();
            ready(self.store.touch(time(second), &self.attempts, &mut self.touches))?;
            self.touches.iter().for_each(|&touch| answers.count(touch));
        }
    }

    /// What is known of a tuple.
    pub(super) fn peek(&self, second: u32, number: u64) -> anyhow::Result<Option<Tuple>> {
        Ok(ready(self.store.peek(time(second), self.keys.key(number)))?)
    }

    /// Remembers `tuple`, whatever was known.
    pub(super) fn put(&self, second: u32, number: u64, tuple: Tuple) -> anyhow::Result<Placed> {
        Ok(ready(self.store.put(time(second), self.keys.key(number), tuple))?)
    }

    /// What the service does each second.
    pub(super) fn second_passed(&self, second: u32) {
        self.store.sweep_some(time(second));
    }

    pub(super) fn stats(&self) -> CompactStats {
        self.store.stats()
    }
}

/// The outcome of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => unreachable!("the compact store is ready at once"),
    }
}
