//! The servers of a run: the null server, the one under test and those beside it; and what each of them
//! knows before measuring begins.
//!
//! The xgrey of this build is started anew for each number of tuples, in a state directory that was made
//! beforehand. Other servers are told of each tuple with the protocol's own command (type 4, whitelist).

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::batch::{self, Inbox, Outbox};
use super::datagram::{self, Type, push_tuple};
use super::load::{Asking, Load, Tally};
use super::questions::{Questions, Tuple};
use super::{Options, prepare};
use crate::clock;
use crate::listener::{self, Transport};
use crate::process::{Pinned, Process, Started};
use crate::product;
use crate::publish::progress;
use crate::report::DecisionLog;
use crate::units;

/// What the xgrey of this build is called in the report.
pub(super) const PRODUCT: &str = "xgrey";
/// Tuples that a server knows which is measured by itself.
const KNOWN: u64 = 60_000;
/// Commands that are out at once while a server is told of tuples.
const TELLING: usize = 32;
/// How long telling may take.
const TELL_TIME_MAX: Duration = Duration::from_secs(600);
/// How long a no-op may take to be answered.
const PROBE_TIME_MAX: Duration = Duration::from_millis(100);

/// One server of the run and what it has been asked so far.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) process: Option<Process>,
    started: Option<Started>,
    /// Let go when the run is over.
    pinned: Option<Pinned>,
    pub(super) questions: Questions,
    resident_bytes_before: Option<u64>,
}

/// What a server was, with a number of known tuples.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) address: String,
    /// Whether it ran on the servers' CPU alone.
    pub(super) pinned: bool,
    pub(super) known_tuples: u64,
    /// New tuples that it was asked about in all.
    pub(super) new_tuples: u64,
    pub(super) resident_bytes_before: Option<u64>,
    pub(super) resident_bytes_after: Option<u64>,
}

impl Server {
    fn of_ours(name: &str, started: Started, questions: Questions) -> Self {
        let process = started.process();
        Self {
            name: name.to_owned(),
            address: started.address(),
            process: Some(process),
            started: Some(started),
            pinned: None,
            questions,
            resident_bytes_before: process.resident_bytes(),
        }
    }

    /// One that runs already: found by its port if need be, and bound to the servers' CPU.
    fn running(
        cpu: usize,
        (name, address): (Option<String>, SocketAddr),
        process: Option<Process>,
        questions: Questions,
    ) -> anyhow::Result<Self> {
        if !answers(address) {
            bail!("nobody answers on {address}");
        }
        let (process, pinned) = listener::bound_to(cpu, Transport::Udp, address, process);
        Ok(Self {
            name: name.or_else(|| process?.name()).unwrap_or_else(|| address.to_string()),
            address,
            process,
            started: None,
            pinned,
            questions,
            resident_bytes_before: process.and_then(Process::resident_bytes),
        })
    }

    /// Fails if it was started here and has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.started.as_mut().map_or(Ok(()), Started::check)
    }

    pub(super) fn facts(&self, known_tuples: u64) -> Facts {
        Facts {
            name: self.name.clone(),
            address: self.address.to_string(),
            pinned: self.started.is_some() || self.pinned.is_some(),
            known_tuples,
            new_tuples: self.questions.new_tuples(),
            resident_bytes_before: self.resident_bytes_before,
            resident_bytes_after: self.process.and_then(Process::resident_bytes),
        }
    }

    /// Tells it to let the first `tuples` of its questions pass.
    fn tell(&mut self, tuples: u64, timeout: Duration) -> anyhow::Result<()> {
        progress(&format!("{}: telling it of tuples that will be known", self.name));
        let mut load = Load::connect(self.address, TELLING, timeout)?;
        let mut tally = Tally::new()?;
        let mut telling = Telling { questions: &mut self.questions, next: 0, end: tuples };
        load.run(&mut telling, clock::now() + TELL_TIME_MAX, &mut tally)?;
        if tally.answers < tuples || tally.errors.total() > 0 {
            let name = &self.name;
            bail!("{name}: {} of {tuples} tuples were taken: {:?}", tally.answers, tally.errors);
        }
        Ok(())
    }
}

/// All of a run.
pub(super) struct Servers<'a> {
    options: &'a Options,
    seed: u64,
    directory: &'a Path,
    /// How many tuples they know now.
    known: Option<u64>,
    null: Server,
    tested: Option<Server>,
    beside: Vec<Server>,
}

