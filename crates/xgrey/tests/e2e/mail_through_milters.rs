//! Mail through a real Sendmail and a real Postfix that ask xgrey as a milter.
//!
//! Each scenario is told once and played by both, but for what only one of them has: Postfix has
//! XCLIENT, logins by it, and its own way to begin a session anew.

use std::thread;

use crate::place::Place;
use crate::postfix::Postfix;
use crate::sendmail::{SOCKETS, Sendmail};
use crate::server::{Server, Settings};
use crate::smtp::Session;
use crate::wait::until;
use crate::world::{Attempt, Mail, greylist_headers, retry};

/// An embargo whose rest is said in seconds (up to two minutes are) and that no test outlives.
const LONG_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"90s\"", tables: "" };

/// An embargo that a test can wait out.
const SHORT_EMBARGO: Settings<'_> = Settings { keys: "embargo = \"2s\"", tables: "" };

/// A mail server that asks a milter.
trait Asks: Sync {
    fn send(&self, mail: &Mail) -> Attempt;
    fn delivered(&self, subject: &str, count: usize) -> Vec<String>;
    /// A session in which the client has said EHLO.
    fn greeted(&self, client: &str) -> Session;
}

impl Asks for Postfix {
    fn send(&self, mail: &Mail) -> Attempt {
        self.send(mail)
    }

    fn delivered(&self, subject: &str, count: usize) -> Vec<String> {
        self.delivered(subject, count)
    }

    fn greeted(&self, client: &str) -> Session {
        let mut session = self.session();
        session.play(client);
        session
    }
}

impl Asks for Sendmail {
    fn send(&self, mail: &Mail) -> Attempt {
        self.send(mail)
    }

    fn delivered(&self, subject: &str, count: usize) -> Vec<String> {
        self.delivered(subject, count)
    }

    fn greeted(&self, client: &str) -> Session {
        let mut session = self.session(client);
        session.say_expecting("EHLO mail.example.net", "250");
        session
    }
}

/// Everything one test needs: xgrey, and a mail server that asks it.
struct World {
    mta: Box<dyn Asks>,
    server: Server,
    place: Place,
}

fn postfix(settings: Settings<'_>) -> World {
    let place = Place::new();
    let server = Server::start_speaking(&place, "milter", settings);
    let mta = Box::new(Postfix::start_with_milter(&place, &server.policy()));
    World { mta, server, place }
}

fn sendmail(settings: Settings<'_>) -> World {
    let place = Place::new();
    let server = Server::start_speaking(&place, "milter", settings);
    let at = format!("inet:{}@{}", server.address().port(), server.address().ip());
    let mta = Box::new(Sendmail::start(&place, &at));
    World { mta, server, place }
}

/// From a client that both mail servers can have: Sendmail only at its own address.
fn mail() -> Mail {
    Mail::new("127.0.7.7", "alice@example.net", "bob@example.org")
}

/// How many requests the service has not understood.
fn not_understood(world: &World) -> u64 {
    let stats = world.server.stats();
    let events = stats["events"].as_array().unwrap();
    let faulty = events.iter().find(|event| event["event"] == "faulty").unwrap();
    faulty["count"].as_u64().unwrap()
}

/// Deferred, deferred again with less to wait, delivered with its header, then known.
fn comes_back(world: &World) {
    let mail = mail();
    world.mta.send(&mail).assert_refused("451 4.7.1 ", "Greylisted, try again in 2 seconds");
    let later = world.mta.send(&mail);
    if !later.is_taken {
        later.assert_refused(
            "451 4.7.1 ",
            if later.reply().ends_with('s') { "s" } else { "second" },
        );
    }
    retry(|| world.mta.send(&mail), |attempt| attempt.is_taken).assert_taken();
    let delivered = world.mta.delivered(&mail.subject, 1);
    let headers = greylist_headers(&delivered[0]);
    assert_eq!(headers.len(), 1, "{}", delivered[0]);
    assert!(headers[0].starts_with("X-Greylist: delayed "), "{:?}", headers[0]);

    let next = self::mail();
    world.mta.send(&next).assert_taken();
    let delivered = world.mta.delivered(&next.subject, 1);
    assert!(greylist_headers(&delivered[0]).is_empty(), "known at once:\n{}", delivered[0]);
}

