//! Postfix's policy delegation, and Exim's use of it: one request, one answer, as many as come.

use wire::Limits;
use wire::postfix::{Decoded, Decoder, Request, encode_no_objection};

use super::{Desk, Incoming, Next, Rest, Side, Taken, Wording};
use crate::metrics::Event;

/// Where one connection stands: what was seen of the request that is not all here yet.
#[derive(Debug)]
pub(crate) struct Dialogue(Decoder);

impl Dialogue {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Decoder::new(limits))
    }

    pub(super) fn read<'a>(&mut self, incoming: Incoming<'a>, desk: &mut Desk<'_, 'a>) -> Taken {
        let mut used = 0;
        loop {
            if desk.is_full() {
                return Taken { used, next: Next::Again };
            }
            let rest = &incoming.bytes[used..];
            let decoded = match incoming.side {
                Side::ShutDown => self.0.finish(rest),
                Side::Open | Side::Ending | Side::Broken => self.0.decode(rest),
            };
            match decoded {
                Decoded::Need => return Taken { used, next: Next::Wait },
                Decoded::Discard { used: dropped } => used += dropped,
                Decoded::Message { used: length, request } => {
                    used += length;
                    answer(request, desk);
                }
            }
        }
    }

    pub(super) fn rest(&self, unused: usize) -> Rest {
        if self.0.is_mid_request(unused) { Rest::HalfSent } else { Rest::Between }
    }
}

fn answer<'a>(request: Request<'a>, desk: &mut Desk<'_, 'a>) {
    match request {
        Request::Ask(query) => desk.ask(query, Wording::Postfix),
        Request::Pass(_) => {
            desk.counters.event(Event::OtherStage);
            desk.reply(encode_no_objection);
        }
        Request::Faulty(fault) => {
            desk.counters.event(Event::Faulty);
            desk.faults.report(&fault, desk.now);
            desk.reply(encode_no_objection);
        }
    }
}
