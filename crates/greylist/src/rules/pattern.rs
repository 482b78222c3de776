//! One entry of a list, as an admin writes it, checked: what it is, or where in it the mistake is
//! and how to mend it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use ipnet::{IpNet, Ipv4Net};
use regex::bytes::Regex;

use super::address::EXTENSION;
use super::expression::{self, COMPILED_BYTES_MAX};
use super::{List, RuleText};

/// The longest entry, in bytes: an address has at most 320 (64 + 1 + 255, RFC 5321, 4.5.3.1), and
/// nobody reads a regular expression of more than a few lines.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// An entry for one list.
#[derive(Clone, Debug)]
pub struct Pattern {
    list: List,
    kind: Kind,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Host bits zero; never an IPv4-mapped IPv6 network.
    Net(IpNet),
    /// Lower-cased; what its forms mean is up to the list.
    Text(Box<str>),
    /// Without its slashes.
    Expression(Regex),
}

impl Pattern {
    /// Reads `text`, without white space around it, as an entry of `list`:
    ///
    /// - client: `192.0.2.7`, `192.0.2.0/24`, `10/8`, `2001:db8::/32`;
    /// - client-name: `mail.example.net`, `.example.net` (it and everything below), `/regex/`;
    /// - sender, recipient: `user@example.net`, `user@` (at any domain), `user+*@example.net` and
    ///   `user+*@` (with any extension or none), `<>` (the null sender), `/regex/`;
    /// - sender-domain, recipient-domain: `example.net`, `.example.net`, `/regex/`.
    ///
    /// # Errors
    /// Says what is wrong with it, where, and how to mend it.
    pub fn parse(list: List, text: &str) -> Result<Self, PatternError> {
        check_shape(text)?;
        let kind = match list {
            List::Client => Kind::Net(network(text)?),
            _ if text.starts_with('/') => Kind::Expression(expression_of(text)?),
            List::ClientName => Kind::Text(host_name(text)?),
            List::SenderDomain | List::RecipientDomain => Kind::Text(domain(text, 0)?),
            List::Sender => Kind::Text(address(text, List::SenderDomain)?),
            List::Recipient => Kind::Text(address(text, List::RecipientDomain)?),
        };
        Ok(Self { list, kind })
    }

    /// The list that it is for.
    pub fn list(&self) -> List {
        self.list
    }

    /// Its canonical form.
    pub fn text(&self) -> RuleText<'_> {
        match &self.kind {
            Kind::Net(net) => RuleText::net(*net),
            Kind::Text(text) => RuleText::plain(text),
            Kind::Expression(regex) => RuleText::expression(regex.as_str()),
        }
    }

    pub(super) fn new(list: List, kind: Kind) -> Self {
        Self { list, kind }
    }

    pub(super) fn into_kind(self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// The bytes of the text that are to blame.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub problem: PatternProblem,
}

/// What is wrong with an entry. `Display` says it, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternProblem {
    /// There is nothing.
    Empty,
    /// A blank or control character in the middle.
    Space,
    /// More than [`PATTERN_BYTES_MAX`].
    TooLong,
    /// Neither an address nor a network.
    NotAnAddress,
    /// A host name in the client list.
    HostNameAsClient,
    /// An address in the client-name list.
    ClientAsHostName,
    /// Not a number of bits.
    PrefixLength {
        /// The most bits that the address family has.
        max: u8,
    },
    /// Some octets of an IPv4 address, without a prefix length.
    NoPrefixLength {
        /// What was probably meant.
        meant: Ipv4Net,
    },
    /// A `*` where none is understood.
    Wildcard,
    /// Two dots in a row, or nothing but a dot.
    EmptyLabel,
    /// An address, or a domain with an `@` before it, where a domain belongs.
    AtSign,
    /// No `@` where an address belongs.
    NoAtSign {
        /// The list for domains.
        domains: List,
    },
    /// Nothing before the `@`.
    NoLocalPart {
        /// The list for domains.
        domains: List,
    },
    /// Brackets around an address.
    AngleBrackets,
    /// A regular expression without its closing slash.
    ExpressionOpen,
    /// Letters after the closing slash.
    ExpressionFlags,
    /// `//`.
    ExpressionEmpty,
    /// `(?=…)`, `(?!…)`, `(?<=…)` or `(?<!…)`.
    LookAround,
    /// `\1` or alike.
    BackReference,
    /// A class of characters beyond ASCII.
    NotAscii,
    /// Anything else that is wrong with a regular expression.
    Syntax {
        /// In the words of the regular expression library.
        why: String,
    },
    /// Takes too much memory once compiled.
    ExpressionTooBig,
}

