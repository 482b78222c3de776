//! Live rules in a whole service: against a model by random operations, over restarts, reloads and
//! kills; and what X-Grey does with counts, row by row.

mod exports;
mod model;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use greylist::rules::{RuleOrigin, RuleRef, RuleSet};
use greylist::{Client, HashKey, Query, Secs, Timing};
use pollster::block_on;
use store::disk::{Disk as _, SimulatedDisk};
use store::durable::{Opening, Settings};
use store::journal::SyncPolicy;
use store::{Bound, CompactConfig};

use super::*;
use crate::config::{MadeUp, parse_text};
use crate::service::{Outcome, Scratch};

const START: Timestamp = Timestamp::from_unix_secs(1_795_498_200);

fn at(secs: u32) -> Timestamp {
    START.after(Secs::new(secs))
}

/// What a configuration makes the service decide by.
fn policy(text: &str) -> Policy {
    let (config, _) = parse_text(text, Path::new("xgrey.toml"), &MadeUp::default()).unwrap();
    config.into()
}

/// A service that keeps its state on `disk`.
fn opened(disk: &SimulatedDisk, config: &str) -> Service {
    let opening = Opening {
        config: CompactConfig {
            timing: Timing::DEFAULT,
            bound: Bound::new(Bound::BYTES_MIN).unwrap(),
            hash_key: HashKey::new([7; 16]),
        },
        disk: Arc::new(disk.clone()),
        settings: Settings {
            sync: SyncPolicy::Regularly,
            segment_bytes: 1_000,
            snapshot_after: Some(3_000),
        },
        prepare: Box::new(|| Ok(())),
        now: START,
        threads: NonZeroUsize::MIN,
    };
    let opened = CompactStore::open(opening, &|_| {}).unwrap_or_else(|error| panic!("{error}"));
    assert!(opened.recovery.is_whole(), "{:?}", opened.recovery);
    Service::new(policy(config), opened.store)
}

/// A service that keeps nothing.
fn in_memory(config: &str) -> Service {
    let bound = Bound::new(Bound::BYTES_MIN).unwrap();
    let table = CompactConfig { timing: Timing::DEFAULT, bound, hash_key: HashKey::new([7; 16]) };
    Service::new(policy(config), CompactStore::new(table))
}

/// `LIST WHAT ENTRY`, such as `sender remove =Alice@example.net`, with X-Grey's way with counts.
fn change(text: &str) -> RuleChange {
    let words: Vec<&str> = text.split(' ').collect();
    let [list, what, entry] = words[..] else { panic!("not a change: {text}") };
    let list = List::parse(list).unwrap();
    let what = match what {
        "remove" => What::Remove,
        "configured" => What::AsConfigured,
        verdict => What::Set(Verdict::parse(verdict).unwrap()),
    };
    let entry = match entry {
        "default" => Entry::Default,
        entry => Entry::Pattern(Pattern::parse(list, entry).unwrap()),
    };
    RuleChange { list, entry, what, hits: HitsKept::as_x_grey(list) }
}

const ADMIN: By = By::Control { uid: 0 };

/// Makes a change, and has it in force.
fn changed(service: &Service, text: &str) -> RuleChanged {
    let mut done = Vec::new();
    service.change_rules(at(0), ADMIN, &[change(text)], &mut done).unwrap();
    service.rules_in_force(at(0));
    let [done] = done[..] else { panic!("one change, one outcome") };
    done
}

/// Asks about a mail, and counts.
fn asked(service: &Service, sender: &str, now: Timestamp) -> Outcome {
    let client = Client::new([192, 0, 2, 7].into());
    let query = Query::new(client, sender.as_bytes(), b"bob@example.org");
    let mut outcomes = Vec::new();
    let policy = service.policy();
    block_on(service.answer(&policy, now, &[query], &mut Scratch::default(), &mut outcomes));
    outcomes[0]
}

/// `LIST VERDICT TEXT ORIGIN HITS`, of each rule and mark that is not an untouched default.
fn listed(service: &Service) -> Vec<String> {
    let mut listed = Vec::new();
    let _ = service.list_rules(at(0), None, |rule| {
        let is_untouched = rule.origin == Some(RuleOrigin::BUILT_IN);
        if !is_untouched {
            listed.push(format!(
                "{} {}{} {} {} {}",
                rule.list.word(),
                if rule.is_removed { "removed " } else { "" },
                rule.verdict.map_or("-", Verdict::word),
                rule.text,
                rule.origin.map_or_else(|| "-".to_owned(), |origin| origin.to_string()),
                rule.hits.count,
            ));
        }
        std::ops::ControlFlow::Continue(())
    });
    listed
}

fn hits_of(rules: &RuleSet, list: List, entry: &Entry) -> u64 {
    let reference = match entry {
        Entry::Default => RuleRef::default_of(list),
        Entry::Pattern(pattern) => match rules.rule_with(pattern) {
            Some(rule) => rule.reference,
            None => return 0,
        },
    };
    rules.hits(reference).count
}

