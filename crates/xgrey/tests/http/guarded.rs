//! Who may ask, and what there is besides questions.

use std::sync::atomic::Ordering::Relaxed;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use xgrey::metrics::Event;

use crate::world::{TOKEN, World, config};

fn guarded() -> World {
    let config = config(
        "[[listen]]\nprotocol = \"http\"\naddress = \"192.0.2.25:9991\"\nallow = [\"192.0.2.0/24\"]\n\
         token_file = \"http.token\"",
    );
    let listener = config.http[0].clone();
    World::with(config, listener)
}

#[test]
fn without_the_token_only_health_is_told() {
    let world = guarded();
    let refused = [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some(format!("Basic {TOKEN}")),
        Some(format!("Bearer {}", &TOKEN[1..])),
        Some(format!("Bearer {TOKEN}0")),
        Some(format!("Bearer {}", TOKEN.to_uppercase())),
        Some(TOKEN.to_owned()),
    ];
    for path in ["/v1/check", "/v1/stalwart", "/v1/openapi.json", "/metrics", "/other"] {
        for shown in &refused {
            let mut request = Request::get(path);
            if let Some(shown) = shown {
                request = request.header("authorization", shown);
            }
            let answered = world.send(request.body(Body::empty()).unwrap());
            assert_eq!(answered.status, 401, "{path} {shown:?}");
            assert_eq!(answered.headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(world.metrics.event(Event::NotAllowed), 5 * refused.len() as u64);
    for shown in [format!("Bearer {TOKEN}"), format!("bearer  {TOKEN}")] {
        let request = Request::get("/v1/openapi.json").header("authorization", shown);
        assert_eq!(world.send(request.body(Body::empty()).unwrap()).status, 200);
    }
    assert_eq!((world.get("/healthz").status, world.get("/readyz").status), (200, 200));
}

#[test]
fn it_is_ready_until_the_service_stops() {
    let world = World::new("");
    assert_eq!(world.get("/readyz").json(), json!({"status": "ready"}));
    world.shared.is_stopping.store(true, Relaxed);
    let answered = world.get("/readyz");
    assert_eq!((answered.status, answered.json()), (503, json!({"status": "stopping"})));
    assert_eq!(world.get("/healthz").status, 200);
}

#[test]
fn other_paths_and_methods_are_answered_with_an_error_in_json() {
    let world = World::new("");
    for (method, path, status) in [
        ("GET", "/", 404),
        ("POST", "/v1/check/", 404),
        ("GET", "/v2/check", 404),
        ("GET", "/v1/check", 405),
        ("DELETE", "/v1/check", 405),
        ("POST", "/healthz", 405),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(world.send(request).status, status, "{method} {path}");
    }
    let counted: Vec<_> = world.shared.sources.responses.all().collect();
    assert_eq!(counted, [("/v1/check", "405", 2), ("/healthz", "405", 1), ("other", "404", 3)]);
}

#[test]
fn the_description_is_served() {
    let world = World::new("");
    assert_eq!(world.get("/v1/openapi.json").text(), xgrey::http::OPENAPI);
}
