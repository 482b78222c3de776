//! How a run's time and numbers go on together.
//!
//! Never knows: the store, how long anything takes.

use std::ops::Range;

use super::numbers::Timeline;

/// Numbers that come in one step while time stands still.
const STEP: u64 = 100_000;

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    pub(crate) line: Timeline,
    /// The number that comes next: so many have come.
    pub(crate) next: u64,
    /// The second that it comes in.
    pub(crate) second: u32,
    pub(crate) flow: Flow,
}

/// Whether time goes on as numbers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Runs,
    Stands,
}

/// Numbers that come in one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) second: u32,
    pub(crate) numbers: Range<u64>,
    /// Whether another second begins after them.
    pub(crate) then: Then,
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    SameSecond,
    NextSecond,
}

impl Course {
    pub(crate) fn new(line: Timeline) -> Self {
        Self { line, next: 0, second: 0, flow: Flow::Runs }
    }

    /// How many tuples are alive.
    pub(crate) fn live(&self) -> u64 {
        self.next - self.line.oldest(self.second).min(self.next)
    }

    /// Goes one step on, to number `until` at most. None if it is there.
    pub(crate) fn step(&mut self, until: u64) -> Option<Step> {
        if self.next >= until {
            return None;
        }
        let second = self.second;
        let (end, then) = match self.flow {
            Flow::Stands => (self.next + STEP, Then::SameSecond),
            Flow::Runs => (self.line.first_of(second + 1), Then::NextSecond),
        };
        let then = if end > until { Then::SameSecond } else { then };
        let numbers = self.next..end.min(until);
        self.next = numbers.end;
        self.second += u32::from(then == Then::NextSecond);
        Some(Step { second, numbers, then })
    }

    /// The second in which it will have come to number `until`.
    pub(crate) fn second_at(&self, until: u64) -> u32 {
        match self.flow {
            Flow::Runs => self.line.second_of(until).max(self.second),
            Flow::Stands => self.second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_evenly_and_their_seconds_with_them() {
        let line = Timeline { tuples: 25, window: 10, embargo: 2 };
        let mut course = Course::new(line);
        let mut numbers = Vec::new();
        // In two goes, the first of which ends in mid-second.
        for until in [6, 52] {
            while let Some(step) = course.step(until) {
                for number in step.numbers.clone() {
                    assert_eq!(line.second_of(number), step.second, "{number}");
                }
                numbers.extend(step.numbers);
            }
            assert_eq!(course.next, until);
            assert_eq!(course.second, course.second_at(until));
        }
        assert_eq!(numbers, (0..52).collect::<Vec<_>>());
        assert_eq!(course.second, 20);
        // Those of seconds 10 to 19, and of the one that has begun.
        assert_eq!(course.live(), 52 - 25);
    }

    #[test]
    fn seconds_without_a_number_pass_too() {
        let mut course = Course::new(Timeline { tuples: 2, window: 10, embargo: 2 });
        let steps: Vec<Step> = std::iter::from_fn(|| course.step(2)).collect();
        assert_eq!(steps.len(), 6);
        assert_eq!(course.second, 6, "the second number comes in second 5");
    }

    #[test]
    fn while_time_stands_still_nothing_expires() {
        let mut course = Course::new(Timeline { tuples: 1_000, window: 10, embargo: 2 });
        while course.step(2_000).is_some() {}
        let (live, second) = (course.live(), course.second);
        course.flow = Flow::Stands;
        let steps: Vec<Step> = std::iter::from_fn(|| course.step(202_000)).collect();
        assert_eq!(steps.len(), 2);
        assert_eq!((course.live(), course.second), (live + 200_000, second));
        assert_eq!(course.second_at(300_000), second);
    }
}
