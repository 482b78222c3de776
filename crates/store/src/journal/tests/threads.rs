//! Many threads at once: nothing is lost, nothing of one key changes its order.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::disk::DiskFile;

const KEYS: u64 = 8;
const WORKERS: u64 = 4;
const CHANGES: u64 = 400;

/// After so many calls this much of each key was committed.
#[derive(Debug)]
struct Claim {
    calls: usize,
    key: u64,
    number: u64,
}

/// Workers append numbered changes to shared keys, each key under its lock, and commit now and
/// then; a keeper syncs all the while.
fn run(sync: SyncPolicy) -> (SimulatedDisk, Vec<Claim>) {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, Settings { sync, ..SETTINGS }, Position::START);
    let keys: Vec<_> = (0..KEYS).map(|_| Mutex::new(0_u64)).collect();
    let claims = Mutex::new(Vec::new());
    let start = Barrier::new(WORKERS as usize + 1);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (journal, keys, claims, start) = (&journal, &keys, &claims, &start);
                let disk = &disk;
                scope.spawn(move || {
                    start.wait();
                    for change in 0..CHANGES {
                        let key = (change * (worker + 1) + change / 7) % KEYS;
                        let number = {
                            let mut number = keys[key as usize].lock();
                            *number += 1;
                            journal.append(NOW, grey(key, NOW.as_unix_secs() + *number));
                            *number
                        };
                        if change % (worker + 2) == 0 {
                            journal.commit();
                            let calls = disk.calls();
                            claims.lock().push(Claim { calls, key, number });
                        }
                    }
                    journal.commit();
                })
            })
            .collect();
        let keeper = scope.spawn(|| {
            start.wait();
            while !is_done.load(Ordering::Relaxed) {
                journal.sync(NOW);
                journal.check_names(NOW);
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        keeper.join().unwrap();
    });
    assert!(is_up(&journal), "{:?}", journal.health());
    let stats = journal.stats();
    assert_eq!((stats.position.get(), stats.written), (WORKERS * CHANGES, stats.position));
    (disk, claims.into_inner())
}

/// The numbers of each key, in the order in which they are read.
fn numbers(disk: &SimulatedDisk) -> BTreeMap<u64, Vec<u64>> {
    let mut numbers = BTreeMap::<_, Vec<_>>::new();
    for (_, entry) in entries(disk, Position::START).0 {
        let Entry::Change(Change { id, outcome: Some(tuple) }) = entry else { panic!("{entry:?}") };
        let number = tuple.since.as_unix_secs() - NOW.as_unix_secs();
        numbers.entry(id.bits() - 1).or_default().push(number);
    }
    numbers
}

fn in_order(numbers: &[u64]) -> bool {
    numbers.iter().copied().eq(1..=numbers.len() as u64)
}

#[test]
fn threads_lose_nothing_and_keep_the_order_of_each_key() {
    for sync in [SyncPolicy::Always, SyncPolicy::Regularly, SyncPolicy::Never] {
        let (disk, claims) = run(sync);
        let numbers_at_end = numbers(&disk);
        let count: usize = numbers_at_end.values().map(Vec::len).sum();
        assert_eq!(count as u64, WORKERS * CHANGES);
        assert!(numbers_at_end.values().all(|numbers| in_order(numbers)));
        // Killed anywhere on the way: what was committed by then is there.
        for calls in (0..disk.calls()).step_by(disk.calls() / 20 + 1) {
            let found = numbers(&disk.after_kill(calls, 50));
            assert!(found.values().all(|numbers| in_order(numbers)));
            for claim in claims.iter().filter(|claim| claim.calls <= calls) {
                let found = found.get(&claim.key).map_or(0, Vec::len);
                assert!(found as u64 >= claim.number, "{sync:?}, call {calls}: {claim:?}");
            }
        }
    }
}

#[test]
fn one_write_serves_all_who_wait() {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, SETTINGS, Position::START);
    for number in 0..10 {
        journal.append(NOW, grey(number, number));
    }
    for _ in 0..10 {
        journal.commit();
    }
    assert_eq!(journal.stats().writes, 1, "the others found it done");
}

/// A disk on which something happens in the midst of the next sync of a file, which then fails or
/// not.
#[derive(Debug)]
struct Interrupted {
    disk: SimulatedDisk,
    next: Arc<Mutex<Option<Interruption>>>,
}

struct Interruption {
    happens: Box<dyn FnOnce() + Send>,
    outcome: io::Result<()>,
}

#[derive(Debug)]
struct InterruptedFile {
    file: Box<dyn DiskFile>,
    next: Arc<Mutex<Option<Interruption>>>,
}

impl fmt::Debug for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)
    }
}

impl Disk for Interrupted {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let (file, next) = (self.disk.create(name)?, Arc::clone(&self.next));
        Ok(Box::new(InterruptedFile { file, next }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }
    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
    fn holds(&self, name: &str, file: &dyn DiskFile) -> io::Result<bool> {
        self.disk.holds(name, file)
    }
}

impl DiskFile for InterruptedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        let interruption = self.next.lock().take();
        interruption.map_or(Ok(()), |Interruption { happens, outcome }| {
            happens();
            outcome
        })
    }
    fn reserve(&self, length: u64) -> io::Result<()> {
        self.file.reserve(length)
    }
    fn identity(&self) -> io::Result<(u64, u64)> {
        self.file.identity()
    }
}

/// While one sync waits for the disk, the journal goes down and is begun anew. What then comes of the
/// sync is about a segment that is given up: it says nothing about the new one.
#[test]
fn a_sync_of_a_segment_that_is_given_up_meanwhile_says_nothing() {
    for is_failing in [false, true] {
        let disk = SimulatedDisk::new();
        let next = Arc::new(Mutex::new(None));
        let interrupted = Interrupted { disk: disk.clone(), next: Arc::clone(&next) };
        let journal =
            Arc::new(Journal::open(Arc::new(interrupted), SETTINGS, Position::START, NOW));
        journal.append(NOW, grey(0, 0));
        journal.commit();
        let same = Arc::clone(&journal);
        let happens = Box::new(move || {
            disk.remove("journal-00000000000000000000.seg").unwrap();
            same.check_names(NOW);
            same.append(NOW, grey(1, 1));
            same.begin_segment(NOW).unwrap();
            same.append(NOW, grey(2, 2));
            same.commit();
        });
        let outcome = if is_failing { Err(io::ErrorKind::Other.into()) } else { Ok(()) };
        *next.lock() = Some(Interruption { happens, outcome });
        journal.sync(NOW);
        assert!(next.lock().is_none(), "it happened");
        let Health::Mending(down) = journal.health() else { panic!("{:?}", journal.health()) };
        assert_eq!(down.not_kept, 1, "{}", down.why);
        let stats = journal.stats();
        let positions = [stats.synced, stats.written, stats.position].map(Position::get);
        assert_eq!(positions, [2, 3, 3], "the third change is written and not synced");
    }
}