#[test]
fn a_mail_through_postfix_is_deferred_and_deferred_again_and_delivered_with_its_header() {
    comes_back(&postfix(SHORT_EMBARGO));
}

#[test]
fn a_mail_through_sendmail_is_deferred_and_deferred_again_and_delivered_with_its_header() {
    comes_back(&sendmail(SHORT_EMBARGO));
}

/// A retry before the embargo's end hears how much of it is left.
fn hears_the_rest(world: &World) {
    world.mta.send(&mail()).assert_refused("451 4.7.1 ", "try again in 90 seconds");
    let is_less = |attempt: &Attempt| !attempt.reply().ends_with("in 90 seconds");
    retry(|| world.mta.send(&mail()), is_less).assert_refused("451 4.7.1 ", " seconds");
}

#[test]
fn an_early_retry_through_either_hears_the_rest_of_the_wait() {
    hears_the_rest(&postfix(LONG_EMBARGO));
    hears_the_rest(&sendmail(LONG_EMBARGO));
}

/// A recipient who has waited gets the mail, with its header, another of the same message does not.
fn mixed_recipients(world: &World) {
    world.mta.send(&mail()).assert_refused("451 4.7.1 ", " seconds");
    let mut tries = 0;
    let mixed = |tries: &mut u32| {
        *tries += 1;
        mail().also_to(&format!("newcomer{tries}@example.org"))
    };
    let (mail, attempt) = until("bob to have waited", || {
        let mail = mixed(&mut tries);
        let attempt = world.mta.send(&mail);
        attempt.is_taken.then_some((mail, attempt))
    });
    let [bob, newcomer] = attempt.replies.as_slice() else {
        panic!("two recipients:\n{}", attempt.transcript)
    };
    assert!(bob.starts_with("250 "), "{bob}");
    assert!(newcomer.starts_with("451 4.7.1 Greylisted, "), "{newcomer}");
    let delivered = world.mta.delivered(&mail.subject, 1);
    assert_eq!(delivered.len(), 1, "bob's alone");
    assert_eq!(greylist_headers(&delivered[0]).len(), 1, "{}", delivered[0]);

    // Both newcomers to a message have waited: one header in each copy.
    let both = self::mail().also_to(mail.recipients[1].as_str()).also_to("carol@example.org");
    let is_for_all = |attempt: &Attempt| attempt.replies.iter().all(|r| r.starts_with("250 "));
    retry(|| world.mta.send(&both), is_for_all).assert_taken();
    for mail in world.mta.delivered(&both.subject, 3) {
        assert!(greylist_headers(&mail).len() <= 1, "one header a message:\n{mail}");
    }
}

#[test]
fn recipients_of_one_message_through_postfix_are_decided_one_by_one() {
    mixed_recipients(&postfix(SHORT_EMBARGO));
}

#[test]
fn recipients_of_one_message_through_sendmail_are_decided_one_by_one() {
    mixed_recipients(&sendmail(SHORT_EMBARGO));
}

/// A client on this host passes, as the defaults have it.
fn lets_local_clients_pass(world: &World) {
    world.mta.send(&mail()).assert_refused("451 4.7.1 ", " seconds");
    let listener = world.server.address().to_string();
    let by_default = LONG_EMBARGO.text_speaking("milter", &listener);
    world.server.reload(&by_default.replace("exempt_local = false", ""));
    retry(|| world.mta.send(&mail()), |attempt| attempt.is_taken);
}

#[test]
fn a_client_on_this_host_is_untouched_unless_told_otherwise() {
    lets_local_clients_pass(&postfix(LONG_EMBARGO));
    lets_local_clients_pass(&sendmail(LONG_EMBARGO));
}

