//! Many threads at once: nothing is lost, nothing of one key changes its order.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;

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
