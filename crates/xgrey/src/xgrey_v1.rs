//! X-Grey's protocol, as a front end: what a datagram asks becomes a question to the service, a change of
//! tuples or rules, or a look at what there is; what comes of it becomes the answer.
//!
//! ```text
//! datagrams ─ allow? ─ decode ─┬ silent, refused ────────────────────────────────────▶ counted
//!                              ├ greylist ─ one batch ─▶ Service::answer ─┐
//!                              ├ whitelist, remove ─────▶ tuples ─────────┤
//!                              ├ change … ──────────────▶ live rules ─────┼─▶ answers, 16 bytes
//!                              ├ show stats, config ─────────────────────┤
//!                              └ show … ─▶ reports asked for ─────────────┘
//! ```
//! Datagrams of a batch are taken in their order: questions are put together until something comes that
//! may change their answers. Written from "X-Grey v1.1 protocol"; `docs/x-grey.md` says where this server
//! answers otherwise than the original, and a test holds it to that.
//!
//! Never knows: sockets, clocks, whether a question is too old to be answered.

mod pending;
mod report;
mod reports;
mod stats;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use arrayvec::ArrayVec;
use greylist::rules::{List, Pattern, Verdict};
use greylist::{AcceptReason, Answer, Client, Effect, Query, Timestamp};
use wire::xgrey_v1::{
    Action, Asked, Change, Config, Decoded, ErrorCode, Refused, Report, Request, Silence, TextList,
    Tuple, Why, decode, encode_config, encode_refused, encode_reply, encode_stats,
};

pub use self::pending::{NotNow, Pending};
pub use self::report::{REPORT_BYTES_MAX, ReportError, write_report};
pub use self::reports::Reports;
use crate::config::{Changes, XGreyListener};
use crate::decision_log::DecisionLog;
use crate::fault_log::FaultLog;
use crate::listen::{Answers, DATAGRAMS_MAX, Datagram, is_allowed};
use crate::metrics::{Counters, Event, Front, Hand, Metrics};
use crate::service::{
    By, Entry, HitsKept, LetPass, Outcome, RuleChange, Scratch, Service, What, wait_for,
};

/// How often the original cleans up (X-Grey v1.1 protocol, section 5.4). We forget exactly when it is time, and
/// only count in such cycles.
pub const CYCLE_SECS: u32 = 300;

/// How much of an address counts, in bytes: of longer ones the start (section 5.2).
const COUNTED_BYTES: usize = wire::xgrey_v1::ADDRESS_KEPT_BYTES;

/// Everything that a front end works with.
#[derive(Debug)]
pub struct Parts {
    /// Which thread: its place in the metrics.
    pub number: usize,
    /// Asked for everything.
    pub service: Arc<Service>,
    /// All threads' counters.
    pub metrics: Arc<Metrics>,
    /// This thread's log of decisions.
    pub decisions: DecisionLog,
    /// Where it listens, for whom, with which secret. A reload changes it.
    pub listener: Arc<ArcSwap<XGreyListener>>,
    /// The reports that were asked for.
    pub pending: Arc<Pending>,
    /// Told of datagrams that make no sense.
    pub faults: Arc<FaultLog>,
}

/// One thread's front end, with the buffers that it keeps from one batch to the next.
#[derive(Debug)]
pub struct FrontEnd {
    parts: Parts,
    scratch: Scratch,
    outcomes: Vec<Outcome>,
    changed: Vec<crate::service::RuleChanged>,
}

/// Questions that are decided together.
#[derive(Default)]
struct Run<'a> {
    queries: ArrayVec<Query<'a>, DATAGRAMS_MAX>,
    askers: ArrayVec<Asker, DATAGRAMS_MAX>,
}

/// Whom an answer is for.
#[derive(Clone, Copy)]
struct Asker {
    /// The datagram's number in its batch.
    datagram: usize,
    mta: u16,
    answer_type: u16,
}

/// What all datagrams of a batch have in common.
struct Batch<'a> {
    now: Timestamp,
    listener: &'a XGreyListener,
    answers: &'a mut Answers,
}

impl Batch<'_> {
    fn reply(&mut self, asker: Asker, action: Action, why: Why) {
        let Asker { datagram, mta, answer_type } = asker;
        let secret = &self.listener.secret;
        self.answers.add(datagram, |out| {
            encode_reply(secret, mta, answer_type, action.code(), why, out);
        });
    }
}

