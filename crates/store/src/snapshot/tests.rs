//! Snapshots as a whole, on a disk that can be changed at will. (`journal/tests/crash.rs` cuts at every call.)

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::Refusal;
use crate::disk::{Fault, SimulatedDisk};
use crate::journal::{Note, Seed};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const KEY: u64 = 0x1234_5678_9abc_def0;

/// A shard and its buckets.
type Shard = (ShardHeader, Vec<u8>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    shards: Vec<Shard>,
    notes: Vec<Note>,
}

fn header(position: u64, shards: u32) -> Header {
    let position = Position::new(position).unwrap();
    Header { position, key_fingerprint: KEY, timing: Timing::DEFAULT, shards, created: NOW }
}

fn shard(index: u32, buckets: u32, fill: u8) -> Shard {
    let (seen, swept) = (NOW, Timestamp::from_unix_secs(u64::from(index)));
    let bytes = (0..buckets * 64).map(|at| fill.wrapping_add(at as u8)).collect();
    (ShardHeader { index, buckets, seen, swept }, bytes)
}

fn contents() -> impl Strategy<Value = Contents> {
    let buckets = proptest::collection::vec((0..6_u32, any::<u8>()), 0..8);
    let shards = buckets.prop_map(|buckets| {
        let numbered = buckets.into_iter().zip(0..);
        numbered.map(|((buckets, fill), index)| shard(index, buckets, fill)).collect()
    });
    let note = (proptest::collection::vec(any::<u8>(), 1..9), 0..200_usize)
        .prop_map(|(name, length)| Note::new(name, (length > 0).then(|| vec![7; length])).unwrap());
    let notes = proptest::collection::vec(note, 0..4);
    (shards, notes).prop_map(|(shards, notes)| Contents { shards, notes })
}

fn write(disk: &SimulatedDisk, position: u64, contents: &Contents) -> io::Result<u64> {
    let mut writer = Writer::create(disk, &header(position, contents.shards.len() as u32))?;
    for (header, bytes) in &contents.shards {
        writer.shard(header, bytes, || {})?;
    }
    contents.notes.iter().try_for_each(|note| writer.note(note))?;
    writer.finish()
}

fn written(contents: &Contents) -> (SimulatedDisk, String, Vec<u8>) {
    let disk = SimulatedDisk::new();
    let length = write(&disk, 9, contents).unwrap();
    let name = "snapshot-00000000000000000009.snap".to_owned();
    let bytes = disk.contents(&name).unwrap();
    assert_eq!(bytes.len() as u64, length);
    (disk, name, bytes)
}

/// All that can be read.
fn read(reader: &Reader) -> Contents {
    let mut contents = Contents::default();
    while let Some(piece) = reader.next_piece().unwrap() {
        match piece {
            Piece::Note(note) => contents.notes.push(note),
            Piece::Shard(piece) => {
                let mut bytes = vec![0; piece.bytes()];
                if reader.read_shard(&piece, &mut bytes).is_ok() {
                    contents.shards.push((piece.header, bytes));
                }
            }
        }
    }
    assert_eq!(reader.next_piece().unwrap(), None, "that was all");
    contents
}

fn changed(name: &str, bytes: Vec<u8>) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.put(name, bytes);
    disk
}

fn chosen(disk: &SimulatedDisk) -> Reader {
    newest(disk, KEY).unwrap().reader.unwrap()
}

