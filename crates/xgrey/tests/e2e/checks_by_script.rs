//! `xgrey check` as scripts use it: exit codes, and what happens when nobody answers.

use std::fs::File;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use wire::xgrey_v1::{Action, Asked, Decoded, Request, Secret, Why, decode, encode_reply};

use crate::manual;
use crate::place::Place;
use crate::process::{Ended, run};
use crate::server::{Server, Settings};
use crate::wait::until;

const SETTINGS: Settings<'_> =
    Settings { keys: "embargo = \"1s\"", tables: "[rules.sender]\nreject = [\"r@example.net\"]" };

fn check(flags: &[&str], sender: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    command.arg("check").args(flags).args(["192.0.2.7", sender, "bob@example.org"]);
    run(command.env_remove("XGREY_SECRET"))
}

#[test]
fn a_policy_server_is_asked_and_the_exit_code_is_the_answer() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let address = server.address().to_string();
    let flags = ["--policy", &address];
    let rejected = check(&flags, "r@example.net");
    assert_eq!((rejected.code, rejected.output.starts_with("reject: 550 ")), (Some(1), true));
    let deferred = check(&flags, "a@example.net");
    assert_eq!(deferred.code, Some(75), "{}", deferred.output);
    assert!(deferred.output.starts_with("defer: DEFER_IF_PERMIT "), "{}", deferred.output);
    until("the embargo's end", || (check(&flags, "a@example.net").code == Some(0)).then_some(()));
    // The null sender is a sender like others.
    assert_eq!(check(&flags, "-").code, Some(75));
    let quiet = check(&["--policy", &address, "--quiet"], "a@example.net");
    assert_eq!((quiet.code, quiet.output.as_str()), (Some(0), ""));
}

/// An X-Grey server that answers one question with that.
fn x_grey(secret: &str, action: Action) -> (String, std::thread::JoinHandle<bool>) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let secret = Secret::new(secret.as_bytes()).unwrap();
    let server = std::thread::spawn(move || {
        let mut datagram = [0; 2048];
        let (length, asker) = socket.recv_from(&mut datagram).unwrap();
        let Decoded::Asked(Asked { mta, request }) = decode(&datagram[..length], &secret) else {
            return false;
        };
        let Request::Greylist(tuple) = request else { return false };
        assert_eq!(
            (tuple.sender, tuple.recipient),
            (&b"a@example.net"[..], &b"bob@example.org"[..])
        );
        let mut answer = Vec::new();
        let answer_type = request.answer_type();
        encode_reply(&secret, mta, answer_type, action.code(), Why::Greylist, &mut answer);
        socket.send_to(&answer, asker).unwrap();
        true
    });
    (address, server)
}

#[test]
fn an_x_grey_server_is_asked_with_the_secret() {
    for (action, code) in [(Action::Accept, 0), (Action::Reject, 1), (Action::Greylist, 75)] {
        let (address, server) = x_grey("sesame", action);
        let ended = check(&["--x-grey", &address, "--secret", "sesame"], "a@example.net");
        assert_eq!(ended.code, Some(code), "{}", ended.output);
        assert!(server.join().unwrap());
    }
}

#[test]
fn when_nobody_answers_mail_flows_unless_told_otherwise_and_standard_error_says_so() {
    // Nobody listens there: the address is this test's own.
    let nobody = Place::address().to_string();
    for (flags, code) in [
        (&[][..], 0),
        (&["--on-failure", "accept"], 0),
        (&["--on-failure", "reject"], 1),
        (&["--on-failure", "defer"], 75),
        (&["--on-failure", "fail"], 69),
    ] {
        for protocol in ["--policy", "--x-grey"] {
            let ended = check(&[&[protocol, &nobody], flags].concat(), "a@example.net");
            assert_eq!(ended.code, Some(code), "{}", ended.output);
            assert!(ended.output.contains("(--on-failure"), "{}", ended.output);
        }
    }
    // Silence is no answer either.
    let silent = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ended = check(&["--x-grey", &address, "--timeout", "1s"], "a@example.net");
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains("did not answer in time"), "{}", ended.output);
}

#[test]
fn what_cannot_be_asked_is_wrong_usage() {
    for flags in [&["--timeout", "0s"][..], &["--policy", "nowhere"], &["--secret", "x"]] {
        let ended = check(flags, "a@example.net");
        assert_eq!(ended.code, Some(2), "{}", ended.output);
    }
    let ended = check(&[], "a@example.net\nrecipient=postmaster");
    assert_eq!(ended.code, Some(2), "{}", ended.output);
}

#[test]
fn the_manuals_wrapper_for_qmail_puts_off_refuses_and_passes_on() {
    let place = Place::new();
    let server = Server::start(&place, SETTINGS);
    let queue =
        place.write("queue", "#!/bin/sh\ncat >\"$TAKEN.mail\"\ncat <&1 >\"$TAKEN.envelope\"\n");
    let check = format!("{} check --policy {}", env!("CARGO_BIN_EXE_xgrey"), server.address());
    let wrapper = manual::block(manual::CHECK, "QMAILQUEUE=");
    assert!(wrapper.contains("xgrey check"), "{wrapper}");
    let wrapper = wrapper.replace("xgrey check", &check);
    let wrapper = wrapper.replace("qmail-queue.real", &format!("sh {}", queue.display()));
    let wrapper = place.write("wrapper", &wrapper);
    let mail = place.write("mail", "Subject: hello\n\nhello\n");
    let send = |sender: &str| {
        let envelope = format!("F{sender}\0Tbob@example.org\0Tcarol@example.org\0\0");
        let envelope = place.write("envelope", &envelope);
        // As qmail does it: the mail is on descriptor 0, the envelope on descriptor 1.
        let ended = Command::new("bash")
            .arg(&wrapper)
            .stdin(File::open(&mail).unwrap())
            .stdout(File::open(envelope).unwrap())
            .stderr(Stdio::piped())
            .env("TCPREMOTEIP", "192.0.2.7")
            .env("TAKEN", place.path("taken"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
        ended.status.code().unwrap()
    };
    assert_eq!(send("r@example.net"), 31);
    assert_eq!(send("a@example.net"), 71);
    assert!(!place.path("taken.mail").exists());
    until("the embargo's end", || (send("a@example.net") == 0).then_some(()));
    let taken = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    assert_eq!(taken("taken.mail"), "Subject: hello\n\nhello\n");
    assert!(taken("taken.envelope").starts_with("Fa@example.net\0Tbob@example.org\0"));
}
