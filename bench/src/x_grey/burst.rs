//! A burst: so many questions sent while the server is held (SIGSTOP) for a second. All of them must lie
//! in its socket until it goes on, and all must be answered.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::batch::{self, Inbox, Outbox};
use super::datagram::{Type, read_answer};
use super::load::{Errors, Said};
use super::questions::Kind;
use super::{Options, report, servers};
use crate::clock;
use crate::machine::{Machine, random_seed};
use crate::publish::{Published, progress};
use crate::report::words;
use crate::units;

/// How long the server is held.
const HELD: Duration = Duration::from_secs(1);
/// How long nothing may come until no more is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What has come of it.
#[derive(Clone, Debug, Serialize)]
struct Report {
    machine: Machine,
    seed: u64,
    /// Who may have as much room as wanted.
    root: bool,
    questions: u16,
    /// How long sending them took, and how long the server was held, in seconds.
    sending_seconds: f64,
    held_seconds: f64,
    answers: u64,
    /// From when it went on to the last answer, in seconds.
    answering_seconds: f64,
    errors: Errors,
    said: std::collections::BTreeMap<String, u64>,
    met: bool,
}

pub(super) fn run(
    options: &Options,
    machine: Machine,
    questions: u16,
) -> anyhow::Result<Published> {
    let seed = options.seed.unwrap_or_else(random_seed);
    let directory = tempfile::Builder::new().prefix("xgrey-bench-").tempdir()?;
    let (mut server, _) = servers::product_alone(options, seed, directory.path())?;
    progress("a burst");
    let (socket, room) = batch::connect(server.address, PATIENCE)?;
    if room.datagrams() < usize::from(questions) {
        eprintln!(
            "xgrey-bench: only {} answers may wait in the asker's socket",
            units::grouped(room.datagrams() as f64)
        );
    }
    let process = server.process.context("it was started here")?;
    process.hold()?;
    let begin = clock::now();
    let (mut outbox, mut errors) = (Outbox::default(), Errors::default());
    for number in 0..questions {
        outbox.add(None, |out| server.questions.push(Kind::New, number, out));
        if outbox.room() == 0 {
            errors.refused += outbox.send(&socket);
        }
    }
    errors.refused += outbox.send(&socket);
    let sending = clock::now() - begin;
    clock::wait(HELD.saturating_sub(sending));
    let held = clock::now() - begin;
    process.go_on()?;
    let went_on = clock::now();
    let mut answers = Answers::new(questions, errors, went_on);
    answers.take_all(&socket)?;
    progress("");
    server.check()?;
    let report = answers.report(machine, seed, sending, held);
    Ok(Published { text: report.text(), json: serde_json::to_string_pretty(&report)?, gap: "" })
}

/// What has come back.
struct Answers {
    /// Whether each question was answered.
    answered: Vec<bool>,
    count: u64,
    said: Said,
    errors: Errors,
    went_on: Instant,
    last: Instant,
}

impl Answers {
    fn new(questions: u16, errors: Errors, went_on: Instant) -> Self {
        let answered = vec![false; usize::from(questions)];
        Self { answered, count: 0, said: Said::default(), errors, went_on, last: went_on }
    }

    /// Takes what comes until all is answered, or nothing more comes.
    fn take_all(&mut self, socket: &std::net::UdpSocket) -> anyhow::Result<()> {
        let mut inbox = Inbox::new();
        while self.count < self.answered.len() as u64 {
            match inbox.receive(socket) {
                Ok(()) => inbox.iter().for_each(|(_, bytes)| self.take(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => bail!("receive an answer: {error}"),
            }
            self.last = clock::now();
        }
        self.errors.lost = self.answered.len() as u64 - self.count;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        let Some(answer) = read_answer(Type::Greylist, bytes) else {
            self.errors.wrong += 1;
            return;
        };
        match self.answered.get_mut(usize::from(answer.mta)) {
            Some(answered @ false) => *answered = true,
            _ => {
                self.errors.stray += 1;
                return;
            }
        }
        self.count += 1;
        self.said.count(answer.response, answer.why);
    }

    fn report(&self, machine: Machine, seed: u64, sending: Duration, held: Duration) -> Report {
        Report {
            machine,
            seed,
            root: rustix::process::geteuid().is_root(),
            questions: self.answered.len() as u16,
            sending_seconds: sending.as_secs_f64(),
            held_seconds: held.as_secs_f64(),
            answers: self.count,
            answering_seconds: (self.last - self.went_on).as_secs_f64(),
            errors: self.errors,
            said: self.said.by_name(),
            met: self.errors.total() == 0,
        }
    }
}

impl Report {
    fn text(&self) -> String {
        let mut out = String::new();
        let count = |number: u64| units::grouped(number as f64);
        let said: Vec<_> =
            self.said.iter().map(|(answer, &times)| format!("{} {answer}", count(times))).collect();
        let _ = writeln!(out, "{}", self.machine);
        let _ = writeln!(
            out,
            "xgrey was held for {:.2} s; {} questions about new tuples were sent within {:.2} s of them (seed {}); \
             {} were answered within {:.2} s of its going on: {}{}",
            self.held_seconds,
            count(self.questions.into()),
            self.sending_seconds,
            self.seed,
            count(self.answers),
            self.answering_seconds,
            if said.is_empty() { "nothing".to_owned() } else { said.join(", ") },
            report::errors(self.errors)
        );
        let who = if self.root {
            "as root"
        } else {
            "NOT as root: net.core.rmem_max limits what may wait"
        };
        let _ = writeln!(
            out,
            "{} questions of a burst of {} lost: {}, wanted 0 ({who})",
            words::met(Some(self.met)),
            count(self.questions.into()),
            count(self.errors.lost)
        );
        out
    }
}