impl FrontEnd {
    /// A front end made of `parts`.
    pub fn new(parts: Parts) -> Self {
        Self { parts, scratch: Scratch::default(), outcomes: Vec::new(), changed: Vec::new() }
    }

    /// This thread's counters.
    pub fn counters(&self) -> &Counters {
        self.parts.metrics.worker(self.parts.number)
    }

    /// Whether lines wait in the log of decisions.
    pub fn has_log(&self) -> bool {
        !self.parts.decisions.is_empty()
    }

    /// Hands over what waits in the log of decisions.
    pub fn flush_log(&mut self) {
        self.parts.decisions.flush();
    }

    /// Answers a batch of datagrams, in their order; the answers are put in place of what was in `answers`.
    pub fn answer(&mut self, now: Timestamp, datagrams: &[Datagram<'_>], answers: &mut Answers) {
        answers.clear();
        let listener: Guard<_> = self.parts.listener.load();
        let mut batch = Batch { now, listener: &listener, answers };
        let mut run = Run::default();
        for (number, datagram) in datagrams.iter().enumerate() {
            let from = datagram.from.ip();
            if !is_allowed(from, &batch.listener.allow) {
                self.counters().event(Event::NotAllowed);
                continue;
            }
            match decode(datagram.bytes, &batch.listener.secret) {
                Decoded::Silent(silence) => self.silent(silence, from, now),
                Decoded::Refused(refused) => self.refuse(number, refused, &mut batch),
                Decoded::Asked(Asked { mta, request }) => {
                    let asker = Asker { datagram: number, mta, answer_type: request.answer_type() };
                    let Request::Greylist(tuple) = request else {
                        self.decide(&mut run, &mut batch);
                        self.single(asker, from, request, &mut batch);
                        continue;
                    };
                    if run.queries.is_full() {
                        self.decide(&mut run, &mut batch);
                    }
                    run.queries.push(query(&tuple));
                    run.askers.push(asker);
                }
            }
        }
        self.decide(&mut run, &mut batch);
    }

    fn silent(&self, silence: Silence, from: IpAddr, now: Timestamp) {
        let event = match silence {
            Silence::Short => Event::Short,
            Silence::Oversized => Event::Oversized,
            Silence::BadCrc => Event::BadCrc,
        };
        self.counters().event(event);
        self.parts.faults.report_datagram(silence, from, now);
    }

    fn refuse(&self, number: usize, refused: Refused, batch: &mut Batch<'_>) {
        self.counters().event(Event::Refused);
        let secret = &batch.listener.secret;
        batch.answers.add(number, |out| encode_refused(secret, refused, out));
    }

    /// Decides what is asked about tuples so far.
    fn decide(&mut self, run: &mut Run<'_>, batch: &mut Batch<'_>) {
        if run.queries.is_empty() {
            return;
        }
        let Parts { service, metrics, number, decisions, .. } = &mut self.parts;
        service.rules_in_force(batch.now);
        let policy = service.policy();
        let (queries, outcomes) = (&run.queries, &mut self.outcomes);
        wait_for(service.answer(&policy, batch.now, queries, &mut self.scratch, outcomes));
        metrics.worker(*number).outcomes(batch.now, outcomes);
        metrics.worker(*number).asked(Front::XGrey, queries.len() as u64);
        decisions.write(&policy, batch.now, queries, outcomes);
        for (outcome, &asker) in outcomes.iter().zip(&run.askers) {
            batch.reply(asker, action(outcome.effect), why(&outcome.answer));
        }
        run.queries.clear();
        run.askers.clear();
    }

    /// Answers everything else.
    fn single(&mut self, asker: Asker, from: IpAddr, request: Request<'_>, batch: &mut Batch<'_>) {
        let Asker { datagram: number, mta, .. } = asker;
        if changes_something(&request) && !self.may_change(from, batch.listener) {
            return self.refuse(number, Refused { mta, error: ErrorCode::Type }, batch);
        }
        let done = match request {
            // Questions come in runs.
            Request::NoOp | Request::Greylist(_) => Ok((Action::Greylist, Why::None)),
            Request::Whitelist(tuple) => Ok(self.whitelist(from, &tuple, batch.now)),
            Request::Remove(tuple) => Ok(self.remove(from, &tuple, batch.now)),
            Request::ShowStats => return self.show_stats(number, mta, batch),
            Request::ShowConfig => return self.show_config(number, mta, batch),
            Request::Report(report) => self.ask_for_report(from, report, batch.now),
            Request::ChangeIpList { network, change } => {
                let entry = match network.prefix_len() {
                    0 => Entry::Default,
                    _ => Entry::Pattern(Pattern::network(network.into())),
                };
                self.change_rule(from, List::Client, Some(entry), change, batch.now)
            }
            Request::ChangeList { list, text, change } => {
                let list = list_of(list);
                let entry = if Request::is_default(text) {
                    Some(Entry::Default)
                } else {
                    Pattern::exact(list, text).ok().map(Entry::Pattern)
                };
                self.change_rule(from, list, entry, change, batch.now)
            }
        };
        match done {
            Ok((action, why)) => batch.reply(asker, action, why),
            Err(error) => self.refuse(number, Refused { mta, error }, batch),
        }
    }

    /// Whether somebody may change tuples and rules.
    fn may_change(&self, from: IpAddr, listener: &XGreyListener) -> bool {
        match listener.changes {
            Changes::Off => false,
            Changes::Local => self.parts.service.is_this_host(from),
            Changes::On => true,
        }
    }

    /// Type 4: through the filters as a question, then the tuple is white (section 5.1).
    fn whitelist(&mut self, from: IpAddr, tuple: &Tuple<'_>, now: Timestamp) -> (Action, Why) {
        let service = &self.parts.service;
        service.rules_in_force(now);
        let query = query(tuple);
        let came_of_it =
            wait_for(service.let_pass(&service.policy(), now, &query, &mut self.scratch));
        let (action, why, done) = match came_of_it {
            LetPass::White { lists, before } => {
                self.counters().asked_to_pass(now, lists, &before);
                (Action::Accept, Why::Whitelist, "made white")
            }
            LetPass::Answered(outcome) => {
                self.counters().outcomes(now, &[outcome]);
                (action(outcome.effect), why(&outcome.answer), "not made white")
            }
        };
        tell(from, tuple, done);
        (action, why)
    }

    /// Type 6 (section 5.3). Ours is gone at once.
    fn remove(&mut self, from: IpAddr, tuple: &Tuple<'_>, now: Timestamp) -> (Action, Why) {
        let service = &self.parts.service;
        let query = query(tuple);
        match wait_for(service.forget(&service.policy(), now, &query, &mut self.scratch)) {
            Ok(before) => {
                self.counters().hand(Hand::forgotten(&before), 1);
                tell(from, tuple, "forgotten");
            }
            Err(error) => {
                tracing::error!(target: "store", %error, "could not forget a tuple");
            }
        }
        (Action::Greylist, Why::Greylist)
    }

    fn show_stats(&self, number: usize, mta: u16, batch: &mut Batch<'_>) {
        let service = &self.parts.service;
        service.rules_in_force(batch.now);
        let look = self.parts.metrics.look(batch.now, service.store());
        let stats = stats::on_the_wire(&look.x_grey(&service.policy().rules));
        let secret = &batch.listener.secret;
        batch.answers.add(number, |out| encode_stats(secret, mta, &stats, out));
    }

    fn show_config(&self, number: usize, mta: u16, batch: &mut Batch<'_>) {
        let service = &self.parts.service;
        let timing = service.policy().timing;
        let config = Config {
            max_tuples: u32::try_from(service.store().bound().capacity()).unwrap_or(u32::MAX),
            cleanup_secs: CYCLE_SECS,
            embargo_secs: timing.embargo().get(),
            greylist_secs: timing.window().get(),
            whitelist_secs: timing.lifetime().get(),
        };
        let secret = &batch.listener.secret;
        batch.answers.add(number, |out| encode_config(secret, mta, &config, out));
    }

    /// Types 12 to 26: notes what will be fetched over TCP (section 6).
    fn ask_for_report(
        &self,
        from: IpAddr,
        report: Report,
        now: Timestamp,
    ) -> Result<(Action, Why), ErrorCode> {
        let service = &self.parts.service;
        if report::needs_texts(report) && service.texts().is_none() {
            return Err(ErrorCode::NoReport);
        }
        service.rules_in_force(now);
        self.parts.pending.ask(from, report, now).map_err(|_| ErrorCode::NoReport)?;
        Ok((Action::Greylist, Why::None))
    }

    /// Types 28 to 36 (section 5.5): acknowledged also when there was nothing to change.
    fn change_rule(
        &mut self,
        from: IpAddr,
        list: List,
        entry: Option<Entry>,
        change: Change,
        now: Timestamp,
    ) -> Result<(Action, Why), ErrorCode> {
        let entry = entry.ok_or(ErrorCode::BadData)?;
        let what = match change {
            Change::Set(action) => What::Set(verdict(action)),
            Change::Remove => What::Remove,
        };
        let text = match &entry {
            Entry::Default => "default".to_owned(),
            Entry::Pattern(pattern) => pattern.to_string(),
        };
        let change = RuleChange { list, entry, what, hits: HitsKept::as_x_grey(list) };
        self.changed.clear();
        let by = By::XGrey(from);
        self.parts.service.change_rules(now, by, &[change], &mut self.changed).map_err(|why| {
            tracing::warn!(target: "rules", asker = %from, "an X-Grey client could not change a rule: {why}");
            ErrorCode::BadData
        })?;
        // So that the log says why mail is treated otherwise than before.
        tracing::info!(
            target: "control", asker = %from, list = list.word(), rule = text,
            "an X-Grey client changed a rule: {}",
            match what {
                What::Set(verdict) => verdict.word(),
                What::Remove => "removed",
                What::AsConfigured => "as configured",
            }
        );
        Ok((Action::Greylist, Why::None))
    }
}

/// What a tuple asks. Of long addresses the start counts, and all is kept to be shown.
fn query<'a>(tuple: &Tuple<'a>) -> Query<'a> {
    let query = Query::new(Client::new(tuple.client), tuple.sender, tuple.recipient);
    Query { counted_bytes: COUNTED_BYTES, ..query }
}

