//! Mail through a real Postfix that asks xgrey about each recipient.

use std::thread;

use crate::place::Place;
use crate::postfix::Postfix;
use crate::server::{Server, Settings};
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{Attempt, Mail, greylist_headers, retry};

/// An embargo whose rest is said in seconds (up to two minutes are) and that no test outlives.
const LONG_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"90s\"", tables: "" };

/// An embargo that a test can wait out.
const SHORT_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"2s\"", tables: "" };

/// Everything one test needs: xgrey, and a Postfix that asks it.
struct World {
    postfix: Postfix,
    server: Server,
    place: Place,
}

fn world(settings: Settings<'_>) -> World {
    let place = Place::new();
    let server = Server::start(&place, settings);
    let postfix = Postfix::start(&place, &server.policy());
    World { postfix, server, place }
}

fn mail() -> Mail {
    Mail::new("192.0.2.7", "alice@example.net", "bob@example.org").named("mail.example.net")
}

#[test]
fn the_first_try_is_deferred_with_the_wait() {
    let world = world(LONG_EMBARGO);
    world.postfix.send(&mail()).assert_refused("450 4.7.1 ", "try again in 90 seconds");
}

#[test]
fn a_retry_before_the_embargo_ends_is_deferred_with_the_rest_of_the_wait() {
    let world = world(LONG_EMBARGO);
    world.postfix.send(&mail()).assert_refused("450 4.7.1 ", "try again in 90 seconds");
    let is_less = |attempt: &Attempt| !attempt.reply().ends_with("in 90 seconds");
    let later = retry(|| world.postfix.send(&mail()), is_less);
    later.assert_refused("450 4.7.1 ", " seconds");
    let words: Vec<&str> = later.reply().split(' ').collect();
    let rest: u32 = words[words.len() - 2].parse().unwrap();
    assert!(rest < 90, "{rest} seconds are left of 90");
}

#[test]
fn a_retry_after_the_embargo_is_delivered_to_every_recipient_with_one_header() {
    let world = world(SHORT_EMBARGO);
    let mail = mail().also_to("carol@example.org");
    let first = world.postfix.send(&mail);
    first.assert_refused("450 4.7.1 ", "try again in 2 seconds");
    assert_eq!(first.replies.len(), 2, "each recipient has its answer:\n{}", first.transcript);

    // The second recipient may have one second more to wait: then the first one has the mail, and
    // both get it at the next try.
    let is_for_both = |attempt: &Attempt| attempt.replies.iter().all(|r| r.starts_with("250 "));
    retry(|| world.postfix.send(&mail), is_for_both).assert_taken();
    for mail in world.postfix.delivered(&mail.subject, 2) {
        let headers = greylist_headers(&mail);
        assert_eq!(headers.len(), 1, "one header a message:\n{mail}");
        assert!(headers[0].starts_with("X-Greylist: delayed "), "{:?}", headers[0]);
        assert!(headers[0].contains(" second"), "{:?}", headers[0]);
    }
}

#[test]
fn a_known_tuple_is_delivered_at_once_and_without_a_header() {
    let world = world(SHORT_EMBARGO);
    let first = mail();
    retry(|| world.postfix.send(&first), |attempt| attempt.is_taken);
    let next = mail();
    world.postfix.send(&next).assert_taken();
    let delivered = world.postfix.delivered(&next.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);
}

#[test]
fn a_retry_passes_and_is_known_though_xgrey_was_killed_in_between() {
    let World { postfix, server, place } = world(SHORT_EMBARGO);
    let first = mail();
    postfix.send(&first).assert_refused("450 4.7.1 ", "try again in 2 seconds");
    let server = server.killed_and_started_again(&place);
    retry(|| postfix.send(&first), |attempt| attempt.is_taken);
    let delivered = postfix.delivered(&first.subject, 1);
    let headers = greylist_headers(&delivered[0]);
    assert_eq!(headers.len(), 1, "it has waited, and xgrey knew that:\n{}", delivered[0]);

    let server = server.killed_and_started_again(&place);
    let next = mail();
    postfix.send(&next).assert_taken();
    let delivered = postfix.delivered(&next.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "known at once:\n{}", delivered[0]);
    assert!(server.output().contains("1 known"), "{}", server.output());
}

#[test]
fn a_client_that_a_rule_accepts_is_delivered_at_once() {
    let world = world(Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.client]\naccept = [\"192.0.2.0/24\"]\n\
                 [rules.client_name]\naccept = [\".example.net\"]",
    });
    let by_address = Mail::new("192.0.2.7", "alice@example.com", "bob@example.org");
    world.postfix.send(&by_address).assert_taken();
    let by_name = by_address.clone().by_client("198.51.100.7").named("mail.example.net");
    world.postfix.send(&by_name).assert_taken();
    let by_neither = by_address.clone().by_client("198.51.100.7");
    world.postfix.send(&by_neither).assert_refused("450 4.7.1 ", " seconds");
}

#[test]
fn a_sender_that_a_rule_rejects_is_refused() {
    let world = world(Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.sender]\nreject = [\"alice@example.net\"]",
    });
    let refused = world.postfix.send(&mail());
    refused.assert_refused("550 5.7.1 ", "Rejected by local policy");
}

#[test]
fn a_sender_who_has_logged_in_is_untouched() {
    let world = world(LONG_EMBARGO);
    let mail = mail().logged_in_as("alice");
    world.postfix.send(&mail).assert_taken();
    let delivered = world.postfix.delivered(&mail.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);
}

