//! The rules in force as admins want to see them: with what is known of those that were set while the
//! service runs, and with those that were removed.

use std::ops::ControlFlow;

use greylist::Timestamp;
use greylist::rules::{Hits, List, RuleOrigin, RuleRef, RuleSet, RuleText, Verdict};

use super::note::{Key, Stands};
use super::{By, Entry};
use crate::service::Service;

/// One rule, or a list's default, or the mark of a removed rule.
#[derive(Clone, Debug)]
pub struct RuleListed<'a> {
    /// The list it stands in.
    pub list: List,
    /// What it matches.
    pub text: RuleText<'a>,
    /// This is the list's default.
    pub is_default: bool,
    /// What it says; of a removed one, what the configuration says. `None`: it was removed, and the
    /// configuration has it no more.
    pub verdict: Option<Verdict>,
    /// How often it matched, and when last.
    pub hits: Hits,
    /// Where it is written.
    pub origin: Option<RuleOrigin<'a>>,
    /// When and by whom it was set or removed, if that was while the service runs.
    pub live: Option<(Timestamp, By)>,
    /// It was removed while the service runs.
    pub is_removed: bool,
}

/// The marks of removed rules of a list, each with its rule's hits.
type Removed = Vec<(Entry, Timestamp, By, Hits)>;

impl Service {
    /// Gives the rules of one list, or of all, in the order in which they are asked, each list's
    /// marks of removed rules and its default last. All are as they are now, however long it takes;
    /// what is noted and not in force yet is put in force first.
    pub fn list_rules(
        &self,
        now: Timestamp,
        list: Option<List>,
        mut give: impl FnMut(RuleListed<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.rules_in_force(now);
        for list in List::ALL.into_iter().filter(|own| list.is_none_or(|list| list == *own)) {
            let (in_force, configured, hits, removed) = self.look_at(list);
            for (index, hits) in (0..).zip(hits) {
                if let Some(listed) = self.listed(&in_force, RuleRef { list, index }, hits) {
                    give(listed)?;
                }
            }
            for (entry, since, by, hits) in &removed {
                let Entry::Pattern(pattern) = entry else { continue };
                let written = configured.rule_with(pattern);
                give(RuleListed {
                    list,
                    text: pattern.text(),
                    is_default: false,
                    verdict: written.map(|rule| rule.verdict),
                    hits: *hits,
                    origin: written.map(|rule| rule.origin),
                    live: Some((*since, *by)),
                    is_removed: true,
                })?;
            }
            let default = RuleRef::default_of(list);
            if let Some(listed) = self.listed(&in_force, default, in_force.hits(default)) {
                give(listed)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// What there is of a list, all of one moment. Hits are copied: those of a set that is replaced
    /// meanwhile go over to the new one.
    fn look_at(&self, list: List) -> (RuleSet, RuleSet, Vec<Hits>, Removed) {
        let state = self.live.state.lock();
        let in_force = self.policy().rules.clone();
        let indices = 0..in_force.len(list) as u32;
        let hits = indices.map(|index| in_force.hits(RuleRef { list, index })).collect();
        let first = Key { list, text: None };
        let of_list = state.rules.range(first..).take_while(|(key, _)| key.list == list);
        let removed = of_list.filter(|(_, rule)| rule.stands == Stands::Removed);
        let removed = removed.filter_map(|(key, rule)| {
            let hits = state.parked.get(key).copied().unwrap_or_default();
            Some((key.entry().ok()?, rule.since, rule.by, hits))
        });
        let removed = removed.collect();
        (in_force, state.configured.clone(), hits, removed)
    }

    fn listed<'a>(
        &self,
        in_force: &'a RuleSet,
        reference: RuleRef,
        hits: Hits,
    ) -> Option<RuleListed<'a>> {
        let rule = in_force.get(reference)?;
        let is_default = reference.is_default();
        let live = (rule.origin == RuleOrigin::LIVE).then(|| {
            let text = (!is_default).then(|| rule.text.to_string().into_boxed_str());
            let key = Key { list: rule.list, text };
            let state = self.live.state.lock();
            state.rules.get(&key).map(|live| (live.since, live.by))
        });
        Some(RuleListed {
            list: rule.list,
            text: rule.text,
            is_default,
            verdict: Some(rule.verdict),
            hits,
            origin: Some(rule.origin),
            live: live.flatten(),
            is_removed: false,
        })
    }
}
