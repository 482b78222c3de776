//! What can be wrong with an entry of a list, and how it is mended.

use std::fmt;
use std::ops::Range;

use ipnet::Ipv4Net;

use super::List;
use super::expression::COMPILED_BYTES_MAX;

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
    /// More than that.
    TooLong {
        /// How many bytes there may be.
        max: usize,
    },
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
    /// A slash in a domain.
    Slash,
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
    /// A backslash in an exact entry that stands for nothing.
    Escape,
    /// A NUL or line feed in an exact entry.
    ByteOfNoAddress,
    /// An exact entry in a list that has none.
    ExactHere,
}

impl PatternProblem {
    /// The sentence, where it is always the same.
    fn fixed_text(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty => "the entry is empty: write what is to match, or set the list's default",
            Self::Space => {
                "white space inside an entry: write one entry at a time \
                 (in a regular expression or after `=`, \\x20)"
            }
            Self::NotAnAddress => {
                "neither an IP address nor a network: \
                 write it as 192.0.2.7, 192.0.2.0/24, 10/8 or 2001:db8::/32"
            }
            Self::HostNameAsClient => {
                "the client list takes addresses and networks: \
                 put host names into the client-name list"
            }
            Self::ClientAsHostName => {
                "the client-name list takes host names: \
                 put addresses and networks into the client list"
            }
            Self::Wildcard => {
                "`*` is not understood here: write .example.net for example.net and everything \
                 below it, or a regular expression between slashes"
            }
            Self::EmptyLabel => {
                "a label is missing: write one dot between names, as in example.net"
            }
            Self::AtSign => {
                "a domain is wanted here: write what stands after the `@`, \
                 or put whole addresses into the sender or recipient list"
            }
            Self::AngleBrackets => {
                "angle brackets around an address: write it without them \
                 (only the null sender is written <>)"
            }
            Self::Slash => {
                "a slash inside a domain: leave it out, \
                 or write a regular expression between two slashes"
            }
            Self::ExpressionOpen => "a regular expression must end with a slash: write /…/",
            Self::ExpressionFlags => {
                "nothing may follow the closing slash: leave it out \
                 (letters match in any case as it is)"
            }
            Self::ExpressionEmpty => {
                "an empty regular expression matches everything: set the list's default instead"
            }
            Self::LookAround => {
                "look-around is not supported: give what is to be excepted a rule of its own, \
                 written before this one \
                 (a match must take time linear in the text, whatever the expression)"
            }
            Self::BackReference => {
                "back-references are not supported: spell out what may be repeated \
                 (a match must take time linear in the text, whatever the expression)"
            }
            Self::NotAscii => {
                "a class that holds more than ASCII: write other letters as alternatives, \
                 as in (?:ä|ö)"
            }
            Self::Escape => {
                "a backslash in an exact entry must stand before another, or before x and two \
                 hexadecimal digits: write \\\\ for a backslash, \\x20 for a blank"
            }
            Self::ByteOfNoAddress => "no address has such a byte: leave NUL and line feed out",
            Self::ExactHere => {
                "exact entries are for senders, recipients and their domains: leave the `=` out"
            }
            // Those that name a number, a list or a network.
            Self::TooLong { .. }
            | Self::PrefixLength { .. }
            | Self::NoPrefixLength { .. }
            | Self::NoAtSign { .. }
            | Self::NoLocalPart { .. }
            | Self::Syntax { .. }
            | Self::ExpressionTooBig => return None,
        })
    }
}

impl fmt::Display for PatternProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = self.fixed_text() {
            return f.write_str(text);
        }
        match self {
            Self::TooLong { max } => {
                write!(f, "the entry is too long: use at most {max} bytes")
            }
            Self::PrefixLength { max } => {
                write!(f, "not a prefix length: write a number of bits from 0 to {max}, as in /24")
            }
            Self::NoPrefixLength { meant } => {
                write!(f, "an incomplete IPv4 address: write {meant} if you mean that network")
            }
            Self::NoAtSign { domains } => write!(
                f,
                "an address is wanted here: write user@example.net, or user@ for any domain; \
                 put domains into the {} list",
                domains.word(),
            ),
            Self::NoLocalPart { domains } => write!(
                f,
                "nothing before the `@`: to match a whole domain, put it into the {} list, \
                 without the `@`",
                domains.word(),
            ),
            Self::Syntax { why } => write!(
                f,
                "{why}: write a backslash before a character that stands for itself, \
                 and (?:…) for a plain group",
            ),
            Self::ExpressionTooBig => write!(
                f,
                "takes more than {} KiB once compiled: use smaller repetition counts, \
                 or several rules",
                COMPILED_BYTES_MAX / 1024,
            ),
            // The rest has fixed texts.
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for PatternError {}
