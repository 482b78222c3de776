//! What is said of files is what a start then makes of them.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use greylist::{HashKey, Secs, Timestamp, Timing, TupleKey};
use proptest::prelude::*;

use super::{
    Content, Kind, Verification, bytes_to_verify, estimate, files, format_version, verify,
};
use crate::disk::{Disk, SimulatedDisk};
use crate::durable::{Opening, Settings};
use crate::journal::{Note, SyncPolicy};
use crate::text::{TextConfig, TextLog};
use crate::{Bound, CompactConfig, CompactStore, TupleId};

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const HASH_KEY: HashKey = HashKey::new([1; 16]);

fn config() -> CompactConfig {
    let bound = Bound::new(64 << 20).unwrap();
    CompactConfig { timing: Timing::DEFAULT, bound, hash_key: HASH_KEY }
}

fn open(disk: &SimulatedDisk) -> CompactStore {
    let opening = Opening {
        config: config(),
        disk: Arc::new(disk.clone()),
        settings: Settings {
            sync: SyncPolicy::Regularly,
            segment_bytes: 4096,
            snapshot_after: None,
        },
        prepare: Box::new(|| Ok(())),
        now: START,
        threads: NonZeroUsize::MIN,
    };
    CompactStore::open(opening, &|_| {}).unwrap().store
}

fn touch(store: &CompactStore, keys: std::ops::Range<u64>) {
    for key in keys {
        let key = u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let _ = store.touch_one(START.after(Secs::new(1)), TupleKey(key));
    }
}

/// A directory with a snapshot of 1,000 tuples and a note, and 2,000 changes after it in several
/// segments.
fn directory() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    touch(&store, 0..1_000);
    let note = Note::new(*b"rule 1", Some(b"accept".to_vec())).unwrap();
    store.set_note(START, &note).unwrap();
    store.snapshot(START).unwrap();
    touch(&store, 1_000..3_000);
    disk
}

fn verified(disk: &SimulatedDisk) -> Verification {
    verified_with(disk, HASH_KEY.fingerprint())
}

fn verified_with(disk: &SimulatedDisk, key_fingerprint: u64) -> Verification {
    let calls = disk.calls();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut read = 0;
    let verification = verify(&shared, key_fingerprint, &mut |bytes| {
        assert!(bytes >= read, "{bytes} after {read}");
        read = bytes;
    });
    let files = files(disk).unwrap();
    assert!(read <= bytes_to_verify(&files), "{read}");
    assert_eq!(disk.calls(), calls, "something was changed");
    verification.unwrap()
}

/// A line for each file, and what a start would come to.
fn said(verification: &Verification) -> String {
    let mut lines: Vec<String> = verification
        .files
        .iter()
        .map(|checked| {
            let content = match checked.content {
                Content::Snapshot(found) => {
                    format!("{} tuples, {} notes", found.tuples, found.notes)
                }
                Content::Journal(found) => {
                    let span = found.span.map(|(first, last)| (first.get(), last.get()));
                    format!("{} changes {span:?}", found.changes)
                }
                Content::Texts { texts } => format!("{texts} texts"),
                Content::NotRead => "not read".to_owned(),
            };
            let kind = checked.file.kind.word();
            format!("{kind}: {content} {:?} {:?}", checked.damage, checked.remarks)
        })
        .collect();
    let start = &verification.start;
    lines.push(format!(
        "start: snapshot {}, {} changes, losses {:?}, refusals {:?}",
        start.snapshot.as_deref().unwrap_or("none"),
        start.changes,
        start.losses,
        start.refusals
    ));
    lines.join("\n")
}

fn names(disk: &SimulatedDisk, wanted: impl Fn(Kind) -> bool) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.retain(|name| wanted(Kind::of_name(name)));
    names.sort();
    names
}

#[test]
fn a_directory_that_is_whole_is_said_to_be_with_all_that_is_in_it() {
    let disk = directory();
    let verification = verified(&disk);
    assert!(verification.is_whole());
    let text = said(&verification);
    assert!(text.starts_with("snapshot: 1000 tuples, 1 notes"), "{text}");
    assert!(text.contains("2000 changes, losses [], refusals []"), "{text}");
    let segments = names(&disk, |kind| matches!(kind, Kind::Journal(_)));
    assert!(segments.len() > 2, "{segments:?}");
    let counted: u64 = verification
        .files
        .iter()
        .filter_map(|checked| match checked.content {
            Content::Journal(found) => Some(found.changes),
            _ => None,
        })
        .sum();
    assert!((2_000..=3_001).contains(&counted), "{counted}");
}

#[test]
fn an_empty_directory_is_whole() {
    let verification = verified(&SimulatedDisk::new());
    assert!(verification.is_whole());
    assert_eq!(said(&verification), "start: snapshot none, 0 changes, losses [], refusals []");
}

#[test]
fn a_missing_segment_is_missed_where_the_next_one_begins() {
    let disk = directory();
    let segments = names(&disk, |kind| matches!(kind, Kind::Journal(_)));
    disk.remove(&segments[1]).unwrap();
    let verification = verified(&disk);
    assert!(!verification.is_whole());
    let losses = verification.start.losses.join("\n");
    assert!(losses.contains(&segments[2]) && losses.contains("are missing"), "{losses}");
}

