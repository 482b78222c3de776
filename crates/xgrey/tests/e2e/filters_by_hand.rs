//! `xgrey filter opensmtpd` with a test in smtpd's place: what Debian's smtpd can't show (its TLS fails with the OpenSSL of
//! the same Debian, "missing private key", and without TLS it lets nobody log in), and how it is started wrongly.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::place::Place;
use crate::process::run;
use crate::server::{Server, Settings};
use crate::wait::until;

/// A filter that the test talks to.
struct Filter {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Filter {
    /// Starts it, and shakes hands as smtpd does.
    fn start(policy: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xgrey"))
            .args(["filter", "opensmtpd", "--policy", policy])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut filter = Self { child, input, output };
        filter.say("config|smtpd-version|7.8.0\nconfig|subsystem|smtp-in\nconfig|ready");
        while filter.hear() != "register|ready" {}
        filter
    }

    fn say(&mut self, lines: &str) {
        writeln!(self.input.as_mut().unwrap(), "{lines}").unwrap();
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Opens a session, with what smtpd may report of it, and asks about a recipient.
    fn ask(&mut self, session: &str, version: &str, reports: &[&str]) -> String {
        let report = format!("report|{version}|1795536370.642936|smtp-in");
        let connect = format!("link-connect|{session}|<unknown>|fail|192.0.2.7:40000|192.0.2.1:25");
        self.say(&format!("{report}|{connect}"));
        for event in reports {
            let (event, rest) = event.split_once('|').unwrap();
            self.say(&format!("{report}|{event}|{session}|{rest}"));
        }
        let mail = match version {
            "0.5" => "2c584702|alice@example.net|ok",
            _ => "2c584702|ok|alice@example.net",
        };
        self.say(&format!("{report}|tx-begin|{session}|2c584702"));
        self.say(&format!("{report}|tx-mail|{session}|{mail}"));
        let ask = format!("filter|{version}|1795536370.642936|smtp-in|rcpt-to|{session}|token");
        self.say(&format!("{ask}|bob@example.org"));
        let answer = self.hear();
        let head = format!("filter-result|{session}|token|");
        answer.strip_prefix(&head).unwrap_or_else(|| panic!("answered {answer:?}")).to_owned()
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // It ends when its input does; killed all the same, should it not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server(place: &Place, keys: &str) -> Server {
    Server::start(place, Settings { keys, tables: "" })
}

#[test]
fn who_has_logged_in_is_let_in_in_every_version_of_the_protocol_unless_told_otherwise() {
    let place = Place::new();
    let server = server(&place, "embargo = \"90s\"");
    let mut filter = Filter::start(&server.address().to_string());
    for (session, version, report) in [
        ("01", "0.5", "link-auth|alice|pass"),
        ("02", "0.6", "link-auth|alice|pass"),
        ("03", "0.7", "link-auth|pass|alice"),
    ] {
        assert_eq!(filter.ask(session, version, &[report]), "proceed", "{version}");
    }
    for (session, version, report) in [
        ("11", "0.5", "link-auth|alice|fail"),
        ("12", "0.6", "link-auth|pass|fail"),
        ("13", "0.7", "link-auth|fail|pass"),
    ] {
        let answer = filter.ask(session, version, &[report]);
        assert!(answer.starts_with("reject|451 4.7.1 Greylisted"), "{version}: {answer}");
    }
    let text = Settings { keys: "embargo = \"90s\"\nexempt_authenticated = false", tables: "" };
    server.reload(&text.text(&server.address().to_string()));
    until("the reload to count", || {
        let answer = filter.ask("21", "0.7", &["link-auth|pass|alice"]);
        answer.starts_with("reject|451 4.7.1 Greylisted").then_some(())
    });
}

#[test]
fn a_filter_whose_input_ends_ends_well() {
    let place = Place::new();
    let server = server(&place, "embargo = \"90s\"");
    let mut filter = Filter::start(&server.address().to_string());
    filter.ask("01", "0.6", &[]);
    filter.input = None;
    assert!(filter.child.wait().unwrap().success());
}

#[test]
fn a_filter_that_no_listener_names_registers_for_nothing() {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_xgrey");
    let script = format!(
        "printf 'config|subsystem|smtp-out\\nconfig|ready\\n' | {program} filter opensmtpd"
    );
    let ended = run(command.args(["-c", &script]));
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.starts_with("register|ready\n"), "{}", ended.output);
    assert!(ended.output.contains("no listener names this filter"), "{}", ended.output);
}