proptest! {
    #[test]
    fn whatever_is_written_is_read(contents in contents()) {
        let (disk, name, bytes) = written(&contents);
        let reader = chosen(&disk);
        prop_assert_eq!(reader.name(), &name);
        prop_assert_eq!(reader.header(), &header(9, contents.shards.len() as u32));
        prop_assert!(reader.is_complete());
        prop_assert_eq!(read(&reader), contents);
        prop_assert_eq!((reader.damages(), reader.shards_lost()), ((vec![], 0), 0));
        prop_assert_eq!(reader.bytes_passed(), bytes.len() as u64);
        prop_assert_eq!(disk.unsynced_bytes(), 0);
        prop_assert_eq!(disk.names().unwrap(), [name]);
    }

    #[test]
    fn any_flipped_bit_costs_no_more_than_what_it_is_in(
        contents in contents(),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let (_, name, mut bytes) = written(&contents);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (length, choice) = (bytes.len(), newest(&changed(&name, bytes), KEY).unwrap());
        if at < 64 {
            prop_assert!(choice.reader.is_none());
            let why = Spoilt::Header;
            prop_assert_eq!(choice.passed_over, [PassedOver { file: name, why }]);
            return Ok(());
        }
        let reader = choice.reader.unwrap();
        let found = read(&reader);
        prop_assert!(found.shards.iter().all(|shard| contents.shards.contains(shard)));
        prop_assert!(found.notes.iter().all(|note| contents.notes.contains(note)));
        let lost = contents.shards.len() - found.shards.len();
        let lost_notes = contents.notes.len() - found.notes.len();
        let is_end = at >= length - 64;
        prop_assert_eq!(reader.is_complete(), !is_end);
        // Zeros after a note's payload are nobody's.
        prop_assert!(lost + lost_notes <= usize::from(!is_end));
        if lost + lost_notes > 0 {
            prop_assert_eq!(reader.shards_lost() as usize, lost);
            prop_assert_eq!(reader.damages().0.len(), 1);
        }
    }

    /// Cut off by a disk or a careless copy; a crash never leaves that.
    #[test]
    fn of_one_that_was_cut_off_what_is_whole_is_read(
        contents in contents(),
        cut: prop::sample::Index,
    ) {
        let (_, name, mut bytes) = written(&contents);
        bytes.truncate(cut.index(bytes.len()));
        let length = bytes.len() as u64;
        let choice = newest(&changed(&name, bytes), KEY).unwrap();
        let Some(reader) = choice.reader else {
            prop_assert!(length < 64);
            return Ok(());
        };
        prop_assert!(!reader.is_complete());
        let found = read(&reader);
        prop_assert!(contents.shards.starts_with(&found.shards));
        prop_assert!(contents.notes.starts_with(&found.notes));
        let (damages, _) = reader.damages();
        prop_assert_eq!(damages.last(), Some(&Damage::CutOff { bytes: length }));
    }

    #[test]
    fn nothing_that_was_not_written_is_ever_read(
        contents in contents(),
        at: prop::sample::Index,
        from: prop::sample::Index,
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in 1..5_usize,
    ) {
        let (_, name, mut bytes) = written(&contents);
        // Noise, or pieces of the same file in the wrong place.
        let piece = if noise.is_empty() {
            let from = from.index(bytes.len()) / 64 * 64;
            bytes[from..bytes.len().min(from + pieces * 64)].to_vec()
        } else {
            noise
        };
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + piece.len());
        bytes.splice(at..end, piece);
        if let Some(reader) = newest(&changed(&name, bytes), KEY).unwrap().reader {
            let found = read(&reader);
            prop_assert!(found.shards.iter().all(|shard| contents.shards.contains(shard)));
            prop_assert!(found.notes.iter().all(|note| contents.notes.contains(note)));
        }
    }

    /// A full disk, a read-only one, a broken one: no snapshot comes of it, the one that was there
    /// stays, and nothing is left lying about.
    #[test]
    fn one_that_cannot_be_written_leaves_the_last_one_alone(
        contents in contents(),
        call in 0..9_usize,
        fault in prop_oneof![
            Just(Fault::Full { free_bytes: 100 }),
            Just(Fault::ReadOnly),
            Just(Fault::Broken),
        ],
    ) {
        let disk = SimulatedDisk::new();
        write(&disk, 1, &contents).unwrap();
        disk.fail_once(disk.calls() + call, fault);
        let outcome = write(&disk, 2, &Contents::default());
        let names = disk.names().unwrap();
        prop_assert!(names.iter().all(|name| !name.ends_with(".new")), "{names:?}");
        let expected = if outcome.is_ok() { 2 } else { 1 };
        // One whose name may not outlive a power cut is there all the same.
        let is_named = names.len() == 2;
        let position = chosen(&disk).header().position.get();
        prop_assert_eq!(position, if is_named { 2 } else { expected });
    }
}

fn sample() -> Contents {
    let note = Note::new("rule", Some(b"accept".to_vec())).unwrap();
    Contents { shards: vec![shard(0, 1, 0), shard(2, 2, 9), shard(1, 0, 0)], notes: vec![note] }
}

/// `docs/formats.md` explains the same bytes. Files of version 1 look like this for ever.
#[test]
fn a_known_snapshot_has_the_bytes_that_it_always_had() {
    let contents = Contents { shards: vec![shard(0, 1, 0)], ..sample() };
    let (_, _, bytes) = written(&contents);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows: Vec<String> = bytes.chunks(16).map(hex).collect();
    assert_eq!(rows, KNOWN_ROWS);
    // One row after the other, in one block.
    let mut documented = include_str!("../../../../docs/formats.md")
        .lines()
        .skip_while(|line| !line.starts_with(KNOWN_ROWS[0]))
        .map(|line| line.split(' ').next().unwrap_or_default());
    for row in KNOWN_ROWS {
        assert_eq!(documented.next(), Some(row));
    }
}

