//! A state directory in which so many tuples are known, made without asking a server about each: with the
//! store that the service itself uses.
//!
//! The tuples are those that the load asks about. What they are known by (client's very address, sender and
//! recipient byte for byte) is what xgrey's profile `x-grey` says.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use greylist::{Client, HashKey, Identity, Query, State, Timestamp, Timing, Tuple};
use store::{Bound, CompactConfig, TupleId};

use super::questions::Questions;
use crate::clock;
use crate::state::{self, Sync};

/// Tuples put at once.
const BATCH: usize = 4096;

/// Makes `directory`, and lets the first `tuples` of `questions` be known there since just now.
///
/// # Errors
/// When there is something in it, or it can't be written to.
pub(super) fn state_of(
    directory: &Path,
    questions: &mut Questions,
    tuples: u64,
) -> anyhow::Result<()> {
    state::make_empty(directory)?;
    // Random enough: nobody aims for anything here.
    let hash_key = HashKey::new(*b"xgrey-bench key ");
    fs::write(directory.join("hash-key"), hash_key.as_bytes()).context("write hash-key")?;
    let config = CompactConfig {
        timing: Timing::X_GREY,
        // Known tuples may have three quarters of it.
        bound: Bound::for_capacity(tuples.saturating_mul(2)),
        hash_key: hash_key.clone(),
    };
    let now = Timestamp::from_unix_secs(clock::wall_secs());
    let store = state::open(directory, config, now, Sync::Never, &|_| {})?.store;
    let white = Tuple { state: State::White, since: now };
    let (mut batch, mut merged, mut scratch) = (Vec::with_capacity(BATCH), Vec::new(), Vec::new());
    for number in 0..tuples {
        let tuple = questions.known(number);
        let client = Client::new(IpAddr::V4(tuple.client));
        let query = Query::new(client, &tuple.sender, &tuple.recipient);
        let key = Identity::EXACT.key(&hash_key, &query, &mut scratch);
        batch.push((TupleId::of(key), white));
        if batch.len() == BATCH || number + 1 == tuples {
            merged.clear();
            store.merge(now, &batch, &mut merged);
            batch.clear();
        }
    }
    if let Err(why) = store.snapshot(now) {
        bail!("no snapshot: {why}");
    }
    store.sync(now);
    let known = store.stats().white;
    if known != tuples {
        bail!("{known} tuples are known in {}, not {tuples}", directory.display());
    }
    Ok(())
}
