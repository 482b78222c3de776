//! Rules as they cross the control socket: listed, and changed.

use greylist::rules::{List, Pattern, PatternError, Verdict};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::service::{Entry, HitsKept, RuleChange, RuleChanged, What};

/// The entry that names a list's default.
pub const DEFAULT_ENTRY: &str = "default";

/// Which rules are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesWanted {
    /// Those of one list, such as `sender-domain`; else of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// Those alone that were set or removed while the service runs.
    #[serde(skip_serializing_if = "is_false")]
    pub live: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// One rule. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleShown {
    /// The list it stands in, such as `sender-domain`.
    pub list: String,
    /// `accept`, `reject` or `greylist`; of a removed one, what it said.
    pub verdict: String,
    /// What it matches, as it is written in a rules file; `default` for a list's default.
    pub pattern: String,
    /// This is the list's default, and not a rule whose pattern is called so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub default: bool,
    /// How often it matched since the start, or since it was set anew.
    pub hits: u64,
    /// When it matched last since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_hit: Option<String>,
    /// Where it is written, `FILE:LINE`; `live` if it was set while the service runs; `built-in`
    /// for a default that nobody set.
    pub origin: Option<String>,
    /// When it was set or removed, if that was while the service runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Who did that: `uid 0`, or `x-grey 127.0.0.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// It stands in the configuration, at `origin`, and was removed while the service runs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
}

/// How a listing of rules ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesListed {
    /// How many were listed, removed ones and defaults included.
    pub rules: u64,
}

/// Changes to be made, all or none, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRulesWanted {
    /// What is to be changed.
    pub changes: Vec<RuleChangeText>,
    /// More will be asked for at once: these need not be in force yet when the answer comes. A long
    /// list goes in many requests, and then the rules are put together once.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more_follow: bool,
}

/// One change, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChangeText {
    /// The list, such as `client` or `sender-domain`.
    pub list: String,
    /// What is to be matched, as in a rules file; `default` for the list's default.
    pub entry: String,
    /// `accept`, `reject` or `greylist`; `remove`; or `configured`, to take back what was changed
    /// live.
    pub verdict: String,
}

/// What the changes came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesChanged {
    /// Of each change, in their order.
    pub done: Vec<RuleChangedText>,
    /// Why a restart would forget them, if it would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_kept: Option<String>,
}

/// What one change came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChangedText {
    /// The list.
    pub list: String,
    /// The entry in its canonical form.
    pub entry: String,
    /// `added`, `replaced`, `removed` or `nothing`.
    pub outcome: String,
    /// What the rule said before, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// Why a text is no change. `Display` says it, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoChange {
    /// There is no such list.
    #[error(
        "there is no list \"{0}\": use client, client-name, sender, sender-domain, recipient or \
         recipient-domain"
    )]
    List(String),
    /// That is no verdict.
    #[error("\"{0}\" is no verdict: use accept, reject, greylist, remove or configured")]
    Verdict(String),
    /// That is no entry of the list.
    #[error("invalid entry \"{text}\": {why}")]
    Entry {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: PatternError,
    },
}

impl RuleChangeText {
    /// The same, checked. Counts are kept or not as X-Grey does.
    ///
    /// # Errors
    /// When something in it is not what it should be.
    pub fn parse(&self) -> Result<RuleChange, NoChange> {
        let list = List::parse(&self.list).ok_or_else(|| NoChange::List(self.list.clone()))?;
        let what = match self.verdict.to_ascii_lowercase().as_str() {
            "remove" => What::Remove,
            "configured" => What::AsConfigured,
            word => {
                let verdict = Verdict::parse(word);
                What::Set(verdict.ok_or_else(|| NoChange::Verdict(self.verdict.clone()))?)
            }
        };
        let entry = if self.entry.eq_ignore_ascii_case(DEFAULT_ENTRY) {
            Entry::Default
        } else {
            let wrong = |why| NoChange::Entry { text: self.entry.clone(), why };
            Entry::Pattern(Pattern::parse(list, &self.entry).map_err(wrong)?)
        };
        Ok(RuleChange { list, entry, what, hits: HitsKept::as_x_grey(list) })
    }
}

impl RuleChangedText {
    /// What `change` came to, in words.
    pub fn of(change: &RuleChange, changed: RuleChanged) -> Self {
        let (outcome, before) = match changed {
            RuleChanged::Added => ("added", None),
            RuleChanged::Replaced(before) => ("replaced", Some(before)),
            RuleChanged::Removed(before) => ("removed", Some(before)),
            RuleChanged::Nothing => ("nothing", None),
        };
        let (list, entry) = match &change.entry {
            Entry::Default => (change.list, DEFAULT_ENTRY.to_owned()),
            Entry::Pattern(pattern) => (pattern.list(), pattern.to_string()),
        };
        Self {
            list: list.word().to_owned(),
            entry,
            outcome: outcome.to_owned(),
            before: before.map(|verdict| verdict.word().to_owned()),
        }
    }
}
