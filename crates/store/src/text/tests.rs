//! The log as a whole: what is appended is found again, through bounds, crashes and errors.

mod model;

use std::collections::BTreeSet;
use std::sync::Arc;

use greylist::State;

use super::buffer::{BUFFER_BYTES, CHUNK_BYTES};
use super::testing::{START, bytes, copy, id, names, text, text_from};
use super::*;
use crate::disk::{Fate, Fault, SimulatedDisk};

const CONFIG: TextConfig = TextConfig { bytes_max: TextConfig::BYTES_MIN, key_fingerprint: 42 };

/// Embargo 1 minute, window 100 minutes, lifetime 1,000 minutes.
fn timing() -> Timing {
    Timing::new(Secs::new(60), Secs::new(6000), Secs::new(60_000)).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_unix_secs(START.as_unix_secs() + secs)
}

fn open(disk: &SimulatedDisk) -> (TextLog, TextReport) {
    TextLog::open(Arc::new(disk.clone()), CONFIG).unwrap()
}

fn append(log: &TextLog, number: u64, secs: u64) {
    let text = text(number, secs);
    let (sender, recipient) = (text.sender.bytes(), text.recipient.bytes());
    log.append(text.first_try, text.id, text.client, sender, recipient);
}

/// Numbers of the tuples listed, in that order.
fn listed(log: &TextLog) -> Vec<u64> {
    let mut scan = log.scan();
    let mut numbers = Vec::new();
    while let Some(text) = scan.next_text() {
        numbers.push(text.id.bits());
    }
    assert_eq!(scan.damage(), &TextDamage::default());
    numbers
}

fn set(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
    numbers.into_iter().collect()
}

fn grey(secs: u64) -> Option<Tuple> {
    Some(Tuple { state: State::Grey, since: at(secs) })
}

fn white(secs: u64) -> Option<Tuple> {
    Some(Tuple { state: State::White, since: at(secs) })
}

/// Upkeep until nothing is due.
fn upkeep(log: &TextLog, secs: u64, live: impl Fn(TupleId) -> Option<Tuple>) {
    let numbers = || {
        let shelf = log.shelf.lock();
        shelf.segments().iter().map(|segment| (segment.number, segment.sifted)).collect::<Vec<_>>()
    };
    loop {
        let before = numbers();
        log.upkeep(at(secs), &timing(), &live);
        if numbers() == before {
            return;
        }
    }
}

#[test]
fn what_was_flushed_is_listed_newest_first_also_after_a_start() {
    let disk = SimulatedDisk::new();
    let (log, report) = open(&disk);
    assert_eq!(report, TextReport::default());
    append(&log, 1, 0);
    append(&log, 2, 1);
    log.flush();
    append(&log, 3, 2);
    assert_eq!(listed(&log), [2, 1], "what is in the buffer is not on disk");
    log.flush();
    assert_eq!(listed(&log), [3, 2, 1]);
    let (log, report) = open(&copy(&disk));
    assert_eq!((report.segments, report.torn_bytes), (1, 0));
    append(&log, 4, 3);
    log.flush();
    assert_eq!(listed(&log), [4, 3, 2, 1]);
    assert_eq!(log.stats().segments, 2, "a start begins a segment");
}

#[test]
fn a_text_is_listed_as_it_was_appended() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    let long = [b'x'; 300];
    let odd = text_from(3, 7, b"\"a\xffb\n\"@example.net");
    let (client, recipient) = (odd.client, odd.recipient.bytes());
    log.append(odd.first_try, odd.id, client, odd.sender.bytes(), recipient);
    log.append(at(8), id(4), client, b"", &long);
    log.flush();
    let mut scan = log.scan();
    let expected = Text {
        id: id(4),
        first_try: at(8),
        client,
        sender: Address::Whole(b""),
        recipient: Address::Cut(&long[..255]),
    };
    assert_eq!(scan.next_text(), Some(expected));
    assert_eq!(scan.next_text(), Some(odd));
    assert_eq!(scan.next_text(), None);
}

