//! What is done to tuples by hand: by an admin, by X-Grey's control program, by an import.

use crate::service::TupleState;

/// Something done to a tuple, and what was known of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Hand {
    /// Made white, and unknown before.
    PassedUnknown,
    /// Made white, and grey before.
    PassedGrey,
    /// Made white, and white before.
    PassedWhite,
    /// To be forgotten, and unknown.
    ForgottenUnknown,
    /// Forgotten, and grey before.
    ForgottenGrey,
    /// Forgotten, and white before.
    ForgottenWhite,
    /// New by an import.
    Imported,
    /// Made white, as a query of an X-Grey client asked; counted as one of the first three too.
    AskedToPass,
}

impl Hand {
    /// All of them, with the word for each.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::PassedUnknown, "passed_unknown"),
        (Self::PassedGrey, "passed_grey"),
        (Self::PassedWhite, "passed_white"),
        (Self::ForgottenUnknown, "forgotten_unknown"),
        (Self::ForgottenGrey, "forgotten_grey"),
        (Self::ForgottenWhite, "forgotten_white"),
        (Self::Imported, "imported"),
        (Self::AskedToPass, "asked_to_pass"),
    ];

    /// Those for which one tuple is looked up.
    pub(super) const TUPLES: [Self; 6] = [
        Self::PassedUnknown,
        Self::PassedGrey,
        Self::PassedWhite,
        Self::ForgottenUnknown,
        Self::ForgottenGrey,
        Self::ForgottenWhite,
    ];

    /// A tuple of which `before` was known was made white.
    pub const fn passed(before: &TupleState) -> Self {
        match before {
            TupleState::Unknown => Self::PassedUnknown,
            TupleState::Grey { .. } => Self::PassedGrey,
            TupleState::White { .. } => Self::PassedWhite,
        }
    }

    /// A tuple of which `before` was known was forgotten.
    pub const fn forgotten(before: &TupleState) -> Self {
        match before {
            TupleState::Unknown => Self::ForgottenUnknown,
            TupleState::Grey { .. } => Self::ForgottenGrey,
            TupleState::White { .. } => Self::ForgottenWhite,
        }
    }
}
