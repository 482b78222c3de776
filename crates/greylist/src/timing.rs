//! Times, lengths of time, and the three that greylisting is made of.
//!
//! Time is whole seconds, rounded down, and always an argument: nothing here reads a clock.

use std::fmt;

/// A moment: whole seconds since 1970-01-01 00:00:00 UTC, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment that many seconds after the Unix epoch.
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix_secs(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was. A moment in the future counts as now, so a clock that stepped
    /// back makes nothing old; more than 136 years count as 136 years.
    pub const fn since(self, earlier: Self) -> Secs {
        let secs = self.0.saturating_sub(earlier.0);
        Secs(if secs > u32::MAX as u64 { u32::MAX } else { secs as u32 })
    }

    /// The moment `secs` later.
    pub const fn after(self, secs: Secs) -> Self {
        Self(self.0.saturating_add(secs.0 as u64))
    }
}

/// A length of time in whole seconds; up to 136 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secs(u32);

impl Secs {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// That many seconds.
    pub const fn new(secs: u32) -> Self {
        Self(secs)
    }

    /// The number of seconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// This minus `other`, not below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This plus `other`, not above 136 years.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// As a person would say it: `48 seconds`, `25 minutes`, `6 hours`, `36 days`. What is not exact is
/// rounded up, so that waiting for as long as it says is always enough.
impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Seconds in the unit; from how many seconds on a rounded count of it is precise enough.
        const UNITS: [(u32, u32, &str); 3] =
            [(86_400, 10 * 86_400, "day"), (3600, 12 * 3600, "hour"), (60, 121, "minute")];
        let (count, unit) = UNITS
            .into_iter()
            .find(|&(unit, rounded_from, _)| {
                let exact = unit > 60 && self.0 >= unit && self.0.is_multiple_of(unit);
                exact || self.0 >= rounded_from
            })
            .map_or((self.0, "second"), |(unit, _, name)| (self.0.div_ceil(unit), name));
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

/// The three lengths of time that greylisting is made of. `embargo < window` always holds, and
/// none of the three is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    embargo: Secs,
    window: Secs,
    lifetime: Secs,
}

impl Timing {
    /// One minute, six hours, 36 days: see `docs/reference.md` for why.
    pub const DEFAULT: Self = Self {
        embargo: Secs::new(60),
        window: Secs::new(6 * 3600),
        lifetime: Secs::new(36 * 86_400),
    };
    /// X-Grey 1.0: 25 minutes, six hours, 36 days.
    pub const X_GREY: Self = Self { embargo: Secs::new(25 * 60), ..Self::DEFAULT };
    /// RFC 6647, section 5: retries count from one minute to 24 hours after the first try.
    pub const RFC6647: Self = Self { window: Secs::new(24 * 3600), ..Self::DEFAULT };

    /// A timing that leaves time to retry.
    ///
    /// # Errors
    /// When one of the three is zero, or when the window closes before the embargo ends, so that no
    /// retry could ever pass.
    pub fn new(embargo: Secs, window: Secs, lifetime: Secs) -> Result<Self, TimingError> {
        for (name, secs) in [("embargo", embargo), ("window", window), ("lifetime", lifetime)] {
            if secs == Secs::ZERO {
                return Err(TimingError::Zero { name });
            }
        }
        if window <= embargo {
            return Err(TimingError::NoTimeToRetry { embargo, window });
        }
        Ok(Self { embargo, window, lifetime })
    }

    /// How long a first attempt must wait before a retry passes.
    pub const fn embargo(&self) -> Secs {
        self.embargo
    }

    /// Until when, from the first attempt, a retry must have come.
    pub const fn window(&self) -> Secs {
        self.window
    }

    /// How long a tuple that passed is known after its last use.
    pub const fn lifetime(&self) -> Secs {
        self.lifetime
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why three lengths of time do not make a [`Timing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingError {
    /// One of the three is zero.
    Zero {
        /// `embargo`, `window` or `lifetime`.
        name: &'static str,
    },
    /// The window ends no later than the embargo: every retry would be too early or too late.
    NoTimeToRetry {
        /// The embargo asked for.
        embargo: Secs,
        /// The window asked for.
        window: Secs,
    },
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { name } => write!(f, "{name} must be at least one second"),
            Self::NoTimeToRetry { embargo, window } => write!(
                f,
                "the window ({window}, counted from the first attempt) must be longer than the \
                 embargo ({embargo}), or no retry could ever pass"
            ),
        }
    }
}

impl std::error::Error for TimingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_reads_as_a_person_would_say_it_and_never_says_too_little() {
        for (secs, said) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (48, "48 seconds"),
            (60, "60 seconds"),
            (120, "120 seconds"),
            (121, "3 minutes"),
            (1500, "25 minutes"),
            (3600, "1 hour"),
            (3601, "61 minutes"),
            (6 * 3600, "6 hours"),
            (7201, "121 minutes"),
            (13 * 3600 + 1, "14 hours"),
            (86_400, "1 day"),
            (36 * 86_400, "36 days"),
        ] {
            assert_eq!(Secs::new(secs).to_string(), said);
        }
    }

    #[test]
    fn a_window_that_leaves_no_time_to_retry_is_refused() {
        let (minute, hour) = (Secs::new(60), Secs::new(3600));
        assert!(Timing::new(minute, hour, hour).is_ok());
        assert_eq!(
            Timing::new(hour, hour, hour),
            Err(TimingError::NoTimeToRetry { embargo: hour, window: hour })
        );
        assert_eq!(Timing::new(Secs::ZERO, hour, hour), Err(TimingError::Zero { name: "embargo" }));
    }

    #[test]
    fn a_moment_in_the_future_is_no_time_ago() {
        let (now, later) = (Timestamp::from_unix_secs(100), Timestamp::from_unix_secs(160));
        assert_eq!(now.since(later), Secs::ZERO);
        assert_eq!(later.since(now), Secs::new(60));
    }
}
