//! Mail through a real OpenSMTPD with our filter, which asks xgrey about each recipient.

use std::thread;

use rustix::process::{Pid, test_kill_process};

use crate::opensmtpd::OpenSmtpd;
use crate::place::Place;
use crate::server::{Server, Settings};
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{Mail, greylist_headers, retry};

/// An embargo whose rest is said in seconds (up to two minutes are) and that no test outlives.
const LONG_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"90s\"", tables: "" };

/// An embargo that a test can wait out.
const SHORT_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"2s\"", tables: "" };

/// Everything one test needs: xgrey, and an OpenSMTPD whose filter asks it.
struct World {
    smtpd: OpenSmtpd,
    server: Server,
    place: Place,
}

fn world(settings: Settings<'_>) -> World {
    world_with(settings, "")
}

fn world_with(settings: Settings<'_>, flags: &str) -> World {
    let place = Place::new();
    let server = Server::start(&place, settings);
    let smtpd = OpenSmtpd::start(&place, &server.address().to_string(), flags);
    World { smtpd, server, place }
}

fn mail() -> Mail {
    Mail::new("192.0.2.7", "alice@example.net", "bob@example.org")
}

#[test]
fn opensmtpd_defers_a_first_try_and_an_early_retry_with_the_wait() {
    let world = world(LONG_EMBARGO);
    world.smtpd.send(&mail()).assert_refused("451 4.7.1 ", "try again in 90 seconds");
    world.smtpd.send(&mail()).assert_refused("451 4.7.1 ", " seconds");
    world.server.wait_for_output("reason=early", 1);
}

#[test]
fn opensmtpd_delivers_a_later_retry_to_every_recipient_with_one_header() {
    let world = world(SHORT_EMBARGO);
    let mail = mail().also_to("carol@example.org");
    let first = world.smtpd.send(&mail);
    first.assert_refused("451 4.7.1 ", "try again in 2 seconds");
    assert_eq!(first.replies.len(), 2, "each recipient has its answer:\n{}", first.transcript);

    retry(
        || world.smtpd.send(&mail),
        |it| it.replies.iter().all(|reply| reply.starts_with("250 ")),
    )
    .assert_taken();
    let delivered = world.smtpd.delivered(&mail.subject, 2);
    for mail in &delivered {
        let headers = greylist_headers(mail);
        assert_eq!(headers.len(), 1, "one header a message:\n{mail}");
        assert!(headers[0].starts_with("X-Greylist: delayed "), "{:?}", headers[0]);
        assert!(mail.ends_with("\nhello\n\n\n"), "the message is what it was:\n{mail}");
    }

    let next = Mail::new("192.0.2.7", "alice@example.net", "bob@example.org");
    world.smtpd.send(&next).assert_taken();
    let delivered = world.smtpd.delivered(&next.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "known:\n{}", delivered[0]);
}

#[test]
fn a_message_through_opensmtpd_goes_to_those_of_its_recipients_that_pass() {
    let world = world(SHORT_EMBARGO);
    let first = mail();
    retry(|| world.smtpd.send(&first), |attempt| attempt.is_taken);
    world.smtpd.delivered(&first.subject, 1);
    let mixed = mail().also_to("carol@example.org");
    let attempt = world.smtpd.send(&mixed);
    assert!(attempt.is_taken, "{}", attempt.transcript);
    assert!(attempt.replies[0].starts_with("250 "), "{}", attempt.transcript);
    assert!(attempt.replies[1].starts_with("451 4.7.1 "), "{}", attempt.transcript);
    world.smtpd.delivered(&mixed.subject, 1);
}

#[test]
fn opensmtpd_greylists_the_null_sender_and_knows_an_ipv6_client_by_its_network() {
    let world = world(SHORT_EMBARGO);
    let bounce = Mail::new("2001:db8:1:2::3", "<>", "bob@example.org");
    world.smtpd.send(&bounce).assert_refused("451 4.7.1 ", " seconds");
    retry(|| world.smtpd.send(&bounce), |attempt| attempt.is_taken);
    world.smtpd.send(&bounce.clone().by_client("2001:db8:1:2:ffff::4")).assert_taken();
    let stranger = bounce.clone().by_client("2001:db8:1:3::3");
    world.smtpd.send(&stranger).assert_refused("451 4.7.1 ", " seconds");
    let shown = world.server.ctl(&["tuple", "show", "2001:db8:1:2::3", "-", "bob@example.org"]);
    assert!(shown.contains("white"), "{shown}");
}

#[test]
fn opensmtpd_refuses_a_sender_that_a_rule_rejects() {
    let world = world(Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.sender]\nreject = [\"alice@example.net\"]",
    });
    world.smtpd.send(&mail()).assert_refused("550 5.7.1 ", "Rejected by local policy");
}

