//! Whatever became of a journal's files: reading them never panics, never needs more memory than
//! for some frames, and gives nothing that was not appended, nor anything out of its order. What
//! is whole is all there, and the journal can go on after it.

#![no_main]

#[path = "../spoiling/mod.rs"]
mod spoiling;

use std::collections::BTreeMap;
use std::sync::Arc;

use greylist::{State, Timestamp, Tuple};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use store::TupleId;
use store::disk::{Disk, SimulatedDisk};
use store::journal::{
    Change, Content, Health, Journal, Note, Position, Report, Settings, SyncPolicy, read, segments,
};

use spoiling::Spoiling;

const KEY: u64 = 7;
const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);

#[derive(Arbitrary, Debug)]
enum Op {
    Grey(u64, i32),
    White(u64, u64),
    Forgotten(u64),
    Note(Vec<u8>, Option<Vec<u8>>),
    Commit,
}

#[derive(Arbitrary, Debug)]
struct Input {
    ops: Vec<Op>,
    segment_bytes: u16,
    /// Which segment, and what happens to it.
    spoilings: Vec<(u8, Spoiling)>,
    /// A segment that is nothing but noise.
    noise: Option<(u8, Vec<u8>)>,
    from: u8,
}

/// One entry of a journal, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Change(Change),
    Note(Note),
}

fuzz_target!(|input: Input| {
    let disk = SimulatedDisk::new();
    let appended = write(&disk, &input);
    let whole = entries(&disk, Position::START);
    let Some((found, report)) = whole else { panic!("what was written can't be read") };
    assert_eq!(found, appended);
    assert!(report.findings.is_empty() && report.next.get() == appended.len() as u64);

    let segments = segments(&disk).unwrap_or_default();
    for (which, spoiling) in &input.spoilings {
        let name = &segments[usize::from(*which) % segments.len()].name;
        let mut bytes = disk.contents(name).unwrap_or_default();
        spoiling.happen(&mut bytes);
        disk.put(name, bytes);
    }
    if let Some((at, bytes)) = input.noise {
        let first = Position::START.after(u64::from(at));
        disk.put(&format!("journal-{first}.seg"), bytes);
    }
    let from = Position::START.after(u64::from(input.from));
    // A segment under another's name is refused; so could be what a copy has put together.
    let Some((found, report)) = entries(&disk, from) else { return };
    let mut last = None;
    for (position, entry) in &found {
        assert!(*position >= from.get() && appended.get(position) == Some(entry), "{position}");
        assert!(last < Some(*position));
        last = Some(*position);
    }
    assert!(report.next >= from);
    let next = report.next;
    let journal = open(&disk, usize::MAX, next);
    journal.append(NOW, change(0, None));
    journal.commit();
    let Some((found, report)) = entries(&disk, next) else { panic!("what comes after is lost") };
    assert_eq!(found, [(next.get(), Entry::Change(change(0, None)))].into());
    assert_eq!(report.missing, 0);
});

fn open(disk: &SimulatedDisk, segment_bytes: usize, next: Position) -> Journal {
    let settings = Settings {
        sync: SyncPolicy::Regularly,
        segment_bytes: segment_bytes as u64,
        key_fingerprint: KEY,
    };
    let journal = Journal::open(Arc::new(disk.clone()) as Arc<dyn Disk>, settings, next, NOW);
    assert!(matches!(journal.health(), Health::Up), "{:?}", journal.health());
    journal
}

fn change(id: u64, tuple: Option<(State, u64)>) -> Change {
    let id = TupleId::from_bits(id & ((1 << 58) - 1) | 1);
    let Some(id) = id else { unreachable!("58 bits, the last of them set") };
    let since = |secs| Timestamp::from_unix_secs(secs);
    Change { id, outcome: tuple.map(|(state, secs)| Tuple { state, since: since(secs) }) }
}

fn write(disk: &SimulatedDisk, input: &Input) -> BTreeMap<u64, Entry> {
    let journal = open(disk, usize::from(input.segment_bytes), Position::START);
    let mut appended = BTreeMap::new();
    for op in &input.ops {
        let position = journal.position().get();
        let change = match op {
            Op::Grey(id, offset) => {
                let secs = NOW.as_unix_secs().wrapping_add_signed((*offset).into());
                change(*id, Some((State::Grey, secs)))
            }
            Op::White(id, secs) => change(*id, Some((State::White, *secs))),
            Op::Forgotten(id) => change(*id, None),
            Op::Note(name, value) => {
                if let Ok(note) = Note::new(name.clone(), value.clone()) {
                    journal.append_note(NOW, &note);
                    appended.insert(position, Entry::Note(note));
                }
                continue;
            }
            Op::Commit => {
                journal.commit();
                continue;
            }
        };
        journal.append(NOW, change);
        appended.insert(position, Entry::Change(change));
    }
    journal.commit();
    appended
}

/// All that is there, by position. `None` if it is refused.
fn entries(disk: &SimulatedDisk, from: Position) -> Option<(BTreeMap<u64, Entry>, Report)> {
    let mut entries = BTreeMap::new();
    let mut count = 0;
    let report = read(disk, KEY, from, |batch| {
        let first = batch.first.get();
        match batch.content {
            Content::Changes(changes) => {
                count += changes.len() as u64;
                let changes = changes.iter().map(|change| Entry::Change(*change));
                entries.extend((first..).zip(changes));
            }
            Content::Note(note) => {
                count += 1;
                entries.insert(first, Entry::Note(note.clone()));
            }
        }
    });
    let report = report.ok()?;
    // Optional: what is counted before `from` in its first frame.
    assert!(count <= report.changes);
    Some((entries, report))
}
