//! Whatever became of a snapshot: reading it never panics, never needs more memory than its shards
//! say and may have, and gives nothing that was not written.

#![no_main]

#[path = "../spoiling/mod.rs"]
mod spoiling;

use greylist::{Timestamp, Timing};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use store::disk::SimulatedDisk;
use store::journal::{Note, Position};
use store::snapshot::{Header, Piece, SHARD_BYTES_MAX, ShardHeader, Snapshot, Writer, newest};

use spoiling::Spoiling;

const KEY: u64 = 7;

#[derive(Arbitrary, Debug)]
enum Op {
    Shard { buckets: u8, fill: u8, seen: u64, swept: u64 },
    Note(Vec<u8>, Option<Vec<u8>>),
}

#[derive(Arbitrary, Debug)]
struct Input {
    position: u32,
    ops: Vec<Op>,
    spoilings: Vec<Spoiling>,
    /// In place of all that.
    noise: Option<Vec<u8>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    shards: Vec<(ShardHeader, Vec<u8>)>,
    notes: Vec<Note>,
}

fuzz_target!(|input: Input| {
    let disk = SimulatedDisk::new();
    let contents = contents(&input.ops);
    let position = Position::START.after(input.position.into());
    write(&disk, position, &contents);
    let (found, is_clean) = read(&disk);
    assert_eq!(found, contents);
    assert!(is_clean);

    let name = Snapshot::at(position).name;
    let mut bytes = input.noise.or_else(|| disk.contents(&name)).unwrap_or_default();
    input.spoilings.iter().for_each(|spoiling| spoiling.happen(&mut bytes));
    disk.put(&name, bytes);
    let (found, _) = read(&disk);
    assert!(found.shards.iter().all(|shard| contents.shards.contains(shard)));
    assert!(found.notes.iter().all(|note| contents.notes.contains(note)));
});

fn contents(ops: &[Op]) -> Contents {
    let mut contents = Contents::default();
    for op in ops {
        match op {
            Op::Shard { buckets, fill, seen, swept } => {
                let header = ShardHeader {
                    index: contents.shards.len() as u32,
                    buckets: (*buckets).into(),
                    seen: Timestamp::from_unix_secs(*seen),
                    swept: Timestamp::from_unix_secs(*swept),
                };
                contents.shards.push((header, vec![*fill; usize::from(*buckets) * 64]));
            }
            Op::Note(name, value) => {
                contents.notes.extend(Note::new(name.clone(), value.clone()));
            }
        }
    }
    contents
}

fn write(disk: &SimulatedDisk, position: Position, contents: &Contents) {
    let header = Header {
        position,
        key_fingerprint: KEY,
        timing: Timing::DEFAULT,
        shards: contents.shards.len() as u32,
        created: Timestamp::from_unix_secs(1_800_000_000),
    };
    let written = Writer::create(disk, &header).and_then(|mut writer| {
        contents
            .shards
            .iter()
            .try_for_each(|(header, bytes)| writer.shard(header, bytes, || {}))?;
        contents.notes.iter().try_for_each(|note| writer.note(note))?;
        writer.finish()
    });
    assert!(written.is_ok(), "{written:?}");
}

/// All that can be read, and whether that is all.
fn read(disk: &SimulatedDisk) -> (Contents, bool) {
    let mut contents = Contents::default();
    let Ok(choice) = newest(disk, KEY) else { return (contents, false) };
    let Some(reader) = choice.reader else { return (contents, false) };
    while let Ok(Some(piece)) = reader.next_piece() {
        match piece {
            Piece::Note(note) => contents.notes.push(note),
            Piece::Shard(piece) => {
                assert!(piece.bytes() <= SHARD_BYTES_MAX);
                assert!(piece.bytes() as u64 <= reader.length());
                let mut bytes = vec![0; piece.bytes()];
                if reader.read_shard(&piece, &mut bytes).is_ok() {
                    contents.shards.push((piece.header, bytes));
                }
            }
        }
    }
    let is_clean =
        reader.is_complete() && reader.shards_lost() == 0 && reader.damages().0.is_empty();
    (contents, is_clean)
}
