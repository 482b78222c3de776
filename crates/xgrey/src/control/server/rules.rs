//! Rules for admins: listed, and changed.

use std::io;
use std::sync::Arc;

use greylist::rules::List;
use tokio::io::AsyncWrite;

use super::Control;
use crate::control::rules::{NoChange, RuleChangedText};
use crate::control::stream::{Items, write_items};
use crate::control::{ChangeRulesWanted, RuleShown, RulesChanged, RulesListed, RulesWanted};
use crate::service::By;

impl Control {
    /// Writes the rules that are wanted, in the order in which they are asked.
    pub(super) async fn list_rules(
        &self,
        out: &mut (impl AsyncWrite + Unpin),
        wanted: RulesWanted,
    ) -> io::Result<()> {
        let service = Arc::clone(&self.service);
        let make = move |items: &mut Items| {
            let list = wanted.list.as_deref().map(|word| {
                List::parse(word).ok_or_else(|| NoChange::List(word.to_owned()).to_string())
            });
            let list = list.transpose()?;
            let policy = service.policy();
            let mut rules = 0;
            for rule in policy.rules.iter().filter(|rule| list.is_none_or(|list| list == rule.list))
            {
                let shown = RuleShown {
                    list: rule.list.word().to_owned(),
                    verdict: rule.verdict.word().to_owned(),
                    pattern: rule.text.to_string(),
                    default: rule.reference.is_default(),
                    hits: rule.hits,
                    last_hit: None,
                    origin: Some(rule.origin.to_string()),
                    since: None,
                    by: None,
                    removed: false,
                };
                if items.give(&shown).is_break() {
                    return Err("cut off".to_owned());
                }
                rules += 1;
            }
            Ok(RulesListed { rules })
        };
        write_items(out, make).await
    }

    /// Makes changes that the user `uid` asks for.
    pub(super) fn change_rules(
        &self,
        uid: u32,
        wanted: &ChangeRulesWanted,
    ) -> Result<RulesChanged, String> {
        let parsed = wanted.changes.iter().map(|change| change.parse());
        let changes = parsed.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())?;
        let mut done = Vec::new();
        let now = self.clock.now();
        self.service
            .change_rules(now, By::Control { uid }, &changes, &mut done)
            .map_err(|why| why.to_string())?;
        if !wanted.more_follow {
            self.service.rules_in_force(now);
        }
        let done = changes.iter().zip(done);
        let done = done.map(|(change, changed)| RuleChangedText::of(change, changed)).collect();
        Ok(RulesChanged { done, not_kept: None })
    }
}
