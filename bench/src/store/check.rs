//! Whether what was put in is there, and nothing else.

use std::ops::Range;

use greylist::{State, Tuple};
use serde::Serialize;

use super::course::Course;
use super::numbers::{NEVER_SEEN, Scattered, time};
use super::plan::StopName;
use super::subject::Subject;

/// What a look at many tuples has found.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) stop: StopName,
    /// Live tuples that were looked for.
    pub(crate) asked: u64,
    /// Of those: there, with the state and the second that they should have.
    pub(crate) found: u64,
    /// There with another state or second: another tuple is taken for it.
    pub(crate) taken_for_another: u64,
    /// Not there.
    pub(crate) lost: u64,
    /// Tuples never seen that were looked for.
    pub(crate) misses: u64,
    /// Of those: found.
    pub(crate) false_matches: u64,
    /// Expired tuples that were looked for.
    pub(crate) expired: u64,
    /// Of those: found.
    pub(crate) outlived: u64,
}

/// Looks for `sample` live tuples spread over all that should be there, for as many that were never
/// there, and for some that have expired.
pub(super) fn check(
    subject: &Subject,
    course: &Course,
    stop: StopName,
    sample: u64,
) -> anyhow::Result<Check> {
    let mut check = Check {
        stop,
        asked: 0,
        found: 0,
        taken_for_another: 0,
        lost: 0,
        misses: sample,
        false_matches: 0,
        expired: 0,
        outlived: 0,
    };
    let second = course.second;
    let oldest = course.line.oldest(second).min(course.next);
    for number in Scattered::new(oldest..course.next, sample) {
        check.asked += 1;
        let since = time(course.line.second_of(number));
        match subject.peek(second, number)? {
            Some(tuple) if tuple == (Tuple { state: State::Grey, since }) => check.found += 1,
            Some(_) => check.taken_for_another += 1,
            None => check.lost += 1,
        }
    }
    // Other numbers than those of the stops' samples, which go upwards from there.
    let never: Range<u64> = NEVER_SEEN - sample..NEVER_SEEN;
    for number in never {
        check.false_matches += u64::from(subject.peek(second, number)?.is_some());
    }
    for number in Scattered::new(0..oldest, sample) {
        check.expired += 1;
        check.outlived += u64::from(subject.peek(second, number)?.is_some());
    }
    Ok(check)
}