const CONFIG: &str = "\
[rules.client]
accept = [\"198.51.100.0/24\"]
[rules.sender]
reject = [\"eve@example.net\"]
[rules.sender_domain]
default = \"greylist\"
";

#[test]
fn a_live_rule_beats_the_configuration_and_removing_it_leaves_a_mark_until_it_is_set_again() {
    let service = in_memory(CONFIG);
    let mut steps = Vec::new();
    for text in [
        "sender accept eve@example.net",
        "sender remove eve@example.net",
        "sender remove eve@example.net",
        "sender greylist eve@example.net",
        "sender configured eve@example.net",
        "sender configured eve@example.net",
        "sender remove mallory@example.net",
        "sender accept mallory@example.net",
        "sender remove mallory@example.net",
        "sender-domain reject default",
        "sender-domain remove default",
        "sender-domain configured default",
    ] {
        let outcome = changed(&service, text);
        let rules = listed(&service).into_iter().filter(|rule| !rule.starts_with("client "));
        steps.push(format!("{text}: {outcome:?}: {}", rules.collect::<Vec<_>>().join(" · ")));
    }
    let written = "sender reject eve@example.net xgrey.toml:4 0";
    let domains = "sender-domain greylist default xgrey.toml:6 0";
    let removed = "sender removed reject eve@example.net xgrey.toml:4 0";
    let live = |verdict| format!("sender {verdict} eve@example.net live 0");
    let want = [
        format!("Replaced(Reject): {} · {domains}", live("accept")),
        format!("Removed(Accept): {removed} · {domains}"),
        format!("Nothing: {removed} · {domains}"),
        format!("Added: {} · {domains}", live("greylist")),
        format!("Replaced(Greylist): {written} · {domains}"),
        format!("Nothing: {written} · {domains}"),
        format!("Nothing: {written} · {domains}"),
        format!("Added: {written} · sender accept mallory@example.net live 0 · {domains}"),
        format!("Removed(Accept): {written} · {domains}"),
        format!("Replaced(Greylist): {written} · sender-domain reject default live 0"),
        format!("Nothing: {written} · sender-domain reject default live 0"),
        format!("Replaced(Reject): {written} · {domains}"),
    ];
    for (step, want) in steps.iter().zip(&want) {
        assert!(step.ends_with(want), "{step}\n  is not\n{want}");
    }
    assert_eq!(steps.len(), want.len());
}

#[test]
fn a_client_rule_keeps_its_count_and_a_sender_rule_begins_anew_as_in_x_grey() {
    let service = in_memory("");
    let count = |text: &str| {
        let RuleChange { list, entry, .. } = change(text);
        hits_of(&service.policy().rules, list, &entry)
    };
    let ask = || asked(&service, "alice@example.net", at(1));

    let client = "client greylist 192.0.2.0/24";
    changed(&service, client);
    ask();
    ask();
    assert_eq!(count(client), 2);
    changed(&service, "client greylist 192.0.2.0/24");
    assert_eq!(count(client), 2, "set anew");
    changed(&service, "client remove 192.0.2.0/24");
    assert_eq!(count(client), 0, "removed");
    ask();
    changed(&service, client);
    assert_eq!(count(client), 2, "added again");
    changed(&service, "client greylist default");
    changed(&service, "client remove 192.0.2.0/24");
    ask();
    changed(&service, "client greylist default");
    assert_eq!(count("client greylist default"), 2, "a client default keeps its count too");

    let sender = "sender greylist =alice@example.net";
    changed(&service, sender);
    ask();
    ask();
    assert_eq!(count(sender), 2);
    changed(&service, sender);
    assert_eq!(count(sender), 0, "set anew");
    ask();
    changed(&service, "sender remove =alice@example.net");
    changed(&service, sender);
    assert_eq!(count(sender), 0, "added again");
    changed(&service, "recipient greylist default");
    assert_eq!(count("recipient greylist default"), 0, "a recipient default begins anew");
    assert!(count("recipient-domain greylist default") > 0, "and no other's count goes with it");
}

#[test]
fn a_change_is_not_in_force_before_it_is_put_in_force_and_many_are_put_in_force_at_once() {
    let service = in_memory("");
    let changes: Vec<_> = (0..100)
        .map(|number| change(&format!("sender reject =user{number}@example.net")))
        .collect();
    let mut done = Vec::new();
    service.change_rules(at(0), ADMIN, &changes, &mut done).unwrap();
    assert_eq!(done, [RuleChanged::Added; 100]);
    let before = service.policy().rules.clone();
    assert_eq!(before.len(List::Sender), 0);
    service.rules_in_force(at(0));
    assert_eq!(service.policy().rules.len(List::Sender), 100);
    assert_eq!(asked(&service, "user7@example.net", at(0)).answer.action(), "reject");
    let policy = Arc::clone(&service.policy());
    service.rules_in_force(at(1));
    assert!(Arc::ptr_eq(&policy, &service.policy()), "nothing to do: nothing is made anew");
}

#[test]
fn what_is_counted_while_rules_change_is_counted_once() {
    let service = in_memory("");
    changed(&service, "client greylist 192.0.2.0/24");
    // A batch that began before the change and ends after it.
    let held = Arc::clone(&service.policy());
    changed(&service, "client accept 198.51.100.7");
    let query = Query::new(Client::new([192, 0, 2, 7].into()), b"", b"bob@example.org");
    let mut outcomes = Vec::new();
    block_on(service.answer(&held, at(5), &[query], &mut Scratch::default(), &mut outcomes));
    drop(held);
    service.look_after_rules(at(6));
    let rules = listed(&service);
    assert!(rules.contains(&"client greylist 192.0.2.0/24 live 1".to_owned()), "{rules:?}");
}

#[test]
fn there_are_not_more_live_rules_than_there_may_be_and_what_is_too_much_changes_nothing() {
    let service = in_memory(CONFIG);
    service.live.state.lock().rules_max = 2;
    let two = [change("sender accept a@"), change("sender accept b@")];
    let mut done = Vec::new();
    service.change_rules(at(0), ADMIN, &two, &mut done).unwrap();
    // Those that are there can be changed.
    service.change_rules(at(0), ADMIN, &two, &mut done).unwrap();
    done.clear();
    let more = [change("sender reject a@"), change("sender remove eve@example.net")];
    let refused = service.change_rules(at(0), ADMIN, &more, &mut done);
    assert_eq!((refused, done.len()), (Err(NotChanged::TooMany), 0));
    service.rules_in_force(at(0));
    let rules = listed(&service);
    assert!(rules.contains(&"sender accept a@ live 0".to_owned()), "{rules:?}");
    assert!(rules.contains(&"sender reject eve@example.net xgrey.toml:4 0".to_owned()));
    changed(&service, "sender remove a@");
    assert_eq!(
        changed(&service, "sender remove eve@example.net"),
        RuleChanged::Removed(Verdict::Reject)
    );
}

#[test]
fn live_expressions_come_before_those_of_the_configuration_in_the_order_of_their_first_setting() {
    let config = "[rules.sender]\nreject = [\"/a/\", \"/b/\"]\n";
    let disk = SimulatedDisk::new();
    let service = opened(&disk, config);
    for text in ["sender accept /l/", "sender accept /a/", "sender greylist /al/"] {
        changed(&service, text);
    }
    // Said otherwise, it stays where it is.
    changed(&service, "sender greylist /l/");
    let order = |service: &Service| {
        let rules = service.policy().rules.clone();
        let all = rules.iter().filter(|rule| rule.list == List::Sender);
        all.map(|rule| rule.text.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(&service), "/l/ /a/ /al/ /b/ default");
    drop(service);
    let service = opened(&disk, config);
    assert_eq!(order(&service), "/l/ /a/ /al/ /b/ default");
    changed(&service, "sender configured /a/");
    assert_eq!(order(&service), "/l/ /al/ /a/ /b/ default");
}

#[test]
fn a_note_that_can_not_be_read_is_passed_over_and_kept() {
    let disk = SimulatedDisk::new();
    let service = opened(&disk, "");
    changed(&service, "sender accept a@");
    let later = (b"rule:sender:new".as_slice(), b"2 something of a later version".as_slice());
    let note = Note::new(later.0, Some(later.1.to_vec())).unwrap();
    service.store.set_note(at(0), &note).unwrap();
    drop(service);
    let service = opened(&disk, "");
    assert_eq!(listed(&service), ["sender accept a@ live 0"]);
    assert!(service.store.notes().contains(&(later.0.to_vec(), later.1.to_vec())));
}

#[test]
fn a_note_under_an_old_name_gets_the_name_that_it_has_today() {
    let disk = SimulatedDisk::new();
    let service = opened(&disk, "");
    let value = b"1 accept 3 1795498200 uid:0 rule sender a@".to_vec();
    let note = Note::new(b"rule:sender:A@".as_slice(), Some(value.clone())).unwrap();
    service.store.set_note(at(0), &note).unwrap();
    drop(service);
    let service = opened(&disk, "");
    assert_eq!(service.store.notes(), [(b"rule:sender:a@".to_vec(), value)]);
    assert_eq!(changed(&service, "sender remove a@"), RuleChanged::Removed(Verdict::Accept));
    assert_eq!(service.store.notes(), []);
}

#[test]
fn while_the_disk_fails_rules_change_in_memory_and_are_kept_once_it_is_well() {
    let disk = SimulatedDisk::new();
    let service = opened(&disk, "");
    disk.fail(store::disk::Fault::Full { free_bytes: 0 });
    changed(&service, "sender accept a@");
    assert_eq!(listed(&service), ["sender accept a@ live 0"]);
    disk.heal();
    let mut go_on = || std::ops::ControlFlow::Continue(());
    for secs in 1..=3 {
        service.store.upkeep(at(secs), &mut go_on);
    }
    drop(service);
    assert_eq!(listed(&opened(&disk, "")), ["sender accept a@ live 0"]);
    assert!(disk.names().is_ok());
}
