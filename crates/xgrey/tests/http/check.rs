//! Questions, batches, and what is wrong with those that cannot be understood.

use axum::body::Body;
use axum::http::Request;
use greylist::Secs;
use proptest::prelude::*;
use serde_json::{Value, json};
use xgrey::http::{Asked, BODY_BYTES_MAX, QUESTIONS_MAX};
use xgrey::metrics::{Event, Front};

use crate::world::World;

fn question() -> Value {
    json!({"client": "192.0.2.7", "sender": "alice@example.net", "recipient": "bob@example.org"})
}

/// The question with another value in a field, or with that field besides.
fn question_with(field: &str, value: impl Into<Value>) -> Value {
    let mut question = question();
    question[field] = value.into();
    question
}

#[test]
fn a_first_try_is_deferred_with_code_text_and_wait_and_so_is_an_early_retry() {
    let world = World::new("");
    assert_eq!(
        world.check(&question()),
        json!({
            "action": "defer",
            "reason": "new",
            "wait_seconds": 60,
            "reply": {"code": 450, "enhanced": "4.7.1", "text": "Greylisted, try again in 60 seconds"},
        })
    );
    let early = world.check(&question());
    assert_eq!((&early["action"], &early["reason"]), (&json!("defer"), &json!("early")));
}

#[test]
fn a_retry_after_the_embargo_passes_with_a_header_and_is_known_from_then_on() {
    let world = World::new("");
    world.asked_before(600, "192.0.2.7", "alice@example.net", "bob@example.org");
    let passed = world.check(&question());
    let waited = passed["waited_seconds"].as_u64().unwrap();
    assert!((600..=601).contains(&waited), "{passed}");
    assert_eq!((&passed["action"], &passed["reason"]), (&json!("accept"), &json!("passed")));
    let value = format!("delayed {} by xgrey", Secs::new(waited as u32));
    assert_eq!(passed["header"], json!({"name": "X-Greylist", "value": value}));
    assert_eq!(world.check(&question()), json!({"action": "accept", "reason": "known"}));
}

