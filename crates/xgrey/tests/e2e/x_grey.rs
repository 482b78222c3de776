//! X-Grey's protocol over real sockets: against what was captured from the original, beside the policy protocol,
//! in bursts and floods, at a stop, a kill and a reload.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::chown;
use std::process::Command;
use std::time::Duration;

use wire::xgrey_v1::{Action, Report, TextList};
use xgrey::clock;

use crate::asker;
use crate::place::Place;
use crate::process::run;
use crate::server::{Home, Server, Settings};
use crate::wait::until;
use crate::x_grey_requests::{
    greylist, ip_list, list, no_op, said, show, with_mta,
};
use crate::x_grey_vectors::{Comparison, vectors};

/// Waits for an answer as long as an honest test can.
const PATIENCE: Duration = Duration::from_secs(30);

/// What questions are told apart by that silence may answer.
const SENTINEL: u16 = 0xfeed;

/// Asks and waits, as the original's clients do.
pub(crate) struct XGreyAsker {
    socket: UdpSocket,
}

impl XGreyAsker {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(server).unwrap();
        Self { socket }
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2_048];
        let length = self.socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    /// The answer; nothing for silence: that is when a question asked afterwards is answered first, since what
    /// one asker asks stays in its order.
    pub(crate) fn ask(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.send(datagram);
        self.send(&no_op(SENTINEL));
        let first = self.receive();
        if mta(&first) == SENTINEL {
            return None;
        }
        assert_eq!(mta(&self.receive()), SENTINEL);
        Some(first)
    }

    /// Asks, where there must be an answer.
    pub(crate) fn answer(&self, datagram: &[u8]) -> String {
        said(self.ask(datagram))
    }
}

fn mta(answer: &[u8]) -> u16 {
    u16::from_be_bytes([answer[6], answer[7]])
}

/// A server for both protocols, and where it listens for X-Grey's.
fn start(place: &Place, keys: &str, listen: &str) -> (Server, SocketAddr) {
    start_at(place, Home::of(place), keys, listen)
}

fn start_at(place: &Place, home: Home, keys: &str, listen: &str) -> (Server, SocketAddr) {
    let address = Place::address();
    let keys = format!("profile = \"x-grey\"\nmemory = \"2MiB\"\n{keys}");
    let tables = tables(address, listen);
    let server = Server::start_at(place, home, Settings { keys: &keys, tables: &tables });
    (server, address)
}

fn tables(address: SocketAddr, listen: &str) -> String {
    format!("[[listen]]\nprotocol = \"x-grey\"\naddress = \"{address}\"\n{listen}")
}

/// How often something was counted.
fn counted(server: &Server, event: &str) -> u64 {
    let stats = server.stats();
    let events = stats["events"].as_array().unwrap();
    let found = events.iter().find(|counted| counted["event"] == event);
    found.unwrap_or_else(|| panic!("{event} is counted")).get("count").unwrap().as_u64().unwrap()
}

#[test]
fn the_captured_exchanges_are_answered_over_sockets_as_without_them() {
    let place = Place::new();
    let (mut server, address) = start(&place, "", "");
    let asker = XGreyAsker::new(address);
    let mut comparison = Comparison::new();
    // The default group, up to where ten seconds would have to pass.
    for vector in vectors().iter().take_while(|vector| vector.name != "tcp-listener-lifetime") {
        let answer = match &vector.request {
            Some(request) => asker.ask(request),
            None => {
                let mut report = Vec::new();
                let mut stream = TcpStream::connect(address).unwrap();
                stream.read_to_end(&mut report).unwrap();
                Some(report)
            }
        };
        comparison.look(vector, answer.as_deref());
    }
    comparison.end();
    server.stop();
}

#[test]
fn a_first_try_through_one_protocol_and_a_retry_through_the_other_pass() {
    let place = Place::new();
    let (server, address) = start(&place, "embargo = \"1s\"", "");
    let asker = XGreyAsker::new(address);
    let query = |sender: &str| greylist("192.0.2.7", sender, "bob@example.org");

    let deferred = asker::ask(server.address(), "Alice@example.net");
    assert!(deferred.starts_with("action=DEFER_IF_PERMIT "), "{deferred}");
    assert_eq!(asker.answer(&query("alice@example.net")), "GREYLIST GREYLIST", "another sender");
    until("what was tried by policy to pass by X-Grey", || {
        (asker.answer(&query("Alice@example.net")) == "ACCEPT WHITELIST").then_some(())
    });

    assert_eq!(asker.answer(&query("carol@example.net")), "GREYLIST GREYLIST");
    until("what was tried by X-Grey to pass by policy", || {
        asker::is_known(server.address(), "carol@example.net").then_some(())
    });
}

