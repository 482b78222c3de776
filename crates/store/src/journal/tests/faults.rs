//! What goes wrong with a disk, and what the journal makes of it.

use super::*;
use crate::disk::Fault;

fn why(journal: &Journal) -> String {
    match journal.health() {
        Health::Up => "up".to_owned(),
        Health::Mending(down) => format!("mending: {}", down.why),
        Health::Down(down) => format!("down: {}", down.why),
    }
}

fn not_kept(journal: &Journal) -> u64 {
    match journal.health() {
        Health::Up => 0,
        Health::Mending(down) | Health::Down(down) => down.not_kept,
    }
}

/// Each fault while changes come and syncs are made; the journal says what it is, doesn't hold
/// anybody up, counts, and is well again when the fault is gone and a snapshot was taken.
#[test]
fn every_fault_takes_the_journal_down_and_its_end_lets_it_up_again() {
    let full = Fault::Full { free_bytes: 30 };
    for (fault, said) in [
        (full, "cannot write to journal-00000000000000000000.seg: No space left on device"),
        (
            Fault::ReadOnly,
            "cannot write to journal-00000000000000000000.seg: Read-only file system",
        ),
        (Fault::Broken, "cannot write to journal-00000000000000000000.seg: Input/output error"),
        (Fault::Denied, "cannot sync the state directory: Permission denied"),
        (Fault::Gone, "journal-00000000000000000000.seg was removed or replaced by somebody else"),
    ] {
        let disk = SimulatedDisk::new();
        let journal = open(&disk, SETTINGS, Position::START);
        journal.append(NOW, grey(0, 0));
        journal.commit();
        assert!(is_up(&journal));
        disk.fail(fault);
        let mut number = 1;
        while is_up(&journal) {
            journal.append(NOW, grey(number, number));
            journal.commit();
            journal.check_names(NOW);
            journal.sync(NOW);
            number += 1;
            assert!(number < 100, "{fault:?} goes unnoticed");
        }
        let told = why(&journal);
        assert!(told.starts_with(&format!("down: {said}")), "{fault:?}: {told}");
        // Nobody waits, everything is counted.
        let before = not_kept(&journal);
        journal.append(NOW, grey(50, 50));
        journal.commit();
        journal.sync(NOW);
        assert_eq!(not_kept(&journal), before + 1);
        assert_eq!(journal.position().get(), number + 1);
        let still = journal.begin_segment(NOW);
        if !matches!(fault, Fault::Full { .. }) {
            still.unwrap_err();
        }
        disk.heal();
        assert!(!is_up(&journal), "not by itself");

        // Twice does no harm.
        journal.begin_segment(NOW).unwrap();
        journal.begin_segment(NOW).unwrap();
        assert!(why(&journal).starts_with("mending: "), "{}", why(&journal));
        let from = journal.position();
        journal.append(NOW, grey(60, 60));
        journal.commit();
        assert!(!journal.mended(Position::new(from.get() - 1).unwrap()), "too old a snapshot");
        assert!(journal.mended(from));
        assert_eq!(why(&journal), "up");
        assert_eq!(not_kept(&journal), 0);
        let stats = journal.stats();
        assert_eq!((stats.faults, stats.not_kept), (1, before + 1));
        let (found, report) = entries(&disk, from);
        assert_eq!(found, [(from.get(), Entry::Change(grey(60, 60)))]);
        assert_eq!(report.findings, []);
    }
}

/// On a full disk nothing piles up: what was made in vain is taken away.
#[test]
fn attempts_in_vain_leave_no_files_behind() {
    for fault in [Fault::Full { free_bytes: 10 }, Fault::Broken] {
        let disk = SimulatedDisk::new();
        let journal = open(&disk, SETTINGS, Position::START);
        for number in 0..20 {
            if number == 5 {
                disk.fail(fault);
            }
            journal.append(NOW, grey(number, number));
            journal.commit();
            let _ = journal.begin_segment(NOW);
        }
        disk.heal();
        let names = disk.names().unwrap();
        if matches!(fault, Fault::Full { .. }) {
            assert_eq!(names, ["journal-00000000000000000000.seg"]);
        }
        journal.begin_segment(NOW).unwrap();
        assert!(journal.mended(journal.position()));
    }
}

#[test]
fn a_journal_that_cannot_begin_is_down_from_the_start() {
    let disk = SimulatedDisk::new();
    disk.fail(Fault::ReadOnly);
    let journal = open(&disk, SETTINGS, Position::START);
    assert_eq!(
        why(&journal),
        "down: cannot make journal-00000000000000000000.seg: Read-only file system (os error 30)"
    );
    journal.append(NOW, grey(0, 0));
    journal.commit();
    assert_eq!((not_kept(&journal), journal.position().get()), (1, 1));
}

