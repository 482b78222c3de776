//! What is in a report (X-Grey v1.1 protocol, section 6): made from rules and texts while mail goes on.
//!
//! Lists are put in order as a whole. Tuples are read from their texts, one at a time, and
//! put in order as many at once as fit into [`REPORT_BYTES_MAX`]; where there are more, the
//! report has several stretches, each in the original's order, and a tuple may be in two of them.
//!
//! Never knows: sockets, who asked.

use std::net::IpAddr;
use std::ops::{ControlFlow, Range};

use greylist::rules::{List, Rule, Verdict};
use greylist::{State, Timestamp};
use ipnet::{IpNet, Ipv4Net};
use store::TupleId;
use store::text::Address;
use thiserror::Error;
use wire::xgrey_v1::report::{
    Flags, ReportedTuple, ip_list_line, ip_list_order, list_line, tuple_line, tuple_order,
    whitelist_line,
};
use wire::xgrey_v1::{ADDRESS_KEPT_BYTES, Action, Report};

use crate::service::{Listed, NotListed, Service, TupleFilter};

/// What is held of tuples at once while they are put in order, in bytes: about 300,000 tuples with addresses
/// of 20 bytes each. The original has room for 65,536 in all.
pub const REPORT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Lines go out in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Why a report ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReportError {
    /// No texts are kept.
    #[error("the addresses of tuples are not kept: see keep_text in the configuration")]
    NoTexts,
    /// Whoever was given lines wants no more.
    #[error("whoever asked for it does not read it")]
    Stopped,
}

/// Whether a report is made from tuples' texts.
pub(super) fn needs_texts(report: Report) -> bool {
    match report {
        Report::Tuples | Report::TuplesAll | Report::Whitelist => true,
        Report::IpList | Report::To | Report::ToDomain | Report::From | Report::FromDomain => false,
    }
}

/// Makes `report` and gives it to `give`, some lines at a time; now and then nothing, for a look at whether
/// to go on. Holds tuples of about `bytes_max` bytes at once: [`REPORT_BYTES_MAX`], if there is
/// no reason for another number. Takes as long as reading all texts takes: for a thread of its own.
///
/// # Errors
/// When there is nothing to make it from, or `give` breaks off.
pub fn write_report(
    service: &Service,
    now: impl Fn() -> Timestamp,
    report: Report,
    bytes_max: usize,
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let kind = match report {
        Report::IpList => return ip_list(service, give),
        Report::To => return text_list(service, List::Recipient, give),
        Report::ToDomain => return text_list(service, List::RecipientDomain, give),
        Report::From => return text_list(service, List::Sender, give),
        Report::FromDomain => return text_list(service, List::SenderDomain, give),
        Report::Tuples => Kind::Plain,
        Report::TuplesAll => Kind::All,
        Report::Whitelist => Kind::White,
    };
    tuples(service, now, kind, bytes_max, give)
}

fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Greylist => Action::Greylist,
        Verdict::Accept => Action::Accept,
        Verdict::Reject => Action::Reject,
    }
}

/// Rules for IPv6 have no place in the original's report: its clients expect four octets.
fn ip_list(
    service: &Service,
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let policy = service.policy();
    let network = |rule: &Rule<'_>| match rule.text.as_network() {
        Some(network @ IpNet::V4(_)) => Some(network),
        Some(IpNet::V6(_)) => None,
        None => rule.reference.is_default().then(|| Ipv4Net::default().into()),
    };
    let of_list = policy.rules.iter().filter(|rule| rule.list == List::Client);
    let mut rules: Vec<(IpNet, Action, u64)> = of_list
        .filter_map(|rule| network(&rule).map(|net| (net, action(rule.verdict), rule.hits)))
        .collect();
    rules.sort_by(|one, other| ip_list_order(&one.0, &other.0));
    let lines = |&(network, action, hits): &_, out: &mut Vec<u8>| {
        ip_list_line(hits, action, network, out);
    };
    give_lines(&rules, lines, give)
}

/// Entries that X-Grey knows are shown as it shows them, others as they are written in a rules file.
fn text_list(
    service: &Service,
    list: List,
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let policy = service.policy();
    let of_list = policy.rules.iter().filter(|rule| rule.list == list);
    let mut rules: Vec<(bool, Vec<u8>, Action, u64)> = of_list
        .map(|rule| {
            let is_default = rule.reference.is_default();
            let text = match rule.text.as_exact() {
                _ if is_default => b"DEFAULT".to_vec(),
                Some(text) => text.to_vec(),
                None => rule.text.to_string().into_bytes(),
            };
            (is_default, text, action(rule.verdict), rule.hits)
        })
        .collect();
    // The default last.
    rules.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let lines = |(_, text, action, hits): &(_, Vec<u8>, _, _), out: &mut Vec<u8>| {
        list_line(*hits, *action, text, out);
    };
    give_lines(&rules, lines, give)
}