#[test]
fn programs_and_clients_on_opensmtpds_own_host_are_untouched_unless_told_otherwise() {
    let world = world(LONG_EMBARGO);
    let by_program = mail();
    world.smtpd.send_by_program(&by_program);
    let delivered = world.smtpd.delivered(&by_program.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);

    let from_here = || world.smtpd.send_from("127.0.7.7", &mail());
    from_here().assert_refused("451 4.7.1 ", " seconds");
    let listener = world.server.address().to_string();
    world.server.reload(&LONG_EMBARGO.text(&listener).replace("exempt_local = false", ""));
    retry(from_here, |attempt| attempt.is_taken);
}

#[test]
fn without_the_header_messages_do_not_pass_through_the_filter() {
    let world = world_with(SHORT_EMBARGO, "--no-header");
    let mail = mail();
    world.smtpd.send(&mail).assert_refused("451 4.7.1 ", " seconds");
    retry(|| world.smtpd.send(&mail), |attempt| attempt.is_taken);
    let delivered = world.smtpd.delivered(&mail.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);
}

#[test]
fn mail_flows_through_opensmtpd_while_the_service_is_stopped_and_is_greylisted_once_it_is_back() {
    let mut world = world(LONG_EMBARGO);
    // One session is in the middle of a mail when the service goes.
    let mut session = world.smtpd.session([192, 0, 2, 8]);
    begin(&mut session, "carol@example.net");
    session.say_expecting("RCPT TO:<bob@example.org>", "451 4.7.1");
    world.server.stop();
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.finish("sent while xgrey was stopped");
    world.smtpd.delivered("sent while xgrey was stopped", 1);
    for _ in 0..5 {
        world.smtpd.send(&mail()).assert_taken();
    }
    world.smtpd.wait_for_output("mail flows");

    world.server = world.server.start_again(&world.place);
    // For a quarter of a second the filter may not know yet.
    retry(|| world.smtpd.send(&mail()), |attempt| !attempt.is_taken)
        .assert_refused("451 4.7.1 ", " seconds");
    world.smtpd.wait_for_output("the service answers again");
}

#[test]
fn mail_flows_through_opensmtpd_while_the_service_hangs() {
    let world = world_with(LONG_EMBARGO, "--timeout 1s");
    world.smtpd.send(&mail()).assert_refused("451 4.7.1 ", " seconds");
    world.server.hold();
    for _ in 0..5 {
        world.smtpd.send(&mail()).assert_taken();
    }
    world.smtpd.wait_for_output("did not answer in time");
    world.server.go_on();
    retry(|| world.smtpd.send(&mail()), |attempt| !attempt.is_taken)
        .assert_refused("451 4.7.1 ", " seconds");
}

#[test]
fn thirty_sessions_of_opensmtpd_at_once_are_deferred_and_those_that_come_back_are_let_through() {
    let world = world(SHORT_EMBARGO);
    let smtpd = &world.smtpd;
    let clients: Vec<[u8; 4]> = (1..=30).map(|n| [198, 18, n, 7]).collect();
    let at_recipient = |client: [u8; 4]| {
        let mut session = smtpd.session(client);
        begin(&mut session, "alice@example.net");
        session
    };
    let open = at_once(clients.clone(), at_recipient);
    let deferred = at_once(open, |mut session| session.say("RCPT TO:<bob@example.org>"));
    assert!(deferred.iter().all(|reply| reply.starts_with("451 4.7.1 ")), "{deferred:?}");
    let come_back = |client: [u8; 4]| {
        let session = until("an accepted recipient", || {
            let mut session = at_recipient(client);
            session.say("RCPT TO:<bob@example.org>").starts_with("250").then_some(session)
        });
        session.finish("one of thirty");
    };
    // The first client shows when the embargo is over; the others may need one more try.
    come_back(clients[0]);
    at_once(clients[1..10].to_vec(), come_back);
    for mail in smtpd.delivered("one of thirty", 10) {
        assert_eq!(greylist_headers(&mail).len(), 1, "{mail}");
    }
}

#[test]
fn the_filter_ends_when_opensmtpd_does() {
    let world = world(LONG_EMBARGO);
    let filter = Pid::from_raw(world.smtpd.filter()).unwrap();
    test_kill_process(filter).unwrap();
    world.smtpd.stop();
    until("the filter to end", || test_kill_process(filter).is_err().then_some(()));
}

/// Says everything that comes before the recipient.
fn begin(session: &mut Session, sender: &str) {
    session.say_expecting("EHLO mail.sender.test", "250");
    session.say_expecting(&format!("MAIL FROM:<{sender}>"), "250");
}

/// Does that with each item, all at the same time.
fn at_once<I: Send, O: Send>(items: Vec<I>, job: impl Fn(I) -> O + Sync) -> Vec<O> {
    thread::scope(|scope| {
        let job = &job;
        let jobs: Vec<_> = items.into_iter().map(|item| scope.spawn(move || job(item))).collect();
        jobs.into_iter().map(|done| done.join().unwrap()).collect()
    })
}
