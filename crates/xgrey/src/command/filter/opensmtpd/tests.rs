//! The filter between a test that plays smtpd and one that plays the service.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread;

use super::*;
use crate::cli::check::HostPort;

const LONG: Duration = Duration::from_secs(60);

/// smtpd's end of a filter that asks at `service`.
fn smtpd(service: SocketAddr, timeout: Duration) -> BufReader<UnixStream> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let host = service.ip().to_string();
    let server = PolicyAddress::Tcp(HostPort { host, port: service.port() });
    let output = theirs.try_clone().unwrap();
    let filter = Arc::new(Filter::new(output, Wanted::RecipientsAndMessages, timeout));
    let askers = Askers::start(&Asking { server, timeout }, &filter).unwrap();
    thread::spawn(move || filter.serve(theirs, &askers).unwrap());
    BufReader::new(ours)
}

/// A service that gives these answers, a connection each, and then is gone.
fn service(answers: &'static [&'static str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = BufReader::new(stream.try_clone().unwrap());
            asked.lines().map(Result::unwrap).find(String::is_empty).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn say(smtpd: &mut BufReader<UnixStream>, lines: &str) {
    smtpd.get_mut().write_all(lines.as_bytes()).unwrap();
}

fn hear(smtpd: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    smtpd.read_line(&mut line).unwrap();
    line
}

const SESSION: &str =
    "report|0.6|1.0|smtp-in|link-connect|s|<unknown>|fail|192.0.2.7:4|192.0.2.1:25
report|0.6|1.0|smtp-in|tx-begin|s|2c584702
report|0.6|1.0|smtp-in|tx-mail|s|2c584702|ok|alice@example.net
";

const RECIPIENT: &str = "filter|0.6|1.0|smtp-in|rcpt-to|s|t|bob@example.org\n";

#[test]
fn each_answer_of_a_service_that_hangs_up_after_it_reaches_smtpd() {
    let mut smtpd = smtpd(
        service(&[
            "action=DEFER_IF_PERMIT 4.7.1 Greylisted\n\n",
            "action=452 4.7.1 Not\x1bnow | later\n\n",
            "action=REJECT\n\n",
            "action=DUNNO\n\n",
        ]),
        LONG,
    );
    say(&mut smtpd, SESSION);
    for answer in [
        "reject|451 4.7.1 Greylisted\n",
        "reject|452 4.7.1 Not now | later\n",
        "reject|554 5.7.1 Rejected\n",
        "proceed\n",
    ] {
        say(&mut smtpd, RECIPIENT);
        assert_eq!(hear(&mut smtpd), format!("filter-result|s|t|{answer}"));
    }
}

#[test]
fn a_header_goes_before_the_first_line_of_its_message_and_lines_pass_as_they_are() {
    let mut smtpd = smtpd(service(&["action=PREPEND X-Greylist: delayed 61 seconds\n\n"]), LONG);
    say(&mut smtpd, SESSION);
    say(&mut smtpd, RECIPIENT);
    assert_eq!(hear(&mut smtpd), "filter-result|s|t|proceed\n");
    for line in ["Subject: a|b", "", "..", "."] {
        say(&mut smtpd, &format!("filter|0.6|1.0|smtp-in|data-line|s|u|{line}\n"));
    }
    for line in ["X-Greylist: delayed 61 seconds", "Subject: a|b", "", "..", "."] {
        assert_eq!(hear(&mut smtpd), format!("filter-dataline|s|u|{line}\n"));
    }
}

#[test]
fn whatever_comes_instead_of_an_answer_mail_flows() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for service in [
        nobody,
        service(&["", "action=DUNNO\n\n"]),
        service(&["220 mail.example.org ESMTP\n\n"]),
        service(&["action=reject_unknown_client_hostname\n\n"]),
        service(&["action=DUNNO\n"]),
    ] {
        let mut smtpd = smtpd(service, LONG);
        say(&mut smtpd, SESSION);
        for _ in 0..10 {
            say(&mut smtpd, RECIPIENT);
            assert_eq!(hear(&mut smtpd), "filter-result|s|t|proceed\n");
        }
    }
}

#[test]
fn a_service_that_is_silent_holds_a_recipient_up_until_the_deadline_alone() {
    // It is never accepted, so never answered.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut smtpd = smtpd(silent.local_addr().unwrap(), Duration::from_millis(20));
    say(&mut smtpd, SESSION);
    for _ in 0..10 {
        say(&mut smtpd, RECIPIENT);
        assert_eq!(hear(&mut smtpd), "filter-result|s|t|proceed\n");
    }
}

#[test]
fn requests_that_are_not_about_a_known_session_are_answered_without_asking() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut smtpd = smtpd(nobody.local_addr().unwrap(), LONG);
    for phase in ["rcpt-to", "rcpt-to|bob@example.org", "mail-from", "a-new-one|x"] {
        let (phase, rest) = phase.split_once('|').map_or((phase, ""), |(a, b)| (a, b));
        say(&mut smtpd, &format!("filter|0.6|1.0|smtp-in|{phase}|s|t|{rest}\n"));
        assert_eq!(hear(&mut smtpd), "filter-result|s|t|proceed\n", "{phase}");
    }
}

#[test]
fn a_line_that_is_too_long_is_answered_and_the_next_one_is_read() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut smtpd = smtpd(nobody.local_addr().unwrap(), LONG);
    let long = "x".repeat(smtpd::LINE_BYTES_MAX);
    say(&mut smtpd, &format!("filter|0.6|1.0|smtp-in|rcpt-to|s|t|{long}\n"));
    assert_eq!(hear(&mut smtpd), "filter-result|s|t|proceed\n");
    say(&mut smtpd, "filter|0.6|1.0|smtp-in|connect|s|u|x|192.0.2.7\n");
    assert_eq!(hear(&mut smtpd), "filter-result|s|u|proceed\n");
}
