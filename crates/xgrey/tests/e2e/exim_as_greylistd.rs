//! xgrey in the place of Debian's greylistd: a real Exim with the ACLs that the package's own program puts
//! in, and the package's program `greylist`, both unchanged.

use crate::asker;
use crate::exim::{Asks, Exim};
use crate::manual;
use crate::place::Place;
use crate::server::{Server, Settings};
use crate::world::{Mail, greylist_headers, retry};

/// xgrey, and an Exim that takes it for greylistd.
struct World {
    exim: Exim,
    server: Server,
    _place: Place,
}

/// The manual's listener, with its socket where the test can reach it, for whoever does.
fn listener(socket: &str) -> String {
    manual::block(manual::EXIM, "protocol = \"greylistd\"")
        .replace("/run/greylistd/socket", socket)
        .replace("mode = \"0660\"", "mode = \"0666\"")
        .replace("owner = \"Debian-exim:greylist\"", "")
}

fn world_with(settings: Settings<'_>, setup: &str) -> World {
    let place = Place::new();
    let socket = place.path("greylistd.sock");
    let tables = format!("{}\n{}", listener(socket.to_str().unwrap()), settings.tables);
    let server = Server::start(&place, Settings { tables: &tables, ..settings });
    let exim = Exim::start(&place, Asks::Greylistd { socket: &socket, setup });
    World { exim, server, _place: place }
}

fn world(settings: Settings<'_>) -> World {
    world_with(settings, "")
}

fn mail() -> Mail {
    Mail::new("192.0.2.7", "alice@example.net", "bob@example.org")
}

/// What `greylist` prints, given these words.
fn greylist(world: &World, words: &str) -> String {
    let words: Vec<&str> = ["greylist"].into_iter().chain(words.split(' ')).collect();
    world.exim.run(&words).output.trim_end().to_owned()
}

/// What `greylist` says of an answer without a byte, which is that to an empty list.
const NOTHING: &str = "(No response from greylistd)";

const HOURS: Settings<'_> = Settings { keys: "embargo = \"2h\"\nwindow = \"6h\"", tables: "" };

#[test]
fn debians_acls_defer_the_first_try_and_an_early_one_and_deliver_a_later_one() {
    let world = world(Settings { keys: "embargo = \"2s\"", tables: "" });
    let mail = mail();
    let refusal = "Please try later.";
    world.exim.send(&mail).assert_refused("451 ", refusal);
    world.exim.send(&mail).assert_refused("451 ", refusal);
    retry(|| world.exim.send(&mail), |attempt| attempt.is_taken).assert_taken();
    let delivered = world.exim.delivered(&mail.subject, 1);
    // The protocol has no word for it.
    assert!(greylist_headers(&delivered[0]).is_empty());
    assert!(world.exim.log().contains("rejected RCPT <bob@example.org>: greylisted."));
    for reason in ["defer reason=new", "defer reason=early", "accept reason=passed"] {
        world.server.wait_for_output(reason, 1);
    }
    // What asks whether it is black makes no tuple, and no line.
    let tuples = &world.server.stats()["tuples"];
    assert_eq!((&tuples["grey"], &tuples["white"]), (&0.into(), &1.into()));
    assert!(!world.server.output().contains("reason=known"));
}

#[test]
fn debians_acls_decide_each_recipient_by_itself() {
    let world =
        world(Settings { tables: "[rules.recipient]\naccept = [\"carol@example.org\"]", ..HOURS });
    let attempt = world.exim.send(&mail().also_to("carol@example.org"));
    let codes: Vec<&str> = attempt.replies.iter().map(|reply| &reply[..3]).collect();
    assert_eq!(codes, ["451", "250"], "{}", attempt.transcript);
}

#[test]
fn debians_acls_refuse_for_good_what_a_rule_rejects() {
    let world =
        world(Settings { tables: "[rules.sender]\nreject = [\"mallory@example.net\"]", ..HOURS });
    let mail = Mail::new("192.0.2.7", "mallory@example.net", "bob@example.org");
    let attempt = world.exim.send(&mail);
    let reply = attempt.reply();
    assert!(reply.starts_with("550 192.0.2.7 is blacklisted from delivering"), "{reply}");
    world.server.wait_for_output("reject reason=rule", 1);
}

#[test]
fn debians_acls_defer_a_bounce_after_its_data_and_take_it_later() {
    let world = world(Settings { keys: "embargo = \"2s\"", tables: "" });
    let bounce = Mail::new("192.0.2.7", "<>", "bob@example.org").also_to("carol@example.org");
    let first = world.exim.send(&bounce);
    assert!(!first.is_taken && first.transcript.contains("\n<** 451 "), "{}", first.transcript);
    retry(|| world.exim.send(&bounce), |attempt| attempt.is_taken).assert_taken();
    assert!(asker::is_known(world.server.address(), ""), "the first recipient's tuple is shared");
}

#[test]
fn a_first_try_through_exim_and_a_retry_through_postfixs_protocol_are_one_and_the_other_way_round()
{
    let world = world(asker::SHORT);
    let address = world.server.address();
    world.exim.send(&mail()).assert_refused("451 ", "Please try later.");
    crate::wait::until("the retry to pass", || {
        asker::is_known(address, "alice@example.net").then_some(())
    });

    let other = Mail::new("192.0.2.7", "dave@example.net", "bob@example.org");
    asker::let_pass(address, &other.sender);
    world.exim.send(&other).assert_taken();
}

