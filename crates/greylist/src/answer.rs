//! What is decided, why, and what the MTA is asked to do about it.
//!
//! An [`Answer`] is the decision with its one reason, for logs and counters. An [`Effect`] is what
//! goes over the wire. They differ on purpose: in observe mode every effect is
//! [`Effect::NoObjection`], whatever was decided.

use crate::rules::RuleRef;
use crate::timing::Secs;
use crate::tuple::Touch;

/// The decision, with its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Let it in.
    Accept(AcceptReason),
    /// Try again later (4yz).
    Defer(DeferReason),
    /// Never (5yz): a rule said so.
    Reject(RuleRef),
}

/// Why a query is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptReason {
    /// The sender has logged in.
    Authenticated,
    /// The client showed a certificate that the MTA verified.
    Certificate,
    /// The client is this host itself.
    Local,
    /// The recipient must always be reachable (postmaster, abuse).
    ExemptRecipient,
    /// A rule accepts it.
    Rule(RuleRef),
    /// The retry that proves the sender.
    Passed {
        /// How long ago the first attempt was.
        waited: Secs,
    },
    /// The tuple is white.
    Known,
    /// The table is full of tuples that may not be forgotten yet.
    NoRoom,
    /// The store could not be asked: mail goes first.
    FailOpen,
}

/// Why a query is deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeferReason {
    /// The first attempt, or the first after the window or lifetime ended.
    New {
        /// The embargo, whole.
        wait: Secs,
    },
    /// A retry before the embargo's end.
    Early {
        /// What is left of it.
        wait: Secs,
    },
}

impl From<Touch> for Answer {
    fn from(touch: Touch) -> Self {
        match touch {
            Touch::New { wait } => Self::Defer(DeferReason::New { wait }),
            Touch::Early { wait } => Self::Defer(DeferReason::Early { wait }),
            Touch::Passed { waited } => Self::Accept(AcceptReason::Passed { waited }),
            Touch::Known => Self::Accept(AcceptReason::Known),
            Touch::NoRoom => Self::Accept(AcceptReason::NoRoom),
        }
    }
}

impl Answer {
    /// `accept`, `defer` or `reject`: the word for logs, counters and JSON.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Defer(_) => "defer",
            Self::Reject(_) => "reject",
        }
    }

    /// The reason in one word, for logs, counters and JSON.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Accept(AcceptReason::Authenticated) => "authenticated",
            Self::Accept(AcceptReason::Certificate) => "certificate",
            Self::Accept(AcceptReason::Local) => "local",
            Self::Accept(AcceptReason::ExemptRecipient) => "exempt-recipient",
            Self::Accept(AcceptReason::Passed { .. }) => "passed",
            Self::Accept(AcceptReason::Known) => "known",
            Self::Accept(AcceptReason::NoRoom) => "no-room",
            Self::Accept(AcceptReason::FailOpen) => "fail-open",
            Self::Accept(AcceptReason::Rule(_)) | Self::Reject(_) => "rule",
            Self::Defer(DeferReason::New { .. }) => "new",
            Self::Defer(DeferReason::Early { .. }) => "early",
        }
    }

    /// The rule that decided, if one did.
    pub fn rule(&self) -> Option<RuleRef> {
        match self {
            Self::Accept(AcceptReason::Rule(rule)) | Self::Reject(rule) => Some(*rule),
            _ => None,
        }
    }
}

/// What the MTA is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Go on with its own checks: Postfix `DUNNO`, never an `OK` that would skip them.
    NoObjection,
    /// As [`Effect::NoObjection`], and add a header that says how long the message was delayed.
    AddHeader {
        /// How long ago the first attempt was.
        waited: Secs,
    },
    /// Refuse for now.
    Defer {
        /// How long until a retry passes.
        wait: Secs,
    },
    /// Refuse for good.
    Reject,
}

impl From<&Answer> for Effect {
    fn from(answer: &Answer) -> Self {
        match *answer {
            Answer::Accept(_) => Self::NoObjection,
            Answer::Defer(DeferReason::New { wait } | DeferReason::Early { wait }) => {
                Self::Defer { wait }
            }
            Answer::Reject(_) => Self::Reject,
        }
    }
}
