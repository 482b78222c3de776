//! What is asked of a server, and finding it in a datagram (sections 3 to 5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::field::u16_at;
use super::{Action, DATAGRAM_BYTES_MAX, ErrorCode, HEADER_BYTES, Secret, VERSION, until_nul};

/// Where a tuple's bytes begin (section 4).
pub(super) const TUPLE_DATA_AT: usize = 16;

/// Where the text of a change of a list begins (section 4).
pub(super) const LIST_TEXT_AT: usize = 14;

/// Where the address of a change of the IP list is (section 4).
const IP_LIST_ADDRESS_AT: usize = 16;

/// What a datagram is to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Nothing that gets an answer.
    Silent(Silence),
    /// A request that gets an error.
    Refused(Refused),
    /// A request.
    Asked(Asked<'a>),
}

/// Why a datagram gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// It is shorter than a header, 10 bytes. The original dies of it, or reads what lies behind it
    /// (section 5).
    Short,
    /// It is longer than 1,500 bytes (section 1).
    Oversized,
    /// It came otherwise than it was sent, or from somebody who doesn't know the secret.
    BadCrc,
}

impl Silence {
    /// In one word, for counters.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Oversized => "oversized",
            Self::BadCrc => "bad-crc",
        }
    }
}

/// A request that gets an answer of type 1, with why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As the asker gave it.
    pub mta: u16,
    /// What is wrong.
    pub error: ErrorCode,
}

/// A request and who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What kind of program asks; it is given back as it came, whatever it is (section 3).
    pub mta: u16,
    /// What is asked.
    pub request: Request<'a>,
}

/// What is asked (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Are you there?
    NoOp,
    /// May this pass?
    Greylist(Tuple<'a>),
    /// Let this pass from now on.
    Whitelist(Tuple<'a>),
    /// Forget this.
    Remove(Tuple<'a>),
    /// What have you counted?
    ShowStats,
    /// How are you set?
    ShowConfig,
    /// Make a report, to be fetched over TCP.
    Report(Report),
    /// Change what is said of a network. `0.0.0.0/0` is the default, which can't be removed.
    ChangeIpList {
        /// The network; bits behind its prefix are dropped.
        network: Ipv4Net,
        /// What is to be said of it.
        change: Change,
    },
    /// Change what is said of an address or domain.
    ChangeList {
        /// In which list.
        list: TextList,
        /// The address or domain, as it was sent; may be empty. [`is_default`](Request::is_default)
        /// tells the default, which can't be removed.
        text: &'a [u8],
        /// What is to be said of it.
        change: Change,
    },
}

/// Client, sender and recipient, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<'a> {
    /// Who connects.
    pub client: IpAddr,
    /// From whom; empty for the null sender.
    pub sender: &'a [u8],
    /// To whom.
    pub recipient: &'a [u8],
}

/// The reports that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// The list of IP addresses.
    IpList,
    /// Tuples without any flag (section 6).
    Tuples,
    /// All tuples.
    TuplesAll,
    /// Tuples that pass.
    Whitelist,
    /// The list of recipients.
    To,
    /// The list of recipients' domains.
    ToDomain,
    /// The list of senders.
    From,
    /// The list of senders' domains.
    FromDomain,
}

/// The lists whose entries are texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextList {
    /// Recipients.
    To,
    /// Recipients' domains.
    ToDomain,
    /// Senders.
    From,
    /// Senders' domains.
    FromDomain,
}

/// What is to become of an entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// It says this from now on.
    Set(Action),
    /// It goes.
    Remove,
}

impl Change {
    /// Its number (section 3).
    pub const fn code(self) -> u16 {
        match self {
            Self::Set(action) => action.code(),
            Self::Remove => 3,
        }
    }

    /// That of a number. The original takes any (section 5.5, a fault).
    pub fn of_code(code: u16) -> Option<Self> {
        if code == Self::Remove.code() {
            return Some(Self::Remove);
        }
        Action::of_code(code).map(Self::Set)
    }

