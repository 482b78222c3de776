//! Reports: their order, their bound, whose they are.

use wire::xgrey_v1::{Action, Report, TextList};

use crate::requests::{greylist, ip_list, list, remove, said, show, whitelist};
use crate::server::{ASKER, Server};

const USUAL: &str = "memory = \"2MiB\"";

fn lines(report: &[u8]) -> Vec<String> {
    String::from_utf8(report.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn more_tuples_than_are_held_at_once_come_in_stretches_that_are_in_order() {
    let mut server = Server::new(USUAL);
    let mut rng = fastrand::Rng::with_seed(7);
    for number in 0..1_000 {
        let client = format!("10.{}.{}.{}", rng.u8(..), rng.u8(..), rng.u8(..));
        server.ask(&greylist(&client, &format!("a{number}@example.net"), "bob@example.org"));
    }
    let whole = lines(&server.report(Report::TuplesAll));
    assert_eq!(whole.len(), 1_000);
    let key = |line: &String| {
        let mut words = line.split(' ');
        let client: std::net::Ipv4Addr = words.next().unwrap().parse().unwrap();
        (client, words.next().unwrap().to_owned())
    };
    assert!(whole.is_sorted_by_key(key));
    let mut parts = lines(&server.report_in(Report::TuplesAll, 16 * 1024));
    let falls = parts.windows(2).filter(|pair| key(&pair[0]) > key(&pair[1])).count();
    assert!((5..50).contains(&falls), "{falls} stretches");
    parts.sort_by_key(key);
    assert_eq!(parts, whole, "nothing is missing and nothing comes twice");
}

#[test]
fn a_tuple_that_was_forgotten_and_came_again_is_shown_once_as_it_is_now() {
    let mut server = Server::new(USUAL);
    let tuple = ("192.0.2.7", "alice@example.net", "bob@example.org");
    server.ask(&greylist(tuple.0, tuple.1, tuple.2));
    server.wait(5);
    server.ask(&remove(tuple.0, tuple.1, tuple.2));
    assert_eq!(lines(&server.report(Report::TuplesAll)), Vec::<String>::new());
    server.wait(5);
    server.ask(&greylist(tuple.0, tuple.1, tuple.2));
    let now = server.now().as_unix_secs();
    let expected = format!("192.0.2.7 alice@example.net bob@example.org ----- {now} {now}");
    assert_eq!(lines(&server.report(Report::TuplesAll)), [expected]);
}

#[test]
fn a_white_tuple_shows_its_first_try_and_about_its_last_use() {
    let mut server = Server::new("memory = \"2MiB\"\nembargo = \"10s\"\nwindow = \"1h\"\nlifetime = \"1h\"");
    let query = greylist("2001:db8::7", &"x".repeat(200), "");
    server.ask(&query);
    let first = server.now().as_unix_secs();
    server.wait(20);
    assert_eq!(said(server.ask(&query)), "ACCEPT WHITELIST");
    let [line] = &lines(&server.report(Report::TuplesAll))[..] else { panic!("one tuple") };
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[..4], ["2001:db8::7", &"x".repeat(107), "-", "W-F-6"]);
    assert_eq!(words[4], first.to_string());
    let seen: u64 = words[5].parse().unwrap();
    assert!((first + 19..=first + 20).contains(&seen), "{line}");
}

#[test]
fn only_one_report_an_address_can_be_pending_and_nobody_gets_anothers() {
    let mut server = Server::new(USUAL);
    let other = std::net::SocketAddr::from(([127, 0, 0, 2], 40_000));
    assert_eq!(said(server.ask(&show(Report::To))), "GREYLIST NONE");
    assert_eq!(said(server.ask(&show(Report::From))), "error 5");
    assert_eq!(said(server.ask_from(other, &show(Report::From))), "GREYLIST NONE");
    assert_eq!(server.pending.take(other.ip(), server.now()), Some(Report::From));
    assert_eq!(server.pending.take(ASKER.ip(), server.now()), Some(Report::To));
    assert_eq!(server.pending.take(ASKER.ip(), server.now()), None);
}

#[test]
fn rules_of_the_configuration_are_shown_among_those_of_clients_and_ipv6_is_not() {
    let mut server = Server::new(
        "memory = \"2MiB\"\n[rules.client]\naccept = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n\
         [rules.sender]\nreject = [\"alice@\", \"/^x/\"]",
    );
    server.ask(&ip_list("192.0.2.0/25", Some(Action::Reject)));
    server.ask(&list(TextList::From, "Alice@example.net", Some(Action::Accept)));
    let query = whitelist("192.0.2.7", "alice@example.net", "bob@example.org");
    assert_eq!(said(server.ask(&query)), "REJECT IP");
    assert_eq!(
        lines(&server.report(Report::IpList)),
        [
            "         0 GREYLIST         0.0.0.0         0.0.0.0",
            "         1   REJECT       192.0.2.0 255.255.255.128",
            "         0   ACCEPT       192.0.2.0   255.255.255.0",
        ]
    );
    assert_eq!(
        lines(&server.report(Report::From)),
        [
            "         0   REJECT /^x/",
            "         0   ACCEPT Alice@example.net",
            "         0   REJECT alice@",
            "         0 GREYLIST DEFAULT",
        ]
    );
}