/// It goes down again before it was well: the story goes on, with the latest reason.
#[test]
fn a_relapse_counts_on_from_where_it_was() {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, SETTINGS, Position::START);
    disk.fail(Fault::ReadOnly);
    journal.append(NOW, grey(0, 0));
    journal.commit();
    let later = Timestamp::from_unix_secs(NOW.as_unix_secs() + 60);
    disk.heal();
    journal.begin_segment(later).unwrap();
    disk.fail(Fault::Full { free_bytes: 5 });
    journal.append(later, grey(1, 1));
    journal.append(later, grey(2, 2));
    journal.commit();
    let Health::Down(down) = journal.health() else { panic!("{:?}", journal.health()) };
    assert_eq!((down.since, down.not_kept), (NOW, 3));
    assert!(down.why.to_string().contains("No space left"), "{}", down.why);
}

#[test]
fn a_buffer_that_nobody_commits_is_given_up_and_not_grown_for_ever() {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, SETTINGS, Position::START);
    let mut appended = 0_u64;
    while is_up(&journal) {
        for _ in 0..100_000 {
            journal.append(NOW, grey(appended, 0));
            appended += 1;
        }
        assert!(appended < 10_000_000, "64 MiB hold five and a half million");
    }
    assert_eq!(why(&journal), "down: more than 64 MiB of changes waited to be written");
    assert_eq!(not_kept(&journal), appended);
    journal.begin_segment(NOW).unwrap();
    assert!(journal.mended(journal.position()));
}

/// Somebody moves the file away, or the directory, and another comes in its place.
#[test]
fn a_segment_that_was_replaced_is_noticed() {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, SETTINGS, Position::START);
    journal.append(NOW, grey(0, 0));
    journal.commit();
    journal.check_names(NOW);
    assert!(is_up(&journal));
    disk.remove("journal-00000000000000000000.seg").unwrap();
    disk.create("journal-00000000000000000000.seg").unwrap();
    journal.check_names(NOW);
    assert_eq!(
        why(&journal),
        "down: journal-00000000000000000000.seg was removed or replaced by somebody else"
    );
}

/// A disk that gives some pages no more: the rest is read, and what can't be is told.
#[test]
fn what_cannot_be_read_costs_its_pages_and_no_more() {
    let disk = SimulatedDisk::new();
    let settings = Settings { segment_bytes: u64::MAX, ..SETTINGS };
    let journal = open(&disk, settings, Position::START);
    for number in 0..2000 {
        journal.append(NOW, grey(number, 0));
        journal.commit();
    }
    let name = "journal-00000000000000000000.seg";
    disk.spoil(name, 5000..5001);
    disk.spoil(name, 9000..13_000);
    let (found, report) = entries(&disk, Position::START);
    // 44 bytes each, after the 64 of the header; pages 1, 2 and 3 are gone.
    let is_readable = |number: u64| 64 + number * 44 + 44 <= 4096 || 64 + number * 44 >= 16_384;
    let expected: Vec<_> = (0..2000).filter(|number| is_readable(*number)).collect();
    assert_eq!(found.iter().map(|(position, _)| *position).collect::<Vec<_>>(), expected);
    let file = name.to_owned();
    assert_eq!(report.missing, 2000 - expected.len() as u64);
    let [Finding::Corrupt { missing, .. }, Finding::Unreadable { offset, bytes, error, .. }] =
        &report.findings[..]
    else {
        panic!("{:?}", report.findings)
    };
    assert_eq!((*missing, *offset, *bytes), (report.missing, 4096, 3 * 4096), "{file}");
    assert!(error.contains("Input/output error"));
    assert!(!report.is_clean());
}

/// Nothing is known of such a segment, so the next one gets another name.
#[test]
fn a_segment_that_cannot_be_read_at_all_is_not_replaced() {
    let disk = SimulatedDisk::new();
    let journal = open(&disk, SETTINGS, Position::START);
    journal.append(NOW, grey(0, 0));
    journal.commit();
    drop(journal);
    disk.spoil("journal-00000000000000000000.seg", 0..1000);
    let (_, report) = entries(&disk, Position::START);
    assert_eq!(report.next.get(), 1);
    let journal = open(&disk, SETTINGS, report.next);
    assert!(is_up(&journal));
    assert_eq!(disk.names().unwrap().len(), 2);
}
