//! What a run does, decided before it begins: how many tuples, under which bound, where it stops to
//! measure.
//!
//! Never knows: the store, how long anything takes.

use std::fmt;

use anyhow::bail;
use serde::{Serialize, Serializer};
use store::Bound;

use super::numbers::Timeline;

/// Bytes of a slot.
pub(crate) const SLOT_BYTES: u64 = 8;

/// How full the bound is meant to be if none is asked for: so full that each tuple takes 8.9 bytes.
const FULL_PERCENT: u64 = 90;

/// A store shares its bound out to 2,048 shards, and the share of each is a number of whole pages:
/// what is between would not be used.
const SHARES_STEP: u64 = 2_048 * 4_096;
/// Smaller shares than four pages are not made of pages.
const WHOLE_PAGES_MIN: u64 = 4 * SHARES_STEP;

/// Stops that are nearer to the full size than this, in percent of the slots, are left out.
const APART_PERCENT: f64 = 1.0;

/// Touches of one kind at a stop, at most: at a million a second they take a second.
const SAMPLE_MAX: u64 = 1_000_000;

/// The part of the live tuples that a sample is, at most: so small that a stop does not change what
/// comes after it.
const SAMPLE_PART: u64 = 50;

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) tuples: u64,
    pub(crate) memory_bytes: Option<u64>,
    /// In percent of the bound's slots.
    pub(crate) levels: Vec<u8>,
    /// Seconds.
    pub(crate) window: u32,
    /// Seconds.
    pub(crate) embargo: u32,
    pub(crate) after: After,
}

/// How it goes on once it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Until so many percent of the tuples have been replaced by others.
    Turnover(u32),
    /// Until so many windows have passed, the one included in which it was filled.
    Windows(u32),
}

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) line: Timeline,
    pub(crate) bound: Bound,
    pub(crate) stops: Vec<Stop>,
}

/// Where the run stops to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) name: StopName,
    pub(crate) until: Until,
}

/// How far it is to a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until so many tuples have come in all, while time goes on.
    Made(u64),
    /// Until so many are live, while time stands still: nothing expires.
    Live(u64),
}

/// What a stop is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopName {
    /// So many percent of the slots, on the way to the full size.
    Level(u8),
    /// The full size.
    Full,
    /// So many percent replaced.
    TurnedOver(u32),
    /// The end of a window; the first one ends at the full size.
    Window(u32),
    /// So many percent of the slots, more than the full size needs.
    Beyond(u8),
}

impl fmt::Display for StopName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(percent) | Self::Beyond(percent) => write!(f, "{percent} % of the slots"),
            Self::Full => write!(f, "full size"),
            Self::TurnedOver(percent) => write!(f, "{percent} % turned over"),
            Self::Window(number) => write!(f, "window {number}"),
        }
    }
}

impl Serialize for StopName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Plan {
    /// # Errors
    /// When what was asked for makes no sense, with the reason.
    pub(crate) fn new(wishes: &Wishes) -> anyhow::Result<Self> {
        let &Wishes { tuples, window, embargo, .. } = wishes;
        if tuples == 0 {
            bail!("--tuples must be at least 1");
        }
        if embargo == 0 || embargo >= window {
            bail!("--embargo must be at least 1 second and shorter than --window");
        }
        let bound = match wishes.memory_bytes {
            Some(bytes) => Bound::new(bytes)?,
            None => bound_for(tuples)?,
        };
        let slots = bound.bytes() / SLOT_BYTES;
        if tuples > slots {
            bail!(
                "{tuples} tuples do not fit into --memory {}: it has {slots} slots of 8 bytes",
                bound.bytes()
            );
        }
        let line = Timeline { tuples, window, embargo };
        Ok(Self { line, bound, stops: stops(wishes, slots) })
    }

    /// Slots under the bound.
    pub(crate) fn slots(&self) -> u64 {
        self.bound.bytes() / SLOT_BYTES
    }

    /// How many tuples come in all, about.
    pub(crate) fn made(&self) -> u64 {
        let (mut made, mut beyond) = (0, 0);
        for stop in &self.stops {
            match stop.until {
                Until::Made(until) => made = made.max(until),
                Until::Live(live) => beyond = beyond.max(live.saturating_sub(self.line.tuples)),
            }
        }
        made + beyond
    }
}

/// A bound of which so many tuples fill nine tenths, or less.
///
/// # Errors
/// Never for a number of tuples that a machine can hold; the library's signature allows it.
pub(crate) fn bound_for(tuples: u64) -> anyhow::Result<Bound> {
    let least = Bound::for_capacity(tuples).bytes();
    let roomy = tuples.saturating_mul(100 * SLOT_BYTES) / FULL_PERCENT;
    let bytes = least.max(roomy);
    let step = if bytes < WHOLE_PAGES_MIN { 1 } else { SHARES_STEP };
    Ok(Bound::new(bytes.next_multiple_of(step))?)
}

/// How many touches of one kind are measured when so many tuples are live.
pub(crate) fn sample(live: u64) -> u64 {
    (live / SAMPLE_PART).clamp(live.min(1), SAMPLE_MAX)
}

