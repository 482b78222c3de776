//! What is on the disk is not what was written.

use super::*;
use crate::Refusal;
use crate::journal::Finding;

/// A directory with a snapshot and some segments after it.
fn written(plan: &Plan) -> (SimulatedDisk, Contents) {
    let disk = SimulatedDisk::new();
    let (store, _) = plan.open(&disk);
    for number in 0..500 {
        store.touch_one(at(0), key(number));
    }
    store.snapshot(at(1)).unwrap();
    for number in 500..600 {
        store.touch_one(at(2), key(number));
    }
    (disk, contents(&store, at(2)))
}

fn named(disk: &SimulatedDisk, prefix: &str) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

fn change(disk: &SimulatedDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.contents(name).unwrap();
    change(&mut bytes);
    disk.put(name, bytes);
}

#[test]
fn a_corrupt_byte_in_a_segment_costs_its_frame_and_is_told_with_file_and_offset() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    let (disk, before) = written(&plan);
    let segment = named(&disk, "journal-")[2].clone();
    change(&disk, &segment, |bytes| bytes[500] ^= 1);
    let (recovered, recovery) = plan.open(&disk);
    assert!(!recovery.is_whole());
    let [Finding::Corrupt { file, offset, missing, .. }] = &recovery.journal.findings[..] else {
        panic!("{recovery:?}");
    };
    assert_eq!((file, *missing), (&segment, 1));
    assert!((400..=500).contains(offset), "{offset}");
    assert_eq!(contents(&recovered, at(2)).len(), before.len() - 1);
    // What is left is written out as soon as can be: the next start finds nothing wrong.
    recovered.upkeep(at(3), &mut go_on);
    let (again, recovery) = plan.open(&disk);
    assert!(recovery.is_whole(), "{recovery:?}");
    assert_eq!(contents(&again, at(3)), contents(&recovered, at(3)));
}

#[test]
fn a_corrupt_byte_in_a_snapshot_costs_one_shard_and_is_told_with_file_and_offset() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    let (disk, before) = written(&plan);
    let snapshot = named(&disk, "snapshot-")[0].clone();
    let middle = disk.contents(&snapshot).unwrap().len() / 128 * 64 + 9;
    change(&disk, &snapshot, |bytes| bytes[middle] ^= 0x10);
    let (recovered, recovery) = plan.open(&disk);
    assert!(!recovery.is_whole());
    let told = recovery.damage.join("\n");
    assert!(told.contains(&snapshot) && told.contains("byte"), "{told}");
    let lost = before.len() - contents(&recovered, at(2)).len();
    assert!((1..20).contains(&lost), "{lost} of {}", before.len());
}

#[test]
fn a_huge_length_is_not_believed() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    for place in [4, 5, 6, 7] {
        let (disk, before) = written(&plan);
        let segment = named(&disk, "journal-")[1].clone();
        // The first frame after the header of 64 bytes.
        change(&disk, &segment, |bytes| bytes[64 + place] = 0xff);
        let (recovered, recovery) = plan.open(&disk);
        assert!(!recovery.is_whole(), "{place}");
        assert_eq!(contents(&recovered, at(2)).len(), before.len() - 1, "{place}");
    }
}

#[test]
fn what_a_later_version_wrote_stops_the_start_and_nothing_is_changed() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    for prefix in ["journal-", "snapshot-"] {
        let (disk, _) = written(&plan);
        let name = named(&disk, prefix).pop().unwrap();
        change(&disk, &name, |bytes| {
            bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
            let checksum = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        });
        let files = |disk: &SimulatedDisk| {
            let names = disk.names().unwrap().into_iter();
            names.map(|name| (disk.contents(&name), name)).collect::<Vec<_>>()
        };
        let before = files(&disk);
        let refused = plan.try_open(&disk).unwrap_err();
        let is_newer = matches!(refused, OpenError::Refused(Refusal::Newer { version: 2, .. }));
        assert!(is_newer, "{refused}");
        assert!(refused.to_string().contains(&name), "{refused}");
        assert_eq!(files(&disk), before);
    }
}

#[test]
fn tuples_of_another_hash_key_stop_the_start() {
    let plan = Plan::default();
    let (disk, _) = written(&plan);
    let refused = Plan { hash_key: [8; 16], ..plan }.try_open(&disk).unwrap_err().to_string();
    assert!(refused.contains("hash key") && refused.contains("backup"), "{refused}");
}

#[test]
fn a_missing_segment_is_told_with_how_much_is_missing() {
    let plan = Plan { snapshot_after: u64::MAX, ..Plan::default() };
    let (disk, before) = written(&plan);
    let segments = named(&disk, "journal-");
    assert!(segments.len() >= 4, "{segments:?}");
    disk.remove(&segments[2]).unwrap();
    let (recovered, recovery) = plan.open(&disk);
    let known = contents(&recovered, at(2)).len();
    assert_eq!(recovery.journal.missing, (before.len() - known) as u64);
    assert!(recovery.journal.missing > 0);
}
