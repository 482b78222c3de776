//! Stalwart's hook: as its documentation shows requests, at both stages.

use axum::body::Body;
use axum::http::Request;
use proptest::prelude::*;
use serde_json::{Value, json};
use xgrey::http::{BODY_BYTES_MAX, Extent, Hook, Stage};
use xgrey::metrics::{Event, Front};

use crate::described::assert_valid;
use crate::world::World;

/// What Stalwart sends at a stage, after those recipients were named.
fn hook(stage: &str, recipients: &[&str]) -> Value {
    let to = recipients.iter().map(|to| json!({"address": to, "parameters": null}));
    json!({
        "context": {
            "stage": stage,
            "sasl": null,
            "client": {
                "ip": "192.0.2.7", "port": 34567, "ptr": "mail.example.net", "ehlo": "mail.example.net",
                "activeConnections": 1,
            },
            "tls": {"version": "1.3", "cipher": "TLS_AES_256_GCM_SHA384", "cipherBits": 256},
            "server": {"name": "Stalwart", "port": 25, "ip": "192.0.2.25"},
            "queue": null,
            "protocol": {"version": 1},
        },
        "envelope": {
            "from": {"address": "alice@example.net", "parameters": {"size": 12345}},
            "to": to.collect::<Vec<_>>(),
        },
    })
}

fn data(recipients: &[&str]) -> Value {
    let mut hook = hook("DATA", recipients);
    hook["context"]["queue"] = json!({"id": "1234567890"});
    hook["message"] = json!({
        "headers": [["From", "Alice <alice@example.net>"], ["Subject", "Hello"]],
        "serverHeaders": [],
        "contents": "Hello, Bob!\r\n",
        "size": 13,
    });
    hook
}

impl World {
    fn hook(&self, hook: &Value) -> Value {
        assert_valid(&json!({"$ref": "#/components/schemas/HookRequest"}), hook);
        let answered = self.post("/v1/stalwart", hook.to_string());
        assert_eq!(answered.status, 200);
        answered.json()
    }

    fn asked_ten_minutes_ago(&self, recipients: &[&str]) {
        for recipient in recipients {
            self.asked_before(600, "192.0.2.7", "alice@example.net", recipient);
        }
    }
}

fn accepted() -> Value {
    json!({"action": "accept", "modifications": []})
}

#[test]
fn the_last_recipient_is_asked_about_and_deferred_for_a_while() {
    let world = World::new("");
    let response = json!({
        "status": 450,
        "enhancedStatus": "4.7.1",
        "message": "Greylisted, try again in 60 seconds",
        "disconnect": false,
    });
    let deferred = json!({"action": "reject", "response": response, "modifications": []});
    assert_eq!(world.hook(&hook("RCPT", &["bob@example.org"])), deferred);
    assert_eq!(world.metrics.asked(Front::Stalwart), 1);
    // Another recipient of the same message.
    assert_eq!(world.hook(&hook("rcpt", &["bob@example.org", "carol@example.org"])), deferred);
    assert_eq!(world.metrics.asked(Front::Stalwart), 2);
}

#[test]
fn a_message_that_has_waited_gets_its_header_at_data_and_is_asked_about_once() {
    let world = World::new("");
    let (bob, both) = (["bob@example.org"], ["bob@example.org", "carol@example.org"]);
    world.asked_ten_minutes_ago(&both);
    assert_eq!(world.hook(&hook("RCPT", &bob)), accepted());
    assert_eq!(world.hook(&hook("RCPT", &both)), accepted());
    let at_data = world.hook(&data(&both));
    let added = &at_data["modifications"][0];
    assert_eq!((&at_data["action"], &added["name"]), (&json!("accept"), &json!("X-Greylist")));
    assert_eq!(world.metrics.asked(Front::Stalwart), 2);
    // The next message over the same connection did not wait.
    assert_eq!(world.hook(&hook("RCPT", &bob)), accepted());
    assert_eq!(world.hook(&data(&bob)), accepted());
    assert_eq!(world.metrics.asked(Front::Stalwart), 3);
}

#[test]
fn a_recipient_that_waited_counts_though_others_did_not() {
    let world = World::new("");
    let all = ["bob@example.org", "carol@example.org", "dan@example.org"];
    world.asked_ten_minutes_ago(&all[1..2]);
    world.asked_before(600, "192.0.2.7", "alice@example.net", all[0]);
    world.asked_before(300, "192.0.2.7", "alice@example.net", all[0]);
    // Known, just passed, and a first try, which is refused and so no part of the message.
    for (count, action) in [(1, "accept"), (2, "accept"), (3, "reject")] {
        assert_eq!(world.hook(&hook("RCPT", &all[..count]))["action"], action);
    }
    assert_eq!(world.hook(&data(&all[..2]))["modifications"].as_array().unwrap().len(), 1);
}

