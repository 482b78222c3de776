//! The same directory, another configuration.

use super::*;
use crate::journal::Note;

/// Grey and white tuples of many ages, in a snapshot and in the journal after it.
fn written(plan: &Plan) -> (SimulatedDisk, Contents) {
    let disk = SimulatedDisk::new();
    let (store, _) = plan.open(&disk);
    for number in 0..3000 {
        let now = at(number as u32);
        put(&store, now, number, if number % 3 == 0 { State::White } else { State::Grey });
        if number == 2000 {
            store.snapshot(now).unwrap();
        }
    }
    store.set_note(at(3000), &Note::new("a rule", Some(b"of it".to_vec())).unwrap()).unwrap();
    (disk, contents(&store, at(3000)))
}

#[test]
fn tuples_stay_known_under_another_bound() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    let (disk, before) = written(&plan);
    // Of another number of shards than all smaller ones.
    let large = Plan { bound: 9 << 30, ..plan.clone() };
    let (store, recovery) = large.open(&disk);
    assert!(recovery.is_whole(), "{recovery:?}");
    assert_eq!(contents(&store, at(3000)), before);
    assert_eq!(store.notes(), [(b"a rule".to_vec(), b"of it".to_vec())]);
    store.snapshot(at(3000)).unwrap();
    drop(store);
    let (store, recovery) = plan.open(&disk);
    assert!(recovery.is_whole(), "{recovery:?}");
    assert_eq!(contents(&store, at(3000)), before);
    assert_eq!(store.notes().len(), 1);
}

#[test]
fn a_note_is_found_by_its_name_and_by_how_that_begins() {
    let (store, _) = Plan::default().open(&SimulatedDisk::new());
    for name in ["rul", "rule", "rule:a", "rule:b", "rulf"] {
        let note = Note::new(name, Some(name.to_uppercase().into_bytes())).unwrap();
        store.set_note(at(0), &note).unwrap();
    }
    assert_eq!(store.note(b"rule"), Some(b"RULE".to_vec()));
    assert_eq!(store.note(b"rule:"), None);
    let under = |prefix: &[u8]| {
        let names = store.notes_under(prefix).into_iter().map(|(name, _)| name);
        names.map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(under(b"rule:"), ["rule:a", "rule:b"]);
    assert_eq!(under(b"rule"), ["rule", "rule:a", "rule:b"]);
    assert_eq!(under(b"z"), [""; 0]);
}

#[test]
fn tuples_keep_their_times_under_another_timing() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    let (disk, before) = written(&plan);
    let hour = Timing::new(Secs::new(60), Secs::new(3600), Secs::new(36 * 86_400)).unwrap();
    let (store, _) = Plan { timing: hour, ..plan.clone() }.open(&disk.after_kill(disk.calls(), 0));
    assert_eq!(contents(&store, at(3000)), before, "all are younger than an hour");
    let known = |at_secs: u32| {
        let later = contents(&store, at(at_secs));
        later.values().filter(|(state, _)| *state == State::Grey).count()
    };
    let greys = |from: u32| (from..3000).filter(|number| number % 3 != 0).count();
    assert_eq!(known(4000), greys(400), "those older than an hour are gone");
    // Units of two seconds.
    let day = Timing::new(Secs::new(60), Secs::new(86_400), Secs::new(36 * 86_400)).unwrap();
    let (store, _) = Plan { timing: day, ..plan }.open(&disk);
    let now = contents(&store, at(3000));
    assert_eq!(now.len(), before.len());
    for (id, (state, since)) in &now {
        let (was, was_since) = before[id];
        let apart = was_since.abs_diff(*since);
        assert!(was == *state && apart <= 1, "{id}: {since} was {was_since}");
    }
}

#[test]
fn time_goes_on_from_the_newest_tuple_when_the_clock_was_put_back() {
    let plan = Plan::default();
    let disk = SimulatedDisk::new();
    let (store, _) = plan.open(&disk);
    let future = at(100 * 86_400);
    store.touch_one(future, key(1));
    drop(store);
    let (store, recovery) = plan.open(&disk);
    assert_eq!(recovery.newest, Some(future));
    // A caller who goes by it sees the embargo end.
    let now = future.after(Secs::new(60));
    let touch = store.touch_one(now, key(1));
    assert!(matches!(touch, Touch::Passed { .. }), "{touch:?}");
}
