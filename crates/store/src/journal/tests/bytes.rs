//! Bytes and what they mean: whatever is written is read, and whatever was done to the bytes since
//! is noticed and costs no more than it must.

use proptest::prelude::*;

use super::*;
use crate::journal::Segment;
use crate::journal::segment::segments;

fn times() -> impl Strategy<Value = u64> {
    // Near the present, and so far from it that a frame needs a time of its own.
    prop_oneof![
        8 => NOW.as_unix_secs() - 100..NOW.as_unix_secs() + 100,
        1 => Just(0),
        1 => Just(NOW.as_unix_secs() + (1 << 31) - 1),
        1 => Just(NOW.as_unix_secs() + (1 << 31)),
        1 => any::<u64>(),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let state = prop_oneof![Just(State::Grey), Just(State::White)];
    let outcome = proptest::option::of(
        (state, times())
            .prop_map(|(state, since)| Tuple { state, since: Timestamp::from_unix_secs(since) }),
    );
    let id = (0..1_u64 << 58).prop_filter_map("no id", TupleId::from_bits);
    let change = (id, outcome).prop_map(|(id, outcome)| Entry::Change(Change { id, outcome }));
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let name = proptest::collection::vec(any::<u8>(), 1..20);
    let note = (name, value).prop_map(|(name, value)| Entry::Note(Note::new(name, value).unwrap()));
    prop_oneof![9 => change, 1 => note]
}

/// Batches, one commit each.
fn batches() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    proptest::collection::vec(proptest::collection::vec(entry(), 0..8), 0..12)
}

/// A disk with these in its journal, and all of them with their positions.
fn written(batches: &[Vec<Entry>], segment_bytes: u64) -> (SimulatedDisk, Vec<(u64, Entry)>) {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, Settings { segment_bytes, ..SETTINGS }, Position::START);
    for batch in batches {
        batch.iter().for_each(|entry| append(&journal, entry));
        journal.commit();
    }
    assert!(is_up(&journal));
    (disk, (0..).zip(batches.concat()).collect())
}

/// The only segment of a disk that has but one.
fn only_segment(disk: &SimulatedDisk) -> (String, Vec<u8>) {
    let [Segment { name, .. }] = <[_; 1]>::try_from(segments(disk).unwrap()).unwrap();
    let bytes = disk.contents(&name).unwrap();
    (name, bytes)
}

/// What is left when the one segment has other bytes.
fn read_changed(name: &str, bytes: Vec<u8>) -> (Vec<(u64, Entry)>, Report) {
    let disk = SimulatedDisk::new();
    disk.put(name, bytes);
    entries(&disk, Position::START)
}

