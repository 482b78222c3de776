//! Not spoken yet: no configuration asks for it.

use greylist::Query;
use greylist::reply::Replies;
use wire::Limits;

use super::{Desk, Incoming, Next, Rest, Taken, Terms};
use crate::service::Outcome;

/// Where one connection stands.
#[derive(Debug)]
pub(crate) struct Dialogue;

impl Dialogue {
    pub(super) fn new(_: Terms, _: Limits) -> Self {
        Self
    }

    pub(super) fn read<'a>(&'a mut self, incoming: Incoming<'a>, _: &mut Desk<'_, 'a>) -> Taken {
        Taken { used: incoming.bytes.len(), next: Next::Close }
    }

    pub(super) fn decided(&mut self, _: &Outcome) {}

    pub(super) fn rest(&self, _: usize) -> Rest {
        Rest::Between
    }
}

pub(super) fn encode(_: &Outcome, _: &Query<'_>, _: &Replies, _: &mut Vec<u8>) {}
