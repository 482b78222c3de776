//! A campaign: start, ask, kill, start again, look; many times over. At the end everything is
//! looked at: once when every embargo is over, and once more after one last kill.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::clock::{self, Offset};
use crate::history::History;
use crate::knowledge::{EMBARGO, Fault};
use crate::load::{Counts, Life, Load, Plan};
use crate::phase::{Files, Moment, Phase, Watch};
use crate::report::Report;
use crate::service::{Journal, Place, Service};
use crate::tuples::RIPE;

/// Threads that ask: one for each core of the smallest machine that this runs on.
const LOADS: u8 = 2;

/// What a campaign is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) kills: u32,
    pub(crate) seed: u64,
    pub(crate) journal: Journal,
}

/// A campaign under way.
struct Campaign {
    place: Place,
    rng: Rng,
    loads: Vec<Load>,
    /// When the last life began, by the service's clock.
    offset: Offset,
    report: Report,
    /// How long the last start took.
    start_took: Duration,
}

/// Runs a campaign in that empty folder.
///
/// # Panics
/// When the service ends by itself, does not start, or leaves requests without an answer.
pub(crate) fn run(folder: &Path, settings: &Settings) -> Report {
    let load = |number| {
        let history = History::new(&folder.join(format!("history-{number}")));
        Load::new(number, settings.seed, history)
    };
    let mut campaign = Campaign {
        place: Place::new(folder, settings.journal),
        rng: Rng::with_seed(settings.seed),
        loads: (0..LOADS).map(load).collect(),
        offset: Offset::now(),
        report: Report::new(settings),
        start_took: Duration::ZERO,
    };
    for kill in 0..settings.kills {
        match Moment::of(kill, &mut campaign.rng) {
            Moment::Starting(part) => campaign.kill_before_ready(part),
            moment => campaign.kill_under_load(moment),
        }
    }
    campaign.look_at_everything();
    campaign.finish()
}

impl Campaign {
    /// A life that ends while it is about to begin.
    fn kill_before_ready(&mut self, part: u32) {
        let (_, mut service) = self.start();
        let moment = service.started + self.start_took * part / 1_000;
        let is_ready = self.place.is_ready_by(&mut service, moment);
        clock::wait_until(moment);
        let lived = service.kill();
        self.note(lived, if is_ready { Phase::Serving } else { Phase::Recovery });
    }

    /// A life that ends under load.
    fn kill_under_load(&mut self, moment: Moment) {
        let (life, service) = self.start_and_wait();
        let plans: Vec<Plan> = self.loads.iter_mut().map(Load::storm).collect();
        let state = self.place.state();
        let ready = Files::of(&state);
        let watch = Watch::of(&state);
        let lived = thread::scope(|scope| {
            for (load, plan) in self.loads.iter_mut().zip(plans) {
                let life = &life;
                scope.spawn(move || {
                    let is_through = load.run(life, plan);
                    assert!(!is_through, "a storm ends by a kill");
                });
            }
            moment.await_in(&watch, || life.is_dying.store(true, Relaxed));
            service.kill()
        });
        let phase = Files::of(&state).phase(Some(&ready));
        self.note(lived, phase);
    }

    /// Every tuple must be what was promised; when every embargo is over, all pass. Then the same
    /// after a kill, when all must be known.
    fn look_at_everything(&mut self) {
        let (life, service) = self.start_and_wait();
        clock::wait_until(clock::boot() + Duration::from_secs(u64::from(EMBARGO)) + RIPE);
        self.ask_each(&life);
        self.note(service.kill(), Phase::Serving);
        let (life, service) = self.start_and_wait();
        self.ask_each(&life);
        self.note(service.kill(), Phase::Serving);
    }

    fn ask_each(&mut self, life: &Life) {
        thread::scope(|scope| {
            for load in &mut self.loads {
                scope.spawn(move || {
                    let left = load.tuples.numbers().collect();
                    let is_through = load.run(life, Plan::Each { left });
                    assert!(is_through, "the service has ended by itself");
                });
            }
        });
    }

    /// Starts the service, and waits for nothing.
    fn start(&mut self) -> (Life, Service) {
        let offset = Offset::now();
        assert!(
            !offset.is_apart_from(self.offset),
            "the wall clock was stepped, so what was found would mean nothing: run it again"
        );
        self.offset = offset;
        let number = self.report.begin_life();
        let life =
            Life { number, socket: self.place.socket(), offset, is_dying: AtomicBool::new(false) };
        (life, self.place.start(&mut self.rng))
    }

    fn start_and_wait(&mut self) -> (Life, Service) {
        let (life, mut service) = self.start();
        self.start_took = self.place.wait_until_ready(&mut service);
        (life, service)
    }

    /// Notes how a life ended, and says so.
    fn note(&mut self, lived: Duration, phase: Phase) {
        let counts: Vec<Counts> = self.loads.iter().map(|load| load.counts).collect();
        let tuples = self.loads.iter().map(|load| load.tuples.len()).sum();
        self.report.end_life(phase, lived, &counts, tuples);
    }

    /// Tells the whole story of what was found.
    fn finish(mut self) -> Report {
        for load in &mut self.loads {
            let mut found = std::mem::take(&mut load.found);
            // What is lost says it all in one line; what is wrong is stranger.
            found.sort_by_key(|found| found.fault == Fault::Lost);
            for found in found {
                self.report.tell(&found, || load.history.of(found.tuple));
            }
        }
        self.report
    }
}
