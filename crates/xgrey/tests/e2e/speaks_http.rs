//! HTTP as others speak it: curl, as the manual says, and Prometheus's own parser.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::manual;
use crate::namespace::unpacked;
use crate::place::Place;
use crate::process::run;
use crate::server::{Server, Settings};
use crate::wait::until;

/// Where the manual's examples say that xgrey listens for HTTP.
const LISTENER: &str = "127.0.0.1:9991";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A listener for HTTP, with a token or without.
fn listener(address: SocketAddr, token: Option<&PathBuf>) -> String {
    let token = token.map(|file| format!("token_file = \"{}\"\n", file.display()));
    let token = token.unwrap_or_default();
    format!("[[listen]]\nprotocol = \"http\"\naddress = \"{address}\"\n{token}")
}

fn start(place: &Place, keys: &str, tables: &str) -> Server {
    Server::start(place, Settings { keys, tables })
}

/// What a command of the manual prints, asked of this server.
fn told_by_manual(page: &str, needle: &str, address: SocketAddr) -> String {
    let line = manual::block(page, needle).replace(LISTENER, &address.to_string());
    let ended = run(Command::new("sh").arg("-c").arg(&line));
    assert_eq!(ended.code, Some(0), "{line}\n{}", ended.output);
    ended.output
}

/// The status and the body that curl gets for a path, with these arguments besides.
fn curl(address: SocketAddr, path: &str, arguments: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "30", "-w", "\n%{http_code}"]).args(arguments);
    let ended = run(command.arg(format!("http://{address}{path}")));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    let (body, status) = ended.output.trim_end().rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[test]
fn the_manuals_question_is_answered_as_the_manual_says() {
    let place = Place::new();
    let address = Place::address();
    let server = start(&place, "embargo = \"1m\"", &listener(address, None));
    let told: Value =
        serde_json::from_str(&told_by_manual(manual::HTTP, "/v1/check", address)).unwrap();
    let shown: Value =
        serde_json::from_str(manual::block(manual::HTTP, "\"wait_seconds\":60")).unwrap();
    assert_eq!(told, shown);
    let hook = told_by_manual(manual::STALWART, "\"stage\": \"RCPT\"", address);
    let hook: Value = serde_json::from_str(&hook).unwrap();
    // The same tuple, whatever it comes in by.
    assert_eq!((&hook["action"], &hook["response"]["status"]), (&json!("reject"), &json!(450)));
    server.wait_for_output("reason=new", 1);
    server.wait_for_output("reason=early", 1);
    assert_eq!(server.stats()["decisions"]["defer"]["early"], 1);
}

#[test]
fn a_retry_over_http_passes_with_its_header_and_is_then_known_over_the_policy_protocol() {
    let place = Place::new();
    let address = Place::address();
    let server = start(&place, "embargo = \"1s\"", &listener(address, None));
    let question =
        json!({"client": "192.0.2.7", "sender": "a@example.net", "recipient": "b@example.org"});
    let body = question.to_string();
    let arguments = ["-H", "Content-Type: application/json", "-d", &body];
    let passed = until("the embargo to end", || {
        let answer: Value =
            serde_json::from_str(&curl(address, "/v1/check", &arguments).1).unwrap();
        (answer["action"] == "accept").then_some(answer)
    });
    assert_eq!(passed["header"]["name"], "X-Greylist");
    let mut policy = TcpStream::connect(server.address()).unwrap();
    policy
        .write_all(
            b"request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.9\n\
              sender=a@example.net\nrecipient=b@example.org\n\n",
        )
        .unwrap();
    let mut line = String::new();
    BufReader::new(policy).read_line(&mut line).unwrap();
    assert_eq!(line, "action=DUNNO\n");
    server.wait_for_output("reason=known", 1);
}

/// Reads a page as Prometheus does, and prints each family with its type, and each sample.
const PARSER: &str = r#"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    print('#', family.type, family.name, family.documentation)
    for sample in family.samples:
        print(sample.name, dict(sample.labels), sample.value)
"#;

#[test]
fn prometheus_own_parser_reads_the_page() {
    let place = Place::new();
    let address = Place::address();
    let _server = start(&place, "embargo = \"1h\"", &listener(address, None));
    told_by_manual(manual::HTTP, "/v1/check", address);
    let page = place.path("page");
    let kind = ["-o", page.to_str().unwrap(), "-w", "%{content_type}\n%{http_code}"];
    let (status, kind) = curl(address, "/metrics", &kind);
    assert_eq!(
        (status, &*kind),
        (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let modules = unpacked("openmetrics").join("usr/lib/python3/dist-packages");
    let mut parser = Command::new("python3");
    parser.args(["-c", PARSER]).env("PYTHONPATH", modules);
    parser.stdin(std::fs::File::open(&page).unwrap());
    let read = run(&mut parser);
    assert_eq!(read.code, Some(0), "{}", read.output);
    for expected in [
        "# counter xgrey_decisions ",
        "# histogram xgrey_wait_seconds ",
        "# info xgrey_build ",
        "xgrey_decisions_total {'action': 'defer', 'reason': 'new'} 1.0",
        "xgrey_questions_total {'protocol': 'http'} 1.0",
        "xgrey_tuples {'state': 'grey'} 1.0",
        "xgrey_journal_up {} 1.0",
        "xgrey_listeners {'protocol': 'http'} 1.0",
        "xgrey_listeners {'protocol': 'postfix'} 1.0",
        "xgrey_connections {'over': 'http'} 1.0",
    ] {
        assert!(read.output.contains(expected), "{expected:?} in\n{}", read.output);
    }
    // The parser is no rubber stamp.
    std::fs::write(&page, "# TYPE a counter\na 1\n# EOF\n").unwrap();
    parser.stdin(std::fs::File::open(&page).unwrap());
    assert_ne!(run(&mut parser).code, Some(0));
}

#[test]
fn a_reload_changes_the_token_and_takes_the_listener_away() {
    let place = Place::new();
    let address = Place::address();
    let token = place.write("http.token", &format!("{TOKEN}\n"));
    let server = start(&place, "embargo = \"1h\"", &listener(address, Some(&token)));
    let show = |token: &str| format!("Authorization: Bearer {token}");
    let status = |token: &str| curl(address, "/metrics", &["-H", &show(token)]).0;
    assert_eq!((status(TOKEN), status("wrong"), curl(address, "/metrics", &[]).0), (200, 401, 401));
    assert_eq!(curl(address, "/readyz", &[]).0, 200);
    let other = TOKEN.replace('0', "1");
    std::fs::write(&token, &other).unwrap();
    let policy = format!("[[listen]]\naddress = \"{}\"\n", server.address());
    server.reload(&format!("{policy}{}", listener(address, Some(&token))));
    until("the other token", || (status(&other) == 200).then_some(()));
    assert_eq!(status(TOKEN), 401);
    server.reload(&policy);
    until("the listener to be gone", || TcpStream::connect(address).is_err().then_some(()));
}

#[test]
fn what_is_under_way_when_it_is_told_to_stop_is_still_answered() {
    let place = Place::new();
    let address = Place::address();
    let mut server = start(&place, "embargo = \"1h\"", &listener(address, None));
    let body = r#"{"client":"192.0.2.7","sender":"a@example.net","recipient":"b@example.org"}"#;
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/check HTTP/1.1\r\nHost: xgrey\r\nExpect: 100-continue\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    server.terminate();
    server.wait_for_output("stopping", 1);
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"new\""), "{answer}");
    assert!(server.wait().success());
    server.wait_for_output("reason=new", 1);
}
