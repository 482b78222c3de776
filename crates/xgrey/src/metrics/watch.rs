//! Looks at the counters now and then: for rates, for cycles, for what is kept from run to run.
//!
//! ```text
//!  begin   once           what earlier runs have counted is read
//!  tick    each second    seconds that are over go to the rates; cycles end; how many tuples are there?
//!  keep    each minute    what has been counted is written, and once more at the end
//! ```
//! Nobody who decides ever waits for it.
//!
//! Never knows: threads, clocks.

use greylist::rules::{List, RuleSet};
use greylist::{Secs, Timestamp};
use store::notes::TooManyNotes;
use store::{CompactStats, CompactStore};

use super::cycles::{Counts, Cycles};
use super::kept::Kept;
use super::ledger::Ledger;
use super::rates::{Rate, Rates};
use super::totals::Totals;
use super::{Metrics, XGreyStats};

/// How often tuples are counted. Counting asks each shard: a millisecond or two for the largest store.
const TUPLES: Secs = Secs::new(10);

/// What is known between two looks.
#[derive(Debug)]
pub(super) struct Watch {
    started: Timestamp,
    /// What earlier runs have counted.
    before: Kept,
    ledger: Ledger,
    rates: Rates,
    cycles: Cycles,
    tuples_high: u64,
    /// When tuples are to be counted next.
    tuples_due: Timestamp,
    /// What was written last.
    written: Option<Kept>,
}

impl Watch {
    fn new(now: Timestamp, table: &CompactStats, before: Kept) -> Self {
        let tuples = table.grey + table.white;
        Self {
            started: now,
            ledger: Ledger::new(table, &before.balance),
            before,
            rates: Rates::new(now),
            cycles: Cycles::new(now, tuples),
            tuples_high: tuples,
            tuples_due: now,
            written: None,
        }
    }

    /// What there is to be written.
    fn kept(&self, now: Timestamp, counted: &Totals, table: &CompactStats) -> Kept {
        let mut totals = self.before.totals.clone();
        totals.add(counted);
        let evicted = self.ledger.evicted(table);
        totals.evicted.grey += evicted.grey;
        totals.evicted.white += evicted.white;
        let balance = self.ledger.balance(table);
        Kept { written: now, totals, balance, ..self.before.clone() }
    }
}

/// All that can be said at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// The moment.
    pub now: Timestamp,
    /// When the service started.
    pub started: Timestamp,
    /// The table of tuples.
    pub table: CompactStats,
    /// What has been counted since the start.
    pub since_start: Totals,
    /// Seconds, minutes and hours.
    pub rates: [Rate; 3],
    /// What this service had counted in earlier runs.
    before: Kept,
    cycles: Cycles,
    tuples_high: u64,
}

/// What has been counted since ever.
#[derive(Clone, Debug)]
pub struct Ever {
    /// Since when this service has kept count.
    pub since: Timestamp,
    /// How often it has started since.
    pub starts: u64,
    /// How many others' counts are among the totals, by imports.
    pub others: u64,
    /// The counts.
    pub totals: Totals,
}

impl Metrics {
    /// Begins to watch, at a start of the service: reads what was counted before. `origin` is a random
    /// number, for a service that has none yet. To be called before the first query.
    ///
    /// # Errors
    /// When what is counted can't be kept.
    pub fn begin(
        &self,
        now: Timestamp,
        store: &CompactStore,
        origin: u64,
    ) -> Result<(), TooManyNotes> {
        let before = Kept::own(store).unwrap_or_else(|| Kept::new(origin, now));
        if before.balance.there.is_none() {
            store.sweep_all(now);
        }
        let before = Kept { starts: before.starts + 1, ..before };
        *self.watch.lock() = Some(Watch::new(now, &store.stats(), before));
        self.keep(now, store)
    }

    /// To be called each second: then rates are right to the second.
    pub fn tick(&self, now: Timestamp, store: &CompactStore) {
        let mut watch = self.watch.lock();
        let Some(watch) = watch.as_mut() else { return };
        watch.rates.advance(now, |second| self.decided_in(second));
        let cycle_is_over = watch.cycles.is_over(now);
        if !cycle_is_over && now < watch.tuples_due {
            return;
        }
        let table = store.stats();
        let tuples = table.grey + table.white;
        watch.tuples_high = watch.tuples_high.max(tuples);
        watch.tuples_due = now.after(TUPLES);
        if cycle_is_over {
            let counted = self.counted();
            let counts = Counts {
                requests: counted.decided().requests(),
                reads: counted.looked_up(),
                stored: counted.stored(),
                tuples,
            };
            watch.cycles.advance(now, &counts);
        }
    }