    /// That of a word, in any case: an action's, or `remove`.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        if word.eq_ignore_ascii_case(b"REMOVE") {
            return Some(Self::Remove);
        }
        Action::of_word(word).map(Self::Set)
    }
}

impl Report {
    /// All there are, by type.
    pub const ALL: [Self; 8] = [
        Self::IpList,
        Self::Tuples,
        Self::TuplesAll,
        Self::Whitelist,
        Self::To,
        Self::ToDomain,
        Self::From,
        Self::FromDomain,
    ];

    const fn request_type(self) -> u16 {
        match self {
            Self::IpList => 12,
            Self::Tuples => 14,
            Self::TuplesAll => 16,
            Self::Whitelist => 18,
            Self::To => 20,
            Self::ToDomain => 22,
            Self::From => 24,
            Self::FromDomain => 26,
        }
    }
}

impl TextList {
    /// All there are, by type.
    pub const ALL: [Self; 4] = [Self::To, Self::ToDomain, Self::From, Self::FromDomain];

    const fn request_type(self) -> u16 {
        match self {
            Self::To => 30,
            Self::ToDomain => 32,
            Self::From => 34,
            Self::FromDomain => 36,
        }
    }

    /// As the control program and the files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::ToDomain => "to-domain",
            Self::From => "from",
            Self::FromDomain => "from-domain",
        }
    }
}

impl Request<'_> {
    /// Its type, which is even (section 3).
    pub const fn request_type(&self) -> u16 {
        match self {
            Self::NoOp => 0,
            Self::Greylist(_) => 2,
            Self::Whitelist(_) => 4,
            Self::Remove(_) => 6,
            Self::ShowStats => 8,
            Self::ShowConfig => 10,
            Self::Report(report) => report.request_type(),
            Self::ChangeIpList { .. } => 28,
            Self::ChangeList { list, .. } => list.request_type(),
        }
    }

    /// The type of its answer (section 3).
    pub const fn answer_type(&self) -> u16 {
        self.request_type() + 1
    }

    /// Whether an entry's text is the default's name: in these two spellings and no other
    /// (section 5.5).
    pub fn is_default(text: &[u8]) -> bool {
        text == b"default" || text == b"DEFAULT"
    }
}

/// What a datagram asks, checked in the original's order (section 5).
pub fn decode<'a>(datagram: &'a [u8], secret: &Secret) -> Decoded<'a> {
    if datagram.len() < HEADER_BYTES {
        return Decoded::Silent(Silence::Short);
    }
    if datagram.len() > DATAGRAM_BYTES_MAX {
        return Decoded::Silent(Silence::Oversized);
    }
    if !secret.is_of(datagram) {
        return Decoded::Silent(Silence::BadCrc);
    }
    // It has a header: none of these is missing.
    let [version, mta, number] = [4, 6, 8].map(|at| u16_at(datagram, at).unwrap_or_default());
    let request =
        if version > VERSION { Err(ErrorCode::Version) } else { request(number, datagram) };
    match request {
        Ok(request) => Decoded::Asked(Asked { mta, request }),
        Err(error) => Decoded::Refused(Refused { mta, error }),
    }
}

fn request(number: u16, datagram: &[u8]) -> Result<Request<'_>, ErrorCode> {
    Ok(match number {
        0 => Request::NoOp,
        2 => Request::Greylist(tuple(datagram)?),
        4 => Request::Whitelist(tuple(datagram)?),
        6 => Request::Remove(tuple(datagram)?),
        8 => Request::ShowStats,
        10 => Request::ShowConfig,
        12 => Request::Report(Report::IpList),
        14 => Request::Report(Report::Tuples),
        16 => Request::Report(Report::TuplesAll),
        18 => Request::Report(Report::Whitelist),
        20 => Request::Report(Report::To),
        22 => Request::Report(Report::ToDomain),
        24 => Request::Report(Report::From),
        26 => Request::Report(Report::FromDomain),
        28 => ip_list_change(datagram)?,
        30 => list_change(TextList::To, datagram)?,
        32 => list_change(TextList::ToDomain, datagram)?,
        34 => list_change(TextList::From, datagram)?,
        36 => list_change(TextList::FromDomain, datagram)?,
        _ => return Err(ErrorCode::Type),
    })
}

