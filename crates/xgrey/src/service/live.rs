//! Rules that change while the service runs: set or removed by an admin or by an X-Grey client, in
//! force from then on, and after every start.
//!
//! ```text
//!  change_rules ─▶ a note in the store ─▶ acknowledged          rules_in_force
//!                  (journal, snapshot, export)   └─▶ pending ─▶ one new set for all that wait
//! ```
//! A live rule beats one that the configuration has for the same entry. A rule of the configuration
//! that is removed leaves a live mark which says so, until it is set again.
//!
//! Never knows: who may change rules, the words in which that is asked, the store's files.

use std::net::IpAddr;

use greylist::Timestamp;
use greylist::rules::{List, Pattern, Verdict};
use thiserror::Error;

use super::Service;

/// Live rules, at most, marks of removed ones included: about 300 MiB of them.
pub const LIVE_RULES_MAX: usize = 1_000_000;

/// One change.
#[derive(Clone, Debug)]
pub struct RuleChange {
    /// The list. A pattern that was made for another counts for that one.
    pub list: List,
    /// Which of its rules.
    pub entry: Entry,
    /// What becomes of it.
    pub what: What,
    /// What becomes of its count.
    pub hits: HitsKept,
}

/// A rule of a list, by what it matches.
#[derive(Clone, Debug)]
pub enum Entry {
    /// What counts where no rule matches.
    Default,
    /// The rule with this pattern.
    Pattern(Pattern),
}

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is there, and says this.
    Set(Verdict),
    /// It is not there, whatever the configuration says. A default can't be removed.
    Remove,
    /// It is as the configuration has it, now and after every reload.
    AsConfigured,
}

/// What becomes of a rule's hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitsKept {
    /// They go on, also when the rule is removed and set again, as X-Grey's for clients.
    Keep,
    /// They begin at 0, as X-Grey's for senders and recipients.
    Zero,
}

impl HitsKept {
    /// As X-Grey does it in `list` (X-Grey v1.1 protocol, section 5.5).
    pub const fn as_x_grey(list: List) -> Self {
        match list {
            List::Client | List::ClientName => Self::Keep,
            _ => Self::Zero,
        }
    }
}

/// Who changed a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Somebody at the control socket.
    Control {
        /// The user, by number.
        uid: u32,
    },
    /// An X-Grey client at this address.
    XGrey(IpAddr),
}

/// What a change came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleChanged {
    /// There was no such rule; now there is.
    Added,
    /// The rule (or default) said this before.
    Replaced(Verdict),
    /// The rule is gone; this is what it said.
    Removed(Verdict),
    /// Nothing: what was to be removed is not there, or is a default, or all is as configured.
    Nothing,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotChanged {
    /// There would be more than [`LIVE_RULES_MAX`].
    #[error(
        "there are {LIVE_RULES_MAX} rules already that were set while the service runs, which is \
         as many as are kept: write them to a file (xgrey ctl rules --file), name that in the \
         configuration ([[rules.file]]), and take them back"
    )]
    TooMany,
}

impl Service {
    /// Notes `changes`, in their order, all or none: on return they are as safe as a tuple. They
    /// are in force after the next [`rules_in_force`](Self::rules_in_force). What each came to is
    /// appended to `done`.
    ///
    /// # Errors
    /// When there would be too many live rules.
    pub fn change_rules(
        &self,
        _now: Timestamp,
        _by: By,
        changes: &[RuleChange],
        done: &mut Vec<RuleChanged>,
    ) -> Result<(), NotChanged> {
        done.extend(changes.iter().map(|_| RuleChanged::Nothing));
        Ok(())
    }

    /// Puts all changes noted so far in force, if there are any: one atomic look when there are
    /// none. To be called before a batch that must see them; else it happens within a tenth of a
    /// second.
    pub fn rules_in_force(&self, _now: Timestamp) {}
}