impl<'a> Servers<'a> {
    /// Starts the null server, and looks for those beside.
    pub(super) fn new(
        options: &'a Options,
        seed: u64,
        directory: &'a Path,
    ) -> anyhow::Result<Self> {
        let cpu = options.server_cpu;
        let output = directory.join("null.output");
        let null = Started::null_x_grey(cpu, answers, output).context("null server")?;
        let null = Server::of_ours("null", null, Questions::new(seed, 0));
        let mut beside = Vec::new();
        for (name, address) in &options.beside {
            let found = (name.clone(), *address);
            let server = Server::running(cpu, found, None, Questions::new(seed, 0));
            beside.push(server.with_context(|| format!("--beside {address}"))?);
        }
        Ok(Self { options, seed, directory, known: None, null, tested: None, beside })
    }

    /// The null server, the one under test, and those beside.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Server> {
        std::iter::once(&mut self.null).chain(&mut self.tested).chain(&mut self.beside)
    }

    /// Whether the xgrey that was started here logs decisions; unknown for others.
    pub(super) fn decision_log(&self) -> Option<DecisionLog> {
        let Options { server, spawn, decision_log, .. } = self.options;
        let is_product = server.is_none() && spawn.is_none();
        is_product.then(|| decision_log.unwrap_or(DecisionLog::Off))
    }

    /// From here on all of them know so many tuples.
    pub(super) fn know(&mut self, tuples: u64) -> anyhow::Result<()> {
        if self.known == Some(tuples) {
            return Ok(());
        }
        self.known = Some(tuples);
        let (options, questions) = (self.options, Questions::new(self.seed, tuples));
        let cpu = options.server_cpu;
        self.null.questions = questions.clone();
        // The one before ends first: two would need the memory of both.
        self.tested = None;
        let mut tested = match (options.server, &options.spawn) {
            (Some(address), _) => {
                let process = options.pid.map(Process::new);
                Server::running(cpu, (None, address), process, questions.clone())
                    .context("--server")?
            }
            (None, Some(command)) => {
                let output = self.directory.join("server.output");
                let started = Started::line(cpu, command, answers, output).context("--spawn")?;
                let name = started.process().name().unwrap_or_else(|| "server".to_owned());
                Server::of_ours(&name, started, questions.clone())
            }
            (None, None) => {
                let log = options.decision_log.unwrap_or(DecisionLog::Off);
                product(cpu, self.directory, log, questions.clone(), tuples)?.0
            }
        };
        if self.decision_log().is_none() {
            tested.tell(tuples, options.timeout)?;
        }
        self.tested = Some(tested);
        for server in &mut self.beside {
            server.questions = questions.clone();
            server.tell(tuples, options.timeout)?;
        }
        Ok(())
    }
}

/// Starts the xgrey of this build, in whose state directory `tuples` are known; says also where.
pub(super) fn product(
    cpu: usize,
    directory: &Path,
    log: DecisionLog,
    mut questions: Questions,
    tuples: u64,
) -> anyhow::Result<(Server, PathBuf)> {
    let directory = directory.join("product");
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir(&directory)?;
    progress(&format!("making a state directory of {} tuples", units::grouped(tuples as f64)));
    prepare::state_of(&directory.join(product::STATE), &mut questions, tuples)?;
    progress("starting xgrey");
    let started = product::start_x_grey(cpu, &directory, log, answers)?;
    Ok((Server::of_ours(PRODUCT, started, questions), directory))
}

/// Starts the xgrey of this build by itself, knowing as many tuples as was asked for, or some.
pub(super) fn product_alone(
    options: &Options,
    seed: u64,
    directory: &Path,
) -> anyhow::Result<(Server, PathBuf)> {
    let log = options.decision_log.unwrap_or(DecisionLog::Off);
    let known = options.tuples.first().copied().unwrap_or(KNOWN);
    product(options.server_cpu, directory, log, Questions::new(seed, known), known)
}

/// Whether a server answers a no-op.
pub(super) fn answers(address: SocketAddr) -> bool {
    let Ok((socket, _)) = batch::connect(address, PROBE_TIME_MAX) else { return false };
    let mut outbox = Outbox::default();
    outbox.add(None, |out| datagram::push_no_op(0, out));
    let mut inbox = Inbox::new();
    if outbox.send(&socket) > 0 || inbox.receive(&socket).is_err() {
        // Somebody may come yet; not in no time.
        clock::wait(clock::LOOK_AGAIN);
        return false;
    }
    inbox.iter().any(|(_, answer)| datagram::read_answer(Type::NoOp, answer).is_some())
}

/// Commands to let tuples pass.
struct Telling<'a> {
    questions: &'a mut Questions,
    next: u64,
    end: u64,
}

impl Asking for Telling<'_> {
    const TYPE: Type = Type::Whitelist;

    fn has_more(&self) -> bool {
        self.next < self.end
    }

    fn push(&mut self, number: u16, out: &mut Vec<u8>) {
        let Tuple { client, sender, recipient } = self.questions.known(self.next);
        push_tuple(Type::Whitelist, number, (*client, sender, recipient), out);
        self.next += 1;
    }
}
