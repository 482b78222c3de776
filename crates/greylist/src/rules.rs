//! What the admin has decided beforehand: lists of clients, senders and recipients, each saying
//! accept, reject or greylist.
//!
//! ```text
//!  client ──▶ client-name ──▶ sender ──▶ sender-domain ──▶ recipient ──▶ recipient-domain ──▶ tuple
//!    │  greylist: skips ▲         │  greylist: skips ▲        │   greylist: skips  ▲
//!    └──────────────────┘         └──────────────────┘        └────────────────────┘
//! ```
//!
//! In each list the best match counts: the longest prefix, or the whole text (byte for byte, then in
//! any case) before a part of it before a regular expression. Accept and reject decide. Greylist goes on; said by a rule (not by
//! a default) for a client, a sender or a recipient, it also skips the list that would judge the
//! same party more coarsely. Where nothing matches, the list's default counts, which is greylist
//! unless set. This is the order and the meaning of X-Grey's filters, with host names and regular
//! expressions added.
//!
//! A [`RuleSet`] is made whole by a [`RuleSetBuilder`] and never changes afterwards, apart from its
//! hit counters: a reload makes a new one beside it, and so does a change of some rules, which
//! shares all lists with the old one but those that are changed. Judging is pure and allocates nothing (the
//! regex engine allocates at a thread's first question).
//!
//! ```
//! use greylist::rules::{List, Origin, Pattern, RuleSetBuilder, Verdict};
//! use greylist::{Client, Query};
//!
//! let mut builder = RuleSetBuilder::new();
//! let source = builder.source("local.rules");
//! let pattern = Pattern::parse(List::SenderDomain, ".example.net")?;
//! builder.add(Verdict::Reject, pattern, Origin { source, line: 7 });
//! let rules = builder.build();
//!
//! let client = Client::new([192, 0, 2, 7].into());
//! let judgement = rules.judge(&Query::new(client, b"alice@mail.Example.NET", b"bob@example.org"));
//! assert_eq!(judgement.verdict(), Verdict::Reject);
//! let rule = rules.rule(judgement.decided_by());
//! assert_eq!(format!("{} at {}", rule.text, rule.origin), ".example.net at local.rules:7");
//! # Ok::<(), greylist::rules::PatternError>(())
//! ```
//!
//! Never knows: files and their formats, who asks for a judgement, what becomes of a query that is
//! neither accepted nor rejected.

mod address;
mod builder;
mod cidr;
mod domain;
mod exact;
mod expression;
mod gathering;
mod hits;
mod judgement;
mod ledger;
mod lists;
mod mistake;
mod pattern;
mod postgrey;
mod rule;
#[cfg(test)]
mod tests;
mod text;

pub use builder::RuleSetBuilder;
pub use exact::EXACT_BYTES_MAX;
pub use judgement::{Judgement, Outcome, Step};
pub use mistake::{PatternError, PatternProblem};
pub use pattern::{PATTERN_BYTES_MAX, Pattern};
pub use rule::{Hits, Origin, Rule, RuleOrigin, RuleText};

use std::sync::Arc;

use crate::query::Query;
use address::AddressTable;
use domain::DomainTable;
use gathering::Built as _;
use hits::DefaultHits;
use ledger::{Ledger, Note};
use lists::{ClientRules, Found, TextRules, address_in, domain_in, name_in};

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Let it in, whatever the table says.
    Accept,
    /// Refuse it for good.
    Reject,
    /// Go on: to the next list, in the end to the tuple.
    Greylist,
}

impl Verdict {
    /// The verdict that `word` names, in any case; `graylist` is understood.
    pub fn parse(word: &str) -> Option<Self> {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        if is("accept") {
            Some(Self::Accept)
        } else if is("reject") {
            Some(Self::Reject)
        } else if is("greylist") || is("graylist") {
            Some(Self::Greylist)
        } else {
            None
        }
    }

    /// `accept`, `reject` or `greylist`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Greylist => "greylist",
        }
    }
}

/// The lists, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// Client addresses and networks; the longest match counts.
    Client,
    /// Confirmed client host names and their suffixes.
    ClientName,
    /// Whole sender addresses.
    Sender,
    /// Domains of senders.
    SenderDomain,
    /// Whole recipient addresses.
    Recipient,
    /// Domains of recipients.
    RecipientDomain,
}

impl List {
    /// How many there are.
    pub const COUNT: usize = 6;

