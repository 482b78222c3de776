//! Mail through a real Exim that asks xgrey by Postfix's protocol: one request a connection,
//! written, shut down and read to the end, without an `instance`.

use crate::exim::{Asks, Exim};
use crate::place::Place;
use crate::server::{Server, Settings};
use crate::world::{Attempt, Mail, greylist_headers, retry};

/// Everything one test needs: xgrey, and an Exim that asks it.
struct World {
    exim: Exim,
    server: Server,
    _place: Place,
}

fn world(settings: Settings<'_>) -> World {
    let place = Place::new();
    let server = Server::start(&place, settings);
    let exim = Exim::start(&place, Asks::Policy(server.address()));
    World { exim, server, _place: place }
}

fn mail() -> Mail {
    Mail::new("192.0.2.7", "alice@example.net", "bob@example.org")
}

#[test]
fn exim_defers_the_first_try_and_delivers_a_later_one_with_one_header() {
    let world = world(Settings { keys: "embargo = \"2s\"", tables: "" });
    let mail = mail().also_to("carol@example.org");
    world.exim.send(&mail).assert_refused("451 4.7.1 ", "try again in 2 seconds");

    assert!(world.exim.log().contains(
        "F=<alice@example.net> temporarily rejected RCPT <bob@example.org>: 4.7.1 Greylisted, try again in 2 seconds"
    ));

    let is_for_both = |attempt: &Attempt| attempt.replies.iter().all(|r| r.starts_with("250 "));
    retry(|| world.exim.send(&mail), is_for_both).assert_taken();
    for mail in world.exim.delivered(&mail.subject, 2) {
        assert_eq!(greylist_headers(&mail).len(), 1, "one header a message:\n{mail}");
    }
}

#[test]
fn exim_defers_an_ipv6_client_and_refuses_a_rejected_sender() {
    let world = world(Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.sender]\nreject = [\"mallory@example.net\"]",
    });
    world
        .exim
        .send(&mail().by_client("2001:db8::7"))
        .assert_refused("451 4.7.1 ", "try again in 90 seconds");
    world
        .exim
        .send(&Mail::new("192.0.2.7", "mallory@example.net", "bob@example.org"))
        .assert_refused("550 5.7.1 ", "Rejected by local policy");
}

#[test]
fn mail_flows_through_exim_while_the_service_is_stopped() {
    let mut world = world(Settings { keys: "embargo = \"90s\"", tables: "" });
    world.exim.send(&mail()).assert_refused("451 4.7.1 ", " seconds");
    world.server.stop();
    world.exim.send(&mail()).assert_taken();
}
