//! Counts that outlive a run: a note in the store, written now and then, read at the next start.
//!
//! ```text
//!  statistics                     this service's own: origin=0123456789abcdef,since=1800000000,…
//!  statistics:fedcba9876543210    those of another, whose state was once imported
//! ```
//! Whoever first keeps count takes a random number, the *origin*. What an import brings is kept under its
//! origin's name, and only if it is newer than what is known of that origin; what was counted here is
//! never taken in. So nothing is added twice, however often and in whatever circle states are exported and
//! imported.
//!
//! Never knows: when notes are written.

use greylist::Timestamp;
use store::CompactStore;
use store::notes::TooManyNotes;
use store::journal::Note;

use super::Hand;
use super::ledger::{Balance, Ledger};
use super::totals::Totals;

/// The name of the note with this service's own counts.
const OWN: &[u8] = b"statistics";
/// How the names of the notes begin that have those of others.
const OTHERS: &[u8] = b"statistics:";

/// Others whose counts are kept, at most; each takes about 1 KiB.
const OTHERS_MAX: usize = 1_000;

/// Counts of earlier runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who has counted.
    pub(super) origin: u64,
    /// From when on.
    pub(super) since: Timestamp,
    /// Until when.
    pub(super) written: Timestamp,
    /// How often it has started.
    pub(super) starts: u64,
    /// What was counted, apart from what has expired.
    pub(super) totals: Totals,
    /// What has expired, and how many tuples there were.
    pub(super) balance: Balance,
}

impl Kept {
    /// Nothing yet.
    pub(super) fn new(origin: u64, since: Timestamp) -> Self {
        Self {
            origin,
            since,
            written: since,
            starts: 0,
            totals: Totals::default(),
            balance: Balance::default(),
        }
    }

    /// What is known of this service itself.
    pub(super) fn own(store: &CompactStore) -> Option<Self> {
        Self::parse(&store.note(OWN)?)
    }

    /// What is known of others.
    pub(super) fn others(store: &CompactStore) -> Vec<Self> {
        let notes = store.notes_under(OTHERS).into_iter();
        notes.filter_map(|(_, value)| Self::parse(&value)).collect()
    }

    /// Keeps it as this service's own.
    pub(super) fn write(&self, store: &CompactStore) -> Result<(), TooManyNotes> {
        match Note::new(OWN, Some(self.text().into_bytes())) {
            Ok(note) => store.set_note(self.written, &note),
            // It is as long as all names and numbers together: 4 KiB at most.
            Err(_) => Ok(()),
        }
    }

    /// Everything that was counted, what has expired included.
    pub(super) fn all(&self) -> Totals {
        let mut totals = self.totals.clone();
        let [grey, white] = self.balance.expired.map(|count| count.max(0).cast_unsigned());
        (totals.expired.grey, totals.expired.white) = (grey, white);
        totals
    }

    /// As it stands in a note: names and numbers, those left out that are 0.
    fn text(&self) -> String {
        let mut text = format!(
            "origin={:016x},since={},written={},starts={}",
            self.origin,
            self.since.as_unix_secs(),
            self.written.as_unix_secs(),
            self.starts,
        );
        let [grey, white] = self.balance.expired;
        text += &format!(",expired_grey={grey},expired_white={white}");
        if let Some([grey, white]) = self.balance.there {
            text += &format!(",grey={grey},white={white}");
        }
        for (name, count) in self.totals.clone().numbers() {
            if *count > 0 {
                text += &format!(",{name}={count}");
            }
        }
        text
    }

    /// What a note says; `None` if it is no such note. Names that we don't know are left out.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let pairs: std::collections::BTreeMap<&str, &str> =
            text.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
        let number = |name: &str| pairs.get(name)?.parse::<u64>().ok();
        let signed = |name: &str| pairs.get(name)?.parse::<i64>().ok();
        let mut totals = Totals::default();
        for (name, count) in totals.numbers() {
            if pairs.contains_key(name.as_str()) {
                *count = number(&name)?;
            }
        }
        let there = number("grey").zip(number("white")).map(|(grey, white)| [grey, white]);
        Some(Self {
            origin: u64::from_str_radix(pairs.get("origin")?, 16).ok()?,
            since: Timestamp::from_unix_secs(number("since")?),
            written: Timestamp::from_unix_secs(number("written")?),
            starts: number("starts")?,
            totals,
            balance: Balance {
                expired: [signed("expired_grey")?, signed("expired_white")?],
                there,
            },
        })
    }
}