#[test]
fn a_masked_client_is_the_same_as_everybody_of_its_network() {
    let world = world_with(asker::SHORT, "-netmask=24");
    let address = world.server.address();
    asker::let_pass(address, "alice@example.net");
    world.exim.send(&mail()).assert_taken();
    world.exim.send(&mail().by_client("192.0.2.99")).assert_taken();
    // Exim writes a masked IPv6 address with dots.
    let ipv6 = mail().by_client("2001:db8::7");
    world.exim.send(&ipv6).assert_refused("451 ", "Please try later.");
    retry(|| world.exim.send(&ipv6), |attempt| attempt.is_taken).assert_taken();
    assert!(!world.server.output().contains("not an IP address"), "{}", world.server.output());
}

#[test]
fn mail_flows_through_debians_acls_while_the_service_is_stopped_and_is_known_after_it() {
    let place = Place::new();
    let socket = place.path("greylistd.sock");
    let tables = listener(socket.to_str().unwrap());
    let settings = Settings { keys: "embargo = \"1s\"", tables: &tables };
    let mut server = Server::start(&place, settings);
    let exim = Exim::start(&place, Asks::Greylistd { socket: &socket, setup: "" });
    exim.send(&mail()).assert_refused("451 ", "Please try later.");
    server.stop();
    exim.send(&mail()).assert_taken();
    exim.send(&Mail::new("192.0.2.7", "dave@example.net", "bob@example.org")).assert_taken();
    let server = server.start_again(&place);
    retry(|| exim.send(&mail()), |attempt| attempt.is_taken).assert_taken();
    server.wait_for_output("accept reason=passed", 1);
}

#[test]
fn the_program_greylist_asks_and_changes_one_tuple() {
    let world = world(HOURS);
    let tuple = "192.0.2.7 alice@example.net bob@example.org";
    let say = |words: &str| greylist(&world, &format!("{words} {tuple}"));
    for (words, answer) in [
        ("status", "unseen"),
        ("check", "grey"),
        ("status", "unseen"),
        ("update", "grey"),
        ("status", "grey"),
        ("update --grey", "true"),
        ("check --white", "false"),
        ("add", "Added to whitelist"),
        ("status", "white"),
        ("update --grey", "false"),
        ("check --white", "true"),
        ("check --black", "false"),
        ("add --grey", "Added to greylist"),
        ("status", "grey"),
        ("delete", "Removed from greylist"),
        ("delete", "error: Not found"),
        ("add --white", "Added to whitelist"),
        ("delete", "Removed from whitelist"),
        ("status", "unseen"),
        ("add --green", "error: No such list: 'green'"),
    ] {
        assert_eq!(say(words), answer, "greylist {words}");
    }
    assert!(say("add --black").starts_with("error: xgrey rejects by rules"));
    assert_eq!(greylist(&world, "add"), "error: Missing argument");
    assert_eq!(greylist(&world, "check --grey bogus"), "false");
    world.server.wait_for_output("tuple made white, as a greylistd client asked", 2);
    world.server.wait_for_output("tuple forgotten, as a greylistd client asked", 3);
}

#[test]
fn the_program_greylist_shows_and_does_what_concerns_all_tuples() {
    let world = world(HOURS);
    assert_eq!(greylist(&world, "list").trim(), NOTHING);
    world.exim.send(&mail()).assert_refused("451 ", "Please try later.");
    greylist(&world, "add 192.0.2.8 carol@example.net dave@example.org");

    let lines = |words: &str| -> Vec<String> {
        greylist(&world, words).lines().map(|line| line.trim().to_owned()).collect()
    };
    let listed = lines("list");
    assert_eq!(listed[1..3], ["Whitelist data:", "==============="]);
    assert!(listed[4].ends_with("-  192.0.2.8 carol@example.net dave@example.org"), "{listed:?}");
    assert_eq!(listed[6..8], ["Greylist data:", "=============="]);
    assert!(listed[9].ends_with("-  192.0.2.7 alice@example.net bob@example.org"), "{listed:?}");
    assert_eq!(lines("list --white").len(), 5);
    assert_eq!(greylist(&world, "list --black").trim(), NOTHING);

    let stats = lines("stats");
    assert!(stats[0].starts_with("Statistics since ") && stats[0].ends_with(" ago)"), "{stats:?}");
    assert_eq!(
        stats[2..5],
        [
            "1 items, matching 0 requests, are currently whitelisted",
            "1 items, matching 1 requests, are currently greylisted",
            "0 items, matching 0 requests, are currently blacklisted",
        ]
    );
    let mrtg = lines("mrtg");
    assert_eq!((mrtg.len(), &*mrtg[0], &*mrtg[1]), (4, "1", "0"), "{mrtg:?}");

    assert_eq!(greylist(&world, "save"), "greylistd data has been saved");
    assert!(greylist(&world, "clear").starts_with("error: xgrey's tuples serve every"));
    assert!(greylist(&world, "reload").starts_with("the configuration is being read"));
    world.server.wait_for_output("is in force: ", 1);
}

#[test]
fn who_may_change_nothing_may_still_ask() {
    let place = Place::new();
    let socket = place.path("greylistd.sock");
    let tables = format!("{}\nchanges = \"off\"\n", listener(socket.to_str().unwrap()));
    let server = Server::start(&place, Settings { tables: &tables, ..HOURS });
    let exim = Exim::start(&place, Asks::Greylistd { socket: &socket, setup: "" });
    let world = World { exim, server, _place: place };
    let tuple = "192.0.2.7 alice@example.net bob@example.org";
    for words in [format!("add {tuple}"), format!("delete {tuple}"), "list".into(), "reload".into()]
    {
        assert!(greylist(&world, &words).starts_with("error: Not allowed from here"), "{words}");
    }
    assert_eq!(greylist(&world, &format!("update {tuple}")), "grey");
    assert_eq!(greylist(&world, &format!("status {tuple}")), "grey");
}
