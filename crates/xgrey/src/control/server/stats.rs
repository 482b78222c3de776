//! What has been counted, put together for admins.

use greylist::rules::List;

use super::{Control, disk};
use crate::clock;
use crate::config::Mode;
use crate::control::{
    Counted, DecisionCount, EventCount, ListCount, Rate, RateCount, SinceEver, Stats, TupleCounts,
    TupleStats, WaitCount, Waits,
};
use crate::metrics::{Decided, Event, Hand, KINDS, Totals, WAITS};
use crate::service::rfc3339;

impl Control {
    pub(super) fn stats(&self) -> Stats {
        let (now, store) = (self.clock.now(), self.service.store());
        let look = self.metrics.look(now, store);
        let ever = self.metrics.ever(store, &look);
        let policy = self.service.policy();
        let (table, since_start) = (&look.table, counted(&look.since_start));
        Stats {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: clock::boot().saturating_sub(self.started).as_secs(),
            mode: match policy.mode {
                Mode::Enforce => "enforce".to_owned(),
                Mode::Observe => "observe".to_owned(),
            },
            decisions: since_start.decisions.clone(),
            events: since_start.events.clone(),
            connections: self.connections.len() as u64,
            tuples: TupleStats {
                grey: table.grey,
                white: table.white,
                bytes: table.bytes,
                bytes_max: table.bound_bytes,
                huge_pages: table.huge_pages.to_string(),
                expired: look.since_start.expired.all(),
                expired_grey: look.since_start.expired.grey,
                expired_white: look.since_start.expired.white,
                evicted_grey: look.since_start.evicted.grey,
                evicted_white: look.since_start.evicted.white,
                no_room: table.no_room,
            },
            disk: disk::stats(&self.service, now),
            started: rfc3339(look.started),
            now: rfc3339(now),
            since_start,
            since_ever: SinceEver {
                since: store.durability().map(|_| rfc3339(ever.since)),
                starts: ever.starts,
                imported_from: ever.others,
                counted: counted(&ever.totals),
            },
            rates: ["second", "minute", "hour"]
                .into_iter()
                .zip(&look.rates)
                .map(|(per, rate)| Rate {
                    per: per.to_owned(),
                    last: of_rate(rate.last),
                    highest: of_rate(rate.highest),
                    highest_at: rate.highest_at.map(rfc3339),
                })
                .collect(),
            x_grey: look.x_grey(&policy.rules),
        }
    }
}

fn of_rate(decided: Decided) -> RateCount {
    let Decided { accepted, deferred, rejected } = decided;
    RateCount { requests: decided.requests(), accepted, deferred, rejected }
}

/// Totals as they are shown.
fn counted(totals: &Totals) -> Counted {
    let Decided { accepted, deferred, rejected } = totals.decided();
    let decisions = KINDS.iter().zip(totals.answers);
    let lists = List::ALL.iter().zip(totals.lists);
    let events = Event::ALL.iter().zip(totals.events);
    let bounds = WAITS.iter().map(|longest| Some(longest.get())).chain([None]);
    Counted {
        requests: totals.decided().requests(),
        accepted,
        deferred,
        rejected,
        first_tries: totals.first_tries(),
        early_retries: totals.answer("defer", "early"),
        passed: totals.answer("accept", "passed"),
        never_came_back: totals.expired.grey,
        decisions: decisions
            .map(|(&(action, reason), count)| DecisionCount {
                action: action.to_owned(),
                reason: reason.to_owned(),
                count,
            })
            .collect(),
        waits: Waits {
            seconds: totals.waited_secs,
            spread: bounds
                .zip(totals.waits)
                .map(|(up_to_seconds, passed)| WaitCount { up_to_seconds, passed })
                .collect(),
        },
        lists: lists
            .map(|(list, [greylist, accept, reject])| ListCount {
                list: list.word().to_owned(),
                greylist,
                accept,
                reject,
            })
            .collect(),
        tuples: TupleCounts {
            expired_grey: totals.expired.grey,
            expired_white: totals.expired.white,
            evicted_grey: totals.evicted.grey,
            evicted_white: totals.evicted.white,
            passed_unknown: totals.hand(Hand::PassedUnknown),
            passed_grey: totals.hand(Hand::PassedGrey),
            passed_white: totals.hand(Hand::PassedWhite),
            forgotten_unknown: totals.hand(Hand::ForgottenUnknown),
            forgotten_grey: totals.hand(Hand::ForgottenGrey),
            forgotten_white: totals.hand(Hand::ForgottenWhite),
            imported: totals.hand(Hand::Imported),
            asked_to_pass: totals.hand(Hand::AskedToPass),
        },
        events: events
            .map(|(&(_, word), count)| EventCount { event: word.to_owned(), count })
            .collect(),
    }
}
