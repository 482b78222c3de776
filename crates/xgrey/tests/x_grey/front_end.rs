//! What the front end does besides answering questions: whom it answers, what it counts, what takes effect when.

use std::net::SocketAddr;
use std::sync::Arc;

use wire::xgrey_v1::{Action, Report, TextList};
use xgrey::config::{Changes, XGreyListener};
use xgrey::metrics::Event;

use crate::requests::{greylist, ip_list, list, no_op, remove, said, show, show_stats, whitelist};
use crate::server::Server;

const USUAL: &str = "memory = \"2MiB\"";

const THERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 80)), 50_000);

fn query(client: &str) -> Vec<u8> {
    greylist(client, "alice@example.net", "bob@example.org")
}

/// The server, with something changed in its listener.
fn with(change: impl FnOnce(&mut XGreyListener)) -> Server {
    let server = Server::new(USUAL);
    let mut listener = XGreyListener::clone(&server.listener.load());
    change(&mut listener);
    server.listener.store(Arc::new(listener));
    server
}

#[test]
fn within_a_batch_a_change_counts_for_what_comes_after_it_and_not_before() {
    let mut server = Server::new(USUAL);
    let batch = [
        query("192.0.2.1"),
        ip_list("192.0.2.0/24", Some(Action::Reject)),
        query("192.0.2.1"),
        query("198.51.100.1"),
        ip_list("192.0.2.0/24", None),
        query("192.0.2.1"),
        whitelist("192.0.2.1", "alice@example.net", "bob@example.org"),
        query("192.0.2.1"),
        remove("192.0.2.1", "alice@example.net", "bob@example.org"),
        query("192.0.2.1"),
    ];
    let said: Vec<String> = server.ask_all(&batch).into_iter().map(|a| said(Some(a))).collect();
    assert_eq!(
        said,
        [
            "GREYLIST GREYLIST",
            "GREYLIST NONE",
            "REJECT IP",
            "GREYLIST GREYLIST",
            "GREYLIST NONE",
            "GREYLIST GREYLIST",
            "ACCEPT WHITELIST",
            "ACCEPT WHITELIST",
            "GREYLIST GREYLIST",
            "GREYLIST GREYLIST",
        ]
    );
}

#[test]
fn whoever_is_not_allowed_gets_nothing_and_is_counted() {
    let mut server = Server::new(USUAL);
    assert_eq!(server.ask_from(THERE, &no_op(3)), None);
    assert_eq!(server.ask_from(THERE, b"whatever"), None);
    assert_eq!(server.metrics.event(Event::NotAllowed), 2);
    assert_eq!(server.metrics.event(Event::Short), 0, "it was not looked at");
    let mut server = with(|listener| listener.allow = vec!["192.0.2.80/32".parse().unwrap()]);
    assert_eq!(said(server.ask_from(THERE, &no_op(3))), "okay");
    assert_eq!(said(server.ask(&no_op(3))), "okay", "this host always may");
}

#[test]
fn only_who_may_change_something_can_and_anybody_else_is_told_that_there_is_no_such_type() {
    let changes = [
        whitelist("192.0.2.1", "alice@example.net", "bob@example.org"),
        remove("192.0.2.1", "alice@example.net", "bob@example.org"),
        ip_list("192.0.2.0/24", Some(Action::Reject)),
        list(TextList::To, "bob@example.org", Some(Action::Accept)),
    ];
    for (who, here, there) in
        [(Changes::Off, false, false), (Changes::Local, true, false), (Changes::On, true, true)]
    {
        let mut server = with(|listener| {
            listener.allow = vec!["192.0.2.80/32".parse().unwrap()];
            listener.changes = who;
        });
        for change in &changes {
            let may = |answer| said(answer) != "error 3";
            assert_eq!(may(server.ask_from(THERE, change)), there, "{who:?}");
            assert_eq!(may(server.ask(change)), here, "{who:?}");
        }
        for harmless in [query("198.51.100.1"), no_op(0), show(Report::To)] {
            assert_ne!(said(server.ask_from(THERE, &harmless)), "error 3", "{who:?}");
        }
        let refused = [here, there].iter().filter(|may| !**may).count() * changes.len();
        assert_eq!(server.metrics.event(Event::Refused), refused as u64);
        assert_eq!(server.ask_from(THERE, &show_stats()).unwrap().len(), 176);
    }
}

#[test]
fn what_makes_no_sense_is_counted_by_kind() {
    let mut server = Server::new(USUAL);
    let good = query("192.0.2.1");
    for length in 0..10 {
        assert_eq!(server.ask(&good[..length]), None);
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert_eq!(server.ask(&bad), None);
    }
    let mut long = good.clone();
    long.resize(1_501, 0);
    assert_eq!(server.ask(&long), None);
    let count = |event| server.metrics.event(event);
    assert_eq!(count(Event::Short), 10);
    assert_eq!(count(Event::BadCrc), good.len() as u64);
    assert_eq!(count(Event::Oversized), 1);
    assert_eq!(said(server.ask(&good)), "GREYLIST GREYLIST");
}

#[test]
fn exemptions_are_no_filter_of_x_greys_and_are_answered_without_a_reason() {
    let query = greylist("192.0.2.1", "alice@example.net", "postmaster@example.org");
    let here = greylist("127.0.0.1", "alice@example.net", "bob@example.org");
    // The original has none, so its profile has none either.
    let mut server = Server::new(USUAL);
    assert_eq!(said(server.ask(&query)), "GREYLIST GREYLIST");
    assert_eq!(said(server.ask(&here)), "GREYLIST GREYLIST");
    let mut server = Server::new(&format!(
        "exempt_local = true\nexempt_recipients = [\"postmaster@\"]\n{USUAL}"
    ));
    assert_eq!(said(server.ask(&query)), "ACCEPT NONE");
    assert_eq!(said(server.ask(&here)), "ACCEPT NONE");
    server.ask(&list(TextList::To, "postmaster@example.org", Some(Action::Reject)));
    assert_eq!(said(server.ask(&query)), "REJECT TO");
}

#[test]
fn with_another_secret_only_its_own_clients_are_answered() {
    use wire::xgrey_v1::client::encode_request;
    use wire::xgrey_v1::{Request, Secret};
    let secret = Secret::new(b"tea").unwrap();
    let mut server = with(|listener| listener.secret = secret.clone());
    assert_eq!(server.ask(&no_op(0)), None);
    let mut own = Vec::new();
    encode_request(&secret, 0, &Request::NoOp, &mut own).unwrap();
    assert_eq!(said(server.ask(&own)), "okay");
}
