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
use store::TooManyNotes;
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

    #[test]
    fn what_a_later_version_counts_is_left_out() {
        let kept = kept(7, &[5], Balance::default());
        let text = kept.text() + ",tuple.abducted=5";
        assert_eq!(Kept::parse(text.as_bytes()), Some(kept));
    }
}
