//! Live rules that move house with the tuples.

use super::*;
use crate::backup::{Export, Outcome as Imported, Receiver, StateSource, Wish, import};

fn exported(service: &Service) -> String {
    let now = || at(100);
    let source = StateSource::new(service.store(), service.texts(), &now);
    let mut export = Export::new(source, None);
    std::iter::from_fn(|| export.next_chunk()).map(|chunk| chunk.lines).collect()
}

fn imported(service: &Arc<Service>, export: &str) -> Imported {
    let mut receiver = Receiver::new(Arc::clone(service), || at(200));
    import(export.as_bytes(), &mut receiver, |_| Wish::GoOn).unwrap()
}

/// A service with live rules of every kind.
fn with_rules() -> Service {
    let service = in_memory(CONFIG);
    for text in [
        "client reject 192.0.2.0/24",
        r"sender accept =Alice\x20B@example.net",
        "sender remove eve@example.net",
        "sender-domain accept default",
        "recipient reject /^mallory/",
    ] {
        changed(&service, text);
    }
    service
}

#[test]
fn an_import_puts_live_rules_in_force_in_a_running_service() {
    let old = with_rules();
    let new = Arc::new(in_memory(CONFIG));
    let outcome = imported(&new, &exported(&old));
    assert_eq!((outcome.taken.notes, outcome.taken.notes_unusable), (5, 0));
    assert_eq!(listed(&new), listed(&old));
    // And are exported again just so.
    let notes = |service: &Service| {
        exported(service)
            .lines()
            .filter(|line| line.starts_with("note "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(notes(&new), notes(&old));
    assert_eq!(notes(&new).len(), 5);
}

#[test]
fn an_import_into_a_directory_has_live_rules_in_force_at_the_next_start() {
    let disk = SimulatedDisk::new();
    let old = with_rules();
    let new = Arc::new(opened(&disk, CONFIG));
    imported(&new, &exported(&old));
    drop(new);
    assert_eq!(listed(&opened(&disk, CONFIG)), listed(&old));
}

#[test]
fn of_two_rules_for_one_entry_the_one_that_was_set_later_counts_whichever_comes_first() {
    let early = in_memory("");
    let mut done = Vec::new();
    early.change_rules(at(1), ADMIN, &[change("sender accept a@")], &mut done).unwrap();
    let late = in_memory("");
    late.change_rules(at(2), ADMIN, &[change("sender reject a@")], &mut done).unwrap();
    for order in [[&early, &late], [&late, &early]] {
        let new = Arc::new(in_memory(""));
        for service in order {
            assert_eq!(imported(&new, &exported(service)).taken.notes, 1);
        }
        assert_eq!(listed(&new), ["sender reject a@ live 0"]);
    }
}

#[test]
fn a_rule_that_can_not_be_read_is_counted_and_the_others_are_taken() {
    let old = with_rules();
    let note =
        Note::new(b"rule:client:x".as_slice(), Some(b"1 accept 1 1 uid:0 rule client x".to_vec()));
    old.store.set_note(at(0), &note.unwrap()).unwrap();
    let new = Arc::new(in_memory(CONFIG));
    let outcome = imported(&new, &exported(&old));
    assert_eq!((outcome.taken.notes, outcome.taken.notes_unusable), (5, 1));
    assert_eq!(listed(&new), listed(&old));
}
