//! What is kept of each rule of a list besides its pattern: the verdict, where it was written, how
//! often it matched, and when last. Twenty bytes a rule.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{Hits, Origin, Verdict};
use crate::timing::Timestamp;

/// A rule's verdict and origin, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    line: u32,
    /// The verdict in the low two bits, the source's number above.
    source_and_verdict: u32,
}

const _: () = assert!(size_of::<Note>() == 8);

const VERDICT_BITS: u32 = 2;
/// The source of what nobody wrote; also of what comes after a billion sources.
const SOURCE_NONE: u32 = u32::MAX >> VERDICT_BITS;
/// The source of what was set while the service runs.
pub(super) const SOURCE_LIVE: u32 = SOURCE_NONE - 1;

impl Note {
    /// The default of a list that nobody set.
    pub(super) const UNSET: Self =
        Self::new(Verdict::Greylist, Origin { source: SOURCE_NONE, line: 0 });

    /// Of a rule that is there no more, while a set is being gathered.
    pub(super) const GONE: Self = Self { line: 0, source_and_verdict: u32::MAX };

    pub(super) const fn new(verdict: Verdict, origin: Origin) -> Self {
        let source = if origin.source < SOURCE_NONE { origin.source } else { SOURCE_NONE };
        let verdict = match verdict {
            Verdict::Greylist => 0,
            Verdict::Accept => 1,
            Verdict::Reject => 2,
        };
        Self { line: origin.line, source_and_verdict: source << VERDICT_BITS | verdict }
    }

    pub(super) const fn verdict(self) -> Verdict {
        match self.source_and_verdict & ((1 << VERDICT_BITS) - 1) {
            1 => Verdict::Accept,
            2 => Verdict::Reject,
            _ => Verdict::Greylist,
        }
    }

    pub(super) const fn is_gone(self) -> bool {
        self.source_and_verdict == Self::GONE.source_and_verdict
    }

    pub(super) const fn origin(self) -> Origin {
        Origin { source: self.source_and_verdict >> VERDICT_BITS, line: self.line }
    }
}

/// Seconds since 1970 as 32 bits have them, which is until 2106; 0 for never.
pub(super) fn when(now: Timestamp) -> u32 {
    u32::try_from(now.as_unix_secs()).unwrap_or(u32::MAX)
}

/// The moment that [`when`] gave.
pub(super) fn moment(secs: u32) -> Option<Timestamp> {
    (secs != 0).then(|| Timestamp::from_unix_secs(secs.into()))
}

/// How often something happened, and when last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter<'a> {
    pub(super) hits: &'a AtomicU64,
    pub(super) last: &'a AtomicU32,
}

impl Counter<'_> {
    #[inline]
    pub(super) fn count(self, when: u32) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        // Most hits come in the second of the one before: a look spares the other cores' caches.
        if self.last.load(Ordering::Relaxed) < when {
            self.last.fetch_max(when, Ordering::Relaxed);
        }
    }

    pub(super) fn read(self) -> Hits {
        let last = self.last.load(Ordering::Relaxed);
        Hits { count: self.hits.load(Ordering::Relaxed), last: moment(last) }
    }

    /// Takes away what was counted so far. Mostly that is nothing, and then nothing is written.
    pub(super) fn take(self) -> Hits {
        if self.hits.load(Ordering::Relaxed) == 0 {
            return Hits::default();
        }
        let last = self.last.swap(0, Ordering::Relaxed);
        Hits { count: self.hits.swap(0, Ordering::Relaxed), last: moment(last) }
    }

    pub(super) fn give(self, given: Hits) {
        if given.count != 0 {
            self.hits.fetch_add(given.count, Ordering::Relaxed);
            self.last.fetch_max(given.last.map_or(0, when), Ordering::Relaxed);
        }
    }
}

/// The notes and counters of a list's rules, by index.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    notes: Box<[Note]>,
    hits: Box<[AtomicU64]>,
    last: Box<[AtomicU32]>,
}

impl Ledger {
    pub(super) fn new(notes: Vec<Note>) -> Self {
        let hits = notes.iter().map(|_| AtomicU64::new(0)).collect();
        let last = notes.iter().map(|_| AtomicU32::new(0)).collect();
        Self { notes: notes.into_boxed_slice(), hits, last }
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }

    pub(super) fn notes(&self) -> &[Note] {
        &self.notes
    }

    pub(super) fn note(&self, index: u32) -> Option<Note> {
        self.notes.get(index as usize).copied()
    }

    /// What the rule at `index`, which the list's own matcher found, says.
    pub(super) fn verdict(&self, index: u32) -> Verdict {
        self.notes[index as usize].verdict()
    }

    /// Of the rule at `index`.
    #[inline]
    pub(super) fn counter(&self, index: u32) -> Option<Counter<'_>> {
        let index = index as usize;
        Some(Counter { hits: self.hits.get(index)?, last: self.last.get(index)? })
    }

    /// Takes over the hits of each rule of `old`; `index_here` says where it stands here, if it
    /// does.
    pub(super) fn take_over(&self, old: &Self, index_here: impl Fn(u32) -> Option<u32>) {
        for (index, (hits, last)) in (0..).zip(old.hits.iter().zip(&old.last)) {
            if hits.load(Ordering::Relaxed) != 0
                && let Some(here) = index_here(index)
                && let Some(own) = self.counter(here)
            {
                own.give(Counter { hits, last }.take());
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.notes.len() * (size_of::<Note>() + size_of::<AtomicU64>() + size_of::<AtomicU32>())
    }
}
