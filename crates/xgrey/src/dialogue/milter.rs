//! Milter: Sendmail's and Postfix's way to ask a filter at each step of an SMTP session. A connection is one such
//! session, or several after each other; a question is asked at each recipient, and what became of it is
//! remembered until the message's end, where one header says how long the message was delayed.
//!
//! Nothing is learnt from a connection alone: Postfix, told by XCLIENT of another client, ends its milter
//! session and begins a new one.
//!
//! Queries have no instance, by which the service would make one header a message over many requests: here a message
//! is known by its connection, so its longest wait is known too, and two MTAs can't be taken for one.

use greylist::Effect;
use wire::milter::{Decoded, Decoder, Session, Step, encode_end_of_message, encode_no_objection};
use wire::{Fault, Limits};

use super::{Desk, Incoming, Next, Rest, Taken, Wording};
use crate::metrics::Event;
use crate::service::Outcome;

/// Where one connection stands.
#[derive(Debug)]
pub(crate) struct Dialogue {
    decoder: Decoder,
    session: Session,
    /// Something was said on it: an SMTP session is going on, and will want answers.
    has_begun: bool,
}

impl Dialogue {
    pub(super) fn new(limits: Limits) -> Self {
        Self { decoder: Decoder::new(limits), session: Session::default(), has_begun: false }
    }

    pub(super) fn read<'a>(&'a mut self, incoming: Incoming<'a>, desk: &mut Desk<'_, 'a>) -> Taken {
        let Self { decoder, session, has_begun } = self;
        let mut used = 0;
        loop {
            if desk.is_full() {
                return Taken { used, next: Next::Again };
            }
            let packet = match decoder.decode(&incoming.bytes[used..]) {
                Decoded::Need => return Taken { used, next: Next::Wait },
                Decoded::Lost(fault) => {
                    not_understood(fault, desk);
                    return Taken { used, next: Next::Close };
                }
                Decoded::Discard { used: dropped } => {
                    used += dropped;
                    continue;
                }
                Decoded::Message { used: length, packet } => {
                    used += length;
                    packet
                }
            };
            *has_begun = true;
            match session.take(&packet) {
                Step::Silence => {}
                Step::Agree(agreed) => desk.reply(|out| agreed.encode(out)),
                Step::Continue => desk.reply(encode_no_objection),
                Step::Ask => {
                    // The question borrows the session: what follows it is read after the answer,
                    // which an MTA waits for anyway.
                    ask(session, desk);
                    return Taken { used, next: after_question(used, &incoming) };
                }
                Step::EndOfMessage => end_message(session, desk),
                Step::Excuse(fault) => {
                    not_understood(fault, desk);
                    desk.reply(encode_no_objection);
                }
                Step::Ignore(fault) => not_understood(fault, desk),
                Step::Close => return Taken { used, next: Next::Close },
                Step::GiveUp(fault) => {
                    not_understood(fault, desk);
                    return Taken { used, next: Next::Close };
                }
            }
        }
    }

    pub(super) fn decided(&mut self, outcome: &Outcome) {
        if let Effect::AddHeader { waited } = outcome.effect {
            self.session.has_waited(waited);
        }
    }

    /// An SMTP session may pause for as long as its client likes, and its MTA would miss us.
    pub(super) fn rest(&self, unused: usize) -> Rest {
        if self.decoder.is_mid_packet(unused) {
            Rest::HalfSent
        } else if self.has_begun {
            Rest::Within
        } else {
            Rest::Between
        }
    }
}

fn ask<'a>(session: &'a Session, desk: &mut Desk<'_, 'a>) {
    match session.query() {
        Some(query) => desk.ask(query, Wording::Milter),
        // A step that asks has a question; were it ever otherwise, mail flows.
        None => desk.reply(encode_no_objection),
    }
}

fn after_question(used: usize, incoming: &Incoming<'_>) -> Next {
    if used < incoming.bytes.len() { Next::Again } else { Next::Wait }
}

fn end_message(session: &mut Session, desk: &mut Desk<'_, '_>) {
    let policy = desk.service.policy();
    desk.reply(|out| encode_end_of_message(session, &policy.replies, out));
    session.end_message();
}

fn not_understood(fault: Fault, desk: &Desk<'_, '_>) {
    desk.counters.event(Event::Faulty);
    desk.faults.report(&fault, desk.now);
}
