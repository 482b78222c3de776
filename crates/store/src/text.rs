//! The texts of tuples: who asked to send what to whom, for listings and for "why was this mail
//! delayed?".
//!
//! ```text
//!  append ─▶ buffer, 10 MiB at most ─ flush ─▶ text-….seg ─ full ─▶ text-….seg, sealed
//!                                              │ oldest goes          │ a window later: only what is
//!                                              ▼ at the bound         ▼ live is kept, small ones merged
//! ```
//! A log of its own, since losing a text loses no state: nothing waits for it, it is synced only
//! when it takes the place of something, and what can't be written is dropped and counted. Bounded
//! in bytes, and by the tuples that are live: the texts of spam that never came back go soon after
//! its window.
//!
//! Never knows: who listens, what a text is used for, clocks, threads.

mod backward;
mod buffer;
mod frame;
mod open;
mod record;
mod scan;
mod segment;
mod shelf;
mod sift;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use greylist::{Secs, Timestamp, Timing, Tuple};
use parking_lot::Mutex;

use self::buffer::Buffer;
use self::shelf::Shelf;
use self::writer::Writer;
use crate::TupleId;
use crate::disk::Disk;

pub use self::open::{TextRefusal, TextReport};
pub use self::record::{Address, Text};
pub use self::scan::{Scan, TextDamage};

/// The number in a segment's name. `None` for what is none.
pub(crate) fn number_in(name: &str) -> Option<u64> {
    match segment::named(name) {
        segment::Named::Segment(number) => Some(number),
        segment::Named::Unfinished | segment::Named::Other => None,
    }
}

/// A segment that could not be rewritten is left alone for so long.
const REST: Secs = Secs::new(60);

/// What a [`TextLog`] is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextConfig {
    /// What all segments may take on disk, in bytes. Less than [`TextConfig::BYTES_MIN`] counts as
    /// that much.
    pub bytes_max: u64,
    /// [`greylist::HashKey::fingerprint`] of the key that ids are made with.
    pub key_fingerprint: u64,
}

impl TextConfig {
    /// 1 MiB: eight segments of two frames.
    pub const BYTES_MIN: u64 = 1024 * 1024;

    const SEGMENT_BYTES_MIN: u64 = 128 * 1024;
    /// What is rewritten at once; also how much goes when the bound is reached.
    const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

    /// A 64th of the bound, 128 KiB to 64 MiB.
    const fn segment_bytes(&self) -> u64 {
        match self.bytes_max / 64 {
            ..Self::SEGMENT_BYTES_MIN => Self::SEGMENT_BYTES_MIN,
            bytes @ ..Self::SEGMENT_BYTES_MAX => bytes,
            _ => Self::SEGMENT_BYTES_MAX,
        }
    }
}

const _: () = assert!(TextConfig::BYTES_MIN >= 8 * TextConfig::SEGMENT_BYTES_MIN);
const _: () = assert!(
    TextConfig::SEGMENT_BYTES_MIN >= (frame::FRAME_BYTES_MAX + segment::HEADER_BYTES) as u64
);

/// Something that went wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTrouble {
    /// What was tried, such as `write`.
    pub doing: &'static str,
    /// With which file.
    pub file: String,
    /// What the kernel said, or what was found.
    pub why: String,
}

use TextTrouble as Trouble;

impl Trouble {
    fn new(doing: &'static str, file: String, error: &io::Error) -> Self {
        Self { doing, file, why: error.to_string() }
    }
}

impl fmt::Display for TextTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.doing, self.file, self.why)
    }
}

/// What there is of texts, and what has happened to them since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextStats {
    /// Bytes that the segments take on disk.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bytes_max: u64,
    /// Segments.
    pub segments: u64,
    /// Texts in the buffer, or kept from being written by an error.
    pub waiting: u64,
    /// Texts written.
    pub written: u64,
    /// Texts dropped, since the buffer was full: the disk is too slow, or can't be written to.
    pub dropped: u64,
    /// Texts taken away, since their tuples were not known any more.
    pub outlived: u64,
    /// Segments removed, since the bound was reached.
    pub evicted_segments: u64,
    /// Bytes that could not be read when segments were rewritten.
    pub corrupt_bytes: u64,
    /// How often something went wrong with a file.
    pub troubles: u64,
    /// What went wrong last.
    pub last_trouble: Option<TextTrouble>,
    /// Whether the last flush wrote all that there was.
    pub is_writing: bool,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    outlived: AtomicU64,
    evicted_segments: AtomicU64,
    corrupt_bytes: AtomicU64,
    troubles: AtomicU64,
    failed_flushes: AtomicU64,
}

impl Counts {
    fn written(&self, texts: u64) {
        self.written.fetch_add(texts, Relaxed);
    }

    fn sifted(&self, texts: u64) {
        self.outlived.fetch_add(texts, Relaxed);
    }

    fn evicted(&self) {
        self.evicted_segments.fetch_add(1, Relaxed);
    }