impl fmt::Display for PatternProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "the entry is empty: write what is to match, or set the list's default",
            ),
            Self::Space => f.write_str(
                "white space inside an entry: write one entry at a time (in a regular expression, \\s or \\x20)",
            ),
            Self::TooLong => write!(f, "the entry is too long: use at most {PATTERN_BYTES_MAX} bytes"),
            Self::NotAnAddress => f.write_str(
                "neither an IP address nor a network: write it as 192.0.2.7, 192.0.2.0/24, 10/8 or 2001:db8::/32",
            ),
            Self::HostNameAsClient => f.write_str(
                "the client list takes addresses and networks: put host names into the client-name list",
            ),
            Self::ClientAsHostName => f.write_str(
                "the client-name list takes host names: put addresses and networks into the client list",
            ),
            Self::PrefixLength { max } => {
                write!(f, "not a prefix length: write a number of bits from 0 to {max}, as in /24")
            }
            Self::NoPrefixLength { meant } => {
                write!(f, "an incomplete IPv4 address: write {meant} if you mean that network")
            }
            Self::Wildcard => f.write_str(
                "`*` is not understood here: write .example.net for example.net and everything below it, or a regular expression between slashes",
            ),
            Self::EmptyLabel => f.write_str("a label is missing: write one dot between names, as in example.net"),
            Self::AtSign => f.write_str(
                "a domain is wanted here: write what stands after the `@`, or put whole addresses into the sender or recipient list",
            ),
            Self::NoAtSign { domains } => write!(
                f,
                "an address is wanted here: write user@example.net, or user@ for any domain; put domains into the {} list",
                domains.word(),
            ),
            Self::NoLocalPart { domains } => write!(
                f,
                "nothing before the `@`: to match a whole domain, put it into the {} list, without the `@`",
                domains.word(),
            ),
            Self::AngleBrackets => f.write_str(
                "write the address without angle brackets; only the null sender is written <>",
            ),
            Self::ExpressionOpen => f.write_str("a regular expression must end with a slash: write /…/"),
            Self::ExpressionFlags => f.write_str(
                "nothing may follow the closing slash: leave it out (letters match in any case as it is)",
            ),
            Self::ExpressionEmpty => f.write_str(
                "an empty regular expression matches everything: set the list's default instead",
            ),
            Self::LookAround => f.write_str(
                "look-around is not supported, since each match must take linear time: put what is to be excepted into a rule of its own, before this one",
            ),
            Self::BackReference => f.write_str(
                "back-references are not supported, since each match must take linear time: spell out what may be repeated",
            ),
            Self::NotAscii => f.write_str(
                "classes hold single bytes here, so only ASCII: write other letters as alternatives, as in (?:ä|ö)",
            ),
            Self::Syntax { why } => write!(
                f,
                "{why}: write a backslash before a character that stands for itself, and (?:…) for a plain group",
            ),
            Self::ExpressionTooBig => write!(
                f,
                "takes more than {} KiB once compiled: use smaller repetition counts, or several rules",
                COMPILED_BYTES_MAX / 1024,
            ),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for PatternError {}

pub(super) fn error<T>(at: Range<usize>, problem: PatternProblem) -> Result<T, PatternError> {
    Err(PatternError { at, problem })
}

/// What holds for every entry.
pub(super) fn check_shape(text: &str) -> Result<(), PatternError> {
    if text.is_empty() {
        return error(0..0, PatternProblem::Empty);
    }
    if text.len() > PATTERN_BYTES_MAX {
        let from = text.floor_char_boundary(PATTERN_BYTES_MAX);
        return error(from..text.len(), PatternProblem::TooLong);
    }
    let blank = |c: char| c.is_whitespace() || c.is_control();
    match text.char_indices().find(|&(_, c)| blank(c)) {
        Some((at, c)) => error(at..at + c.len_utf8(), PatternProblem::Space),
        None => Ok(()),
    }
}

/// An address, a network, or the first octets of an IPv4 network with its prefix length.
pub(super) fn network(text: &str) -> Result<IpNet, PatternError> {
    let (address_text, bits_text) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = match (address_text.parse::<IpAddr>(), leading_octets(address_text)) {
        (Ok(address), _) => address,
        (Err(_), Some(short)) if bits_text.is_some() => IpAddr::V4(short.addr()),
        (Err(_), Some(short)) => {
            return error(0..text.len(), PatternProblem::NoPrefixLength { meant: short });
        }
        (Err(_), None) if looks_like_host_name(address_text) => {
            return error(0..text.len(), PatternProblem::HostNameAsClient);
        }
        (Err(_), None) => return error(0..address_text.len(), PatternProblem::NotAnAddress),
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    let Some(bits_text) = bits_text else {
        return Ok(unmapped(IpNet::from(address)));
    };
    let bits = match bits_text.parse::<u8>() {
        Ok(bits) if bits_text.bytes().all(|byte| byte.is_ascii_digit()) => bits,
        _ => {
            return error(address_text.len() + 1..text.len(), PatternProblem::PrefixLength { max });
        }
    };
    match IpNet::new(address, bits) {
        Ok(net) => Ok(unmapped(net.trunc())),
        Err(_) => error(address_text.len() + 1..text.len(), PatternProblem::PrefixLength { max }),
    }
}

/// `10`, `10.1` or `10.1.2` as the network of all addresses that begin so.
pub(super) fn leading_octets(text: &str) -> Option<Ipv4Net> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        *octets.get_mut(count)? = part.parse().ok().filter(|_| digits)?;
        count += 1;
    }
    if count == 4 {
        return None;
    }
    Ipv4Net::new(Ipv4Addr::from(octets), count as u8 * 8).ok()
}

