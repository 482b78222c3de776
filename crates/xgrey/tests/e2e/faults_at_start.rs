//! State directories that are not as they should be when the service starts, for real: either it
//! starts, says in which file and where what is damaged, and has all the rest; or, where to go on
//! would throw away what is remembered, it refuses, says what to do, and leaves all as it is. The
//! table of `docs/reliability.md` names these tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use greylist::HashKey;

use crate::asker::{SHORT, is_known, let_pass};
use crate::place::Place;
use crate::process::Ended;
use crate::server::{Home, Server};
use crate::small_disk::SmallDisk;
use crate::wait::until;

/// What begins a frame of a journal and of a snapshot: `docs/formats.md`.
const JOURNAL_MARK: &[u8] = b"\xf7xgj";
const SNAPSHOT_MARK: &[u8] = b"\xf7xgs";

/// Where in the first 64 bytes of either the version is, and their checksum.
const VERSION_AT: usize = 8;
const HEADER_CHECKSUM_AT: usize = 60;

const SENDERS: [&str; 5] =
    ["a@example.net", "b@example.net", "c@example.net", "d@example.net", "e@example.net"];

/// A service that knows all senders; then it is killed.
fn killed(place: &Place) -> Server {
    let mut server = Server::start(place, SHORT);
    for sender in SENDERS {
        let_pass(server.address(), sender);
    }
    server.kill();
    server
}

/// The same, with everything in a snapshot.
fn killed_after_a_snapshot(place: &Place) -> Server {
    let mut server = Server::start(place, SHORT);
    for sender in SENDERS {
        let_pass(server.address(), sender);
    }
    // The quickest way to one.
    fs::remove_dir_all(place.path("state")).unwrap();
    server.wait_for_output("kept on disk again", 1);
    server.kill();
    server
}

/// The only file in the state directory whose name begins like this and that has something in it.
fn the_file(place: &Place, prefix: &str) -> PathBuf {
    let state = fs::read_dir(place.path("state")).unwrap();
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && fs::metadata(path).unwrap().len() > 64
    };
    let found: Vec<PathBuf> = state.map(|entry| entry.unwrap().path()).filter(is_it).collect();
    let [file] = found.as_slice() else { panic!("not one {prefix}: {found:?}") };
    file.clone()
}

/// Every file there, with what is in it; the lock aside, in which a process writes its number.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "lock")
        .collect()
}

/// Where frames begin.
fn frames(bytes: &[u8], mark: &[u8]) -> Vec<usize> {
    let starts = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    starts.map(|(at, _)| at).collect()
}

/// Changes a file, and says what it is called.
fn change(path: &Path, with: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = fs::read(path).unwrap();
    with(&mut bytes);
    fs::write(path, bytes).unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Starts it again, which must be refused with a text that has all of `needles` in it, and change
/// nothing.
fn assert_refused(place: &Place, server: Server, needles: &[&str]) -> Ended {
    let before = files(&place.path("state"));
    let refused = server.refuse_again(place);
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    for needle in needles {
        assert!(refused.output.contains(needle), "no {needle:?} in\n{}", refused.output);
    }
    let same = files(&place.path("state")) == before;
    assert!(same, "something in the state directory has changed");
    refused
}

/// Starts it again, which must succeed and say all of `needles`; and once more after the damage was
/// written out, when there must be nothing to say. Gives how many of the senders are known then.
fn known_after_damage(place: &Place, server: Server, needles: &[&str]) -> usize {
    let mut server = server.start_again(place);
    for needle in needles {
        server.wait_for_output(needle, 1);
    }
    let address = server.address();
    let known = |sender: &&&str| is_known(address, sender);
    let count = SENDERS.iter().filter(known).count();
    // What is in memory is all there is, so it is soon in a snapshot.
    until("a snapshot", || server.disk_stats().snapshot_bytes);
    server.kill();
    let said_before = server.output();
    let server = server.start_again(place);
    let output = server.output();
    let said = output.strip_prefix(&said_before).unwrap();
    assert!(!said.contains("corrupt") && !said.contains("lost"), "again:\n{said}");
    count
}

#[test]
fn a_journal_of_a_newer_version_is_not_touched_and_the_start_refused() {
    let place = Place::new();
    let server = killed(&place);
    let file = change(&the_file(&place, "journal-"), |bytes| {
        put_u32(bytes, VERSION_AT, 2);
        let checksum = crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]);
        put_u32(bytes, HEADER_CHECKSUM_AT, checksum);
    });
    let mend = "use the version of xgrey that wrote it, or a later one";
    assert_refused(&place, server, &[&file, "format version 2", mend]);
}