#[test]
fn a_burst_that_comes_while_it_is_held_is_answered_whole() {
    const BURST: u16 = 50_000;
    let place = Place::new();
    let (server, address) = start(&place, "", "");
    assert!(!server.output().contains("rmem_max"), "root has room:\n{}", server.output());
    let asker = XGreyAsker::new(address);
    // For the answers, which come faster than they are read.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&asker.socket, 64 << 20).unwrap();
    server.hold();
    for number in 0..BURST {
        let sender = format!("a{number}@example.net");
        asker.send(&with_mta(number, &greylist("192.0.2.7", &sender, "bob@example.org")));
    }
    server.go_on();
    let mut answered = vec![false; BURST.into()];
    for _ in 0..BURST {
        let answer = asker.receive();
        let number = mta(&answer);
        assert_eq!(said(Some(answer)), "GREYLIST GREYLIST");
        assert!(!std::mem::replace(&mut answered[usize::from(number)], true), "{number} twice");
    }
    assert_eq!(counted(&server, "late"), 0);
}

#[test]
fn a_flood_of_what_makes_no_sense_costs_no_answer_and_is_counted_by_kind() {
    const ROUNDS: u64 = 200;
    const EACH: u64 = 50;
    let place = Place::new();
    let (server, address) = start(&place, "", "");
    let (asker, flooder) = (XGreyAsker::new(address), XGreyAsker::new(address));
    let good = greylist("192.0.2.7", "alice@example.net", "bob@example.org");
    let mut wrong = good.clone();
    wrong[20] ^= 1;
    let long = vec![0x55; 1_501];
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..ROUNDS {
        for _ in 0..EACH {
            flooder.send(&wrong);
            flooder.send(&good[..rng.usize(..10)]);
            flooder.send(&long);
            let random: Vec<u8> = (0..rng.usize(10..1_500)).map(|_| rng.u8(..)).collect();
            flooder.send(&random);
        }
        // One in the midst of it; and with its answer the flood is as far as here.
        assert_eq!(asker.answer(&good), "GREYLIST GREYLIST");
        assert_eq!(flooder.answer(&no_op(3)), "okay");
    }
    assert_eq!(counted(&server, "short"), ROUNDS * EACH);
    assert_eq!(counted(&server, "oversized"), ROUNDS * EACH);
    assert_eq!(counted(&server, "bad_crc"), 2 * ROUNDS * EACH);
    let lines = server.output().matches("answered nothing to a datagram").count();
    assert!((1..=20).contains(&lines), "{lines} lines of the log about it");
}

#[test]
fn a_question_that_has_waited_for_too_long_gets_no_answer() {
    let place = Place::new();
    let (server, address) = start(&place, "", "");
    let asker = XGreyAsker::new(address);
    let query = greylist("192.0.2.7", "alice@example.net", "bob@example.org");
    server.hold();
    let sent = clock::boot();
    asker.send(&query);
    until("a question to be too old", || {
        (clock::boot().saturating_sub(sent) > Duration::from_millis(4_100)).then_some(())
    });
    asker.send(&no_op(SENTINEL));
    server.go_on();
    assert_eq!(mta(&asker.receive()), SENTINEL, "nothing came before it");
    assert_eq!(counted(&server, "late"), 1);
    // Not even remembered: whoever asked knows nothing of it.
    asker.send(&show(Report::TuplesAll));
    asker.receive();
    let mut report = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut report).unwrap();
    assert_eq!(report, "");
}

#[test]
fn what_lies_in_the_socket_when_it_is_told_to_end_is_answered() {
    const QUESTIONS: u16 = 1_000;
    let place = Place::new();
    let (mut server, address) = start(&place, "", "");
    let asker = XGreyAsker::new(address);
    server.hold();
    for number in 0..QUESTIONS {
        asker.send(&with_mta(number, &greylist("192.0.2.7", "a@example.net", "b@example.org")));
    }
    server.terminate();
    server.go_on();
    for number in 0..QUESTIONS {
        assert_eq!(mta(&asker.receive()), number);
    }
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}

