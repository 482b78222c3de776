//! What may be true of a tuple, given every answer about it that came, and what an answer proves.
//!
//! ```text
//!  untried ──▶ grey, since a second of a span ──▶ white
//! ```
//! A tuple whose requests were all answered is in one of the three, to within the seconds that the
//! moments of sending and answering leave open. A request that was under way when the service was
//! killed may count or not: then several are possible, until an answer tells. So a check has no
//! room for excuses: an answer fits at least one of the possibilities, or something was lost or
//! made up.
//!
//! Requests for one tuple may be under way on two connections at once. The service may take them in
//! either order, and if one of them was never answered, it may have left its mark or not; but an
//! answer that presumes that mark proves it.
//!
//! Never knows: connections, processes, files. The states and their order are those of
//! `greylist::tuple`, written anew: a checker that asks what it checks proves nothing.

use crate::clock::Span;

/// How long after a first attempt a retry passes, in seconds.
pub(crate) const EMBARGO: u32 = 4;

/// What one tuple may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Knowledge {
    /// It may never have been tried, as far as the service is concerned.
    pub(crate) untried: bool,
    /// It may be grey, first tried in one of these seconds.
    pub(crate) grey: Option<Span>,
    /// It may be white.
    pub(crate) white: bool,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Try again in so many seconds. If that is the whole embargo, this may be the first attempt, or
    /// a retry within the same second.
    Deferred { wait: u32 },
    /// No objection, and for the first time: the first attempt was so many seconds ago.
    Passed { waited: u32 },
    /// No objection.
    Known,
}

/// A request for a tuple, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// When the service may have decided it.
    pub(crate) at: Span,
    /// Nothing: the service was killed before.
    pub(crate) answer: Option<Answer>,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What an earlier answer had promised to remember is forgotten.
    Lost,
    /// It says what never happened, or has the times wrong.
    Wrong,
}

impl Knowledge {
    /// Of a tuple that nobody has asked for.
    pub(crate) const UNTRIED: Self = Self { untried: true, grey: None, white: false };

    /// Of a tuple that has passed.
    pub(crate) const WHITE: Self = Self { untried: false, grey: None, white: true };

    /// Nothing at all is known.
    const ANYTHING: Self = Self { untried: true, grey: Some(Span::ANY), white: true };

    /// No possibility: where the search for one begins.
    const IMPOSSIBLE: Self = Self { untried: false, grey: None, white: false };

    fn or(self, other: Self) -> Self {
        Self {
            untried: self.untried || other.untried,
            grey: match (self.grey, other.grey) {
                (Some(one), Some(another)) => Some(one.or(another)),
                (one, another) => one.or(another),
            },
            white: self.white || other.white,
        }
    }

    /// What is left after an answer, or after a request without one that has left its mark; `None`
    /// if the answer can't be.
    fn after(self, one: &Try) -> Option<Self> {
        let Self { untried, grey, white } = self;
        let mut next = Self::IMPOSSIBLE;
        match one.answer {
            None => {
                if untried {
                    next.grey = Some(one.at);
                }
                if let Some(since) = grey {
                    if one.at.first.saturating_sub(since.last) < EMBARGO {
                        next = next.or(Self { grey: Some(since), ..next });
                    }
                    next.white |= one.at.last.saturating_sub(since.first) >= EMBARGO;
                }
                next.white |= white;
            }
            Some(Answer::Deferred { wait }) => {
                if untried && wait == EMBARGO {
                    next.grey = Some(one.at);
                }
                // Already waited: 0 up to the embargo, but for its last second.
                let waited = EMBARGO.checked_sub(wait).filter(|_| wait > 0);
                if let (Some(since), Some(waited)) = (grey, waited)
                    && let Some(since) = since.and(one.at.earlier(waited))
                {
                    next = next.or(Self { grey: Some(since), ..next });
                }
            }
            Some(Answer::Passed { waited }) => {
                let fits = |since: Span| since.and(one.at.earlier(waited)).is_some();
                next.white = waited >= EMBARGO && grey.is_some_and(fits);
            }
            Some(Answer::Known) => next.white = white,
        }
        (next != Self::IMPOSSIBLE).then_some(next)
    }

    /// What is known after requests that were under way at the same time.
    ///
    /// # Errors
    /// When no order of them explains their answers: what is wrong, and what the answers say if
    /// all that was known before is put aside, so that one fault is found once.
    pub(crate) fn after_all(self, tries: &[Try]) -> Result<Self, (Fault, Self)> {
        self.explain(tries).ok_or_else(|| {
            let fault =
                if tries.iter().any(|one| self.has_lost(one)) { Fault::Lost } else { Fault::Wrong };
            (fault, Self::ANYTHING.explain(tries).unwrap_or(Self::ANYTHING))
        })
    }

    /// All that may be after `tries`, in every order; `None` if no order fits.
    fn explain(self, tries: &[Try]) -> Option<Self> {
        let mut found = Self::IMPOSSIBLE;
        if tries.iter().all(|one| one.answer.is_none()) {
            // None of them need have left a mark.
            found = found.or(self);
        }
        for (at, one) in tries.iter().enumerate() {
            let Some(next) = self.after(one) else { continue };
            let mut rest = tries.to_vec();
            rest.remove(at);
            if let Some(end) = next.explain(&rest) {
                found = found.or(end);
            }
        }
        (found != Self::IMPOSSIBLE).then_some(found)
    }

    /// Whether an answer that can't be means that something was forgotten.
    fn has_lost(self, one: &Try) -> bool {
        let was_promised = !self.untried;
        match one.answer {
            Some(Answer::Deferred { wait }) => {
                was_promised && (wait == EMBARGO || self.grey.is_none())
            }
            Some(Answer::Passed { .. }) => was_promised && self.grey.is_none(),
            Some(Answer::Known) | None => false,
        }
    }
}

#[cfg(test)]
mod tests;
