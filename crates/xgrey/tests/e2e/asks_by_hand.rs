//! The policy protocol over real sockets, asked by hand: what a mail server would never send, and
//! what only sockets show (limits, time-outs, who may connect).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::place::Place;
use crate::server::{Server, Settings};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);

/// An embargo that no test outlives.
const LONG: &str = "embargo = \"1h\"";

fn settings(tables: &str) -> Settings<'_> {
    Settings { keys: LONG, tables }
}

fn request(sender: &str) -> String {
    format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\
         sender={sender}\nrecipient=bob@example.org\ninstance=1a2b.{sender}\n\n"
    )
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads up to the end of the stream, however it comes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(bytes).unwrap()
}

/// Writes `bytes`, shuts the writing side down and reads all answers' actions.
fn actions(address: SocketAddr, bytes: &[u8]) -> Vec<String> {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answers = rest(&mut stream);
    answers.split_terminator("\n\n").map(str::to_owned).collect()
}

const DEFER: &str = "action=DEFER_IF_PERMIT 4.7.1 Greylisted, try again in 1 hour";
const DUNNO: &str = "action=DUNNO";

#[test]
fn many_requests_in_one_write_get_as_many_answers_in_their_order() {
    let place = Place::new();
    let server = Server::start(&place, settings("[rules.sender]\nreject = [\"r@example.net\"]"));
    let mut bytes = Vec::new();
    for _ in 0..50 {
        bytes.extend(request("a@example.net").bytes());
        bytes.extend(request("r@example.net").bytes());
        bytes.extend(b"request=smtpd_access_policy\nprotocol_state=DATA\n\n");
    }
    let expected: Vec<&str> =
        [DEFER, "action=550 5.7.1 Rejected by local policy", DUNNO].repeat(50);
    assert_eq!(actions(server.address(), &bytes), expected);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered_like_any_other() {
    let place = Place::new();
    let server = Server::start(&place, settings(""));
    let mut stream = connect(server.address());
    for byte in request("a@example.net").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), format!("{DEFER}\n\n"));
}

#[test]
fn what_cannot_be_understood_lets_mail_flow_and_the_next_request_is_answered() {
    let place = Place::new();
    let server = Server::start(&place, settings(""));
    let long = format!("request=smtpd_access_policy\nsender={}\n\n", "x".repeat(100_000));
    for nonsense in [
        "nonsense\n\n",
        "request=junk_mail_policy\nprotocol_state=RCPT\n\n",
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=somewhere\n\n",
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.7\n\n",
        "\u{0}\u{1}\u{2}\n\n",
        &long,
    ] {
        let bytes = format!("{nonsense}{}", request("a@example.net"));
        let shown = &nonsense[..nonsense.len().min(60)];
        assert_eq!(actions(server.address(), bytes.as_bytes()), [DUNNO, DEFER], "{shown:?}");
    }
    server.wait_for_output("could not be understood", 1);
}

#[test]
fn a_half_sent_request_is_given_up_after_its_time() {
    let place = Place::new();
    let server = Server::start(&place, settings("[limits]\nrequest_timeout = \"1s\""));
    let mut stream = connect(server.address());
    stream.write_all(b"request=smtpd_access_policy\nsender=a@exa").unwrap();
    assert_eq!(rest(&mut stream), "");
}

#[test]
fn one_connection_too_many_makes_the_longest_idle_give_way() {
    let place = Place::new();
    let server = Server::start(&place, settings("[limits]\nconnections = 2"));
    let ask = |stream: &mut TcpStream, sender: &str| {
        stream.write_all(request(sender).as_bytes()).unwrap();
        let mut answer = [0; 256];
        let count = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    let mut busy = connect(server.address());
    ask(&mut busy, "a@example.net");
    let mut idle = connect(server.address());
    ask(&mut idle, "b@example.net");
    // In the middle of a request, so it may not be the one, however old it is.
    busy.write_all(b"request=smtpd_access_policy\n").unwrap();
    let mut new = connect(server.address());
    // The half request may still be on its way when the new connection comes: whoever gives way,
    // it is one of the old ones, and the new one is served.
    assert!(ask(&mut new, "c@example.net").starts_with(DEFER));
    until("an old connection to end", || {
        idle.set_nonblocking(true).unwrap();
        busy.set_nonblocking(true).unwrap();
        [&mut idle, &mut busy].into_iter().any(|old| old.read(&mut [0]).is_ok()).then_some(())
    });
}

#[test]
fn a_unix_socket_has_the_mode_that_was_asked_for_and_goes_with_the_service() {
    let place = Place::new();
    let path = place.path("policy.sock");
    let tables = format!(
        "[[listen]]\nprotocol = \"postfix\"\naddress = \"unix:{}\"\nmode = \"0660\"",
        path.display()
    );
    let mut server = Server::start(&place, settings(&tables));
    let mut stream = until("the socket", || UnixStream::connect(&path).ok());
    stream.write_all(request("a@example.net").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("{DEFER}\n\n"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    server.stop();
    assert!(!path.exists(), "the socket's path is still there");
}

#[test]
fn observe_mode_decides_and_logs_and_delays_nothing() {
    let place = Place::new();
    let keys = "embargo = \"1h\"\nmode = \"observe\"";
    let server = Server::start(&place, Settings { keys, tables: "" });
    assert_eq!(actions(server.address(), request("a@example.net").as_bytes()), [DUNNO]);
    server.wait_for_output("defer reason=new wait=3600s client=192.0.2.7", 1);
    server.wait_for_output("mode=observe", 1);
}

#[test]
fn a_message_gets_one_header_however_many_recipients_it_has() {
    let place = Place::new();
    let server = Server::start(&place, Settings { keys: "embargo = \"1s\"", tables: "" });
    let to = |recipient: &str| request("a@example.net").replace("bob@example.org", recipient);
    let both = format!("{}{}", to("bob@example.org"), to("eve@example.org"));
    let passed = until("the embargo's end", || {
        let answers = actions(server.address(), both.as_bytes());
        answers.iter().all(|answer| !answer.contains("DEFER")).then_some(answers)
    });
    let headers = passed.iter().filter(|answer| answer.contains("PREPEND X-Greylist: delayed"));
    assert_eq!(headers.count(), 1, "{passed:?}");
}
