//! What the program `greylist` shows: statistics and tuples.
//!
//! A listing goes to an admin's terminal in one piece, and whoever makes it decides no mail
//! meanwhile: so it is bounded. `xgrey ctl tuples` lists everything.

use std::collections::HashSet;
use std::ops::ControlFlow;

use greylist::{State, Timestamp};
use wire::greylistd::report::{
    Held, Line, Stats, encode_head, encode_line, encode_mrtg, encode_stats,
};
use wire::greylistd::{List, Lists, Refusal};

use super::refuse;
use crate::dialogue::Desk;
use crate::metrics::{Look, Totals};
use crate::service::{Listed, TupleFilter};

/// Lines of a listing: at most 1,000 × 620 bytes.
const LINES_MAX: usize = 1_000;

/// Texts that are looked at for a listing, in thousands, which is how often a listing is asked
/// whether to go on. About 10 ms.
const LOOKS_MAX: u32 = 20;

/// What is said of a listing that is not whole.
const NOT_ALL: &[u8] = b"\nThese are the newest. All of them: xgrey ctl tuples\n";

/// Answers that a tuple gave, by its list.
fn requests(totals: &Totals) -> [u64; 3] {
    let white = totals.answer("accept", "passed") + totals.answer("accept", "known");
    let grey = totals.answer("defer", "new") + totals.answer("defer", "early");
    [white, grey, totals.answer("reject", "rule")]
}

fn look(desk: &Desk<'_, '_>) -> Look {
    desk.metrics.look(desk.now, desk.service.store())
}

/// A time as `format` says, in UTC; in seconds where no calendar reaches.
fn at(time: Timestamp, format: &str) -> String {
    let secs = i64::try_from(time.as_unix_secs()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_second(secs) {
        Ok(time) => time.strftime(format).to_string(),
        Err(_) => secs.to_string(),
    }
}

pub(super) fn stats(desk: &mut Desk<'_, '_>) {
    let Look { now, started, table, since_start, .. } = look(desk);
    let [white, grey, black] = requests(&since_start);
    let stats = Stats {
        since: &at(started, "%a %b %e %H:%M:%S %Y"),
        counted_for: now.since(started),
        held: [
            Held { items: table.white, requests: white },
            Held { items: table.grey, requests: grey },
            // Rules reject, not tuples.
            Held { items: 0, requests: black },
        ],
        passed: since_start.answer("accept", "passed"),
        expired: since_start.expired.grey,
    };
    desk.reply(|out| encode_stats(&stats, out));
}

pub(super) fn mrtg(desk: &mut Desk<'_, '_>) {
    let look = look(desk);
    let [white, grey, _] = requests(&look.since_start);
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    desk.reply(|out| encode_mrtg([grey, white], look.now.since(look.started), &host, out));
}

/// Writes what is on `lists`, the newest first. Nothing at all if there is nothing.
pub(super) fn list(lists: Lists, desk: &mut Desk<'_, '_>) {
    let filter = TupleFilter {
        state: match (lists.contains(List::White), lists.contains(List::Grey)) {
            (true, false) => Some(State::White),
            (false, true) => Some(State::Grey),
            (true, true) => None,
            // There are no black tuples.
            (false, false) => return desk.reply(|_| {}),
        },
        ..TupleFilter::default()
    };
    let [mut white, mut grey] = [Vec::new(), Vec::new()];
    let mut seen = HashSet::new();
    let mut looks = 0;
    let now = desk.now;
    let give = |listed: Option<Listed<'_>>| {
        let Some(Listed { id, tuple, text: Some(text) }) = listed else {
            looks += 1;
            return if looks < LOOKS_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            };
        };
        // A tuple comes again when files are rewritten under the listing.
        if seen.insert(id) {
            let (sender, recipient) = (text.sender.bytes(), text.recipient.bytes());
            let seen = &at(tuple.since, "%Y-%m-%d %H:%M:%S");
            let line = Line { seen, client: text.client, sender, recipient };
            let lines = if tuple.state == State::White { &mut white } else { &mut grey };
            encode_line(&line, lines);
        }
        if seen.len() < LINES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    if desk.service.texts().is_none() {
        return refuse(Refusal::NoTexts, desk);
    }
    let is_whole = desk.service.list_texts(|| now, &filter, give).is_ok();
    desk.reply(|out| {
        for (list, lines) in [(List::White, white), (List::Grey, grey)] {
            if !lines.is_empty() {
                encode_head(list, out);
                out.extend_from_slice(&lines);
            }
        }
        if !is_whole {
            out.extend_from_slice(NOT_ALL);
        }
    });
}