/// Types 2, 4 and 6. What follows the recipient is ignored (section 4).
fn tuple(datagram: &[u8]) -> Result<Tuple<'_>, ErrorCode> {
    let size = |at| u16_at(datagram, at).map(usize::from).ok_or(ErrorCode::BadData);
    let (ip_size, sender_size, recipient_size) = (size(10)?, size(12)?, size(14)?);
    let data = datagram.get(TUPLE_DATA_AT..).unwrap_or_default();
    let (client, rest) = match ip_size {
        4 => {
            let (address, rest) = data.split_first_chunk::<4>().ok_or(ErrorCode::BadData)?;
            (IpAddr::V4(Ipv4Addr::from(*address)), rest)
        }
        16 => {
            let (address, rest) = data.split_first_chunk::<16>().ok_or(ErrorCode::BadData)?;
            (IpAddr::V6(Ipv6Addr::from(*address)), rest)
        }
        _ => return Err(ErrorCode::BadData),
    };
    let (sender, rest) = rest.split_at_checked(sender_size).ok_or(ErrorCode::BadData)?;
    let recipient = rest.get(..recipient_size).ok_or(ErrorCode::BadData)?;
    Ok(Tuple { client, sender, recipient })
}

/// Type 28. That actions and prefix lengths exist is checked here; the original doesn't
/// (sections 5.5 and 12).
fn ip_list_change(datagram: &[u8]) -> Result<Request<'_>, ErrorCode> {
    let word = |at| u16_at(datagram, at).ok_or(ErrorCode::BadData);
    let (code, ip_size) = (word(10)?, word(12)?);
    if ip_size != 4 {
        return Err(ErrorCode::AddressSize);
    }
    let change = Change::of_code(code).ok_or(ErrorCode::BadData)?;
    let prefix = u8::try_from(word(14)?).map_err(|_| ErrorCode::BadData)?;
    let address = datagram.get(IP_LIST_ADDRESS_AT..).and_then(<[u8]>::first_chunk::<4>);
    let address = Ipv4Addr::from(*address.ok_or(ErrorCode::BadData)?);
    let network = Ipv4Net::new(address, prefix).map_err(|_| ErrorCode::BadData)?.trunc();
    Ok(Request::ChangeIpList { network, change })
}

/// Types 30, 32, 34 and 36. The size at offset 12 is garbage that nobody reads (section 4); a text
/// without a NUL ends with the datagram (section 12).
fn list_change(list: TextList, datagram: &[u8]) -> Result<Request<'_>, ErrorCode> {
    let code = u16_at(datagram, 10).ok_or(ErrorCode::BadData)?;
    let text = until_nul(datagram.get(LIST_TEXT_AT..).ok_or(ErrorCode::BadData)?);
    let change = Change::of_code(code).ok_or(ErrorCode::BadData)?;
    Ok(Request::ChangeList { list, text, change })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_its_number_or_word_and_nothing_else_is_one() {
        let codes = (0..=u16::MAX).filter_map(Change::of_code).map(Change::code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(Change::of_word(b"remove"), Some(Change::Remove));
        assert_eq!(Change::of_word(b"Graylist"), Some(Change::Set(Action::Greylist)));
        assert_eq!(Change::of_word(b"EXPIRE"), None);
    }

    #[test]
    fn types_go_up_by_two_and_answers_are_one_more() {
        let reports = Report::ALL.map(|report| Request::Report(report).request_type());
        assert_eq!(reports, [12, 14, 16, 18, 20, 22, 24, 26]);
        let lists = TextList::ALL.map(|list| {
            Request::ChangeList { list, text: b"", change: Change::Remove }.answer_type()
        });
        assert_eq!(lists, [31, 33, 35, 37]);
    }

    #[test]
    fn the_default_has_two_spellings() {
        assert!(Request::is_default(b"default"));
        assert!(Request::is_default(b"DEFAULT"));
        assert!(!Request::is_default(b"Default"));
        assert!(!Request::is_default(b""));
    }
}
