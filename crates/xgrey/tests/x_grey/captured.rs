//! Every exchange that was captured from the original, in the order in which it was taken.

use wire::xgrey_v1::{Action, TextList};

use crate::requests::{greylist, list, whitelist};
use crate::server::Server;
use crate::vectors::{Comparison, Vector, vectors};

/// The least memory there is: what is said of `max tuples` follows from it.
const USUAL: &str = "memory = \"2MiB\"";

/// As the original was compiled for the groups `embargo-*` and `expire-*`, but for its clean-ups.
const SHORT: &str = "memory = \"2MiB\"\nembargo = \"3s\"\nwindow = \"8s\"\nlifetime = \"20s\"";

/// Exchanges that build on each other, and on nothing else.
struct Group {
    /// The name of the first of them.
    first: &'static str,
    config: &'static str,
    /// What was done before the first.
    before: fn(&mut Server),
    /// What happens before an exchange, by its name.
    meanwhile: fn(Server, &str) -> Server,
}

fn nothing(_: &mut Server) {}

fn at_once(server: Server, _: &str) -> Server {
    server
}

const GROUPS: [Group; 9] = [
    Group { first: "none", config: USUAL, before: nothing, meanwhile: late_reports },
    Group { first: "embargo-t0", config: SHORT, before: nothing, meanwhile: embargo_and_expiry },
    Group { first: "reload-all/go-ahead", config: USUAL, before: restarted, meanwhile: killed },
    Group {
        first: "full-ninth",
        config: "memory = \"2MiB\"\nembargo = \"3s\"",
        before: eight_tuples,
        meanwhile: at_once,
    },
    Group { first: "crash-len0", config: USUAL, before: nothing, meanwhile: at_once },
    Group { first: "odd-iplist-expire", config: USUAL, before: nothing, meanwhile: at_once },
    Group { first: "odd-iplist-none-5", config: USUAL, before: nothing, meanwhile: at_once },
    Group {
        first: "client-gld-mcp: tuple greylist 192.0.2.1 alice@example.com bob@example.net",
        config: USUAL,
        before: nothing,
        meanwhile: at_once,
    },
    Group { first: "size-1500", config: USUAL, before: nothing, meanwhile: at_once },
];

/// A report that nobody fetches is given up.
fn late_reports(mut server: Server, next: &str) -> Server {
    if next == "tcp-listener-lifetime" {
        server.skip(11);
    }
    server
}

fn embargo_and_expiry(mut server: Server, next: &str) -> Server {
    // What was asked besides, though it was not captured, is told by the reports and by the counts.
    match next {
        "embargo-t1.5" => {
            server.ask(&greylist("192.0.2.2", "alice@example.com", "bob@example.net"));
            server.ask(&whitelist("192.0.2.4", "w@example.com", "bob@example.net"));
            server.wait(1);
        }
        "embargo-t2.5" | "embargo-t3.3" => server.wait(1),
        "remove-then-query-before-cleanup-A" => {
            server.wait(1);
            server.ask(&greylist("192.0.2.3", "alice@example.com", "bob@example.net"));
        }
        "remove-then-query-after-cleanup" => server.wait(3),
        "expire-all-t12.5/go-ahead" => server.wait(5),
        "expire-all-t24.5/go-ahead" => server.wait(12),
        _ => {}
    }
    server
}

/// Two white tuples, a grey one, and a rule that has matched once; then a restart.
fn restarted(server: &mut Server) {
    server.ask(&whitelist("192.0.2.1", "w@example.com", "bob@example.net"));
    server.ask(&whitelist("192.0.2.2", "", "bob@example.net"));
    server.ask(&greylist("192.0.2.3", "g@example.com", "bob@example.net"));
    server.ask(&list(TextList::From, "good@example.com", Some(Action::Accept)));
    server.ask(&greylist("192.0.2.3", "good@example.com", "bob@example.net"));
}

fn killed(server: Server, next: &str) -> Server {
    match next {
        "reload-all/go-ahead" | "kill9-all/go-ahead" => server.killed_and_started_again(),
        _ => server,
    }
}

/// As many as the original had room for.
fn eight_tuples(server: &mut Server) {
    for host in 1..=3 {
        server.ask(&whitelist(&format!("192.0.2.{host}"), "w@example.com", "bob@example.net"));
    }
    for host in 4..=8 {
        server.ask(&greylist(&format!("192.0.2.{host}"), "g@example.com", "bob@example.net"));
    }
}

/// What is answered to an exchange: over UDP, or over TCP what was asked for before.
fn answer(server: &mut Server, vector: &Vector) -> Option<Vec<u8>> {
    match &vector.request {
        Some(request) => {
            // The original's requests are cut at 1,500 bytes; our socket gives one byte more.
            server.ask(&request[..request.len().min(1_501)])
        }
        None => server.fetch(),
    }
}

#[test]
fn each_is_answered_as_the_original_did_or_as_the_document_says() {
    let vectors = vectors();
    let mut comparison = Comparison::new();
    let mut groups = GROUPS.iter().peekable();
    let mut server: Option<(Server, &Group)> = None;
    for vector in &vectors {
        if let Some(group) = groups.next_if(|group| group.first == vector.name) {
            let mut new = Server::new(group.config);
            (group.before)(&mut new);
            server = Some((new, group));
        }
        let (now, group) = server.take().expect("the first vector begins a group");
        let mut now = (group.meanwhile)(now, &vector.name);
        // Somebody who goes away is no answer.
        let answer = answer(&mut now, vector);
        comparison.look(vector, answer.as_deref());
        server = Some((now, group));
    }
    assert!(groups.next().is_none(), "every group was come to");
    comparison.end_of_all();
}
