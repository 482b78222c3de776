//! Notes: what somebody else wants kept with the tuples, by name, such as rules that were set while
//! the service runs. They go with the tuples into journal, snapshots and backups.
//!
//! Never knows: what they say.

use std::collections::BTreeMap;
use std::ops::Bound;

use greylist::Timestamp;
use parking_lot::Mutex;

use crate::CompactStore;
use crate::journal::Note;

/// Notes that are kept, at most. Those of rules are about 150 bytes each, so that this many are
/// 160 MiB of a snapshot.
pub const NOTES_MAX: usize = 1_100_000;

/// Notes of one of the [portions](CompactStore::note_portions).
const NOTES_TOGETHER: usize = 1024;

/// Notes by name.
pub(crate) type ByName = BTreeMap<Vec<u8>, Vec<u8>>;

/// The notes of a store.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<ByName>);

impl Notes {
    pub(crate) fn new(notes: ByName) -> Self {
        Self(Mutex::new(notes))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Why a note is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyNotes;

impl std::fmt::Display for TooManyNotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are {NOTES_MAX} notes already: that is as many as are kept")
    }
}

impl std::error::Error for TooManyNotes {}

/// Takes a note down in a map, if there is room for it. `false` if there is none.
pub(crate) fn take_down(notes: &mut ByName, note: &Note) -> bool {
    match note.value() {
        Some(value) if notes.len() < NOTES_MAX || notes.contains_key(note.name()) => {
            notes.insert(note.name().to_owned(), value.to_owned());
            true
        }
        Some(_) => false,
        None => {
            notes.remove(note.name());
            true
        }
    }
}

impl CompactStore {
    /// Keeps something by name that somebody else reads at the next start; `None` takes it away. On
    /// return it is as safe as a tuple.
    ///
    /// # Errors
    /// When too many are kept.
    pub fn set_note(&self, now: Timestamp, note: &Note) -> Result<(), TooManyNotes> {
        self.append_notes(now, std::slice::from_ref(note))?;
        self.commit_notes();
        Ok(())
    }

    /// The same for many, in their order, all or none; and without waiting for the disk: they are
    /// as safe as tuples only after [`commit_notes`](Self::commit_notes).
    ///
    /// # Errors
    /// When too many would be kept.
    pub fn append_notes(&self, now: Timestamp, notes: &[Note]) -> Result<(), TooManyNotes> {
        let mut kept = self.notes_by_name().0.lock();
        if kept.len() + notes.len() > NOTES_MAX {
            // Rarely so near to the bound: a name that comes twice counts as two.
            let is_new = |note: &&Note| note.value().is_some() && !kept.contains_key(note.name());
            if kept.len() + notes.iter().filter(is_new).count() > NOTES_MAX {
                return Err(TooManyNotes);
            }
        }
        for note in notes {
            take_down(&mut kept, note);
            // Under the lock: of two that change one note, the later one comes later.
            if let Some(durable) = self.durable() {
                durable.append_note(now, note);
            }
        }
        Ok(())
    }

    /// Waits until all notes so far are in the kernel's hands, or the journal is down.
    pub fn commit_notes(&self) {
        if let Some(durable) = self.durable() {
            durable.commit();
        }
    }

    /// All notes, by name.
    pub fn notes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.notes_after(&[], usize::MAX)
    }

    /// The notes whose names come after `name`, by name; so many at most.
    pub fn notes_after(&self, name: &[u8], max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = self.notes_by_name().0.lock();
        let after = kept.range::<[u8], _>((Bound::Excluded(name), Bound::Unbounded));
        after.take(max).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// All notes, by name, some at a time: each portion is copied with their lock held, and
    /// what changes between two portions is in the later one or not, as it comes.
    pub fn note_portions(&self) -> impl Iterator<Item = Vec<(Vec<u8>, Vec<u8>)>> + '_ {
        let mut after = Vec::new();
        std::iter::from_fn(move || {
            let notes = self.notes_after(&after, NOTES_TOGETHER);
            after.clone_from(&notes.last()?.0);
            Some(notes)
        })
    }

    /// The note of that name, if there is one.
    pub fn note(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.notes_by_name().0.lock().get(name).cloned()
    }

    /// The notes whose names begin with `prefix`, by name.
    pub fn notes_under(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = self.notes_by_name().0.lock();
        kept.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// How many notes there are.
    pub fn note_count(&self) -> usize {
        self.notes_by_name().len()
    }
}
