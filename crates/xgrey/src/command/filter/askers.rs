//! The threads that ask the service, each over a connection of its own, which is kept.
//!
//! A question waits in one queue for the next thread that is free, and has its deadline from the beginning: those
//! before it have earlier ones, so none waits beyond its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use parking_lot::{Condvar, Mutex};
use wire::postfix::client::Answer;

use super::health::{Health, Permit};
use crate::asking::{Deadline, NoAnswer, PolicyConnection};
use crate::cli::check::PolicyAddress;
use crate::clock;

/// The threads. A question takes the service some 50 µs, so four answer more than OpenSMTPD can ask; and
/// a service with `threads = 1` loses no more than four of its connections to us.
const ASKERS: usize = 4;

/// How many questions may wait: one for each session.
const WAITING_MAX: usize = super::sessions::SESSIONS_MAX;

/// Spent questions that are kept for their memory: as many as may come at once on a busy server.
const SPARE_MAX: usize = 256;

/// One question; its texts keep their memory for the next one.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) session: Vec<u8>,
    pub(super) token: Vec<u8>,
    /// As it goes to the service.
    pub(super) request: Vec<u8>,
}

/// What is done with answers.
pub(super) trait Answered: Send + Sync {
    /// An answer, or that the recipient is to be let in without one. `scratch` is there for its memory.
    fn answered(&self, question: &Question, answer: Option<Answer<'_>>, scratch: &mut Vec<u8>);

    /// Something that the admin is to know.
    fn say(&self, what: &str);
}

/// Whom to ask, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) server: PolicyAddress,
    pub(super) timeout: Duration,
}

/// The queue to the threads.
#[derive(Debug, Default)]
pub(super) struct Askers {
    queue: Mutex<Queue>,
    comes: Condvar,
    health: Health,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Question, Deadline)>,
    spare: Vec<Question>,
}

impl Askers {
    /// Starts the threads; they end with the process.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn start<A: Answered + 'static>(
        asking: &Asking,
        answered: &Arc<A>,
    ) -> io::Result<Arc<Self>> {
        let askers = Arc::new(Self::default());
        for n in 0..ASKERS {
            let asker = Asker { asking: asking.clone(), connection: None, scratch: Vec::new() };
            let (askers, answered) = (askers.clone(), answered.clone());
            thread::Builder::new()
                .name(format!("asker-{n}"))
                .spawn(move || asker.run(&askers, &*answered))?;
        }
        Ok(askers)
    }

    /// A question to be filled in.
    pub(super) fn blank(&self) -> Question {
        self.queue.lock().spare.pop().unwrap_or_default()
    }

    /// Takes the question to be asked; gives it back if too many wait.
    pub(super) fn ask(&self, question: Question, deadline: Deadline) -> Result<(), Question> {
        let mut queue = self.queue.lock();
        if queue.waiting.len() >= WAITING_MAX {
            return Err(question);
        }
        queue.waiting.push_back((question, deadline));
        drop(queue);
        self.comes.notify_one();
        Ok(())
    }

    fn next(&self) -> (Question, Deadline) {
        let mut queue = self.queue.lock();
        loop {
            if let Some(next) = queue.waiting.pop_front() {
                return next;
            }
            self.comes.wait(&mut queue);
        }
    }

    fn put_away(&self, mut question: Question) {
        for text in [&mut question.session, &mut question.token, &mut question.request] {
            text.clear();
        }
        let mut queue = self.queue.lock();
        if queue.spare.len() < SPARE_MAX {
            queue.spare.push(question);
        }
    }
}

/// One thread.
struct Asker {
    asking: Asking,
    connection: Option<PolicyConnection>,
    scratch: Vec<u8>,
}

impl Asker {
    fn run(mut self, askers: &Askers, answered: &impl Answered) {
        loop {
            let (question, deadline) = askers.next();
            match askers.health.permit(clock::boot(), self.asking.timeout) {
                Permit::LetIn => answered.answered(&question, None, &mut self.scratch),
                Permit::Ask => self.ask(&question, deadline, &askers.health, answered),
            }
            askers.put_away(question);
        }
    }

    fn ask(
        &mut self,
        question: &Question,
        deadline: Deadline,
        health: &Health,
        answered: &impl Answered,
    ) {
        // A kept connection may have been closed for being idle, or by a service that has started again.
        let kept = self.connection.take().map(|kept| self.ask_over(kept, question, deadline));
        let asked = match kept {
            Some(Ok(kept)) => Ok(kept),
            Some(Err(why @ (NoAnswer::Late(_) | NoAnswer::Policy { .. }))) => Err(why),
            Some(Err(_)) | None => PolicyConnection::open(&self.asking.server, deadline)
                .and_then(|new| self.ask_over(new, question, deadline)),
        };
        let said = match asked {
            Ok(connection) => {
                answered.answered(question, connection.last_answer(), &mut self.scratch);
                self.connection = Some(connection);
                health.answered()
            }
            Err(why) => {
                answered.answered(question, None, &mut self.scratch);
                health.missed(&why, clock::boot())
            }
        };
        if let Some(said) = said {
            answered.say(&said);
        }
    }

    /// The connection, if there is an answer on it.
    fn ask_over(
        &self,
        mut connection: PolicyConnection,
        question: &Question,
        deadline: Deadline,
    ) -> Result<PolicyConnection, NoAnswer> {
        connection.ask(&question.request, deadline).map(drop)?;
        Ok(connection)
    }
}
