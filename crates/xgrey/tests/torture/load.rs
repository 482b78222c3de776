//! One of the threads that ask: several connections, tuples that no other load asks for, and every
//! answer checked the moment that it comes.
//!
//! ```text
//!  plan ─▶ pick a tuple ─▶ ask, often several at once and one tuple on two connections
//!                               │ answers
//!          knowledge ◀─ judge ◀─┘ all requests for a tuple that were under way together
//! ```
//! When the service dies, all its connections end: what was not answered until then may count or
//! not, and the load is over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fastrand::Rng;
use rustix::event::{PollFd, PollFlags};

use crate::clock::{self, Offset};
use crate::connection::{Connection, Heard};
use crate::history::{Entry, History};
use crate::knowledge::{Answer, EMBARGO, Fault, Knowledge, Try};
use crate::tuples::{RIPE, TupleNumber, Tuples};

/// Connections of a load. The service hands them to its workers in turn, so that each worker has
/// some of every load's.
const CONNECTIONS: usize = 4;

/// Requests that a connection is given at once, at most.
const DEPTH: usize = 16;

/// Requests for one tuple that may be under way at once.
const AT_ONCE: usize = 2;

/// In how many cases a request is made on a second connection at the same time: one in so many.
const TWIN_ODDS: u32 = 8;

/// How long the service may take to answer, whatever the machine does besides. It is not speed that
/// is checked here: an answer that never comes must end the campaign.
const SILENCE: Duration = Duration::from_secs(60);

/// How long a load with nothing to ask waits until it looks again: all tuples may have to rest.
const IDLE: Duration = Duration::from_millis(10);

/// Faults kept; a service that forgets everything would fill the memory with them.
const FOUND_MAX: usize = 1_000;

/// New tuples a load invents in a second, but for the last moments before a kill: 200 lives of
/// three seconds then have a million or two, which the last look can still ask for one by one.
const NEW_PER_SECOND: f64 = 1_000.0;

/// Grey tuples that are kept for the last moments before a kill, to be made white there.
const RESERVE: usize = 256;

/// A start of the service, as a load needs to know it.
#[derive(Debug)]
pub(crate) struct Life {
    /// Counted from 1.
    pub(crate) number: u16,
    pub(crate) socket: PathBuf,
    pub(crate) offset: Offset,
    /// A kill is near.
    pub(crate) is_dying: AtomicBool,
}

/// How much of what is asked changes what the service must remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Steady,
    /// Most of it, since a kill is near: what is forgotten first is what was told last.
    Dying,
}

/// What to ask for.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Anything, until the service is killed.
    Storm(Storm),
    /// These, once.
    Each { left: Vec<TupleNumber> },
}

/// A load in a life that ends by a kill.
#[derive(Debug)]
pub(crate) struct Storm {
    /// What to look at first.
    sample: Vec<TupleNumber>,
    /// When it has begun, after boot, and how many new tuples it has invented since.
    begun: Duration,
    new: u32,
}

impl Storm {
    /// Whether new tuples are due.
    fn may_invent(&self, now: Duration, pace: Pace) -> bool {
        let due = (now - self.begun).as_secs_f64() * NEW_PER_SECOND;
        pace == Pace::Dying || f64::from(self.new) < due
    }
}

/// What is wrong with an answer, and all there is to know about it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) fault: Fault,
    pub(crate) load: u8,
    pub(crate) tuple: TupleNumber,
    pub(crate) life: u16,
    /// What was known before.
    pub(crate) before: Knowledge,
    /// What was asked and answered then; or what came in an answer's place.
    pub(crate) tries: Vec<Try>,
    pub(crate) strange: Option<String>,
}

/// What a load has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answered: u64,
    /// Under way when the service was killed.
    pub(crate) unanswered: u64,
    /// Asked for on two connections at once.
    pub(crate) twins: u64,
    /// First looks at tuples that an earlier life of the service knew.
    pub(crate) survivors: u64,
    pub(crate) lost: u64,
    pub(crate) wrong: u64,
}

/// A load, over all lives of the service.
#[derive(Debug)]
pub(crate) struct Load {
    number: u8,
    rng: Rng,
    pub(crate) tuples: Tuples,
    pub(crate) history: History,
    pub(crate) counts: Counts,
    pub(crate) found: Vec<Found>,
    /// Requests under way, by tuple.
    flights: HashMap<TupleNumber, Flight>,
    /// To be asked for on another connection too: the tuple, and the connection that has it.
    twins: Vec<(TupleNumber, usize)>,
}