    fn corrupt(&self, bytes: u64) {
        self.corrupt_bytes.fetch_add(bytes, Relaxed);
    }
}

/// The log of texts.
#[derive(Debug)]
pub struct TextLog {
    disk: Arc<dyn Disk>,
    key_fingerprint: u64,
    bytes_max: u64,
    segment_bytes: u64,
    buffer: Mutex<Buffer>,
    /// Locked before the shelf, never after it.
    writer: Mutex<Writer>,
    shelf: Mutex<Shelf>,
    /// Held by whoever rewrites.
    upkeep: Mutex<()>,
    counts: Counts,
    last_trouble: Mutex<Option<Trouble>>,
}

impl TextLog {
    fn new(disk: Arc<dyn Disk>, config: TextConfig, shelf: Shelf, next_number: u64) -> Self {
        let (buffer, in_hand) = Buffer::new();
        Self {
            disk,
            key_fingerprint: config.key_fingerprint,
            bytes_max: config.bytes_max.max(TextConfig::BYTES_MIN),
            segment_bytes: config.segment_bytes(),
            buffer: Mutex::new(buffer),
            writer: Mutex::new(Writer::new(next_number, in_hand)),
            shelf: Mutex::new(shelf),
            upkeep: Mutex::new(()),
            counts: Counts::default(),
            last_trouble: Mutex::new(None),
        }
    }

    /// Keeps the text of a tuple that is new at `now`, soon. For the request path: puts it into a
    /// buffer, allocates nothing, waits for no disk. Of addresses longer than 255 bytes the start is
    /// kept. When the buffer is full, the text is dropped and counted.
    pub fn append(
        &self,
        now: Timestamp,
        id: TupleId,
        client: IpAddr,
        sender: &[u8],
        recipient: &[u8],
    ) {
        let (sender, recipient) = (Address::of(sender), Address::of(recipient));
        let text = Text { id, first_try: now, client, sender, recipient };
        let pushed = self.buffer.lock().push(&text);
        if pushed.is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Writes what is in the buffer. To be called several times a second, before a listing, and at
    /// the end. What fails is counted, remembered, and tried again by the next call.
    pub fn flush(&self) {
        let outcome = self.writer.lock().flush(self);
        match outcome {
            Ok(()) => self.counts.failed_flushes.store(0, Relaxed),
            Err(trouble) => {
                self.counts.failed_flushes.fetch_add(1, Relaxed);
                self.note(trouble);
            }
        }
    }

    /// Keeps the log as small as the tuples that `live` knows: to be called about once a second, and
    /// not before all of them are there. Rewrites one segment, or merges a few small ones, if any is
    /// due; that reads and writes up to twice [`TextConfig::bytes_max`] / 64 and waits for the disk.
    /// Flushes by the way. What fails is counted, remembered, and tried again later.
    pub fn upkeep(&self, now: Timestamp, timing: &Timing, live: impl Fn(TupleId) -> Option<Tuple>) {
        let Some(_one_at_a_time) = self.upkeep.try_lock() else { return };
        let window_ago = now.as_unix_secs().saturating_sub(timing.window().get().into());
        self.writer.lock().turn_over(self, Timestamp::from_unix_secs(window_ago));
        let due = self.shelf.lock().due(now, timing, self.segment_bytes).to_vec();
        if due.is_empty() {
            return;
        }
        if let Err(trouble) = self.sift(&due, now, timing, &live) {
            self.note(trouble);
            let mut shelf = self.shelf.lock();
            for segment in due {
                if let Some(segment) = shelf.get_mut(segment.number) {
                    segment.rests_until = now.after(REST);
                }
            }
        }
    }

    /// All texts on disk, newest first, while others are appended and old ones rewritten. Call
    /// [`TextLog::flush`] before, for those in the buffer. A tuple may come more than once, newest
    /// first, and may be long forgotten.
    pub fn scan(&self) -> Scan<'_> {
        Scan::new(self)
    }

    /// What there is and what has happened.
    pub fn stats(&self) -> TextStats {
        let (bytes, segments) = {
            let shelf = self.shelf.lock();
            (shelf.bytes(), shelf.segments().len() as u64)
        };
        // The writer may be held up by the disk: what it has in hand is not waited for.
        let in_hand = self.writer.try_lock().map_or(0, |writer| writer.pending());
        let waiting = in_hand + self.buffer.lock().records();
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let counts = &self.counts;
        TextStats {
            bytes,
            bytes_max: self.bytes_max,
            segments,
            waiting,
            written: count(&counts.written),
            dropped: count(&counts.dropped),
            outlived: count(&counts.outlived),
            evicted_segments: count(&counts.evicted_segments),
            corrupt_bytes: count(&counts.corrupt_bytes),
            troubles: count(&counts.troubles),
            last_trouble: self.last_trouble.lock().clone(),
            is_writing: count(&counts.failed_flushes) == 0,
        }
    }

    fn note(&self, trouble: Trouble) {
        self.counts.troubles.fetch_add(1, Relaxed);
        *self.last_trouble.lock() = Some(trouble);
    }
}
