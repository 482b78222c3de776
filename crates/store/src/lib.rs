//! What is remembered: for each tuple its state and time.
//!
//! [`TupleStore::touch`] is the one operation that makes greylisting atomic: look, decide, remember.
//! [`CompactStore`] keeps the tuples of one machine in memory, 8 bytes a slot.
//! Never knows: what a key is made of, rules, protocols, sockets, clocks.

mod compact;
#[cfg(test)]
mod conformance;
pub mod disk;
pub mod durable;
mod head;
mod id;
pub mod inspect;
pub mod journal;
pub mod notes;
mod refusal;
pub mod snapshot;
pub mod text;

pub use compact::{
    Bound, BoundTooSmall, CompactConfig, CompactStats, CompactStore, HugePages, NoHugePages,
};
pub use id::TupleId;
pub use refusal::Refusal;

use greylist::{Timestamp, Touch, Tuple, TupleKey};

/// One attempt, to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whose.
    pub key: TupleKey,
}

/// Why a store could not answer. A table in memory always can, so nothing is listed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {}

impl std::fmt::Display for StoreError {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

impl std::error::Error for StoreError {}

/// What became of a tuple that was put into a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Placed {
    /// It is remembered.
    Stored,
    /// Its window or lifetime was over already; now nothing is remembered under its key.
    Expired,
    /// Nothing could be forgotten to make room for it.
    NoRoom,
}

/// What became of a tuple that was put together with what a store knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Merged {
    /// Nothing was known; now it is remembered.
    New,
    /// Something was known; now something else is.
    Changed,
    /// What was known says as much, or more: nothing has changed.
    Known,
    /// Its window or lifetime was over already: nothing has changed.
    Expired,
    /// Nothing could be forgotten to make room for it.
    NoRoom,
}

/// A memory of tuples. Time is an argument, and a store's own time never runs backwards: a `now`
/// before the latest one it has been given counts as that latest one.
pub trait TupleStore {
    /// For each attempt, in order: looks its tuple up, decides with [`greylist::tuple::judge`] what
    /// the attempt means, remembers it, and appends the outcome to `touches`. Atomic for each
    /// attempt. A batch is one turn of a listener's loop.
    ///
    /// # Errors
    /// When nothing certain can be said; then `touches` is as it was, and the caller fails open.
    fn touch(
        &self,
        now: Timestamp,
        attempts: &[Attempt],
        touches: &mut Vec<Touch>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What is known of a tuple, changing nothing.
    ///
    /// # Errors
    /// When nothing certain can be said.
    fn peek(
        &self,
        now: Timestamp,
        key: TupleKey,
    ) -> impl Future<Output = Result<Option<Tuple>, StoreError>> + Send;

    /// Remembers `tuple` under `key`, in place of what is known of it. A `since` in the future
    /// counts as now.
    ///
    /// # Errors
    /// When it is not certain that it is remembered.
    fn put(
        &self,
        now: Timestamp,
        key: TupleKey,
        tuple: Tuple,
    ) -> impl Future<Output = Result<Placed, StoreError>> + Send;

    /// Forgets what is known of a tuple, and says what that was.
    ///
    /// # Errors
    /// When it is not certain that it is forgotten.
    fn forget(
        &self,
        now: Timestamp,
        key: TupleKey,
    ) -> impl Future<Output = Result<Option<Tuple>, StoreError>> + Send;
}
