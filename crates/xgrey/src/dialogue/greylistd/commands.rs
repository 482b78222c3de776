//! What the program `greylist` asks about one tuple, or to be done to it.

use greylist::{Answer, Query, State};
use rustix::process::{Signal, getpid, kill_process};
use store::StoreError;
use wire::greylistd::{List, Refusal, encode_added, encode_removed, encode_status, encode_verdict};

use super::{Wording, refuse};
use crate::dialogue::{self, Desk};
use crate::metrics::Hand;
use crate::service::{ChangeError, TupleState, wait_for};

/// What an attempt would be answered. When the store can't say, as it would be: mail flows.
pub(super) fn check(asked: Option<List>, query: &Query<'_>, desk: &mut Desk<'_, '_>) {
    let verdict = match wait_for(desk.service.preview(desk.now, query)) {
        Ok(preview) => preview.effect.into(),
        Err(error) => {
            tell_of_store(&error);
            List::White
        }
    };
    desk.reply(|out| encode_verdict(verdict, asked, out));
}

/// The list that the tuple is on, or the one that a rule puts it on.
pub(super) fn status(query: &Query<'_>, desk: &mut Desk<'_, '_>) {
    let preview = match wait_for(desk.service.preview(desk.now, query)) {
        Ok(preview) => preview,
        Err(error) => {
            tell_of_store(&error);
            return refuse(Refusal::NoStore, desk);
        }
    };
    let list = match (preview.answer, preview.tuple.map(|tuple| tuple.state)) {
        (Answer::Reject(_), _) => Some(List::Black),
        (_, Some(State::Grey)) => Some(List::Grey),
        (_, Some(State::White)) => Some(List::White),
        (Answer::Accept(_), None) => Some(List::White),
        (Answer::Defer(_), None) => None,
    };
    desk.reply(|out| encode_status(list, out));
}

pub(super) fn add<'a>(list: List, query: Query<'a>, desk: &mut Desk<'_, 'a>) {
    match list {
        List::White => match wait_for(desk.service.pass_tuple(desk.now, &query)) {
            Ok(changed) => {
                desk.counters.hand(Hand::passed(&changed.before), 1);
                tell(&query, "made white");
                desk.reply(|out| encode_added(list, out));
            }
            Err(error) => refuse(of_change(&error), desk),
        },
        // As a first try: what it was before is forgotten, and it is decided like any other.
        List::Grey => {
            if let Err(refusal) = forget(&query, desk) {
                return refuse(refusal, desk);
            }
            desk.ask(query, dialogue::Wording::Greylistd(Wording::AddedToGreylist));
        }
        List::Black => refuse(Refusal::NoBlackTuples, desk),
    }
}

pub(super) fn delete(query: &Query<'_>, desk: &mut Desk<'_, '_>) {
    let list = match forget(query, desk) {
        Ok(TupleState::Unknown) => return refuse(Refusal::NotFound, desk),
        Ok(TupleState::Grey { .. }) => List::Grey,
        Ok(TupleState::White { .. }) => List::White,
        Err(refusal) => return refuse(refusal, desk),
    };
    desk.reply(|out| encode_removed(list, out));
}

/// The same as a signal from an admin: what comes of it takes its time, and is in the log.
pub(super) fn reload(desk: &mut Desk<'_, '_>) {
    match kill_process(getpid(), Signal::HUP) {
        Ok(()) => desk.reply(|out| {
            out.extend_from_slice(
                b"the configuration is being read; xgrey's log says what came of it",
            );
        }),
        Err(_) => refuse(Refusal::NoReload, desk),
    }
}

/// Says what was known of the tuple.
fn forget(query: &Query<'_>, desk: &Desk<'_, '_>) -> Result<TupleState, Refusal<'static>> {
    match wait_for(desk.service.forget_tuple(desk.now, query)) {
        Ok(changed) => {
            desk.counters.hand(Hand::forgotten(&changed.before), 1);
            if changed.before != TupleState::Unknown {
                tell(query, "forgotten");
            }
            Ok(changed.before)
        }
        Err(error) => Err(of_change(&error)),
    }
}

fn of_change(error: &ChangeError) -> Refusal<'static> {
    match error {
        ChangeError::NoRoom => Refusal::NoRoom,
        ChangeError::Store(error) => {
            tell_of_store(error);
            Refusal::NoStore
        }
    }
}

fn tell_of_store(error: &StoreError) {
    tracing::error!(target: "store", %error, "could not ask the store for a greylistd client");
}

/// So that the log says why a sender was treated otherwise than the log says before.
fn tell(query: &Query<'_>, done: &str) {
    let text = String::from_utf8_lossy;
    tracing::info!(
        target: "control", client = %query.client, sender = %text(query.sender),
        recipient = %text(query.recipient), "tuple {done}, as a greylistd client asked"
    );
}
