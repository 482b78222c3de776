//! What happens to the disk under a running service, for real: mail is answered all the time, what
//! is wrong is said, and when the cause is gone everything is kept again without anybody's doing.
//! The table of `docs/reliability.md` names these tests.

use std::fs;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::asker::{SHORT, ask_for_new, is_known, let_pass};
use crate::place::Place;
use crate::server::{Server, Settings};
use crate::small_disk::SmallDisk;
use crate::wait::until;

/// What the log says when tuples are no longer kept, and when they are again.
const DOWN: &str = "tuples are NOT kept on disk";
const MENDED: &str = "tuples are kept on disk again, all of them";

/// With segments that fit a small disk.
const SMALL: Settings<'_> = Settings {
    tables: "[store]\nsegment_bytes = \"1MiB\"\nsnapshot_after = \"1MiB\"\ntext_bytes = \"1MiB\"",
    ..SHORT
};

/// Waits until `xgrey ctl stats` says that the journal is in that state.
fn wait_for_journal(server: &Server, state: &str) {
    until(&format!("the journal to be {state}"), || {
        (server.disk_stats().journal == state).then_some(())
    });
}

/// Kills the service, starts it again, and looks whether it still knows all of them.
fn assert_survive(place: &Place, mut server: Server, senders: &[&str]) -> Server {
    server.kill();
    let server = server.start_again(place);
    for sender in senders {
        assert!(is_known(server.address(), sender), "{sender} is forgotten");
    }
    server
}

#[test]
fn a_full_disk_holds_up_no_mail_and_once_there_is_room_everything_is_kept() {
    let place = Place::new();
    let disk = SmallDisk::in_memory(&place, 8 << 10);
    let server = Server::start_at(&place, disk.home(), SMALL);
    let address = server.address();
    let_pass(address, "before@example.net");
    disk.fill();
    // What was set aside before has room for some more.
    let mut round = 0;
    until("the journal to be down", || {
        ask_for_new(address, &format!("r{round}n"), 2_000);
        round += 1;
        (server.disk_stats().journal == "down").then_some(())
    });
    let fault = server.disk_stats().journal_fault.unwrap();
    assert!(fault.contains("journal-") && fault.contains("No space left on device"), "{fault}");
    server.wait_for_output(DOWN, 1);
    let_pass(address, "meanwhile@example.net");
    assert!(is_known(address, "before@example.net"));
    assert!(server.disk_stats().changes_not_kept > 0);

    disk.make_room();
    wait_for_journal(&server, "up");
    server.wait_for_output(MENDED, 1);
    let stats = server.disk_stats();
    assert_eq!((stats.faults, stats.changes_not_kept), (1, 0));
    let_pass(address, "after@example.net");
    let all = ["before@example.net", "meanwhile@example.net", "after@example.net"];
    assert_survive(&place, server, &all);
}

#[test]
fn a_state_directory_that_is_removed_is_made_again_with_everything_in_it() {
    let place = Place::new();
    let server = Server::start(&place, SHORT);
    let_pass(server.address(), "before@example.net");
    let key = fs::read(place.path("state/hash-key")).unwrap();
    fs::remove_dir_all(place.path("state")).unwrap();
    // Why it is down depends on who looks first: it can't be synced, or is not the one it was.
    server.wait_for_output(DOWN, 1);
    server.wait_for_output(MENDED, 1);
    wait_for_journal(&server, "up");
    assert_eq!(fs::read(place.path("state/hash-key")).unwrap(), key);
    let_pass(server.address(), "after@example.net");
    assert_survive(&place, server, &["before@example.net", "after@example.net"]);
}

#[test]
fn a_state_directory_that_another_takes_the_place_of_is_filled_again() {
    let place = Place::new();
    let server = Server::start(&place, SHORT);
    let_pass(server.address(), "before@example.net");
    // At once, so that there is no moment without one.
    let (state, other) = (place.path("state"), place.make_folder("other"));
    renameat_with(CWD, state, CWD, other, RenameFlags::EXCHANGE).unwrap();
    server.wait_for_output("removed or replaced by somebody else", 1);
    server.wait_for_output(MENDED, 1);
    wait_for_journal(&server, "up");
    assert_survive(&place, server, &["before@example.net"]);
}

#[test]
fn a_disk_that_turns_read_only_holds_up_no_mail_and_another_in_its_place_gets_everything() {
    let place = Place::new();
    let disk = SmallDisk::ext4(&place);
    let server = Server::start_at(&place, disk.home(), SMALL);
    let address = server.address();
    let_pass(address, "before@example.net");
    disk.break_ext4();
    until("the journal to be down", || {
        // Without a change there is nothing to write, and so nothing that could fail.
        ask_for_new(address, "n", 1);
        (server.disk_stats().journal == "down").then_some(())
    });
    let fault = server.disk_stats().journal_fault.unwrap();
    assert!(fault.contains("journal-"), "{fault}");
    server.wait_for_output(DOWN, 1);
    let_pass(address, "meanwhile@example.net");

    disk.replace();
    wait_for_journal(&server, "up");
    server.wait_for_output(MENDED, 1);
    assert_survive(&place, server, &["before@example.net", "meanwhile@example.net"]);
}