    /// All of them, in the order in which they are asked.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Client,
        Self::ClientName,
        Self::Sender,
        Self::SenderDomain,
        Self::Recipient,
        Self::RecipientDomain,
    ];

    /// The list that `word` names, in any case, with `-` or `_` between its parts.
    pub fn parse(word: &str) -> Option<Self> {
        let same =
            |given: u8, own: u8| given.eq_ignore_ascii_case(&own) || (given == b'_' && own == b'-');
        Self::ALL.into_iter().find(|list| {
            let own = list.word();
            own.len() == word.len() && word.bytes().zip(own.bytes()).all(|(a, b)| same(a, b))
        })
    }

    /// `client`, `client-name`, `sender`, `sender-domain`, `recipient` or `recipient-domain`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientName => "client-name",
            Self::Sender => "sender",
            Self::SenderDomain => "sender-domain",
            Self::Recipient => "recipient",
            Self::RecipientDomain => "recipient-domain",
        }
    }

    /// Its place in the order, from 0.
    const fn place(self) -> usize {
        self as usize
    }

    /// The list that is skipped when a rule of this one says greylist.
    const fn coarser(self) -> Option<Self> {
        match self {
            Self::Client => Some(Self::ClientName),
            Self::Sender => Some(Self::SenderDomain),
            Self::Recipient => Some(Self::RecipientDomain),
            Self::ClientName | Self::SenderDomain | Self::RecipientDomain => None,
        }
    }
}

/// Names one rule of the [`RuleSet`] that it came from. It means nothing to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleRef {
    /// The list it stands in.
    pub list: List,
    /// Its number there, from 0; [`RuleRef::DEFAULT`] for the list's default.
    pub index: u32,
}

impl RuleRef {
    /// The index that names a list's default.
    pub const DEFAULT: u32 = u32::MAX;

    /// The default of `list`.
    pub const fn default_of(list: List) -> Self {
        Self { list, index: Self::DEFAULT }
    }

    /// Whether this names a list's default.
    pub const fn is_default(self) -> bool {
        self.index == Self::DEFAULT
    }
}

/// All rules, ready to be asked. A clone is the same set, counters included.
#[derive(Clone, Debug)]
pub struct RuleSet {
    clients: Arc<ClientRules>,
    names: Arc<TextRules<DomainTable>>,
    senders: Arc<TextRules<AddressTable>>,
    sender_domains: Arc<TextRules<DomainTable>>,
    recipients: Arc<TextRules<AddressTable>>,
    recipient_domains: Arc<TextRules<DomainTable>>,
    defaults: [Note; List::COUNT],
    default_hits: Arc<DefaultHits>,
    sources: Arc<[Box<str>]>,
}

impl RuleSet {
    /// What the lists say about `query`. Pure: counts nothing, allocates nothing.
    pub fn judge(&self, query: &Query<'_>) -> Judgement {
        let mut judgement = Judgement::new();
        let mut skipped = None;
        for list in List::ALL {
            if skipped == Some(list) {
                judgement.skip(list);
                continue;
            }
            let (verdict, explicit) = match self.find(list, query) {
                Found::NothingToMatch => {
                    judgement.nothing_to_match(list);
                    continue;
                }
                Found::Nothing => (self.defaults[list.place()].verdict(), None),
                Found::Rule(index) => (self.ledger(list).verdict(index), Some(index)),
            };
            judgement
                .decide(RuleRef { list, index: explicit.unwrap_or(RuleRef::DEFAULT) }, verdict);
            if verdict != Verdict::Greylist {
                break;
            }
            skipped = explicit.and(list.coarser());
        }
        judgement
    }

    /// What one list says about `query`, with nothing said by the others: its best match, or its
    /// default. Greylist if the query has nothing that the list could be asked about.
    pub fn judge_by(&self, list: List, query: &Query<'_>) -> Verdict {
        match self.find(list, query) {
            Found::NothingToMatch => Verdict::Greylist,
            Found::Nothing => self.defaults[list.place()].verdict(),
            Found::Rule(index) => self.ledger(list).verdict(index),
        }
    }

    /// The best match of `list`.
    fn find(&self, list: List, query: &Query<'_>) -> Found {
        match list {
            List::Client => self.clients.find(query.client.address()),
            List::ClientName => name_in(&self.names, query.client_name),
            List::Sender => address_in(&self.senders, query.sender),
            List::SenderDomain => domain_in(&self.sender_domains, query.sender),
            List::Recipient => address_in(&self.recipients, query.recipient),
            List::RecipientDomain => domain_in(&self.recipient_domains, query.recipient),
        }
    }

    /// Takes the set up again, to be changed: the set itself stays as it is. Lists that are not
    /// changed are shared by both, with their counters.
    pub fn to_builder(&self) -> RuleSetBuilder {
        RuleSetBuilder::of(self)
    }

