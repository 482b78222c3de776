//! The disk fails while the store serves.

use proptest::prelude::*;

use super::*;
use crate::disk::Fault;
use crate::durable::Event;
use crate::journal::Health;

/// Everything that a disk can do to us.
const FAULTS: [Fault; 6] = [
    Fault::Full { free_bytes: 0 },
    Fault::Full { free_bytes: 30 },
    Fault::ReadOnly,
    Fault::Broken,
    Fault::Denied,
    Fault::Gone,
];

fn touches(store: &CompactStore, now: Timestamp, numbers: std::ops::Range<u64>) -> Vec<Touch> {
    numbers.map(|number| store.touch_one(now, key(number))).collect()
}

fn is_up(store: &CompactStore) -> bool {
    matches!(store.durability().unwrap().health, Health::Up)
}

#[test]
fn when_the_disk_fails_mail_is_answered_from_memory_and_all_is_kept_again_when_it_is_well() {
    for fault in FAULTS {
        let plan = Plan::default();
        let disk = SimulatedDisk::new();
        let (store, _) = plan.open(&disk);
        let shadow = CompactStore::new(CompactConfig {
            timing: plan.timing,
            bound: Bound::new(plan.bound).unwrap(),
            hash_key: HashKey::new(plan.hash_key),
        });
        assert_eq!(touches(&store, at(0), 0..50), touches(&shadow, at(0), 0..50));
        store.sync(at(1));

        disk.fail(fault);
        let mut told = Vec::new();
        for second in 2..40 {
            let numbers = u64::from(second) * 10..u64::from(second) * 10 + 60;
            let expected = touches(&shadow, at(second), numbers.clone());
            assert_eq!(touches(&store, at(second), numbers), expected, "{fault:?}");
            store.sync(at(second));
            told.extend(store.upkeep(at(second), &mut go_on));
        }
        assert!(!is_up(&store), "{fault:?}");
        let downs = told.iter().filter(|event| matches!(event, Event::WentDown(_))).count();
        assert_eq!(downs, 1, "{fault:?}: said once, not each second: {told:?}");
        let Health::Down(down) = store.durability().unwrap().health else {
            panic!("{fault:?}: {:?}", store.durability());
        };
        assert!(down.not_kept > 0, "{fault:?}");

        disk.heal();
        // At most as long as a failed snapshot is not tried again.
        let mended = (40..140).find(|&second| {
            let events = store.upkeep(at(second), &mut go_on);
            events.iter().any(|event| matches!(event, Event::Mended(_)))
        });
        assert!(mended.is_some(), "{fault:?}: {:?}", store.durability());
        assert!(is_up(&store), "{fault:?}");
        touches(&store, at(140), 2000..2020);

        let (recovered, recovery) = plan.open(&disk.after_kill(disk.calls(), 0));
        assert!(recovery.is_whole(), "{fault:?}: {recovery:?}");
        assert_eq!(contents(&recovered, at(140)), contents(&store, at(140)), "{fault:?}");
    }
}

#[test]
fn a_kill_while_the_disk_fails_loses_only_what_came_since_and_says_how_much() {
    for fault in [Fault::Full { free_bytes: 0 }, Fault::ReadOnly, Fault::Broken] {
        let plan = Plan::default();
        let disk = SimulatedDisk::new();
        let (store, _) = plan.open(&disk);
        touches(&store, at(0), 0..50);
        let before = contents(&store, at(0));
        disk.fail(fault);
        touches(&store, at(1), 100..120);
        store.upkeep(at(1), &mut go_on);
        let (recovered, _) = plan.open(&disk.after_kill(disk.calls(), 0));
        assert_eq!(contents(&recovered, at(1)), before, "{fault:?}");

        // It comes back, but the snapshot fails, and then the process is killed.
        disk.heal();
        disk.fail_once(disk.calls() + 4, fault);
        store.upkeep(at(2), &mut go_on);
        touches(&store, at(2), 200..210);
        let (recovered, recovery) = plan.open(&disk.after_kill(disk.calls(), 0));
        let seen = contents(&recovered, at(2));
        assert!(before.keys().all(|id| seen.contains_key(id)), "{fault:?}");
        if (100..120).any(|number| !seen.contains_key(&id(number))) {
            assert!(recovery.journal.missing >= 20 || !is_up(&store), "{fault:?}: {recovery:?}");
        }
    }
}

#[test]
fn a_snapshot_that_fails_is_tried_again_later_while_the_journal_goes_on() {
    let plan = Plan { snapshot_after: 1_000, ..Plan::default() };
    let disk = SimulatedDisk::new();
    let (store, _) = plan.open(&disk);
    touches(&store, at(0), 0..200);
    disk.fail_once(disk.calls(), Fault::Denied);
    let events = store.upkeep(at(1), &mut go_on);
    assert!(matches!(events[..], [Event::SnapshotFailed(_)]), "{events:?}");
    assert!(is_up(&store));
    assert!(store.durability().unwrap().snapshot_fault.is_some());
    assert!(store.upkeep(at(1), &mut go_on).is_empty(), "not at once");
    let events = store.upkeep(at(3), &mut go_on);
    assert!(matches!(events[..], [Event::Snapshot(..)]), "{events:?}");
    assert!(store.durability().unwrap().snapshot_fault.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 2000 }))]

    #[test]
    fn whichever_call_fails_answers_stay_right_and_everything_is_kept_in_the_end(
        call in 0usize..120,
        fault in prop::sample::select(&FAULTS[..]),
        seconds in 5u32..25,
    ) {
        let plan = Plan::default();
        let disk = SimulatedDisk::new();
        let (store, _) = plan.open(&disk);
        disk.fail_once(disk.calls() + call, fault);
        let mut touched = 0;
        for second in 0..seconds {
            for touch in touches(&store, at(second), touched..touched + 9) {
                let is_new = matches!(touch, Touch::New { .. });
                prop_assert!(is_new, "{:?}", touch);
            }
            touched += 9;
            store.sync(at(second));
            store.upkeep(at(second), &mut go_on);
        }
        for second in seconds..seconds + 5 {
            store.upkeep(at(second), &mut go_on);
        }
        prop_assert!(is_up(&store), "{:?}", store.durability());
        store.sync(at(seconds + 5));
        let (recovered, recovery) = plan.open(&disk.after_kill(disk.calls(), 0));
        prop_assert!(recovery.is_whole(), "{:?}", recovery);
        prop_assert_eq!(contents(&recovered, at(30)), contents(&store, at(30)));
        prop_assert_eq!(contents(&recovered, at(30)).len() as u64, touched);
    }
}
