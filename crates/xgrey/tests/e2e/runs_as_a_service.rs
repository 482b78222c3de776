//! How the program starts, reloads and stops: what an admin and a service manager see of it.
//! No mail server, no root.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::place::Place;
use crate::server::{Server, Settings};
use crate::wait::until;

const SETTINGS: Settings<'_> = Settings { keys: "embargo = \"90s\"", tables: "" };

/// A request from that sender, as Postfix writes it.
fn request(sender: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\
         client_name=mail.example.net\nsender={sender}\nrecipient=bob@example.org\n\n"
    )
}

/// Opens a connection on which an answer is waited for as long as Postfix might.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Reads one answer: a line and a blank line.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

/// Asks on a connection of its own.
fn ask(address: SocketAddr, sender: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request(sender).as_bytes()).unwrap();
    read_answer(&mut stream)
}

#[test]
fn it_says_where_it_listens_where_its_state_is_and_what_to_paste() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let address = server.address();
    server.wait_for_output("default_action=DUNNO", 1);
    let said = server.output();
    let snippet =
        format!("check_policy_service {{ inet:{address}, timeout=5s, default_action=DUNNO }}");
    let state = place.path("state");
    for needle in [&snippet, state.to_str().unwrap(), "embargo 1 minute 30 seconds"] {
        assert!(said.contains(needle), "{needle:?} is missing in:\n{said}");
    }
}

#[test]
fn it_ends_well_when_told_to() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    server.terminate();
    let status = server.wait();
    assert_eq!(status.code(), Some(0), "{}", server.output());
}

#[test]
fn what_is_in_flight_is_answered_before_it_ends() {
    const REQUESTS: usize = 100;
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let mut stream = connect(server.address());
    // One answered request shows that the connection is served before the signal comes.
    stream.write_all(request("alice@example.net").as_bytes()).unwrap();
    read_answer(&mut stream);
    let requests: String = (0..REQUESTS).map(|n| request(&format!("n{n}@example.net"))).collect();
    stream.write_all(requests.as_bytes()).unwrap();
    server.terminate();
    for _ in 0..REQUESTS {
        let answer = read_answer(&mut stream);
        assert!(answer.contains("try again in 90 seconds"), "{answer:?}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "then it closes the connection");
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}

#[test]
fn what_lies_unread_in_the_socket_when_it_is_told_to_end_is_answered() {
    // Whole requests fill a read exactly: between two reads nothing is half-sent, and more waits.
    const BYTES: usize = 512;
    const REQUESTS: usize = 200;
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let mut stream = connect(server.address());
    stream.write_all(request("alice@example.net").as_bytes()).unwrap();
    read_answer(&mut stream);
    let requests: String = (0..REQUESTS)
        .map(|n| {
            let request = request(&format!("n{n}@example.net"));
            let padding = BYTES - request.len() - "instance=\n".len();
            format!("instance={}\n{request}", "x".repeat(padding))
        })
        .collect();
    server.hold();
    stream.write_all(requests.as_bytes()).unwrap();
    server.terminate();
    server.go_on();
    for _ in 0..REQUESTS {
        let answer = read_answer(&mut stream);
        assert!(answer.contains("try again in 90 seconds"), "{answer:?}");
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "then it closes the connection");
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}

#[test]
fn a_half_sent_request_does_not_keep_it_from_ending_and_gets_no_wrong_answer() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let mut stream = connect(server.address());
    let request = request("alice@example.net");
    let (first, rest) = request.split_at(request.len() / 2);
    stream.write_all(first.as_bytes()).unwrap();
    server.terminate();
    until("the listener to close", || TcpStream::connect(server.address()).err());
    // Whether it had begun to read is chance: then it waits for the rest, else it hangs up.
    let _ = stream.write_all(rest.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.contains("try again in 90 seconds"), "{answer:?}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.output());
}

#[test]
fn a_second_process_at_the_same_address_is_refused_and_told_of_the_first() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let address = server.address().to_string();
    let config = place.write("second.toml", &SETTINGS.text(&address));
    let refused = Server::run_refused(&place, &config, "state2", "run2");
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    assert!(refused.output.contains(&address), "{}", refused.output);
}

#[test]
fn a_second_process_with_the_same_state_is_refused_and_told_of_the_first() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let config = place.write("second.toml", &SETTINGS.text(&Place::address().to_string()));
    let refused = Server::run_refused(&place, &config, "state", "run2");
    assert_eq!(refused.code, Some(1), "{}", refused.output);
    let first = server.id().to_string();
    assert!(refused.output.contains(&first), "not named: {first}\n{}", refused.output);
}

#[test]
fn a_broken_configuration_is_refused_whole_and_the_old_one_stays() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let listener = server.address().to_string();
    let broken = SETTINGS.text(&listener).replace("embargo = \"90s\"", "embargi = \"30s\"");
    server.reload(&broken);
    // The mend is named: the key that was meant.
    server.wait_for_output("embargi", 1);
    server.wait_for_output("embargo", 1);
    let answer = ask(server.address(), "alice@example.net");
    assert!(answer.contains("try again in 90 seconds"), "{answer:?}");
    server.stop();
}

#[test]
fn a_good_configuration_is_taken_without_losing_a_connection() {
    let place = Place::new();
    let mut server = Server::start(&place, SETTINGS);
    let mut stream = connect(server.address());
    let listener = server.address().to_string();
    server.reload(&SETTINGS.text(&listener).replace("90s", "30s"));
    let mut count = 0;
    until("the new embargo", || {
        count += 1;
        stream.write_all(request(&format!("n{count}@example.net")).as_bytes()).unwrap();
        read_answer(&mut stream).contains("try again in 30 seconds").then_some(())
    });
    server.stop();
}

#[test]
fn a_service_manager_is_told_when_it_is_ready_reloads_and_stops() {
    let place = Place::new();
    let socket = place.path("notify.sock");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let receive = || {
        let mut message = [0; 4096];
        let count = manager.recv(&mut message).expect("a message within 30 seconds");
        String::from_utf8_lossy(&message[..count]).into_owned()
    };
    let receive_until = |needle: &str| while !receive().contains(needle) {};

    let address = Place::address();
    let config = place.write("xgrey.toml", &SETTINGS.text(&address.to_string()));
    let variables = [("NOTIFY_SOCKET", socket.to_str().unwrap())];
    let mut process = Server::launch(&place, &config, &variables);
    receive_until("READY=1");
    // Ready means ready: no waiting for the listener from here on.
    assert!(ask(address, "alice@example.net").contains("try again in 90 seconds"));

    process.signal(rustix::process::Signal::HUP);
    let reloading = until("RELOADING=1", || Some(receive()).filter(|m| m.contains("RELOADING=1")));
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading:?}");
    receive_until("READY=1");

    process.signal(rustix::process::Signal::TERM);
    receive_until("STOPPING=1");
    assert_eq!(process.wait().code(), Some(0), "{}", process.output());
}

#[test]
fn its_folders_are_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let _server = Server::start(&place, SETTINGS);
    let mode = fs::metadata(place.path("state")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "the state folder holds the hash key");
}