    /// The rule that `reference` names.
    ///
    /// # Panics
    /// If there is no such rule here, which can only be when the reference came from another set;
    /// [`get`](Self::get) does not panic.
    pub fn rule(&self, reference: RuleRef) -> Rule<'_> {
        match self.get(reference) {
            Some(rule) => rule,
            None => panic!("{reference:?} names no rule of this set: it came from another"),
        }
    }

    /// The rule that `reference` names, or `None` if the reference came from another set that had
    /// more rules than this one.
    pub fn get(&self, reference: RuleRef) -> Option<Rule<'_>> {
        let RuleRef { list, index } = reference;
        let (note, text) = if reference.is_default() {
            (self.defaults[list.place()], RuleText::DEFAULT)
        } else {
            (self.ledger(list).note(index)?, self.text(reference)?)
        };
        let (origin, hits) = (self.origin(note), self.hits(reference));
        Some(Rule {
            reference,
            list,
            verdict: note.verdict(),
            text,
            origin,
            hits: hits.count,
            last_hit: hits.last,
        })
    }

    /// The rule of the list that `pattern` was made for which has that very pattern.
    pub fn rule_with(&self, pattern: &Pattern) -> Option<Rule<'_>> {
        let (list, kind) = (pattern.list(), pattern.kind());
        let index = match list {
            List::Client => self.clients.position(kind),
            List::ClientName => self.names.position(kind),
            List::Sender => self.senders.position(kind),
            List::SenderDomain => self.sender_domains.position(kind),
            List::Recipient => self.recipients.position(kind),
            List::RecipientDomain => self.recipient_domains.position(kind),
        };
        self.get(RuleRef { list, index: index? })
    }

    /// What is noted of the rule with this pattern, and its place among the regular expressions, if
    /// it is one.
    fn placed_note(&self, pattern: &Pattern) -> Option<(Note, Option<u64>)> {
        let RuleRef { list, index } = self.rule_with(pattern)?.reference;
        let place = match list {
            List::Client => None,
            List::ClientName => self.names.place(index),
            List::Sender => self.senders.place(index),
            List::SenderDomain => self.sender_domains.place(index),
            List::Recipient => self.recipients.place(index),
            List::RecipientDomain => self.recipient_domains.place(index),
        };
        Some((self.ledger(list).note(index)?, place))
    }

    /// All rules, list by list in the order of asking, each list's default last. Clients are
    /// ordered by address, IPv4 first; the others as they were written, regular expressions last.
    pub fn iter(&self) -> impl Iterator<Item = Rule<'_>> {
        List::ALL.into_iter().flat_map(move |list| {
            (0..self.ledger(list).len() as u32)
                .chain([RuleRef::DEFAULT])
                .filter_map(move |index| self.get(RuleRef { list, index }))
        })
    }

    /// How many rules `list` has, its default not counted.
    pub fn len(&self, list: List) -> usize {
        self.ledger(list).len()
    }

    /// Whether there are no rules at all. Defaults may be set all the same.
    pub fn is_empty(&self) -> bool {
        List::ALL.into_iter().all(|list| self.len(list) == 0)
    }

    /// The memory that the rules take, in bytes; compiled regular expressions by estimate.
    pub fn memory_bytes(&self) -> usize {
        let sources: usize =
            self.sources.iter().map(|name| size_of::<Box<str>>() + name.len()).sum();
        size_of::<Self>()
            + sources
            + self.clients.memory_bytes()
            + self.names.memory_bytes()
            + self.senders.memory_bytes()
            + self.sender_domains.memory_bytes()
            + self.recipients.memory_bytes()
            + self.recipient_domains.memory_bytes()
    }

    fn ledger(&self, list: List) -> &Ledger {
        match list {
            List::Client => &self.clients.ledger,
            List::ClientName => &self.names.ledger,
            List::Sender => &self.senders.ledger,
            List::SenderDomain => &self.sender_domains.ledger,
            List::Recipient => &self.recipients.ledger,
            List::RecipientDomain => &self.recipient_domains.ledger,
        }
    }

    fn text(&self, RuleRef { list, index }: RuleRef) -> Option<RuleText<'_>> {
        match list {
            List::Client => self.clients.text(index),
            List::ClientName => self.names.text(index),
            List::Sender => self.senders.text(index),
            List::SenderDomain => self.sender_domains.text(index),
            List::Recipient => self.recipients.text(index),
            List::RecipientDomain => self.recipient_domains.text(index),
        }
    }

    fn origin(&self, note: Note) -> RuleOrigin<'_> {
        let Origin { source, line } = note.origin();
        match self.sources.get(source as usize) {
            Some(name) => RuleOrigin { source: name, line },
            None if source == Origin::LIVE.source => RuleOrigin::LIVE,
            None => RuleOrigin::BUILT_IN,
        }
    }
}

/// No rules, and every default greylist.
impl Default for RuleSet {
    fn default() -> Self {
        RuleSetBuilder::new().build()
    }
}