#[test]
fn a_sender_who_has_logged_in_is_untouched_and_a_name_is_known_if_confirmed() {
    let world = postfix(Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.client_name]\naccept = [\".example.net\"]",
    });
    let stranger = Mail::new("192.0.2.7", "alice@example.net", "bob@example.org");
    world.mta.send(&stranger).assert_refused("451 4.7.1 ", " seconds");
    world.mta.send(&stranger.clone().logged_in_as("alice")).assert_taken();
    world.mta.send(&stranger.clone().named("mail.example.com")).assert_refused("451 ", " seconds");
    world.mta.send(&stranger.named("mail.example.net")).assert_taken();
}

#[test]
fn an_ipv6_client_is_known_by_its_network() {
    let world = postfix(SHORT_EMBARGO);
    let mail = Mail::new("2001:db8:1:2::3", "alice@example.net", "bob@example.org");
    world.mta.send(&mail).assert_refused("451 4.7.1 ", " seconds");
    retry(|| world.mta.send(&mail), |attempt| attempt.is_taken);
    world.mta.send(&mail.clone().by_client("2001:db8:1:2:ffff::4")).assert_taken();
    let stranger = mail.by_client("2001:db8:1:3::3");
    world.mta.send(&stranger).assert_refused("451 4.7.1 ", " seconds");
}

#[test]
fn the_session_that_xclient_ends_teaches_nothing() {
    let world = postfix(LONG_EMBARGO);
    let mail = Mail::new("192.0.2.7", "alice@example.net", "bob@example.org");
    world.mta.send(&mail).assert_refused("451 4.7.1 ", " seconds");
    world.server.wait_for_output("defer reason=new", 1);
    assert_eq!(world.server.output().matches(" client=").count(), 1, "{}", world.server.output());
    assert!(world.server.output().contains(" client=192.0.2.7"), "{}", world.server.output());
    assert_eq!(not_understood(&world), 0);
}

#[test]
fn what_a_rule_rejects_is_refused_for_good_and_every_character_of_a_reply_arrives() {
    let settings = Settings {
        keys: "embargo = \"90s\"",
        tables: "[rules.sender]\nreject = [\"mallory@example.net\"]\n\
                 [reply]\ndefer_code = 452\ndefer_text = \"100% of {sender} wait\"",
    };
    for world in [postfix(settings), sendmail(settings)] {
        let odd = Mail::new("127.0.7.7", "a%b@example.net", "bob@example.org");
        world.mta.send(&odd).assert_refused("452 4.7.1 ", "100% of a%b@example.net wait");
        let rejected = Mail::new("127.0.7.7", "mallory@example.net", "bob@example.org");
        world.mta.send(&rejected).assert_refused("550 5.7.1 ", "Rejected by local policy");
    }
}

#[test]
fn both_ask_over_a_unix_socket() {
    let place = Place::new();
    let socket = place.make_folder(SOCKETS).join("milter.sock");
    let listener = format!("unix:{}", socket.display());
    let config = place.write("xgrey.toml", &LONG_EMBARGO.text_speaking("milter", &listener));
    let _server = Server::launch(&place, &config, &[]);
    until("the socket", || socket.exists().then_some(()));
    let postfix = Postfix::start_with_milter(&place, &listener);
    postfix.send(&mail()).assert_refused("451 4.7.1 ", "try again in 90 seconds");
    let sendmail = Sendmail::start(&place, "local:/run/xgrey/milter.sock");
    let other = mail().also_to("carol@example.org");
    sendmail.send(&other).assert_refused("451 4.7.1 ", " seconds");
}

