//! Moving in from X-Grey: its files, taken into a running service and into a state directory, and
//! what mail servers are answered then.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;
use crate::process::{Ended, run};
use crate::server::{Server, Settings};

/// X-Grey's times and identity.
const SETTINGS: Settings<'_> = Settings { keys: "profile = \"x-grey\"", tables: "" };

/// What was remembered: state, client, seconds since it was first and last seen.
const REMEMBERED: [(&str, &str, u64, u64); 6] = [
    ("W----", "192.0.2.1", 100_000, 10),
    ("-----", "192.0.2.2", 1_800, 1_200),
    ("-----", "192.0.2.3", 60, 60),
    ("-----", "192.0.2.4", 30_000, 30_000),
    ("W----", "192.0.2.5", 4_000_000, 4_000_000),
    ("WD---", "192.0.2.6", 100_000, 10),
];

/// Writes an X-Grey's state directory and says which files are in it.
fn x_grey(place: &Place) -> Vec<PathBuf> {
    let now = xgrey::clock::wall().as_secs();
    let dump: String = REMEMBERED
        .iter()
        .map(|(flags, client, created, seen)| {
            let (created, seen) = (now - created, now - seen);
            format!("{client} Alice@example.com bob@example.net {flags} {created} {seen}\n")
        })
        .collect();
    let from = "         1   REJECT Spam@example.com\n         3 GREYLIST DEFAULT\n";
    [
        ("dump.txt", dump.as_str()),
        ("from.txt", from),
        ("iplist.txt", "         0.0.0.0/0 GREYLIST\n    203.0.113.0/24 ACCEPT\nmail ACCEPT\n"),
        ("whitelist.txt", "192.0.2.7 - bob@example.net\n"),
    ]
    .map(|(name, text)| place.write(name, text))
    .to_vec()
}

/// `xgrey import --from x-grey`, with the one or the other place to go.
fn import(arguments: &[&str], files: &[PathBuf]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    command.args(["import", "--from", "x-grey"]).args(arguments).args(files);
    run(command.env_remove("STATE_DIRECTORY").env_remove("RUNTIME_DIRECTORY"))
}

/// The first word of what a mail server is answered.
fn answer(address: SocketAddr, client: &str, sender: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address={client}\n\
         sender={sender}\nrecipient=bob@example.net\n\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    let words = answer.strip_prefix("action=").unwrap();
    words.split_whitespace().next().unwrap().to_owned()
}

/// What comes of the files, whoever was asked to take them.
fn is_as_x_grey_left_it(server: &Server) {
    let answer = |client, sender| answer(server.address(), client, sender);
    for (client, sender, expected) in [
        ("192.0.2.1", "Alice@example.com", "DUNNO"),
        ("192.0.2.1", "alice@example.com", "DEFER_IF_PERMIT"),
        // It has waited for half an hour, which a header says.
        ("192.0.2.2", "Alice@example.com", "PREPEND"),
        ("192.0.2.3", "Alice@example.com", "DEFER_IF_PERMIT"),
        ("192.0.2.4", "Alice@example.com", "DEFER_IF_PERMIT"),
        ("192.0.2.5", "Alice@example.com", "DEFER_IF_PERMIT"),
        ("192.0.2.6", "Alice@example.com", "DEFER_IF_PERMIT"),
        ("192.0.2.7", "", "DUNNO"),
        ("192.0.2.8", "Spam@example.com", "550"),
        ("192.0.2.8", "spam@example.com", "DEFER_IF_PERMIT"),
        ("203.0.113.8", "Spam@example.com", "DUNNO"),
    ] {
        assert_eq!(answer(client, sender), expected, "{client} {sender}");
    }
}

/// What an import says that has taken in all of it for the first time.
fn says_what_it_took(ended: &Ended, files: &Path) {
    let Ended { code, output } = ended;
    assert_eq!(*code, Some(1), "{output}");
    for said in [
        format!("{}:3: no IP address where one should be: mail ACCEPT\n", files.display()),
        "dump.txt:6: it was removed by hand (flag D): 192.0.2.6 ".to_owned(),
        " 4 tuples new here\n".to_owned(),
        " 2 tuples left out: too old\n".to_owned(),
        " 1 tuples left out: removed by hand (flag D)\n".to_owned(),
        " 2 rules new here\n".to_owned(),
        " 1 lines left out: not understood\n".to_owned(),
    ] {
        assert!(output.contains(&said), "{said:?} is not in\n{output}");
    }
}

#[test]
fn a_running_service_takes_in_what_x_grey_kept_and_still_knows_it_when_killed() {
    let place = Place::new();
    let files = x_grey(&place);
    let server = Server::start(&place, SETTINGS);
    let socket = place.path("run/control.sock");
    let arguments = ["--control", socket.to_str().unwrap()];
    says_what_it_took(&import(&arguments, &files), &place.path("iplist.txt"));
    // But the whitelist, whose tuples are white from now on: later now.
    let again = import(&arguments, &files[..3]);
    assert!(again.output.contains(" 3 tuples known as well or better\n"), "{}", again.output);
    assert!(!again.output.contains("new here"), "{}", again.output);
    let server = server.killed_and_started_again(&place);
    is_as_x_grey_left_it(&server);
}

#[test]
fn a_state_directory_takes_in_what_x_grey_kept() {
    let place = Place::new();
    let files = x_grey(&place);
    let state = place.path("state");
    let config = place.write("before.toml", &SETTINGS.text("127.0.0.1:10023"));
    let arguments = ["--state", state.to_str().unwrap(), "--config", config.to_str().unwrap()];
    says_what_it_took(&import(&arguments, &files), &place.path("iplist.txt"));
    assert_eq!(fs::read(state.join("hash-key")).unwrap().len(), 16);
    is_as_x_grey_left_it(&Server::start(&place, SETTINGS));
}

#[test]
fn many_files_are_for_x_grey_and_exports_come_one_at_a_time() {
    let place = Place::new();
    let files = x_grey(&place);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xgrey"));
    let refused = run(command.args(["import", "--control", "/nonexistent"]).args(&files));
    assert_eq!(refused.code, Some(2), "{}", refused.output);
    assert!(refused.output.contains("--from x-grey"), "{}", refused.output);
}

#[test]
fn nothing_is_touched_before_it_is_known_what_each_file_is() {
    let place = Place::new();
    let mut files = x_grey(&place);
    files.push(place.write("notes", "192.0.2.0/24 ACCEPT\n"));
    let refused = import(&["--control", "/nonexistent"], &files);
    assert_eq!(refused.code, Some(2), "{}", refused.output);
    assert!(refused.output.contains("say it with --kind"), "{}", refused.output);
}
