//! A line of a file of X-Grey's, as a tuple or a rule of ours (X-Grey v1.1 protocol, sections 5, 6
//! and 8).
//!
//! | X-Grey | here |
//! |---|---|
//! | greylisted, CREATED, SEEN | grey since CREATED: the embargo counts from the first try, in both |
//! | whitelisted (W), CREATED, SEEN | white since SEEN: the lifetime counts from the last use, in both |
//! | a line of `whitelist.txt`, which has no times | white now, as the original takes it |
//! | an entry of a list | a rule that matches it byte for byte |
//! | `0.0.0.0/0`, `DEFAULT` | the list's default |

use greylist::rules::{List, Pattern, Verdict};
use greylist::{State, Timestamp, Tuple};
use wire::xgrey_v1::files::{self, BadLine, FileKind, IpListLine};
use wire::xgrey_v1::{Action, Change, Request, TextList};

use super::{Found, MovedTuple, Reason};
use crate::service::{Entry, HitsKept, RuleChange, What};

/// What a line comes to.
pub(super) fn found(kind: FileKind, line: &[u8], now: Timestamp) -> Result<Found<'_>, Reason> {
    match kind {
        FileKind::Whitelist => whitelisted(line, now),
        FileKind::Dump => dumped(line, now),
        FileKind::IpList => network(files::ip_list(line)),
        FileKind::RelayDelay => network(files::relaydelay(line)),
        FileKind::BogonSpace => network(files::bogonspace(line)),
        FileKind::List(list) => text(list, line),
    }
}

fn whitelisted(line: &[u8], now: Timestamp) -> Result<Found<'_>, Reason> {
    let Some(read) = files::whitelist(line).map_err(Reason::Line)? else {
        return Ok(Found::Nothing);
    };
    let files::WhitelistLine { client, sender, recipient } = read;
    let tuple = Tuple { state: State::White, since: now };
    Ok(Found::Tuple(MovedTuple { tuple, first_try: now, client, sender, recipient }))
}

/// Times after `now` count as now: the other machine's clock was ahead.
fn dumped(line: &[u8], now: Timestamp) -> Result<Found<'_>, Reason> {
    let Some(read) = files::dump(line).map_err(Reason::Line)? else {
        return Ok(Found::Nothing);
    };
    if read.flags.removed {
        return Err(Reason::Removed);
    }
    let at = |secs| Timestamp::from_unix_secs(secs).min(now);
    let (created, seen) = (at(read.created), at(read.seen));
    let tuple = match read.flags.white {
        true => Tuple { state: State::White, since: seen },
        false => Tuple { state: State::Grey, since: created },
    };
    Ok(Found::Tuple(MovedTuple {
        tuple,
        first_try: created,
        client: read.client,
        sender: read.sender,
        recipient: read.recipient,
    }))
}

fn network(read: Result<Option<IpListLine>, BadLine>) -> Result<Found<'static>, Reason> {
    let Some(IpListLine { network, change }) = read.map_err(Reason::Line)? else {
        return Ok(Found::Nothing);
    };
    let is_default = network.prefix_len() == 0 && network.addr().is_ipv4();
    let entry = match is_default {
        true => Entry::Default,
        false => Entry::Pattern(Pattern::network(network)),
    };
    Ok(rule(List::Client, entry, change))
}

fn text(list: TextList, line: &[u8]) -> Result<Found<'_>, Reason> {
    let Some(read) = files::text_list(line).map_err(Reason::Line)? else {
        return Ok(Found::Nothing);
    };
    let list = match list {
        TextList::From => List::Sender,
        TextList::FromDomain => List::SenderDomain,
        TextList::To => List::Recipient,
        TextList::ToDomain => List::RecipientDomain,
    };
    let entry = match Request::is_default(read.text) {
        true => Entry::Default,
        false => Entry::Pattern(Pattern::exact(list, read.text).map_err(Reason::Entry)?),
    };
    Ok(rule(list, entry, Change::Set(read.action)))
}

fn rule(list: List, entry: Entry, change: Change) -> Found<'static> {
    let what = match change {
        Change::Set(Action::Greylist) => What::Set(Verdict::Greylist),
        Change::Set(Action::Accept) => What::Set(Verdict::Accept),
        Change::Set(Action::Reject) => What::Set(Verdict::Reject),
        Change::Remove => What::Remove,
    };
    Found::Rule(RuleChange { list, entry, what, hits: HitsKept::as_x_grey(list) })
}