#[test]
fn nothing_is_written_before_there_is_something_to_write() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    log.flush();
    upkeep(&log, 0, |_| None);
    assert_eq!(names(&disk), [""; 0]);
}

#[test]
fn bytes_on_disk_stay_within_the_bound_and_the_oldest_go_first() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    let mut bytes_most = 0;
    for number in 1..=60_000 {
        append(&log, number, number / 10);
        if number % 100 == 0 {
            log.flush();
            log.upkeep(at(number / 10), &timing(), |_| grey(0));
            bytes_most = bytes_most.max(bytes(&disk));
        }
    }
    assert!(bytes_most <= CONFIG.bytes_max, "{bytes_most}");
    assert!(bytes_most > CONFIG.bytes_max * 3 / 4, "{bytes_most}");
    assert_eq!(log.stats().bytes, bytes(&disk));
    let listed = listed(&log);
    let newest = (60_001 - listed.len() as u64..=60_000).rev();
    assert_eq!(listed, newest.collect::<Vec<_>>(), "all of the newest, and in order");
    assert!(log.stats().evicted_segments > 10);
}

#[test]
fn a_lower_bound_is_kept_to_from_the_start_on() {
    let disk = SimulatedDisk::new();
    let config = TextConfig { bytes_max: 8 << 20, ..CONFIG };
    let (log, _) = TextLog::open(Arc::new(disk.clone()), config).unwrap();
    for number in 1..=60_000 {
        append(&log, number, 0);
    }
    log.flush();
    assert!(bytes(&disk) > CONFIG.bytes_max);
    let (log, _) = open(&disk);
    assert!(bytes(&disk) <= CONFIG.bytes_max);
    assert_eq!(listed(&log)[0], 60_000);
}

#[test]
fn a_segment_cut_off_at_any_byte_keeps_all_whole_frames() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    let name = segment::name(1);
    let mut whole = vec![(0, 0)];
    for number in 1..=5 {
        append(&log, number, 0);
        log.flush();
        whole.push((disk.contents(&name).unwrap().len(), number));
    }
    let bytes = disk.contents(&name).unwrap();
    for cut in 0..=bytes.len() {
        let disk = SimulatedDisk::new();
        disk.put(&name, bytes[..cut].to_vec());
        let (log, report) = open(&disk);
        let (end, last) = whole.iter().rev().find(|(end, _)| *end <= cut).copied().unwrap();
        assert_eq!(listed(&log), (1..=last).rev().collect::<Vec<_>>(), "cut at {cut}");
        if cut > segment::HEADER_BYTES {
            let torn = cut - end.max(segment::HEADER_BYTES);
            assert_eq!(report.torn_bytes, torn as u64, "cut at {cut}");
        }
        assert!(report.damage.is_none(), "cut at {cut}: {report:?}");
    }
}

#[test]
fn a_corrupt_frame_is_left_out_and_reported_with_its_place() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    let name = segment::name(1);
    let mut starts = Vec::new();
    for number in 1..=3 {
        append(&log, number, 0);
        starts.push(names(&disk).first().map_or(64, |name| disk.contents(name).unwrap().len()));
        log.flush();
    }
    let bytes = disk.contents(&name).unwrap();
    for place in starts[1]..starts[2] {
        let disk = SimulatedDisk::new();
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x10;
        disk.put(&name, bytes);
        let (log, _) = open(&disk);
        let mut scan = log.scan();
        assert_eq!(scan.next_text().map(|text| text.id), Some(id(3)), "byte {place}");
        assert_eq!(scan.next_text().map(|text| text.id), Some(id(1)), "byte {place}");
        assert_eq!(scan.next_text(), None);
        let lost = (starts[2] - starts[1]) as u64;
        assert_eq!(scan.damage().corrupt_bytes, lost, "byte {place}");
        assert_eq!(scan.damage().corrupt_at, Some((name.clone(), starts[1] as u64)));
    }
}

