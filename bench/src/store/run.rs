//! A run as planned: on to each stop, and there measured and checked.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::check;
use super::course::{Course, Flow, Then};
use super::measure;
use super::meter::{self, Cost};
use super::plan::{self, Plan, SLOT_BYTES, Stop, StopName, Until};
use super::report::{Facts, Reached};
use super::subject::Subject;
use super::watch::Watch;
use crate::clock;

/// How fast first tries come, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As fast as they are answered.
    Unbound,
    /// So many in a second that passes.
    PerSecond(NonZeroU64),
}

impl Pace {
    /// Waits if so many since `begin` are too many.
    fn keep(self, begin: Instant, touches: u64) {
        let Self::PerSecond(rate) = self else { return };
        let due = Duration::from_secs_f64(touches as f64 / rate.get() as f64);
        let early = due.saturating_sub(clock::now() - begin);
        // The kernel's timers are not finer than that.
        if early >= Duration::from_millis(1) {
            clock::wait(early);
        }
    }
}

/// A run on its way.
pub(super) struct Run<'a> {
    plan: &'a Plan,
    subject: &'a mut Subject,
    watch: &'a mut Watch,
    course: Course,
    /// Tuples to look for at each check.
    sample: u64,
    pace: Pace,
    facts: Facts,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        subject: &'a mut Subject,
        watch: &'a mut Watch,
        sample: u64,
        pace: Pace,
    ) -> Self {
        let course = Course::new(plan.line);
        Self { plan, subject, watch, course, sample, pace, facts: Facts::default() }
    }

    /// Goes to all stops; what was found.
    pub(super) fn go(mut self) -> anyhow::Result<Facts> {
        for stop in &self.plan.stops {
            self.reach(stop)?;
        }
        Ok(self.facts)
    }

    fn reach(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let until = match stop.until {
            Until::Made(made) => made,
            Until::Live(live) => {
                self.course.flow = Flow::Stands;
                self.course.next + live.saturating_sub(self.course.live())
            }
        };
        self.watch.say(&format!("on to {}", stop.name));
        // The last stretch is what new ones cost at this stop.
        let sample = plan::sample(until);
        let mut on_the_way = self.fill(until.saturating_sub(sample))?;
        let new = self.fill(until)?;
        on_the_way += new;

        let mut reached = self.look(stop.name, on_the_way);
        if !matches!(stop.name, StopName::Level(_) | StopName::Beyond(_)) {
            self.watch.say(&format!("{}: checking", stop.name));
            let check = check::check(self.subject, &self.course, stop.name, self.sample)?;
            self.facts.checks.push(check);
        }
        self.watch.say(&format!("{}: measuring", stop.name));
        let measured = measure::measure(self.subject, &mut self.course)?;
        reached.rates = measured.rates;
        reached.rates.new = (new.touches > 0).then_some(new);
        self.facts.unexpected += measured.unexpected;
        self.facts.false_matches += measured.false_matches;
        self.facts.answers += measured.answers;
        self.facts.reached.push(reached);
        Ok(())
    }

    /// First tries, up to number `until`.
    fn fill(&mut self, until: u64) -> anyhow::Result<Cost> {
        self.watch.begin();
        let (begin, mut touches) = (clock::now(), 0);
        while let Some(step) = self.course.step(until) {
            let count = step.numbers.end - step.numbers.start;
            let answers = self.subject.touch(step.second, step.numbers)?;
            if step.then == Then::NextSecond {
                self.subject.second_passed(self.course.second);
            }
            self.facts.taken_for_another += answers.total() - answers.new - answers.no_room;
            self.facts.answers += answers;
            self.watch.look(self.subject, &self.course, count);
            touches += count;
            self.pace.keep(begin, touches);
        }
        Ok(self.watch.end())
    }

    fn look(&self, stop: StopName, on_the_way: Cost) -> Reached {
        let stats = self.subject.stats();
        Reached {
            stop,
            made: self.course.next,
            live: self.course.live(),
            second: self.course.second,
            bound_percent: self.course.live() as f64 * 100.0 / self.plan.slots() as f64,
            used: stats.grey + stats.white,
            slots: stats.slots,
            resident_bytes: meter::resident_bytes(),
            slot_bytes: stats.slots * SLOT_BYTES,
            huge_page_bytes: meter::huge_page_bytes(),
            rebuilds: stats.rebuilds,
            no_room: stats.no_room,
            evicted_grey: stats.evicted_grey,
            evicted_white: stats.evicted_white,
            expired: stats.expired(),
            on_the_way,
            rates: measure::Rates::default(),
        }
    }
}
