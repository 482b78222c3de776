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