#[test]
fn a_huge_corrupt_length_is_stepped_over() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    append(&log, 1, 0);
    log.flush();
    let name = segment::name(1);
    let mut bytes = disk.contents(&name).unwrap();
    let end = bytes.len();
    for length in [u32::MAX, !7, 65_536, 0] {
        bytes[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
        let disk = SimulatedDisk::new();
        disk.put(&name, bytes.clone());
        assert_eq!(listed(&open(&disk).0), [0; 0], "{length}");
    }
}

#[test]
fn upkeep_keeps_the_newest_text_of_each_live_tuple_and_nothing_else() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    // Tuple 5 was grey, died, and was new again; 6 passed, was forgotten, and was new again.
    for (number, secs) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (6, 100)] {
        append(&log, number, secs);
    }
    log.flush();
    let live = |id: TupleId| match id.bits() {
        1 => None,
        2 => white(5000),
        3 => grey(2),
        4 => None,
        5 => grey(6005),
        6 => white(5000),
        _ => unreachable!(),
    };
    upkeep(&log, 6100, live);
    let all = [6, 6, 5, 4, 3, 2, 1];
    assert_eq!(listed(&log), all, "the window of the newest is not over yet");
    upkeep(&log, 6101, live);
    assert_eq!(listed(&log), [6, 3, 2]);
    assert_eq!(log.stats().outlived, 4);
    // A quarter of a lifetime later there is another look.
    upkeep(&log, 6101 + 15_000, |_| None);
    assert_eq!(listed(&log), [6, 3, 2]);
    upkeep(&log, 6101 + 15_001, |_| None);
    assert_eq!(names(&disk), [""; 0]);
}

#[test]
fn a_segment_is_sealed_when_its_first_record_is_a_window_old() {
    let (log, _) = open(&SimulatedDisk::new());
    append(&log, 1, 0);
    log.flush();
    upkeep(&log, 6000, |_| grey(0));
    append(&log, 2, 6000);
    log.flush();
    assert_eq!(log.stats().segments, 1);
    upkeep(&log, 6001, |_| grey(0));
    append(&log, 3, 6001);
    log.flush();
    assert_eq!(log.stats().segments, 2);
}

#[test]
fn small_segments_are_merged_and_keep_their_order() {
    let disk = SimulatedDisk::new();
    for start in 0..40 {
        let (log, _) = open(&disk);
        append(&log, 2 * start + 1, start);
        append(&log, 2 * start + 2, start);
        log.flush();
    }
    let (log, _) = open(&disk);
    assert_eq!(log.stats().segments, 40);
    upkeep(&log, 40, |_| white(0));
    assert_eq!(log.stats().segments, 1);
    assert_eq!(listed(&log), (1..=80).rev().collect::<Vec<_>>());
    assert_eq!(listed(&open(&disk).0), (1..=80).rev().collect::<Vec<_>>());
}

#[test]
fn a_full_buffer_drops_and_counts_and_takes_texts_again_after_a_flush() {
    let disk = SimulatedDisk::new();
    let config = TextConfig { bytes_max: 1 << 30, ..CONFIG };
    let (log, _) = TextLog::open(Arc::new(disk.clone()), config).unwrap();
    let mut appended = 0;
    while log.stats().dropped == 0 {
        appended += 1;
        append(&log, appended, 0);
    }
    // The writer has a chunk in hand, and each of the others may have room for less than a record.
    let waiting = log.buffer.lock().len();
    assert!((BUFFER_BYTES - 2 * CHUNK_BYTES..BUFFER_BYTES).contains(&waiting), "{waiting}");
    append(&log, appended, 0);
    assert_eq!(log.stats().dropped, 2);
    log.flush();
    append(&log, appended, 0);
    log.flush();
    let stats = log.stats();
    assert_eq!((stats.dropped, stats.written), (2, appended));
    assert_eq!(listed(&log).len() as u64, appended);
}