fn stops(wishes: &Wishes, slots: u64) -> Vec<Stop> {
    let tuples = wishes.tuples;
    let mut levels = wishes.levels.clone();
    levels.sort_unstable();
    levels.dedup();
    let at = |percent: u8| slots * u64::from(percent) / 100;
    let full_percent = tuples as f64 * 100.0 / slots as f64;
    let is_apart = |percent: &u8| (f64::from(*percent) - full_percent).abs() >= APART_PERCENT;
    let (below, above): (Vec<u8>, Vec<u8>) =
        levels.into_iter().filter(is_apart).partition(|&percent| at(percent) < tuples);
    let below = below
        .into_iter()
        .filter(|&percent| at(percent) > 0)
        .map(|percent| Stop { name: StopName::Level(percent), until: Until::Made(at(percent)) });
    let full = Stop { name: StopName::Full, until: Until::Made(tuples) };
    let after: Vec<Stop> = match wishes.after {
        After::Turnover(0) => Vec::new(),
        After::Turnover(percent) => vec![Stop {
            name: StopName::TurnedOver(percent),
            until: Until::Made(tuples + tuples * u64::from(percent) / 100),
        }],
        After::Windows(windows) => (2..=windows)
            .map(|number| Stop {
                name: StopName::Window(number),
                until: Until::Made(tuples * u64::from(number)),
            })
            .collect(),
    };
    let above = above
        .into_iter()
        .map(|percent| Stop { name: StopName::Beyond(percent), until: Until::Live(at(percent)) });
    below.chain([full]).chain(after).chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn wishes(tuples: u64, memory_bytes: Option<u64>, after: After) -> Wishes {
        let levels = vec![92, 1, 10, 25, 50, 80, 50];
        Wishes { tuples, memory_bytes, levels, window: 21_600, embargo: 60, after }
    }

    fn described(wishes: &Wishes) -> String {
        let plan = Plan::new(wishes).unwrap();
        let mut text = format!("{} slots", plan.slots());
        for stop in &plan.stops {
            let (until, flow) = match stop.until {
                Until::Made(made) => (made, "made"),
                Until::Live(live) => (live, "live"),
            };
            text.push_str(&format!("\n{}: {until} {flow}", stop.name));
        }
        text
    }

    #[test]
    fn levels_lie_before_and_after_the_full_size() {
        let big = wishes(2_160_000_000, Some(18 << 30), After::Turnover(25));
        insta::assert_snapshot!(described(&big), @r"
        2415919104 slots
        1 % of the slots: 24159191 made
        10 % of the slots: 241591910 made
        25 % of the slots: 603979776 made
        50 % of the slots: 1207959552 made
        80 % of the slots: 1932735283 made
        full size: 2160000000 made
        25 % turned over: 2700000000 made
        92 % of the slots: 2222645575 live
        ");
    }

    #[test]
    fn windows_go_on_and_a_level_that_is_the_full_size_is_not_measured_twice() {
        let five = Wishes {
            levels: vec![50, 90, 92],
            ..wishes(10_000_000, Some(10_000_000 * 8 * 100 / 90), After::Windows(5))
        };
        insta::assert_snapshot!(described(&five), @r"
        11111111 slots
        50 % of the slots: 5555555 made
        full size: 10000000 made
        window 2: 20000000 made
        window 3: 30000000 made
        window 4: 40000000 made
        window 5: 50000000 made
        92 % of the slots: 10222222 live
        ");
        assert_eq!(Plan::new(&five).unwrap().made(), 50_222_222);
    }

    #[test]
    fn without_a_bound_the_full_size_is_about_nine_tenths_of_it() {
        for tuples in [10_000_000, 216_000_000, 2_160_000_000] {
            let plan = Plan::new(&wishes(tuples, None, After::Turnover(0))).unwrap();
            let percent = tuples as f64 * 100.0 / plan.slots() as f64;
            assert!((86.0..=90.001).contains(&percent), "{tuples}: {percent}");
            assert_eq!(plan.bound.bytes() % SHARES_STEP, 0);
        }
        let few = Plan::new(&wishes(1, None, After::Turnover(0))).unwrap();
        assert_eq!(few.bound, Bound::for_capacity(1));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let few = wishes(1_000, None, After::Turnover(25));
        for (wishes, reason) in [
            (Wishes { tuples: 0, ..few.clone() }, "--tuples"),
            (Wishes { tuples: 300_000, memory_bytes: Some(2 * MIB), ..few.clone() }, "do not fit"),
            (Wishes { memory_bytes: Some(MIB), ..few.clone() }, "at least 2 MiB"),
            (Wishes { embargo: 21_600, ..few.clone() }, "--embargo"),
            (Wishes { embargo: 0, ..few }, "--embargo"),
        ] {
            let error = Plan::new(&wishes).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_sample_is_a_small_part_of_what_is_there() {
        for (live, expected) in
            [(0, 0), (1, 1), (100, 2), (100_000, 2_000), (2_160_000_000, 1_000_000)]
        {
            assert_eq!(sample(live), expected, "{live}");
        }
    }
}
