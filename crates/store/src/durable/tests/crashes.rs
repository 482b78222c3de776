//! The process is killed, or the power goes, at any call to the disk.

use proptest::prelude::*;

use super::*;
use crate::disk::Fate;
use crate::durable::Event;

#[derive(Clone, Copy, Debug)]
enum Op {
    Touch(u8),
    Put(u8, State),
    Forget(u8),
    Note(u8, Option<u8>),
    Forward(u32),
    Sync,
    Upkeep,
    /// A clean stop and another start.
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        20 => any::<u8>().prop_map(Op::Touch),
        3 => any::<u8>().prop_map(|number| Op::Put(number, State::Grey)),
        3 => any::<u8>().prop_map(|number| Op::Put(number, State::White)),
        2 => any::<u8>().prop_map(Op::Forget),
        1 => (0u8..4, any::<Option<u8>>()).prop_map(|(name, value)| Op::Note(name, value)),
        6 => prop_oneof![0u32..100, 0u32..4000].prop_map(Op::Forward),
        3 => Just(Op::Sync),
        4 => Just(Op::Upkeep),
        1 => Just(Op::Reopen),
    ];
    prop::collection::vec(op, 1..160)
}

type Notes = Vec<(Vec<u8>, Vec<u8>)>;

/// How it was after each step, and how many calls the disk had seen then.
#[derive(Debug)]
struct Step {
    calls: usize,
    now: Timestamp,
    contents: Contents,
    notes: Notes,
    /// Whether all that there was had been synced then.
    synced: bool,
}

/// Does it all, and keeps how it was after each step.
fn run(plan: &Plan, disk: &SimulatedDisk, ops: &[Op]) -> Vec<Step> {
    let (mut store, _) = plan.open(disk);
    let mut now = START;
    let step = |store: &CompactStore, now, synced| Step {
        calls: disk.calls(),
        now,
        contents: contents(store, now),
        notes: store.notes(),
        synced,
    };
    let mut steps = vec![step(&store, now, true)];
    for &op in ops {
        let number = |number: u8| u64::from(number % 40);
        let mut synced = plan.sync == SyncPolicy::Always;
        match op {
            Op::Touch(n) => {
                store.touch_one(now, key(number(n)));
            }
            Op::Put(n, state) => put(&store, now, number(n), state),
            Op::Forget(n) => {
                store.forget_id(now, id(number(n)));
            }
            Op::Note(name, value) => {
                let note = crate::journal::Note::new([name], value.map(|value| vec![value]));
                store.set_note(now, &note.unwrap()).unwrap();
            }
            Op::Forward(secs) => now = now.after(Secs::new(secs)),
            Op::Sync => {
                store.sync(now);
                synced = true;
            }
            Op::Upkeep => {
                store.sync(now);
                store.upkeep(now, &mut go_on);
                synced = true;
            }
            Op::Reopen => {
                store.sync(now);
                drop(store);
                store = plan.open(disk).0;
                synced = true;
            }
        }
        steps.push(step(&store, now, synced));
    }
    steps
}

/// What of `contents` is still known at `now`.
fn unexpired(contents: &Contents, timing: &Timing, now: Timestamp) -> Contents {
    let is_known = |(state, since): (State, u64)| match state {
        State::Grey => now.as_unix_secs() <= since + u64::from(timing.window().get()),
        State::White => true,
    };
    contents.iter().filter(|(_, known)| is_known(**known)).map(|(&id, &k)| (id, k)).collect()
}

