//! greylistd's protocol: a connection carries one request, which is what its first read brings, and
//! one answer.
//!
//! Questions are decided with everybody else's, and their tuples are everybody else's too. The
//! commands of its program `greylist` are done at once: they are an admin's, and rare.
//!
//! Debian's ACLs ask `--grey` at RCPT, then `--black`, and `--black` again at DATA, with the
//! recipients and without the sender. Whether something is black needs no tuple, so such a question
//! makes none; only what is black is decided, counted and logged like any other.

mod commands;
mod reports;

use greylist::{Effect, Query};
use wire::Limits;
use wire::greylistd::{List, Refusal, Request, SAVED, decode, encode_added, encode_verdict};

use super::{Desk, Incoming, Next, Rest, Side, Taken, Terms};
use crate::config::Changes;
use crate::metrics::Event;
use crate::service::Service;

/// One connection.
#[derive(Debug)]
pub(crate) struct Dialogue {
    terms: Terms,
    limits: Limits,
}

/// How an answer is put.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wording {
    /// The list that it is on, or whether it is the one that was asked about.
    Verdict(Option<List>),
    /// Whether it is now grey, as it was to be.
    AddedToGreylist,
}

impl Dialogue {
    pub(super) fn new(terms: Terms, limits: Limits) -> Self {
        Self { terms, limits }
    }

    pub(super) fn read<'a>(&self, incoming: Incoming<'a>, desk: &mut Desk<'_, 'a>) -> Taken {
        let bytes = incoming.bytes;
        if bytes.is_empty() && incoming.side != Side::ShutDown {
            return Taken { used: 0, next: Next::Wait };
        }
        if desk.is_full() {
            return Taken { used: 0, next: Next::Again };
        }
        self.answer(decode(bytes, self.limits), desk);
        Taken { used: bytes.len(), next: Next::Close }
    }

    pub(super) fn rest(&self, _: usize) -> Rest {
        Rest::Between
    }

    fn answer<'a>(&self, request: Request<'a>, desk: &mut Desk<'_, 'a>) {
        match request {
            Request::Update { asked, query } => ask(asked, query, desk),
            Request::Unclear { asked, fault } => {
                desk.counters.event(Event::Faulty);
                desk.faults.report(&fault, desk.now);
                desk.reply(|out| encode_verdict(List::White, asked, out));
            }
            Request::Check { asked, query } => commands::check(asked, &query, desk),
            Request::Status(query) => commands::status(&query, desk),
            Request::Stats => reports::stats(desk),
            Request::Mrtg => reports::mrtg(desk),
            // A change is in the journal's file before it is acknowledged.
            Request::Save => desk.reply(|out| out.extend_from_slice(SAVED)),
            Request::Refused(refusal) => refuse(refusal, desk),
            Request::Clear(_) => refuse(Refusal::NoClear, desk),
            Request::Add { .. } | Request::Delete(_) | Request::List(_) | Request::Reload
                if !self.may_change(desk.service) =>
            {
                refuse(Refusal::NotAllowed, desk);
            }
            Request::Add { list, query } => commands::add(list, query, desk),
            Request::Delete(query) => commands::delete(&query, desk),
            Request::List(lists) => reports::list(lists, desk),
            Request::Reload => commands::reload(desk),
        }
    }

    /// Whether the peer may change tuples, and see others' addresses.
    fn may_change(&self, service: &Service) -> bool {
        match self.terms.changes {
            Changes::Off => false,
            Changes::Local => self.terms.peer.is_none_or(|peer| service.is_this_host(peer)),
            Changes::On => true,
        }
    }
}

fn ask<'a>(asked: Option<List>, query: Query<'a>, desk: &mut Desk<'_, 'a>) {
    if asked == Some(List::Black) && !desk.service.would_reject(&query) {
        return desk.reply(|out| encode_verdict(List::White, asked, out));
    }
    desk.ask(query, super::Wording::Greylistd(Wording::Verdict(asked)));
}

fn refuse(refusal: Refusal<'_>, desk: &mut Desk<'_, '_>) {
    desk.reply(|out| refusal.encode(out));
}

/// Appends the bytes of one answer.
pub(super) fn encode(effect: Effect, wording: Wording, out: &mut Vec<u8>) {
    match wording {
        Wording::Verdict(asked) => encode_verdict(effect.into(), asked, out),
        Wording::AddedToGreylist => match effect {
            Effect::Defer { .. } => encode_added(List::Grey, out),
            Effect::NoObjection | Effect::AddHeader { .. } | Effect::Reject => {
                Refusal::Decided.encode(out);
            }
        },
    }
}
