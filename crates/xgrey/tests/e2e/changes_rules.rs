//! Rules changed by `xgrey ctl` while the service runs: what the next mail gets, what scripts see.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::asker::ask;
use crate::place::Place;
use crate::process::{Ended, run};
use crate::server::{Server, Settings};

const SETTINGS: Settings<'_> = Settings { keys: "embargo = \"1h\"", tables: "" };

/// What mail from alice@example.net, 192.0.2.7, to bob@example.org gets, in a word.
fn answer(address: SocketAddr) -> &'static str {
    let answer = ask(address, "alice@example.net");
    if answer.starts_with("action=DUNNO") {
        "accept"
    } else if answer.starts_with("action=550") {
        "reject"
    } else {
        "defer"
    }
}

/// Gives these lines to `xgrey ctl`.
fn script(server: &Server, lines: &str) -> Ended {
    let mut command = server.ctl_command(&[]);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let output = [done.stdout, done.stderr].concat();
    Ended { code: done.status.code(), output: String::from_utf8(output).unwrap() }
}

#[test]
fn each_word_changes_what_the_next_mail_gets() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    assert_eq!(answer(server.address()), "defer");
    for (words, entry) in [
        ("iplist", "192.0.2.0/24"),
        ("iplist", "192/8"),
        ("client", "192.0.2.7"),
        ("client-name", ".example.net"),
        ("from", "alice@example.net"),
        ("from-domain", "example.net"),
        ("to", "bob@example.org"),
        ("to-domain", "example.org"),
        ("sender", "alice@"),
        ("sender-domain", "/net$/"),
        ("recipient", "Bob@example.org"),
        ("recipient-domain", ".org"),
        ("from", "default"),
    ] {
        for (action, answered) in [
            ("accept", "accept"),
            ("REJECT", "reject"),
            ("graylist", "defer"),
            ("Accept", "accept"),
        ] {
            server.ctl(&[words, action, entry]);
            assert_eq!(answer(server.address()), answered, "{words} {action} {entry}");
        }
        let last = if entry == "default" { "configured" } else { "remove" };
        server.ctl(&[words, last, entry]);
        assert_eq!(answer(server.address()), "defer", "{words} {last} {entry}");
    }
    // X-Grey's words take a text as it is.
    server.ctl(&["from", "accept", "Alice@example.net"]);
    server.ctl(&["from-domain", "accept", "net"]);
    assert_eq!(answer(server.address()), "defer");
}

#[test]
fn live_rules_are_there_after_kill_9_and_say_where_they_come_from() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    server.ctl(&["to", "reject", "bob@example.org"]);
    let server = server.killed_and_started_again(&place);
    assert_eq!(answer(server.address()), "reject");
    let shown = server.ctl(&["show", "to"]);
    let row = shown.lines().find(|line| line.contains("=bob@example.org")).unwrap();
    for part in ["1", "reject", "live", "uid "] {
        assert!(row.contains(part), "{part}: {row}");
    }
}

#[test]
fn a_file_is_taken_in_whole_or_not_at_all() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let many: String =
        (0..20_000).map(|n: u32| format!("10.{}.{}.0/24 ACCEPT\n", n / 256, n % 256)).collect();
    let good = place.write("iplist.txt", &format!("# ours\n\n{many}192.0.2.0/24 REJECT\n"));
    let said = server.ctl(&["iplist", "file", good.to_str().unwrap()]);
    assert!(said.ends_with(": 20,001 entries, 20,001 new\n"), "{said}");
    assert_eq!(answer(server.address()), "reject");

    let bad = place.write("bad.txt", "192.0.2.0/24 accept\n192.0.2.0/24 acept\nnonsense\n");
    let ended = run(&mut server.ctl_command(&["iplist", "file", bad.to_str().unwrap()]));
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    for line in ["bad.txt:2: ", "bad.txt:3: ", "nothing was changed"] {
        assert!(ended.output.contains(line), "{line}: {}", ended.output);
    }
    assert_eq!(answer(server.address()), "reject");

    // What is written out can be taken in elsewhere.
    server.ctl(&["to-domain", "accept", "example.org"]);
    server.ctl(&["iplist", "remove", "192.0.2.0/24"]);
    let rules = server.ctl(&["rules", "--format", "rules"]);
    let rules = place.write("live.rules", &rules);
    let elsewhere = Place::new();
    let other = Server::start(&elsewhere, SETTINGS);
    let said = other.ctl(&["file", rules.to_str().unwrap()]);
    assert!(said.ends_with(": 20,001 entries, 20,001 new\n"), "{said}");
    assert_eq!(answer(other.address()), "accept");
}

#[test]
fn a_script_goes_on_after_a_mistake_and_ends_with_the_worst_code() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let ended = script(&server, "# first\nto accept bob@example.org\n\nshow to\n");
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("=bob@example.org"), "{}", ended.output);
    let ended = script(&server, "to remove nobody@example.org\nto remove bob@example.org\n");
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    assert!(ended.output.contains("line 1:"), "{}", ended.output);
    assert!(ended.output.contains("removed, was accept"), "{}", ended.output);
    let ended = script(&server, "to remove nobody@example.org\niplist acept 192.0.2.7\nstats\n");
    assert_eq!(ended.code, Some(2), "{}", ended.output);
    assert!(ended.output.contains("'accept'"), "what was meant: {}", ended.output);
    // What follows is not read.
    let ended = script(&server, "exit\nnonsense\n");
    assert_eq!(ended.code, Some(0), "{}", ended.output);
}

#[test]
fn exit_codes_tell_what_failed() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let tuple = ["192.0.2.7", "-", "bob@example.org"];
    for (words, code) in [
        (&["iplist", "accept", "192.0.2.0/24"][..], 0),
        (&["iplist", "remove", "198.51.100.0/24"], 1),
        (&["iplist", "remove", "default"], 1),
        (&["iplist", "accept"], 2),
        (&["iplist", "expire", "192.0.2.7"], 2),
        (&["to-domain", "accept", "bob@example.org"], 2),
        (&["iplist", "file", "/nowhere"], 1),
        (&["show", "nonsense"], 2),
        (&["watch", "stats"], 2),
    ] {
        let ended = run(&mut server.ctl_command(words));
        assert_eq!(ended.code, Some(code), "{words:?}: {}", ended.output);
    }
    let words = [&["tuple", "whitelist"], &tuple[..]].concat();
    let ended = run(&mut server.ctl_command(&words));
    assert_eq!(ended.code, Some(1), "a rule decides first: {}", ended.output);
    assert!(ended.output.contains("192.0.2.0/24 matches: accept"), "{}", ended.output);
    server.ctl(&["iplist", "remove", "192.0.2.0/24"]);
    for (word, said) in [
        ("greylist", "grey now, was not known"),
        ("GREYLIST", "grey still"),
        ("whitelist", "white now, was grey"),
        ("greylist", "white still"),
        ("remove", "forgotten, was white"),
    ] {
        let words = [&["tuple", word], &tuple[..]].concat();
        let shown = server.ctl(&words);
        assert!(shown.starts_with(said), "{word}: {shown}");
    }
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    let ended = run(nowhere.args(["ctl", "--control", "/nowhere/control.sock", "stats"]));
    assert_eq!(ended.code, Some(69), "{}", ended.output);
}
