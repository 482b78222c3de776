//! A slot's 16 bits of time: what unit they count, and which moment they stand for.
//!
//! A tick is a moment in whole units since 1970, of which only the low 16 bits are kept: time goes
//! round like a clock's hand. Read at a *reference* moment, a tick stands for the latest moment not
//! after it that has these 16 bits. That is the right one as long as the true one is less than
//! 65,536 units before the reference, which sweeping in time ensures ([`Scale::slack`]).
//!
//! The state chooses the unit. Grey counts seconds, so that embargo and window are exact; a window
//! of more than 18 hours takes two seconds or more, rounded down. White counts 1/65,536 of 1.25
//! lifetimes, rounded up to whole seconds; it is read as the *last* second of its unit, so that a
//! white tuple is known for at least its lifetime, and for at most one unit longer.
//!
//! Never knows: slots, tables, when a sweep happens.

use greylist::{Secs, State, Timestamp, Timing, Tuple};

/// How many different ticks there are.
const TICKS: u64 = 1 << u16::BITS;

/// The longest window, in units, that grey ticks are asked to reach: 18 hours of seconds.
const GREY_WINDOW_UNITS_MAX: u64 = 18 * 3600;

/// At the longest window of a unit, every slot must be swept within 65,534 - 64,800 = 734 units:
/// 12 minutes, for a sweep that takes seconds.
const GREY_SLACK_UNITS_MIN: u64 = TICKS - 2 - GREY_WINDOW_UNITS_MAX;
const _: () = assert!(GREY_SLACK_UNITS_MIN >= 10 * 60);

// White at the default lifetime: 65,534 x 60 s are 45.5 days for 36, so sweep within 9.5.
const _: () = assert!(white_unit(36 * 86_400) == 60);
const _: () = assert!((TICKS - 2) * white_unit(36 * 86_400) >= (36 + 9) * 86_400);

/// Seconds in a white unit: lifetime x 1.25 / 65,536, rounded up; at least 1.
const fn white_unit(lifetime: u64) -> u64 {
    (lifetime * 5).div_ceil(TICKS * 4)
}

/// The units of grey and white ticks, made for one [`Timing`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    timing: Timing,
    /// Seconds; at least 1.
    grey_unit: u64,
    /// Seconds; at least 1.
    white_unit: u64,
    slack: Secs,
}

/// A reference moment, with the divisions done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    now: Timestamp,
    grey: Hand,
    white: Hand,
}

/// A reference moment in units of one state.
#[derive(Clone, Copy, Debug)]
struct Hand {
    /// The low bits of the number of whole units.
    tick: u16,
    /// Seconds of the unit that has begun; less than a unit.
    rest_secs: u32,
    /// The least age, in units, of what has expired.
    expired_from: u32,
}

impl Moment {
    /// The moment itself.
    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }

    /// How many units ago a tick was.
    #[inline]
    pub(super) const fn age(&self, state: State, tick: u16) -> u16 {
        self.hand(state).tick.wrapping_sub(tick)
    }

    /// Whether what a tick stands for has expired.
    #[inline]
    pub(super) const fn is_expired(&self, state: State, tick: u16) -> bool {
        self.age(state, tick) as u32 >= self.hand(state).expired_from
    }

    const fn hand(&self, state: State) -> &Hand {
        match state {
            State::Grey => &self.grey,
            State::White => &self.white,
        }
    }
}

impl Scale {
    pub(super) fn new(timing: Timing) -> Self {
        let (window, lifetime) =
            (u64::from(timing.window().get()), u64::from(timing.lifetime().get()));
        let grey_unit = window.div_ceil(GREY_WINDOW_UNITS_MAX);
        let white_unit = white_unit(lifetime);
        // At a sweep, and when a tuple is written, it is not older than its window or lifetime. Of
        // the 65,536 units one is the reference's own, begun, and one is lost to rounding.
        let grey = (TICKS - 2) * grey_unit - window;
        let white = (TICKS - 2) * white_unit - lifetime;
        let slack = Secs::new(u32::try_from(grey.min(white)).unwrap_or(u32::MAX));
        Self { timing, grey_unit, white_unit, slack }
    }

    /// What it was made for.
    pub(super) const fn timing(&self) -> &Timing {
        &self.timing
    }

    /// How long after a sweep the ticks that it left, and those written since, still stand for only
    /// one moment.
    pub(super) const fn slack(&self) -> Secs {
        self.slack
    }

    /// `now` as a reference.
    pub(super) const fn at(&self, now: Timestamp) -> Moment {
        // White is read as the last second of its unit, so it is younger by that.
        let (window, lifetime) = (self.timing.window().get(), self.timing.lifetime().get());
        Moment {
            now,
            grey: Hand::at(now, self.grey_unit, window as u64),
            white: Hand::at(now, self.white_unit, lifetime as u64 + self.white_unit - 1),
        }
    }

    /// The least age of a grey tick, in units, that is at least `secs` long ago at a reference
    /// `moment`.
    pub(super) fn grey_age(&self, moment: &Moment, secs: Secs) -> u32 {
        let secs = u64::from(secs.get().saturating_sub(moment.grey.rest_secs));
        u32::try_from(secs.div_ceil(self.grey_unit)).unwrap_or(u32::MAX)
    }

    /// The tick that stands for `tuple.since`.
    #[inline]
    pub(super) const fn tick(&self, tuple: Tuple) -> u16 {
        (tuple.since.as_unix_secs() / self.unit(tuple.state)) as u16
    }

