//! What the journal and snapshots cost on this disk:
//! `cargo run --release -p store --example journal_speed -- /var/tmp 20_000_000`. Makes a directory
//! there and takes it away again: 14 bytes a change, and 1 GiB for a snapshot.
//!
//! Two rates: for each second that passed, and for each second of CPU time that this process took, so that
//! whatever else the machine does matters less.

use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use greylist::{State, Timestamp, Timing, Tuple};
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use store::TupleId;
use store::disk::{Disk, RealDisk};
use store::journal::{Change, Content, Journal, Position, Settings, SyncPolicy, read};
use store::snapshot::{Header, Piece, ShardHeader, Snapshot, Writer, newest};

const NOW: Timestamp = Timestamp::from_unix_secs(1_800_000_000);
const KEY: u64 = 7;

/// 512 shards of 2 MiB.
const SHARDS: u32 = 512;
const SHARD_BYTES: usize = 2 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let parent = PathBuf::from(arguments.next().unwrap_or_else(|| "/var/tmp".to_owned()));
    let changes = match arguments.next() {
        Some(text) => text.replace(['_', ','], "").parse()?,
        None => 20_000_000,
    };
    let dir = tempfile::tempdir_in(parent)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path().to_owned()));
    for threads in [1, 2] {
        for batch in [1, 16, 256] {
            append(&disk, threads, batch, changes)?;
        }
    }
    snapshot(&*disk, dir.path())
}

/// Appends, commits after each batch, reads it all again.
fn append(
    disk: &Arc<dyn Disk>,
    threads: u64,
    batch: u64,
    changes: u64,
) -> Result<(), Box<dyn Error>> {
    let settings =
        Settings { sync: SyncPolicy::Regularly, segment_bytes: 64 << 20, key_fingerprint: KEY };
    let journal = Journal::open(Arc::clone(disk), settings, Position::START, NOW);
    let each = changes / threads;
    let start = Spent::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let journal = &journal;
            scope.spawn(move || {
                for number in thread * each..(thread + 1) * each {
                    journal.append(NOW, change(number));
                    if number % batch == batch - 1 {
                        journal.commit();
                    }
                }
                journal.commit();
            });
        }
    });
    let stats = journal.stats();
    let what = format!("append, {threads} threads, commit each {batch}");
    start.say(&what, changes, stats.bytes);
    let start = Spent::now();
    journal.sync(NOW);
    start.say("  sync", 1, 0);

    let readers = AtomicU64::new(0);
    let start = Spent::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut sum = 0;
                let report = read(&**disk, KEY, Position::START, |batch| {
                    if let Content::Changes(changes) = batch.content {
                        sum += changes.iter().map(|change| change.id.bits() & 1).sum::<u64>();
                    }
                });
                let is_whole = report.is_ok_and(|report| report.changes == each * threads);
                assert!(is_whole && sum > 0, "all that was written is read");
                readers.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    start.say(&format!("  read, all by each of {threads}"), changes, stats.bytes);
    for name in disk.names()? {
        disk.remove(&name)?;
    }
    Ok(())
}

fn change(number: u64) -> Change {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 6 | 1;
    let tuple = Tuple { state: State::Grey, since: NOW };
    let id = TupleId::from_bits(bits).unwrap_or_else(|| unreachable!("58 bits, not all zero"));
    Change { id, outcome: Some(tuple) }
}

/// Writes a snapshot of 1 GiB, and reads it with as many threads as would.
fn snapshot(disk: &dyn Disk, dir: &Path) -> Result<(), Box<dyn Error>> {
    let header = Header {
        position: Position::START,
        key_fingerprint: KEY,
        timing: Timing::DEFAULT,
        shards: SHARDS,
        created: NOW,
    };
    let mut table: Vec<u8> = (0..SHARD_BYTES).map(|at| (at * 31) as u8).collect();
    let start = Spent::now();
    let mut writer = Writer::create(disk, &header)?;
    for index in 0..SHARDS {
        let buckets = (SHARD_BYTES / 64) as u32;
        writer.shard(&ShardHeader { index, buckets, seen: NOW, swept: NOW }, &table, || {})?;
    }
    let bytes = writer.finish()?;
    start.say("snapshot written", u64::from(SHARDS), bytes);
    let path = dir.join(Snapshot::at(Position::START).name);
    for _ in 0..2 {
        let mut file = cold(&path)?;
        let start = Spent::now();
        while file.read(&mut table)? > 0 {}
        start.say("its bytes read, cold", u64::from(SHARDS), bytes);
    }
    for (threads, how) in [(1, "cold"), (2, "cold"), (1, "warm"), (2, "warm")] {
        if how == "cold" {
            cold(&path)?;
        }
        let reader = newest(disk, KEY)?.reader.ok_or("no snapshot")?;
        let start = Spent::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut bytes = vec![0; SHARD_BYTES];
                    while let Ok(Some(Piece::Shard(piece))) = reader.next_piece() {
                        let read = reader.read_shard(&piece, &mut bytes);
                        assert!(read.is_ok(), "{read:?}");
                    }
                });
            }
        });
        start.say(&format!("snapshot read, {how}, {threads} threads"), u64::from(SHARDS), bytes);
    }
    Ok(())
}

/// A file of which the kernel keeps nothing in memory.
fn cold(path: &Path) -> Result<File, Box<dyn Error>> {
    let file = File::open(path)?;
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(file)
}

/// Seconds that passed, and that this process took of its CPUs.
struct Spent {
    passed: f64,
    cpu: f64,
}

impl Spent {
    fn now() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        Self { passed: read(ClockId::Monotonic), cpu: read(ClockId::ProcessCPUTime) }
    }

    fn say(&self, what: &str, count: u64, bytes: u64) {
        let now = Self::now();
        let (passed, cpu) = (now.passed - self.passed, now.cpu - self.cpu);
        println!(
            "{what:<38} {passed:>7.3} s, {cpu:>7.3} s CPU: {:>8.3} M/s, {:>8.3} M/s CPU, {:>7.0} MiB/s",
            count as f64 / passed / 1e6,
            count as f64 / cpu / 1e6,
            bytes as f64 / passed / f64::from(1 << 20),
        );
    }
}