/// Crash points and how each crash is: a permille of all calls, and something to vary it by.
fn crashes() -> impl Strategy<Value = Vec<(u32, usize)>> {
    prop::collection::vec((0u32..=1000, 0usize..200), 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 32 } else { 2000 }))]

    #[test]
    fn all_that_was_answered_is_known_whenever_the_process_is_killed(
        ops in ops(),
        crashes in crashes(),
        always: bool,
    ) {
        let sync = if always { SyncPolicy::Always } else { SyncPolicy::Regularly };
        let plan = Plan { sync, ..Plan::default() };
        let disk = SimulatedDisk::new();
        let steps = run(&plan, &disk, &ops);
        for (permille, torn) in crashes {
            let calls = disk.calls() * permille as usize / 1000;
            let (recovered, recovery) = plan.open(&disk.after_kill(calls, torn));
            prop_assert!(recovery.is_whole(), "{:?}", recovery);
            // The last step that was done, and the one that was under way.
            let done = steps.partition_point(|step| step.calls <= calls).saturating_sub(1);
            let next = (done + 1).min(steps.len() - 1);
            let now = steps[next].now;
            let seen = contents(&recovered, now);
            let before = unexpired(&steps[done].contents, &plan.timing, now);
            let after = unexpired(&steps[next].contents, &plan.timing, now);
            prop_assert!(
                seen == before || seen == after,
                "killed at call {} of {}: {:?} is neither {:?} nor {:?}",
                calls, disk.calls(), seen, before, after
            );
            let notes = recovered.notes();
            prop_assert!(notes == steps[done].notes || notes == steps[next].notes);
        }
    }

    #[test]
    fn all_that_was_synced_is_known_whenever_the_power_goes(
        ops in ops(),
        crashes in crashes(),
        always: bool,
        fate in prop_oneof![Just(Fate::Kept), Just(Fate::Lost), any::<u64>().prop_map(Fate::Mixed)],
    ) {
        let sync = if always { SyncPolicy::Always } else { SyncPolicy::Regularly };
        let plan = Plan { sync, ..Plan::default() };
        let disk = SimulatedDisk::new();
        let steps = run(&plan, &disk, &ops);
        for (permille, _) in crashes {
            let calls = disk.calls() * permille as usize / 1000;
            let (recovered, _) = plan.open(&disk.after_power_cut(calls, fate));
            let done = steps.partition_point(|step| step.calls <= calls).saturating_sub(1);
            let next = (done + 1).min(steps.len() - 1);
            let synced = steps[..=done].iter().rposition(|step| step.synced).unwrap_or(0);
            let now = steps[next].now;
            let seen = contents(&recovered, now);
            let all = seen.keys().chain(steps[synced].contents.keys());
            // Each tuple is as it was at some time since the sync.
            for id in all {
                let possible: Vec<_> = steps[synced..=next]
                    .iter()
                    .map(|step| unexpired(&step.contents, &plan.timing, now).get(id).copied())
                    .collect();
                prop_assert!(
                    possible.contains(&seen.get(id).copied()),
                    "power cut at call {}: {} is {:?}, and was {:?} since the sync",
                    calls, id, seen.get(id), possible
                );
            }
        }
    }
}

#[test]
fn a_snapshot_that_is_told_to_end_at_any_moment_leaves_nothing_and_costs_nothing() {
    let plan = Plan { snapshot_after: 0, ..Plan::default() };
    for breaths in (0..50).chain((50..).step_by(97)) {
        let disk = SimulatedDisk::new();
        let (store, _) = plan.open(&disk);
        for number in 0..50 {
            store.touch_one(at(0), key(number));
        }
        let mut left = breaths;
        let events = store.upkeep(at(1), &mut || {
            left = match left {
                0 => return ControlFlow::Break(()),
                left => left - 1,
            };
            ControlFlow::Continue(())
        });
        let is_done = events.iter().any(|event| matches!(event, Event::Snapshot(..)));
        let names = disk.names().unwrap();
        let has_snapshot = names.iter().any(|name| name.starts_with("snapshot-"));
        assert_eq!(has_snapshot, is_done, "{names:?}");
        let (again, recovery) = plan.open(&disk);
        assert!(recovery.is_whole(), "{recovery:?}");
        assert_eq!(contents(&again, at(1)), contents(&store, at(1)));
        if is_done {
            assert!(breaths > 50, "a breath for each shard that has tuples at least: {breaths}");
            return;
        }
        assert!(events.is_empty(), "that is no fault: {events:?}");
    }
}
