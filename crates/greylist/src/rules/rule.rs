//! One rule, as it is shown to people.

use std::fmt;

use ipnet::IpNet;

use super::ledger::SOURCE_LIVE;
use super::{List, RuleRef, Verdict, exact};
use crate::timing::Timestamp;

/// Where a rule was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The number that [`RuleSetBuilder::source`](super::RuleSetBuilder::source) gave.
    pub source: u32,
    /// The line, from 1; 0 if there are no lines.
    pub line: u32,
}

impl Origin {
    /// Of what was set while the service runs, and is written nowhere.
    pub const LIVE: Self = Self { source: SOURCE_LIVE, line: 0 };
}

/// One rule of a [`RuleSet`](super::RuleSet), or the default of a list.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Names it within its set.
    pub reference: RuleRef,
    /// The list it stands in.
    pub list: List,
    /// What it says.
    pub verdict: Verdict,
    /// Its pattern.
    pub text: RuleText<'a>,
    /// Where it was written.
    pub origin: RuleOrigin<'a>,
    /// How many queries it has matched; for a default, how many passed it or were decided by it.
    pub hits: u64,
    /// When it did so last.
    pub last_hit: Option<Timestamp>,
}

/// How often a rule has matched, and when it did so last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How often.
    pub count: u64,
    /// When last; `None` if never.
    pub last: Option<Timestamp>,
}

/// A rule's pattern in its canonical form, which [`Pattern::parse`](super::Pattern::parse)
/// understands; `default` for a list's default.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RuleText<'a>(Text<'a>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text<'a> {
    Net(IpNet),
    /// Folded; UTF-8, since patterns are.
    Plain(&'a [u8]),
    Exact(&'a [u8]),
    Expression(&'a str),
    Default,
}

impl<'a> RuleText<'a> {
    pub(super) const DEFAULT: RuleText<'static> = RuleText(Text::Default);

    pub(super) fn net(net: IpNet) -> Self {
        Self(Text::Net(net))
    }

    pub(super) fn plain(text: &'a [u8]) -> Self {
        Self(Text::Plain(text))
    }

    pub(super) fn exact(text: &'a [u8]) -> Self {
        Self(Text::Exact(text))
    }

    pub(super) fn expression(text: &'a str) -> Self {
        Self(Text::Expression(text))
    }

    /// The network, if this is one.
    pub fn as_network(self) -> Option<IpNet> {
        match self.0 {
            Text::Net(net) => Some(net),
            _ => None,
        }
    }

    /// The bytes that must be there just so, if this is an exact entry (`=…`).
    pub fn as_exact(self) -> Option<&'a [u8]> {
        match self.0 {
            Text::Exact(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl fmt::Display for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Text::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Text::Net(net) => net.fmt(f),
            Text::Plain(b"") => f.write_str("<>"),
            Text::Plain(text) => f.write_str(&String::from_utf8_lossy(text)),
            Text::Exact(bytes) => exact::write(bytes, f),
            Text::Expression(text) => write!(f, "/{text}/"),
            Text::Default => f.write_str("default"),
        }
    }
}

impl fmt::Debug for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleText({self})")
    }
}

/// Where a rule was written: `clients.rules:12`, or the source alone where there are no lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleOrigin<'a> {
    /// The source's name.
    pub source: &'a str,
    /// The line, from 1; 0 if there are no lines.
    pub line: u32,
}

impl RuleOrigin<'_> {
    /// The origin of a default that nobody set.
    pub const BUILT_IN: RuleOrigin<'static> = RuleOrigin { source: "built-in", line: 0 };
    /// The origin of what was set while the service runs.
    pub const LIVE: RuleOrigin<'static> = RuleOrigin { source: "live", line: 0 };
}

impl fmt::Display for RuleOrigin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source)?;
        if self.line != 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}
