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

mod listing;
mod note;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use greylist::Timestamp;
use greylist::rules::{List, Pattern, Verdict};
use parking_lot::Mutex;
use store::CompactStore;
use store::journal::Note;
use thiserror::Error;

pub use self::listing::RuleListed;
use self::note::Key;
use self::state::{Arrival, State};
use super::{Policy, Service};

/// Live rules, at most, marks of removed ones included. By estimate each takes 500 bytes: its note in
/// the store, what is known of it here, and its place in the set. That is 500 MB.
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

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control { uid } => write!(f, "uid {uid}"),
            Self::XGrey(address) => write!(f, "x-grey {address}"),
        }
    }
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
         as many as are kept: write them to a file (xgrey ctl rules --format rules), name that in the \
         configuration ([[rules.file]]), and take them back"
    )]
    TooMany,
}

/// The rules that were changed while the service runs, and what is still to be done with them.
#[derive(Debug)]
pub(super) struct Live {
    state: Mutex<State>,
    /// Whether there is anything to be put in force.
    is_pending: AtomicBool,
}

/// Notes that could not be read: told in one line each up to so many.
const UNREADABLE_TOLD_MAX: usize = 20;

impl Live {
    /// Reads the live rules that `store` keeps, and puts them in force in `policy`.
    pub(super) fn new(store: &CompactStore, policy: &mut Policy) -> Self {
        let mut state = State::new(&policy.rules);
        let (mut unreadable, mut misnamed) = (0, Vec::new());
        for notes in store.note_portions() {
            for (name, value) in notes.iter().filter(|(name, _)| note::is_rule(name)) {
                match state.recall(name, value) {
                    Ok(key) => misnamed.extend(key.map(|key| (name.clone(), key))),
                    Err(why) => {
                        unreadable += 1;
                        if unreadable <= UNREADABLE_TOLD_MAX {
                            tell_unreadable(name, &why);
                        }
                    }
                }
            }
        }
        if unreadable > UNREADABLE_TOLD_MAX {
            tracing::error!(
                target: "rules",
                "and {} more such rules", unreadable - UNREADABLE_TOLD_MAX
            );
        }
        rename(store, &state, misnamed);
        policy.rules = state.applied_to(&policy.rules);
        Self { state: Mutex::new(state), is_pending: AtomicBool::new(false) }
    }
}

/// Gives notes the names that they have today: else a change would not replace them.
fn rename(store: &CompactStore, state: &State, misnamed: Vec<(Vec<u8>, Key)>) {
    let now = store.newest_time();
    for (old_name, key) in misnamed {
        let renamed = note::write(&key, state.rules.get(&key)).into_iter();
        let notes: Vec<_> = renamed.chain(Note::new(old_name, None).ok()).collect();
        if let Err(why) = store.append_notes(now, &notes) {
            tracing::error!(target: "rules", "a rule is kept under an old name: {why}");
        }
    }
    store.commit_notes();
}

fn tell_unreadable(name: &[u8], why: &note::Unreadable) {
    tracing::error!(
        target: "rules",
        "the rule \"{}\", which was set while the service ran, is not in force: {why}; set it again, \
         or go back to the version that wrote it",
        name.escape_ascii()
    );
}

impl Service {
    /// Notes `changes`, in their order, or refuses all: on return they are as safe as a tuple. They
    /// are in force after the next [`rules_in_force`](Self::rules_in_force). What each came to is
    /// appended to `done`.
    ///
    /// # Errors
    /// When there would be too many live rules.
    pub fn change_rules(
        &self,
        now: Timestamp,
        by: By,
        changes: &[RuleChange],
        done: &mut Vec<RuleChanged>,
    ) -> Result<(), NotChanged> {
        {
            let mut state = self.live.state.lock();
            let (staged, outcomes) = state.stage(now, by, changes)?;
            let notes: Vec<_> =
                staged.iter().filter_map(|(key, rule)| note::write(key, rule.as_ref())).collect();
            // Under the lock, so that the notes of one rule come in the order of its changes.
            self.store.append_notes(now, &notes).map_err(|_| NotChanged::TooMany)?;
            state.settle(staged, changes, &outcomes);
            done.extend(outcomes);
            self.live.is_pending.store(true, Ordering::Release);
        }
        self.store.commit_notes();
        Ok(())
    }

    /// How many rules were set or removed while the service ran, and are in force.
    pub fn live_rules(&self) -> usize {
        self.live.state.lock().rules.len()
    }

    /// Puts all changes noted so far in force, if there are any: one atomic look when there are
    /// none. To be called before a batch that must see them; else it happens within a tenth of a
    /// second. It takes as long as the lists that are changed take to be put together.
    pub fn rules_in_force(&self, now: Timestamp) {
        if self.live.is_pending.load(Ordering::Acquire) {
            self.finish_changes(now, &mut self.live.state.lock());
        }
    }

    /// What is to be done ten times a second: puts changes in force that nobody waits for, and takes
    /// over the hits that were counted in sets which those replaced.
    pub fn look_after_rules(&self, now: Timestamp) {
        let mut state = self.live.state.lock();
        self.finish_changes(now, &mut state);
        state.take_over_retired(now, &self.policy().rules);
    }

    /// Puts a new policy in force, whole, with the live rules in it. Hit counts of rules that both
    /// have go on, and so do tuples, under the new timing.
    pub fn replace_policy(&self, now: Timestamp, policy: Policy) {
        let mut state = self.live.state.lock();
        // What waits is put in force first, so that its counts are what they are to be.
        self.finish_changes(now, &mut state);
        state.configured = policy.rules.clone();
        let rules = state.applied_to(&policy.rules);
        self.store.retime(now, policy.timing);
        self.put_in_force(now, &mut state, Policy { rules, ..policy });
    }

    fn finish_changes(&self, now: Timestamp, state: &mut State) {
        if state.has_pending() {
            let policy = self.policy.load_full();
            let rules = state.build(&policy.rules);
            self.put_in_force(now, state, Policy { rules, ..Policy::clone(&policy) });
        }
        self.live.is_pending.store(false, Ordering::Release);
    }

    fn put_in_force(&self, now: Timestamp, state: &mut State, policy: Policy) {
        let policy = Arc::new(policy);
        let old = self.policy.swap(Arc::clone(&policy));
        state.retire(now, old, &policy.rules);
    }

    /// Takes in live rules that were exported, as notes by name and value, and says how many of them
    /// it could. Of two for the same entry the one that was set later counts.
    pub fn take_in_rules(&self, now: Timestamp, notes: &[(Vec<u8>, Vec<u8>)]) -> usize {
        let mut taken = 0;
        {
            let mut state = self.live.state.lock();
            for (name, value) in notes {
                match state.arrive(value) {
                    Ok(Arrival::New { key, entry, rule }) => {
                        let note = note::write(&key, Some(&rule));
                        let kept = note.is_some_and(|note| {
                            self.store.append_notes(now, std::slice::from_ref(&note)).is_ok()
                        });
                        if kept {
                            state.install(key, &entry, rule);
                            taken += 1;
                        }
                    }
                    Ok(Arrival::Known) => taken += 1,
                    Ok(Arrival::NoRoom) => {}
                    Err(why) => tell_unreadable(name, &why),
                }
            }
            self.live.is_pending.store(true, Ordering::Release);
        }
        self.store.commit_notes();
        taken
    }
}

/// Whether a note of an export is a live rule, for [`Service::take_in_rules`].
pub fn is_rule_note(name: &[u8]) -> bool {
    note::is_rule(name)
}
