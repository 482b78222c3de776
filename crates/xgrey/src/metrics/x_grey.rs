//! What has been counted, in X-Grey's own numbers: the 41 of its answer to "show stats".
//!
//! The names, their order and what is counted when are those of the X-Grey v1.1 protocol, sections 4
//! and 5.4. Where ours can't be the same, the field says so.
//!
//! Never knows: how numbers are packed into a datagram, how they are shown.

use serde::{Deserialize, Serialize};

/// X-Grey's 41 numbers. On its wire each is a `u32`: what is larger is sent as the largest.
///
/// Unless a field says otherwise it counts since the start. A *cycle* is 300 s of service time, counted
/// from the start; `_cu` is its number in the last whole one, `_max` the highest of any, `_ave` the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct XGreyStats {
    /// When the service started, in Unix seconds.
    pub starttime: u64,
    /// Now, in Unix seconds.
    pub nowtime: u64,
    /// Tuples that are remembered now; those included that have expired since their part of the table
    /// was last swept.
    pub tuples: u64,
    /// Rules for clients, and one for the default.
    pub ips: u64,
    /// Queries for which the list of clients said greylist: by a rule or by its default.
    pub ip_greylist: u64,
    /// ... accept.
    pub ip_accept: u64,
    /// ... reject.
    pub ip_reject: u64,
    /// Tuples that were stored, at a first try or by hand. Never lowered.
    pub greylisted: u64,
    /// Tuples that are white now.
    pub whitelisted: u64,
    /// Tuples that are gone and were grey: expired, forgotten by hand, or given up for want of room.
    pub greylist_expired: u64,
    /// Tuples that are gone and were white, likewise.
    pub whitelist_expired: u64,
    /// Queries.
    pub requests: u64,
    /// ... in the last whole cycle.
    pub requests_cu: u64,
    /// ... in the cycle that had most.
    pub requests_cu_max: u64,
    /// ... in a whole cycle, in the mean, rounded to the nearest; 0 before the first has ended.
    pub requests_cu_ave: u64,
    /// Rules for senders, and one for the default.
    pub from: u64,
    /// Queries for which the list of senders said greylist.
    pub from_greylist: u64,
    /// ... accept.
    pub from_accept: u64,
    /// ... reject.
    pub from_reject: u64,
    /// Rules for domains of senders, and one for the default.
    pub fromd: u64,
    /// Queries for which the list of domains of senders said greylist.
    pub fromd_greylist: u64,
    /// ... accept.
    pub fromd_accept: u64,
    /// ... reject.
    pub fromd_reject: u64,
    /// Rules for recipients, and one for the default.
    pub to: u64,
    /// Queries for which the list of recipients said greylist.
    pub to_greylist: u64,
    /// ... accept.
    pub to_accept: u64,
    /// ... reject.
    pub to_reject: u64,
    /// Rules for domains of recipients, and one for the default.
    pub tod: u64,
    /// Queries for which the list of domains of recipients said greylist.
    pub tod_greylist: u64,
    /// ... accept.
    pub tod_accept: u64,
    /// ... reject.
    pub tod_reject: u64,
    /// Times that a tuple was looked up: for a query, by hand, for an import.
    pub tuples_read: u64,
    /// ... in the last whole cycle.
    pub tuples_read_cu: u64,
    /// ... in the cycle that had most.
    pub tuples_read_cu_max: u64,
    /// Always 0, as the original's.
    pub tuples_read_cu_ave: u64,
    /// Tuples that were stored, and whole cycles: each ended with a cleanup in the original.
    pub tuples_write: u64,
    /// ... in the last whole cycle.
    pub tuples_write_cu: u64,
    /// ... in the cycle that had most.
    pub tuples_write_cu_max: u64,
    /// Always 0, as the original's.
    pub tuples_write_cu_ave: u64,
    /// The fewest tuples that there were at the start or at the end of a cycle.
    pub tuples_low: u64,
    /// The most tuples that there were at any look: one each 10 s.
    pub tuples_high: u64,
}
