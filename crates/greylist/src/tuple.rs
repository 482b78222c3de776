//! A tuple's state, and what one more attempt means for it: the state machine of greylisting.
//!
//! ```text
//!            first attempt                     retry in embargo ≤ age ≤ window
//!   (none) ───────────────▶ grey, since t0 ──────────────────────────────────▶ white, since now
//!      ▲                     │   ▲ retry with age < embargo: stays, t0 kept        │  ▲ each use
//!      └──── age > window ───┘                     ┌──── age > lifetime ───────────┘  └──renews
//!      └───────────────────────────────────────────┘
//! ```

use crate::timing::{Secs, Timestamp, Timing};

/// Whether a tuple is still to prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Seen, not yet passed.
    Grey,
    /// Has passed at least once within its lifetime.
    White,
}

/// What is remembered of one (client, sender, recipient).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Grey or white.
    pub state: State,
    /// Grey: the first attempt. White: the last use.
    pub since: Timestamp,
}

/// What one attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Not known, or known too long ago: remembered from now on, to be deferred.
    New {
        /// The embargo, whole.
        wait: Secs,
    },
    /// A retry before the embargo's end: to be deferred; the embargo is not restarted.
    Early {
        /// What is left of the embargo; at least one second.
        wait: Secs,
    },
    /// The retry that proves the sender: white from now on.
    Passed {
        /// How long ago the first attempt was.
        waited: Secs,
    },
    /// Already white; its lifetime starts anew.
    Known,
    /// Not known, and nothing could be forgotten to make room for it: to be accepted, since a
    /// greylist that forgets before the retry would defer the mail for ever.
    NoRoom,
}

impl Tuple {
    /// Whether `timing` says that this is forgotten at `now`. A tuple lives through the whole last
    /// second of its window or lifetime, as in X-Grey.
    pub fn expired(&self, timing: &Timing, now: Timestamp) -> bool {
        let limit = match self.state {
            State::Grey => timing.window(),
            State::White => timing.lifetime(),
        };
        now.since(self.since) > limit
    }
}

/// What one more attempt at `now` means for a tuple of which `known` is remembered, and what is
/// to be remembered after it.
pub fn judge(timing: &Timing, known: Option<Tuple>, now: Timestamp) -> (Touch, Tuple) {
    let white = Tuple { state: State::White, since: now };
    match known.filter(|tuple| !tuple.expired(timing, now)) {
        None => (Touch::New { wait: timing.embargo() }, Tuple { state: State::Grey, since: now }),
        Some(Tuple { state: State::White, .. }) => (Touch::Known, white),
        Some(grey) => {
            let waited = now.since(grey.since);
            if waited < timing.embargo() {
                (Touch::Early { wait: timing.embargo().saturating_sub(waited) }, grey)
            } else {
                (Touch::Passed { waited }, white)
            }
        }
    }
}

