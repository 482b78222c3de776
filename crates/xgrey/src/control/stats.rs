//! What has been counted, as it crosses the control socket. `docs/statistics.md` says of each number
//! what it means and how they add up.

use serde::{Deserialize, Serialize};

use super::{DecisionCount, EventCount};

/// What has been counted over a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Queries that were decided: accepted, deferred and rejected ones together.
    pub requests: u64,
    /// Queries that were accepted.
    pub accepted: u64,
    /// Queries that were deferred.
    pub deferred: u64,
    /// Queries that were rejected.
    pub rejected: u64,
    /// Deferred: first tries of tuples, or the first after a window or lifetime was over.
    pub first_tries: u64,
    /// Deferred: retries within the embargo.
    pub early_retries: u64,
    /// Accepted: the retries that made a tuple white.
    pub passed: u64,
    /// Tuples that expired grey: they never came back in time. The mail that greylisting stopped.
    pub never_came_back: u64,
    /// Decisions by answer and reason.
    pub decisions: Vec<DecisionCount>,
    /// How long those that passed had waited.
    pub waits: Waits,
    /// What each list said.
    pub lists: Vec<ListCount>,
    /// What else became of tuples.
    pub tuples: TupleCounts,
    /// What else happened to requests and connections.
    pub events: Vec<EventCount>,
}

/// How long tuples had waited when they passed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Seconds, all waits together.
    pub seconds: u64,
    /// How many waited how long: each pass is in one of them.
    pub spread: Vec<WaitCount>,
}

/// Passes after a wait of some length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitCount {
    /// The longest wait that is counted here, in seconds; shorter ones are in the entry before. None for
    /// the last entry: all that is longer.
    pub up_to_seconds: Option<u32>,
    /// How many.
    pub passed: u64,
}

/// How often a list was asked, by what it said: by a rule or by its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCount {
    /// The list, such as `sender-domain`.
    pub list: String,
    /// It said greylist: the next list, or the tuple, was asked.
    pub greylist: u64,
    /// It said accept, and so decided.
    pub accept: u64,
    /// It said reject, and so decided.
    pub reject: u64,
}

/// What became of tuples other than by a query that an answer's reason tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleCounts {
    /// Grey, and their window was over.
    pub expired_grey: u64,
    /// White, and their lifetime was over.
    pub expired_white: u64,
    /// Grey, and given up for want of room.
    pub evicted_grey: u64,
    /// White, and given up for want of room.
    pub evicted_white: u64,
    /// Made white by hand, and unknown before.
    pub passed_unknown: u64,
    /// Made white by hand, and grey before.
    pub passed_grey: u64,
    /// Made white by hand, and white before.
    pub passed_white: u64,
    /// Asked to be forgotten, and unknown: nothing was done.
    pub forgotten_unknown: u64,
    /// Forgotten by hand, and grey.
    pub forgotten_grey: u64,
    /// Forgotten by hand, and white.
    pub forgotten_white: u64,
    /// New by an import.
    pub imported: u64,
    /// Queries of X-Grey clients that asked for a tuple to be made white and came as far as the tuple:
    /// they are among `accepted`, and not among `decisions`.
    pub asked_to_pass: u64,
}

/// What has been counted since the service first kept count, over all its starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceEver {
    /// When that was: RFC 3339, UTC. None: nothing is kept on disk, so this is since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How often the service has started since.
    pub starts: u64,
    /// Other services whose counts came with an import and are part of this.
    pub imported_from: u64,
    /// The counts.
    pub counted: Counted,
}

/// How many queries a second, a minute, an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// `second`, `minute` or `hour`: whole ones of UTC.
    pub per: String,
    /// In the last whole one.
    pub last: RateCount,
    /// In the one that had most queries, since the start.
    pub highest: RateCount,
    /// When that one began: RFC 3339, UTC. None before there was a query in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_at: Option<String>,
}

/// Queries in one second, minute or hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateCount {
    /// All together.
    pub requests: u64,
    /// Accepted.
    pub accepted: u64,
    /// Deferred.
    pub deferred: u64,
    /// Rejected.
    pub rejected: u64,
}