const KNOWN_ROWS: [&str; 24] = [
    "7867726579736e700100000000000000",
    "0900000000000000f0debc9a78563412",
    "00d2496b000000003c00000060540000",
    "00762f00010000000000000022d12fd5",
    "f7786773e877e88fdfc4accc01000000",
    "40000000000000000000000001000000",
    "00d2496b000000000000000000000000",
    "00000000000000000000000000000000",
    "000102030405060708090a0b0c0d0e0f",
    "101112131415161718191a1b1c1d1e1f",
    "202122232425262728292a2b2c2d2e2f",
    "303132333435363738393a3b3c3d3e3f",
    "f77867736f6694325358e18d02000000",
    "12000000000000000000000000000000",
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    "040100000600000072756c6561636365",
    "70740000000000000000000000000000",
    "00000000000000000000000000000000",
    "00000000000000000000000000000000",
    "f7786773b5e416d4b499a42603000000",
    "00000000000000000100000001000000",
    "80010000000000000000000000000000",
    "00000000000000000000000000000000",
];

#[test]
fn the_newest_that_is_complete_is_chosen_and_what_is_passed_over_is_told() {
    let disk = SimulatedDisk::new();
    for position in 1..=4 {
        write(&disk, position, &sample()).unwrap();
    }
    assert_eq!(chosen(&disk).header().position.get(), 4);
    let file = |number: u32| format!("snapshot-0000000000000000000{number}.snap");
    // The newest without its end, the one before it without its beginning.
    let mut bytes = disk.contents(&file(4)).unwrap();
    bytes.truncate(200);
    disk.put(&file(4), bytes);
    let mut bytes = disk.contents(&file(3)).unwrap();
    bytes[20] ^= 1;
    disk.put(&file(3), bytes);
    let Choice { reader, passed_over } = newest(&disk, KEY).unwrap();
    assert_eq!(reader.unwrap().header().position.get(), 2);
    let told: Vec<_> = passed_over.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "snapshot-00000000000000000004.snap was passed over: its last 64 bytes are corrupt",
            "snapshot-00000000000000000003.snap was passed over: its first 64 bytes are corrupt",
        ]
    );
    // When no other is left, an incomplete one is better than none.
    drop_before(&disk, Position::new(3).unwrap()).unwrap();
    let Choice { reader, passed_over } = newest(&disk, KEY).unwrap();
    assert_eq!(reader.unwrap().header().position.get(), 4);
    assert_eq!(passed_over.len(), 1);
}

#[test]
fn what_cannot_be_ours_is_refused_with_the_mend() {
    let (_, name, bytes) = written(&sample());
    let with_header = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = bytes.clone();
        change(&mut bytes[..60]);
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    };
    for (name, bytes, said) in [
        (&*name, with_header(&|bytes| bytes[8] = 2), "is of format version 2, and this program"),
        (&*name, with_header(&|bytes| bytes[24] ^= 1), "was written with another hash key"),
        (
            "snapshot-00000000000000000007.snap",
            bytes.clone(),
            "give it back its name, snapshot-00000000000000000009.snap",
        ),
    ] {
        let refused = newest(&changed(name, bytes), KEY).unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains(name), "{refused}");
    }
    let disk = changed(&name, bytes);
    disk.fail(Fault::Denied);
    let refused = newest(&disk, KEY).unwrap_err().to_string();
    assert!(refused.starts_with("cannot list the state directory: Permission denied"), "{refused}");
}

