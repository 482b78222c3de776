//! Whether the service answers, and what is said about it.
//!
//! One that does not answer costs each recipient its whole deadline, and so the mail server a session that
//! stands still for as long: with 1,000 recipients a second and two seconds 2,000 of them. So after three
//! questions without an answer in a row the others are let in at once, but for one at a time, which finds out
//! whether the service is back.
//!
//! Time is an argument.

use std::fmt::Display;
use std::time::Duration;

use parking_lot::Mutex;

/// After so many questions without an answer, in a row, the service counts as ailing.
const MISSES_MAX: u32 = 3;

/// How long after a question without an answer the next one is risked.
const PAUSE: Duration = Duration::from_millis(250);

/// How often it is said that nobody answers.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Whether a recipient is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// Ask.
    Ask,
    /// Let it in: nobody answers.
    LetIn,
}

/// How the service has been doing.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Questions without an answer since the last answer.
    misses: u32,
    /// While it is ailing: when the next question is risked, in time since boot.
    next: Duration,
    /// Recipients that were let in unasked since the last answer.
    let_in: u64,
    said_at: Option<Duration>,
}

impl Health {
    /// Whether to ask at `now`, when an answer is waited for until `timeout` later at most.
    pub(super) fn permit(&self, now: Duration, timeout: Duration) -> Permit {
        let mut state = self.0.lock();
        if state.misses < MISSES_MAX {
            return Permit::Ask;
        }
        if now < state.next {
            state.let_in += 1;
            return Permit::LetIn;
        }
        // Nobody else until this one has come to its end.
        state.next = now + timeout + PAUSE;
        Permit::Ask
    }

    /// Notes an answer. Gives what is to be said, if it is the first one for a while.
    pub(super) fn answered(&self) -> Option<String> {
        let mut state = self.0.lock();
        let State { let_in, said_at, .. } = std::mem::take(&mut *state);
        said_at?;
        Some(format!("the service answers again; {let_in} recipients were let in meanwhile"))
    }

    /// Notes a question without an answer, at `now`: its recipient is let in. Gives what is to be said.
    pub(super) fn missed(&self, why: &dyn Display, now: Duration) -> Option<String> {
        let mut state = self.0.lock();
        state.misses = state.misses.saturating_add(1);
        state.let_in += 1;
        state.next = now + PAUSE;
        if state.said_at.is_some_and(|said_at| now < said_at + SAY_EVERY) {
            return None;
        }
        state.said_at = Some(now);
        let let_in = state.let_in;
        Some(format!("{why}; mail flows: {let_in} recipients let in without an answer so far"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(2);

    fn at(millis: u64) -> Duration {
        Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn after_three_misses_one_question_at_a_time_finds_out_whether_the_service_is_back() {
        let health = Health::default();
        for _ in 0..3 {
            assert_eq!(health.permit(at(0), TIMEOUT), Permit::Ask);
        }
        for _ in 0..3 {
            let _ = health.missed(&"late", at(2_000));
        }
        assert_eq!(health.permit(at(2_249), TIMEOUT), Permit::LetIn);
        assert_eq!(health.permit(at(2_250), TIMEOUT), Permit::Ask);
        // While that one waits for its answer.
        assert_eq!(health.permit(at(4_250), TIMEOUT), Permit::LetIn);
        let _ = health.missed(&"late", at(4_250));
        assert_eq!(health.permit(at(4_499), TIMEOUT), Permit::LetIn);
        assert_eq!(health.permit(at(4_500), TIMEOUT), Permit::Ask);
        let _ = health.answered();
        assert_eq!(health.permit(at(4_501), TIMEOUT), Permit::Ask);
        assert_eq!(health.permit(at(4_501), TIMEOUT), Permit::Ask);
    }

    #[test]
    fn a_miss_now_and_then_is_no_reason_to_let_others_in() {
        let health = Health::default();
        for n in 0..10 {
            let _ = health.missed(&"late", at(n));
            let _ = health.missed(&"late", at(n));
            let _ = health.answered();
            assert_eq!(health.permit(at(n), TIMEOUT), Permit::Ask);
        }
    }

    #[test]
    fn that_nobody_answers_is_said_at_once_and_then_every_ten_seconds_and_that_somebody_does_once()
    {
        let health = Health::default();
        assert_eq!(health.answered(), None);
        let first = health.missed(&"late", at(0)).unwrap();
        assert_eq!(first, "late; mail flows: 1 recipients let in without an answer so far");
        assert_eq!(health.missed(&"late", at(9_999)), None);
        assert!(health.missed(&"late", at(10_000)).is_some());
        let again = health.answered().unwrap();
        assert_eq!(again, "the service answers again; 3 recipients were let in meanwhile");
        assert_eq!(health.answered(), None);
    }
}
