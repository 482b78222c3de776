//! What the admin has decided beforehand: lists of clients, senders and recipients, each saying
//! accept, reject or greylist.
//!
//! ```text
//!  client ──▶ client-name ──▶ sender ──▶ sender-domain ──▶ recipient ──▶ recipient-domain ──▶ tuple
//!    │  greylist: skips ▲         │  greylist: skips ▲        │   greylist: skips  ▲
//!    └──────────────────┘         └──────────────────┘        └────────────────────┘
//! ```
//!
//! In each list the best match counts: the longest prefix, or the whole text before a part of it
//! before a regular expression. Accept and reject decide. Greylist goes on; said by a rule (not by
//! a default) for a client, a sender or a recipient, it also skips the list that would judge the
//! same party more coarsely. Where nothing matches, the list's default counts, which is greylist
//! unless set. This is the order and the meaning of X-Grey's filters, with host names and regular
//! expressions added.
//!
//! A [`RuleSet`] is made whole by a [`RuleSetBuilder`] and never changes afterwards, apart from its
//! hit counters: a reload makes a new one beside it. Judging is pure and allocates nothing (the
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
mod expression;
mod judgement;
mod ledger;
mod mistake;
mod pattern;
mod postgrey;
mod rule;
#[cfg(test)]
mod tests;
mod text;

pub use builder::RuleSetBuilder;
pub use judgement::{Judgement, Outcome, Step};
pub use mistake::{PatternError, PatternProblem};
pub use pattern::{PATTERN_BYTES_MAX, Pattern};
pub use rule::{Origin, Rule, RuleOrigin, RuleText};

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::query::{Query, split_address};
use address::AddressTable;
use cidr::NetTable;
use domain::DomainTable;
use expression::Expressions;
use ledger::{Ledger, Note};

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

/// Every default that a query passes is counted, six on the usual way. One counter a set of
/// defaults makes that one addition: a set is a mask of the lists' places.
const DEFAULT_SETS: usize = 1 << List::COUNT;

/// All rules, ready to be asked.
#[derive(Debug)]
pub struct RuleSet {
    clients: ClientRules,
    names: TextRules<DomainTable>,
    senders: TextRules<AddressTable>,
    sender_domains: TextRules<DomainTable>,
    recipients: TextRules<AddressTable>,
    recipient_domains: TextRules<DomainTable>,
    defaults: [Note; List::COUNT],
    default_hits: [AtomicU64; DEFAULT_SETS],
    sources: Box<[Box<str>]>,
}

/// The client list: IPv4 rules come first in its numbering, then IPv6.
#[derive(Debug, Default)]
struct ClientRules {
    v4: NetTable<u32>,
    v6: NetTable<u128>,
    ledger: Ledger,
}

/// A list of texts: rules that a look-up finds come first in its numbering, then regular
/// expressions in the order of writing.
#[derive(Debug, Default)]
struct TextRules<T> {
    table: T,
    expressions: Expressions,
    ledger: Ledger,
}

impl<T> TextRules<T> {
    fn is_empty(&self) -> bool {
        self.ledger.len() == 0
    }
}