/// Clients never have IPv4-mapped addresses, so a rule for those is one for IPv4.
fn unmapped(net: IpNet) -> IpNet {
    /// How many bits come before the IPv4 address in `::ffff:192.0.2.7`.
    const MAPPED_BITS: u8 = 96;
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(bits) = v6.prefix_len().checked_sub(MAPPED_BITS)
        && let Ok(net) = Ipv4Net::new(v4, bits)
    {
        return IpNet::V4(net);
    }
    net
}

fn looks_like_host_name(text: &str) -> bool {
    let bytes = || text.bytes();
    !text.contains([':', '*', '@'])
        && bytes().any(|byte| byte.is_ascii_alphabetic())
        && bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// A host name: a domain that is not an address.
fn host_name(text: &str) -> Result<Box<str>, PatternError> {
    let address = text.split('/').next().unwrap_or(text);
    if address.parse::<IpAddr>().is_ok() || leading_octets(address).is_some() {
        return error(0..text.len(), PatternProblem::ClientAsHostName);
    }
    domain(text, 0)
}

/// A domain, or a suffix with its leading dot, lower-cased, without a final dot. `offset` is where
/// `text` begins in the entry.
pub(super) fn domain(text: &str, offset: usize) -> Result<Box<str>, PatternError> {
    if let Some(at) = text.find('@') {
        return error(offset..offset + at + 1, PatternProblem::AtSign);
    }
    if let Some(at) = text.find('*') {
        return error(offset + at..offset + at + 1, PatternProblem::Wildcard);
    }
    let trimmed = text.strip_suffix('.').unwrap_or(text);
    if trimmed.is_empty() {
        return error(offset..offset + text.len(), PatternProblem::EmptyLabel);
    }
    if let Some(at) = text.find("..") {
        return error(offset + at..offset + at + 2, PatternProblem::EmptyLabel);
    }
    Ok(trimmed.to_ascii_lowercase().into_boxed_str())
}

/// An address, or a local part with its `@`, lower-cased. The null sender is empty.
pub(super) fn address(text: &str, domains: List) -> Result<Box<str>, PatternError> {
    if text == "<>" {
        return Ok(Box::default());
    }
    if text.starts_with('<') {
        return error(0..text.len(), PatternProblem::AngleBrackets);
    }
    let Some((local, domain_text)) = text.rsplit_once('@') else {
        return error(0..text.len(), PatternProblem::NoAtSign { domains });
    };
    if local.is_empty() || local == EXTENSION.trim_end_matches('@') {
        return error(0..local.len() + 1, PatternProblem::NoLocalPart { domains });
    }
    if domain_text.is_empty() {
        return Ok(text.to_ascii_lowercase().into_boxed_str());
    }
    let after_at = local.len() + 1;
    if domain_text.starts_with('.') {
        return error(after_at..after_at + 1, PatternProblem::EmptyLabel);
    }
    let domain = domain(domain_text, after_at)?;
    Ok(format!("{}@{domain}", local.to_ascii_lowercase()).into_boxed_str())
}

/// A regular expression between slashes.
pub(super) fn expression_of(text: &str) -> Result<Regex, PatternError> {
    let Some((inner, flags)) = text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) else {
        return error(0..text.len(), PatternProblem::ExpressionOpen);
    };
    if !flags.is_empty() {
        let at = text.len() - flags.len()..text.len();
        return if flags.bytes().all(|byte| byte.is_ascii_lowercase()) && flags.len() <= 4 {
            error(at, PatternProblem::ExpressionFlags)
        } else {
            error(at, PatternProblem::ExpressionOpen)
        };
    }
    if inner.is_empty() {
        return error(0..text.len(), PatternProblem::ExpressionEmpty);
    }
    expression::check(inner).map_err(|PatternError { at, problem }| PatternError {
        // The slash comes before it.
        at: at.start + 1..at.end + 1,
        problem,
    })?;
    expression::compile(inner).map_err(|why| PatternError {
        at: 0..text.len(),
        problem: match why {
            regex::Error::CompiledTooBig(_) => PatternProblem::ExpressionTooBig,
            other => PatternProblem::Syntax { why: other.to_string() },
        },
    })
}
