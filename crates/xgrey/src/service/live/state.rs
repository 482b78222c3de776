//! What is known of live rules, and how a set of rules is made that has them.
//!
//! Never knows: the store, what is in force.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use greylist::{Secs, Timestamp};
use greylist::rules::{Hits, List, Origin, RuleRef, RuleSet, RuleSetBuilder, Verdict};

use super::note::{self, Key, LiveRule, Stands, Unreadable};
use super::{By, Entry, HitsKept, LIVE_RULES_MAX, NotChanged, RuleChange, RuleChanged, What};
use crate::service::Policy;

/// Counts of removed rules that are kept for when they are set again: 10 MiB. Those of more begin
/// anew.
const PARKED_MAX: usize = 65_536;

/// Who holds a policy for longer than this does not count in it: a batch takes milliseconds, a
/// listing for a slow reader may take hours.
const COUNTING_MAX: Secs = Secs::new(60);

/// What becomes of rules by one request, before it is certain that it does.
pub(super) type Staged = BTreeMap<Key, Option<LiveRule>>;

/// Live rules, and what is still to be done with them.
#[derive(Debug)]
pub(super) struct State {
    /// The rules of the configuration alone.
    pub(super) configured: RuleSet,
    pub(super) rules: BTreeMap<Key, LiveRule>,
    next_number: u32,
    /// What was changed since the set in force was made.
    pending: BTreeMap<Key, Pending>,
    /// Hits of removed rules.
    pub(super) parked: HashMap<Key, Hits>,
    /// Policies that were in force, each until when. Whoever held one then may still count in it.
    retired: Vec<(Timestamp, Arc<Policy>)>,
}

#[derive(Clone, Debug)]
struct Pending {
    entry: Entry,
    hits: HitsKept,
}

/// A live rule that comes with an export.
#[derive(Debug)]
pub(super) enum Arrival {
    /// It is to be taken in.
    New { key: Key, entry: Entry, rule: LiveRule },
    /// The same entry was set later here, or just so.
    Known,
    /// There are too many already.
    NoRoom,
}