#[test]
fn a_snapshot_of_a_newer_version_is_not_touched_and_the_start_refused() {
    let place = Place::new();
    let server = killed_after_a_snapshot(&place);
    let file = change(&the_file(&place, "snapshot-"), |bytes| {
        put_u32(bytes, VERSION_AT, 9);
        let checksum = crc32c::crc32c(&bytes[..HEADER_CHECKSUM_AT]);
        put_u32(bytes, HEADER_CHECKSUM_AT, checksum);
    });
    let mend = "use the version of xgrey that wrote it, or a later one";
    assert_refused(&place, server, &[&file, "format version 9", mend]);
}

#[test]
fn tuples_without_their_hash_key_are_not_touched_and_the_start_refused() {
    let place = Place::new();
    let server = killed(&place);
    fs::remove_file(place.path("state/hash-key")).unwrap();
    assert_refused(&place, server, &["hash-key", "journal-", "restore it from a backup"]);
}

#[test]
fn tuples_of_another_hash_key_are_not_touched_and_the_start_refused() {
    let place = Place::new();
    let server = killed(&place);
    fs::write(place.path("state/hash-key"), [7; 16]).unwrap();
    assert_refused(&place, server, &["journal-", "another hash key", "from the same backup"]);
}

#[test]
fn a_byte_that_changed_in_a_journal_is_found_and_costs_no_more_than_what_was_written_with_it() {
    let place = Place::new();
    let server = killed(&place);
    let (mut at, mut next) = (0, 0);
    let file = change(&the_file(&place, "journal-"), |bytes| {
        let frames = frames(bytes, JOURNAL_MARK);
        (at, next) = (frames[frames.len() / 2], frames[frames.len() / 2 + 1]);
        bytes[at + 40] ^= 0x10;
    });
    let place_of_it = format!("{file}: {} bytes from byte {at} on are corrupt", next - at);
    let what_it_means = "part of what was remembered is lost";
    let known = known_after_damage(&place, server, &[&place_of_it, what_it_means]);
    // Each sender was asked for alone, so a frame tells of one.
    assert!(known >= SENDERS.len() - 1, "{known} are known");
}

#[test]
fn a_huge_length_in_a_journal_is_found_and_costs_no_more_than_what_was_written_with_it() {
    let place = Place::new();
    let server = killed(&place);
    let mut at = 0;
    let file = change(&the_file(&place, "journal-"), |bytes| {
        let frames = frames(bytes, JOURNAL_MARK);
        at = frames[frames.len() / 2];
        put_u32(bytes, at + 8, u32::MAX);
    });
    let known = known_after_damage(&place, server, &[&file, &format!("from byte {at} on")]);
    assert!(known >= SENDERS.len() - 1, "{known} are known");
}

#[test]
fn a_byte_that_changed_in_a_snapshot_is_found_and_costs_no_more_than_a_shard() {
    let place = Place::new();
    let server = killed_after_a_snapshot(&place);
    let mut at = 0;
    let file = change(&the_file(&place, "snapshot-"), |bytes| {
        // The first frame's payload.
        at = frames(bytes, SNAPSHOT_MARK)[0] + 64;
        bytes[at + 8] ^= 0x10;
    });
    let needle = format!("from byte {at} on, is corrupt: its tuples are lost");
    let known = known_after_damage(&place, server, &[&file, &needle]);
    assert!(known >= SENDERS.len() - 1, "{known} are known");
}

#[test]
fn a_huge_length_in_a_snapshot_is_found_and_costs_no_more_than_a_shard() {
    let place = Place::new();
    let server = killed_after_a_snapshot(&place);
    let mut at = 0;
    let file = change(&the_file(&place, "snapshot-"), |bytes| {
        at = frames(bytes, SNAPSHOT_MARK)[0];
        put_u32(bytes, at + 16, u32::MAX);
    });
    let needle = format!("from byte {at} on are corrupt");
    let known = known_after_damage(&place, server, &[&file, &needle]);
    assert!(known >= SENDERS.len() - 1, "{known} are known");
}

