//! The lines of the original's files (section 8), and of those that its control program reads
//! (section 7.3).
//!
//! A line says something, or nothing (it is empty or a comment), or can't be used: then
//! [`BadLine`] says why. The original stops or dies at some lines that are passed over here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::report::{Flags, ReportedTuple};
use super::{Action, Change, TextList};

/// What a file has on its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `whitelist.txt`: [`whitelist`].
    Whitelist,
    /// `dump.txt`: [`dump`].
    Dump,
    /// `iplist.txt`: [`ip_list`].
    IpList,
    /// A list of relays: [`relaydelay`]. No file of the original's has a name by which to tell it.
    RelayDelay,
    /// A list of networks without hosts: [`bogonspace`]. Likewise.
    BogonSpace,
    /// `to.txt`, `to-domain.txt`, `from.txt`, `from-domain.txt`: [`text_list`].
    List(TextList),
}

impl FileKind {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Whitelist,
        Self::Dump,
        Self::IpList,
        Self::RelayDelay,
        Self::BogonSpace,
        Self::List(TextList::To),
        Self::List(TextList::ToDomain),
        Self::List(TextList::From),
        Self::List(TextList::FromDomain),
    ];

    /// Its name: that of the original's file, without `.txt`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whitelist => "whitelist",
            Self::Dump => "dump",
            Self::IpList => "iplist",
            Self::RelayDelay => "relaydelay",
            Self::BogonSpace => "bogonspace",
            Self::List(list) => list.name(),
        }
    }

    /// What a file of that name has on its lines, going by what stands before the first dot:
    /// `dump.txt`, `dump.txt.1`; `None` when that says nothing.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let stem = name.split('.').next().unwrap_or_default();
        Self::ALL.into_iter().find(|kind| kind.name() == stem)
    }
}

/// A line of a whitelist: a tuple that passes. When it was last seen is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhitelistLine<'a> {
    /// Who connects.
    pub client: IpAddr,
    /// From whom; empty for the null sender.
    pub sender: &'a [u8],
    /// To whom.
    pub recipient: &'a [u8],
}

/// A line of a list of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpListLine {
    /// The network; `0.0.0.0/0` is the default. Bits behind its prefix are dropped.
    pub network: IpNet,
    /// What is to be said of it.
    pub change: Change,
}

/// A line of a list of addresses or domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextListLine<'a> {
    /// What it says.
    pub action: Action,
    /// Of whom. [`Request::is_default`](super::Request::is_default) tells the default.
    pub text: &'a [u8],
}

/// Why a line can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadLine {
    /// It has other fields than it should.
    Fields {
        /// What it should have.
        wanted: &'static str,
    },
    /// What should be an address is none.
    Address,
    /// A prefix is longer than addresses are.
    Prefix,
    /// An action that does not exist.
    Action,
    /// Flags that do not exist.
    Flags,
    /// A time that is no count of seconds.
    Time,
    /// An address in it has a space, so where sender and recipient part can't be told.
    Ambiguous,
    /// The original wrote only 4 of the 16 bytes of an IPv6 address.
    Ipv6Lost,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields { wanted } => write!(f, "should be `{wanted}`"),
            Self::Address => f.write_str("no IP address where one should be"),
            Self::Prefix => f.write_str("a prefix has 32 bits at most, of IPv6 128"),
            Self::Action => f.write_str(
                "an action should be accept, reject or greylist; in a list of networks also remove",
            ),
            Self::Flags => f.write_str("flags should be five of `WDFT6`, each or a dash"),
            Self::Time => f.write_str("a time should be seconds since 1970"),
            Self::Ambiguous => {
                f.write_str("there is a space in an address: where the sender ends can't be told")
            }
            Self::Ipv6Lost => {
                f.write_str("an IPv6 client, of whose address X-Grey wrote only the first 4 bytes")
            }
        }
    }
}

impl std::error::Error for BadLine {}

const WHITELIST_FIELDS: &str = "CLIENT SENDER RECIPIENT";
const DUMP_FIELDS: &str = "CLIENT SENDER RECIPIENT FLAGS CREATED SEEN";
const IP_LIST_FIELDS: &str = "ADDRESS[/BITS] ACTION";
const TEXT_LIST_FIELDS: &str = "COUNT ACTION TEXT";