/// With the frame's checksum put right after a change: as another version of the program would write.
fn with_frame(bytes: &[u8], change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let frame = &mut bytes[64..128];
    change(frame);
    let checksum = Seed::of(KEY).checksum(&frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn what_a_later_version_wrote_is_refused_or_passed_over_as_it_says() {
    let contents = sample();
    let (_, name, bytes) = written(&contents);
    let reader = chosen(&changed(&name, with_frame(&bytes, |frame| frame[12] = 9)));
    let refused = reader.next_piece().unwrap_err();
    assert!(matches!(refused, Refusal::UnknownKind { offset: 64, kind: 9, .. }), "{refused}");
    let reader = chosen(&changed(&name, with_frame(&bytes, |frame| frame[12] = 0x80)));
    assert_eq!(read(&reader).shards, contents.shards[1..]);
    assert_eq!(reader.damages().0, []);
    // Lengths and indices that can't be: nothing is allocated for them.
    for (at, what) in [(16, "a length"), (24, "an index"), (28, "a number of buckets")] {
        let bytes = with_frame(&bytes, |frame| frame[at..at + 4].fill(0xff));
        let reader = chosen(&changed(&name, bytes));
        assert_eq!(read(&reader).shards, contents.shards[1..], "{what}");
        let corrupt = Damage::Corrupt { offset: 64, bytes: 128 };
        assert_eq!(reader.damages().0, [corrupt], "{what}");
        assert_eq!(reader.shards_lost(), 1, "{what}");
    }
}

#[test]
fn a_shard_that_cannot_be_read_is_told_and_the_others_are_read() {
    let contents = sample();
    let (disk, name, _) = written(&contents);
    disk.spoil(&name, 130..131);
    let reader = chosen(&disk);
    assert_eq!(read(&reader).shards, contents.shards[1..]);
    let (damages, _) = reader.damages();
    let [Damage::Unreadable { offset: 128, bytes: 64, error }] = &damages[..] else {
        panic!("{damages:?}")
    };
    assert!(error.contains("Input/output error"), "{error}");
    // The frame's header: then the next frame is looked for.
    let (disk, name, bytes) = written(&contents);
    disk.spoil(&name, 70..71);
    let reader = chosen(&disk);
    let found = read(&reader);
    assert!(found.shards.len() < contents.shards.len());
    assert_eq!(reader.shards_lost() as usize, contents.shards.len() - found.shards.len());
    assert!(matches!(reader.damages().0[..], [Damage::Unreadable { offset: 64, .. }]));
    assert!(bytes.len() < 4096, "all in one page");
}

#[test]
fn several_threads_read_each_shard_once() {
    let shards: Vec<_> = (0..200).map(|index| shard(index, index % 7, index as u8)).collect();
    let contents = Contents { shards, notes: Vec::new() };
    let (disk, _, _) = written(&contents);
    let reader = chosen(&disk);
    let seen = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(Piece::Shard(piece)) = reader.next_piece().unwrap() {
                    let mut bytes = vec![0; piece.bytes()];
                    reader.read_shard(&piece, &mut bytes).unwrap();
                    assert_eq!(contents.shards[piece.header.index as usize].1, bytes);
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(seen.into_inner(), 200);
    assert_eq!(reader.shards_lost(), 0);
}

/// Else the kernel would hold up the journal's writes until gigabytes are on the disk.
#[test]
fn while_it_is_written_little_waits_for_the_disk() {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::create(&disk, &header(0, 30)).unwrap();
    let buckets = 2 * 1024 * 1024 / 64;
    for index in 0..30 {
        let (header, bytes) = shard(index, buckets, 1);
        writer.shard(&header, &bytes, || {}).unwrap();
        assert!(disk.unsynced_bytes() <= 18 * 1024 * 1024, "{}", disk.unsynced_bytes());
    }
    writer.finish().unwrap();
    assert_eq!(chosen(&disk).length(), 64 + 30 * (64 + 2 * 1024 * 1024) + 64);
}

#[test]
fn one_that_is_given_up_leaves_nothing_and_one_that_was_cut_off_is_cleared_away() {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::create(&disk, &header(5, 4)).unwrap();
    let (header_0, bytes) = shard(0, 2, 1);
    writer.shard(&header_0, &bytes, || {}).unwrap();
    let names = disk.names().unwrap();
    assert_eq!(names, ["snapshot-00000000000000000005.snap.new"]);
    // As if killed here.
    let killed = disk.after_kill(disk.calls(), 0);
    drop(writer);
    assert_eq!(disk.names().unwrap(), [""; 0]);
    assert_eq!(killed.names().unwrap(), names);
    assert!(newest(&killed, KEY).unwrap().reader.is_none(), "it has no name yet");
    write(&killed, 6, &sample()).unwrap();
    assert_eq!(killed.names().unwrap(), ["snapshot-00000000000000000006.snap"]);
}

#[test]
fn shards_that_do_not_fit_what_was_said_are_refused() {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::create(&disk, &header(0, 4)).unwrap();
    let (right, bytes) = shard(3, 2, 0);
    for (header, bytes) in [
        (ShardHeader { index: 4, ..right }, &bytes[..]),
        (ShardHeader { buckets: 3, ..right }, &bytes[..]),
        (right, &bytes[..100]),
    ] {
        let refused = writer.shard(&header, bytes, || {}).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
    writer.shard(&right, &bytes, || {}).unwrap();
}
