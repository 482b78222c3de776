//! How tuples are remembered: in how much memory, and what of it outlives the process.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use greylist::Secs;
use toml::Spanned;

use super::check::time;
use super::limits::{bytes, number};
use super::mistake::Mistake;
use super::reader::{Notes, Word};
use super::size::Bytes;
use super::surroundings::Surroundings;
use super::text::{ConfigText, StoreText};

/// How large the table of tuples may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TableBound {
    /// A quarter of the machine's or the control group's memory.
    #[default]
    Quarter,
    /// That much memory.
    Memory(Bytes),
    /// As much memory as so many tuples need.
    Capacity(u64),
}

/// What of the tuples outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Whether tuples are kept on disk.
    pub journal: Keeping,
    /// When what was written is made to outlive a power cut.
    pub sync: SyncPolicy,
    /// Bytes of a journal segment: 1 MiB to 1 GiB.
    pub segment_bytes: u64,
    /// Bytes of journal after which a snapshot is taken; `None`: as many as the last snapshot had,
    /// at least 64 MiB.
    pub snapshot_after: Option<Bytes>,
    /// Whether the text of tuples is kept, for listing.
    pub text: Keeping,
    /// Bytes of text that are kept at most: 1 MiB to 1 TiB.
    pub text_bytes: u64,
}

/// Whether something is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is.
    Kept,
    /// It is not.
    NotKept,
}

/// When what was written is made to outlive a power cut. Nothing that was answered is lost when the
/// process is killed, whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// So often: a power cut loses at most so much. 1 second to 1 hour.
    Every(Duration),
    /// Before each answer that depends on it.
    Always,
    /// When the kernel gets round to it: usually within half a minute.
    Never,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            journal: Keeping::Kept,
            sync: SyncPolicy::Every(Duration::from_secs(1)),
            segment_bytes: Bytes::mib(64).0,
            snapshot_after: None,
            text: Keeping::Kept,
            text_bytes: Bytes::gib(1).0,
        }
    }
}

/// Below this a shard of the table has hardly room for a few tuples.
const MEMORY_MIN: Bytes = Bytes::mib(2);
/// The most that a machine of today can address.
const MEMORY_MAX: Bytes = Bytes::tib(256);
/// From what [`MEMORY_MIN`] holds to what [`MEMORY_MAX`] does, in round numbers.
const CAPACITY: RangeInclusive<i64> = 100_000..=10_000_000_000_000;
const SEGMENT_BYTES: RangeInclusive<Bytes> = Bytes::mib(1)..=Bytes::gib(1);
const SNAPSHOT_AFTER: RangeInclusive<Bytes> = Bytes::mib(1)..=Bytes::tib(1);
const TEXT_BYTES: RangeInclusive<Bytes> = Bytes::mib(1)..=Bytes::tib(1);
const SYNC: RangeInclusive<Secs> = Secs::new(1)..=Secs::new(3_600);

/// Checks `memory` and `capacity`.
pub(super) fn table_bound(
    text: &ConfigText<'_>,
    notes: &mut Notes<'_>,
    surroundings: &dyn Surroundings,
) -> TableBound {
    let memory = text.memory.as_ref();
    let memory =
        memory.and_then(|amount| bytes("memory", amount, &(MEMORY_MIN..=MEMORY_MAX), notes));
    let tuples = text.capacity.as_ref().and_then(|n| number("capacity", n, &CAPACITY, notes));
    if let (Some(_), Some(capacity)) = (&text.memory, &text.capacity) {
        notes
            .error(capacity.span(), "`memory` and `capacity` both bound the table")
            .help("keep one of the two: 1 GiB holds about 123 million tuples");
    }
    let wanted = tuples.map(|tuples| tuples as u64 / 92 * 100 * 8);
    let wanted = memory.map(|Bytes(bytes)| bytes).or(wanted);
    let written = text.memory.as_ref().map(|_| "memory").unwrap_or("capacity");
    let span = text.memory.as_ref().map(Spanned::span);
    let span = span.or_else(|| text.capacity.as_ref().map(Spanned::span));
    if let Some(((wanted, there), span)) = wanted.zip(surroundings.memory()).zip(span) {
        fits(written, wanted, there, span, notes);
    }
    match (memory, tuples) {
        (Some(bytes), _) => TableBound::Memory(bytes),
        (None, Some(tuples)) => TableBound::Capacity(tuples as u64),
        (None, None) => TableBound::Quarter,
    }
}

/// Whether a table of that many bytes fits into that much memory, beside the rest of the program
/// and what the machine needs.
fn fits(key: &str, wanted: u64, there: u64, span: Range<usize>, notes: &mut Notes<'_>) {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let said =
        format!("a table of {:.1} GiB, and {:.1} GiB of memory here", gib(wanted), gib(there));
    let most = there / 10 * 9;
    let help = match key {
        "memory" => format!("use at most \"{}MiB\"", most >> 20),
        _ => format!("use at most {}, or a machine with more memory", most / 800 * 92),
    };
    if wanted > there {
        notes.error(span, format!("`{key}` is more than there is")).label(said).help(help);
    } else if wanted > most {
        notes
            .warning(span, format!("`{key}` leaves little for everything else"))
            .label(said)
            .help(help);
    }
}

/// Checks `[store]`.
pub(super) fn store(text: &StoreText<'_>, notes: &mut Notes<'_>) -> StoreConfig {
    let default = StoreConfig::default();
    let mut size = |key, amount: &Option<_>, range| {
        amount.as_ref().and_then(|amount| bytes(key, amount, range, notes))
    };
    let segment_bytes = size("segment_bytes", &text.segment_bytes, &SEGMENT_BYTES);
    let snapshot_after = size("snapshot_after", &text.snapshot_after, &SNAPSHOT_AFTER);
    let text_bytes = size("text_bytes", &text.text_bytes, &TEXT_BYTES);
    let kept = |switch: Option<bool>, default| match switch {
        Some(true) => Keeping::Kept,
        Some(false) => Keeping::NotKept,
        None => default,
    };
    StoreConfig {
        journal: kept(text.journal, default.journal),
        sync: text.sync.as_ref().and_then(|word| sync(word, notes)).unwrap_or(default.sync),
        segment_bytes: segment_bytes.map_or(default.segment_bytes, |Bytes(bytes)| bytes),
        snapshot_after,
        text: kept(text.keep_text, default.text),
        text_bytes: text_bytes.map_or(default.text_bytes, |Bytes(bytes)| bytes),
    }
}

/// `"always"`, `"never"`, or a time.
fn sync(word: &Word<'_>, notes: &mut Notes<'_>) -> Option<SyncPolicy> {
    match word.get_ref().to_ascii_lowercase().as_str() {
        "always" => return Some(SyncPolicy::Always),
        "never" => return Some(SyncPolicy::Never),
        text if text.starts_with(|c: char| c.is_ascii_digit()) => {}
        _ => {
            let help = "use \"always\", \"never\", or a time such as \"1s\"";
            notes.mistake("sync", word.span(), Mistake::new("not one of its values", help));
            return None;
        }
    }
    let secs = time("sync", word, notes)?;
    if !SYNC.contains(&secs) {
        let help = "use a time from \"1s\" to \"1h\", \"always\" or \"never\"";
        notes.mistake("sync", word.span(), Mistake::new("out of range", help));
        return None;
    }
    Some(SyncPolicy::Every(Duration::from_secs(secs.get().into())))
}