/// The requests for one tuple that are under way together.
#[derive(Debug, Default)]
struct Flight {
    requests: Vec<Request>,
}

#[derive(Debug)]
struct Request {
    connection: usize,
    sent: Duration,
    /// When it was answered and what; or when it was clear that it would not be.
    end: Option<(Duration, Option<Answer>)>,
}

impl Load {
    pub(crate) fn new(number: u8, seed: u64, history: History) -> Self {
        Self {
            number,
            rng: Rng::with_seed(seed.wrapping_add(u64::from(number))),
            tuples: Tuples::new(),
            history,
            counts: Counts::default(),
            found: Vec::new(),
            flights: HashMap::new(),
            twins: Vec::new(),
        }
    }

    /// What to do in a life that ends by a kill.
    pub(crate) fn storm(&mut self) -> Plan {
        let sample = self.tuples.sample(&mut self.rng);
        Plan::Storm(Storm { sample, begun: clock::boot(), new: 0 })
    }

    /// Asks by `plan` until it is through or the service is gone; says whether it is through.
    pub(crate) fn run(&mut self, life: &Life, mut plan: Plan) -> bool {
        let open = (0..CONNECTIONS).map_while(|_| Connection::open(&life.socket, self.number));
        let mut connections: Vec<Connection> = open.collect();
        let mut is_over = connections.len() < CONNECTIONS;
        loop {
            if !is_over {
                self.ask(life, &mut connections, &mut plan);
            }
            let owed: usize = connections.iter().map(Connection::owes).sum();
            if owed == 0 && (is_over || plan.is_through()) {
                break;
            }
            let patience = if owed == 0 { IDLE } else { SILENCE };
            let ready = ready(&connections, patience);
            if ready.is_empty() && is_over {
                break;
            }
            let is_silent = ready.is_empty() && owed > 0;
            assert!(!is_silent, "{owed} requests were not answered in {SILENCE:?}");
            for at in ready {
                self.receive(life, &mut connections, at);
                is_over |= connections[at].has_ended();
            }
        }
        self.give_up(life, &connections);
        !is_over
    }

    /// Gives connections with little to do new requests.
    fn ask(&mut self, life: &Life, connections: &mut [Connection], plan: &mut Plan) {
        let now = clock::boot();
        let pace = if life.is_dying.load(Relaxed) { Pace::Dying } else { Pace::Steady };
        for (at, connection) in connections.iter_mut().enumerate() {
            let owes = connection.owes();
            if owes > DEPTH / 4 {
                continue;
            }
            for _ in owes..self.rng.usize(1..=DEPTH) {
                if let Some(tuple) = self.pick(at, now, pace, plan) {
                    connection.ask(tuple);
                    let request = Request { connection: at, sent: now, end: None };
                    self.flights.entry(tuple).or_default().requests.push(request);
                }
            }
        }
        for connection in connections {
            connection.send();
        }
    }

    /// The next tuple to ask for on the connection `at`.
    fn pick(
        &mut self,
        at: usize,
        now: Duration,
        pace: Pace,
        plan: &mut Plan,
    ) -> Option<TupleNumber> {
        if let Some(twin) = self.twins.iter().position(|(_, other)| *other != at) {
            let (tuple, _) = self.twins.swap_remove(twin);
            // Alone again, or answered already: then it would not be at the same time.
            let flight = self.flights.get(&tuple);
            if flight.is_some_and(|flight| flight.has_room()) {
                self.counts.twins += 1;
                return Some(tuple);
            }
        }
        let tuple = match plan {
            Plan::Each { left } => left.pop()?,
            Plan::Storm(storm) => match storm.sample.pop() {
                Some(tuple) => tuple,
                None => self.pick_any(now, pace, storm)?,
            },
        };
        if self.flights.contains_key(&tuple) {
            return None;
        }
        if self.rng.u32(..TWIN_ODDS) == 0 {
            self.twins.push((tuple, at));
        }
        Some(tuple)
    }

    /// A new one, one to be retried, or any.
    fn pick_any(&mut self, now: Duration, pace: Pace, storm: &mut Storm) -> Option<TupleNumber> {
        let retried = match (self.rng.u32(..10), pace) {
            (0..4, _) if storm.may_invent(now, pace) => {
                storm.new += 1;
                return Some(self.tuples.invent());
            }
            (4..7, Pace::Dying) => self.tuples.retry(now, 0),
            (4, Pace::Steady) => self.tuples.retry(now, RESERVE),
            _ => None,
        };
        retried.or_else(|| self.tuples.any(&mut self.rng))
    }

