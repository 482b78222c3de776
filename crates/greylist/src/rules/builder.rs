//! Rules being gathered, from however many files, until they are put together; and a set taken up
//! again, to be changed in a few places.
//!
//! A list that is not touched stays as it was put together: a set made from another shares it, its
//! counters included. So changing one rule among a million costs what its own list costs.

use std::sync::Arc;

use super::address::AddressTable;
use super::domain::DomainTable;
use super::gathering::{Entries, Gathered, Place};
use super::hits::DefaultHits;
use super::judgement::RULES_MAX;
use super::ledger::Note;
use super::lists::{ClientRules, TextRules};
use super::pattern::Pattern;
use super::{List, Origin, RuleSet, Verdict};

/// Makes a [`RuleSet`]. Where the same pattern is added to the same list twice, the later one
/// counts.
#[derive(Clone, Debug)]
pub struct RuleSetBuilder {
    sources: Vec<Box<str>>,
    clients: Gathered<ClientRules>,
    names: Gathered<TextRules<DomainTable>>,
    senders: Gathered<TextRules<AddressTable>>,
    sender_domains: Gathered<TextRules<DomainTable>>,
    recipients: Gathered<TextRules<AddressTable>>,
    recipient_domains: Gathered<TextRules<DomainTable>>,
    defaults: [Note; List::COUNT],
    /// Of the set that this was made from.
    default_hits: Option<Arc<DefaultHits>>,
}

/// No rules; every default greylist.
impl Default for RuleSetBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RuleSetBuilder {
    /// No rules; every default greylist.
    pub fn new() -> Self {
        Self {
            sources: Vec::new(),
            clients: Gathered::default(),
            names: Gathered::default(),
            senders: Gathered::default(),
            sender_domains: Gathered::default(),
            recipients: Gathered::default(),
            recipient_domains: Gathered::default(),
            defaults: [Note::UNSET; List::COUNT],
            default_hits: None,
        }
    }

    /// All that `set` has, to be changed. What is built from it shares the lists that are not
    /// changed with `set`, and the counters of the defaults.
    pub(super) fn of(set: &RuleSet) -> Self {
        Self {
            sources: set.sources.to_vec(),
            clients: Gathered::of(&set.clients),
            names: Gathered::of(&set.names),
            senders: Gathered::of(&set.senders),
            sender_domains: Gathered::of(&set.sender_domains),
            recipients: Gathered::of(&set.recipients),
            recipient_domains: Gathered::of(&set.recipient_domains),
            defaults: set.defaults,
            default_hits: Some(Arc::clone(&set.default_hits)),
        }
    }

    /// A number for a source of rules, such as a file, to be used in [`Origin`]s. `name` is what
    /// [`RuleOrigin`](super::RuleOrigin) will show.
    pub fn source(&mut self, name: &str) -> u32 {
        self.sources.push(name.into());
        self.sources.len() as u32 - 1
    }

    /// Adds a rule to the list that `pattern` was made for. Gives back the origin of the rule with
    /// the same pattern that it replaced, if there was one.
    ///
    /// # Panics
    /// When a list gets more than 4 billion rules; that many take hundreds of gigabytes.
    pub fn add(&mut self, verdict: Verdict, pattern: Pattern, origin: Origin) -> Option<Origin> {
        self.insert(pattern, Note::new(verdict, origin), Place::Written)
    }

    /// Adds a rule that was set while the service runs. A regular expression is tried before all
    /// that were [added](Self::add), and after those so set with a lower `number`.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn add_live(&mut self, verdict: Verdict, pattern: Pattern, number: u32) -> Option<Origin> {
        let note = Note::new(verdict, Origin::LIVE);
        self.insert(pattern, note, Place::At(number.into()))
    }

    /// Takes the rule with this pattern out of the list that `pattern` was made for. Gives back its
    /// origin, if it was there.
    pub fn remove(&mut self, pattern: &Pattern) -> Option<Origin> {
        self.list(pattern.list()).remove(pattern.kind()).map(Note::origin)
    }

    /// Makes the rule with this pattern what it is in `set`, its place among regular expressions
    /// included: not there, if it is not there. `set` is one that this was made from, or that has
    /// the same sources.
    ///
    /// # Panics
    /// As [`add`](Self::add).
    pub fn put_back(&mut self, pattern: &Pattern, set: &RuleSet) {
        match set.placed_note(pattern) {
            Some((note, place)) => {
                let place = place.map_or(Place::Written, Place::At);
                self.insert(pattern.clone(), note, place);
            }
            None => {
                self.remove(pattern);
            }
        }
    }

    /// Sets what counts where no rule of `list` matches. Gives back the origin of the default that
    /// was set before, if one was.
    pub fn set_default(&mut self, list: List, verdict: Verdict, origin: Origin) -> Option<Origin> {
        let note = Note::new(verdict, origin);
        let before = std::mem::replace(&mut self.defaults[list.place()], note);
        (before != Note::UNSET).then(|| before.origin())
    }

    /// Makes the default of `list` what it is in `set`; see [`put_back`](Self::put_back).
    pub fn put_back_default(&mut self, list: List, set: &RuleSet) {
        self.defaults[list.place()] = set.defaults[list.place()];
    }

    /// How many rules there are, defaults not counted.
    pub fn len(&self) -> usize {
        self.clients.len()
            + self.names.len()
            + self.senders.len()
            + self.sender_domains.len()
            + self.recipients.len()
            + self.recipient_domains.len()
    }

    /// Whether there are none. Defaults may be set all the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&mut self, pattern: Pattern, note: Note, place: Place) -> Option<Origin> {
        let list = pattern.list();
        let rules = self.list(list);
        assert!(rules.len() < RULES_MAX as usize, "too many rules in the {} list", list.word());
        rules.insert(pattern.into_kind(), note, place).map(Note::origin)
    }

    fn list(&mut self, list: List) -> &mut dyn Entries {
        match list {
            List::Client => &mut self.clients,
            List::ClientName => &mut self.names,
            List::Sender => &mut self.senders,
            List::SenderDomain => &mut self.sender_domains,
            List::Recipient => &mut self.recipients,
            List::RecipientDomain => &mut self.recipient_domains,
        }
    }

    /// Puts the rules together, in the order in which they will be asked. Lists that were changed
    /// begin with no hits.
    pub fn build(self) -> RuleSet {
        RuleSet {
            clients: self.clients.build(),
            names: self.names.build(),
            senders: self.senders.build(),
            sender_domains: self.sender_domains.build(),
            recipients: self.recipients.build(),
            recipient_domains: self.recipient_domains.build(),
            defaults: self.defaults,
            default_hits: self.default_hits.unwrap_or_default(),
            sources: self.sources.into(),
        }
    }
}
