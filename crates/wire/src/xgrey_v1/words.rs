//! The protocol's numbers that stand for words (section 3).

use std::fmt;

/// What is done with a mail; also what a rule says (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Try again later; of a rule: go on to the next list.
    Greylist,
    /// Let it in.
    Accept,
    /// Never.
    Reject,
}

impl Action {
    /// All there are, by number.
    pub const ALL: [Self; 3] = [Self::Greylist, Self::Accept, Self::Reject];

    /// Its number.
    pub const fn code(self) -> u16 {
        match self {
            Self::Greylist => 0,
            Self::Accept => 1,
            Self::Reject => 2,
        }
    }

    /// That of a number.
    pub fn of_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// As the original's reports and logs say it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Greylist => "GREYLIST",
            Self::Accept => "ACCEPT",
            Self::Reject => "REJECT",
        }
    }

    /// That of a word, in any case; `graylist` too.
    pub fn of_word(word: &[u8]) -> Option<Self> {
        if word.eq_ignore_ascii_case(b"GRAYLIST") {
            return Some(Self::Greylist);
        }
        Self::ALL.into_iter().find(|action| word.eq_ignore_ascii_case(action.word().as_bytes()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What an action was decided by (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// Nothing was decided.
    None,
    /// The list of IP addresses.
    Ip,
    /// The list of senders.
    From,
    /// The list of senders' domains.
    FromDomain,
    /// The list of recipients.
    To,
    /// The list of recipients' domains.
    ToDomain,
    /// A tuple that is not known yet.
    Greylist,
    /// A tuple that is known.
    Whitelist,
}

impl Why {
    /// All there are, by number.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Ip,
        Self::From,
        Self::FromDomain,
        Self::To,
        Self::ToDomain,
        Self::Greylist,
        Self::Whitelist,
    ];

    /// Its number.
    pub const fn code(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Ip => 1,
            Self::From => 2,
            Self::FromDomain => 3,
            Self::To => 4,
            Self::ToDomain => 5,
            Self::Greylist => 6,
            Self::Whitelist => 7,
        }
    }

    /// That of a number.
    pub fn of_code(code: u16) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// As the original's log says it (section 10).
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Ip => "IP",
            Self::From => "FROM",
            Self::FromDomain => "FROM-DOMAIN",
            Self::To => "TO",
            Self::ToDomain => "TO-DOMAIN",
            Self::Greylist => "GREYLIST",
            Self::Whitelist => "WHITELIST",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What is wrong with a request, in an answer of type 1 (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorCode {
    /// Its version is not supported.
    Version,
    /// Its MTA is not supported. No server sends this.
    Mta,
    /// Its type is not supported.
    Type,
    /// It contradicts itself.
    BadData,
    /// A report that can't be made now.
    NoReport,
    /// An address of a size that is not supported.
    AddressSize,
}

impl ErrorCode {
    /// All there are, by number, which begins with 1: 0 says that all is well.
    pub const ALL: [Self; 6] =
        [Self::Version, Self::Mta, Self::Type, Self::BadData, Self::NoReport, Self::AddressSize];

    /// Its number.
    pub const fn code(self) -> u16 {
        match self {
            Self::Version => 1,
            Self::Mta => 2,
            Self::Type => 3,
            Self::BadData => 4,
            Self::NoReport => 5,
            Self::AddressSize => 6,
        }
    }

    /// That of a number.
    pub fn of_code(code: u16) -> Option<Self> {
        usize::from(code).checked_sub(1).and_then(|index| Self::ALL.get(index)).copied()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Version => "version not supported",
            Self::Mta => "MTA not supported",
            Self::Type => "type of request not supported",
            Self::BadData => "bad data",
            Self::NoReport => "no report can be made now",
            Self::AddressSize => "size of IP address not supported",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_section_3() {
        for (code, (action, word)) in
            [(Action::Greylist, "GREYLIST"), (Action::Accept, "ACCEPT"), (Action::Reject, "REJECT")]
                .into_iter()
                .enumerate()
        {
            assert_eq!((usize::from(action.code()), action.word()), (code, word));
        }
        let all = (0..=u16::MAX).filter_map(Action::of_code).map(Action::code);
        assert_eq!(all.collect::<Vec<_>>(), [0, 1, 2]);
        let all = (0..=u16::MAX).filter_map(Why::of_code).map(Why::code);
        assert_eq!(all.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        let all = (0..=u16::MAX).filter_map(ErrorCode::of_code).map(ErrorCode::code);
        assert_eq!(all.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn an_action_is_known_in_any_case_and_by_both_spellings() {
        for action in Action::ALL {
            assert_eq!(Action::of_word(action.word().as_bytes()), Some(action));
            assert_eq!(Action::of_word(action.word().to_lowercase().as_bytes()), Some(action));
        }
        assert_eq!(Action::of_word(b"graylist"), Some(Action::Greylist));
        for word in ["", "remove", "expire", "accept ", "acc"] {
            assert_eq!(Action::of_word(word.as_bytes()), None, "{word}");
        }
    }
}