/// Whether a note of that name has counts.
pub fn is_note_of_counts(name: &[u8]) -> bool {
    name == OWN || name.starts_with(OTHERS)
}

/// Takes in the counts that an import brings: a note whose name [`is_note_of_counts`] knows. `false` if
/// it can't be.
pub fn take_in(store: &CompactStore, now: Timestamp, value: Vec<u8>) -> bool {
    let Some(theirs) = Kept::parse(&value) else { return false };
    if Kept::own(store).is_some_and(|own| own.origin == theirs.origin) {
        // What was counted here is known here.
        return true;
    }
    let name = [OTHERS, format!("{:016x}", theirs.origin).as_bytes()].concat();
    match store.note(&name).as_deref().and_then(Kept::parse) {
        Some(known) if known.written >= theirs.written => true,
        None if store.notes_under(OTHERS).len() >= OTHERS_MAX => false,
        _ => Note::new(name, Some(value)).is_ok_and(|note| store.set_note(now, &note).is_ok()),
    }
}

/// Keeps the counts right while a store is changed that no service has: for an import.
#[derive(Debug)]
pub struct Offline {
    kept: Kept,
    ledger: Ledger,
}

impl Offline {
    /// Before the first change. `None` if nobody has counted yet: then there is nothing to be kept.
    /// Should the end never come, the next start counts the tuples anew.
    pub fn begin(store: &CompactStore) -> Option<Self> {
        let kept = Kept::own(store)?;
        let ledger = Ledger::new(&store.stats(), &kept.balance);
        let unknown = Balance { there: None, ..kept.balance };
        // It is there already, so there can't be one too many.
        let _ = Kept { balance: unknown, ..kept.clone() }.write(store);
        Some(Self { kept, ledger })
    }

