//! What touches of each kind cost at a stop. Each sample is left as it was found, but for the mixed
//! one, which takes the run a little further.

use std::ops::Range;

use greylist::{State, Timestamp, Tuple};
use serde::Serialize;

use super::course::{Course, Then};
use super::meter::{Cost, Meter};
use super::numbers::{NEVER_SEEN, Scattered, Timeline, time};
use super::plan;
use super::subject::{Answers, Subject};

/// White tuples are touched again so many seconds after their last use: longer than the unit that
/// the store keeps their time in, so that the touch is written down.
const UNUSED_SECS: u64 = 3_600;

/// In a mixed sample, of ten touches seven are new; one each is early, passing and known.
const MIXED_NEW: u64 = 7;
const MIXED_ALL: u64 = 10;

/// What touches of each kind cost. None where there was no tuple for it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Rates {
    /// First tries, on the way to the stop, with all that happens on the way: sweeping, growing.
    pub(crate) new: Option<Cost>,
    /// Retries before the embargo is over.
    pub(crate) early: Option<Cost>,
    /// Retries after it.
    pub(crate) passing: Option<Cost>,
    /// White tuples, used again.
    pub(crate) known: Option<Cost>,
    /// Looked for, and never seen.
    pub(crate) miss: Option<Cost>,
    /// 70 % new, 10 % each of the next three, while time goes on.
    pub(crate) mixed: Option<Cost>,
}

/// What a stop found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) rates: Rates,
    /// Touches that were answered otherwise than they should be.
    pub(super) unexpected: u64,
    /// Of those that were looked for and never seen.
    pub(super) false_matches: u64,
    /// All touches that were made.
    pub(super) answers: Answers,
}

/// Measures all kinds but new.
pub(super) fn measure(subject: &mut Subject, course: &mut Course) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    early(subject, course, &mut measured)?;
    passing_and_known(subject, course, &mut measured)?;
    miss(subject, course, &mut measured)?;
    mixed(subject, course, &mut measured)?;
    Ok(measured)
}

/// Touches them all, and says what that cost and what was answered.
fn timed(
    subject: &mut Subject,
    second: u32,
    numbers: impl Iterator<Item = u64>,
) -> anyhow::Result<(Cost, Answers)> {
    let meter = Meter::start();
    let answers = subject.touch(second, numbers)?;
    Ok((meter.cost(answers.total()), answers))
}

impl Measured {
    /// Adds answers, of which `expected` are as they should be.
    fn add(&mut self, answers: Answers, expected: u64) {
        self.answers += answers;
        self.unexpected += answers.total() - expected;
    }
}

fn some(cost: Cost) -> Option<Cost> {
    (cost.touches > 0).then_some(cost)
}

fn early(subject: &mut Subject, course: &Course, into: &mut Measured) -> anyhow::Result<()> {
    let numbers =
        Scattered::new(course.line.early(course.second, course.next), plan::sample(course.live()));
    let (cost, answers) = timed(subject, course.second, numbers)?;
    into.add(answers, answers.early);
    into.rates.early = some(cost);
    Ok(())
}

fn passing_and_known(
    subject: &mut Subject,
    course: &Course,
    into: &mut Measured,
) -> anyhow::Result<()> {
    let second = course.second;
    let range = course.line.passing(second, second);
    let numbers = Scattered::new(range, plan::sample(course.live()));
    let (cost, answers) = timed(subject, second, numbers.clone())?;
    into.add(answers, answers.passed);
    into.rates.passing = some(cost);
    make_white(subject, second, numbers.clone())?;
    let (cost, answers) = timed(subject, second, numbers.clone())?;
    into.add(answers, answers.known);
    into.rates.known = some(cost);
    make_grey_again(subject, &course.line, second, numbers)
}

fn miss(subject: &Subject, course: &Course, into: &mut Measured) -> anyhow::Result<()> {
    let count = plan::sample(course.live());
    // Others at each stop.
    let first = NEVER_SEEN + course.next;
    let meter = Meter::start();
    for number in first..first + count {
        into.false_matches += u64::from(subject.peek(course.second, number)?.is_some());
    }
    into.rates.miss = some(meter.cost(count));
    Ok(())
}

fn mixed(subject: &mut Subject, course: &mut Course, into: &mut Measured) -> anyhow::Result<()> {
    let sample = plan::sample(course.live());
    let until = course.next + sample * MIXED_NEW / MIXED_ALL;
    let each = sample / MIXED_ALL;
    // None of them expires before the sample is over.
    let range = course.line.passing(course.second, course.second_at(until));
    let each = each.min((range.end - range.start) / 2);
    let white = |of: &Scattered| of.clone().skip(each as usize);
    let retried = Scattered::new(range, each * 2);
    make_white(subject, course.second, white(&retried))?;

    let mut mix = Mix {
        news: 0..0,
        early: 0..0,
        since_retries: 0,
        pending: Vec::with_capacity(3),
        passing: retried.clone().take(each as usize),
        known: white(&retried),
    };
    let meter = Meter::start();
    let mut answers = Answers::default();
    while let Some(step) = course.step(until) {
        mix.early = course.line.early(step.second, step.numbers.start);
        mix.news = step.numbers;
        answers += subject.touch(step.second, &mut mix)?;
        if step.then == Then::NextSecond {
            subject.second_passed(course.second);
        }
    }
    into.rates.mixed = some(meter.cost(answers.total()));
    into.answers += answers;
    make_grey_again(subject, &course.line, course.second, retried)
}

/// First tries, and after each seventh a retry of each kind, as long as there are tuples for it.
struct Mix<P, K> {
    news: Range<u64>,
    /// The numbers that are too early just now.
    early: Range<u64>,
    since_retries: u64,
    pending: Vec<u64>,
    passing: P,
    known: K,
}

impl<P: Iterator<Item = u64>, K: Iterator<Item = u64>> Iterator for Mix<P, K> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if let Some(retry) = self.pending.pop() {
            return Some(retry);
        }
        let new = self.news.next()?;
        self.since_retries += 1;
        if self.since_retries == MIXED_NEW {
            self.since_retries = 0;
            let young = self.early.end.saturating_sub(self.early.start);
            // Any of them: a touch that is too early changes nothing.
            let early = new
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .checked_rem(young)
                .map(|at| self.early.start + at);
            self.pending
                .extend(early.into_iter().chain(self.passing.next()).chain(self.known.next()));
        }
        Some(new)
    }
}

fn make_white(
    subject: &Subject,
    second: u32,
    numbers: impl Iterator<Item = u64>,
) -> anyhow::Result<()> {
    let since = Timestamp::from_unix_secs(time(second).as_unix_secs() - UNUSED_SECS);
    for number in numbers {
        let _ = subject.put(second, number, Tuple { state: State::White, since })?;
    }
    Ok(())
}

/// What has expired meanwhile is forgotten.
fn make_grey_again(
    subject: &Subject,
    line: &Timeline,
    second: u32,
    numbers: impl Iterator<Item = u64>,
) -> anyhow::Result<()> {
    for number in numbers {
        let since = time(line.second_of(number));
        let _ = subject.put(second, number, Tuple { state: State::Grey, since })?;
    }
    Ok(())
}