#[test]
fn a_batch_is_answered_in_its_order_and_its_message_gets_one_header() {
    let world = World::new("[rules.recipient]\nreject = [\"trap@example.org\"]");
    for recipient in ["bob@example.org", "carol@example.org"] {
        world.asked_before(600, "192.0.2.7", "alice@example.net", recipient);
    }
    let recipients =
        ["bob@example.org", "trap@example.org", "carol@example.org", "dan@example.org"];
    let batch = recipients.map(|recipient| {
        let mut question = question_with("recipient", recipient);
        question["instance"] = "a message".into();
        question
    });
    let answers = world.check(&batch.to_vec().into());
    let reasons: Vec<&str> =
        answers.as_array().unwrap().iter().map(|a| a["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["passed", "rule", "passed", "new"]);
    assert!(answers[0]["header"].is_object() && answers[2].get("header").is_none());
    assert_eq!(answers[1]["rule"], json!({"list": "recipient", "entry": "trap@example.org"}));
    assert_eq!(answers[1]["reply"]["code"], 550);
    assert_eq!(world.metrics.asked(Front::Http), 4);
}

#[test]
fn a_batch_of_one_is_a_batch_and_brackets_around_addresses_do_not_count() {
    let world = World::new("");
    assert_eq!(world.check(&json!([question()]))[0]["reason"], "new");
    let bracketed = json!(
        {"client": "::ffff:192.0.2.7", "sender": "<alice@example.net>", "recipient": "<bob@example.org>"}
    );
    assert_eq!(world.check(&bracketed)["reason"], "early");
    let null_sender = question_with("sender", "");
    assert_eq!(world.check(&null_sender)["reason"], "new");
    assert_eq!(world.check(&question_with("sender", "<>"))["reason"], "early");
}

#[test]
fn whoever_the_mail_server_vouches_for_passes() {
    let world = World::new("[rules.client_name]\naccept = [\".example.net\"]");
    for (field, value, reason) in [
        ("trust", "authenticated", "authenticated"),
        ("trust", "certificate", "certificate"),
        ("trust", "stranger", "new"),
        ("client_name", "mail.example.net", "rule"),
        ("client_name", "", "early"),
        ("helo", "mail.example.net", "early"),
        ("queue_id", "4Xq", "early"),
    ] {
        assert_eq!(world.check(&question_with(field, value))["reason"], reason, "{field} {value}");
    }
}

#[test]
fn in_observe_mode_nothing_is_refused_and_it_is_said_what_would_be() {
    let world = World::new("mode = \"observe\"\n[rules.sender]\nreject = [\"eve@example.net\"]");
    let deferred = world.check(&question());
    assert_eq!(
        deferred,
        json!({"action": "accept", "reason": "new", "wait_seconds": 60, "observed": "defer"})
    );
    let rejected = world.check(&question_with("sender", "eve@example.net"));
    assert_eq!((&rejected["action"], &rejected["observed"]), (&json!("accept"), &json!("reject")));
}

#[test]
fn what_cannot_be_understood_is_answered_with_what_is_wrong_and_where() {
    let world = World::new("");
    let mut said = String::new();
    let long = "x".repeat(5_000);
    let many = json!([question()]).to_string().replace(
        &question().to_string(),
        &vec![question().to_string(); QUESTIONS_MAX + 1].join(","),
    );
    let bodies = [
        "",
        "  \n",
        "hello",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{}",
        &json!([[question()]]).to_string(),
        &json!([question(), {"client": "192.0.2.7", "sender": ""}]).to_string(),
        &question_with("client", "192.0.2.700").to_string(),
        &question_with("client", 7).to_string(),
        &question_with("client", Value::Null).to_string(),
        &question_with("sender", Value::Null).to_string(),
        &question_with("helo", json!({"name": "mail.example.net"})).to_string(),
        &question_with("recpient", "bob@example.org").to_string(),
        &question_with("trust", "friend").to_string(),
        &json!([question(), question(), question_with("client", "mail.example.net")]).to_string(),
        "{\"client\":\"192.0.2.7\",\n  \"sender\":\"a@example.net\",\n  \"recipient\":}",
        "{\"client\":\"192.0.2.7\",\"client\":\"192.0.2.7\",\"sender\":\"\",\"recipient\":\"\"}",
        "{\"client\":\"192.0.2.7\",\"sender\":\"\\ud800\",\"recipient\":\"\"}",
        &format!("{} trailing", question()),
        &question_with(&long, 1).to_string(),
        &many,
    ];
    for body in bodies {
        let answered = world.post("/v1/check", body.to_owned());
        assert_eq!(answered.status, 400, "{body}");
        let shown = if body.len() > 200 { &body[..60] } else { body };
        said += &format!("{shown}\n  {}", answered.text());
    }
    for bytes in [&b"\xff"[..], b"{\"client\":\"\xff\"}", &[b'['; 1_000]] {
        assert_eq!(world.post("/v1/check", bytes.to_vec()).status, 400);
    }
    assert_eq!(world.metrics.event(Event::Faulty), 3 + bodies.len() as u64);
    assert_eq!(world.metrics.asked(Front::Http), 0);
    insta::assert_snapshot!(said);
}

#[test]
fn what_is_too_long_or_not_said_to_be_json_is_not_read() {
    let world = World::new("");
    let long = format!("{}{}", " ".repeat(BODY_BYTES_MAX), question());
    assert_eq!(world.post("/v1/check", long).status, 413);
    let whole = question().to_string();
    let padded = format!("{}{whole}", " ".repeat(BODY_BYTES_MAX - whole.len()));
    assert_eq!(world.post("/v1/check", padded).status, 200);
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        let mut request = Request::post("/v1/check");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Body::from(question().to_string())).unwrap();
        assert_eq!(world.send(request).status, 415, "{kind:?}");
    }
    let request =
        Request::post("/v1/check").header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(world.send(request.body(Body::from(question().to_string())).unwrap()).status, 200);
}

proptest! {
    #[test]
    fn any_addresses_come_through_as_they_are(sender in ".{0,80}", recipient in ".{0,80}") {
        // Brackets around the whole do not count.
        prop_assume!(![&sender, &recipient].iter().any(|text| text.starts_with('<')));
        let asked = json!({"client": "2001:db8::7", "sender": sender, "recipient": recipient});
        for text in [asked.to_string(), json!([asked]).to_string()] {
            let asked = Asked::parse(text.as_bytes()).unwrap();
            let queries: Vec<_> = asked.queries().collect();
            prop_assert_eq!(queries.len(), 1);
            prop_assert_eq!(queries[0].sender, sender.as_bytes());
            prop_assert_eq!(queries[0].recipient, recipient.as_bytes());
        }
    }

    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Asked::parse(&body).map(|asked| asked.queries().count());
    }

    #[test]
    fn no_spoilt_body_makes_it_panic(at in 0_usize..90, byte: u8) {
        let mut body = json!([question()]).to_string().into_bytes();
        let at = at % body.len();
        body[at] = byte;
        if let Err(wrong) = Asked::parse(&body) {
            prop_assert!(!wrong.to_string().is_empty() && wrong.json().len() < 2_000);
        }
    }
}