    /// After the last one: so many tuples are new.
    pub fn end(self, now: Timestamp, store: &CompactStore, imported: u64) {
        let Self { mut kept, ledger } = self;
        kept.totals.hands[Hand::Imported as usize] += imported;
        kept.balance = ledger.balance(&store.stats());
        kept.written = now;
        let _ = kept.write(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(origin: u64, numbers: &[u64], balance: Balance) -> Kept {
        let since = Timestamp::from_unix_secs(1_800_000_000);
        let mut kept = Kept { balance, starts: 3, ..Kept::new(origin, since) };
        for ((_, own), number) in kept.totals.numbers().into_iter().zip(numbers) {
            *own = *number;
        }
        kept
    }

    proptest! {
        #[test]
        fn a_note_says_what_was_written(
            origin: u64,
            numbers in prop::collection::vec(any::<u64>(), 0..100),
            expired: [i64; 2],
            there: Option<[u64; 2]>,
        ) {
            let kept = kept(origin, &numbers, Balance { expired, there });
            let text = kept.text();
            prop_assert!(text.len() < 4096, "{text}");
            prop_assert_eq!(Kept::parse(text.as_bytes()), Some(kept));
        }

        #[test]
        fn whatever_a_note_says_it_is_read_or_refused(text: Vec<u8>) {
            let _ = Kept::parse(&text);
        }
    }

    #[test]
    fn a_note_reads_well_and_its_names_stay_as_they_are() {
        let numbers: Vec<u64> = (1..100).collect();
        let balance = Balance { expired: [1_000, -1], there: Some([20, 30]) };
        let text = kept(0xfeed, &numbers, balance).text();
        insta::assert_snapshot!(text.replace(',', "\n"));
    }

    fn open(dir: &std::path::Path) -> CompactStore {
        let opening = store::durable::Opening {
            config: store::CompactConfig {
                timing: greylist::Timing::DEFAULT,
                bound: store::Bound::for_capacity(1_000),
                hash_key: greylist::HashKey::new([7; 16]),
            },
            disk: std::sync::Arc::new(store::disk::RealDisk::new(dir.to_owned())),
            settings: store::durable::Settings {
                sync: store::journal::SyncPolicy::Never,
                segment_bytes: 1 << 20,
                snapshot_after: None,
            },
            prepare: Box::new(|| Ok(())),
            now: NOW,
            threads: std::num::NonZeroUsize::MIN,
        };
        CompactStore::open(opening, &|_| {}).unwrap().store
    }

    const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

    /// A service that counts under that origin and has had so many first tries.
    fn service(store: &CompactStore, origin: u64, first_tries: u64) -> Kept {
        let mut kept = Kept::new(origin, NOW);
        kept.totals.answers[9] = first_tries;
        kept.write(store).unwrap();
        kept
    }

    /// First tries since ever.
    fn first_tries(store: &CompactStore) -> u64 {
        let metrics = super::super::Metrics::new(0);
        metrics.begin(NOW, store, 1).unwrap();
        metrics.ever(store, &metrics.look(NOW, store)).totals.first_tries()
    }

    fn give(from: &CompactStore, to: &CompactStore) {
        for (name, value) in from.notes() {
            assert!(is_note_of_counts(&name));
            assert!(take_in(to, NOW, value));
        }
    }

    #[test]
    fn what_is_imported_is_added_once_however_often_and_in_whatever_circle() {
        let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let stores: Vec<_> = dirs.iter().map(|dir| open(dir.path())).collect();
        for (store, origin) in stores.iter().zip(10..) {
            service(store, origin, 100 + origin);
        }
        for _ in 0..3 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 0), (1, 0), (0, 2), (2, 1)] {
                give(&stores[from], &stores[to]);
            }
        }
        for store in &stores {
            assert_eq!(first_tries(store), 110 + 111 + 112);
            assert_eq!(store.notes().len(), 3);
        }
    }

    #[test]
    fn of_what_is_imported_the_newest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        service(&store, 10, 5);
        let of_other = |first_tries, written| {
            let mut other = Kept { written, ..Kept::new(20, NOW) };
            other.totals.answers[9] = first_tries;
            other.text().into_bytes()
        };
        let later = NOW.after(greylist::Secs::new(60));
        for (first_tries_there, written, all) in [(7, NOW, 12), (9, later, 14), (8, NOW, 14)] {
            assert!(take_in(&store, NOW, of_other(first_tries_there, written)));
            assert_eq!(first_tries(&store), all);
        }
        assert!(!take_in(&store, NOW, b"rubbish".to_vec()));
    }

    #[test]
    fn no_more_others_are_kept_than_there_is_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let others = OTHERS_MAX as u64;
        for origin in 1..=others {
            assert!(take_in(&store, NOW, Kept::new(origin, NOW).text().into_bytes()));
        }
        assert!(!take_in(&store, NOW, Kept::new(others + 1, NOW).text().into_bytes()));
    }

    /// A service stops with 10 grey tuples, 5 are imported while it is stopped, all expire.
    #[test]
    fn an_import_into_a_stopped_service_takes_nothing_from_what_has_expired() {
        for ends in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let tuples = |store: &CompactStore, ids: std::ops::Range<u64>| {
                for bits in ids {
                    let id = store::TupleId::from_bits(bits << 32 | 1).unwrap();
                    let tuple = greylist::Tuple { state: greylist::State::Grey, since: NOW };
                    assert_eq!(store.put_id(NOW, id, tuple), store::Placed::Stored);
                }
            };
            let store = open(dir.path());
            let metrics = super::super::Metrics::new(0);
            metrics.begin(NOW, &store, 1).unwrap();
            tuples(&store, 0..10);
            metrics.keep(NOW, &store).unwrap();
            drop(store);

            let store = open(dir.path());
            let offline = Offline::begin(&store).unwrap();
            tuples(&store, 10..15);
            if ends {
                offline.end(NOW, &store, 5);
            }
            drop(store);

            let store = open(dir.path());
            let metrics = super::super::Metrics::new(0);
            metrics.begin(NOW, &store, 2).unwrap();
            let late = NOW.after(greylist::Secs::new(86_400));
            store.sweep_all(late);
            let look = metrics.look(late, &store);
            let ever = metrics.ever(&store, &look).totals;
            assert_eq!((look.since_start.expired.grey, ever.expired.grey), (15, 15));
            assert_eq!(ever.hand(Hand::Imported), if ends { 5 } else { 0 });
        }
    }

    #[test]
    fn what_a_later_version_counts_is_left_out() {
        let kept = kept(7, &[5], Balance::default());
        let text = kept.text() + ",tuple.abducted=5";
        assert_eq!(Kept::parse(text.as_bytes()), Some(kept));
    }
}
