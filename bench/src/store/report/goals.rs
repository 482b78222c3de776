//! What the store set out to reach, and whether a run shows it. Source: the project's own aims, as
//! `docs/performance.md` lists them.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::watch::{Extremes, JUDGED_TUPLES_MIN};
use super::{Facts, Journal, Kept, Method, Rates, Reached, Text, Totals};
use crate::store::meter::Cost;

/// The number that the project exists for; what is only asked of a run of that size is not asked of
/// a much smaller one.
const TUPLES: u64 = 2_160_000_000;
pub(crate) const LARGE_TUPLES_MIN: u64 = 1_000_000_000;

/// Resident bytes of the whole process for each live tuple, in a large run at full size.
const BYTES_MAX: f64 = 9.0;
/// The same at every size from ten million tuples on.
const BYTES_ON_THE_WAY_MAX: f64 = 13.0;
/// Touches of any kind for each second of CPU time, in memory, up to so much of the bound's slots.
const RATES_MIN: [(f64, f64); 2] = [(80.0, 2e6), (92.0, 1e6)];
/// A stop counts as one at some percentage up to so much above it: samples add a little.
const PERCENT_SLACK: f64 = 0.5;
/// The same with the journal on, at any stop: without and with text.
const JOURNALED_MIN: f64 = 1e6;
const WITH_TEXT_MIN: f64 = 3e5;
/// False matches in ten million tuples never seen.
const FALSE_MATCHES_MAX: f64 = 1.0;
const FALSE_MATCHES_IN: f64 = 1e7;
/// A whole run of the full size in memory, in minutes.
const MINUTES_MAX: f64 = 45.0;

/// One goal, and what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    pub(crate) what: String,
    /// None if it could not be measured.
    pub(crate) measured: Option<f64>,
    pub(crate) side: Side,
    pub(crate) wanted: f64,
    pub(crate) met: Option<bool>,
}

/// Which side of the wanted number is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    AtLeast,
    AtMost,
}

impl Goal {
    pub(crate) fn new(
        what: impl Into<String>,
        measured: Option<f64>,
        side: Side,
        wanted: f64,
    ) -> Self {
        let met = measured.map(|measured| match side {
            Side::AtLeast => measured >= wanted,
            Side::AtMost => measured <= wanted,
        });
        Self { what: what.into(), measured, side, wanted, met }
    }

    fn at_most(what: impl Into<String>, measured: f64, wanted: f64) -> Self {
        Self::new(what, Some(measured), Side::AtMost, wanted)
    }
}

/// Whether a run meets each goal that it says something about.
pub(super) fn judge(
    method: &Method,
    facts: &Facts,
    extremes: &Extremes,
    totals: &Totals,
) -> Vec<Goal> {
    let mut goals = memory(method, facts, extremes);
    goals.extend(speed(method, facts));
    let checked =
        |number: fn(&super::Check) -> u64| -> u64 { facts.checks.iter().map(number).sum() };
    let no_room = facts.reached.iter().map(|reached| reached.no_room).max().unwrap_or(0);
    goals.push(Goal::at_most("first tries refused for want of room", no_room as f64, 0.0));
    if checked(|check| check.asked) > 0 {
        let lost = checked(|check| check.lost);
        goals.push(Goal::at_most("tuples of the samples lost", lost as f64, 0.0));
        let outlived = checked(|check| check.outlived);
        goals.push(Goal::at_most("expired tuples still known", outlived as f64, 0.0));
    }
    let misses = checked(|check| check.misses);
    if misses > 0 {
        let matches =
            checked(|check| check.false_matches) as f64 * FALSE_MATCHES_IN / misses as f64;
        let what = "false matches in 10 million tuples never seen";
        goals.push(Goal::at_most(what, matches, FALSE_MATCHES_MAX));
    }
    if method.tuples >= TUPLES && method.journal == Journal::Off {
        let minutes = totals.wall_seconds / 60.0;
        goals.push(Goal::at_most("minutes for the whole run", minutes, MINUTES_MAX));
    }
    goals
}

/// Whether all that should be kept was. Texts that come faster than they can be written are dropped
/// by design, so they are only judged at a pace.
pub(super) fn judge_kept(method: &Method, kept: &Kept) -> Vec<Goal> {
    let mut goals = vec![Goal::at_most("changes that are in no file", kept.not_kept as f64, 0.0)];
    if let (Some(texts), Some(pace)) = (kept.texts, method.pace) {
        let pace = crate::units::grouped(pace.get() as f64);
        let what = format!("texts dropped, at {pace} first tries each second");
        goals.push(Goal::at_most(what, texts.dropped as f64, 0.0));
    }
    goals
}

fn memory(method: &Method, facts: &Facts, extremes: &Extremes) -> Vec<Goal> {
    let mut goals = Vec::new();
    let full = facts.reached.iter().find(|reached| reached.stop == super::StopName::Full);
    if let Some(full) = full.filter(|_| method.tuples >= LARGE_TUPLES_MIN) {
        let what = "resident bytes a tuple at full size";
        goals.push(Goal::at_most(what, full.bytes_per_tuple(), BYTES_MAX));
    }
    if let Some(most) = extremes.bytes_per_tuple {
        let what = format!(
            "resident bytes a tuple at every size from {} million on (most at {})",
            JUDGED_TUPLES_MIN / 1_000_000,
            crate::units::grouped(most.live as f64)
        );
        goals.push(Goal::at_most(what, most.value, BYTES_ON_THE_WAY_MAX));
    }
    let part = extremes.slot_bytes.value / method.bound_bytes as f64;
    goals.push(Goal::at_most("most bytes of slots, as a part of the bound", part, 1.0));
    goals
}

