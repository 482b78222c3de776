//! Rules being gathered, from however many files, until they are put together.

use regex::bytes::Regex;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use ipnet::IpNet;

use super::address::AddressTable;
use super::cidr::NetTableBuilder;
use super::domain::DomainTable;
use super::expression::Expressions;
use super::judgement::RULES_MAX;
use super::ledger::{Ledger, Note};
use super::pattern::{Kind, Pattern};
use super::text::TextTable;
use super::{ClientRules, DEFAULT_SETS, List, Origin, RuleSet, TextRules, Verdict};

/// Makes a [`RuleSet`]. Where the same pattern is added to the same list twice, the later one
/// counts.
#[derive(Debug, Default)]
pub struct RuleSetBuilder {
    sources: Vec<Box<str>>,
    v4: NetTableBuilder<u32>,
    v6: NetTableBuilder<u128>,
    names: Texts<DomainTable>,
    senders: Texts<AddressTable>,
    sender_domains: Texts<DomainTable>,
    recipients: Texts<AddressTable>,
    recipient_domains: Texts<DomainTable>,
    defaults: [Option<Note>; List::COUNT],
}

impl RuleSetBuilder {
    /// No rules; every default greylist.
    pub fn new() -> Self {
        Self::default()
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
        let list = pattern.list();
        let note = Note::new(verdict, origin);
        assert!(
            self.len_of(list) < RULES_MAX as usize,
            "too many rules in the {} list",
            list.word()
        );
        let replaced = match (list, pattern.into_kind()) {
            (_, Kind::Net(IpNet::V4(net))) => {
                self.v4.insert(net.network().to_bits(), net.prefix_len(), note)
            }
            (_, Kind::Net(IpNet::V6(net))) => {
                self.v6.insert(net.network().to_bits(), net.prefix_len(), note)
            }
            (List::Sender, kind) => self.senders.insert(kind, note, AddressTable::insert),
            (List::Recipient, kind) => self.recipients.insert(kind, note, AddressTable::insert),
            (List::SenderDomain, kind) => {
                self.sender_domains.insert(kind, note, DomainTable::insert)
            }
            (List::RecipientDomain, kind) => {
                self.recipient_domains.insert(kind, note, DomainTable::insert)
            }
            // A pattern of the client list is always a network.
            (List::ClientName | List::Client, kind) => {
                self.names.insert(kind, note, DomainTable::insert)
            }
        };
        replaced.map(Note::origin)
    }

    /// Sets what counts where no rule of `list` matches. Gives back the origin of the default that
    /// was set before, if one was.
    pub fn set_default(&mut self, list: List, verdict: Verdict, origin: Origin) -> Option<Origin> {
        let before = self.defaults[list.place()].replace(Note::new(verdict, origin));
        before.map(Note::origin)
    }

    /// How many rules there are, defaults not counted.
    pub fn len(&self) -> usize {
        List::ALL.into_iter().map(|list| self.len_of(list)).sum()
    }

    /// Whether there are none. Defaults may be set all the same.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len_of(&self, list: List) -> usize {
        match list {
            List::Client => self.v4.len() + self.v6.len(),
            List::ClientName => self.names.len(),
            List::Sender => self.senders.len(),
            List::SenderDomain => self.sender_domains.len(),
            List::Recipient => self.recipients.len(),
            List::RecipientDomain => self.recipient_domains.len(),
        }
    }

    /// Puts the rules together, in the order in which they will be asked, with no hits yet.
    pub fn build(self) -> RuleSet {
        let (v4, mut client_notes) = self.v4.build();
        let (v6, v6_notes) = self.v6.build();
        client_notes.extend(v6_notes);
        RuleSet {
            clients: ClientRules { v4, v6, ledger: Ledger::new(client_notes) },
            names: self.names.build(DomainTable::shrink),
            senders: self.senders.build(AddressTable::shrink),
            sender_domains: self.sender_domains.build(DomainTable::shrink),
            recipients: self.recipients.build(AddressTable::shrink),
            recipient_domains: self.recipient_domains.build(DomainTable::shrink),
            defaults: self.defaults.map(|note| note.unwrap_or(Note::UNSET)),
            default_hits: [const { AtomicU64::new(0) }; DEFAULT_SETS],
            sources: self.sources.into_boxed_slice(),
        }
    }
}

/// A list of texts being gathered.
#[derive(Debug, Default)]
struct Texts<T> {
    table: T,
    table_notes: Vec<Note>,
    expressions: Vec<Regex>,
    expression_notes: Vec<Note>,
    /// Where each expression stands, by its text.
    expressions_known: HashMap<Box<str>, usize>,
}

impl<T: AsRef<TextTable>> Texts<T> {
    fn len(&self) -> usize {
        self.table_notes.len() + self.expression_notes.len()
    }

    /// Adds a pattern; gives back the note that the same pattern had before.
    fn insert(
        &mut self,
        kind: Kind,
        note: Note,
        insert: impl Fn(&mut T, &str) -> Result<u32, u32>,
    ) -> Option<Note> {
        match kind {
            Kind::Text(text) => match insert(&mut self.table, &text) {
                Ok(known) => Some(std::mem::replace(&mut self.table_notes[known as usize], note)),
                Err(_) => {
                    self.table_notes.push(note);
                    None
                }
            },
            Kind::Expression(regex) => match self.expressions_known.get(regex.as_str()) {
                Some(&known) => Some(std::mem::replace(&mut self.expression_notes[known], note)),
                None => {
                    self.expressions_known.insert(regex.as_str().into(), self.expressions.len());
                    self.expressions.push(regex);
                    self.expression_notes.push(note);
                    None
                }
            },
            // Networks are gathered elsewhere.
            Kind::Net(_) => None,
        }
    }

    fn build(self, shrink: impl Fn(&mut T)) -> TextRules<T> {
        let Self { mut table, mut table_notes, expressions, expression_notes, .. } = self;
        shrink(&mut table);
        table_notes.extend(expression_notes);
        TextRules {
            table,
            expressions: Expressions::new(expressions),
            ledger: Ledger::new(table_notes),
        }
    }
}