proptest! {
    #[test]
    fn whatever_is_appended_and_committed_is_read(batches in batches(), segment in 0_u64..2000) {
        let (disk, all) = written(&batches, segment);
        let (found, report) = entries(&disk, Position::START);
        prop_assert_eq!(&found, &all);
        prop_assert_eq!(report.findings, []);
        prop_assert_eq!(report.next.get(), all.len() as u64);
        prop_assert_eq!(report.changes, all.len() as u64);
    }

    #[test]
    fn reading_begins_where_one_wants_it(
        batches in batches(),
        segment in 0_u64..2000,
        from in 0_u64..100,
    ) {
        let (disk, mut all) = written(&batches, segment);
        let next = (all.len() as u64).max(from);
        let (found, report) = entries(&disk, Position::new(from).unwrap());
        all.retain(|(position, _)| *position >= from);
        prop_assert_eq!(found, all);
        prop_assert_eq!(report.findings, []);
        prop_assert_eq!(report.next.get(), next);
    }

    /// Wherever a file ends, all whole frames before are there, and it counts as normal.
    #[test]
    fn any_truncation_is_a_torn_tail(batches in batches(), cut: prop::sample::Index) {
        let (disk, all) = written(&batches, u64::MAX);
        let (name, mut bytes) = only_segment(&disk);
        let cut = cut.index(bytes.len() + 1);
        bytes.truncate(cut);
        let (found, report) = read_changed(&name, bytes);
        prop_assert!(all.starts_with(&found));
        prop_assert_eq!(report.next.get(), found.len() as u64);
        prop_assert!(report.is_clean(), "{:?}", report.findings);
        prop_assert!(report.findings.len() <= 1);
        let (whole, _) = read_changed(&name, only_segment(&disk).1);
        prop_assert_eq!(whole, all);
    }

    /// What a file system leaves when it had set the length but not the bytes.
    #[test]
    fn zeros_after_the_end_are_a_torn_tail(batches in batches(), zeros in 1_usize..5000) {
        let (disk, all) = written(&batches, u64::MAX);
        let (name, mut bytes) = only_segment(&disk);
        let offset = bytes.len() as u64;
        bytes.resize(bytes.len() + zeros, 0);
        let (found, report) = read_changed(&name, bytes);
        prop_assert_eq!(found, all);
        let bytes = zeros as u64;
        prop_assert_eq!(report.findings, [Finding::TornTail { file: name, offset, bytes }]);
    }

    #[test]
    fn any_flipped_bit_is_noticed_and_costs_no_more_than_its_frame(
        batches in batches(),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let (disk, all) = written(&batches, u64::MAX);
        let (name, mut bytes) = only_segment(&disk);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (found, report) = read_changed(&name, bytes);
        prop_assert_eq!(report.findings.len(), 1);
        let missing: Vec<_> = all.iter().filter(|entry| !found.contains(entry)).collect();
        if at < 64 {
            prop_assert_eq!(missing.len(), 0, "the header is no change's");
            return Ok(());
        }
        // Eight changes at most share a commit, and so a frame.
        prop_assert!((1..=8).contains(&missing.len()), "{missing:?}");
        prop_assert!(missing.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1), "{missing:?}");
        prop_assert_eq!(found.len() + missing.len(), all.len(), "nothing new, nothing twice");
        if missing[missing.len() - 1].0 + 1 < all.len() as u64 {
            prop_assert_eq!(report.missing, missing.len() as u64);
            prop_assert!(!report.is_clean());
        }
    }

    /// Any bytes at all in place of some.
    #[test]
    fn nothing_that_was_not_appended_is_ever_read(
        batches in batches(),
        at: prop::sample::Index,
        noise in proptest::collection::vec(any::<u8>(), 1..300),
        copied_from in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let (disk, all) = written(&batches, u64::MAX);
        let (name, mut bytes) = only_segment(&disk);
        // Noise, or a piece of the same file: frames in the wrong place.
        let piece = match copied_from {
            None => noise,
            Some(from) => {
                let from = from.index(bytes.len());
                bytes[from..bytes.len().min(from + noise.len())].to_vec()
            }
        };
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + piece.len());
        bytes.splice(at..end, piece);
        if let Ok((found, _)) = std::panic::catch_unwind(|| read_changed(&name, bytes)) {
            prop_assert!(found.iter().all(|entry| all.contains(entry)));
            prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order");
        } else {
            prop_assert!(false, "panicked");
        }
    }

    /// As after a snapshot from there.
    #[test]
    fn what_is_dropped_ends_before_the_position_and_nothing_after_it_goes(
        batches in batches(),
        position: prop::sample::Index,
    ) {
        let (disk, mut all) = written(&batches, 300);
        let position = position.index(all.len() + 1) as u64;
        let before = segments(&disk).unwrap();
        let position = Position::new(position).unwrap();
        let journal = open(&disk, SETTINGS, Position::new(all.len() as u64).unwrap());
        let dropped = journal.drop_before(position).unwrap();
        let left = segments(&disk).unwrap();
        prop_assert!(left.first().is_some_and(|left| left.first <= position));
        prop_assert!(left.get(1).is_none_or(|second| second.first > position), "no more is needed");
        prop_assert!(dropped <= before.len());
        all.retain(|(at, _)| *at >= position.get());
        let (found, report) = entries(&disk, position);
        prop_assert_eq!(found, all);
        prop_assert_eq!(report.findings, []);
    }

    #[test]
    fn a_missing_segment_is_missed(batches in batches(), which: prop::sample::Index) {
        let (disk, all) = written(&batches, 300);
        let all_segments = segments(&disk).unwrap();
        let which = which.index(all_segments.len());
        disk.remove(&all_segments[which].name).unwrap();
        let (found, report) = entries(&disk, Position::START);
        let from = all_segments[which].first.get();
        let Some(next) = all_segments.get(which + 1) else {
            // Nobody knows that there was one.
            prop_assert_eq!(&found, &all[..from as usize]);
            return Ok(());
        };
        let missing = next.first.since(all_segments[which].first);
        prop_assert_eq!(found.len() as u64 + missing, all.len() as u64);
        prop_assert!(found.iter().all(|entry| all.contains(entry)));
        prop_assert_eq!(report.next.get(), all.len() as u64);
        let file = next.name.clone();
        let expected = Finding::Missing { file, offset: 0, missing };
        prop_assert_eq!(report.findings, if missing > 0 { vec![expected] } else { vec![] });
    }
}