/// What a list says about a query.
enum Found {
    /// The query has nothing that the list could be asked about.
    NothingToMatch,
    /// No rule of the list matches.
    Nothing,
    /// This one does.
    Rule(u32),
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
            List::ClientName => domain_in(&self.names, query.client_name),
            List::Sender => address_in(&self.senders, query.sender),
            List::SenderDomain => domain_in(&self.sender_domains, split_address(query.sender).1),
            List::Recipient => address_in(&self.recipients, query.recipient),
            List::RecipientDomain => {
                domain_in(&self.recipient_domains, split_address(query.recipient).1)
            }
        }
    }

    /// Adds what `judgement` met to the hit counters: each rule that matched, and each default
    /// that was passed or decided. For judgements of this very set.
    pub fn count(&self, judgement: &Judgement) {
        let mut passed_defaults = 0;
        for step in judgement.steps() {
            match step.outcome {
                Outcome::Matched(rule) => self.ledger(rule.list).count(rule.index),
                Outcome::Default(rule) => passed_defaults |= 1 << rule.list.place(),
                Outcome::Skipped | Outcome::NothingToMatch => {}
            }
        }
        if let Some(hits) = self.default_hits.get(passed_defaults)
            && passed_defaults != 0
        {
            hits.fetch_add(1, Ordering::Relaxed);
        }
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
        let (note, hits, text) = if reference.is_default() {
            (self.defaults[list.place()], self.default_hits(list), RuleText::DEFAULT)
        } else {
            let ledger = self.ledger(list);
            (ledger.note(index)?, ledger.hits(index), self.text(reference)?)
        };
        let origin = self.origin(note);
        Some(Rule { reference, list, verdict: note.verdict(), text, origin, hits })
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

    /// Adds the hit counts of `old`, which this set is to replace: those of each rule with the
    /// same list and pattern, and those of the defaults. To be called once, before this set serves.
    pub fn adopt_hits(&self, old: &Self) {
        for (own, old) in self.default_hits.iter().zip(&old.default_hits) {
            own.fetch_add(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.clients.adopt(&old.clients);
        self.names.adopt(&old.names);
        self.senders.adopt(&old.senders);
        self.sender_domains.adopt(&old.sender_domains);
        self.recipients.adopt(&old.recipients);
        self.recipient_domains.adopt(&old.recipient_domains);
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
            None => RuleOrigin::BUILT_IN,
        }
    }

    /// How often the default of `list` was passed or decided.
    fn default_hits(&self, list: List) -> u64 {
        let sets = self.default_hits.iter().enumerate();
        sets.filter(|(mask, _)| mask & (1 << list.place()) != 0)
            .map(|(_, hits)| hits.load(Ordering::Relaxed))
            .sum()
    }
}

/// No rules, and every default greylist.
impl Default for RuleSet {
    fn default() -> Self {
        RuleSetBuilder::new().build()
    }
}

impl ClientRules {
    fn find(&self, client: IpAddr) -> Found {
        let found = match client {
            IpAddr::V4(v4) => self.v4.longest_match(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.longest_match(v6.to_bits()).map(|at| at + self.v4.len()),
        };
        found.map_or(Found::Nothing, Found::Rule)
    }

    fn text(&self, index: u32) -> Option<RuleText<'_>> {
        let net = match index.checked_sub(self.v4.len()) {
            None => self.v4.net(index)?,
            Some(index) => self.v6.net(index)?,
        };
        Some(RuleText::net(net))
    }

    fn adopt(&self, old: &Self) {
        self.ledger.adopt(&old.ledger, |index| match index.checked_sub(old.v4.len()) {
            None => self.v4.position_in(&old.v4, index),
            Some(index) => self.v6.position_in(&old.v6, index).map(|at| at + self.v4.len()),
        });
    }

    fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes() + self.v6.memory_bytes() + self.ledger.memory_bytes()
    }
}

impl<T: AsRef<text::TextTable>> TextRules<T> {
    /// `of_table` is what the table found; `text` is what the regular expressions are tried on.
    fn find(&self, of_table: Option<u32>, text: &[u8]) -> Found {
        let found = of_table.or_else(|| {
            let first = self.expressions.first_match(text)?;
            Some(self.table.as_ref().len() + first)
        });
        found.map_or(Found::Nothing, Found::Rule)
    }

    fn text(&self, index: u32) -> Option<RuleText<'_>> {
        let table = self.table.as_ref();
        match index.checked_sub(table.len()) {
            None => table.get(index).map(RuleText::plain),
            Some(index) => self.expressions.get(index).map(RuleText::expression),
        }
    }

    fn adopt(&self, old: &Self) {
        let (own_table, old_table) = (self.table.as_ref(), old.table.as_ref());
        self.ledger.adopt(&old.ledger, |index| match index.checked_sub(old_table.len()) {
            None => own_table.index_of(old_table.get(index)?),
            Some(index) => {
                let at = self.expressions.index_of(old.expressions.get(index)?)?;
                Some(own_table.len() + at)
            }
        });
    }

    fn memory_bytes(&self) -> usize {
        self.table.as_ref().memory_bytes()
            + self.expressions.memory_bytes()
            + self.ledger.memory_bytes()
    }
}

/// Asks a list of domains or host names. An empty domain is none.
fn domain_in(rules: &TextRules<DomainTable>, domain: Option<&[u8]>) -> Found {
    let Some(domain) = domain.map(without_final_dot).filter(|domain| !domain.is_empty()) else {
        return Found::NothingToMatch;
    };
    if rules.is_empty() {
        return Found::Nothing;
    }
    rules.find(rules.table.best_match(domain), domain)
}

/// Asks a list of addresses. The null sender is the empty text.
fn address_in(rules: &TextRules<AddressTable>, address: &[u8]) -> Found {
    if rules.is_empty() {
        return Found::Nothing;
    }
    let address = match split_address(address).1 {
        Some(_) => without_final_dot(address),
        None => address,
    };
    rules.find(rules.table.best_match(address), address)
}

/// `example.net.` is `example.net`.
fn without_final_dot(domain: &[u8]) -> &[u8] {
    domain.strip_suffix(b".").unwrap_or(domain)
}