#[test]
fn a_client_on_this_host_is_untouched_unless_told_otherwise() {
    let world = world(LONG_EMBARGO);
    world.postfix.send_locally(&mail()).assert_refused("450 4.7.1 ", " seconds");
    let listener = world.server.address().to_string();
    let by_default = LONG_EMBARGO.text(&listener).replace("exempt_local = false", "");
    world.server.reload(&by_default);
    retry(|| world.postfix.send_locally(&mail()), |attempt| attempt.is_taken);
}

#[test]
fn mail_to_the_postmaster_is_never_delayed() {
    let world = world(LONG_EMBARGO);
    world
        .postfix
        .send(&Mail::new("192.0.2.7", "alice@example.net", "postmaster@example.org"))
        .assert_taken();
}

#[test]
fn an_ipv6_client_is_known_by_its_network() {
    let world = world(SHORT_EMBARGO);
    let mail = Mail::new("2001:db8:1:2::3", "alice@example.net", "bob@example.org");
    world.postfix.send(&mail).assert_refused("450 4.7.1 ", " seconds");
    retry(|| world.postfix.send(&mail), |attempt| attempt.is_taken);
    let neighbour = mail.clone().by_client("2001:db8:1:2:ffff::4");
    world.postfix.send(&neighbour).assert_taken();
    let stranger = mail.clone().by_client("2001:db8:1:3::3");
    world.postfix.send(&stranger).assert_refused("450 4.7.1 ", " seconds");
}

#[test]
fn observing_delays_nothing_and_says_what_it_would_have_done() {
    let world = world(Settings { keys: "embargo = \"90s\"\nmode = \"observe\"", tables: "" });
    world.postfix.send(&mail()).assert_taken();
    world.server.wait_for_output("observe", 1);
}

#[test]
fn postfix_asks_over_a_unix_socket() {
    let place = Place::new();
    let socket = place.path("policy.sock");
    let settings = Settings { keys: "embargo = \"90s\"", tables: "mode = \"0666\"" };
    let listener = format!("unix:{}", socket.display());
    let config = place.write("xgrey.toml", &settings.text(&listener));
    let _server = Server::launch(&place, &config, &[]);
    let postfix = Postfix::start(&place, &listener);
    postfix.send(&mail()).assert_refused("450 4.7.1 ", "try again in 90 seconds");
}

#[test]
fn mail_flows_while_the_service_is_stopped_and_is_greylisted_once_it_is_back() {
    let mut world = world(LONG_EMBARGO);
    let send = |n: u32| Mail::new("192.0.2.7", &format!("n{n}@example.net"), "bob@example.org");
    world.postfix.send(&send(1)).assert_refused("450 4.7.1 ", " seconds");

    // One session is in the middle of a mail when the service goes.
    let mut session = world.postfix.session();
    session.play("192.0.2.8");
    session.say_expecting("MAIL FROM:<carol@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "450 4.7.1");
    world.server.stop();
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.finish("sent while xgrey was stopped");
    world.postfix.delivered("sent while xgrey was stopped", 1);
    world.postfix.send(&send(2)).assert_taken();

    world.server = world.server.start_again(&world.place);
    world.postfix.send(&send(3)).assert_refused("450 4.7.1 ", " seconds");
}

#[test]
fn two_hundred_sessions_at_once_are_deferred_and_let_through_when_they_come_back() {
    const SESSIONS: usize = 200;
    let world = world(SHORT_EMBARGO);
    let postfix = &world.postfix;
    let clients: Vec<String> = (1..=SESSIONS).map(|n| format!("198.18.{n}.7")).collect();

    let open = at_once(&clients, |client| open_with_sender(postfix, client));
    let replies = at_once(open, |mut session| session.say("RCPT TO:<bob@example.org>"));
    let deferred = replies.iter().filter(|reply| reply.starts_with("450 4.7.1 ")).count();
    assert_eq!(deferred, SESSIONS, "each first try is deferred: {replies:?}");

    // The first client shows when the embargo is over; the others may need one more try.
    come_back(postfix, &clients[0]);
    at_once(&clients[1..], |client| come_back(postfix, client));
    postfix.delivered("one of two hundred", SESSIONS);
}

/// Does that with each item, all at the same time.
fn at_once<I: Send, O: Send>(
    items: impl IntoIterator<Item = I>,
    job: impl Fn(I) -> O + Sync,
) -> Vec<O> {
    thread::scope(|scope| {
        let job = &job;
        let jobs: Vec<_> = items.into_iter().map(|item| scope.spawn(move || job(item))).collect();
        jobs.into_iter().map(|done| done.join().unwrap()).collect()
    })
}

/// A session in which everything but the recipient has been said.
fn open_with_sender(postfix: &Postfix, client: &str) -> Session {
    let mut session = postfix.session();
    session.play(client);
    session.say_expecting("MAIL FROM:<alice@example.net>", "250");
    session
}

/// Tries again until the recipient is accepted, then sends the message.
fn come_back(postfix: &Postfix, client: &str) {
    let session = until("an accepted recipient", || {
        let mut session = open_with_sender(postfix, client);
        session.say("RCPT TO:<bob@example.org>").starts_with("250").then_some(session)
    });
    session.finish("one of two hundred");
}