/// One batch of each sort of change, and a note, for the tests with rows.
fn sample() -> Vec<Vec<Entry>> {
    let white = Tuple { state: State::White, since: Timestamp::from_unix_secs(1_799_999_000) };
    vec![
        vec![
            Entry::Change(grey(0, NOW.as_unix_secs())),
            Entry::Change(Change { id: id(1), outcome: Some(white) }),
            Entry::Change(Change { id: id(2), outcome: None }),
        ],
        vec![Entry::Note(Note::new("rule", Some(b"accept".to_vec())).unwrap())],
        vec![Entry::Change(grey(3, NOW.as_unix_secs()))],
    ]
}

/// `docs/formats.md` explains the same bytes. Files of version 1 look like this for ever.
#[test]
fn a_known_journal_has_the_bytes_that_it_always_had() {
    let (disk, _) = written(&sample(), u64::MAX);
    let (name, bytes) = only_segment(&disk);
    assert_eq!(name, "journal-00000000000000000000.seg");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows: Vec<String> = bytes.chunks(16).map(hex).collect();
    assert_eq!(rows, KNOWN_ROWS);
    // One row after the other, in one block.
    let mut documented = include_str!("../../../../../docs/formats.md")
        .lines()
        .skip_while(|line| !line.starts_with(KNOWN_ROWS[0]))
        .map(|line| line.split(' ').next().unwrap_or_default());
    for row in KNOWN_ROWS {
        assert_eq!(documented.next(), Some(row));
    }
}

const KNOWN_ROWS: [&str; 15] = [
    "78677265796a6e6c0100000000000000",
    "0000000000000000f0debc9a78563412",
    "00000000000000000000000000000000",
    "00000000000000000000000092c134fe",
    "f778676a9db602c92400000003000100",
    "000000000000000000d2496b00000000",
    "01000000000000000000000002000000",
    "0000004018fcffff0300000000000080",
    "00000000f778676a98f8986a12000000",
    "01000200030000000000000000d2496b",
    "00000000040100000600000072756c65",
    "6163636570740000f778676afaa4341b",
    "0c000000010001000400000000000000",
    "00d2496b000000000400000000000000",
    "00000000",
];

#[test]
fn a_frame_beyond_what_one_may_hold_is_followed_by_another() {
    let batch: Vec<_> = (0..20_000).map(|number| Entry::Change(grey(number, number))).collect();
    let (disk, all) = written(&[batch], u64::MAX);
    let mut sizes = Vec::new();
    let report = read(&disk, KEY, Position::START, |batch| {
        if let Content::Changes(changes) = batch.content {
            sizes.push(changes.len());
        }
    });
    assert_eq!(report.unwrap().changes, all.len() as u64);
    assert_eq!(sizes, [5461, 5461, 5461, 3617], "64 KiB each");
}

#[test]
fn the_longest_note_fits() {
    let value = vec![7; Note::VALUE_BYTES_MAX];
    let longest = Note::new([1; Note::NAME_BYTES_MAX], Some(value)).unwrap();
    let (disk, all) = written(&[vec![Entry::Note(longest)]], u64::MAX);
    assert_eq!(entries(&disk, Position::START).0, all);
    assert!(Note::new([1; Note::NAME_BYTES_MAX + 1], None).is_err());
    assert!(Note::new("a", Some(vec![0; Note::VALUE_BYTES_MAX + 1])).is_err());
    assert!(Note::new("", None).is_err());
}