#[test]
fn what_is_taken_away_meanwhile_is_no_damage_but_a_reason_to_look_again() {
    let disk = directory();
    let segments = names(&disk, |kind| matches!(kind, Kind::Journal(_)));
    for gone in &segments {
        let disk = directory();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        // The snapshot has been read by then, the journal not.
        let looked = verify(&shared, HASH_KEY.fingerprint(), &mut |_| _ = disk.remove(gone));
        assert_eq!(looked.unwrap_err().kind(), std::io::ErrorKind::NotFound, "{gone}");
    }
}

#[test]
fn what_a_later_version_or_another_key_wrote_would_stop_a_start() {
    for (wanted, name) in [("journal", 0), ("snapshot", 0)] {
        let disk = directory();
        let names = names(&disk, |kind| kind.word() == wanted);
        let other = verified_with(&disk, 7);
        let refusals = other.start.refusals.join("\n");
        assert!(refusals.contains("with another hash key"), "{refusals}");
        let mut bytes = disk.contents(&names[name]).unwrap();
        bytes[8..12].copy_from_slice(&99_u32.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        disk.put(&names[name], bytes);
        let refusals = verified(&disk).start.refusals.join("\n");
        assert!(refusals.contains("is of format version 99"), "{refusals}");
    }
}

fn with_texts(disk: &SimulatedDisk) -> String {
    let config = TextConfig { bytes_max: 64 << 20, key_fingerprint: HASH_KEY.fingerprint() };
    let (log, _) = TextLog::open(Arc::new(disk.clone()), config).unwrap();
    for number in 1..=3_000 {
        let id = TupleId::from_bits(number).unwrap();
        let client = Ipv4Addr::new(192, 0, 2, 7).into();
        log.append(START, id, client, b"alice@example.net", b"bob@example.org");
    }
    log.flush();
    names(disk, |kind| matches!(kind, Kind::Texts(_))).pop().unwrap()
}

#[test]
fn texts_are_counted_and_their_damage_costs_a_start_no_tuple() {
    let disk = directory();
    let name = with_texts(&disk);
    let verification = verified(&disk);
    assert!(verification.is_whole());
    assert!(said(&verification).contains("texts: 3000 texts [] []"), "{}", said(&verification));

    let bytes = disk.contents(&name).unwrap();
    disk.put(&name, bytes[..bytes.len() - 9].to_vec());
    let torn = verified(&disk);
    assert!(torn.is_whole());
    assert!(said(&torn).contains("the last write was cut off"), "{}", said(&torn));

    let mut corrupt = bytes.clone();
    corrupt[3_000] ^= 1;
    disk.put(&name, corrupt);
    let damaged = verified(&disk);
    assert!(!damaged.is_whole());
    assert!(damaged.start.losses.is_empty() && damaged.start.refusals.is_empty());
    assert!(said(&damaged).contains("bytes are corrupt"), "{}", said(&damaged));

    disk.put(&name, b"xgreytxt".repeat(100));
    let damaged = verified(&disk);
    assert!(said(&damaged).contains("its header is corrupt"), "{}", said(&damaged));
}

#[test]
fn a_files_format_is_told_by_its_first_bytes() {
    let disk = directory();
    let name = with_texts(&disk);
    disk.put("hash-key", vec![7; 16]);
    assert_eq!(format_version(&disk, &name), Some(1));
    for name in names(&disk, |kind| matches!(kind, Kind::Journal(_) | Kind::Snapshot(_))) {
        assert_eq!(format_version(&disk, &name), Some(1), "{name}");
    }
    assert_eq!(format_version(&disk, "hash-key"), None);
    assert_eq!(format_version(&disk, "no-such-file"), None);
}

#[test]
fn of_a_snapshot_it_is_said_how_many_tuples_are_in_it() {
    let disk = directory();
    let (name, estimate) = estimate(&disk, HASH_KEY.fingerprint()).unwrap();
    assert_eq!(names(&disk, |kind| matches!(kind, Kind::Snapshot(_))), [name]);
    assert_eq!((estimate.tuples, estimate.is_exact, estimate.is_complete), (1_000, true, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_to_a_file_a_start_finds_what_was_said(
        file: prop::sample::Index,
        at: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        cuts: bool,
    ) {
        let disk = directory();
        let names = names(&disk, |kind| matches!(kind, Kind::Journal(_) | Kind::Snapshot(_)));
        let name = file.get(&names);
        let mut contents = disk.contents(name).unwrap();
        let at = at.index(contents.len());
        let end = contents.len().min(at + bytes.len());
        contents[at..end].copy_from_slice(&bytes[..end - at]);
        if cuts {
            contents.truncate(end);
        }
        disk.put(name, contents);
        let verification = verified(&disk);
        let start = &verification.start;
        match CompactStore::read(config(), &disk, NonZeroUsize::MIN, &|_| {}) {
            Ok(read) => {
                prop_assert_eq!(&start.refusals, &Vec::<String>::new());
                prop_assert_eq!(start.losses.is_empty(), read.recovery.is_whole(), "{}", said(&verification));
                prop_assert_eq!(&start.snapshot, &read.recovery.snapshot);
                prop_assert_eq!(start.changes, read.recovery.journal.changes);
            }
            Err(error) => prop_assert_eq!(&start.refusals, &vec![error.to_string()]),
        }
    }
}
