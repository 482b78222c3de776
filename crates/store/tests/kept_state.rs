//! State directories of earlier versions, kept in `data/`: whatever this version writes, it must go on
//! reading what those wrote.
//!
//! For a new version of the format: write its directory with
//! `cargo test -p store --test kept_state -- --ignored`, which prints where it is, move it to
//! `data/state-N`, and add N to [`VERSIONS`]. Never change a directory that is there.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use greylist::{HashKey, Secs, State, Timestamp, Timing, Tuple};
use store::disk::RealDisk;
use store::durable::{Opened, Opening, Recovery, Settings};
use store::journal::{Note, SyncPolicy};
use store::text::{TextConfig, TextLog};
use store::{Bound, CompactConfig, CompactStore, Placed, TupleId};

/// Versions of the format whose directories are kept.
const VERSIONS: [u32; 1] = [1];

const START: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const HASH_KEY: [u8; 16] = *b"kept for the day";
const TUPLES: u32 = 60;
/// The tuple that a snapshot was taken after.
const SNAPSHOT_AFTER: u32 = 40;

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

/// Any ids, all over the shards.
fn id(number: u32) -> TupleId {
    let bits = u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 6;
    TupleId::from_bits(bits | 1).unwrap()
}

/// Every third tuple is white; each is as old as its number says.
fn tuple(number: u32) -> Tuple {
    let state = if number.is_multiple_of(3) { State::White } else { State::Grey };
    Tuple { state, since: at(number) }
}

fn open(dir: &Path) -> (CompactStore, Recovery) {
    let opening = Opening {
        config: CompactConfig {
            timing: Timing::DEFAULT,
            bound: Bound::new(Bound::BYTES_MIN).unwrap(),
            hash_key: HashKey::new(HASH_KEY),
        },
        disk: Arc::new(RealDisk::new(dir.to_owned())),
        settings: Settings {
            sync: SyncPolicy::Regularly,
            segment_bytes: 1 << 20,
            snapshot_after: None,
        },
        prepare: Box::new(|| Ok(())),
        now: START,
        threads: NonZeroUsize::MIN,
    };
    let Opened { store, recovery } = CompactStore::open(opening, &|_| {}).unwrap();
    (store, recovery)
}

fn texts(dir: &Path) -> TextLog {
    let config =
        TextConfig { bytes_max: 1 << 20, key_fingerprint: HashKey::new(HASH_KEY).fingerprint() };
    TextLog::open(Arc::new(RealDisk::new(dir.to_owned())), config).unwrap().0
}

#[test]
fn the_state_of_every_version_is_read_whole() {
    for version in VERSIONS {
        let kept =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/state-{version}"));
        let dir = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&kept).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        let (store, recovery) = open(dir.path());
        assert!(recovery.is_whole(), "{version}: {recovery:?}");
        assert!(recovery.snapshot.is_some() && recovery.journal.changes > 0, "{recovery:?}");
        for number in 0..TUPLES {
            let seen = store.peek_id(at(TUPLES), id(number));
            let wanted = tuple(number);
            assert_eq!(seen.map(|seen| seen.state), Some(wanted.state), "{version}: {number}");
            if wanted.state == State::Grey {
                assert_eq!(seen, Some(wanted), "{version}: {number}");
            }
        }
        assert_eq!(store.peek_id(at(TUPLES), id(TUPLES)), None, "{version}: was forgotten");
        assert_eq!(store.notes(), [(b"name".to_vec(), b"value".to_vec())], "{version}");
        let texts = texts(dir.path());
        let mut scan = texts.scan();
        let mut senders = Vec::new();
        while let Some(text) = scan.next_text() {
            senders.push((text.id, text.sender.bytes().to_vec()));
        }
        let wanted: Vec<_> = (0..3).rev().map(|n| (id(n), sender(n).into_bytes())).collect();
        assert_eq!(senders, wanted, "{version}");
    }
}

fn sender(number: u32) -> String {
    format!("u{number}@example.net")
}

#[test]
#[ignore = "writes a directory to be kept: only for a new version of the format"]
fn write_the_state_of_this_version() {
    let dir: PathBuf = tempfile::tempdir().unwrap().keep();
    let (store, _) = open(&dir);
    for number in 0..=TUPLES {
        let placed = store.put_id(at(number), id(number), tuple(number));
        assert_eq!(placed, Placed::Stored);
        if number == SNAPSHOT_AFTER {
            store.snapshot(at(number)).unwrap();
        }
    }
    store.forget_id(at(TUPLES), id(TUPLES));
    let note = Note::new("name", Some(b"value".to_vec())).unwrap();
    store.set_note(at(TUPLES), &note).unwrap();
    let texts = texts(&dir);
    for number in 0..3 {
        let client = "192.0.2.7".parse().unwrap();
        texts.append(at(number), id(number), client, sender(number).as_bytes(), b"b@example.org");
    }
    texts.flush();
    println!("written to {}", dir.display());
}