/// A window of the reader ends in the midst of a frame, and of what is corrupt.
#[test]
fn frames_across_the_ends_of_windows_are_read() {
    let batches: Vec<Vec<_>> = (0..800)
        .map(|batch| (0..300).map(|n| Entry::Change(grey(batch * 300 + n, n))).collect())
        .collect();
    let (disk, all) = written(&batches, u64::MAX);
    let (name, mut bytes) = only_segment(&disk);
    assert!(bytes.len() > 2 << 20, "more than two windows");
    assert_eq!(read_changed(&name, bytes.clone()).0, all);
    // Corrupt for longer than a window.
    bytes[100_000..1_800_000].fill(0xf7);
    let (found, report) = read_changed(&name, bytes);
    let [Finding::Corrupt { offset, bytes, missing, .. }] = &report.findings[..] else {
        panic!("{:?}", report.findings)
    };
    assert!((96_000..=100_000).contains(offset) && *bytes >= 1_700_000, "{offset} {bytes}");
    assert_eq!(found.len() as u64 + missing, all.len() as u64);
    assert_eq!(report.missing, *missing);
}

/// With the checksum put right after a change: as another version of the program would write.
fn resealed(mut bytes: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    use crate::journal::Seed;
    // The first frame: three changes.
    change(&mut bytes[64..64 + 32 + 36]);
    let checksum = Seed::of(KEY).checksum(&bytes[64 + 8..64 + 32 + 36]);
    bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn what_a_later_version_wrote_is_refused_or_passed_over_as_it_says() {
    let (disk, all) = written(&sample(), u64::MAX);
    let (name, bytes) = only_segment(&disk);
    let with = |bytes: Vec<u8>| {
        let disk = SimulatedDisk::new();
        disk.put(&name, bytes);
        try_entries(&disk, Position::START)
    };
    let refused = with(resealed(bytes.clone(), |frame| frame[14] = 3)).unwrap_err();
    assert!(matches!(refused, Refusal::UnknownKind { offset: 64, kind: 3, .. }), "{refused}");
    // Kinds that need not be known: their changes count, and nobody misses them.
    let (found, report) = with(resealed(bytes.clone(), |frame| frame[14] = 0x80)).unwrap();
    assert_eq!(found, all[3..]);
    assert_eq!((report.findings, report.changes), (vec![], 5));
    // An outcome that there is not.
    let (found, report) = with(resealed(bytes.clone(), |frame| frame[32 + 7] |= 0xc0)).unwrap();
    assert_eq!(found.len(), 4);
    let file = name.clone();
    assert_eq!(report.findings, [Finding::Nonsense { file, offset: 64, changes: 1 }]);
    // A length that is more than any frame's: no allocation for it, and nothing found there.
    let huge = resealed(bytes.clone(), |frame| frame[8..12].fill(0xff));
    assert_eq!(with(huge).unwrap().0, all[3..]);
    // Positions that would overflow.
    let far = resealed(bytes, |frame| frame[16..24].fill(0xff));
    assert_eq!(with(far).unwrap().0, all[3..]);
}

#[test]
fn what_cannot_be_ours_is_refused_with_the_mend() {
    let (disk, _) = written(&sample(), u64::MAX);
    let (name, bytes) = only_segment(&disk);
    let header = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = bytes.clone();
        change(&mut bytes[..60]);
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        bytes
    };
    let other_name = "journal-00000000000000000007.seg";
    for (name, bytes, said) in [
        (&*name, header(&|bytes| bytes[8] = 2), "is of format version 2, and this program reads"),
        (&*name, header(&|bytes| bytes[24] ^= 1), "was written with another hash key"),
        (other_name, bytes.clone(), "give it back its name, journal-00000000000000000000.seg"),
    ] {
        let disk = SimulatedDisk::new();
        disk.put(name, bytes);
        let refused = try_entries(&disk, Position::START).unwrap_err().to_string();
        assert!(refused.contains(said) && refused.contains(name), "{refused}");
    }
}

#[test]
fn what_lies_beside_the_journal_is_none_of_its_business() {
    let (disk, all) = written(&sample(), u64::MAX);
    for name in ["journal-1.seg", "journal-99999999999999999999.seg", "hash-key", "journal-.seg"] {
        disk.put(name, b"something".to_vec());
    }
    assert_eq!(entries(&disk, Position::START).0, all);
}
