//! From one service to another.

use std::path::Path;
use std::sync::Arc;

use greylist::{Client, HashKey, Query, Secs, State, Timestamp, Tuple};
use pollster::block_on;
use proptest::prelude::*;
use store::TupleId;
use store::disk::RealDisk;
use store::text::{TextConfig, TextLog};
use tempfile::TempDir;

use super::*;
use crate::command::serve;
use crate::config::{MadeUp, parse_text};
use crate::service::{Scratch, Service};

const START: Timestamp = Timestamp::from_unix_secs(1_795_498_200);
const DAY: u32 = 86_400;

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

/// A service, and the folder with its texts.
struct Memory {
    service: Arc<Service>,
    _texts: TempDir,
}

fn memory(key: u8, config: &str) -> Memory {
    let (config, _) = parse_text(config, Path::new("xgrey.toml"), &MadeUp::default()).unwrap();
    let hash_key = HashKey::new([key; 16]);
    let key_fingerprint = hash_key.fingerprint();
    let Ok(service) = serve::service(config, hash_key) else { panic!("no service") };
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::new(folder.path().to_owned()));
    let (texts, _) =
        TextLog::open(disk, TextConfig { bytes_max: 1 << 20, key_fingerprint }).unwrap();
    Memory { service: Arc::new(service.with_texts(Arc::new(texts))), _texts: folder }
}

/// The reasons of the answers to these tuples' attempts.
fn ask(memory: &Memory, now: Timestamp, tuples: &[(&str, &str, &str)]) -> Vec<&'static str> {
    let queries: Vec<Query<'_>> = tuples
        .iter()
        .map(|(client, sender, recipient)| {
            let client = Client::new(client.parse().unwrap());
            Query::new(client, sender.as_bytes(), recipient.as_bytes())
        })
        .collect();
    let mut outcomes = Vec::new();
    let policy = memory.service.policy();
    let mut scratch = Scratch::default();
    block_on(memory.service.answer(&policy, now, &queries, &mut scratch, &mut outcomes));
    outcomes.iter().map(|outcome| outcome.answer.reason()).collect()
}

fn exported(memory: &Memory, now: Timestamp) -> String {
    let service = &memory.service;
    let now = || now;
    let source = StateSource::new(service.store(), service.texts(), &now);
    let mut export = Export::new(source, None);
    std::iter::from_fn(|| export.next_chunk()).map(|chunk| chunk.lines).collect()
}

fn imported(memory: &Memory, now: Timestamp, export: &str) -> Outcome {
    let mut receiver = Receiver::new(Arc::clone(&memory.service), move || now);
    import(export.as_bytes(), &mut receiver, |_| Wish::GoOn).unwrap()
}

const TUPLES: [(&str, &str, &str); 4] = [
    ("192.0.2.7", "alice@example.net", "bob@example.org"),
    ("192.0.2.7", "", "bob@example.org"),
    ("2001:db8::7", "alice+news@example.net", "bob@example.org"),
    ("198.51.100.7", "\"a b\"@example.net", "carol@example.org"),
];

/// A service that has seen all of [`TUPLES`]: the first two have passed.
fn seen() -> Memory {
    let memory = memory(1, "");
    assert_eq!(ask(&memory, at(0), &TUPLES), ["new"; 4]);
    assert_eq!(ask(&memory, at(120), &TUPLES[..2]), ["passed"; 2]);
    memory
}