fn give_lines<T>(
    items: &[T],
    line: impl Fn(&T, &mut Vec<u8>),
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let mut out = Vec::new();
    for item in items {
        line(item, &mut out);
        if out.len() >= PIECE_BYTES {
            give_all(&mut out, give)?;
        }
    }
    give_all(&mut out, give)
}

fn give_all(
    out: &mut Vec<u8>,
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let given = give(out);
    out.clear();
    if given.is_break() { Err(ReportError::Stopped) } else { Ok(()) }
}

/// The three reports of tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Those without any flag.
    Plain,
    All,
    /// Those that pass, in a form of their own.
    White,
}

/// One tuple. Its addresses are in the stretch's bytes.
#[derive(Debug)]
struct Row {
    id: TupleId,
    client: IpAddr,
    sender: Range<u32>,
    recipient: Range<u32>,
    flags: Flags,
    created: Timestamp,
    seen: Timestamp,
}

/// Tuples that are put in order together.
#[derive(Debug, Default)]
struct Stretch {
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

fn tuples(
    service: &Service,
    now: impl Fn() -> Timestamp,
    kind: Kind,
    bytes_max: usize,
    give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), ReportError> {
    let mut stretch = Stretch::default();
    let mut stopped = Ok(());
    let listed = service.list_texts(now, &TupleFilter::default(), |listed| {
        stopped = match listed {
            Some(listed) => {
                stretch.add(&listed, kind);
                if stretch.size() < bytes_max { Ok(()) } else { stretch.give(kind, give) }
            }
            None => give_all(&mut Vec::new(), give),
        };
        if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    stopped?;
    match listed {
        Ok(_) => stretch.give(kind, give),
        Err(NotListed::NoTexts) => Err(ReportError::NoTexts),
        Err(NotListed::Stopped) => Err(ReportError::Stopped),
    }
}

impl Stretch {
    fn add(&mut self, listed: &Listed<'_>, kind: Kind) {
        let Some(text) = &listed.text else { return };
        let flags = Flags {
            white: listed.tuple.state == State::White,
            removed: false,
            sender_cut: is_cut(&text.sender),
            recipient_cut: is_cut(&text.recipient),
            ipv6: text.client.is_ipv6(),
        };
        let wanted = match kind {
            Kind::Plain => flags == Flags::default(),
            Kind::All => true,
            Kind::White => flags.white,
        };
        if !wanted {
            return;
        }
        let (sender, recipient) = (self.keep(&text.sender), self.keep(&text.recipient));
        let (created, seen) = (text.first_try, listed.tuple.since);
        let (id, client) = (listed.id, text.client);
        self.rows.push(Row { id, client, sender, recipient, flags, created, seen });
    }

    /// The stretch is flushed long before its bytes are as many as 32 bits can number.
    fn keep(&mut self, address: &Address<'_>) -> Range<u32> {
        let start = self.bytes.len();
        let bytes = address.bytes();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(ADDRESS_KEPT_BYTES)]);
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        number(start)..number(self.bytes.len())
    }

    fn size(&self) -> usize {
        self.bytes.len() + self.rows.len() * size_of::<Row>()
    }

    fn text(&self, range: &Range<u32>) -> &[u8] {
        self.bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// Gives all rows in the original's order, and is empty then.
    fn give(
        &mut self,
        kind: Kind,
        give: &mut impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReportError> {
        let mut rows = std::mem::take(&mut self.rows);
        // Of texts that came twice the first is the newer; this sort keeps the order of equals.
        rows.sort_by_key(|row| row.id);
        rows.dedup_by_key(|row| row.id);
        let key = |row: &Row| (row.client, self.text(&row.sender), self.text(&row.recipient));
        // The original takes an IPv4 address and the IPv6 address that begins with it for the same;
        // here IPv4 comes first.
        rows.sort_unstable_by(|one, other| {
            tuple_order(key(one), key(other)).then(one.client.cmp(&other.client))
        });
        let line = |row: &Row, out: &mut Vec<u8>| {
            let (sender, recipient) = (self.text(&row.sender), self.text(&row.recipient));
            match kind {
                Kind::White => whitelist_line(row.client, sender, recipient, out),
                Kind::Plain | Kind::All => {
                    let tuple = ReportedTuple {
                        client: row.client,
                        sender,
                        recipient,
                        flags: row.flags,
                        created: row.created.as_unix_secs(),
                        seen: row.seen.as_unix_secs(),
                    };
                    tuple_line(&tuple, out);
                }
            }
        };
        let given = give_lines(&rows, line, give);
        rows.clear();
        self.rows = rows;
        self.bytes.clear();
        given
    }
}

/// Whether the original would have cut it (section 5.2).
fn is_cut(address: &Address<'_>) -> bool {
    matches!(address, Address::Cut(_)) || address.bytes().len() > ADDRESS_KEPT_BYTES
}