fn speed(method: &Method, facts: &Facts) -> Vec<Goal> {
    if let Journal::On { text, .. } = method.journal {
        let (min, with) = match text {
            Text::Off => (JOURNALED_MIN, "journaled"),
            Text::On => (WITH_TEXT_MIN, "journaled, with text"),
        };
        let what = format!("touches/s of CPU time, {with}");
        return slowest(what, facts.reached.iter(), min).into_iter().collect();
    }
    let mut from = 0.0;
    let mut goals = Vec::new();
    for (percent, min) in RATES_MIN {
        let range = from..percent + PERCENT_SLACK;
        from = range.end;
        let within = facts.reached.iter().filter(|reached| range.contains(&reached.bound_percent));
        let what = format!("touches/s of CPU time up to {percent} % of the slots");
        goals.extend(slowest(what, within, min));
    }
    goals
}

/// The lowest rate of any kind at any of these stops.
fn slowest<'a>(
    mut what: String,
    reached: impl Iterator<Item = &'a Reached>,
    wanted: f64,
) -> Option<Goal> {
    let rates = reached.flat_map(|reached| {
        let Rates { new, early, passing, known, mixed, .. } = &reached.rates;
        let on_the_way = &Some(reached.on_the_way);
        [
            ("all on the way", on_the_way),
            ("new", new),
            ("early", early),
            ("passing", passing),
            ("known", known),
            ("mixed", mixed),
        ]
        .map(|(kind, cost)| (reached.stop, kind, cost.as_ref().and_then(Cost::per_cpu_second)))
    });
    let (stop, kind, rate) = rates
        .filter_map(|(stop, kind, rate)| Some((stop, kind, rate?)))
        .min_by(|a, b| a.2.total_cmp(&b.2))?;
    let _ = write!(what, " (lowest: {kind}, {stop})");
    Some(Goal::new(what, Some(rate), Side::AtLeast, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::check::Check;
    use crate::store::plan::StopName;
    use crate::store::report::tests::{facts, method, totals};

    fn shown(method: &Method, facts: &Facts) -> String {
        let extremes = Extremes::default();
        let goals = judge(method, facts, &extremes, &totals());
        let line = |goal: &Goal| {
            format!("{} {}", if goal.met == Some(true) { "met" } else { "MISSED" }, goal.what)
        };
        goals.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_goal_is_judged_by_the_lowest_rate_of_its_stops() {
        insta::assert_snapshot!(shown(&method(), &facts()));
    }

    #[test]
    fn journaled_touches_have_goals_of_their_own() {
        for (text, min) in [(Text::Off, 1e6), (Text::On, 3e5)] {
            let journal = Journal::On { sync: "1 s".to_owned(), text };
            let goals = speed(&Method { journal, ..method() }, &facts());
            assert_eq!(goals.len(), 1);
            assert_eq!(goals[0].wanted, min);
        }
    }

    #[test]
    fn what_is_lost_or_found_in_vain_misses_a_goal() {
        let check = facts().checks[0];
        for (check, what) in [
            (Check { lost: 1, ..check }, "lost"),
            (Check { outlived: 1, ..check }, "still known"),
            (Check { false_matches: 2, ..check }, "false matches"),
        ] {
            let facts = Facts { checks: vec![check], ..facts() };
            let missed: Vec<Goal> = judge(&method(), &facts, &Extremes::default(), &totals())
                .into_iter()
                .filter(|goal| goal.met == Some(false) && goal.what.contains(what))
                .collect();
            assert_eq!(missed.len(), 1, "{what}");
        }
        let mut refused = facts();
        refused.reached.last_mut().unwrap().no_room = 3;
        assert!(shown(&method(), &refused).contains("MISSED first tries refused"));
        assert_eq!(facts().reached[1].stop, StopName::Full);
    }

    #[test]
    fn dropped_texts_miss_a_goal_only_at_a_pace() {
        let texts = Some(super::super::Texts { written: 1, dropped: 2, bytes: 3 });
        let kept = Kept { texts, ..Kept::default() };
        for (pace, missed) in [(None, 0), (std::num::NonZeroU64::new(300_000), 1)] {
            let goals = judge_kept(&Method { pace, ..method() }, &kept);
            assert_eq!(goals.iter().filter(|goal| goal.met == Some(false)).count(), missed);
        }
        let lost = judge_kept(&method(), &Kept { not_kept: 1, ..Kept::default() });
        assert_eq!(lost[0].met, Some(false));
    }

    #[test]
    fn the_whole_size_is_only_asked_of_a_run_of_that_size() {
        let small = shown(&Method { tuples: 10_000_000, ..method() }, &facts());
        assert!(!small.contains("full size") && !small.contains("minutes"), "{small}");
        let large = shown(&Method { tuples: TUPLES, ..method() }, &facts());
        assert!(large.contains("full size") && large.contains("minutes"), "{large}");
    }
}