/// The disk begins to fail at one flush and is mended before another.
#[test]
fn a_failing_disk_loses_nothing_that_was_appended_and_is_taken_up_again() {
    let full = (0..600).step_by(40).map(|free_bytes| Fault::Full { free_bytes });
    for fault in full.chain([Fault::ReadOnly, Fault::Broken, Fault::Denied]) {
        for (fails_at, mended_at) in [(1, 2), (1, 5), (2, 3), (2, 5), (4, 5)] {
            let disk = SimulatedDisk::new();
            let (log, _) = open(&disk);
            for number in 1..=100 {
                append(&log, number, 0);
                if number % 20 == 0 {
                    let flush = number / 20;
                    match () {
                        () if flush == mended_at => disk.heal(),
                        () if flush == fails_at => disk.fail(fault),
                        () => {}
                    }
                    log.flush();
                    let stats = log.stats();
                    assert_eq!(stats.is_writing, stats.troubles == 0 || flush >= mended_at);
                    assert_eq!(stats.troubles == 0, stats.last_trouble.is_none());
                }
            }
            // A directory that can't be changed holds up only who makes files in it.
            let fails = fault != Fault::Denied || fails_at == 1;
            assert_eq!(log.stats().troubles > 0, fails, "{fault:?}, {fails_at} to {mended_at}");
            for log in [&log, &open(&copy(&disk)).0] {
                let listed = set(listed(log));
                assert_eq!(listed, set(1..=100), "{fault:?}, {fails_at} to {mended_at}");
            }
            assert_eq!(log.stats().dropped, 0);
        }
    }
}

#[test]
fn a_disk_that_stays_broken_costs_one_bound_for_both_buffers_and_no_more() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    disk.fail(Fault::ReadOnly);
    for number in 1..=1_000_000 {
        append(&log, number, 0);
        if number % 10_000 == 0 {
            log.flush();
        }
    }
    let waiting = log.buffer.lock().len();
    assert!((BUFFER_BYTES - 2 * CHUNK_BYTES..BUFFER_BYTES).contains(&waiting), "{waiting}");
    let stats = log.stats();
    assert!(stats.dropped > 300_000, "{stats:?}");
    let trouble = stats.last_trouble.unwrap().to_string();
    assert!(trouble.starts_with("cannot make text-00000000000000000"), "{trouble}");
    assert!(trouble.contains("Read-only file system"), "{trouble}");
    assert_eq!(names(&disk), [""; 0]);
}

/// Two segments that are due and four to be merged; every third tuple is live.
fn before_upkeep() -> (SimulatedDisk, BTreeSet<u64>) {
    let disk = SimulatedDisk::new();
    for start in 0..6 {
        let (log, _) = open(&disk);
        (1..=50).for_each(|number| append(&log, start * 50 + number, 0));
        log.flush();
    }
    // As if it had been there for a long time, so that a power cut leaves it there.
    (copy(&disk), set((1..=300).filter(|&number| is_live(number))))
}

fn is_live(number: u64) -> bool {
    number.is_multiple_of(3)
}

fn live_thirds(id: TupleId) -> Option<Tuple> {
    if is_live(id.bits()) { white(6000) } else { None }
}

/// Opens what a crash has left, and does what the crash kept from being done.
fn check_aftermath(disk: &SimulatedDisk, expected: &BTreeSet<u64>, when: &str) {
    let (log, report) = open(disk);
    assert!(report.damage.is_none(), "{when}: {report:?}");
    assert!(set(listed(&log)).is_superset(expected), "{when}");
    upkeep(&log, 6001, live_thirds);
    assert_eq!(&set(listed(&log)), expected, "{when}");
    assert_eq!(log.stats().troubles, 0, "{when}: {:?}", log.stats());
    let names = names(disk);
    assert!(names.iter().all(|name| name.ends_with(".seg")), "{when}: {names:?}");
}

