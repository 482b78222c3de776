//! What greylisting is.
//!
//! An MTA asks whether a client may send from this sender to this recipient: a [`Query`]. The
//! [`RuleSet`](rules::RuleSet) may decide at once. Otherwise the query's [`identity`] becomes a
//! [`TupleKey`], a store says what is known of that tuple, and [`tuple::judge`] says what one more
//! attempt means. The result is an [`Answer`].
//!
//! Everything here is a function of its arguments. This crate never does I/O, reads no clock, makes
//! no random number, logs nothing and serialises nothing: a whole day of mail can be decided in a
//! test that takes a millisecond.

pub mod answer;
pub mod identity;
pub mod query;
pub mod reply;
pub mod rules;
pub mod timing;
pub mod tuple;

pub use answer::{AcceptReason, Answer, DeferReason, Effect};
pub use identity::{HashKey, Identity, TupleKey};
pub use query::{Client, Query, Trust};
pub use timing::{Secs, Timestamp, Timing};
pub use tuple::{State, Touch, Tuple};
