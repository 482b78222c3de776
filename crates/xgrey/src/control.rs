//! The admin's way in: a UNIX socket in the runtime directory, mode 0600, one JSON object a line
//! each way. The command line uses it; later front ends for admins will use the same requests.
//!
//! ```text
//! {"command":"explain","client":"192.0.2.7","sender":"a@example.net","recipient":"b@example.org"}⏎
//! {"ok":{"answer":"defer", …}}⏎
//! ```
//! Answers of unknown length come in many lines, see [`stream`]. Root and the user that the service runs as may ask; the kernel says who asks.

pub mod backup;
pub mod client;
pub mod conversation;
pub mod rules;
pub mod server;
mod stats;
pub mod stream;
pub mod tuples;

use serde::{Deserialize, Serialize};

use crate::metrics::XGreyStats;
use crate::service::{Explanation, TupleChanged, TupleShown};

pub use self::backup::{ExportWanted, ImportOffered};
pub use self::rules::{
    ChangeRulesWanted, RuleChangeText, RuleChangedText, RuleShown, RulesChanged, RulesListed,
    RulesWanted,
};
pub use self::stats::{
    Counted, ListCount, Rate, RateCount, SinceEver, TupleCounts, WaitCount, Waits,
};
pub use self::tuples::{StateWanted, TupleListed, TupleNamed, TuplesListed, TuplesWanted};

/// The control socket's name in the runtime directory.
pub const SOCKET_NAME: &str = "control.sock";

/// Longest request line, in bytes: three addresses and a name of at most 256 bytes each, escaped.
pub const LINE_BYTES_MAX: u64 = 16 * 1024;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// What has been counted: [`Stats`].
    Stats,
    /// Rules with their hits: a stream of [`RuleShown`] and at its end [`RulesListed`].
    Rules(RulesWanted),
    /// Set rules, or remove them: [`RulesChanged`].
    ChangeRules(ChangeRulesWanted),
    /// Take the configuration anew: [`Reloaded`].
    Reload,
    /// What would be answered: an [`Explanation`].
    Explain(Question),
    /// The tuples that match: a stream of [`TupleListed`] and at its end [`TuplesListed`].
    Tuples(TuplesWanted),
    /// What is known of a tuple: a [`TupleShown`].
    ShowTuple(TupleNamed),
    /// Forget a tuple: [`TupleChanged`].
    ForgetTuple(TupleNamed),
    /// Make a tuple white: [`TupleChanged`].
    PassTuple(TupleNamed),
    /// The whole state: a stream of [`crate::backup::Chunk`] and at its end
    /// [`crate::backup::Totals`].
    Export(ExportWanted),
    /// Take in an export: see [`backup`].
    Import(ImportOffered),
}

/// A query to be explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The client's address.
    pub client: std::net::IpAddr,
    /// Its confirmed host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The envelope sender; empty for the null sender.
    pub sender: String,
    /// The envelope recipient.
    pub recipient: String,
}

/// What comes back: what was asked for, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T> {
    /// Done.
    Ok(T),
    /// Not done, and why.
    Error(String),
}

/// The answer to [`Request::Stats`]. Counts are since the start, unless they say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Version of the running program.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Decisions by answer and reason.
    pub decisions: Vec<DecisionCount>,
    /// What else happened to requests and connections.
    pub events: Vec<EventCount>,
    /// Connections open now.
    pub connections: u64,
    /// The memory of tuples.
    pub tuples: TupleStats,
    /// What of it outlives the process.
    pub disk: DiskStats,
    /// When the service started: RFC 3339, UTC.
    pub started: String,
    /// Now: RFC 3339, UTC.
    pub now: String,
    /// All that was counted since the start; `decisions` and `events` again among it.
    pub since_start: Counted,
    /// The same, over all starts.
    pub since_ever: SinceEver,
    /// Queries a second, a minute and an hour.
    pub rates: Vec<Rate>,
    /// X-Grey's own 41 numbers.
    pub x_grey: XGreyStats,
}

/// What of the tuples outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStats {
    /// `up`: all is kept; `mending`: new changes are, a snapshot of what was missed is being taken;
    /// `down`: nothing is; `off`: not wanted.
    pub journal: String,
    /// Why it is down or being mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_fault: Option<String>,
    /// Changes that are in memory alone, until a snapshot is taken.
    pub changes_not_kept: u64,
    /// Times that it went down.
    pub faults: u64,
    /// Changes that there have been, ever.
    pub changes: u64,
    /// Bytes written to the journal since the start.
    pub bytes_written: u64,
    /// Syncs to the disk since the start.
    pub syncs: u64,
    /// Bytes of journal that a start would have to read after the snapshot.
    pub tail_bytes: u64,
    /// Seconds since the last snapshot of this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_age_seconds: Option<u64>,
    /// Its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_bytes: Option<u64>,
    /// Why the last attempt at one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_fault: Option<String>,
    /// `kept`, `failing` or `off`: the addresses of tuples.
    pub text: String,
    /// Bytes that they take on disk.
    pub text_bytes: u64,
    /// Bytes that they may take.
    pub text_bytes_max: u64,
    /// Texts that could not be kept.
    pub text_dropped: u64,
    /// What went wrong with them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_fault: Option<String>,
}

/// How often one kind of answer was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCount {
    /// `accept`, `defer` or `reject`.
    pub action: String,
    /// The reason, as in the log.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCount {
    /// The event, in a word.
    pub event: String,
    /// How often.
    pub count: u64,
}

/// The table of tuples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TupleStats {
    /// Tuples tried and not yet passed.
    pub grey: u64,
    /// Tuples that passed.
    pub white: u64,
    /// Bytes that the table takes.
    pub bytes: u64,
    /// Bytes that it may take.
    pub bytes_max: u64,
    /// Whether full tables lie on huge pages, in words; why not, if they don't.
    pub huge_pages: String,
    /// Tuples whose time was over: grey and white ones together.
    pub expired: u64,
    /// Of these, those that were grey.
    pub expired_grey: u64,
    /// Of these, those that were white.
    pub expired_white: u64,
    /// Grey tuples forgotten before their time, for want of room.
    pub evicted_grey: u64,
    /// White tuples forgotten before their time, for want of room.
    pub evicted_white: u64,
    /// First tries accepted, since there was no room for them.
    pub no_room: u64,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The configuration that is now in force.
    pub configuration: String,
    /// What it says, in words.
    pub settings: String,
    /// What is worth knowing, such as settings that a restart is needed for.
    pub notes: Vec<String>,
}

/// All answers' types, for whoever dispatches on a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answered {
    /// To [`Request::Stats`].
    Stats(Stats),
    /// To [`Request::ChangeRules`].
    RulesChanged(RulesChanged),
    /// To [`Request::Reload`].
    Reload(Reloaded),
    /// To [`Request::Explain`].
    Explain(Explanation),
    /// To [`Request::ShowTuple`].
    Shown(TupleShown),
    /// To [`Request::ForgetTuple`] and [`Request::PassTuple`].
    Changed(TupleChanged),
}