#[test]
fn upkeep_cut_off_at_any_call_loses_no_live_text() {
    let (disk, expected) = before_upkeep();
    let (log, _) = open(&disk);
    upkeep(&log, 6001, live_thirds);
    assert!(disk.calls() > 20, "{}", disk.calls());
    for calls in 0..=disk.calls() {
        for torn in [0, 1, 100, 1000] {
            let when = format!("killed after {calls} calls and {torn} bytes");
            check_aftermath(&disk.after_kill(calls, torn), &expected, &when);
        }
        for fate in [Fate::Lost, Fate::Kept].into_iter().chain((0..20).map(Fate::Mixed)) {
            let when = format!("power cut after {calls} calls, {fate:?}");
            check_aftermath(&disk.after_power_cut(calls, fate), &expected, &when);
        }
    }
}

#[test]
fn upkeep_that_fails_at_any_call_loses_no_live_text_and_is_done_later() {
    for fault in [Fault::Full { free_bytes: 0 }, Fault::ReadOnly, Fault::Broken, Fault::Denied] {
        for calls in 0.. {
            let (disk, expected) = before_upkeep();
            let (log, _) = open(&disk);
            let before = disk.calls();
            disk.fail_once(before + calls, fault);
            upkeep(&log, 6001, live_thirds);
            assert!(set(listed(&log)).is_superset(&expected), "{fault:?} at call {calls}");
            let calls_all = disk.calls() - before;
            upkeep(&log, 6001 + 60, live_thirds);
            assert_eq!(set(listed(&log)), expected, "{fault:?} at call {calls}");
            if calls > calls_all {
                assert!(calls > 20);
                break;
            }
        }
    }
}

/// Texts are not synced as they come, so a power cut may lose any of them; it never keeps the log
/// from opening, and takes nothing from what was kept before.
#[test]
fn a_power_cut_while_writing_costs_some_of_the_newest_texts_and_no_more() {
    let (disk, _) = before_upkeep();
    let (log, _) = open(&disk);
    for number in 301..=340 {
        append(&log, number, 1);
        log.flush();
    }
    for calls in 0..=disk.calls() {
        for fate in [Fate::Lost, Fate::Kept].into_iter().chain((0..20).map(Fate::Mixed)) {
            let (log, _) = open(&disk.after_power_cut(calls, fate));
            let mut scan = log.scan();
            let mut found = BTreeSet::new();
            while let Some(text) = scan.next_text() {
                found.insert(text.id.bits());
            }
            assert!(found.is_superset(&set(1..=300)), "after {calls} calls, {fate:?}");
        }
    }
}

#[test]
fn a_scan_misses_nothing_while_all_is_rewritten_under_it() {
    let disk = SimulatedDisk::new();
    for start in 0..20 {
        let (log, _) = open(&disk);
        (1..=20).for_each(|number| append(&log, start * 20 + number, 0));
        log.flush();
    }
    let live = |id: TupleId| if id.bits().is_multiple_of(2) { white(6000) } else { None };
    let expected = set((1..=400).filter(|number| number % 2 == 0));
    for upkeep_at in 0..=400 {
        let (log, _) = open(&copy(&disk));
        let mut scan = log.scan();
        let mut seen = BTreeSet::new();
        for _ in 0..upkeep_at {
            seen.extend(scan.next_text().map(|text| text.id.bits()));
        }
        upkeep(&log, 6001, live);
        while let Some(text) = scan.next_text() {
            seen.insert(text.id.bits());
        }
        assert!(scan.damage().is_none(), "{:?}", scan.damage());
        assert!(seen.is_superset(&expected), "rewritten after {upkeep_at} records");
    }
}

#[test]
fn a_scan_goes_on_when_the_segment_it_would_read_next_is_gone() {
    let disk = SimulatedDisk::new();
    for start in 0..3 {
        let (log, _) = open(&disk);
        append(&log, start + 1, 0);
        log.flush();
    }
    let (log, _) = open(&disk);
    let mut scan = log.scan();
    assert_eq!(scan.next_text().map(|text| text.id), Some(id(3)));
    // Not by us, so there is something to say.
    disk.remove(&segment::name(2)).unwrap();
    assert_eq!(scan.next_text().map(|text| text.id), Some(id(1)));
    assert_eq!(scan.next_text(), None);
    let (file, _) = scan.damage().unreadable_why.clone().unwrap();
    assert_eq!((scan.damage().unreadable, file), (1, segment::name(2)));
}