    /// Takes what has come on the connection `at`.
    fn receive(&mut self, life: &Life, connections: &mut [Connection], at: usize) {
        let mut all = Vec::new();
        connections[at].receive(|tuple, heard| all.push((tuple, heard)));
        let now = clock::boot();
        for (tuple, heard) in all {
            self.counts.answered += 1;
            match heard {
                Heard::Answer(answer) => self.close(life, tuple, at, now, Some(answer)),
                Heard::Strange(text) => {
                    self.report(Found {
                        fault: Fault::Wrong,
                        load: self.number,
                        tuple,
                        life: life.number,
                        before: self.tuples.known(tuple),
                        tries: Vec::new(),
                        strange: Some(text),
                    });
                    self.close(life, tuple, at, now, None);
                }
            }
        }
    }

    /// The service is gone, or the plan through: what is under way will not be answered.
    fn give_up(&mut self, life: &Life, connections: &[Connection]) {
        self.twins.clear();
        let now = clock::boot();
        for (at, connection) in connections.iter().enumerate() {
            for tuple in connection.unanswered() {
                self.counts.unanswered += 1;
                self.close(life, tuple, at, now, None);
            }
        }
        assert!(self.flights.is_empty(), "requests that nobody waits for: {:?}", self.flights);
    }

    /// Notes how a request ended; when it was the last one under way for its tuple, judges them.
    fn close(
        &mut self,
        life: &Life,
        tuple: TupleNumber,
        at: usize,
        now: Duration,
        answer: Option<Answer>,
    ) {
        let Some(flight) = self.flights.get_mut(&tuple) else {
            panic!("tuple {tuple:?} is not under way");
        };
        let is_it = |request: &&mut Request| request.connection == at && request.end.is_none();
        if let Some(request) = flight.requests.iter_mut().find(is_it) {
            request.end = Some((now, answer));
            let says_nothing_new =
                answer == Some(Answer::Known) && self.tuples.is_white_in(tuple, life.number);
            if !says_nothing_new {
                let (life, connection) = (life.number, u8::try_from(at).unwrap());
                let sent = request.sent;
                self.history.add(&Entry { tuple, life, connection, sent, answered: now, answer });
            }
        }
        if let Some(tries) = flight.tries(life.offset) {
            self.flights.remove(&tuple);
            self.judge(life, tuple, now, tries);
        }
    }

    fn judge(&mut self, life: &Life, tuple: TupleNumber, now: Duration, tries: Vec<Try>) {
        let before = self.tuples.known(tuple);
        let rests = tries.iter().any(|one| one.answer == Some(Answer::Deferred { wait: EMBARGO }));
        let known = before.after_all(&tries).unwrap_or_else(|(fault, known)| {
            let (load, life) = (self.number, life.number);
            self.report(Found { fault, load, tuple, life, before, tries, strange: None });
            known
        });
        let rests_until = rests.then_some(now + RIPE);
        if self.tuples.learn(tuple, known, life.number, rests_until) {
            self.counts.survivors += 1;
        }
    }

    fn report(&mut self, found: Found) {
        match found.fault {
            Fault::Lost => self.counts.lost += 1,
            Fault::Wrong => self.counts.wrong += 1,
        }
        if self.found.len() < FOUND_MAX || found.fault == Fault::Wrong {
            self.found.push(found);
        }
    }
}

impl Plan {
    /// Whether nothing is left to be asked for. A storm never ends by itself.
    fn is_through(&self) -> bool {
        matches!(self, Self::Each { left } if left.is_empty())
    }
}

impl Flight {
    /// Whether another request would be under way together with all that are.
    fn has_room(&self) -> bool {
        self.requests.len() < AT_ONCE && self.requests.iter().all(|one| one.end.is_none())
    }

    /// All of them, once the last has ended.
    fn tries(&self, offset: Offset) -> Option<Vec<Try>> {
        let ended = |one: &Request| {
            let (end, answer) = one.end?;
            Some(Try { at: offset.span(one.sent, end), answer })
        };
        self.requests.iter().map(ended).collect()
    }
}

/// The connections on which something has come, or that have ended and were not seen to.
fn ready(connections: &[Connection], patience: Duration) -> Vec<usize> {
    let watched: Vec<usize> =
        (0..connections.len()).filter(|at| !connections[*at].has_ended()).collect();
    let mut fds: Vec<PollFd<'_>> =
        watched.iter().map(|at| PollFd::new(&connections[*at], PollFlags::IN)).collect();
    if fds.is_empty() || !clock::ready_by(&mut fds, clock::boot() + patience) {
        return Vec::new();
    }
    let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    watched.into_iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|(at, _)| at).collect()
}