/// A line of `whitelist.txt`, or of what `show tuples whitelist` shows: `192.0.2.1 a@example.com
/// b@example.net`. As the original reads it, the recipient is the rest of the line.
///
/// # Errors
/// When it is no such line.
pub fn whitelist(line: &[u8]) -> Result<Option<WhitelistLine<'_>>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    let fields = BadLine::Fields { wanted: WHITELIST_FIELDS };
    let (client, rest) = first_word(line);
    let (sender, recipient) = first_word(rest);
    if recipient.is_empty() {
        return Err(fields);
    }
    let client = address(client)?;
    Ok(Some(WhitelistLine { client, sender: undashed(sender), recipient: undashed(recipient) }))
}

/// A line of `dump.txt`, or of what `show tuples` and `show tuples all` show: `192.0.2.1
/// a@example.com b@example.net W---- 1795485499 1795485503`. All flags are read; what is made of a tuple
/// that was removed is the caller's.
///
/// # Errors
/// When it is no such line, or its tuple can't be told from it.
pub fn dump(line: &[u8]) -> Result<Option<ReportedTuple<'_>>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    let fields = BadLine::Fields { wanted: DUMP_FIELDS };
    // From both ends: between them are addresses, and these may have spaces.
    let (client, rest) = first_word(line);
    let (rest, seen) = last_word(rest);
    let (rest, created) = last_word(rest);
    let (addresses, flags) = last_word(rest);
    let (sender, recipient) = first_word(addresses);
    if recipient.is_empty() {
        return Err(fields);
    }
    let client = address(client)?;
    let flags = Flags::of_letters(flags).ok_or(BadLine::Flags)?;
    let (created, seen) = (time(created)?, time(seen)?);
    if recipient.iter().any(u8::is_ascii_whitespace) {
        return Err(BadLine::Ambiguous);
    }
    if flags.ipv6 && client.is_ipv4() {
        return Err(BadLine::Ipv6Lost);
    }
    let (sender, recipient) = (undashed(sender), undashed(recipient));
    Ok(Some(ReportedTuple { client, sender, recipient, flags, created, seen }))
}

/// A line of `iplist.txt`, of a list for `iplist file`, or of what `show iplist` shows:
/// `192.0.2.0/24 ACCEPT` or `3 ACCEPT 192.0.2.0 255.255.255.0`. Missing octets are zero, a missing
/// prefix is a whole address; what follows is ignored. IPv6 is read too, which the original has not.
///
/// # Errors
/// When it is no such line.
pub fn ip_list(line: &[u8]) -> Result<Option<IpListLine>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    if let Some(shown) = shown_ip_list(line) {
        return Ok(Some(shown));
    }
    let (written, rest) = first_word(line);
    let (action, _) = first_word(rest);
    if action.is_empty() {
        return Err(BadLine::Fields { wanted: IP_LIST_FIELDS });
    }
    let network = network(written)?;
    let change = Change::of_word(action).ok_or(BadLine::Action)?;
    Ok(Some(IpListLine { network, change }))
}

/// A line of what `show iplist` shows (section 6). Its first two words would be an address and an
/// action as well, so the others must fit.
fn shown_ip_list(line: &[u8]) -> Option<IpListLine> {
    let (count, rest) = first_word(line);
    let (action, rest) = first_word(rest);
    let (written, netmask) = first_word(rest);
    number(count)?;
    let change = Change::Set(Action::of_word(action)?);
    let (written, netmask) = (str::from_utf8(written).ok()?, str::from_utf8(netmask).ok()?);
    let network = IpNet::with_netmask(written.parse().ok()?, netmask.parse().ok()?).ok()?;
    Some(IpListLine { network: network.trunc(), change })
}

/// A line of a list for `iplist file NAME relaydelay`: `198.51.100`, the 1 to 4 octets by which a
/// relay's addresses begin; they are accepted, and what follows is ignored.
///
/// # Errors
/// When it is no such line.
pub fn relaydelay(line: &[u8]) -> Result<Option<IpListLine>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    let (written, _) = first_word(line);
    let written = written.strip_suffix(b".").unwrap_or(written);
    let (address, octets) = short_ipv4(written)?;
    let network = Ipv4Net::new(address, 8 * octets).map_err(|_| BadLine::Prefix)?;
    Ok(Some(IpListLine { network: network.into(), change: Change::Set(Action::Accept) }))
}