    /// The tuple that `state` and `tick` stand for at a reference `moment`.
    #[inline]
    pub(super) const fn tuple(&self, moment: &Moment, state: State, tick: u16) -> Tuple {
        let (unit, now) = (self.unit(state), moment.now.as_unix_secs());
        let units_ago = moment.age(state, tick) as u64 * unit;
        let first = (now - moment.hand(state).rest_secs as u64).saturating_sub(units_ago);
        let since = match state {
            State::Grey => first,
            State::White => {
                let last = first.saturating_add(unit - 1);
                if last < now { last } else { now }
            }
        };
        Tuple { state, since: Timestamp::from_unix_secs(since) }
    }

    const fn unit(&self, state: State) -> u64 {
        match state {
            State::Grey => self.grey_unit,
            State::White => self.white_unit,
        }
    }
}

impl Hand {
    /// `now` in units of that many seconds, where what is more than `limit` seconds ago has expired.
    const fn at(now: Timestamp, unit: u64, limit: u64) -> Self {
        let secs = now.as_unix_secs();
        let (units, rest) = (secs / unit, secs % unit);
        // age x unit + rest > limit. A unit is never longer than its limit, and at most 2^17.
        let expired_from = (limit - rest) / unit + 1;
        Self { tick: units as u16, rest_secs: rest as u32, expired_from: expired_from as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timing(embargo: u32, window: u32, lifetime: u32) -> Timing {
        Timing::new(Secs::new(embargo), Secs::new(window), Secs::new(lifetime)).unwrap()
    }

    #[test]
    fn units_are_as_fine_as_the_reach_allows() {
        const HOUR: u32 = 3600;
        const DAY: u32 = 86_400;
        for (window, lifetime, grey_unit, white_unit) in [
            (6 * HOUR, 36 * DAY, 1, 60),
            (18 * HOUR, DAY, 1, 2),
            (18 * HOUR + 1, 10, 2, 1),
            (24 * HOUR, 52_428, 2, 1),
            (24 * HOUR, 52_429, 2, 2),
            (u32::MAX, u32::MAX, 66_281, 81_920),
        ] {
            let scale = Scale::new(timing(1, window, lifetime));
            assert_eq!(
                (scale.grey_unit, scale.white_unit),
                (grey_unit, white_unit),
                "window {window}, lifetime {lifetime}"
            );
            assert!(scale.slack.get() >= 600, "{:?}", scale.slack);
        }
    }

    proptest! {
        /// The promise that `slack` makes, at its very edge.
        #[test]
        fn what_has_not_expired_is_read_right_until_the_slack_is_used_up(
            window in 2..u32::MAX,
            lifetime in 1..u32::MAX,
            start in 1u64 << 33..1 << 40,
            age in prop_oneof![Just(1.0), 0.0..1.0],
            white: bool,
        ) {
            let scale = Scale::new(timing(1, window, lifetime));
            let state = if white { State::White } else { State::Grey };
            let (unit, limit) = match state {
                State::Grey => (scale.grey_unit, window),
                State::White => (scale.white_unit, lifetime),
            };
            let since = Timestamp::from_unix_secs(start);
            // Swept, or written, when it has not expired, if only in the last second.
            let swept = since.after(Secs::new((f64::from(limit) * age) as u32));
            let last = swept.after(scale.slack());
            let read = scale.tuple(&scale.at(last), state, scale.tick(Tuple { state, since }));
            let error = read.since.as_unix_secs() as i64 - start as i64;
            match state {
                State::Grey => prop_assert!((1 - unit as i64..=0).contains(&error), "{}", error),
                State::White => prop_assert!((0..unit as i64).contains(&error), "{}", error),
            }
        }

        /// The short way to say so agrees with the long one, at the edges too.
        #[test]
        fn what_has_expired_by_its_age_in_units_has_expired(
            window in 2..u32::MAX,
            lifetime in 1..u32::MAX,
            now in 1u64 << 49..1 << 60,
            near: i8,
            tick: u16,
            white: bool,
        ) {
            let scale = Scale::new(timing(1, window, lifetime));
            let moment = scale.at(Timestamp::from_unix_secs(now));
            let state = if white { State::White } else { State::Grey };
            let hand = moment.hand(state);
            let edge = (hand.expired_from as u16).wrapping_add_signed(near.into());
            for tick in [tick, hand.tick.wrapping_sub(edge)] {
                let tuple = scale.tuple(&moment, state, tick);
                let expired = tuple.expired(scale.timing(), moment.now());
                prop_assert_eq!(moment.is_expired(state, tick), expired, "{}", tick);
            }
            let age = scale.grey_age(&moment, Secs::new(window / 2));
            let is_old = |age: u32| {
                let tuple = scale.tuple(&moment, State::Grey, moment.grey.tick.wrapping_sub(age as u16));
                moment.now().since(tuple.since).get() >= window / 2
            };
            prop_assert!(is_old(age) && (age == 0 || !is_old(age - 1)), "{}", age);
        }

        #[test]
        fn what_was_read_is_written_back_as_it_was(
            window in 2..u32::MAX,
            lifetime in 1..u32::MAX,
            now: u64,
            tick: u16,
            white: bool,
        ) {
            let scale = Scale::new(timing(1, window, lifetime));
            let moment = scale.at(Timestamp::from_unix_secs(now));
            let state = if white { State::White } else { State::Grey };
            let tuple = scale.tuple(&moment, state, tick);
            prop_assert!(tuple.since <= moment.now());
            // Before 1970 plus one round there are moments that no tick stands for.
            if now >= 1 << 49 {
                prop_assert_eq!(scale.tick(tuple), tick);
            }
        }
    }
}