/// What two memories know of the same tuple, put together, such as a backup and the service that
/// takes it in: nobody who has proved itself, or waits, is worse off. In whichever order and however
/// often memories are put together, the same comes out.
pub fn merge(one: Tuple, other: Tuple) -> Tuple {
    match (one.state, other.state) {
        (State::White, State::White) => {
            if one.since >= other.since {
                one
            } else {
                other
            }
        }
        (State::Grey, State::Grey) => {
            if one.since <= other.since {
                one
            } else {
                other
            }
        }
        (State::White, State::Grey) => one,
        (State::Grey, State::White) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `story` ("0s new · 4m59s early · …") against one tuple and shows what really came.
    fn check(timing: &str, story: &str) {
        let lengths: Vec<Secs> = timing.split(", ").map(secs).collect();
        let timing = Timing::new(lengths[0], lengths[1], lengths[2]).unwrap();
        let start = Timestamp::from_unix_secs(1_800_000_000);
        let mut known = None;
        let mut seen = Vec::new();
        for step in story.split(" · ") {
            let (at, _) = step.split_once(' ').unwrap();
            let (touch, tuple) = judge(&timing, known, start.after(secs(at)));
            known = Some(tuple);
            seen.push(match touch {
                Touch::New { wait } => format!("{at} new {}", wait.get()),
                Touch::Early { wait } => format!("{at} early {}", wait.get()),
                Touch::Passed { waited } => format!("{at} passed {}", waited.get()),
                Touch::Known => format!("{at} known"),
                Touch::NoRoom => format!("{at} no-room"),
            });
        }
        assert_eq!(seen.join(" · "), story);
    }

    /// `6h1s` as seconds.
    fn secs(text: &str) -> Secs {
        let mut total = 0;
        for part in text.split_inclusive(['d', 'h', 'm', 's']) {
            let (digits, unit) = part.split_at(part.len() - 1);
            let unit = match unit {
                "d" => 86_400,
                "h" => 3600,
                "m" => 60,
                _ => 1,
            };
            total += digits.parse::<u32>().unwrap() * unit;
        }
        Secs::new(total)
    }

    #[test]
    fn a_retry_one_second_before_the_embargo_ends_is_deferred_and_at_its_end_passes() {
        check("5m, 6h, 36d", "0s new 300 · 4m59s early 1 · 5m passed 300 · 6h known");
    }

    #[test]
    fn an_early_retry_does_not_restart_the_embargo() {
        check("1m, 6h, 36d", "0s new 60 · 30s early 30 · 59s early 1 · 60s passed 60");
    }

    #[test]
    fn a_retry_in_the_windows_last_second_passes_and_one_second_later_is_new() {
        check("1m, 6h, 36d", "0s new 60 · 6h passed 21600");
        check("1m, 6h, 36d", "0s new 60 · 6h1s new 60 · 6h1m1s passed 60");
    }

    #[test]
    fn early_retries_do_not_keep_the_window_open() {
        check("5h, 6h, 36d", "0s new 18000 · 4h early 3600 · 6h1s new 18000");
    }

    #[test]
    fn each_use_renews_the_lifetime_and_a_day_too_long_forgets() {
        check(
            "1m, 6h, 36d",
            "0s new 60 · 1m passed 60 · 36d1m known · 72d1m known · 108d2m new 60",
        );
    }

    #[test]
    fn a_clock_that_steps_back_neither_passes_nor_forgets() {
        let timing = Timing::DEFAULT;
        let grey = Tuple { state: State::Grey, since: Timestamp::from_unix_secs(1_000) };
        let (touch, tuple) = judge(&timing, Some(grey), Timestamp::from_unix_secs(400));
        assert_eq!((touch, tuple), (Touch::Early { wait: Secs::new(60) }, grey));
    }

    #[test]
    fn of_two_memories_white_beats_grey_the_later_use_and_the_earlier_first_try_count() {
        let tuple = |state, secs| Tuple { state, since: Timestamp::from_unix_secs(secs) };
        let grey = |secs| tuple(State::Grey, secs);
        let white = |secs| tuple(State::White, secs);
        for (one, other, together) in [
            (grey(5), white(1), white(1)),
            (grey(1), white(5), white(5)),
            (white(1), white(5), white(5)),
            (grey(1), grey(5), grey(1)),
            (grey(3), grey(3), grey(3)),
        ] {
            assert_eq!(merge(one, other), together);
            assert_eq!(merge(other, one), together);
        }
    }

    #[test]
    fn memories_can_be_put_together_in_any_order_and_again() {
        let tuples = [State::Grey, State::White].into_iter().flat_map(|state| {
            (0..3).map(move |secs| Tuple { state, since: Timestamp::from_unix_secs(secs) })
        });
        let tuples: Vec<Tuple> = tuples.collect();
        for &a in &tuples {
            for &b in &tuples {
                assert_eq!(merge(merge(a, b), b), merge(a, b));
                for &c in &tuples {
                    assert_eq!(merge(merge(a, b), c), merge(a, merge(b, c)));
                }
            }
        }
    }
}