/// A line of a list for `iplist file NAME bogonspace`: `198.51.0.0/16`; such a network is rejected,
/// and what follows is ignored.
///
/// # Errors
/// When it is no such line.
pub fn bogonspace(line: &[u8]) -> Result<Option<IpListLine>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    let (written, _) = first_word(line);
    let network = network(written)?;
    Ok(Some(IpListLine { network, change: Change::Set(Action::Reject) }))
}

/// A line of `to.txt`, `to-domain.txt`, `from.txt`, `from-domain.txt`, or of what `show to` and so
/// on show: `3 REJECT nobody@example.net`. The count is not used, and the text is the rest of the
/// line.
///
/// # Errors
/// When it is no such line.
pub fn text_list(line: &[u8]) -> Result<Option<TextListLine<'_>>, BadLine> {
    let Some(line) = said(line) else { return Ok(None) };
    let fields = BadLine::Fields { wanted: TEXT_LIST_FIELDS };
    let (count, rest) = first_word(line);
    let (action, text) = first_word(rest);
    if text.is_empty() || number(count).is_none() {
        return Err(fields);
    }
    let action = Action::of_word(action).ok_or(BadLine::Action)?;
    Ok(Some(TextListLine { action, text }))
}

/// What a line says, without the space around it; `None` for nothing.
fn said(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    (!line.is_empty() && line[0] != b'#').then_some(line)
}

/// The first word of a line that begins with none but it, and the rest.
fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    (word, rest.trim_ascii_start())
}

/// What comes before the last word of a line, and the word.
fn last_word(line: &[u8]) -> (&[u8], &[u8]) {
    let start = line.iter().rposition(u8::is_ascii_whitespace).map_or(0, |space| space + 1);
    let (rest, word) = line.split_at(start);
    (rest.trim_ascii_end(), word)
}

/// An empty address is written as a dash.
fn undashed(address: &[u8]) -> &[u8] {
    if address == b"-" { b"" } else { address }
}

/// A number in decimal digits, and nothing else.
fn number(word: &[u8]) -> Option<u64> {
    let is_number = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    if !is_number {
        return None;
    }
    str::from_utf8(word).ok()?.parse().ok()
}

fn time(word: &[u8]) -> Result<u64, BadLine> {
    number(word).ok_or(BadLine::Time)
}

fn address(word: &[u8]) -> Result<IpAddr, BadLine> {
    str::from_utf8(word).ok().and_then(|word| word.parse().ok()).ok_or(BadLine::Address)
}

/// `192.0.2.0/24`, `10/8`, `192.0.2.1`, `2001:db8::/32`.
fn network(word: &[u8]) -> Result<IpNet, BadLine> {
    let mut parts = word.splitn(2, |&byte| byte == b'/');
    let written = parts.next().unwrap_or_default();
    let address = if written.contains(&b':') {
        address(written)?
    } else {
        IpAddr::V4(short_ipv4(written)?.0)
    };
    let Some(bits) = parts.next() else { return Ok(address.into()) };
    let bits = number(bits).and_then(|bits| u8::try_from(bits).ok()).ok_or(BadLine::Prefix)?;
    IpNet::new(address, bits).map(|network| network.trunc()).map_err(|_| BadLine::Prefix)
}

/// An address of 1 to 4 octets, those that are missing being zero; and how many there were. An
/// octet has no leading zeros: to some programs these mean base 8.
fn short_ipv4(word: &[u8]) -> Result<(Ipv4Addr, u8), BadLine> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in word.split(|&byte| byte == b'.') {
        let place = octets.get_mut(usize::from(count)).ok_or(BadLine::Address)?;
        let is_plain = part.len() <= 1 || part[0] != b'0';
        let octet = number(part).filter(|_| is_plain).and_then(|octet| u8::try_from(octet).ok());
        *place = octet.ok_or(BadLine::Address)?;
        count += 1;
    }
    Ok((octets.into(), count))
}