    /// Keeps what has been counted for the next start, if anything has been since it was last kept. To be
    /// called each minute, and at the end, when nothing is decided any more.
    ///
    /// # Errors
    /// When it can't be kept.
    pub fn keep(&self, now: Timestamp, store: &CompactStore) -> Result<(), TooManyNotes> {
        let kept = {
            let mut watch = self.watch.lock();
            let Some(watch) = watch.as_mut() else { return Ok(()) };
            let kept = watch.kept(now, &self.counted(), &store.stats());
            let is_news = watch
                .written
                .as_ref()
                .is_none_or(|last| *last != Kept { written: last.written, ..kept.clone() });
            if !is_news {
                return Ok(());
            }
            watch.written = Some(kept.clone());
            kept
        };
        kept.write(store)
    }

    /// All that can be said now. Asks each shard of the store: a millisecond or two.
    pub fn look(&self, now: Timestamp, store: &CompactStore) -> Look {
        let table = store.stats();
        let watch = self.watch.lock();
        let unwatched;
        let watch = match watch.as_ref() {
            Some(watch) => watch,
            None => {
                let nothing = CompactStats::default();
                unwatched = Watch::new(now, &nothing, Kept::new(0, now));
                &unwatched
            }
        };
        let mut since_start = self.counted();
        since_start.expired = watch.ledger.expired(&table);
        since_start.evicted = watch.ledger.evicted(&table);
        Look {
            now,
            started: watch.started,
            table,
            since_start,
            rates: *watch.rates.all(),
            before: watch.before.clone(),
            cycles: watch.cycles.clone(),
            tuples_high: watch.tuples_high.max(table.grey + table.white),
        }
    }

    /// What has been counted since ever, up to that look.
    pub fn ever(&self, store: &CompactStore, look: &Look) -> Ever {
        let mut totals = look.before.all();
        totals.add(&look.since_start);
        let mut others = 0;
        for other in Kept::others(store) {
            totals.add(&other.all());
            others += 1;
        }
        Ever { since: look.before.since, starts: look.before.starts, others, totals }
    }
}

impl Look {
    /// X-Grey's numbers, with the entries of its lists in `rules`.
    pub fn x_grey(&self, rules: &RuleSet) -> XGreyStats {
        let Self { table, since_start: counted, cycles, .. } = self;
        let entries = |list| rules.len(list) as u64 + 1;
        let said = |list: List| counted.lists[list as usize];
        let [ip_greylist, ip_accept, ip_reject] = said(List::Client);
        let [from_greylist, from_accept, from_reject] = said(List::Sender);
        let [fromd_greylist, fromd_accept, fromd_reject] = said(List::SenderDomain);
        let [to_greylist, to_accept, to_reject] = said(List::Recipient);
        let [tod_greylist, tod_accept, tod_reject] = said(List::RecipientDomain);
        let gone = counted.gone();
        XGreyStats {
            starttime: self.started.as_unix_secs(),
            nowtime: self.now.as_unix_secs(),
            tuples: table.grey + table.white,
            ips: entries(List::Client),
            ip_greylist,
            ip_accept,
            ip_reject,
            greylisted: counted.stored(),
            whitelisted: table.white,
            greylist_expired: gone.grey,
            whitelist_expired: gone.white,
            requests: counted.decided().requests(),
            requests_cu: cycles.requests.last,
            requests_cu_max: cycles.requests.highest,
            requests_cu_ave: cycles.requests_mean(),
            from: entries(List::Sender),
            from_greylist,
            from_accept,
            from_reject,
            fromd: entries(List::SenderDomain),
            fromd_greylist,
            fromd_accept,
            fromd_reject,
            to: entries(List::Recipient),
            to_greylist,
            to_accept,
            to_reject,
            tod: entries(List::RecipientDomain),
            tod_greylist,
            tod_accept,
            tod_reject,
            tuples_read: counted.looked_up(),
            tuples_read_cu: cycles.reads.last,
            tuples_read_cu_max: cycles.reads.highest,
            tuples_read_cu_ave: 0,
            tuples_write: counted.stored() + cycles.finished,
            tuples_write_cu: cycles.writes.last,
            tuples_write_cu_max: cycles.writes.highest,
            tuples_write_cu_ave: 0,
            tuples_low: cycles.tuples_low,
            tuples_high: self.tuples_high,
        }
    }
}
