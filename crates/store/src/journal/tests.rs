//! The journal as a whole, on a disk that can be cut at any call.

mod bytes;
mod crash;
mod faults;
mod threads;

use std::sync::Arc;

use greylist::{State, Timestamp, Tuple};

use super::{
    Batch, Change, Content, Finding, Health, Journal, Note, Position, Report, Settings, SyncPolicy,
    read,
};
use crate::disk::{Disk, SimulatedDisk};
use crate::{Refusal, TupleId};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const KEY: u64 = 0x1234_5678_9abc_def0;

/// Segments so short that every test has several.
const SETTINGS: Settings =
    Settings { sync: SyncPolicy::Regularly, segment_bytes: 400, key_fingerprint: KEY };

/// One entry of a journal, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Change(Change),
    Note(Note),
}

fn id(number: u64) -> TupleId {
    TupleId::from_bits(number + 1).unwrap()
}

fn grey(number: u64, since: u64) -> Change {
    let tuple = Tuple { state: State::Grey, since: Timestamp::from_unix_secs(since) };
    Change { id: id(number), outcome: Some(tuple) }
}

fn open(disk: &SimulatedDisk, settings: Settings, next: Position) -> Journal {
    Journal::open(Arc::new(disk.clone()) as Arc<dyn Disk>, settings, next, NOW)
}

fn is_up(journal: &Journal) -> bool {
    matches!(journal.health(), Health::Up)
}

fn append(journal: &Journal, entry: &Entry) {
    match entry {
        Entry::Change(change) => journal.append(NOW, *change),
        Entry::Note(note) => journal.append_note(NOW, note),
    }
}

/// All that is there, with positions.
fn entries(disk: &SimulatedDisk, from: Position) -> (Vec<(u64, Entry)>, Report) {
    try_entries(disk, from).unwrap()
}

fn try_entries(
    disk: &SimulatedDisk,
    from: Position,
) -> Result<(Vec<(u64, Entry)>, Report), Refusal> {
    let mut entries = Vec::new();
    let report = read(disk, KEY, from, |Batch { first, content, .. }| {
        let first = first.get();
        match content {
            Content::Changes(changes) => entries.extend(
                changes.iter().zip(first..).map(|(change, at)| (at, Entry::Change(*change))),
            ),
            Content::Note(note) => entries.push((first, Entry::Note(note.clone()))),
        }
    })?;
    Ok((entries, report))
}
