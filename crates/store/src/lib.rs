//! What is remembered: for each tuple its state and time.
//!
//! [`TupleStore::touch`] is the one operation that makes greylisting atomic: look, decide, remember.
//! Never knows: what a key is made of, rules, protocols, sockets, clocks.

use greylist::{Timestamp, Touch, Tuple, TupleKey};

/// One attempt, to be remembered.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Whose.
    pub key: TupleKey,
}

/// Why a store could not answer.
#[derive(Debug)]
pub enum StoreError {}

/// A memory of tuples.
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
}
