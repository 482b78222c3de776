//! Anything that can happen, in any order, against what must come of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Some tuples are tried: each is new, passes, or is known, as the state machine has it.
    Touch(Vec<u64>),
    Advance(u64),
    Forget(u64),
    Flush,
    Upkeep,
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => prop::collection::vec(1_u64..200, 1..300).prop_map(Op::Touch),
        4 => (1_u64..4000).prop_map(Op::Advance),
        1 => (20_000_u64..70_000).prop_map(Op::Advance),
        2 => (1_u64..200).prop_map(Op::Forget),
        4 => Just(Op::Flush),
        6 => Just(Op::Upkeep),
        2 => Just(Op::Restart),
    ];
    prop::collection::vec(op, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The model knows all tuples and the text of each one's present life.
    #[test]
    fn each_live_tuples_newest_text_is_found_first_whatever_happened(ops in ops()) {
        let disk = SimulatedDisk::new();
        let mut log = open(&disk).0;
        let mut now = 0;
        let tuples = RefCell::new(BTreeMap::<u64, (Tuple, u64)>::new());
        let live = |id: TupleId| tuples.borrow().get(&id.bits()).map(|&(tuple, _)| tuple);
        for op in ops {
            match op {
                Op::Touch(numbers) => for number in numbers {
                    let mut tuples = tuples.borrow_mut();
                    let known = tuples.get(&number).copied();
                    let tuple = known.map(|(tuple, _)| tuple);
                    let (touch, tuple) = greylist::tuple::judge(&timing(), tuple, at(now));
                    let first = match touch {
                        greylist::Touch::New { .. } => {
                            append(&log, number, now);
                            now
                        }
                        _ => known.unwrap().1,
                    };
                    tuples.insert(number, (tuple, first));
                },
                Op::Advance(secs) => {
                    now += secs;
                    let dead = |tuple: &Tuple| tuple.expired(&timing(), at(now));
                    tuples.borrow_mut().retain(|_, (tuple, _)| !dead(tuple));
                }
                Op::Forget(number) => _ = tuples.borrow_mut().remove(&number),
                Op::Flush => log.flush(),
                Op::Upkeep => log.upkeep(at(now), &timing(), live),
                Op::Restart => {
                    log.flush();
                    drop(log);
                    log = open(&disk).0;
                }
            }
        }
        log.flush();
        let mut found = BTreeMap::new();
        let mut scan = log.scan();
        while let Some(text) = scan.next_text() {
            if live(text.id).is_some_and(|tuple| text.is_of(tuple, &timing())) {
                let first_try = text.first_try.as_unix_secs() - START.as_unix_secs();
                found.entry(text.id.bits()).or_insert(first_try);
            }
        }
        prop_assert!(scan.damage().is_none());
        let expected: BTreeMap<_, _> =
            tuples.borrow().iter().map(|(&number, &(_, first))| (number, first)).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(log.stats().troubles, 0);
        prop_assert!(bytes(&disk) <= CONFIG.bytes_max);

        // A lifetime without any touch, and it is as if nothing had ever been.
        tuples.borrow_mut().clear();
        upkeep(&log, now + 100_000, live);
        upkeep(&log, now + 200_000, live);
        prop_assert_eq!(names(&disk), [""; 0]);
    }
    /// Bytes are changed, taken out and doubled, anywhere.
    #[test]
    fn what_damage_leaves_is_what_was_written_or_nothing(
        spoilt in prop::collection::vec((0..3, any::<prop::sample::Index>(), 1_usize..200), 1..6)
    ) {
        let disk = SimulatedDisk::new();
        let (log, _) = open(&disk);
        for number in 1..=300 {
            append(&log, number, number);
            if number % 30 == 0 {
                log.flush();
            }
        }
        let name = segment::name(1);
        let mut bytes = disk.contents(&name).unwrap();
        for (how, place, length) in spoilt {
            let start = place.index(bytes.len() - 200);
            match how {
                0 => bytes[start] ^= length as u8,
                1 => _ = bytes.drain(start..start + length),
                _ => {
                    let doubled = bytes[start..start + length].to_vec();
                    bytes.splice(start..start, doubled);
                }
            }
        }
        let disk = SimulatedDisk::new();
        disk.put(&name, bytes);
        let (log, _) = open(&disk);
        let mut scan = log.scan();
        while let Some(found) = scan.next_text() {
            let number = found.id.bits();
            prop_assert_eq!(found, text(number, number));
        }
        upkeep(&log, 10_000, |_| white(0));
        prop_assert!(log.scan().next_text().is_some() || names(&disk).is_empty());
    }
}
