//! The running service as where things move in, over its control socket.

use std::path::Path;

use greylist::rules::Verdict;

use super::{MovedTuple, RuleTally, Taken, Target};
use crate::backup;
use crate::control::client::{ControlError, ask};
use crate::control::{ChangeRulesWanted, LINE_BYTES_MAX, Request, RuleChangeText, RulesChanged};
use crate::service::{RuleChange, RuleChanged, What};

/// Changes that are sent together take so many bytes at most as JSON, estimated from above: each
/// byte of an entry may take two.
const REQUEST_BYTES_MAX: usize = LINE_BYTES_MAX as usize * 3 / 4;

/// What a change takes besides its entry.
const CHANGE_BYTES: usize = 80;

/// Has the running service take in what moves in.
#[derive(Debug)]
pub struct RemoteTarget<'a> {
    socket: &'a Path,
    /// Once there are any.
    tuples: Option<backup::RemoteTarget<'a>>,
    changes: Vec<(What, RuleChangeText)>,
    /// What they take as JSON, from above.
    bytes: usize,
    rules: RuleTally,
    not_kept: Option<String>,
}

impl<'a> RemoteTarget<'a> {
    /// The service that listens on `socket`. Nothing is asked yet.
    pub fn new(socket: &'a Path) -> Self {
        Self {
            socket,
            tuples: None,
            changes: Vec::new(),
            bytes: 0,
            rules: RuleTally::default(),
            not_kept: None,
        }
    }

    /// Sends the changes that wait.
    fn flush(&mut self, more_follow: bool) -> Result<(), ControlError> {
        if self.changes.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let (asked, changes): (Vec<_>, Vec<_>) = self.changes.drain(..).unzip();
        let request = Request::ChangeRules(ChangeRulesWanted { changes, more_follow });
        let RulesChanged { done, not_kept } = ask(self.socket, &request)?;
        for (what, changed) in asked.into_iter().zip(&done) {
            let before = changed.before.as_deref().and_then(Verdict::parse);
            let changed = match (changed.outcome.as_str(), before) {
                ("added", _) => RuleChanged::Added,
                ("replaced", Some(before)) => RuleChanged::Replaced(before),
                ("removed", Some(before)) => RuleChanged::Removed(before),
                _ => RuleChanged::Nothing,
            };
            self.rules.count(what, changed);
        }
        self.not_kept = self.not_kept.take().or(not_kept);
        Ok(())
    }
}

impl Target for RemoteTarget<'_> {
    type Error = ControlError;

    fn take_tuple(&mut self, tuple: &MovedTuple<'_>) -> Result<(), ControlError> {
        let tuples = match &mut self.tuples {
            Some(tuples) => tuples,
            none => {
                let mut tuples = backup::RemoteTarget::new(self.socket);
                tuples.begin_without_ids()?;
                none.insert(tuples)
            }
        };
        backup::Target::take(tuples, backup::Entry::Text(tuple.as_text()))
    }

    fn take_rule(&mut self, change: RuleChange) -> Result<(), ControlError> {
        let text = RuleChangeText::of(&change);
        let bytes = 2 * text.entry.len() + CHANGE_BYTES;
        if self.bytes + bytes > REQUEST_BYTES_MAX {
            self.flush(true)?;
        }
        self.bytes += bytes;
        self.changes.push((change.what, text));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), ControlError> {
        self.flush(false)?;
        match &mut self.tuples {
            Some(tuples) => backup::Target::finish(tuples),
            None => Ok(()),
        }
    }

    fn taken(&self) -> Taken {
        let tuples = self.tuples.as_ref().map(backup::Target::taken).unwrap_or_default();
        Taken { tuples: tuples.texts, rules: self.rules, not_kept: self.not_kept.clone() }
    }
}