/// Several messages in one session: reset, refused by nobody, hung up in mid-message.
fn reuses_a_session(world: &World) {
    // Waited out, so that the first message of the session gets a header.
    retry(|| world.mta.send(&mail()), |attempt| attempt.is_taken);

    let mut session = world.mta.greeted("127.0.7.7");
    session.say_expecting("MAIL FROM:<alice@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.say_expecting("RSET", "250");
    session.say_expecting("MAIL FROM:<carol@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "451 4.7.1");
    session.say_expecting("RCPT TO:<postmaster@example.org>", "250");
    session.say_expecting("DATA", "354");
    session.say_expecting("Subject: second\r\n\r\nhello\r\n.", "250");
    session.say_expecting("MAIL FROM:<alice@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.say_expecting("HELO other.example.net", "250");
    session.say_expecting("MAIL FROM:<alice@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.finish("third");
    for subject in ["second", "third"] {
        let delivered = world.mta.delivered(subject, 1);
        assert!(greylist_headers(&delivered[0]).is_empty(), "{}", delivered[0]);
    }

    let mut hung_up = world.mta.greeted("127.0.7.7");
    hung_up.say_expecting("MAIL FROM:<alice@example.net>", "250");
    hung_up.say_expecting("RCPT TO:<bob@example.org>", "250");
    hung_up.say_expecting("DATA", "354");
    drop(hung_up);
    world.mta.send(&mail()).assert_taken();
    assert_eq!(not_understood(world), 0);
}

#[test]
fn a_session_through_postfix_may_be_reset_used_again_and_hung_up() {
    reuses_a_session(&postfix(SHORT_EMBARGO));
}

#[test]
fn a_session_through_sendmail_may_be_reset_used_again_and_hung_up() {
    reuses_a_session(&sendmail(SHORT_EMBARGO));
}

/// The service goes in the middle of a session, and comes back.
fn flows_without_the_service(mut world: World) {
    let send = |n: u32| Mail::new("127.0.7.7", &format!("n{n}@example.net"), "bob@example.org");
    world.mta.send(&send(1)).assert_refused("451 4.7.1 ", " seconds");

    let mut session = world.mta.greeted("127.0.7.7");
    session.say_expecting("MAIL FROM:<carol@example.net>", "250");
    session.say_expecting("RCPT TO:<bob@example.org>", "451 4.7.1");
    world.server.stop();
    session.say_expecting("RCPT TO:<bob@example.org>", "250");
    session.finish("sent while xgrey was stopped");
    world.mta.delivered("sent while xgrey was stopped", 1);
    world.mta.send(&send(2)).assert_taken();

    world.server = world.server.start_again(&world.place);
    world.mta.send(&send(3)).assert_refused("451 4.7.1 ", " seconds");
}

#[test]
fn mail_flows_through_postfix_while_the_service_is_stopped_and_is_greylisted_once_it_is_back() {
    flows_without_the_service(postfix(LONG_EMBARGO));
}

#[test]
fn mail_flows_through_sendmail_while_the_service_is_stopped_and_is_greylisted_once_it_is_back() {
    flows_without_the_service(sendmail(LONG_EMBARGO));
}

/// Many sessions at the same time, each with a milter connection of its own.
fn serves_many_at_once(world: &World, sessions: u8) {
    let clients: Vec<String> = (1..=sessions).map(|n| format!("127.0.{n}.7")).collect();
    let mta = &*world.mta;
    let open = at_once(&clients, |client| with_sender(mta, client));
    let replies = at_once(open, |mut session| session.say("RCPT TO:<bob@example.org>"));
    let deferred = replies.iter().filter(|reply| reply.starts_with("451 4.7.1 ")).count();
    assert_eq!(deferred, clients.len(), "each first try is deferred: {replies:?}");

    // The first client shows when the embargo is over; the others may need one more try.
    come_back(mta, &clients[0]);
    at_once(&clients[1..], |client| come_back(mta, client));
    for mail in mta.delivered("one of many", clients.len()) {
        assert_eq!(greylist_headers(&mail).len(), 1, "{mail}");
    }
}

#[test]
fn many_sessions_through_postfix_are_deferred_and_let_through_when_they_come_back() {
    serves_many_at_once(&postfix(SHORT_EMBARGO), 100);
}

#[test]
fn many_sessions_through_sendmail_are_deferred_and_let_through_when_they_come_back() {
    serves_many_at_once(&sendmail(SHORT_EMBARGO), 50);
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
fn with_sender(mta: &dyn Asks, client: &str) -> Session {
    let mut session = mta.greeted(client);
    session.say_expecting("MAIL FROM:<alice@example.net>", "250");
    session
}

/// Tries again until the recipient is accepted, then sends the message.
fn come_back(mta: &dyn Asks, client: &str) {
    let session = until("an accepted recipient", || {
        let mut session = with_sender(mta, client);
        session.say("RCPT TO:<bob@example.org>").starts_with("250").then_some(session)
    });
    session.finish("one of many");
}