#[test]
fn a_hook_that_is_called_at_data_alone_decides_there_for_all_recipients() {
    let world = World::new("[rules.recipient]\nreject = [\"trap@example.org\"]");
    let both = ["bob@example.org", "carol@example.org"];
    world.asked_ten_minutes_ago(&both[..1]);
    assert_eq!(world.hook(&data(&both))["response"]["status"], 450);
    assert_eq!(
        world.hook(&data(&["bob@example.org", "trap@example.org"]))["response"]["status"],
        550
    );
    let known = World::new("");
    known.asked_ten_minutes_ago(&both);
    assert_eq!(known.hook(&data(&both))["modifications"].as_array().unwrap().len(), 1);
    assert_eq!(known.hook(&data(&both)), accepted());
}

#[test]
fn who_has_logged_in_passes_and_other_stages_decide_nothing() {
    let world = World::new("");
    let mut logged_in = hook("RCPT", &["bob@example.org"]);
    logged_in["context"]["sasl"] = json!({"login": "alice", "method": "plain"});
    assert_eq!(world.hook(&logged_in), accepted());
    for stage in ["CONNECT", "EHLO", "AUTH", "MAIL"] {
        let mut other = hook(stage, &[]);
        other.as_object_mut().unwrap().remove("envelope");
        assert_eq!(world.hook(&other), accepted());
    }
    assert_eq!(world.metrics.asked(Front::Stalwart), 1);
    assert_eq!(world.metrics.event(Event::Faulty), 0);
}

#[test]
fn of_a_large_message_the_envelope_is_enough() {
    let world = World::new("");
    let mut large = data(&["bob@example.org"]);
    large["message"]["contents"] = "x".repeat(3 * BODY_BYTES_MAX).into();
    // The order in which Stalwart writes them.
    let [context, envelope, message] = ["context", "envelope", "message"].map(|key| &large[key]);
    let body = format!("{{\"context\":{context},\"envelope\":{envelope},\"message\":{message}}}");
    let answered = world.post("/v1/stalwart", body);
    assert_eq!((answered.status, &answered.json()["response"]["status"]), (200, &json!(450)));
}

#[test]
fn what_cannot_be_understood_is_accepted_and_counted() {
    let world = World::new("");
    let no_recipient = hook("RCPT", &[]).to_string();
    let mut bad_address = hook("RCPT", &["bob@example.org"]);
    bad_address["context"]["client"]["ip"] = "mail.example.net".into();
    let bad_address = bad_address.to_string();
    let large = format!("{{\"message\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    let bodies = ["", "{", "[]", "{}", "hello", &no_recipient, &bad_address, &large];
    for body in bodies {
        let answered = world.post("/v1/stalwart", body.to_owned());
        assert_eq!((answered.status, answered.json()), (200, accepted()), "{body:.50}");
    }
    assert_eq!(world.metrics.event(Event::Faulty), bodies.len() as u64);
}

#[test]
fn it_need_not_say_that_it_sends_json_unless_a_browser_sends_it() {
    let world = World::new("");
    let body = || Body::from(hook("RCPT", &["bob@example.org"]).to_string());
    let request = || Request::post("/v1/stalwart");
    assert_eq!(world.send(request().body(body()).unwrap()).status, 200);
    let from_browser = request().header("origin", "https://www.example.com");
    assert_eq!(world.send(from_browser.body(body()).unwrap()).status, 415);
    let text = request().header("content-type", "text/plain");
    assert_eq!(world.send(text.body(body()).unwrap()).status, 415);
}

proptest! {
    #[test]
    fn a_body_that_is_cut_says_the_same_or_nothing(cut in 0_usize..2_000) {
        let body = data(&["bob@example.org"]).to_string().into_bytes();
        let cut = cut % (body.len() + 1);
        let whole = Hook::parse(&body, Extent::Whole).unwrap();
        if let Ok(hook) = Hook::parse(&body[..cut], Extent::Cut) {
            prop_assert_eq!(hook.stage(), Stage::Data);
            prop_assert_eq!(hook.queries().len(), 1);
            prop_assert_eq!(hook.queries()[0].recipient, whole.queries()[0].recipient);
        }
    }

    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for extent in [Extent::Whole, Extent::Cut] {
            let _ = Hook::parse(&body, extent).map(|hook| hook.queries().len());
        }
    }
}
