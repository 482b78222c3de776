//! What is kept of each rule of a list besides its pattern: the verdict, where it was written, how
//! often it matched. Sixteen bytes a rule.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Origin, Verdict};

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

impl Note {
    /// The default of a list that nobody set.
    pub(super) const UNSET: Self =
        Self::new(Verdict::Greylist, Origin { source: SOURCE_NONE, line: 0 });

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

    pub(super) const fn origin(self) -> Origin {
        Origin { source: self.source_and_verdict >> VERDICT_BITS, line: self.line }
    }
}

/// The notes and counters of a list's rules, by index.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    notes: Box<[Note]>,
    hits: Box<[AtomicU64]>,
}

impl Ledger {
    pub(super) fn new(notes: Vec<Note>) -> Self {
        let hits = notes.iter().map(|_| AtomicU64::new(0)).collect();
        Self { notes: notes.into_boxed_slice(), hits }
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }

    pub(super) fn note(&self, index: u32) -> Option<Note> {
        self.notes.get(index as usize).copied()
    }

    /// What the rule at `index`, which the list's own matcher found, says.
    pub(super) fn verdict(&self, index: u32) -> Verdict {
        self.notes[index as usize].verdict()
    }

    pub(super) fn hits(&self, index: u32) -> u64 {
        self.hits.get(index as usize).map_or(0, |hits| hits.load(Ordering::Relaxed))
    }

    pub(super) fn count(&self, index: u32) {
        if let Some(hits) = self.hits.get(index as usize) {
            hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds the hits of each rule of `old`; `index_here` says where it stands here, if it does.
    pub(super) fn adopt(&self, old: &Self, index_here: impl Fn(u32) -> Option<u32>) {
        for (old_index, hits) in (0..).zip(&old.hits) {
            let hits = hits.load(Ordering::Relaxed);
            if hits != 0
                && let Some(index) = index_here(old_index)
                && let Some(own) = self.hits.get(index as usize)
            {
                own.fetch_add(hits, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.notes.len() * (size_of::<Note>() + size_of::<AtomicU64>())
    }
}