fn action(effect: Effect) -> Action {
    match effect {
        Effect::NoObjection | Effect::AddHeader { .. } => Action::Accept,
        Effect::Defer { .. } => Action::Greylist,
        Effect::Reject => Action::Reject,
    }
}

/// What decided. Nothing that the original knows, where it was an exemption or want of room.
fn why(answer: &Answer) -> Why {
    match answer {
        Answer::Reject(rule) | Answer::Accept(AcceptReason::Rule(rule)) => match rule.list {
            List::Client | List::ClientName => Why::Ip,
            List::Sender => Why::From,
            List::SenderDomain => Why::FromDomain,
            List::Recipient => Why::To,
            List::RecipientDomain => Why::ToDomain,
        },
        Answer::Defer(_) => Why::Greylist,
        Answer::Accept(AcceptReason::Passed { .. } | AcceptReason::Known) => Why::Whitelist,
        Answer::Accept(
            AcceptReason::Authenticated
            | AcceptReason::Certificate
            | AcceptReason::Local
            | AcceptReason::ExemptRecipient
            | AcceptReason::NoRoom
            | AcceptReason::FailOpen,
        ) => Why::None,
    }
}

fn verdict(action: Action) -> Verdict {
    match action {
        Action::Greylist => Verdict::Greylist,
        Action::Accept => Verdict::Accept,
        Action::Reject => Verdict::Reject,
    }
}

fn list_of(list: TextList) -> List {
    match list {
        TextList::To => List::Recipient,
        TextList::ToDomain => List::RecipientDomain,
        TextList::From => List::Sender,
        TextList::FromDomain => List::SenderDomain,
    }
}

/// Whether a request changes what will be decided, rather than ask for it.
fn changes_something(request: &Request<'_>) -> bool {
    match request {
        Request::Whitelist(_)
        | Request::Remove(_)
        | Request::ChangeIpList { .. }
        | Request::ChangeList { .. } => true,
        Request::NoOp
        | Request::Greylist(_)
        | Request::ShowStats
        | Request::ShowConfig
        | Request::Report(_) => false,
    }
}

/// So that the log says why a sender was treated otherwise than the log says before.
fn tell(asker: IpAddr, tuple: &Tuple<'_>, done: &str) {
    let text = String::from_utf8_lossy;
    tracing::info!(
        target: "control", %asker, client = %tuple.client, sender = %text(tuple.sender),
        recipient = %text(tuple.recipient), "tuple {done}, as an X-Grey client asked"
    );
}
