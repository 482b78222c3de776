//! Which reductions an address has undergone: a set of five, with words for them.

use std::fmt;

/// One way in which an address was reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reduction {
    /// Letters folded, quotes or a final dot removed.
    Spelling = 0,
    /// What followed a `+` removed.
    Extension = 1,
    /// Numbers and addresses taken out of a bounce address.
    Verp = 2,
    /// A forwarder's hash and day taken out.
    Srs = 3,
    /// A signature removed.
    Batv = 4,
}

impl Reduction {
    /// Each of them, in the order in which [`Reductions`] names them.
    pub const ALL: [Self; 5] = [Self::Spelling, Self::Extension, Self::Verp, Self::Srs, Self::Batv];

    /// One word: `spelling`, `extension`, `verp`, `srs` or `batv`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Spelling => "spelling",
            Self::Extension => "extension",
            Self::Verp => "verp",
            Self::Srs => "srs",
            Self::Batv => "batv",
        }
    }
}

/// A set of reductions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Reductions(u8);

impl Reductions {
    /// The empty set: the address counts as it came.
    pub const NONE: Self = Self(0);

    /// Whether `reduction` was made.
    pub const fn contains(self, reduction: Reduction) -> bool {
        self.0 & (1 << reduction as u8) != 0
    }

    /// Whether none was made.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that were made.
    pub fn iter(self) -> impl Iterator<Item = Reduction> {
        Reduction::ALL.into_iter().filter(move |reduction| self.contains(*reduction))
    }

    pub(super) const fn insert(&mut self, reduction: Reduction) {
        self.0 |= 1 << reduction as u8;
    }
}

impl FromIterator<Reduction> for Reductions {
    fn from_iter<I: IntoIterator<Item = Reduction>>(reductions: I) -> Self {
        let mut set = Self::NONE;
        reductions.into_iter().for_each(|reduction| set.insert(reduction));
        set
    }
}

/// Their words: `spelling, extension`; nothing for none.
impl fmt::Display for Reductions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reduction) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", reduction.word())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reductions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
