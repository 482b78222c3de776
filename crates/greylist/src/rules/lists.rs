//! The lists as they are asked: which of their rules is the best match.

use std::net::IpAddr;
use std::sync::Arc;

use super::RuleText;
use super::address::AddressTable;
use super::cidr::NetTable;
use super::domain::DomainTable;
use super::expression::Expressions;
use super::ledger::Ledger;
use super::text::{AsWritten, Numbered, TextTable};
use crate::query::split_address;

/// The client list: IPv4 rules come first in its numbering, then IPv6.
#[derive(Debug, Default)]
pub(super) struct ClientRules {
    pub(super) v4: NetTable<u32>,
    pub(super) v6: NetTable<u128>,
    pub(super) ledger: Ledger,
}

/// A list of texts: exact entries come first in its numbering, then what a look-up in any case finds,
/// then regular expressions in the order in which they are tried.
#[derive(Debug, Default)]
pub(super) struct TextRules<T> {
    pub(super) exact: TextTable<AsWritten>,
    pub(super) table: T,
    pub(super) expressions: Arc<Expressions>,
    pub(super) ledger: Ledger,
}

/// What a list says about a query.
pub(super) enum Found {
    /// The query has nothing that the list could be asked about.
    NothingToMatch,
    /// No rule of the list matches.
    Nothing,
    /// This one does.
    Rule(u32),
}

impl From<Option<u32>> for Found {
    fn from(found: Option<u32>) -> Self {
        found.map_or(Self::Nothing, Self::Rule)
    }
}

impl ClientRules {
    pub(super) fn find(&self, client: IpAddr) -> Found {
        let found = match client {
            IpAddr::V4(v4) => self.v4.longest_match(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.longest_match(v6.to_bits()).map(|at| at + self.v4.len()),
        };
        found.into()
    }

    pub(super) fn text(&self, index: u32) -> Option<RuleText<'_>> {
        let net = match index.checked_sub(self.v4.len()) {
            None => self.v4.net(index)?,
            Some(index) => self.v6.net(index)?,
        };
        Some(RuleText::net(net))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes() + self.v6.memory_bytes() + self.ledger.memory_bytes()
    }
}

impl<T: Numbered> TextRules<T> {
    fn is_empty(&self) -> bool {
        self.ledger.len() == 0
    }

    /// The exact entry for `bytes`.
    fn find_exact(&self, bytes: &[u8]) -> Option<u32> {
        self.exact.find(&[bytes])
    }

    /// The best match but for exact entries: what the table found, else the first expression that
    /// matches `text`.
    fn find(&self, of_table: Option<u32>, text: &[u8]) -> Found {
        let found = of_table
            .or_else(|| Some(self.table.texts().len() + self.expressions.first_match(text)?));
        found.map(|at| self.exact.len() + at).into()
    }

    pub(super) fn text(&self, index: u32) -> Option<RuleText<'_>> {
        let Some(index) = index.checked_sub(self.exact.len()) else {
            return self.exact.get(index).map(RuleText::exact);
        };
        match index.checked_sub(self.table.texts().len()) {
            None => self.table.texts().get(index).map(RuleText::plain),
            Some(index) => self.expressions.get(index).map(RuleText::expression),
        }
    }

    /// The place of the rule at `index` among the regular expressions, if it is one.
    pub(super) fn place(&self, index: u32) -> Option<u64> {
        self.expressions.place(index.checked_sub(self.exact.len() + self.table.texts().len())?)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.exact.memory_bytes()
            + self.table.texts().memory_bytes()
            + self.expressions.memory_bytes()
            + self.ledger.memory_bytes()
    }
}

/// Asks the list of host names. An empty name is none.
pub(super) fn name_in(rules: &TextRules<DomainTable>, name: Option<&[u8]>) -> Found {
    let Some(name) = name.map(without_final_dot).filter(|name| !name.is_empty()) else {
        return Found::NothingToMatch;
    };
    if rules.is_empty() {
        return Found::Nothing;
    }
    rules.find(rules.table.best_match(name), name)
}

/// Asks a list of domains. The domain of an exact entry begins after the first `@`; that of others
/// after the last, since a quoted local part may contain some.
pub(super) fn domain_in(rules: &TextRules<DomainTable>, address: &[u8]) -> Found {
    let Some(domain) = split_address(address).1 else {
        return Found::NothingToMatch;
    };
    if rules.is_empty() {
        return Found::Nothing;
    }
    if !rules.exact.is_empty() {
        let bytes = before_nul(address);
        let exact = memchr::memchr(b'@', bytes).and_then(|at| rules.find_exact(&bytes[at + 1..]));
        if let Some(exact) = exact {
            return Found::Rule(exact);
        }
    }
    let domain = without_final_dot(domain);
    rules.find(rules.table.best_match(domain), domain)
}

/// Asks a list of addresses. The null sender is the empty text.
pub(super) fn address_in(rules: &TextRules<AddressTable>, address: &[u8]) -> Found {
    if rules.is_empty() {
        return Found::Nothing;
    }
    if !rules.exact.is_empty()
        && let Some(exact) = rules.find_exact(before_nul(address))
    {
        return Found::Rule(exact);
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

/// As far as an exact entry is compared: a NUL ends a text, as for X-Grey (X-Grey v1.1 protocol,
/// section 13). No mail protocol lets one through.
fn before_nul(bytes: &[u8]) -> &[u8] {
    memchr::memchr(0, bytes).map_or(bytes, |at| &bytes[..at])
}
