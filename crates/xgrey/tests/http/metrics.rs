//! The page for Prometheus. That it is well-formed OpenMetrics, a real parser says in the end-to-end tests.

use std::collections::BTreeSet;

use serde_json::json;

use crate::world::World;

/// The names of the metrics on a page, as Prometheus knows them.
fn names(page: &str) -> BTreeSet<String> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let names = samples.map(|line| line.split(['{', ' ']).next().unwrap());
    names
        .map(|name| {
            let histogram =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            histogram.unwrap_or(name).to_owned()
        })
        .collect()
}

/// A value on a page.
fn value<'a>(page: &'a str, series: &str) -> &'a str {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{series} is not in\n{page}"))
}

#[test]
fn what_was_decided_is_on_the_page() {
    let world = World::new("[rules.client]\naccept = [\"198.51.100.0/24\"]");
    world.asked_before(600, "192.0.2.7", "alice@example.net", "bob@example.org");
    let question = |client: &str| json!({"client": client, "sender": "alice@example.net", "recipient": "bob@example.org"});
    world.check(&json!([question("192.0.2.7"), question("198.51.100.7"), question("203.0.113.7")]));
    world.post("/v1/check", "hello");
    world.metrics.set_listeners(["postfix", "http", "postfix"].map(str::to_owned));
    let answered = world.get("/metrics");
    let page = answered.text();
    for (series, expected) in [
        ("xgrey_decisions_total{action=\"accept\",reason=\"passed\"}", "1"),
        ("xgrey_decisions_total{action=\"accept\",reason=\"rule\"}", "1"),
        ("xgrey_decisions_total{action=\"defer\",reason=\"new\"}", "1"),
        ("xgrey_decisions_total{action=\"accept\",reason=\"fail-open\"}", "0"),
        ("xgrey_questions_total{protocol=\"http\"}", "3"),
        ("xgrey_questions_total{protocol=\"postfix\"}", "0"),
        ("xgrey_wait_seconds_count", "1"),
        ("xgrey_wait_seconds_bucket{le=\"300.0\"}", "0"),
        ("xgrey_wait_seconds_bucket{le=\"+Inf\"}", "1"),
        ("xgrey_tuples{state=\"grey\"}", "1"),
        ("xgrey_tuples{state=\"white\"}", "1"),
        ("xgrey_rules{list=\"client\"}", "1"),
        ("xgrey_listeners{protocol=\"postfix\"}", "2"),
        ("xgrey_events_total{event=\"faulty\"}", "1"),
        ("xgrey_http_responses_total{path=\"/v1/check\",status=\"200\"}", "1"),
        ("xgrey_http_responses_total{path=\"/v1/check\",status=\"400\"}", "1"),
    ] {
        assert_eq!(value(page, series), expected, "{series}");
    }
    assert!(value(page, "xgrey_table_bytes").parse::<u64>().unwrap() > 0);
    assert!(value(page, "xgrey_resident_bytes").parse::<u64>().unwrap() > 0);
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn every_name_on_the_page_is_in_the_documentation_and_the_other_way_round() {
    let world = World::durable();
    world.service.store().snapshot(world.now()).unwrap();
    world.get("/healthz");
    world.metrics.set_listeners(["http".to_owned()]);
    let page = world.get("/metrics");
    let on_page = names(page.text());
    let reference = include_str!("../../../../docs/http.md");
    let rows =
        reference.lines().filter_map(|line| line.strip_prefix("| `xgrey_")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(|name| format!("xgrey_{name}")).collect();
    let undocumented: Vec<_> = on_page.difference(&documented).collect();
    let missing: Vec<_> = documented.difference(&on_page).collect();
    assert_eq!((undocumented, missing), (vec![], vec![]));
}

#[test]
fn labels_have_few_values() {
    let world = World::durable();
    for number in 0..300 {
        world.check(&json!({
            "client": format!("192.0.2.{}", number % 256),
            "sender": format!("alice{number}@example.net"),
            "recipient": format!("bob{number}@example.org"),
        }));
        world.get(&format!("/{number}"));
    }
    let page = world.get("/metrics");
    assert!(page.text().lines().count() < 250, "{}", page.text());
}