#[test]
fn a_directory_that_was_emptied_under_the_log_is_written_to_again() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    append(&log, 1, 0);
    log.flush();
    disk.remove(&segment::name(1)).unwrap();
    log.upkeep(at(1), &timing(), |_| grey(0));
    append(&log, 2, 1);
    log.flush();
    assert_eq!(listed(&open(&disk).0), [2]);
}

#[test]
fn what_another_key_or_a_later_version_wrote_is_refused_and_left_alone() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    append(&log, 1, 0);
    log.flush();
    let name = segment::name(1);
    let refused = |disk: &SimulatedDisk, key_fingerprint| {
        let config = TextConfig { key_fingerprint, ..CONFIG };
        let opened = TextLog::open(Arc::new(disk.clone()), config);
        assert_eq!(names(disk), [name.as_str()]);
        opened.map(|_| ()).unwrap_err().to_string()
    };
    let why = refused(&disk, 43);
    assert!(why.starts_with(&format!("{name} was written with another hash key: ")), "{why}");

    let mut bytes = disk.contents(&name).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&checksum);
    disk.put(&name, bytes);
    let why = refused(&disk, 42);
    let expected = format!("{name} was written by a later version of xgrey (format 2): ");
    assert!(why.starts_with(&expected), "{why}");
}

#[test]
fn a_segment_with_a_corrupt_header_is_reported_and_goes_with_the_next_upkeep() {
    let disk = SimulatedDisk::new();
    let (log, _) = open(&disk);
    append(&log, 1, 0);
    log.flush();
    let name = segment::name(1);
    let mut bytes = disk.contents(&name).unwrap();
    bytes[20] ^= 1;
    disk.put(&name, bytes);
    let (log, report) = open(&disk);
    let why = "its header is corrupt".to_owned();
    assert_eq!(report.damage.unreadable_why, Some((name, why)));
    append(&log, 2, 1);
    log.flush();
    upkeep(&log, 2, |_| grey(0));
    assert_eq!(listed(&log), [2]);
}

/// Two threads append, one flushes and keeps up, one lists, all at once.
#[test]
fn nothing_is_lost_or_missed_among_threads() {
    const EACH: u64 = 20_000;
    let disk = SimulatedDisk::new();
    let config = TextConfig { bytes_max: 64 << 20, ..CONFIG };
    let (log, _) = TextLog::open(Arc::new(disk.clone()), config).unwrap();
    let log = &log;
    let live = |_| white(0);
    let appending = AtomicU64::new(2);
    let is_over = || appending.load(Relaxed) == 0;
    std::thread::scope(|scope| {
        for half in 0..2 {
            let appending = &appending;
            scope.spawn(move || {
                for number in half * EACH + 1..=(half + 1) * EACH {
                    // Time goes fast: segments are sealed and due while others are written.
                    append(log, number, number % EACH * 3);
                    if number % 500 == 0 {
                        log.flush();
                    }
                }
                appending.fetch_sub(1, Relaxed);
            });
        }
        scope.spawn(|| {
            let mut secs = 0;
            while !is_over() {
                log.flush();
                log.upkeep(at(secs), &timing(), live);
                secs += 1000;
            }
        });
        scope.spawn(|| {
            let mut most = 0;
            while !is_over() {
                let count = set(listed(log)).len();
                assert!(count >= most, "{count} after {most}");
                most = count;
            }
        });
    });
    log.flush();
    let missing = |log| set(1..=2 * EACH).difference(&set(listed(log))).count();
    assert_eq!(missing(log), 0);
    let stats = log.stats();
    assert_eq!((stats.troubles, stats.dropped, stats.outlived), (0, 0, 0), "{stats:?}");
    let (again, _) = TextLog::open(Arc::new(copy(&disk)), config).unwrap();
    assert_eq!(missing(&again), 0);
}
