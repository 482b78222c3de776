//! Rules that are changed while the program runs: in force at once, and after it was killed.

use serde_json::{Value, json};

use crate::asker::ask;
use crate::place::Place;
use crate::server::{Server, Settings};

const SETTINGS: Settings<'_> =
    Settings { keys: "embargo = \"1h\"", tables: "[rules.sender]\naccept = [\"eve@example.net\"]" };

const DUNNO: &str = "action=DUNNO";
const REJECT: &str = "action=550 5.7.1 Rejected by local policy";

fn is_deferred(answer: &str) -> bool {
    answer.starts_with("action=DEFER_IF_PERMIT ")
}

/// Sets or removes the rule of `entry` in the sender list.
fn change(server: &Server, verdict: &str, entry: &str) {
    let change = json!({ "list": "sender", "entry": entry, "verdict": verdict });
    let answer = server.control(&json!({ "command": "change-rules", "changes": [change] }));
    assert_eq!(answer["ok"]["not_kept"], Value::Null, "{answer}");
    assert_eq!(answer["ok"]["done"].as_array().map(Vec::len), Some(1), "{answer}");
}

#[test]
fn a_rule_that_was_changed_is_in_force_at_once_and_after_kill_9() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    assert!(is_deferred(&ask(server.address(), "Alice@example.net")));
    assert_eq!(ask(server.address(), "eve@example.net"), DUNNO);

    change(&server, "reject", "=Alice@example.net");
    change(&server, "accept", "carol@");
    change(&server, "remove", "eve@example.net");
    for _ in 0..2 {
        assert_eq!(ask(server.address(), "Alice@example.net"), REJECT);
        assert!(is_deferred(&ask(server.address(), "alice@example.net")));
        assert_eq!(ask(server.address(), "carol@example.test"), DUNNO);
        assert!(is_deferred(&ask(server.address(), "eve@example.net")));
        server.kill();
        server = server.start_again(&place);
        server.wait_for_output("3 rules were set or removed live", 1);
    }
    change(&server, "configured", "eve@example.net");
    change(&server, "remove", "=Alice@example.net");
    server.kill();
    server = server.start_again(&place);
    assert_eq!(ask(server.address(), "eve@example.net"), DUNNO);
    assert!(is_deferred(&ask(server.address(), "Alice@example.net")));

    // A reload keeps what is live, too.
    server.reload(&SETTINGS.text(&server.address().to_string()));
    server.wait_for_output("is in force", 1);
    assert_eq!(ask(server.address(), "carol@example.test"), DUNNO);
    server.stop();
}