#[test]
fn a_last_write_that_was_cut_off_is_normal_and_nothing_else_is_missing() {
    let place = Place::new();
    let server = killed(&place);
    let file = change(&the_file(&place, "journal-"), |bytes| bytes.truncate(bytes.len() - 5));
    let mut server = server.start_again(&place);
    server.wait_for_output(&format!("{file}: the last write was cut off at byte"), 1);
    assert!(!server.output().contains("ERROR"), "{}", server.output());
    // The last one's pass is what was cut off, or its last use.
    for sender in &SENDERS[..SENDERS.len() - 1] {
        assert!(is_known(server.address(), sender), "{sender} is forgotten");
    }
    server.stop();
}

#[test]
fn a_clock_that_was_put_back_between_two_starts_forgets_nothing() {
    const DAY: u64 = 86_400;
    let place = Place::new();
    let server = killed(&place);
    let key = fs::read(place.path("state/hash-key")).unwrap();
    let key = HashKey::new(key.try_into().unwrap());
    let seed = crc32c::crc32c(&key.fingerprint().to_le_bytes());
    // The other way round: not the clock is put back, what was remembered comes from tomorrow.
    change(&the_file(&place, "journal-"), |bytes| {
        for at in frames(bytes, JOURNAL_MARK) {
            let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = 32 + number(at + 8).next_multiple_of(4) as usize;
            let time = u64::from_le_bytes(bytes[at + 24..at + 32].try_into().unwrap()) + DAY;
            bytes[at + 24..at + 32].copy_from_slice(&time.to_le_bytes());
            let checksum = crc32c::crc32c_append(seed, &bytes[at + 8..at + length]);
            put_u32(bytes, at + 4, checksum);
        }
    });
    let mut server = server.start_again(&place);
    server.wait_for_output("s behind the newest tuple: time goes on from that tuple", 1);
    for sender in SENDERS {
        assert!(is_known(server.address(), sender), "{sender} is forgotten");
    }
    let_pass(server.address(), "new@example.net");
    server.kill();
    let server = server.start_again(&place);
    assert!(is_known(server.address(), "new@example.net"), "forgotten");
}

#[test]
fn a_read_only_disk_is_refused_with_the_mend() {
    let place = Place::new();
    let disk = SmallDisk::in_memory(&place, 8 << 10);
    let mut server = Server::start_at(&place, disk.home(), SHORT);
    let_pass(server.address(), "a@example.net");
    server.kill();
    disk.remount_read_only();
    let refused = server.refuse_again(&place);
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    let state = disk.home().state;
    for needle in ["Read-only file system", state.to_str().unwrap(), "--state"] {
        assert!(refused.output.contains(needle), "no {needle:?} in\n{}", refused.output);
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_keeps_no_mail_waiting_and_what_was_known_stays_known() {
    let place = Place::new();
    let disk = SmallDisk::in_memory(&place, 8 << 10);
    let mut server = Server::start_at(&place, disk.home(), SHORT);
    let_pass(server.address(), "a@example.net");
    server.kill();
    disk.fill();
    let mut server = server.start_again(&place);
    server.wait_for_output("tuples are NOT kept on disk", 1);
    assert!(is_known(server.address(), "a@example.net"), "forgotten");
    let_pass(server.address(), "b@example.net");
    disk.make_room();
    server.wait_for_output("tuples are kept on disk again, all of them", 1);
    server.kill();
    let server = server.start_again(&place);
    for sender in ["a@example.net", "b@example.net"] {
        assert!(is_known(server.address(), sender), "{sender} is forgotten");
    }
}

#[test]
fn a_state_directory_that_may_not_be_entered_is_refused_with_the_mend() {
    let place = Place::new();
    let mut server = Server::start(&place, SHORT);
    let_pass(server.address(), "a@example.net");
    server.kill();
    // The way to the program itself may be closed to others.
    let program = place.path("xgrey");
    fs::copy(env!("CARGO_BIN_EXE_xgrey"), &program).unwrap();
    let enter = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    let home = Home { enter: enter.map(str::to_owned).to_vec(), program, ..Home::of(&place) };
    let refused = server.refuse_again_from(&place, home);
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    for needle in ["Permission denied", place.path("state").to_str().unwrap(), "--state"] {
        assert!(refused.output.contains(needle), "no {needle:?} in\n{}", refused.output);
    }
}