impl State {
    pub(super) fn new(configured: &RuleSet) -> Self {
        Self {
            configured: configured.clone(),
            rules: BTreeMap::new(),
            next_number: 0,
            pending: BTreeMap::new(),
            parked: HashMap::new(),
            retired: Vec::new(),
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes up a note at start. Gives back whose it is if its name would be another today.
    pub(super) fn recall(&mut self, name: &[u8], value: &[u8]) -> Result<Option<Key>, Unreadable> {
        let (key, _, rule) = note::read(value)?;
        let misnamed = (!note::is_named(&key, name)).then(|| key.clone());
        self.next_number = self.next_number.max(rule.number.saturating_add(1));
        let known = self.rules.entry(key).or_insert(rule);
        if known.rank() < rule.rank() {
            *known = rule;
        }
        Ok(misnamed)
    }

    /// What the configuration says of an entry.
    fn configured_verdict(&self, list: List, entry: &Entry) -> Option<Verdict> {
        let rule = match entry {
            Entry::Default => self.configured.get(RuleRef::default_of(list)),
            Entry::Pattern(pattern) => self.configured.rule_with(pattern),
        };
        rule.map(|rule| rule.verdict)
    }

    /// What `changes` make of rules, and what each comes to. Nothing is changed yet.
    pub(super) fn stage(
        &mut self,
        now: Timestamp,
        by: By,
        changes: &[RuleChange],
    ) -> Result<(Staged, Vec<RuleChanged>), NotChanged> {
        let mut staged = Staged::new();
        let mut added = 0;
        let mut outcomes = Vec::with_capacity(changes.len());
        for RuleChange { list, entry, what, hits: _ } in changes {
            let key = Key::of(*list, entry);
            let known = staged.get(&key).cloned();
            let known = known.unwrap_or_else(|| self.rules.get(&key).copied());
            let configured = self.configured_verdict(key.list, entry);
            let before = known.map_or(configured, |rule| rule.stands.verdict());
            let (becomes, outcome) = match (what, entry) {
                (What::Set(verdict), _) => {
                    let outcome = before.map_or(RuleChanged::Added, RuleChanged::Replaced);
                    (Some(Stands::Says(*verdict)), outcome)
                }
                (What::Remove, Entry::Pattern(_)) => match before {
                    Some(before) => {
                        (configured.map(|_| Stands::Removed), RuleChanged::Removed(before))
                    }
                    None => (known.map(|rule| rule.stands), RuleChanged::Nothing),
                },
                (What::Remove, Entry::Default) => {
                    (known.map(|rule| rule.stands), RuleChanged::Nothing)
                }
                (What::AsConfigured, _) => (None, taken_back(known.as_ref(), configured)),
            };
            if outcome == RuleChanged::Nothing && becomes == known.map(|rule| rule.stands) {
                outcomes.push(outcome);
                continue;
            }
            let rule = becomes.map(|stands| {
                // One that is set again keeps its place.
                let number = known.map(|rule| rule.number);
                let number = number.unwrap_or_else(|| self.new_number());
                LiveRule { stands, number, since: now, by }
            });
            added += usize::from(known.is_none() && rule.is_some());
            staged.insert(key, rule);
            outcomes.push(outcome);
        }
        if self.rules.len() + added > LIVE_RULES_MAX {
            return Err(NotChanged::TooMany);
        }
        Ok((staged, outcomes))
    }

    /// Numbers are gone through once in four billion changes; then the last ones share theirs.
    fn new_number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number = number.saturating_add(1);
        number
    }

    /// Makes of the rules what was staged, and notes what of it is to be put in force.
    pub(super) fn settle(
        &mut self,
        staged: Staged,
        changes: &[RuleChange],
        outcomes: &[RuleChanged],
    ) {
        for (change, _) in changes.iter().zip(outcomes).filter(|(_, o)| **o != RuleChanged::Nothing) {
            self.expect(Key::of(change.list, &change.entry), &change.entry, change.hits);
        }
        for (key, rule) in staged {
            match rule {
                Some(rule) => self.rules.insert(key, rule),
                None => self.rules.remove(&key),
            };
        }
    }

    fn expect(&mut self, key: Key, entry: &Entry, hits: HitsKept) {
        let pending = self.pending.entry(key);
        let pending = pending.or_insert_with(|| Pending { entry: entry.clone(), hits });
        if hits == HitsKept::Zero {
            pending.hits = HitsKept::Zero;
        }
    }

    /// What is to be done with a live rule of an export.
    pub(super) fn arrive(&mut self, value: &[u8]) -> Result<Arrival, Unreadable> {
        let (key, entry, rule) = note::read(value)?;
        Ok(match self.rules.get(&key) {
            Some(known) if known.rank() >= rule.rank() => Arrival::Known,
            None if self.rules.len() >= LIVE_RULES_MAX => Arrival::NoRoom,
            _ => Arrival::New { key, entry, rule },
        })
    }

    /// Takes a live rule in.
    pub(super) fn install(&mut self, key: Key, entry: &Entry, rule: LiveRule) {
        self.next_number = self.next_number.max(rule.number.saturating_add(1));
        self.expect(key.clone(), entry, HitsKept::Keep);
        self.rules.insert(key, rule);
    }

    /// `configured` with all live rules.
    pub(super) fn applied_to(&self, configured: &RuleSet) -> RuleSet {
        let mut builder = configured.to_builder();
        for (key, rule) in &self.rules {
            // What is here was an entry when it came, and its canonical form is one.
            if let Ok(entry) = key.entry() {
                apply(&mut builder, configured, key.list, entry, Some(rule));
            }
        }
        builder.build()
    }

    /// The set in force with what is pending, which then is no more.
    pub(super) fn build(&mut self, in_force: &RuleSet) -> RuleSet {
        let mut builder = in_force.to_builder();
        let pending = std::mem::take(&mut self.pending);
        let mut to_give = Vec::new();
        for (key, Pending { entry, hits }) in pending {
            let rule = self.rules.get(&key);
            let old = reference(in_force, key.list, &entry);
            let is_there = rule.map_or_else(
                || self.configured_verdict(key.list, &entry).is_some(),
                |rule| rule.stands != Stands::Removed,
            );
            match hits {
                HitsKept::Zero => {
                    if let Some(old) = old {
                        in_force.take_hits(old);
                    }
                    self.parked.remove(&key);
                }
                HitsKept::Keep if is_there => {
                    if let Some(hits) = self.parked.remove(&key) {
                        to_give.push((key.list, entry.clone(), hits));
                    }
                }
                HitsKept::Keep => {
                    let hits = old.map(|old| in_force.take_hits(old)).unwrap_or_default();
                    if hits.count > 0 && self.parked.len() < PARKED_MAX {
                        self.parked.insert(key.clone(), hits);
                    }
                }
            }
            let rule = self.rules.get(&key);
            apply(&mut builder, &self.configured, key.list, entry, rule);
        }
        let rules = builder.build();
        for (list, entry, hits) in to_give {
            if let Some(reference) = reference(&rules, list, &entry) {
                rules.give_hits(reference, hits);
            }
        }
        rules
    }

    /// Takes over the hits of a policy that was in force until `now`, and will again until nobody
    /// counts in it any more.
    pub(super) fn retire(&mut self, now: Timestamp, old: Arc<Policy>, in_force: &RuleSet) {
        self.retired.push((now, old));
        self.take_over_retired(now, in_force);
    }

    pub(super) fn take_over_retired(&mut self, now: Timestamp, in_force: &RuleSet) {
        self.retired.retain(|(until, old)| {
            // Asked first: whoever let go of it before has counted before.
            let is_held = Arc::strong_count(old) > 1;
            in_force.take_over_hits(&old.rules);
            is_held && now.since(*until) <= COUNTING_MAX
        });
    }
}

/// What it comes to that a live rule is taken back.
fn taken_back(known: Option<&LiveRule>, configured: Option<Verdict>) -> RuleChanged {
    match (known.map(|rule| rule.stands), configured) {
        (None, _) | (Some(Stands::Removed), None) => RuleChanged::Nothing,
        (Some(Stands::Removed), Some(_)) => RuleChanged::Added,
        (Some(Stands::Says(before)), Some(_)) => RuleChanged::Replaced(before),
        (Some(Stands::Says(before)), None) => RuleChanged::Removed(before),
    }
}

/// Makes of an entry what `rule` says, or what the configuration does.
fn apply(
    builder: &mut RuleSetBuilder,
    configured: &RuleSet,
    list: List,
    entry: Entry,
    rule: Option<&LiveRule>,
) {
    match (entry, rule.map(|rule| (rule.stands, rule.number))) {
        (Entry::Default, Some((Stands::Says(verdict), _))) => {
            builder.set_default(list, verdict, Origin::LIVE);
        }
        (Entry::Default, _) => builder.put_back_default(list, configured),
        (Entry::Pattern(pattern), Some((Stands::Says(verdict), number))) => {
            builder.add_live(verdict, pattern, number);
        }
        (Entry::Pattern(pattern), Some((Stands::Removed, _))) => {
            builder.remove(&pattern);
        }
        (Entry::Pattern(pattern), None) => builder.put_back(&pattern, configured),
    }
}

/// Where an entry stands in `rules`.
fn reference(rules: &RuleSet, list: List, entry: &Entry) -> Option<RuleRef> {
    match entry {
        Entry::Default => Some(RuleRef::default_of(list)),
        Entry::Pattern(pattern) => rules.rule_with(pattern).map(|rule| rule.reference),
    }
}