#[test]
fn a_port_that_another_process_has_is_refused_with_its_name() {
    let place = Place::new();
    let (_server, address) = start(&place, "", "");
    let taken = UdpSocket::bind(Place::address()).unwrap();
    for address in [address, taken.local_addr().unwrap()] {
        let config = format!(
            "[[listen]]\naddress = \"{}\"\n{}",
            Place::address(),
            tables(address, "")
        );
        let config = place.write("second.toml", &config);
        let ended = Server::run_refused(&place, &config, "state-2", "run-2");
        assert_eq!(ended.code, Some(1), "{}", ended.output);
        let said = format!("{address} (UDP) is taken by process ");
        assert!(ended.output.contains(&said), "{}", ended.output);
    }
}

#[test]
fn what_a_client_changes_is_there_after_a_kill() {
    let place = Place::new();
    let (server, address) = start(&place, "", "");
    let asker = XGreyAsker::new(address);
    let query = |client: &str| greylist(client, "alice@example.net", "bob@example.org");
    assert_eq!(asker.answer(&ip_list("192.0.2.0/24", Some(Action::Reject))), "GREYLIST NONE");
    let accept = list(TextList::From, "Alice@Example.NET", Some(Action::Accept));
    assert_eq!(asker.answer(&accept), "GREYLIST NONE");
    assert_eq!(asker.answer(&query("192.0.2.1")), "REJECT IP");
    let server = server.killed_and_started_again(&place);
    let asker = XGreyAsker::new(address);
    assert_eq!(asker.answer(&query("192.0.2.1")), "REJECT IP");
    assert_eq!(asker.answer(&query("198.51.100.1")), "GREYLIST GREYLIST");
    let exact = greylist("198.51.100.1", "Alice@Example.NET", "bob@example.org");
    assert_eq!(asker.answer(&exact), "ACCEPT FROM");
    assert_eq!(asker.answer(&ip_list("192.0.2.0/24", None)), "GREYLIST NONE");
    drop(server.killed_and_started_again(&place));
}

#[test]
fn a_reload_adds_changes_and_removes_such_listeners() {
    let place = Place::new();
    let (server, first) = start(&place, "", "");
    let second = Place::address();
    let config = |tables: &str| {
        Settings { keys: "profile = \"x-grey\"", tables }.text(&server.address().to_string())
    };
    let asker = XGreyAsker::new(first);
    assert_eq!(asker.answer(&no_op(1)), "okay");

    server.reload(&config(&format!("{}\n{}", tables(first, "changes = \"off\""), tables(second, ""))));
    server.wait_for_output("is in force", 1);
    let change = ip_list("192.0.2.0/24", Some(Action::Accept));
    assert_eq!(asker.answer(&change), "error 3");
    let other = XGreyAsker::new(second);
    assert_eq!(other.answer(&change), "GREYLIST NONE");

    server.reload(&config(&tables(second, "secret = \"tea\"")));
    server.wait_for_output("is in force", 2);
    assert!(TcpStream::connect(first).is_err(), "closed");
    let again = Port::bind(first);
    assert!(again.is_ok(), "free: {again:?}");
    other.send(&no_op(2));
    until("the datagram to be counted", || (counted(&server, "bad_crc") == 1).then_some(()));

    // One that cannot be bound leaves all as it was.
    let taken = UdpSocket::bind(Place::address()).unwrap();
    server.reload(&config(&tables(taken.local_addr().unwrap(), "")));
    server.wait_for_output("was not taken", 1);
    other.send(&no_op(2));
    until("the other still listens", || (counted(&server, "bad_crc") == 2).then_some(()));
}

/// A port, bound as somebody else would.
struct Port;

impl Port {
    fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
        UdpSocket::bind(address)
    }
}

#[test]
fn a_plain_user_is_told_which_setting_limits_what_may_wait() {
    const NOBODY: u32 = 65_534;
    let place = Place::new();
    let mut home = Home::of(&place);
    for folder in [&home.state, &home.runtime] {
        std::fs::create_dir(folder).unwrap();
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    home.enter = user.map(str::to_owned).to_vec();
    // Where the program itself lies need not be open to everybody.
    let program = place.path("xgrey");
    std::fs::copy(&home.program, &program).unwrap();
    home.program = program;
    let (server, address) = start_at(&place, home, "", "");
    let limit = run(Command::new("sysctl").args(["-n", "net.core.rmem_max"])).output;
    if limit.trim().parse::<u64>().unwrap() < 64 << 20 {
        server.wait_for_output("net.core.rmem_max=67108864", 1);
    }
    assert_eq!(XGreyAsker::new(address).answer(&no_op(1)), "okay");
}