#[test]
fn what_was_exported_and_imported_is_exported_again_just_so() {
    let old = seen();
    let export = exported(&old, at(130));
    let new = memory(1, "");
    let outcome = imported(&new, at(140), &export);
    assert!(outcome.is_whole());
    assert_eq!(outcome.terms, Terms::All);
    let tally = outcome.taken.by_tuple(Terms::All);
    assert_eq!(tally, Tally { new: 4, ..Tally::default() });
    // Texts come newest first: in the other order, then.
    let lines = |export: &str| {
        let mut lines: Vec<String> = export.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // Of a last use only the minute or so is known, which is over by now.
    assert_eq!(lines(&exported(&new, at(300))), lines(&exported(&old, at(300))));
    assert_eq!(ask(&new, at(310), &TUPLES), ["known", "known", "passed", "passed"]);
}

#[test]
fn importing_again_changes_nothing() {
    let export = exported(&seen(), at(130));
    let new = memory(1, "");
    imported(&new, at(140), &export);
    let once = exported(&new, at(150));
    let again = imported(&new, at(150), &export).taken.by_tuple(Terms::All);
    assert_eq!(again, Tally { known: 4, ..Tally::default() });
    assert_eq!(exported(&new, at(150)), once);
}

#[test]
fn under_another_hash_key_texts_bring_their_tuples_along_and_ids_are_of_no_use() {
    let old = seen();
    let key = TupleId::from_bits(0x0123_4567_89ab_cdef >> 6).unwrap();
    let without_text = Tuple { state: State::White, since: at(1) };
    let _ = old.service.store().put_id(at(1), key, without_text);
    let export = exported(&old, at(130));
    let new = memory(2, "[identity]\nclient_prefix_v4 = 32");
    let outcome = imported(&new, at(140), &export);
    assert!(outcome.is_whole());
    assert_eq!(outcome.terms, Terms::TextsAlone);
    assert_eq!(outcome.taken.texts, Tally { new: 4, ..Tally::default() });
    assert_eq!(outcome.taken.tuples, Tally { unusable: 5, ..Tally::default() });
    assert_eq!(ask(&new, at(150), &TUPLES), ["known", "known", "passed", "passed"]);
    // By the new service's own identity.
    let neighbour = [("192.0.2.8", "alice@example.net", "bob@example.org")];
    assert_eq!(ask(&old, at(150), &neighbour), ["known"]);
    assert_eq!(ask(&new, at(150), &neighbour), ["new"]);
}

#[test]
fn an_address_that_was_cut_stays_cut_and_makes_no_id_under_another_key() {
    let old = memory(1, "");
    let long = format!("{}@example.net", "a".repeat(300));
    let tuple = [("192.0.2.7", long.as_str(), "bob@example.org")];
    assert_eq!(ask(&old, at(0), &tuple), ["new"]);
    let export = exported(&old, at(1));
    assert!(export.contains("aaa<cut> bob@example.org\n"), "{export}");
    let same = memory(1, "");
    imported(&same, at(2), &export);
    assert_eq!(exported(&same, at(1)), export);
    let other = memory(2, "");
    let taken = imported(&other, at(2), &export).taken;
    assert_eq!(taken.texts, Tally { unusable: 1, ..Tally::default() });
}

#[test]
fn what_has_expired_is_left_out_and_counted() {
    let export = exported(&seen(), at(130));
    let new = memory(1, "");
    let tally = imported(&new, at(DAY), &export).taken.by_tuple(Terms::All);
    assert_eq!(tally, Tally { new: 2, expired: 2, ..Tally::default() });
    assert_eq!(ask(&new, at(DAY), &TUPLES), ["known", "known", "new", "new"]);
}

#[test]
fn what_is_known_already_is_only_added_to() {
    let export = exported(&seen(), at(130));
    let new = memory(1, "");
    // One passed later than in the export, one was tried earlier, one later.
    assert_eq!(ask(&new, at(100), &TUPLES[..1]), ["new"]);
    assert_eq!(ask(&new, at(100), &TUPLES[2..3]), ["new"]);
    assert_eq!(ask(&new, at(7200), &TUPLES[..1]), ["passed"]);
    let tally = imported(&new, at(7200), &export).taken.by_tuple(Terms::All);
    assert_eq!(tally, Tally { new: 2, changed: 1, known: 1, ..Tally::default() });
    let line = exported(&new, at(7200));
    let times: Vec<&str> = line.lines().filter(|line| line.starts_with("tuple ")).collect();
    assert_eq!(times.len(), 4);
    assert_eq!(line.matches(" white 2026-11-24T07:").count(), 2, "{line}");
}

#[test]
fn the_export_in_the_documentation_is_one() {
    let page = include_str!("../../../../docs/backup.md");
    let start = page.find("```text\nxgrey-export").unwrap() + "```text\n".len();
    let export = &page[start..start + page[start..].find("```").unwrap()];
    let memory = memory(7, "");
    let outcome = imported(&memory, at(60), export);
    assert!(outcome.is_whole(), "{outcome:?}");
    assert_eq!(outcome.taken.by_tuple(Terms::All), Tally { new: 3, ..Tally::default() });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_memory_moves_house_whole(
        tuples in prop::collection::vec((any::<u64>(), any::<bool>(), 0..30 * DAY), 0..300)
    ) {
        let old = memory(1, "");
        let now = at(30 * DAY);
        for (id, is_white, secs) in tuples {
            let Some(id) = TupleId::from_bits(id >> 6) else { continue };
            let state = if is_white { State::White } else { State::Grey };
            let _ = old.service.store().put_id(now, id, Tuple { state, since: at(secs) });
        }
        let export = exported(&old, now);
        let new = memory(1, "memory = \"8MiB\"");
        prop_assert!(imported(&new, now, &export).is_whole());
        let tuples = |export: &str| -> Vec<String> {
            let lines = export.lines().filter(|line| line.starts_with("tuple "));
            lines.map(str::to_owned).collect()
        };
        prop_assert_eq!(tuples(&exported(&new, now)), tuples(&export));
    }
}
